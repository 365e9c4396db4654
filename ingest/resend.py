"""Keeps account of gateways' numbers while a source runs, and asks for what is missing (补采).

A number counts as heard only when Kafka has acknowledged its message. What was heard since the ledger was last saved is
forgotten in a crash; then it looks like a gap and is asked for once more, and the repeat changes nothing.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Iterable

import structlog

from grid.ports import GapLedger
from ingest.gaps import AskLimits, Changes, GapTracker, ResendRequest
from ingest.requests import gateway_of, sequence_of

log = structlog.get_logger("ingest.resend")

_EVERY_S = 1.0


class Resender:
    """Follows gateways' numbers for one source.

    Parameters
    ----------
    ledger
        Where they are kept; read at once.
    limits
        How patiently gaps are asked for.
    clock
        Seconds since 1970.
    """

    def __init__(self, ledger: GapLedger, limits: AskLimits, clock: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._clock = clock
        numberings, gaps = ledger.load()
        self._lock = threading.Lock()
        self._tracker = GapTracker(limits, numberings, gaps, self._now_us())

    def heard(self, messages: Iterable[tuple[str, bytes, int | None]]) -> None:
        """Take note of (topic, payload, number) of messages that Kafka has; number None = to be read."""
        now_us = self._now_us()
        with self._lock:
            for topic, payload, known in messages:
                gateway = gateway_of(topic)
                number = sequence_of(payload) if known is None else known
                if gateway is not None and number is not None:
                    digest = zlib.crc32(payload) if number == 0 else None
                    self._tracker.observe(gateway, number, now_us, digest)

    def run(self, stop: threading.Event, publish: Callable[[ResendRequest], bool]) -> None:
        """Save and ask until `stop` is set; `publish` says whether it could.

        What is known at the end is saved.
        """
        while not stop.wait(_EVERY_S):
            self.step(publish)
        self._save()

    def step(self, publish: Callable[[ResendRequest], bool]) -> None:
        """One round: save what was heard, then ask for what is due; nothing is asked for while the store is away."""
        if not self._save():
            return
        with self._lock:
            requests = self._tracker.ask(self._now_us())
        if not requests or not self._save():
            return
        for request in requests:
            sent = publish(request)
            log.info(
                "asked for missing messages", sent=sent, gateway=request.gateway, first=request.first, last=request.last
            )

    def figures(self) -> dict[str, int]:
        """Open gaps and counts since the start, by name."""
        with self._lock:
            gaps, messages, given_up = self._tracker.open_gaps()
            tracker = self._tracker
            return {
                "open": gaps,
                "open_messages": messages,
                "given_up": given_up,
                "noticed": tracker.noticed,
                "filled": tracker.filled,
                "requested": tracker.requested,
                "restarts": tracker.restarts,
                "untracked": tracker.untracked,
            }

    def _save(self) -> bool:
        with self._lock:
            changes: Changes = self._tracker.take_changes()
        if not changes or self._ledger.save(changes.numberings, changes.gaps):
            return True
        with self._lock:
            self._tracker.put_back(changes)
        return False

    def _now_us(self) -> int:
        return int(self._clock() * 1e6)
