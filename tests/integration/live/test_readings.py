"""Single readings on real servers: from Kafka to rows, whatever their form, and whoever is killed meanwhile."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from deploy.stack import Ports, StackSpec, pid_of, start_programs, stop_programs
from grid.topics import TELEMETRY_READING
from meterline.bootstrap import make_producer, opener
from meterline.config import Settings
from meterline.ready import wait_for_workers
from meterline.replay import replay_rejected
from store.connection import Connection
from sync.load import load_grid
from tests.prometheus import prometheus_samples
from tests.small_grid import small_model
from tests.waiting import Promise, until

PROGRAMS = ["readings", "worker"]
METERS = ("A1-master", "A1-m1", "A1-m2", "A2-master", "A2-m1", "A2-m2")


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def pipeline(stack: StackSpec, settings: Settings) -> Iterator[Settings]:
    """Gatherer and worker on the stack's own database, with the small grid."""
    with opener(settings, "test")() as connection:
        load_grid(connection, small_model())
        connection.commit()
    start_programs(stack, PROGRAMS)
    try:
        wait_for_workers(settings, 1)
        until(lambda: ready(stack.ports.readings_ops), "the gatherer is ready")
        yield settings
    finally:
        stop_programs(stack, PROGRAMS)


@pytest.fixture
def connection(pipeline: Settings) -> Iterator[Connection]:
    with opener(pipeline, "test")() as connection:
        connection.autocommit = True
        for table in ("telemetry.block", "loss.balance", "telemetry.rejected"):
            connection.execute(f"delete from {table}")
        yield connection


@pytest.fixture(scope="module")
def producer(pipeline: Settings) -> Iterator[KafkaProducer]:
    made = make_producer(pipeline)
    yield made
    made.close()


def quarter(back: int) -> datetime:
    """End of a quarter-hour that lies `back` quarter-hours back."""
    seconds = int(time.time()) // 900 * 900
    return datetime.fromtimestamp(seconds, UTC) - timedelta(minutes=15 * back)


def reading(meter: str, at: datetime, **values: Any) -> bytes:
    return json.dumps({"meter": meter, "observed_at": at.isoformat(), "interval_s": 900, **values}).encode()


def send(producer: KafkaProducer, messages: Sequence[bytes]) -> None:
    for message in messages:
        producer.send(TELEMETRY_READING, value=message)
    producer.flush()


def readings_of(connection: Connection, unit: str, at: datetime, *columns: str) -> dict[str, tuple[Any, ...]]:
    rows = connection.execute(
        f"select meter, {', '.join(columns)} from telemetry.reading where unit = %s and observed_at = %s", [unit, at]
    )
    return {row[0]: row[1:] for row in rows}


def test_lone_readings_are_rows_within_seconds(
    connection: Connection, producer: KafkaProducer, promise: Promise
) -> None:
    at = quarter(1)
    energies = {"A1-master": 100, "A1-m1": 2_900, "A1-m2": 3_000}
    began = time.monotonic()
    send(producer, [reading(meter, at, import_wh=energy) for meter, energy in energies.items()])
    row = until(
        lambda: connection.execute(
            "select inflow_wh, outflow_wh, loss_wh, status from loss.balance join grid.unit using (unit_id)"
            " where code = 'A1' and observed_at = %s and status = 'final'",
            [at],
        ).fetchone()
    )
    assert row == (6_000, 5_900, 100, "final")
    promise("from a lone reading to its balance", time.monotonic() - began, 10)


def test_any_form_and_any_parts_of_a_reading_come_together(connection: Connection, producer: KafkaProducer) -> None:
    at = quarter(2)
    utc = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    pretty = json.dumps(
        {"interval_s": 900, "meter": "A2-m1", "observed_at": utc, "import_wh": 1_400, "voltage_a_v": 2.301e2}, indent=2
    )
    send(
        producer,
        [
            pretty.encode(),
            reading("A2-m1", at, current_a_a=3.25),
            reading("A2-m1", at, import_wh=1_400),
            b'{"meter": "A2-m\\u0032", "observed_at": "' + utc.encode() + b'", "interval_s": 900, "import_wh": 1450}',
            # The greater number stands, and of one number the greater value, in whatever order they come.
            reading("A2-master", at, sequence=2, import_wh=50),
            reading("A2-master", at, sequence=1, import_wh=99),
            reading("A2-master", at, sequence=2, import_wh=49),
        ],
    )
    columns = ("import_wh", "voltage_a_v", "current_a_a")
    expected = {"A2-master": (3_000, None, None), "A2-m1": (1_400, 230.1, 3.25), "A2-m2": (1_450, None, None)}

    def found() -> dict[str, tuple[Any, ...]]:
        rows = readings_of(connection, "A2", at, *columns)
        return {meter: tuple(None if value is None else float(value) for value in row) for meter, row in rows.items()}

    until(lambda: found() == expected)


