"""The service `meterline sync deliver`: relays changes to Kafka, sends them to targets, and reads these back."""

from __future__ import annotations

import functools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog
from kafka.errors import KafkaError

from store.breaker import Breaker
from store.connection import Connection
from store.deliveries import Noting, Queue, Send, deliver_due
from store.grid_change import refresh_present
from store.loop import keep_running, run_together
from store.outbox import RelayMovedError, begin_change
from store.sync_documents import owe_fresh
from sync.delivery import Subscriber, read_back, sender
from sync.reconcile import reconcile
from sync.relay import BATCH, Producer, relay_batch
from sync.targets.contract import TargetError

log = structlog.get_logger("sync.service")

_RELAY_EVERY_S = 0.2
_DELIVER_EVERY_S = 0.25
#: Changes that were written ahead come into force by themselves; only the present columns must be told.
_PRESENT_EVERY_S = 10.0
_LOOK_BACK = timedelta(days=1)
_EVER = datetime(1900, 1, 1, tzinfo=UTC)
_FEED_EVERY_S = 2.0
#: After a target couldn't be read back it is left alone for so long.
_UNREADABLE_S = 5.0


@dataclass(slots=True)
class SyncCounts:
    """What the service has done since it began, for its metrics."""

    relayed: int = 0
    deliveries: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By target and outcome."""
    read_back: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Entities compared, by target and whether they agree: ``agrees`` or ``differs``."""
    unreadable: Counter[str] = field(default_factory=Counter)
    """Attempts to read a target back that failed."""
    last_at: float = 0.0
    """When the relay last looked, seconds since 1970."""


def run_sync(
    open_connection: Callable[[], Connection],
    producer: Producer,
    subscribers: Sequence[Subscriber],
    send: Send,
    stop: threading.Event,
    counts: SyncCounts | None = None,
    reconcile_every_s: float | None = None,
) -> None:
    """Relay, deliver, read back and bring the present columns of the model forward until `stop` is set.

    Each target has loops of its own: a slow one holds up neither the relay nor another.

    Parameters
    ----------
    producer
        Acknowledged by all replicas; the caller closes it.
    send
        Sends to targets that hold no copy, and gives up at once when `stop` is set.
    reconcile_every_s
        How often all that a target holds is compared with the model; None: never by itself.
    """
    counted = SyncCounts() if counts is None else counts

    def relay(connection: Connection) -> bool:
        relayed = relay_batch(connection, producer, subscribers)
        counted.last_at = time.time()
        if relayed:
            log.info("relayed", changes=relayed)
            counted.relayed += relayed
        return relayed == BATCH

    begun = False

    def bring_forward(connection: Connection) -> bool:
        nonlocal begun
        with connection.transaction():
            instant = begin_change(connection)
            if changed := refresh_present(connection, instant, since=instant - _LOOK_BACK if begun else _EVER):
                log.info("came into force", entities=changed)
        begun = True
        return False

    loops: dict[str, Callable[[], None]] = {
        "present": lambda: keep_running("present", open_connection, bring_forward, stop, _PRESENT_EVERY_S),
        "relay": lambda: keep_running(
            "relay", open_connection, relay, stop, _RELAY_EVERY_S, (KafkaError, RelayMovedError)
        ),
    }
    for subscriber in subscribers:
        work = _TargetLoop(subscriber, send, counted, reconcile_every_s)
        name = f"sync deliveries to {subscriber.name}"
        loops[name] = functools.partial(keep_running, name, open_connection, work.step, stop, _DELIVER_EVERY_S)
    run_together(loops, stop)


def settle(connection: Connection, subscriber: Subscriber, now: Callable[[], datetime]) -> None:
    """Deliver what is due to a target that holds a copy, and read it back, until nothing more gets through."""
    assert subscriber.carrier is not None  # noqa: S101  # only those that hold a copy
    send = sender(connection, subscriber.carrier)
    while deliver_due(connection, Queue.SYNC, [subscriber.target], send, now, random.random).delivered:
        pass
    while read_back(connection, subscriber, now())[0]:
        pass


class _TargetLoop:
    """What is done for one target in turn: feeds, deliveries, reading back, and now and then a whole comparison."""

    def __init__(self, subscriber: Subscriber, send: Send, counts: SyncCounts, reconcile_every_s: float | None) -> None:
        self._subscriber = subscriber
        self._send = send
        self._counts = counts
        self._breaker = Breaker()
        self._unnoted: list[Noting] = []
        self._every_s = reconcile_every_s
        self._feeds_at = 0.0
        self._readable_at = 0.0
        self._reconcile_at = time.monotonic() + (reconcile_every_s or 0.0)

    def step(self, connection: Connection) -> bool:
        """One round; whether there is more to do at once."""
        now = time.monotonic()
        if now >= self._feeds_at:
            self._feeds_at = now + _FEED_EVERY_S
            for subject in sorted(self._subscriber.subjects):
                owe_fresh(connection, self._subscriber.name, subject, _utc_now())
        more = self._deliver(connection)
        if self._subscriber.to_read and now >= self._readable_at:
            try:
                more |= self._read(connection)
                if self._every_s is not None and now >= self._reconcile_at:
                    self._reconcile_at = now + self._every_s
                    done = reconcile(connection, self._subscriber, _utc_now)
                    log.info("compared", target=done.target, entities=done.compared, drifted=done.drifted)
            except TargetError as error:
                self._readable_at = now + _UNREADABLE_S
                self._counts.unreadable[self._subscriber.name] += 1
                log.warning("can't be read back", target=self._subscriber.name, error=str(error))
        return more

    def _deliver(self, connection: Connection) -> bool:
        subscriber = self._subscriber
        send = self._send if subscriber.carrier is None else sender(connection, subscriber.carrier)
        sent = deliver_due(
            connection, Queue.SYNC, [subscriber.target], send, _utc_now, random.random, self._breaker, self._unnoted
        )
        if sent.claimed:
            log.info("delivered", target=subscriber.name, sent=sent.delivered, failed=sent.failed, gone=sent.gone)
            for outcome in ("delivered", "failed", "gone"):
                self._counts.deliveries[subscriber.name, outcome] += getattr(sent, outcome)
        return sent.claimed > 0 and sent.failed < sent.claimed

    def _read(self, connection: Connection) -> bool:
        settled, compared = read_back(connection, self._subscriber, _utc_now())
        for each in compared:
            self._counts.read_back[self._subscriber.name, "agrees" if each.agrees else "differs"] += 1
        return settled > 0


def _utc_now() -> datetime:
    return datetime.now(UTC)
