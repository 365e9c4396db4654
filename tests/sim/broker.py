"""A Kafka in memory: logs by partition, committed offsets, producers whose records are late, lost, doubled."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field

from streams.telling import partition_of
from tests.sim.chance import BrokerError, Chance, Killed

#: So many that units lie in different ones.
PARTITIONS = 4
Place = tuple[str, int]
"""Topic and partition."""


@dataclass
class Broker:
    """What is in it, and how far the group has come."""

    chance: Chance
    logs: dict[Place, list[tuple[bytes | None, bytes]]] = field(default_factory=lambda: defaultdict(list))
    committed: dict[Place, int] = field(default_factory=lambda: defaultdict(int))
    on_the_way: int = 0

    def append(self, place: Place, key: bytes | None, value: bytes) -> None:
        self.logs[place].append((key, value))

    def drained(self) -> bool:
        """Whether the group has acknowledged everything."""
        return not self.on_the_way and all(self.committed[place] == len(log) for place, log in self.logs.items())


@dataclass(frozen=True)
class Topic:
    """Sends like a Faust topic: the first wait hands a record over, the second is the acknowledgement."""

    broker: Broker
    name: str

    async def send(
        self, *, key: bytes | None = None, value: bytes = b"", partition: int | None = None
    ) -> Awaitable[None]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[None] = loop.create_future()
        number = partition_of((key or b"").decode(), PARTITIONS) if partition is None else partition
        self.broker.on_the_way += 1
        loop.call_later(self.broker.chance.pause_s(0.2), self._arrives, (self.name, number), key, value, answer)
        return answer

    def _arrives(self, place: Place, key: bytes | None, value: bytes, answer: asyncio.Future[None]) -> None:
        broker, chance = self.broker, self.broker.chance
        broker.on_the_way -= 1
        lost = chance.happens("a record is lost")
        if lost:
            chance.note(f"{place} loses a record")
        else:
            for _ in range(1 + chance.happens("a record is doubled")):
                broker.append(place, key, value)
        if answer.cancelled():
            return
        if lost or chance.happens("an acknowledgement is lost"):
            chance.note(f"{place} acknowledges nothing")
            answer.set_exception(BrokerError(str(place)))
        else:
            answer.set_result(None)


@dataclass(frozen=True)
class Message:
    topic: str
    partition: int
    offset: int
    key: bytes | None


@dataclass(frozen=True)
class Event:
    message: Message
    value: bytes


class Stream:
    """What an agent of one worker reads of a topic: its partitions from where the group was, in order of each."""

    def __init__(self, broker: Broker, topic: str, owner: str, owners: dict[Place, str]) -> None:
        self._broker = broker
        self._topic = topic
        self._owner = owner
        self._owners = owners
        self._next: dict[Place, int] = {}
        self._acknowledged: dict[Place, set[int]] = defaultdict(set)

    async def noack_take(self, size: int, within: float) -> AsyncIterator[list[Event]]:
        while True:
            await asyncio.sleep(self._broker.chance.pause_s(within))
            if batch := self._fetch(size):
                first = batch[0].message
                self._broker.chance.note(
                    f"{self._owner} takes {len(batch)} of {self._topic} from {first.partition}/{first.offset}"
                )
                yield batch

    def _fetch(self, size: int) -> list[Event]:
        chance = self._broker.chance
        numbers = [n for n in range(PARTITIONS) if self._owners[self._topic, n] == self._owner]
        for place in [place for place in self._next if place[1] not in numbers]:
            del self._next[place]
        room = chance.random.randint(1, size)
        batch: list[Event] = []
        for number in chance.random.sample(numbers, len(numbers)):
            place = (self._topic, number)
            begin = self._next.setdefault(place, self._broker.committed[place])
            records = self._broker.logs[place][begin : begin + room - len(batch)]
            batch += [
                Event(Message(self._topic, number, begin + n, key), value) for n, (key, value) in enumerate(records)
            ]
            self._next[place] = begin + len(records)
        return batch

    async def ack(self, event: Event) -> None:
        chance = self._broker.chance
        if chance.happens("killed before it acknowledges"):
            chance.note(
                f"{self._owner} is killed before it acknowledges {event.message.partition}/{event.message.offset}"
            )
            raise Killed("before it acknowledges")
        self._acknowledged[event.message.topic, event.message.partition].add(event.message.offset)

    def commit(self) -> None:
        """What Faust does now and then: the offset moves past what is acknowledged without a gap; not of a partition
        that has another owner by now.
        """
        for place, done in self._acknowledged.items():
            offset = self._broker.committed[place]
            while offset in done:
                offset += 1
            if self._owners[place] == self._owner:
                self._broker.committed[place] = offset