def test_poison_is_refused_with_its_bytes_and_the_rest_goes_on(connection: Connection, producer: KafkaProducer) -> None:
    at = quarter(3)
    poison = {
        b"\x00\x01\x02": "invalid_json",
        b'{"meter": "A1-m1",': "invalid_json",
        b"[" * 100_000: "invalid_field",
        reading("A1-m1", at, import_wh=float("nan")): "invalid_json",
        reading("A1-m1", at, import_wh=1.5): "invalid_field",
        reading("A1-m1", at): "invalid_field",
        reading("A1-m1", at, watt=1): "invalid_field",
        reading("A1-m1", at, import_wh=-5): "negative_energy",
        reading("A1-m1", at, voltage_a_v=1e308): "value_out_of_range",
        reading("A1-m1", datetime(2100, 1, 1, tzinfo=UTC), import_wh=1): "time_in_future",
        reading("A1-m1", at + timedelta(seconds=1), import_wh=1): "time_not_aligned",
        reading("nobody", at, import_wh=1): "unknown_meter",
        reading("A1-m2", at, import_wh=7) + b" " * 2_000_000: "too_large",
    }
    send(producer, [*poison, b"", reading("A1-m2", at, import_wh=3_000)])
    until(lambda: readings_of(connection, "A1", at, "import_wh").get("A1-m2") == (3_000,))

    def refused() -> dict[str, set[bytes]]:
        found: dict[str, set[bytes]] = {}
        for reason, original in connection.execute("select reason, original from telemetry.rejected"):
            found.setdefault(reason, set()).update(bytes(original).split(b"\n"))
        return found

    expected: dict[str, set[bytes]] = {"invalid_json": {b""}}
    for original, reason in poison.items():
        expected.setdefault(reason, set()).add(original[: 1 << 20])
    until(lambda: refused() == expected)
    assert readings_of(connection, "A1", at, "import_wh")["A1-m1"] == (None,)


def test_readings_of_a_meter_that_becomes_known_are_given_back(
    pipeline: Settings, connection: Connection, producer: KafkaProducer
) -> None:
    at = [quarter(n) for n in (4, 5, 6)]
    send(producer, [reading("A2-new", each, import_wh=100 + n) for n, each in enumerate(at)])
    until(
        lambda: connection.execute(
            "select 1 from telemetry.rejected where quarantined having sum(cardinality(string_to_array("
            "convert_from(original, 'utf8'), e'\\n'))) = 3"
        ).fetchone()
    )
    connection.execute("insert into grid.meter (code, accuracy_class) values ('A2-new', 1)")
    connection.execute(
        "insert into grid.member (unit_id, position, meter, role, valid)"
        " select unit_id, 3, 'A2-new', 2, '(,)' from grid.unit where code = 'A2'"
    )
    connection.execute(
        "insert into grid.outbox (aggregatetype, aggregateid, type, payload)"
        """ values ('unit', 'A2', 'member.added', '{"unit": "A2", "units": ["A2"]}')"""
    )

    def stored() -> bool:
        energies = [readings_of(connection, "A2", each, "import_wh").get("A2-new") for each in at]
        return energies == [(100 + n,) for n in range(len(at))]

    def given_back() -> bool:
        # The gatherer looks for changes once a second: what it doesn't know yet is refused anew.
        replay_rejected(pipeline, None, "unknown_meter", 100)
        time.sleep(1.0)
        return stored()

    until(given_back)


def minute_of(meter: str, at: datetime, energy_wh: int) -> bytes:
    return json.dumps(
        {"meter": meter, "observed_at": at.isoformat(), "interval_s": 60, "import_wh": energy_wh}
    ).encode()


def minutes_of(connection: Connection) -> dict[tuple[str, datetime], int]:
    rows = connection.execute(
        "select meter, observed_at, import_wh / multiplier from telemetry.reading join grid.member using (meter)"
        " where interval_s = 60 and import_wh is not null"
    )
    return {(meter, at): energy for meter, at, energy in rows}


