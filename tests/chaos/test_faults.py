"""Faults under load: whatever sleeps, dies in the wrong moment, is slow or away, nothing is lost and nothing doubled.

Results are compared with a recomputation in plain Python from the ledger's readings.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest

from deploy.stack import pid_of
from grid.topics import TELEMETRY_AREA
from meterline.bootstrap import make_producer
from tests.chaos import poison
from tests.chaos.growth import GROWTH_MAX, Memory
from tests.chaos.harness import Stack
from tests.chaos.stored import versions
from tests.waiting import PATIENCE_S, until

#: Of a worker in its group, and a little more.
SESSION_S = 10.0


@pytest.mark.timeout(900)
def test_a_worker_that_slept_through_its_session_changes_nothing(stack: Stack, tmp_path: Path) -> None:
    with stack.load(tmp_path) as load, stack.connect() as connection:
        sleeper = pid_of(stack.spec, "worker-1")
        with stack.paused("worker-1"):
            time.sleep(SESSION_S + 3)
            before = versions(connection)
            # Its partitions have moved: what is published now is settled by the other alone.
            load.goes_on(300)
            seen = len(before)
            until(lambda: len(versions(connection)) > seen + 200, "it is settled")
            assert pid_of(stack.spec, "worker-1") == sleeper
            before = versions(connection)
        time.sleep(3)
        after = versions(connection)
        assert before.keys() <= after.keys()
        went_back = {key: (row, after[key]) for key, row in before.items() if after[key] < row}
        assert went_back == {}
        load.reaches(1_500)
    stack.check(load, at_least=1_500)


@pytest.mark.timeout(900)
def test_what_is_away_or_slow_stops_the_flow_and_loses_nothing(stack: Stack, tmp_path: Path) -> None:
    with stack.load(tmp_path) as load, Memory(stack.spec) as memory:
        ours = {name: stack.pid(name) for name in ("bridge", "worker-0", "worker-1")}
        # An absent database: the workers hold their batches, and say that they are of no use.
        stack.stop("postgres")
        stack.until_unready()
        time.sleep(25)
        stack.start_servers()
        stack.until_ready()
        # One that answers nothing.
        with stack.paused("postgres"):
            stack.until_unready()
        stack.until_ready()
        assert {name: pid_of(stack.spec, name) for name in ours} == ours
        # Kafka, then the gateways' broker.
        for name in ("kafka", "mosquitto"):
            stack.stop(name)
            time.sleep(8)
            stack.start_servers()
            load.goes_on()
        load.reaches(2_000)
    stack.check(load, at_least=2_000)
    assert max(memory.growth().values()) < GROWTH_MAX, memory.growth()


#: A gateway's messages of a megabyte that are no blocks, and records of the size of the greatest areas' blocks.
FLOOD, LARGE, LARGE_BYTES = 300, 10_000, 30_000


def flood(stack: Stack) -> None:
    sender = poison.Sender(stack.settings, stack.twin, stack.twin.units[0])
    with sender.connected():
        sent = [sender.send(os.urandom(1_000_000)) for _ in range(FLOOD)]
        for each in sent:
            each.wait_for_publish(PATIENCE_S)
            assert each.is_published()


def fill_topic(stack: Stack) -> int:
    """Put the records into the workers' topic; returns how many are different."""
    # The same again is far enough from the first that it isn't packed into nothing.
    values = [os.urandom(LARGE_BYTES) for _ in range(50)]
    with contextlib.closing(make_producer(stack.settings)) as producer:
        for number in range(LARGE):
            producer.send(TELEMETRY_AREA, value=values[number % len(values)])
        producer.flush(PATIENCE_S)
    return len(values)


@pytest.mark.timeout(900)
def test_a_flood_that_can_t_pass_waits_on_disk(stack: Stack) -> None:
    stack.empty()
    with stack.connect() as connection, Memory(stack.spec) as memory:
        with stack.paused("kafka"):
            flood(stack)
            time.sleep(3)
        # Now Kafka has it, and the workers can't pass it on.
        with stack.paused("postgres"):
            different = fill_topic(stack)
            time.sleep(10)
        inputs, times = FLOOD + different, FLOOD + LARGE

        def is_stored() -> bool:
            # Where Kafka slept for so long that its partitions moved, some are taken and counted again.
            seen = stack.refused(connection)
            return seen[0] == inputs and seen[1] >= times

        until(is_stored, f"{inputs} inputs are stored, {times} times", 240)
        stack.empty()
    assert max(memory.growth().values()) < GROWTH_MAX, memory.growth()
