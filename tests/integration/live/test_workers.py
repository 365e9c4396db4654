"""Workers share the partitions, take over those of one that died, and tell what they do over HTTP."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from typer.testing import CliRunner

from deploy.stack import Ports
from grid.block import Block, encode_block
from meterline.bootstrap import make_producer, opener
from meterline.cli import app
from meterline.config import Settings
from meterline.group import leave_beyond, members
from store.connection import Connection
from sync.load import load_grid
from tests.prometheus import prometheus_samples
from tests.small_grid import small_model
from tests.waiting import PATIENCE_S, until

INTERVAL_US = 900_000_000
FIRST_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z


class Workers:
    """Worker processes without a supervisor."""

    def __init__(self, config: Path, port: int, log_dir: Path) -> None:
        self._config = config
        self._port = port
        self._log_dir = log_dir
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, number: int) -> None:
        command = [sys.executable, "-m", "meterline", "worker", "--config", str(self._config)]
        command += ["--instance", str(number), "--ops-port", str(self._port)]
        with (self._log_dir / f"worker-{number}.log").open("ab") as log:
            self.processes[number] = subprocess.Popen(command, stdout=log, stderr=log)

    def stop(self, number: int, how: signal.Signals = signal.SIGTERM) -> None:
        process = self.processes.pop(number)
        process.send_signal(how)
        process.wait(PATIENCE_S)

    def metrics(self, number: int) -> dict[tuple[str, ...], float]:
        """Empty while it doesn't answer."""
        with suppress(httpx.TransportError):
            return prometheus_samples(httpx.get(f"http://127.0.0.1:{self._port + number}/metrics", timeout=5))
        return {}

    def lag(self, number: int) -> dict[str, float]:
        """By partition of the areas' topic."""
        found = self.metrics(number)
        return {
            key[1]: lag for key, lag in found.items() if key[::2] == ("meterline_worker_lag_records", "telemetry.area")
        }


@pytest.fixture(scope="module")
def grid(settings: Settings) -> None:
    with opener(settings, "test")() as connection:
        load_grid(connection, small_model())


@pytest.fixture
def workers(grid: None, config_path: Path, tmp_path: Path) -> Iterator[Workers]:
    made = Workers(config_path, Ports.free().worker_ops, tmp_path)
    try:
        yield made
    finally:
        for process in made.processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    with opener(settings, "test")() as connection:
        connection.autocommit = True
        yield connection


def block(unit: str, number: int) -> bytes:
    readings = {f"{unit}-master": 100, f"{unit}-m1": 2_900, f"{unit}-m2": 3_000}
    at = FIRST_US + number * INTERVAL_US
    return encode_block(
        Block(
            unit=unit,
            gateway="headend",
            observed_at_us=at,
            interval_s=900,
            received_at_us=int(time.time() * 1e6),
            meters=pa.array(list(readings), pa.string()),
            sequence=np.full(3, number + 1, np.int64),
            channels={"import_wh": np.array(list(readings.values()), np.int64), "export_wh": np.zeros(3, np.int64)},
            quality=np.zeros(3, np.uint8),
        )
    )


def publish(settings: Settings, numbers: range, topic: str = "telemetry.area") -> None:
    """A quarter-hour of two areas for each number, over all partitions."""
    producer = make_producer(settings)
    for number in numbers:
        for unit in ("A1", "A2"):
            producer.send(topic, key=unit.encode(), value=block(unit, number), partition=number % 8)
    producer.flush(timeout=PATIENCE_S)
    producer.close()


def settled(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select (extract(epoch from observed_at) * 1000000)::bigint, code, loss_wh, status from loss.balance"
        " join grid.unit using (unit_id) where code in ('A1', 'A2') and observed_at between %s and %s order by 1, 2",
        ["2026-01-01", "2026-01-31"],
    ).fetchall()


def expected(count: int) -> list[tuple[Any, ...]]:
    # 60 × 100 Wh in, 2,900 + 3,000 Wh out.
    return [(FIRST_US + n * INTERVAL_US, unit, 100, "final") for n in range(count) for unit in ("A1", "A2")]


def shared(one: Mapping[str, float], other: Mapping[str, float], everything: set[str]) -> bool:
    """Whether both have partitions, and together all, each once."""
    return bool(one and other) and set(one) | set(other) == everything and set(one).isdisjoint(other)


