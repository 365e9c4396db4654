"""A concentrator delivers weeks of backlog: all of it arrives, and live data don't wait behind it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from kafka import KafkaProducer

from deploy.stack import StackSpec, start_programs, stop_programs
from grid.block import Block, encode_block
from grid.topics import TELEMETRY_BACKFILL
from meterline.bootstrap import make_producer, opener
from meterline.config import Settings
from store.connection import Connection
from sync.load import load_grid
from tests.integration.live.test_pipeline import until
from tests.small_grid import small_model

MINUTE_US = 60_000_000
BACKLOG = 20_000
LIVE = 100


@pytest.fixture(scope="module")
def connection(stack: StackSpec, settings: Settings) -> Iterator[Connection]:
    with opener(settings, "test")() as connection:
        connection.autocommit = True
        load_grid(connection, small_model())
        try:
            yield connection
        finally:
            stop_programs(stack, ["worker"])


def start_worker(stack: StackSpec, settings: Settings) -> None:
    from meterline.ready import _wait_for_workers  # noqa: PLC0415

    start_programs(stack, ["worker"])
    _wait_for_workers(settings, 1, time.monotonic() + 60)


def send(producer: KafkaProducer, topic: str, unit: str, minute: int) -> None:
    """A block of `unit`, received now, for the interval that ends with that minute since 1970."""
    block = Block(
        unit=unit,
        gateway="headend",
        observed_at_us=minute * MINUTE_US,
        interval_s=60,
        received_at_us=int(time.time() * 1e6),
        meters=pa.array([f"{unit}-master", f"{unit}-m1", f"{unit}-m2"]),
        sequence=np.ones(3, np.int64),
        channels={"import_wh": np.array([1, 20, 30]), "voltage_a_dv": np.full(3, 2_300, np.int16)},
        quality=np.zeros(3, np.uint8),
    )
    producer.send(topic, key=unit.encode(), value=encode_block(block))


def stored(connection: Connection, units: tuple[str, ...], first: int, last: int) -> int:
    row = connection.execute(
        "select count(*) from telemetry.block join grid.unit using (unit_id) where code = any(%s)"
        " and observed_at between to_timestamp(%s) and to_timestamp(%s)",
        [list(units), first * 60, last * 60],
    ).fetchone()
    return 0 if row is None else int(row[0])


def live_p99_s(
    stack: StackSpec, settings: Settings, connection: Connection, topic: str, last: int, unit: str, newest: int
) -> float:
    """Delay of live blocks of `unit`, while a backlog up to minute `last` waits in `topic`."""
    producer = make_producer(settings, linger_ms=1)
    stop_programs(stack, ["worker"])
    first = last - BACKLOG // 2 + 1
    # The first in line: once it is stored, the worker works, and how long it took to start counts for neither.
    send(producer, "telemetry.area", unit, newest - LIVE)
    for minute in range(first, last + 1):
        for code in ("A1", "A2"):
            send(producer, topic, code, minute)
    producer.flush(60)
    start_worker(stack, settings)
    until(lambda: stored(connection, (unit,), newest - LIVE, newest - LIVE), 60)
    for n in range(LIVE):
        send(producer, "telemetry.area", unit, newest - n)
        producer.flush(60)
        time.sleep(0.03)
    producer.close(timeout=10)
    until(lambda: stored(connection, ("A1", "A2"), first, last) == BACKLOG, 120)
    until(lambda: stored(connection, (unit,), newest - LIVE + 1, newest) == LIVE)
    (delays,) = connection.execute(
        "select array_agg(extract(epoch from recorded_at - received_at)::float8) from telemetry.block"
        " join grid.unit using (unit_id) where code = %s and observed_at > to_timestamp(%s)",
        [unit, (newest - LIVE) * 60],
    ).fetchone() or ([],)
    assert len(delays) == LIVE
    return float(np.percentile(delays, 99))


@pytest.mark.timeout(400)
def test_live_data_don_t_wait_behind_a_backlog(stack: StackSpec, settings: Settings, connection: Connection) -> None:
    now = int(time.time()) // 60
    old = now - 200
    mixed_s = live_p99_s(stack, settings, connection, "telemetry.area", old - BACKLOG, "A1", now)
    apart_s = live_p99_s(stack, settings, connection, TELEMETRY_BACKFILL, old, "A2", now)
    print(f"99 % of live blocks within {apart_s:.2f} s beside the lane, {mixed_s:.2f} s behind the backlog")  # noqa: T201
    assert apart_s < mixed_s / 2
