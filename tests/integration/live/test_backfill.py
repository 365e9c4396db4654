"""A concentrator delivers weeks of backlog: all of it arrives, and live data don't wait behind it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from kafka import KafkaProducer
from numpy.typing import NDArray

from deploy.stack import StackSpec, start_programs, stop_programs
from grid.block import Block, encode_block
from grid.topics import TELEMETRY_BACKFILL
from meterline.bootstrap import make_producer, opener
from meterline.config import Settings
from meterline.group import members
from store.connection import Connection
from sync.load import load_grid
from tests.small_grid import small_model
from tests.waiting import until

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
    start_programs(stack, ["worker"])
    until(lambda: (found := members(settings.kafka))[0] == "Stable" and found[1], "the worker has its partitions")


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


def overtaken(
    stack: StackSpec, settings: Settings, connection: Connection, topic: str, last: int, unit: str, newest: int
) -> tuple[float, float]:
    """How many blocks of a backlog up to minute `last`, in `topic`, were stored while a live block of `unit` waited.

    And how many seconds it waited; 99 % of them waited less.
    """
    producer = make_producer(settings, linger_ms=1)
    stop_programs(stack, ["worker"])
    first = last - BACKLOG // 2 + 1
    # The first in line: once it is stored, the worker works, and how long it took to start counts for neither.
    send(producer, "telemetry.area", unit, newest - LIVE)
    for minute in range(first, last + 1):
        for code in ("A1", "A2"):
            send(producer, topic, code, minute)
    producer.flush(120)
    start_worker(stack, settings)
    until(lambda: stored(connection, (unit,), newest - LIVE, newest - LIVE), "the worker works")
    for n in range(LIVE):
        send(producer, "telemetry.area", unit, newest - n)
        producer.flush(120)
        time.sleep(0.03)
    producer.close(timeout=10)
    until(lambda: stored(connection, ("A1", "A2"), first, last) == BACKLOG, "the backlog is stored", 240)
    until(lambda: stored(connection, (unit,), newest - LIVE + 1, newest) == LIVE)
    times = (
        "select extract(epoch from received_at)::float8, extract(epoch from recorded_at)::float8"
        " from telemetry.block join grid.unit using (unit_id)"
        " where code = any(%s) and observed_at between to_timestamp(%s) and to_timestamp(%s)"
    )

    def rows(units: list[str], begin: int, end: int) -> NDArray[np.float64]:
        return np.array(connection.execute(times, [units, begin * 60, end * 60]).fetchall(), np.float64)

    live, backlog = rows([unit], newest - LIVE + 1, newest), rows(["A1", "A2"], first, last)
    assert (len(live), len(backlog)) == (LIVE, BACKLOG)
    received_s, stored_s = live.T
    behind = np.searchsorted(np.sort(backlog[:, 1]), live, side="right")
    waited_for = behind[:, 1] - behind[:, 0]
    return float(np.percentile(waited_for, 99)), float(np.percentile(stored_s - received_s, 99))


@pytest.mark.timeout(900)
def test_live_data_don_t_wait_behind_a_backlog(stack: StackSpec, settings: Settings, connection: Connection) -> None:
    now = int(time.time()) // 60
    old = now - 200
    behind, behind_s = overtaken(stack, settings, connection, "telemetry.area", old - BACKLOG, "A1", now)
    beside, beside_s = overtaken(stack, settings, connection, TELEMETRY_BACKFILL, old, "A2", now)
    print(f"99 % of live blocks wait {beside_s:.2f} s for {beside:.0f} blocks beside the lane,")  # noqa: T201
    print(f"{behind_s:.2f} s for {behind:.0f} behind the backlog")  # noqa: T201
    # Of blocks and not of seconds: how fast the machine is shall make no difference.
    assert beside < behind / 2
