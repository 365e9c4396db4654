"""One run: gateways send, workers settle, and whatever can go wrong does, in an order that the seed decides.

The workers' loop (`streams.app`: take, process, tell, acknowledge), the processor, the join and all steps are the true
ones; broker, database and clock are fakes.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import structlog

from grid.block import Block, encode_block
from grid.due import Due, encode_due
from grid.quality import MISSING_WH, Quality
from grid.topics import ENERGY_UNIT, TELEMETRY_AREA, TELEMETRY_BACKFILL
from streams import app
from streams.counters import Counters
from streams.processor import Processor
from streams.telling import partition_of
from tests.sim.broker import PARTITIONS, Broker, Place, Stream, Topic
from tests.sim.chance import BrokerError, Chance, Killed
from tests.sim.database import LAST_US, Database, Session, Views, install
from tests.sim.oracle import Faults, Said, faults
from tests.sim.virtual_loop import VirtualLoop
from tests.small_hierarchy import METERS, NOON_US, SECOND_US, VIEWS

WORKERS = ("worker-1", "worker-2")
#: Topics with the most records of a batch and the wait for it. Late blocks travel in a lane of their own, so that two
#: workers write rows of the same area.
LANES = {TELEMETRY_AREA: (4, 1.0), TELEMETRY_BACKFILL: (4, 2.0), ENERGY_UNIT: (6, 2.0)}
#: Seconds over which the gateways send, and how many of the data's time pass meanwhile in each: a day and more in all.
SENDING_S = 40.0
FASTER = 3_000
#: Nothing takes longer than this once nothing goes wrong any more.
_SETTLED_WITHIN_S = 2_000.0


@dataclass
class Outcome:
    """What a run came to."""

    seed: int
    faults: Faults
    schedule: list[str]
    acknowledged: list[Said]
    digest: str
    errors: list[BaseException] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return bool(self.faults or self.errors)

    def __str__(self) -> str:
        counts = f"L = {len(self.faults.missing)}, D = {len(self.faults.doubled)}, X = {len(self.faults.differing)}"
        said = "\n".join(map(str, self.acknowledged))
        told = [f"seed {self.seed}: {counts}", *map(repr, (*self.faults, *self.errors))]
        return "\n".join((*told, "schedule:", *self.schedule, "acknowledged:", said))


class World:
    """All that takes part."""

    def __init__(self, seed: int, messages: int) -> None:
        self.loop = VirtualLoop()
        self.chance = Chance(seed)
        self.chance.now_s = self.loop.time
        self.broker = Broker(self.chance)
        self.database = Database(self.chance, self.loop)
        self.ledger: list[Said] = []
        self.errors: list[BaseException] = []
        self.owners: dict[Place, str] = {
            (topic, n): WORKERS[(n + t) % 2] for t, topic in enumerate(LANES) for n in range(PARTITIONS)
        }
        self.workers = [Worker(self, name) for name in WORKERS]
        self._messages = messages

    def now_us(self) -> int:
        return NOON_US + int(self.loop.time() * FASTER * SECOND_US)

    async def run(self) -> None:
        for worker in self.workers:
            worker.start()
        nemesis = [asyncio.create_task(each) for each in (self._kills(), self._moves(), self._sweeps())]
        drawn = [self._draw() for _ in range(self._messages)]
        async with asyncio.TaskGroup() as gateways:
            for said in drawn:
                gateways.create_task(self._send(said))
                if self.chance.happens("a message is repeated"):
                    gateways.create_task(self._send(said))
            gateways.create_task(self._poison())
        await asyncio.sleep(self.chance.pause_s(5.0))
        self.chance.calm = True
        self.chance.note("calm")
        for task in nemesis:
            task.cancel()
        until_s = self.loop.time() + _SETTLED_WITHIN_S
        while not self.errors and not (self.broker.drained() and all(worker.up for worker in self.workers)):
            if self.loop.time() > until_s:
                raise TimeoutError(f"not settled {_SETTLED_WITHIN_S} s after nothing went wrong any more")
            await asyncio.sleep(1.0)
        for worker in self.workers:
            worker.stop()
        while self.loop.threads:  # noqa: ASYNC110  # what was killed asleep wakes once more
            await asyncio.sleep(1.0)

    # Gateways, with the bridge between them and the broker.

    def _draw(self) -> Said:
        draw = self.chance.random
        unit = draw.choice(sorted(VIEWS))
        places = sorted(draw.sample(range(len(METERS[unit])), draw.randint(1, len(METERS[unit]))))
        readings = tuple((place, draw.choice((None, *range(0, 60, 7)))) for place in places)
        return Said(unit, draw.randint(0, 2), readings, draw.randint(0, 5))

    async def _send(self, said: Said) -> None:
        """Sent again until it is acknowledged; what was never acknowledged may be lost."""
        await asyncio.sleep(self.chance.random.uniform(0, SENDING_S))
        while True:
            await asyncio.sleep(self.chance.pause_s(0.5))
            if self.chance.happens("a bridge dies with a message"):
                continue
            topic = self.lane(said.unit, late=self.chance.random.random() < 0.3)
            answer = await Topic(self.broker, topic).send(key=said.unit.encode(), value=_encoded(said, self.now_us()))
            try:
                await answer
            except BrokerError:
                continue
            # A bridge that dies now has it sent again by the gateway.
            if not self.chance.happens("a bridge dies before it acknowledges"):
                self.ledger.append(said)
                return

    def lane(self, unit: str, *, late: bool) -> str:
        return ENERGY_UNIT if unit in "FR" else TELEMETRY_BACKFILL if late else TELEMETRY_AREA

    async def _poison(self) -> None:
        """Something that is no block, amid the others, and a block that can be joined but not settled."""
        draw = self.chance.random
        await asyncio.sleep(draw.uniform(0, SENDING_S))
        topic = self.chance.one_of(tuple(LANES))
        self.broker.append((topic, draw.randrange(PARTITIONS)), b"A", b"no block")
        await asyncio.sleep(draw.uniform(0, SENDING_S))
        unit = draw.choice(sorted(VIEWS))
        place = (self.lane(unit, late=draw.random() < 0.3), partition_of(unit, PARTITIONS))
        self.broker.append(place, unit.encode(), poison(unit))

    # What goes wrong.

    async def _kills(self) -> None:
        while True:
            await asyncio.sleep(self.chance.pause_s(10.0))
            worker = self.chance.one_of(self.workers)
            if worker.up and self.chance.happens("a worker is killed"):
                self.chance.note(f"{worker.name} is killed")
                worker.die()

    async def _moves(self) -> None:
        """A partition gets another owner while the old one is still at work on what it has."""
        while True:
            await asyncio.sleep(self.chance.pause_s(10.0))
            if self.chance.happens("a partition moves"):
                place = self.chance.one_of(sorted(self.owners))
                self.owners[place] = self.chance.one_of(WORKERS)
                self.chance.note(f"{place} goes to {self.owners[place]}")

    async def _sweeps(self) -> None:
        """Limits pass: units are ordered to publish."""
        while True:
            await asyncio.sleep(self.chance.pause_s(8.0))
            unit = self.chance.one_of(sorted(VIEWS))
            keys = [key[1:] for key in sorted(self.database.rows) if key[0] == VIEWS[unit].unit_id]
            if keys:
                due = encode_due(Due(unit, self.now_us() - 5 * SECOND_US, tuple(keys)))
                topic = self.lane(unit, late=False)
                self.broker.append((topic, partition_of(unit, PARTITIONS)), unit.encode(), due)


class Worker:
    """A process with the two agents that settle; what ends one ends it, and it is started again."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self.name = name
        self.up = False
        self._tasks: list[asyncio.Task[None]] = []
        self._streams: list[Stream] = []
        self._sessions: list[Session] = []

    def start(self) -> None:
        world = self._world
        told = app._Told(Topic(world.broker, ENERGY_UNIT), PARTITIONS)
        self.up = True
        self._sessions = [Session(world.database, self.name) for _ in LANES]
        self._streams = [Stream(world.broker, topic, self.name, world.owners) for topic in LANES]
        agents = [
            app._settler(_processor(session), told, size, within_s)
            for session, (size, within_s) in zip(self._sessions, LANES.values(), strict=True)
        ]
        self._tasks = [
            world.loop.create_task(agent(stream))  # type: ignore[arg-type]
            for agent, stream in zip(agents, self._streams, strict=True)
        ]
        self._tasks.append(world.loop.create_task(self._commits()))
        for task in self._tasks:
            task.add_done_callback(self._ended)

    async def _commits(self) -> None:
        while True:
            await asyncio.sleep(self._world.chance.pause_s(1.0))
            for stream in self._streams:
                stream.commit()

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Killed | BrokerError):
            self._world.errors.append(error)
        if self.up and task in self._tasks:
            self.die()

    def die(self) -> None:
        self.stop()
        self._world.loop.call_later(self._world.chance.pause_s(3.0), self.start)

    def stop(self) -> None:
        self.up = False
        for session in self._sessions:
            session.dead = True
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()


