"""Things that go wrong, by name: what is done to a stack under load, and how soon all areas must be settled again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import psycopg
from kafka import KafkaConsumer, TopicPartition

from deploy.stack.postgres import superuser_dsn
from grid.topics import ENERGY_UNIT, TELEMETRY_AREA
from meterline.group import leave
from tests.chaos import poison
from tests.chaos.disk import fill, small_disk, small_folder
from tests.chaos.growth import GROWTH_MAX, POISON_GROWTH_MAX
from tests.chaos.harness import Load, Stack
from tests.chaos.publishing import (
    Publish,
    Span,
    in_time,
    late_sometimes,
    out_of_order,
    three_times,
    within_the_hour,
)
from tests.chaos.single_readings import send_invented, singly
from tests.waiting import PATIENCE_S, until

Now = float


@dataclass
class Round:
    """What a fault is done to."""

    stack: Stack
    load: Load
    chance: random.Random
    over: contextlib.ExitStack
    """What is entered here ends when all is settled again."""
    recoveries_s: list[float] = field(default_factory=list)
    """How long it took each time, while the fault went on, until all was settled again."""


Act = Callable[[Round], Now]
#: How long what sleeps or is cut off or slow is so.
_LONG_S = 30.0
_WORKERS = ("worker-0", "worker-1")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Attributes
    ----------
    act
        Does it, and returns from when on its recovery counts, by `time.time`. What is not of our programs' making is
        over by then.
    recovery_s
        By when each area has a message settled that was received after that; None where nothing is away, and the load
        itself is the fault.
    short
        Whether a round is short enough for each run of the tests.
    growth_max, clean_first
        Bytes by which no program may grow, beyond what it takes while so many messages are published before, and for a
        backlog of some more.
    publish, backfill
        The load, and whether it goes by the backfill's lane.
    around
        Entered before the load begins.
    ends_ours
        Whether one of our programs dies of it.
    """

    act: Act
    recovery_s: float | None
    short: bool = False
    growth_max: int = GROWTH_MAX
    clean_first: int = 0
    publish: Publish = field(default_factory=in_time)
    backfill: bool = False
    around: Callable[[Stack], AbstractContextManager[object]] = contextlib.nullcontext
    ends_ours: bool = False


def _kill(name: str) -> Act:
    def act(round_: Round) -> Now:
        round_.stack.kill(name)
        return time.time()

    return act


@contextlib.contextmanager
def _held_at_their_commit(stack: Stack, table: str) -> Iterator[None]:
    """Readers of a table pass, writers wait: a worker is in the middle of its transaction."""
    with stack.connect() as connection, stack.connect() as gate, gate.transaction():
        gate.execute(f"lock table {table} in share row exclusive mode".encode())
        waiting = (
            "select 1 from pg_locks where not granted and relation = %s::regclass"
            " and database = (select oid from pg_database where datname = current_database())"
        )
        until(lambda: connection.execute(waiting, [table]).fetchone(), f"a worker waits to write {table}")
        yield


def _kill_holding(table: str) -> Act:
    """Kill the workers while one waits to write `table`."""

    def act(round_: Round) -> Now:
        with _held_at_their_commit(round_.stack, table):
            for name in _WORKERS:
                round_.stack.kill(name)
            return time.time()

    return act


def kill_after_commit(stack: Stack) -> Now:
    """Before what a unit has come to is told: Kafka sleeps while the workers commit."""
    with stack.connect() as connection, contextlib.ExitStack() as frozen:

        def rows() -> int:
            query = "select count(*) from telemetry.block join grid.unit using (unit_id) where kind <> 'feeder'"
            row = connection.execute(query.encode()).fetchone()
            assert row is not None
            return int(row[0])

        with _held_at_their_commit(stack, "telemetry.block"):
            held = rows()
            frozen.enter_context(stack.paused("kafka"))
        until(lambda: rows() > held, "it is committed")
        for name in _WORKERS:
            stack.kill(name)
        return time.time()


def _kill_after_send(round_: Round) -> Now:
    """Units above have been told, and what it rests on isn't acknowledged: workers do so once a second."""
    consumer = KafkaConsumer(bootstrap_servers=round_.stack.settings.kafka.bootstrap)
    with contextlib.closing(consumer):
        places = [TopicPartition(ENERGY_UNIT, n) for n in consumer.partitions_for_topic(ENERGY_UNIT) or ()]
        before = sum(consumer.end_offsets(places).values())
        until(lambda: sum(consumer.end_offsets(places).values()) > before, "units are told")
    round_.stack.kill(round_.chance.choice(_WORKERS))
    return time.time()


