"""Things that go wrong, by name: what is done to a stack under load, and how soon all areas must be settled again."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
from kafka import KafkaConsumer, TopicPartition

from deploy.stack.postgres import superuser_dsn
from grid.topics import ENERGY_UNIT, TELEMETRY_AREA
from meterline.group import leave
from tests.chaos.harness import Stack, until

Now = float
#: What is entered last ends when all is settled again.
Act = Callable[[Stack, random.Random, contextlib.ExitStack], Now]
#: How long what sleeps or is cut off or slow is so, in a round of its own.
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
        By when each area has a message settled that was received after that.
    short
        Whether a round is short enough for each run of the tests.
    """

    act: Act
    recovery_s: float
    short: bool = False


def _kill(name: str) -> Act:
    def act(stack: Stack, _chance: random.Random, _over: contextlib.ExitStack) -> Now:
        stack.kill(name)
        return time.time()

    return act


@contextlib.contextmanager
def _held_at_their_commit(stack: Stack) -> Iterator[None]:
    """Readers pass, writers wait: a worker is in the middle of its transaction."""
    with stack.connect() as connection, stack.connect() as gate, gate.transaction():
        gate.execute("lock table telemetry.block in share row exclusive mode")
        waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        until(lambda: connection.execute(waiting).fetchone(), "a worker waits to write")
        yield


def _kill_in_flush(stack: Stack, _chance: random.Random, _over: contextlib.ExitStack) -> Now:
    with _held_at_their_commit(stack):
        for name in _WORKERS:
            stack.kill(name)
        return time.time()


def kill_after_commit(stack: Stack) -> Now:
    """Before what a unit has come to is told: Kafka sleeps while the workers commit."""
    with stack.connect() as connection, contextlib.ExitStack() as frozen:

        def rows() -> int:
            query = "select count(*) from telemetry.block join grid.unit using (unit_id) where kind <> 'feeder'"
            row = connection.execute(query.encode()).fetchone()
            assert row is not None
            return int(row[0])

        with _held_at_their_commit(stack):
            held = rows()
            frozen.enter_context(stack.paused("kafka"))
        until(lambda: rows() > held, "it is committed", 20)
        for name in _WORKERS:
            stack.kill(name)
        return time.time()


def _kill_after_send(stack: Stack, chance: random.Random, _over: contextlib.ExitStack) -> Now:
    """Units above have been told, and what it rests on isn't acknowledged: workers do so once a second."""
    consumer = KafkaConsumer(bootstrap_servers=stack.settings.kafka.bootstrap)
    with contextlib.closing(consumer):
        places = [TopicPartition(ENERGY_UNIT, n) for n in consumer.partitions_for_topic(ENERGY_UNIT) or ()]
        before = sum(consumer.end_offsets(places).values())
        until(lambda: sum(consumer.end_offsets(places).values()) > before, "units are told")
    stack.kill(chance.choice(_WORKERS))
    return time.time()


def _kill_in_rebalance(stack: Stack, chance: random.Random, _over: contextlib.ExitStack) -> Now:
    first, second = chance.sample(_WORKERS, 2)
    stack.kill(first)
    leave(stack.settings.kafka, first.removeprefix("worker-"))
    stack.kill(second)
    return time.time()


def _kill_backends(stack: Stack, _chance: random.Random, _over: contextlib.ExitStack) -> Now:
    """One of them dies of it, and the server throws all others out, and recovers."""
    with psycopg.connect(superuser_dsn(stack.spec), autocommit=True) as root:
        row = root.execute(
            "select pid from pg_stat_activity where datname = 'meterline' and usename = 'meterline_app'"
            " and pid <> pg_backend_pid() order by random() limit 1"
        ).fetchone()
        assert row is not None
        os.kill(int(row[0]), signal.SIGKILL)
    return time.time()


def _sleep(name: str) -> Act:
    def act(stack: Stack, _chance: random.Random, _over: contextlib.ExitStack) -> Now:
        with stack.paused(name):
            time.sleep(_LONG_S)
        return time.time()

    return act


def _sleep_worker(stack: Stack, chance: random.Random, _over: contextlib.ExitStack) -> Now:
    """Its partitions are taken over while it sleeps; awake again, it may write nothing that has moved on."""
    began = time.time()
    with stack.paused(chance.choice(_WORKERS)):
        stack.until_settled(since=began, within_s=15.0)
        time.sleep(max(0.0, _LONG_S - (time.time() - began)))
    return time.time()


def _gone(stack: Stack, chance: random.Random, over: contextlib.ExitStack) -> Now:
    """A worker that isn't started again: the other takes its partitions over."""
    over.enter_context(stack.gone(chance.choice(_WORKERS)))
    return time.time()


def _slow_database(stack: Stack, _chance: random.Random, _over: contextlib.ExitStack) -> Now:
    stack.database.delay_s = 0.5
    try:
        time.sleep(_LONG_S)
    finally:
        stack.database.mend()
    return time.time()


def _cut_network(stack: Stack, chance: random.Random, _over: contextlib.ExitStack) -> Now:
    stack.mqtt.cut()
    try:
        time.sleep(chance.uniform(5.0, _LONG_S / 2))
    finally:
        stack.mqtt.mend()
    return time.time()


def _poison(stack: Stack, chance: random.Random, _over: contextlib.ExitStack) -> Now:
    """What no decoder likes, into Kafka beside what is right."""
    huge = b'{"sequence": 1, "observed_at": "2100-01-01T00:00:00Z", "interval_s": 900, "meter": ['
    deep = b"[" * 100_000
    kinds = [
        b"",
        b"\x00" * 100,
        b"\xff" * 1_000,
        deep,
        huge,
        json.dumps({"sequence": 1e308, "import_wh": [float("nan"), -1e308, 1e308]}).encode(),
        os.urandom(10_000_000),
        b'{"unit": "nobody", "until": 1}',
    ]
    for _ in range(3):
        for kind in kinds:
            stack.send(TELEMETRY_AREA, kind, partition=chance.randrange(8))
    now = time.time()
    stack.poisoned += 3 * len(kinds)
    return now


FAULTS: dict[str, Fault] = {
    "kill-bridge": Fault(_kill("bridge"), 10.0, short=True),
    "kill-worker-in-flush": Fault(_kill_in_flush, 10.0, short=True),
    "kill-worker-after-commit": Fault(lambda stack, _chance, _over: kill_after_commit(stack), 10.0, short=True),
    "kill-worker-after-send": Fault(_kill_after_send, 10.0, short=True),
    "kill-worker-in-rebalance": Fault(_kill_in_rebalance, 10.0, short=True),
    "kill-kafka": Fault(_kill("kafka"), 30.0, short=True),
    "kill-backend": Fault(_kill_backends, 30.0, short=True),
    "kill-postgres": Fault(_kill("postgres"), 30.0, short=True),
    "kill-mosquitto": Fault(_kill("mosquitto"), 30.0, short=True),
    "worker-gone": Fault(_gone, 15.0, short=True),
    "cut-network": Fault(_cut_network, 15.0),
    "slow-database": Fault(_slow_database, 15.0),
    "sleep-worker": Fault(_sleep_worker, 15.0),
    "sleep-bridge": Fault(_sleep("bridge"), 15.0),
    "sleep-kafka": Fault(_sleep("kafka"), 15.0),
    "sleep-postgres": Fault(_sleep("postgres"), 15.0),
    "sleep-mosquitto": Fault(_sleep("mosquitto"), 15.0),
    "poison": Fault(_poison, 10.0),
}
