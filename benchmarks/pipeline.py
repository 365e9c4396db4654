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
from benchmarks.stack import Measured, benchmark_stack, bytes_on_disk, measured, peers, worker_sums
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
    """Fill and drain by each number of workers, on servers of its own, and so by as many processes of the peer."""
    model = make_model(_AREAS, _FEEDERS)
    drained: dict[int, Measured] = {}
    peer: dict[int, float] = {}
    size = 0
    for workers in _WORKERS:
        with benchmark_stack(workers) as (spec, settings):
            drained[workers], size = _drain(spec, settings, model)
            peer[workers] = _peer(spec, settings)
    best = max(drained, key=lambda workers: drained[workers].rate)
    million = drained[best].rows * METERS / 1e6
    return [
        *(
            result(
                f"Kafka to queryable rows, blocks of {METERS}, 3 channels, workers: {workers}",
                of_workers.rate * METERS,
                "readings/s",
                1_000_000 if workers == best else None,
                "Faust, a JSON event and a row a reading",
                peer[workers],
            )
            for workers, of_workers in drained.items()
        ),
        *(
            result(
                f"processor time, {program}, workers: {best}", drained[best].processor_s[program] / million, "s/million"
            )
            for program in ("worker", "postgres", "kafka")
        ),
        result("block on disk", size / (_BLOCKS * METERS), "bytes/reading", 12, less_is_better=True),
    ]


def _drain(spec: StackSpec, settings: Settings, model: GridModel) -> tuple[Measured, int]:
    """Blocks as they were drained, and bytes of all of them."""
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

        start_programs(spec, ["worker"])
        drained = measured(spec, count, _BLOCKS, begun)
        row = connection.execute(
            "select count(*), sum(cardinality(import_wh)) from telemetry.block where loss_wh is null"
        ).fetchone()
        assert row == (_BLOCKS, _BLOCKS * METERS), f"blocks and readings: {row}"
        stop_programs(spec, ["worker"])
    return drained, bytes_on_disk(settings, "telemetry.block")


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
        readings = spec.workers * _PEER_READINGS
        for event in _events(readings):
            producer.send(TOPIC, value=event)
        producer.flush()
        producer.close()

        def count() -> int:
            row = connection.execute("select count(*) from public.peer_reading").fetchone()
            return int(row[0]) if row else 0

        def begun() -> bool:
            row = connection.execute("select count(distinct writer) from public.peer_reading").fetchone()
            return row == (spec.workers,)

        arguments = [settings.kafka.bootstrap, folder]
        environment = {**os.environ, "PEER_CONNINFO": conninfo}
        with peers("benchmarks.peers.faust_rows", arguments, environment, spec.workers):
            return measured(spec, count, readings, begun).rate


def _events(readings: int) -> Iterator[bytes]:
    observed_at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0).isoformat()
    for n in range(readings):
        energies = {"import_wh": n % 500, "export_wh": 0, "voltage_v": 230.1}
        yield json.dumps({"meter": f"M{n}", "observed_at": observed_at, **energies}).encode()


if __name__ == "__main__":
    main(measure, __doc__ or "")