def _kill_in_rebalance(round_: Round) -> Now:
    first, second = round_.chance.sample(_WORKERS, 2)
    round_.stack.kill(first)
    leave(round_.stack.settings.kafka, first.removeprefix("worker-"))
    round_.stack.kill(second)
    return time.time()


def _kill_backends(round_: Round) -> Now:
    """One of them dies of it, and the server throws all others out, and recovers."""
    with psycopg.connect(superuser_dsn(round_.stack.spec), autocommit=True) as root:
        row = root.execute(
            "select pid from pg_stat_activity where datname = 'meterline' and usename = 'meterline_app'"
            " and pid <> pg_backend_pid() order by random() limit 1"
        ).fetchone()
        assert row is not None
        os.kill(int(row[0]), signal.SIGKILL)
    return time.time()


def _kill_readings_and_kafka(round_: Round) -> Now:
    """Kafka dies with what the gatherer has sent and not committed, and the gatherer with what it holds."""
    for name in ("readings", "kafka"):
        round_.stack.kill(name)
    return time.time()


def _sleep(name: str) -> Act:
    def act(round_: Round) -> Now:
        with round_.stack.paused(name):
            time.sleep(_LONG_S)
        return time.time()

    return act


def _sleep_worker(round_: Round) -> Now:
    """Its partitions are taken over while it sleeps; awake again, it may write nothing that has moved on."""
    began = time.time()
    with round_.stack.paused(round_.chance.choice(_WORKERS)):
        round_.recoveries_s.append(round_.stack.until_settled(since=began, within_s=PATIENCE_S))
        time.sleep(max(0.0, _LONG_S - (time.time() - began)))
    return time.time()


def _gone(round_: Round) -> Now:
    """A worker that isn't started again: the other takes its partitions over."""
    round_.over.enter_context(round_.stack.gone(round_.chance.choice(_WORKERS)))
    return time.time()


def _slow_database(round_: Round) -> Now:
    round_.stack.database.delay_s = 0.5
    try:
        time.sleep(_LONG_S)
    finally:
        round_.stack.database.mend()
    return time.time()


def _cut_network(round_: Round) -> Now:
    round_.stack.mqtt.cut()
    try:
        time.sleep(round_.chance.uniform(5.0, _LONG_S / 2))
    finally:
        round_.stack.mqtt.mend()
    return time.time()


def _full_disk(round_: Round) -> Now:
    """The workers hold what they have, and go on when there is room."""
    stack = round_.stack
    ours = {name: stack.pid(name) for name in ("bridge", *_WORKERS)}
    filler = fill(small_folder(stack))
    stack.until_unready()
    round_.load.goes_on()  # the broker and Kafka hold what comes meanwhile
    filler.unlink()
    assert {name: stack.pid(name) for name in ours} == ours
    return time.time()


def _all_of_it(round_: Round) -> Now:
    """The load itself is what goes wrong."""
    round_.load.ends()
    return time.time()


def _poison(round_: Round) -> Now:
    """One in a thousand messages is what no decoder likes; some of it gets into Kafka past the bridge, three times."""
    stack, chance, twin = round_.stack, round_.chance, round_.stack.twin
    unit = chance.choice([unit for unit in twin.units if unit.has_voltage])
    meters = [meter.code for meter in twin.model.meters[unit.first : unit.last]]
    other = next(u for u in twin.units if u.gateway != unit.gateway)
    for value in (records := poison.records(chance, unit.code, meters[0])):
        for _ in range(3):
            stack.send(TELEMETRY_AREA, value, partition=chance.randrange(8))
    sender = poison.Sender(stack.settings, twin, unit)
    wrong = f"meterline/v1/{unit.gateway}/block/{other.code}"
    messages = poison.messages(chance, meters, wrong)
    with sender.connected():
        for topic, payload in messages:
            round_.load.goes_on(999)
            sender.send(payload, topic).wait_for_publish(PATIENCE_S)
    stack.poisons += len(records) + len(messages)
    stack.poisoned += 3 * len(records) + len(messages)
    return time.time()


#: Ten million, in messages of a thousand: as a concentrator sends them whose numbers went astray.
INVENTED, INVENTED_AT_ONCE = 10_000_000, 1_000