def _processor(session: Session) -> Processor:
    def open_session() -> Any:
        session.closed = False
        return session

    database = session.database
    return Processor(open_session, Counters(), database.limits, database.rules, Views())


def poison(unit: str) -> bytes:
    """A block of an interval that no database has an instant for: only the attempt to write it tells."""
    said = Said(unit, (LAST_US - NOON_US) // (900 * SECOND_US) + 1, ((0, 1),), 0)
    return _encoded(said, NOON_US)


def _encoded(said: Said, received_at_us: int) -> bytes:
    energy = np.array([MISSING_WH if value is None else value for _, value in said.readings], np.int64)
    return encode_block(
        Block(
            unit=said.unit,
            gateway="g",
            observed_at_us=said.observed_at_us,
            interval_s=900,
            received_at_us=received_at_us,
            meters=pa.array([METERS[said.unit][place] for place, _ in said.readings], pa.string()),
            sequence=np.full(len(energy), said.sequence, np.int64),
            channels={"import_wh": energy},
            quality=np.where(energy == MISSING_WH, Quality.MISSING, Quality.VALID).astype(np.uint8),
        )
    )


def simulate(seed: int, messages: int = 16) -> Outcome:
    """Run a seed; the same seed runs the same way."""
    random.seed(seed)  # waits between attempts are drawn from it
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    world = World(seed, messages)
    try:
        with pytest.MonkeyPatch.context() as patch:
            install(patch)
            asyncio.set_event_loop(world.loop)
            try:
                world.loop.run_until_complete(world.run())
            except (TimeoutError, ExceptionGroup) as error:
                world.errors.append(error)
    finally:
        structlog.configure(**before)
        asyncio.set_event_loop(None)
        world.loop.close()
    poisons = [value for value in world.database.refused if value != b"no block"]
    if len(world.database.refused) != 2 or not set(poisons) <= set(map(poison, VIEWS)):
        world.errors.append(AssertionError(f"refused: {world.database.refused}"))
    found = faults(world.ledger, world.database)
    rows = sorted((key, row.version, sorted(row.balance.items())) for key, row in world.database.rows.items())
    digest = hashlib.sha256(repr((world.chance.schedule, rows)).encode()).hexdigest()
    return Outcome(seed, found, world.chance.schedule, world.ledger, digest, world.errors)
