"""Readings a second from Kafka to queryable rows through a real worker: join, merge, balance, one transaction a batch.

The topic is filled first; then a worker starts, and the clock runs from its first row to its last. The peer is Faust
with one JSON event a reading and a row a reading, on the same servers in the same run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import numpy as np
import psycopg
import pyarrow as pa
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from benchmarks.peers.faust_rows import TABLE, TOPIC
from benchmarks.report import Result, main, result
from benchmarks.stack import benchmark_stack, bytes_on_disk
from deploy.stack import StackSpec, start_programs, stop_programs
from deploy.stack.postgres import superuser_dsn
from grid.block import Block, encode_block
from grid.model import Feeder, GridModel, Meter, Role, Substation, TransformerArea, UnitKind
from meterline.bootstrap import make_producer, opener
from meterline.config import Settings
from sync.load import load_grid

_METERS = 400
_AREAS = 500
_INTERVALS = 60
_PEER_READINGS = 100_000
_TIMEOUT_S = 300.0


def measure() -> list[Result]:
    """Fill, drain, and the peer."""
    with benchmark_stack() as (spec, settings):
        model = _model()
        with opener(settings, "benchmark")() as connection:
            load_grid(connection, model)
        readings = _fill(settings, model)
        start_programs(spec, ["worker"])
        ours = readings / _drain_seconds(settings, _AREAS * _INTERVALS)
        stop_programs(spec, ["worker"])
        size = bytes_on_disk(settings, "telemetry.block")
        peer = _peer(spec, settings)
    name = f"Kafka to queryable rows, blocks of {_METERS}, 3 channels"
    return [
        result(name, ours, "readings/s", 1_000_000, "Faust, a JSON event and a row a reading", peer),
        result("block on disk", size / readings, "bytes/reading", 12, less_is_better=True),
    ]


def _model() -> GridModel:
    areas, meters = [], []
    for a in range(_AREAS):
        code = f"A{a}"
        areas.append(TransformerArea(code, code, UnitKind.AREA, "headend", f"F{a % 20}"))
        meters.append(Meter(f"{code}-master", code, Role.GATEWAY, 40, 0.5))
        meters += [Meter(f"{code}-{m}", code, Role.CUSTOMER) for m in range(1, _METERS)]
    feeders = tuple(Feeder(f"F{f}", f"F{f}", "S") for f in range(20))
    heads = [Meter(f"F{f}-head", f"F{f}", Role.GATEWAY, 60, 0.2) for f in range(20)]
    return GridModel(
        (Substation("S", "S", 110_000, 10_000),),
        feeders,
        tuple(areas),
        tuple(meters + heads),
        (),
        dict.fromkeys((f.code for f in feeders), "rtu"),
    )


def _fill(settings: Settings, model: GridModel) -> int:
    random = np.random.default_rng(11)
    codes: dict[str, list[str]] = {area.code: [] for area in model.areas}
    for meter in model.meters:
        if meter.unit in codes:
            codes[meter.unit].append(meter.code)
    arrays = {code: pa.array(meters, pa.string()) for code, meters in codes.items()}
    now_us = int(time.time()) // 900 * 900 * 1_000_000
    producer = make_producer(settings)
    for i in range(_INTERVALS):
        observed_at_us = now_us - (_INTERVALS - i) * 900_000_000
        for code, meters in arrays.items():
            block = Block(
                unit=code,
                gateway="headend",
                observed_at_us=observed_at_us,
                interval_s=900,
                received_at_us=observed_at_us + 5_000_000,
                meters=meters,
                sequence=np.full(_METERS, i + 1, np.int64),
                channels={
                    "import_wh": random.gamma(0.8, 120, _METERS).astype(np.int64),
                    "export_wh": np.zeros(_METERS, np.int64),
                    "voltage_a_dv": random.normal(2300, 20, _METERS).astype(np.int16),
                },
                quality=np.zeros(_METERS, np.uint8),
            )
            producer.send("telemetry.area", key=code.encode(), value=encode_block(block))
    producer.flush()
    producer.close()
    return _INTERVALS * _AREAS * _METERS


def _drain_seconds(settings: Settings, rows: int) -> float:
    with opener(settings, "benchmark")() as connection:
        connection.autocommit = True

        def count() -> int:
            row = connection.execute("select count(*) from telemetry.block where loss_wh is null").fetchone()
            return int(row[0]) if row else 0

        return _seconds_from_first_to(count, rows)


def _seconds_from_first_to(count: Callable[[], int], wanted: int) -> float:
    """Seconds from the first row to the last; the rows of the first look don't count as done in no time."""
    deadline = time.monotonic() + _TIMEOUT_S
    while not (first := count()):
        if time.monotonic() > deadline:
            raise TimeoutError("no row came")
        time.sleep(0.02)
    started = time.monotonic()
    while (done := count()) < wanted:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{done:,} of {wanted:,} rows came")
        time.sleep(0.05)
    return (time.monotonic() - started) * wanted / (wanted - first)


def _peer(spec: StackSpec, settings: Settings) -> float:
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)
    admin.create_topics([NewTopic(TOPIC, settings.kafka.partitions, 1)])
    admin.close()
    conninfo = superuser_dsn(spec, settings.database.name)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(TABLE)
        producer = KafkaProducer(bootstrap_servers=settings.kafka.bootstrap, linger_ms=20, batch_size=256 * 1024)
        for event in _events():
            producer.send(TOPIC, value=event)
        producer.flush()
        producer.close()
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "benchmarks.peers.faust_rows", settings.kafka.bootstrap, folder]
            peer = subprocess.Popen(
                command,
                env={**os.environ, "PEER_CONNINFO": conninfo},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:

                def count() -> int:
                    row = connection.execute("select count(*) from public.peer_reading").fetchone()
                    return int(row[0]) if row else 0

                return _PEER_READINGS / _seconds_from_first_to(count, _PEER_READINGS)
            finally:
                peer.terminate()
                peer.wait(30)


def _events() -> Iterator[bytes]:
    observed_at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0).isoformat()
    for n in range(_PEER_READINGS):
        energies = {"import_wh": n % 500, "export_wh": 0, "voltage_v": 230.1}
        yield json.dumps({"meter": f"M{n}", "observed_at": observed_at, **energies}).encode()


if __name__ == "__main__":
    main(measure, __doc__ or "")