def _invented_meters(round_: Round) -> Now:
    """Meters that nobody knows, beside those that somebody does."""
    stack = round_.stack
    units = round_.chance.sample([unit for unit in stack.twin.units if unit.has_voltage], 8)
    senders = [poison.Sender(stack.settings, stack.twin, unit) for unit in units]
    messages = INVENTED // INVENTED_AT_ONCE
    with contextlib.ExitStack() as connected:
        for sender in senders:
            connected.enter_context(sender.connected())
        waiting = []
        for number in range(messages):
            payload = poison.invented(number * INVENTED_AT_ONCE, INVENTED_AT_ONCE)
            waiting.append(senders[number % len(senders)].send(payload))
            if len(waiting) > 200:
                waiting.pop(0).wait_for_publish(PATIENCE_S)
        for each in waiting:
            each.wait_for_publish(PATIENCE_S)
    stack.poisons += messages
    stack.poisoned += messages
    return time.time()


def _invented_readings(round_: Round) -> Now:
    """As many meters that nobody knows by the lane of single readings, an event each."""
    send_invented(round_.stack.settings, INVENTED)
    round_.stack.nobodys += INVENTED
    return time.time()


#: Enough of them at this rate that each kind of poison can be one in a thousand.
_DENSE = 600.0

FAULTS: dict[str, Fault] = {
    "kill-bridge": Fault(_kill("bridge"), 10.0, short=True, ends_ours=True),
    "kill-worker-in-flush": Fault(_kill_holding("telemetry.block"), 10.0, short=True, ends_ours=True),
    "kill-worker-before-commit": Fault(_kill_holding("loss.balance"), 10.0, short=True, ends_ours=True),
    "kill-worker-after-commit": Fault(lambda r: kill_after_commit(r.stack), 10.0, short=True, ends_ours=True),
    "kill-worker-after-send": Fault(
        _kill_after_send, 10.0, short=True, publish=in_time(backfill=True), backfill=True, ends_ours=True
    ),
    "kill-worker-in-rebalance": Fault(_kill_in_rebalance, 10.0, short=True, ends_ours=True),
    "kill-kafka": Fault(_kill("kafka"), 30.0, short=True),
    "kill-backend": Fault(_kill_backends, 30.0, short=True, publish=in_time(backfill=True), backfill=True),
    "kill-postgres": Fault(_kill("postgres"), 30.0, short=True),
    "kill-mosquitto": Fault(_kill("mosquitto"), 30.0, short=True),
    "worker-gone": Fault(_gone, 15.0, short=True, ends_ours=True),
    "cut-network": Fault(_cut_network, 15.0),
    "slow-database": Fault(_slow_database, 15.0),
    "disk-full": Fault(_full_disk, 15.0, short=True, around=small_disk),
    "sleep-worker": Fault(_sleep_worker, 15.0),
    "sleep-bridge": Fault(_sleep("bridge"), 15.0),
    "sleep-kafka": Fault(_sleep("kafka"), 15.0),
    "sleep-postgres": Fault(_sleep("postgres"), 15.0),
    "sleep-mosquitto": Fault(_sleep("mosquitto"), 15.0),
    "duplicates": Fault(_all_of_it, None, publish=out_of_order(Span(48), three_times, _DENSE)),
    "shuffled": Fault(_all_of_it, None, publish=out_of_order(Span(96), within_the_hour, _DENSE)),
    "late": Fault(_all_of_it, None, publish=out_of_order(Span(24 * 8, 3_600), late_sometimes, _DENSE)),
    "poison": Fault(_poison, 10.0, growth_max=POISON_GROWTH_MAX, clean_first=2_000, publish=in_time(_DENSE)),
    "invented-meters": Fault(_invented_meters, None, growth_max=POISON_GROWTH_MAX, clean_first=1_000),
    "kill-readings": Fault(_kill("readings"), 10.0, short=True, publish=singly(), ends_ours=True),
    "kill-readings-and-kafka": Fault(_kill_readings_and_kafka, 30.0, short=True, publish=singly(), ends_ours=True),
    "sleep-readings": Fault(_sleep("readings"), 15.0, publish=singly()),
    "invented-readings": Fault(
        _invented_readings, None, growth_max=POISON_GROWTH_MAX, clean_first=1_000, publish=singly()
    ),
}
