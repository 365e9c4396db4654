"""What a thread that sends a scenario's messages keeps: what is unacknowledged, and how far it has come."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event

from twin.gateway import GatewayClient
from twin.ledger import LedgerWriter

_POLL_S = 0.005
_DRAIN_S = 20.0
_PROGRESS_S = 0.5


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run has done so far."""

    published: int = 0
    """Messages handed to the client."""
    acked: int = 0
    """Messages that the broker has taken."""
    refused: int = 0
    """Messages that the broker answered with a failure."""
    readings: int = 0
    """Readings in the published messages."""
    readings_acked: int = 0
    intervals: int = 0
    """Intervals published in full."""
    observed_at: datetime | None = None
    """End of the last of them."""


@dataclass(frozen=True, slots=True)
class ScenarioClock:
    """The scenario's time: never ahead of the wall clock, and faster than it only where it started further back."""

    now: Callable[[], datetime]
    wall_start_s: float
    start_s: float
    speed: float = 1.0

    def __call__(self) -> float:
        """Seconds since 1970 UTC."""
        wall_s = self.now().timestamp()
        return min(wall_s, self.start_s + (wall_s - self.wall_start_s) * self.speed)


def make_clients(
    gateways: Iterable[str],
    credentials: Mapping[str, str],
    host: str,
    port: int,
    in_flight: int,
    tls: ssl.SSLContext | None,
) -> dict[str, GatewayClient]:
    """A client for each gateway's account, not yet connected.

    Raises
    ------
    ValueError
        When a gateway has no password.
    """
    accounts = sorted(set(gateways))
    if missing := [account for account in accounts if account not in credentials]:
        raise ValueError(f"no password for {', '.join(missing)}")
    return {
        account: GatewayClient(host, port, account, credentials[account], in_flight=in_flight, tls=tls)
        for account in accounts
    }


class Sending:
    """The sending thread's state.

    Parameters
    ----------
    duration_s
        After which it is over; None = when `stop` is set.
    """

    def __init__(
        self,
        clients: Mapping[str, GatewayClient],
        ledger: LedgerWriter,
        stop: Event,
        duration_s: float | None,
        progress: Callable[[Summary], None] | None,
    ) -> None:
        self.summary = Summary()
        self.clients, self.ledger = clients, ledger
        self._stop = stop
        self._deadline = None if duration_s is None else time.monotonic() + duration_s
        self._progress = progress
        self._reported = 0.0
        self._readings_of: dict[int, int] = {}

    @property
    def over(self) -> bool:
        """Whether it is to end."""
        return self._stop.is_set() or (self._deadline is not None and time.monotonic() >= self._deadline)

    def connect(self) -> None:
        """Connect all clients."""
        for client in self.clients.values():
            client.connect()

    def close(self) -> None:
        """Close all clients."""
        for client in self.clients.values():
            client.close()

    def until_ready(self, client: GatewayClient, due: float) -> bool:
        """Wait until a client takes another message, and `due` by the monotonic clock; false when it is over."""
        while not client.ready or time.monotonic() < due:
            if self.wait():
                return False
        self.note()
        return not self.over

    def send(
        self,
        client: GatewayClient,
        topic: str,
        payload: bytes,
        number: int,
        readings: int,
        sequence: int | None = None,
    ) -> None:
        """Hand a message over; a number below 0 isn't the ledger's. One with a sequence number may be asked for."""
        self._readings_of[number] = readings
        client.publish(topic, payload, number, sequence)
        summary = self.summary
        self.summary = replace(summary, published=summary.published + 1, readings=summary.readings + readings)

    def wait(self) -> bool:
        """Note what has come and pause; true when it is over."""
        self.note()
        if self.over:
            return True
        time.sleep(_POLL_S)
        return False

    def note(self) -> None:
        """Note what has been answered."""
        acked = refused = readings = 0
        for client in self.clients.values():
            for number, at_us, taken in client.answers():
                count = self._readings_of.pop(number)
                if not taken:
                    refused += 1
                    continue
                acked, readings = acked + 1, readings + count
                if number >= 0:
                    self.ledger.acked(number, at_us)
        summary = self.summary
        if acked or refused:
            self.summary = replace(
                summary,
                acked=summary.acked + acked,
                refused=summary.refused + refused,
                readings_acked=summary.readings_acked + readings,
            )
        self.ledger.flush()
        if self._progress and time.monotonic() - self._reported >= _PROGRESS_S:
            self._reported = time.monotonic()
            self._progress(self.summary)

    def drain(self) -> None:
        """Wait for outstanding acknowledgements, for a while."""
        deadline = time.monotonic() + _DRAIN_S
        self.note()
        while self._readings_of and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            self.note()
        if self._progress:
            self._progress(self.summary)
