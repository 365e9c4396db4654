"""Faults under load: whatever sleeps, dies in the wrong moment, is slow or away, nothing is lost and nothing doubled.

Results are compared with a recomputation in plain Python from the ledger's readings.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from deploy.stack import pid_of
from deploy.stack.host import is_root
from meterline.settings.section import read_secret
from tests.chaos.faults import kill_after_commit
from tests.chaos.harness import GROWTH_MAX, Memory, Stack, small_disk, until, versions

#: Of a worker in its group, and a little more.
SESSION_S = 10.0


@pytest.mark.timeout(180)
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
    stack.check(load, at_least=1_500)


@pytest.mark.timeout(180)
def test_a_crash_between_commit_and_send_loses_no_member(stack: Stack, tmp_path: Path) -> None:
    with stack.load(tmp_path) as load:
        for _ in range(2):
            kill_after_commit(stack)
            load.goes_on()
    stack.check(load, at_least=700)


@pytest.mark.timeout(240)
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
    stack.check(load, at_least=2_000)
    assert max(memory.growth().values()) < GROWTH_MAX, memory.growth()


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1 << 12)):
            pass
    assert shutil.disk_usage(folder).free == 0
    return path


@pytest.mark.timeout(180)
@pytest.mark.skipif(not is_root(), reason="mounting a small file system needs root")
def test_a_full_disk_stops_the_flow_until_there_is_room(stack: Stack, tmp_path: Path) -> None:
    stack.empty()
    with small_disk(stack, 64) as folder, Memory(stack.spec) as memory:
        ours = {name: stack.pid(name) for name in ("bridge", "worker-0", "worker-1")}
        with stack.load(tmp_path) as load:
            filler = fill(folder)
            stack.until_unready()
            full = load.published()
            load.goes_on()  # the broker and Kafka hold what comes meanwhile
            assert shutil.disk_usage(folder).free == 0
            filler.unlink()
            stack.until_ready()
            load.goes_on()
        stack.check(load, at_least=full + 300)
        assert {name: pid_of(stack.spec, name) for name in ours} == ours
    assert max(memory.growth().values()) < GROWTH_MAX, memory.growth()


FLOOD = 300


def flood(stack: Stack) -> None:
    """Have a gateway send 300 MB that are no blocks."""
    unit = stack.twin.units[0]
    folder = stack.settings.mqtt.gateway_passwords_dir
    assert folder is not None
    client = Client(CallbackAPIVersion.VERSION2, client_id="flood", protocol=MQTTv5)
    client.username_pw_set(unit.gateway, read_secret(folder / unit.gateway))
    client.connect(stack.settings.mqtt.host, stack.settings.mqtt.port)
    client.loop_start()
    try:
        topic = f"meterline/v1/{unit.gateway}/block/{unit.code}"
        sent = [client.publish(topic, os.urandom(1_000_000), qos=1) for _ in range(FLOOD)]
        for each in sent:
            each.wait_for_publish(60)
            assert each.is_published()
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.mark.timeout(240)
def test_a_flood_that_can_t_pass_waits_on_disk(stack: Stack) -> None:
    stack.empty()
    with stack.connect() as connection, Memory(stack.spec) as memory:
        with stack.paused("kafka"):
            flood(stack)
            time.sleep(3)
        # Now Kafka has it, and the workers can't pass it on.
        with stack.paused("postgres"):
            time.sleep(12)

        def stored() -> int:
            row = connection.execute("select count(*) from telemetry.rejected").fetchone()
            assert row is not None
            return int(row[0])

        until(lambda: stored() == FLOOD, "all of it is stored", 90)
        stack.empty()
    assert max(memory.growth().values()) < GROWTH_MAX, memory.growth()
