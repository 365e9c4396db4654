"""Sends messages at a set pace, says how well it kept it, and measures when their rows can be queried."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from store.blocks import to_datetime
from store.connection import Connection

#: Messages are sent in bursts, so many a second.
TICKS = 100
_POLL_S = 0.05
#: The workers are warm when all rows of this time have come within that delay.
_WARM_FOR_S = 10
_WARM_DELAY_S = 2.5
#: A row that isn't there after this time counts as so late.
_GIVE_UP_S = 60.0

#: What a message is found by: kind of message, unit id, instant in microseconds, digest (0 for a block).
Row = tuple[str, int, int, int]
#: Topic, key and value of a message, and its row.
Message = tuple[str, bytes, bytes, Row]

_ARRIVED = {
    "readings": """
        select k.n from unnest(%(unit)s::int[], %(at)s::timestamptz[]) with ordinality as k (unit_id, at, n)
        join telemetry.block b on b.unit_id = k.unit_id and b.observed_at = k.at
        where b.observed_at between %(first)s and %(last)s
    """,
    "points": """
        select k.n
        from unnest(%(unit)s::int[], %(at)s::timestamptz[], %(digest)s::bigint[]) with ordinality
          as k (unit_id, at, digest, n)
        join telemetry.scada s on s.unit_id = k.unit_id and s.observed_at = k.at and s.digest = k.digest
        where s.observed_at between %(first)s and %(last)s
    """,
}


@dataclass(frozen=True, slots=True)
class Sender:
    """One kind of message that comes again every second.

    Parameters
    ----------
    offset_s
        When within the second.
    make
        The message of a second (0, 1, …) that counts as received at an instant, in microseconds.
    """

    offset_s: float
    make: Callable[[int, int], Message]


@dataclass(slots=True)
class Watch:
    """Delays of sampled messages, from the instant at which they were due to be sent to a query that sees their row.

    An upper bound: rows are asked for every 0.05 s, and a message that was sent late has waited already.
    """

    waiting: deque[tuple[int, Row]] = field(default_factory=deque)
    counted_from_us: int | None = None
    """Messages that were due from then on count; None while the workers warm up."""
    late_us: int = 0
    """When a message was due whose row, the last so far, hadn't come within the delay of a warm worker."""
    delays_s: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in _ARRIVED})

    def follow(self, connection: Connection, stop: threading.Event) -> None:
        """Ask until told to stop and nothing is outstanding."""
        outstanding: list[tuple[int, Row]] = []
        while outstanding or self.waiting or not stop.is_set():
            time.sleep(_POLL_S)
            while self.waiting:
                outstanding.append(self.waiting.popleft())
            for kind in _ARRIVED:
                of_kind = [sample for sample in outstanding if sample[1][0] == kind]
                there = self._ask(connection, kind, [row for _, row in of_kind])
                now_us = time.time_ns() // 1_000
                gone = set()
                for due_us, row in of_kind:
                    delay_s = (now_us - due_us) / 1e6
                    if delay_s > _WARM_DELAY_S:
                        self.late_us = max(self.late_us, due_us)
                    if row in there or delay_s > _GIVE_UP_S:
                        gone.add(row)
                        if self.counted_from_us is not None and due_us >= self.counted_from_us:
                            self.delays_s[kind].append(delay_s)
                outstanding = [sample for sample in outstanding if sample[1] not in gone]

    def is_warm(self) -> bool:
        """Whether everything came soon for a while: nothing has piled up from the workers' start any more."""
        return time.time() - self.late_us / 1e6 > _WARM_FOR_S

    def _ask(self, connection: Connection, kind: str, rows: Sequence[Row]) -> set[Row]:
        if not rows:
            return set()
        at = [to_datetime(row[2]) for row in rows]
        arguments = {
            "unit": [row[1] for row in rows],
            "at": at,
            "digest": [row[3] for row in rows],
            "first": min(at),
            "last": max(at),
        }
        return {rows[row[0] - 1] for row in connection.execute(_ARRIVED[kind], arguments)}

    def percentile_s(self, kind: str, percent: float) -> float:
        """Delay that so many percent of the samples don't exceed."""
        return float(np.percentile(self.delays_s[kind], percent))


@contextlib.contextmanager
def followed(watch: Watch, open_connection: Callable[[], Connection]) -> Iterator[None]:
    """While the block runs, and until nothing is outstanding, `watch` asks for its rows."""
    stop = threading.Event()
    with open_connection() as connection:
        connection.autocommit = True
        follower = threading.Thread(target=watch.follow, args=(connection, stop), name="watch")
        follower.start()
        try:
            yield
        finally:
            stop.set()
            follower.join()


class Producer(Protocol):
    """Takes messages: Kafka's, or a gateway."""

    def send(self, topic: str, *, key: bytes, value: bytes) -> object:
        """Hand a message over."""

    def flush(self) -> object:
        """Return when all are taken."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What was really sent in the measured time.

    Attributes
    ----------
    messages
        By kind.
    seconds
        From the first to the end of the last.
    late_p99_s
        How long after its instant a message was handed to the producer.
    warm_s
        How long messages were sent before.
    """

    messages: dict[str, int]
    seconds: float
    late_p99_s: float
    warm_s: float


def send_paced(
    producer: Producer, senders: Sequence[Sender], warm_s: int, seconds: int, watch: Watch, every: int
) -> Sent:
    """Send all of `senders` each second; what counts begins when the workers are warm, or after `warm_s` seconds.

    Parameters
    ----------
    every
        One message in so many is followed.
    """
    ticks: list[list[Sender]] = [[] for _ in range(TICKS)]
    for sender in senders:
        ticks[int(sender.offset_s * TICKS) % TICKS].append(sender)
    begin_s = time.time() + 1.0
    number = second = 0

    def send(second: int, messages: dict[str, int], late_s: list[float]) -> None:
        nonlocal number
        for tick, of_tick in enumerate(ticks):
            due_s = begin_s + second + tick / TICKS
            time.sleep(max(0.0, due_s - time.time()))
            for sender in of_tick:
                topic, key, value, row = sender.make(second, int(due_s * 1e6))
                producer.send(topic, key=key, value=value)
                messages[row[0]] += 1
                number += 1
                if number % every == 0:
                    watch.waiting.append((int(due_s * 1e6), row))
            late_s.append(time.time() - due_s)

    while second < warm_s and not (second >= 2 * _WARM_FOR_S and watch.is_warm()):
        send(second, dict.fromkeys(_ARRIVED, 0), [])
        second += 1
    warmed_s = second
    watch.counted_from_us = int((begin_s + second) * 1e6)
    messages = dict.fromkeys(_ARRIVED, 0)
    late_s: list[float] = []
    for _ in range(seconds):
        send(second, messages, late_s)
        second += 1
    producer.flush()
    return Sent(messages, time.time() - begin_s - warmed_s, float(np.percentile(late_s, 99)), warmed_s)
