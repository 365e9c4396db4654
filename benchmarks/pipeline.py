"""Readings a second from Kafka to queryable rows through real workers: join, merge, balance, one transaction a batch.

The topic of live data is filled first; then one worker or two start, and the clock runs from the moment at which each
has written its first rows until the last row is there. The peer is Faust with one JSON event a reading and a row a
reading, on the same servers in the same run.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from benchmarks.peers.faust_rows import TABLE, TOPIC
from benchmarks.report import Result, main, result
from benchmarks.scene import INTERVAL_S, METERS, BlockTemplate, make_model, meters_of, whole_intervals_us
from benchmarks.stack import benchmark_stack, bytes_on_disk, peers, processor_seconds, rate, worker_sums
from deploy.stack import StackSpec, start_programs, stop_programs
from deploy.stack.postgres import superuser_dsn
from grid.model import GridModel
from meterline.bootstrap import make_producer, opener
from meterline.config import Settings
from sync.load import load_grid

_WORKERS = (1, 2)
_AREAS = 500
_FEEDERS = 20
_INTERVALS = 60
_BLOCKS = _AREAS * _INTERVALS
_PEER_READINGS = 100_000


def measure() -> list[Result]:
    """Fill and drain by each number of workers, on servers of its own; and the peer."""
    rates: dict[int, float] = {}
    peer, size, seconds = 0.0, 0, dict[str, float]()
    model = make_model(_AREAS, _FEEDERS)
    for workers in _WORKERS:
        with benchmark_stack(workers) as (spec, settings):
            rates[workers], size, seconds = _drain(spec, settings, model)
            if workers == _WORKERS[0]:
                peer = _peer(spec, settings)
    best = max(rates.values())
    return [
        *(
            result(
                f"Kafka to queryable rows, blocks of {METERS}, 3 channels, workers: {workers}",
                reached,
                "readings/s",
                1_000_000 if reached == best else None,
                "Faust, a JSON event and a row a reading",
                peer,
            )
            for workers, reached in rates.items()
        ),
        *(
            result(f"processor time, {program}", seconds[program] / (_BLOCKS * METERS / 1e6), "s a million readings")
            for program in ("worker", "postgres", "kafka")
        ),
        result("block on disk", size / (_BLOCKS * METERS), "bytes/reading", 12, less_is_better=True),
    ]


def _drain(spec: StackSpec, settings: Settings, model: GridModel) -> tuple[float, int, dict[str, float]]:
    """Readings a second, bytes of all blocks, and processor seconds by program; the workers' start is in them."""
    with opener(settings, "benchmark")() as connection:
        load_grid(connection, model)
        connection.commit()
        connection.autocommit = True
        _fill(settings, model)

        def count() -> int:
            # A balance comes in the same transaction as its block, and counting it costs the database less.
            row = connection.execute(
                "select count(*) from loss.balance b join grid.unit u using (unit_id) where u.kind = 'area'"
            ).fetchone()
            return int(row[0]) if row else 0

        def begun() -> bool:
            return all(worker_sums(spec, "meterline_worker_rows_written_total", units="areas"))

        before = processor_seconds(spec)
        start_programs(spec, ["worker"])
        reached = rate(count, _BLOCKS, begun) * METERS
        row = connection.execute(
            "select count(*), sum(cardinality(import_wh)) from telemetry.block where loss_wh is null"
        ).fetchone()
        assert row == (_BLOCKS, _BLOCKS * METERS), f"blocks and readings: {row}"
        seconds = {name: after - before.get(name, 0.0) for name, after in processor_seconds(spec).items()}
        stop_programs(spec, ["worker"])
    return reached, bytes_on_disk(settings, "telemetry.block"), seconds


def _fill(settings: Settings, model: GridModel) -> None:
    templates = {code.encode(): BlockTemplate(code, meters) for code, meters in meters_of(model).items()}
    last_us = whole_intervals_us(INTERVAL_S)
    producer = make_producer(settings)
    for i in range(_INTERVALS):
        observed_at_us = last_us - (_INTERVALS - i) * INTERVAL_S * 1_000_000
        for key, template in templates.items():
            producer.send("telemetry.area", key=key, value=template.at(observed_at_us, observed_at_us + 5_000_000))
    producer.flush()
    producer.close()


def _peer(spec: StackSpec, settings: Settings) -> float:
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)
    admin.create_topics([NewTopic(TOPIC, settings.kafka.partitions, 1)])
    admin.close()
    conninfo = superuser_dsn(spec, settings.database.name)
    with psycopg.connect(conninfo, autocommit=True) as connection, tempfile.TemporaryDirectory() as folder:
        connection.execute(TABLE)
        producer = KafkaProducer(bootstrap_servers=settings.kafka.bootstrap, linger_ms=20, batch_size=256 * 1024)
        for event in _events():
            producer.send(TOPIC, value=event)
        producer.flush()
        producer.close()

        def count() -> int:
            row = connection.execute("select count(*) from public.peer_reading").fetchone()
            return int(row[0]) if row else 0

        arguments = [settings.kafka.bootstrap, folder]
        with peers("benchmarks.peers.faust_rows", arguments, {**os.environ, "PEER_CONNINFO": conninfo}):
            return rate(count, _PEER_READINGS, lambda: count() > 0)


def _events() -> Iterator[bytes]:
    observed_at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0).isoformat()
    for n in range(_PEER_READINGS):
        energies = {"import_wh": n % 500, "export_wh": 0, "voltage_v": 230.1}
        yield json.dumps({"meter": f"M{n}", "observed_at": observed_at, **energies}).encode()


if __name__ == "__main__":
    main(measure, __doc__ or "")