@pytest.mark.timeout(600)
def test_workers_share_and_take_over(
    settings: Settings, workers: Workers, connection: Connection, config_path: Path
) -> None:
    connection.execute("delete from telemetry.block where observed_at < '2026-02-01'")
    connection.execute("delete from loss.balance where observed_at < '2026-02-01'")
    connection.execute("delete from telemetry.worker_state")
    everything = {str(partition) for partition in range(8)}
    workers.start(0)
    workers.start(1)
    # A figure of a worker's lag is up to 5 s old: after a change of the group it may name partitions that it had.
    until(lambda: shared(workers.lag(0), workers.lag(1), everything), "they share the partitions")
    publish(settings, range(40))
    until(lambda: settled(connection) == expected(40))
    shares = [workers.metrics(number)["meterline_worker_records_total", "areas"] for number in (0, 1)]
    assert min(shares) > 0
    assert sum(shares) == 80
    until(lambda: set(workers.lag(0).values()) | set(workers.lag(1).values()) == {0.0})
    # Each has told the store of its part of the same.
    told = "select worker, sum(records)::int from telemetry.worker_state where part = 'areas' group by 1 order by 1"
    until(lambda: connection.execute(told).fetchall() == [("0", shares[0]), ("1", shares[1])])

    workers.stop(1, signal.SIGKILL)
    publish(settings, range(40, 80))
    until(lambda: settled(connection) == expected(80))
    until(lambda: set(workers.lag(0)) == everything)

    # One that is stopped for good leaves at once when it is told to, and its session's end isn't waited for.
    runner = CliRunner()
    leave = ["worker", "leave", "--instance", "1", "--config", str(config_path)]
    said: list[str] = []

    def leaves() -> bool:
        workers.start(1)
        until(lambda: len(workers.lag(0)) == len(workers.lag(1)) == 4, "they share the partitions again")
        workers.stop(1)
        is_member = "1" in members(settings.kafka)[1]  # a stop isn't a leave
        left = runner.invoke(app, [*leave, "--json"])
        said.append(left.stdout)
        return is_member and left.exit_code == 0

    # On a busy machine its session may be over before it is told.
    until(leaves, "a stopped worker leaves", 240)
    assert json.loads(said[-1]) == {"left": "1", "members": ["0"]}
    publish(settings, range(80, 120))
    until(lambda: settled(connection) == expected(120))
    again = runner.invoke(app, leave)
    assert again.exit_code == 1

    def leaves_beyond() -> bool:
        workers.start(5)
        until(lambda: "5" in members(settings.kafka)[1], "another joins")
        workers.stop(5, signal.SIGKILL)
        return leave_beyond(settings.kafka, 1) == ["5"]

    until(leaves_beyond, "a worker beyond leaves", 240)
    assert members(settings.kafka)[1] == ["0"]
    workers.stop(0)


def test_what_kafka_removed_before_a_worker_took_it_is_told(settings: Settings, workers: Workers) -> None:
    def dropped() -> dict[tuple[str, ...], float]:
        name = "meterline_worker_dropped_records_total"
        return {key[1:]: records for key, records in workers.metrics(0).items() if key[0] == name}

    def late() -> dict[str, float]:
        """What the backfill's lane is behind, by partition, as of its last batch of each."""
        found = workers.metrics(0)
        return {
            key[1]: lag
            for key, lag in found.items()
            if key[::2] == ("meterline_worker_lag_records", "telemetry.backfill")
        }

    def send(numbers: range) -> None:
        """Two records to each partition of both lanes."""
        publish(settings, numbers)
        publish(settings, range(numbers.start + 200, numbers.stop + 200), "telemetry.backfill")

    nothing = {str(partition): 0.0 for partition in range(8)}
    send(range(120, 128))
    workers.start(0)
    until(lambda: workers.lag(0) == nothing and late() == nothing)
    assert dropped() == {}
    workers.stop(0)
    send(range(128, 136))
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)
    consumer = KafkaConsumer(bootstrap_servers=settings.kafka.bootstrap)
    for gone in (TopicPartition("telemetry.area", 3), TopicPartition("telemetry.backfill", 5)):
        admin.delete_records({gone: consumer.end_offsets([gone])[gone]})
    consumer.close()
    admin.close()
    send(range(136, 144))
    workers.start(0)
    until(lambda: workers.lag(0) == nothing and late() == nothing)
    assert dropped() == {("3", "telemetry.area"): 2, ("5", "telemetry.backfill"): 2}
    workers.stop(0)