def partitions_with_lag(port: int) -> int:
    """Partitions that a gatherer has had readings of."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return int(answer.read().count(b"\nmeterline_readings_lag_records{"))


@pytest.mark.timeout(600)
def test_a_second_gatherer_comes_and_goes_under_load(
    stack: StackSpec, pipeline: Settings, connection: Connection, producer: KafkaProducer, tmp_path: Path
) -> None:
    chance = random.Random(14)  # noqa: S311  # which energies
    end = int(time.time()) // 60 * 60
    minutes = (datetime.fromtimestamp(end - 60 * n, UTC) for n in count(1))
    ledger: dict[tuple[str, datetime], int] = {}
    first_port, port = stack.ports.readings_ops, Ports.free().readings_ops

    def meanwhile(condition: Callable[[], bool], what: str) -> None:
        """Each reading is sent once: one that is dropped and not taken again is missed."""

        def look() -> bool:
            minute = next(minutes)
            for meter in METERS:
                ledger[meter, minute] = chance.randrange(500)
                send(producer, [minute_of(meter, minute, ledger[meter, minute])])
            return condition()

        until(look, what)

    meanwhile(lambda: partitions_with_lag(first_port) == pipeline.kafka.partitions, "one has all partitions")
    pid = pid_of(stack, "readings")
    command = [sys.executable, "-m", "meterline", "ingest", "readings", "--instance", "1"]
    command += ["--config", str(stack.config_path), "--ops-port", str(port)]
    with (tmp_path / "second.log").open("wb") as output:
        second = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        meanwhile(lambda: ready(port) and partitions_with_lag(port) > 0, "the second takes readings")
        both = partitions_with_lag(first_port), partitions_with_lag(port)
        second.terminate()
        meanwhile(lambda: second.poll() is not None, "the second stops")
        meanwhile(lambda: partitions_with_lag(first_port) == pipeline.kafka.partitions, "one has all partitions again")
    finally:
        second.kill()
        assert second.wait() == 0, (tmp_path / "second.log").read_text()
    assert sum(both) <= pipeline.kafka.partitions
    until(lambda: len(minutes_of(connection)) == len(ledger), "all readings are rows")
    assert minutes_of(connection) == ledger
    assert pid_of(stack, "readings") == pid
    assert connection.execute("select count(*) from telemetry.rejected").fetchone() == (0,)


@pytest.mark.timeout(600)
def test_a_gatherer_that_is_killed_loses_and_doubles_nothing(
    stack: StackSpec, connection: Connection, producer: KafkaProducer
) -> None:
    chance = random.Random(13)  # noqa: S311  # which reading comes when
    end = int(time.time()) // 60 * 60
    minutes = [datetime.fromtimestamp(end - 60 * n, UTC) for n in range(1, 101)]
    ledger = {(meter, minute): chance.randrange(500) for meter in METERS for minute in minutes}
    events = [minute_of(meter, minute, energy) for (meter, minute), energy in ledger.items()]
    chance.shuffle(events)

    def is_another(pid: int) -> bool:
        return pid_of(stack, "readings") not in {None, pid}

    for part in range(6):
        send(producer, events[part * 100 : (part + 1) * 100])
        if part % 2:
            # In its lingering, or between the blocks and the commit.
            time.sleep(chance.uniform(0.2, 1.2))
            pid = until(lambda: pid_of(stack, "readings"))
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            until(partial(is_another, pid))
    # All of it again: repeats change nothing.
    send(producer, events)

    until(lambda: len(minutes_of(connection)) == len(ledger))
    time.sleep(3.0)
    assert minutes_of(connection) == ledger
    assert connection.execute("select count(*) from telemetry.rejected").fetchone() == (0,)


def test_what_kafka_removed_before_the_gatherer_took_it_is_told(
    stack: StackSpec, pipeline: Settings, connection: Connection, producer: KafkaProducer
) -> None:
    at = quarter(3)
    address = f"http://127.0.0.1:{stack.ports.readings_ops}/metrics"

    def dropped() -> dict[tuple[str, ...], float]:
        found = prometheus_samples(httpx.get(address, timeout=5))
        return {key[1:]: each for key, each in found.items() if key[0] == "meterline_readings_dropped_records_total"}

    def stored() -> dict[str, tuple[Any, ...]]:
        return readings_of(connection, "A1", at, "import_wh")

    def send_to(partition: int, meter: str) -> None:
        producer.send(TELEMETRY_READING, value=reading(meter, at, import_wh=5), partition=partition)
        producer.flush()

    send_to(2, "A1-m1")
    until(lambda: stored().get("A1-m1") == (5,), "the partition has something acknowledged")
    assert dropped() == {}
    stop_programs(stack, ["readings"])
    for _ in range(3):
        send_to(2, "A2-m1")
    admin = KafkaAdminClient(bootstrap_servers=pipeline.kafka.bootstrap)
    consumer = KafkaConsumer(bootstrap_servers=pipeline.kafka.bootstrap)
    gone = TopicPartition(TELEMETRY_READING, 2)
    admin.delete_records({gone: consumer.end_offsets([gone])[gone]})
    consumer.close()
    admin.close()
    send_to(2, "A1-m2")
    start_programs(stack, ["readings"])
    until(lambda: stored().get("A1-m2") == (5,), "what is left is taken")
    assert dropped() == {("2", TELEMETRY_READING): 3}
    told = until(
        lambda: connection.execute(
            "select worker, records, dropped from telemetry.worker_state where part = 'readings' and dropped > 0"
        ).fetchone(),
        "the gatherer tells the boards",
    )
    assert told == ("readings-0", 1, 3)
    assert readings_of(connection, "A2", at, "import_wh") == {}
