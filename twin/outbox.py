"""Numbers messages in the order in which they are made and gives them out in the order in which they are sent."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec


class MessageKind(StrEnum):
    """What a message holds."""

    BLOCK = "block"  # readings of an interval
    FROZEN = "frozen"  # daily frozen registers
    POINTS = "points"  # SCADA points
    EVENT = "event"  # what meters report of themselves


@dataclass(frozen=True, slots=True)
class Made:
    """A message as its gateway made it, before it has a number.

    Attributes
    ----------
    made_us
        When, microseconds since 1970 UTC. A gateway numbers its messages in this order.
    send_at_us
        When it is sent, each time not before it was made; empty where it gets lost.
    body
        Fields of the payload that follow the number: JSON without its opening brace.
    unit
        Position among the units that send.
    readings, import_wh, export_wh
        How many energies or points it holds, and the sums of energies: for a ledger.
    end_s, interval_s
        Of a block: its interval.
    """

    made_us: int
    send_at_us: tuple[int, ...]
    gateway: str
    topic: str
    body: bytes
    kind: MessageKind
    unit: int
    readings: int
    import_wh: int = 0
    export_wh: int = 0
    end_s: int = 0
    interval_s: int = 0


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that is sent now."""

    send_at_us: int
    sequence: int
    made: Made
    again: bool
    """It was sent before, and is the same."""

    @property
    def topic(self) -> str:
        """MQTT topic."""
        return self.made.topic

    @property
    def payload(self) -> bytes:
        """JSON."""
        return b'{"sequence":%d,' % self.sequence + self.made.body


@dataclass(slots=True)
class Outbox:
    """What was made and not yet sent.

    Attributes
    ----------
    first_sequence
        Number of each gateway's first message. One that gets lost has a number too, so that it leaves a gap.
    """

    first_sequence: int = 1
    _next: dict[str, int] = field(default_factory=dict)
    _waiting: list[tuple[int, int, Sent]] = field(default_factory=list)
    _count: int = 0

    def put(self, made: Made) -> None:
        """Number a message; call in the order in which messages are made."""
        sequence = self._next.get(made.gateway, self.first_sequence)
        self._next[made.gateway] = sequence + 1
        for i, at_us in enumerate(sorted(made.send_at_us)):
            # The count keeps what is sent at the same time in the order of its making.
            heapq.heappush(self._waiting, (at_us, self._count, Sent(at_us, sequence, made, i > 0)))
            self._count += 1

    def take(self, until_us: int | None = None) -> Iterator[Sent]:
        """Messages that are sent before `until_us`, or all, in the order of sending."""
        while self._waiting and (until_us is None or self._waiting[0][0] < until_us):
            yield heapq.heappop(self._waiting)[2]


def in_order_of_sending(made: Iterable[Made], first_sequence: int = 1) -> Iterator[Sent]:
    """All messages in the order of sending, from messages in the order of their making."""
    outbox = Outbox(first_sequence)
    for message in made:
        yield from outbox.take(message.made_us)
        outbox.put(message)
    yield from outbox.take()


def in_order_of_making(*sources: Iterable[Made]) -> Iterator[Made]:
    """Several sources, each in the order of making, as one; of messages made together, the first source's first."""
    return heapq.merge(*sources, key=lambda message: message.made_us)


def json_fields(fields: Iterable[tuple[str, bytes]]) -> bytes:
    """Fields with their values in JSON as the rest of an object that has been opened."""
    return b",".join(b'"%s":%s' % (name.encode(), value) for name, value in fields) + b"}"


#: Values as compact JSON.
encode = msgspec.json.Encoder().encode
