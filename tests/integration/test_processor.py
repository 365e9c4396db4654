"""A worker's batches against the real database, without Kafka: poison, conflicts, lost connections, changed models."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from structlog.testing import capture_logs

from deploy.stack import StackSpec
from deploy.stack.postgres import superuser_dsn
from grid.block import Block, encode_block
from grid.model import Meter, Role, TransformerArea, UnitKind
from grid.quality import Quality
from grid.topics import ENERGY_UNIT
from grid.unit_energy import UnitEnergies, encode_unit_energies
from store import views
from store.connection import STORE_ERRORS, Connection, connect
from streams import processor as module
from streams import view_cache
from streams.counters import Counters
from streams.join import Record
from streams.processor import Processor
from streams.view_cache import ViewCache
from sync.load import load_grid
from tests.integration.conftest import Database
from tests.small_grid import small_model

HOUR_US = 3_600_000_000
NOON_US = 1_780_315_200_000_000  # 2026-06-01T12:00:00Z


def area(unit: str, readings: dict[str, int], sequence: int = 1, interval_s: int = 900, at: int = NOON_US) -> Record:
    size = len(readings)
    block = Block(
        unit=unit,
        gateway="headend",
        observed_at_us=at,
        interval_s=interval_s,
        received_at_us=at + sequence,
        meters=pa.array(list(readings), pa.string()),
        sequence=np.full(size, sequence, np.int64),
        channels={"import_wh": np.array(list(readings.values()), np.int64), "export_wh": np.zeros(size, np.int64)},
        quality=np.zeros(size, np.uint8),
    )
    return Record("telemetry.area", encode_block(block))


def whole(unit: str, **changes: Any) -> Record:
    return area(unit, {f"{unit}-master": 100, f"{unit}-m1": 2_900, f"{unit}-m2": 3_000}, **changes)


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as connection:
        load_grid(connection, small_model())
        connection.commit()
        connection.autocommit = True
        yield connection


@pytest.fixture
def worker(database: Database, connection: Connection) -> Iterator[Processor]:
    processor = Processor(lambda: connect(database.conninfo("app"), "worker"), Counters())
    yield processor
    processor.close()


def losses(connection: Connection) -> dict[str, tuple[int, str]]:
    rows = connection.execute("select code, loss_wh, status from loss.balance join grid.unit using (unit_id)")
    return {code: (loss_wh, status) for code, loss_wh, status in rows}


def rejected(connection: Connection) -> list[str]:
    return [row[0] for row in connection.execute("select reason from telemetry.rejected order by id")]


def idle_in_transaction(connection: Connection) -> int:
    row = connection.execute(
        "select count(*) from pg_stat_activity"
        " where application_name = 'worker' and (state <> 'idle' or backend_xmin is not null)"
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("poison", [area("\0", {"a": 1}), whole("A1", at=2**62), Record("telemetry.area", b"?")])
def test_a_poisoned_record_goes_alone(worker: Processor, connection: Connection, poison: Record) -> None:
    worker.process([whole("A1"), poison, whole("A2")])
    assert losses(connection) == {"A1": (100, "final"), "A2": (100, "final")}
    assert len(rejected(connection)) == 1
    assert worker.counters.records == 3
    assert idle_in_transaction(connection) == 0


def test_one_record_that_fails_costs_few_transactions(database: Database, connection: Connection) -> None:
    """Of a thousand, it is found by halves."""
    tried: list[int] = []

    class Counting(Processor):
        def _settle(self, records: Sequence[Record]) -> list[UnitEnergies]:
            tried.append(len(records))
            return super()._settle(records)

    quarters = [NOON_US - n * 900_000_000 for n in range(1_000)]
    records = [whole("A1", at=at) for at in quarters]
    records[617] = whole("A1", at=2**62)
    worker = Counting(lambda: connect(database.conninfo("app"), "worker"), Counters())
    with capture_logs() as logs, contextlib.closing(worker):
        worker.process(records)
    assert len(tried) <= 2 * 10 + 1
    assert [entry["event"] for entry in logs if "exc_info" in entry] == ["a record failed; it is refused"]
    assert len(rejected(connection)) == 1
    assert connection.execute("select count(*) from loss.balance where loss_wh = 100").fetchone() == (999,)
    # Those beside it were told of once each.
    assert sum(size for size in tried if size == 1) == 2


def test_a_batch_of_many_bytes_is_settled_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [whole("A1", at=NOON_US - n * 900_000_000) for n in range(10)]
    monkeypatch.setattr(module, "_MAX_BYTES", 3 * len(records[0].value) + 1)
    parts = list(module._bounded(records))
    assert [len(part) for part in parts] == [3, 3, 3, 1]
    assert [record for part in parts for record in part] == records
    # What is too large by itself goes alone.
    monkeypatch.setattr(module, "_MAX_BYTES", 1)
    assert [len(part) for part in module._bounded(records)] == [1] * 10


def test_no_transaction_stays_open_between_batches(worker: Processor, connection: Connection) -> None:
    for records in ([whole("A1")], [whole("A1")], [whole("unknown")], [area("A1", {"stranger": 1})], []):
        worker.process(records)
        assert idle_in_transaction(connection) == 0


def test_a_lost_connection_is_made_again(worker: Processor, connection: Connection) -> None:
    worker.process([whole("A1")])
    connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'worker'")
    with pytest.raises(STORE_ERRORS):
        worker.process([whole("A2")])
    worker.process([whole("A2")])
    assert losses(connection) == {"A1": (100, "final"), "A2": (100, "final")}
    assert rejected(connection) == []


@pytest.mark.parametrize(
    ("fault", "mend"),
    [
        ("revoke insert on telemetry.block from meterline_app", "grant insert on telemetry.block to meterline_app"),
        ("alter table loss.balance rename to away", "alter table loss.away rename to balance"),
        ("alter role meterline_app set default_transaction_read_only = on", "alter role meterline_app reset all"),
    ],
)
def test_a_store_that_isn_t_ready_rejects_nothing(
    worker: Processor, connection: Connection, stack: StackSpec, database: Database, fault: str, mend: str
) -> None:
    with psycopg.connect(superuser_dsn(stack, database.section.name), autocommit=True) as superuser:
        superuser.execute(fault)
        try:
            for _ in range(2):
                with pytest.raises(STORE_ERRORS):
                    worker.process([whole("A1"), whole("A2")])
        finally:
            superuser.execute(mend)

    worker.process([whole("A1"), whole("A2")])
    assert losses(connection) == {"A1": (100, "final"), "A2": (100, "final")}
    assert rejected(connection) == []


def test_a_child_that_the_parent_s_view_doesn_t_know_yet_is_counted(worker: Processor, connection: Connection) -> None:
    def told(child: int) -> Record:
        energies = UnitEnergies(
            parent="F2",
            child_id=np.array([child], np.int32),
            observed_at_us=np.array([NOON_US]),
            interval_s=np.array([900], np.int32),
            received_at_us=np.array([NOON_US]),
            version=np.array([1]),
            taken_wh=np.array([6_000]),
            returned_wh=np.array([0]),
            loss_wh=np.array([100]),
            sigma_wh=np.array([0]),
            technical_milli_wh=np.array([0]),
            sold_sigma_wh=np.array([0]),
            sold_systematic_wh=np.array([0]),
            sigma_systematic_wh=np.array([0]),
            final_us=np.array([NOON_US]),
            quality=np.zeros(1, np.uint8),
        )
        return Record(ENERGY_UNIT, encode_unit_energies([energies]))

    head = Record("telemetry.scada", area("F2", {"F2-head": 200}).value)
    worker.process([head])
    assert losses(connection) == {"F2": (8_000, "final")}
    # A1 moves to F2; the worker hasn't heard of it when A1's energy comes.
    ((child,),) = connection.execute("select unit_id from grid.unit where code = 'A1'").fetchall()
    connection.execute("delete from grid.member where child_id = %s and upper_inf(recorded)", [child])
    connection.execute(
        "insert into grid.member (unit_id, position, child_id, role, valid)"
        " select unit_id, 9, %s, 4, '(,)' from grid.unit where code = 'F2'",
        [child],
    )
    worker.process([told(child)])
    assert losses(connection) == {"F2": (2_000, "restated")}


def test_intervals_of_two_lengths_that_end_together_are_both_kept(worker: Processor, connection: Connection) -> None:
    worker.process([whole("A1", interval_s=3_600), whole("A1", sequence=2)])
    assert connection.execute("select interval_s from loss.balance order by 1").fetchall() == [(900,), (3_600,)]
    assert rejected(connection) == []


def test_workers_that_write_the_same_rows_lose_nothing(database: Database, connection: Connection) -> None:
    meters = ["A1-master", "A1-m1", "A1-m2"]
    errors: list[Exception] = []

    def work(number: int) -> None:
        processor = Processor(lambda: connect(database.conninfo("app"), "worker"), Counters())
        try:
            for turn in range(10):
                at = NOON_US + turn * 900_000_000
                processor.process([area("A1", {meters[number]: 100 if number == 0 else 3_000}, at=at)])
        except Exception as error:  # noqa: BLE001  # shown by the test
            errors.append(error)
        finally:
            processor.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    rows = connection.execute("select loss_wh, coverage, status, revision from loss.balance").fetchall()
    assert rows == [(0, 1.0, "final", 1)] * 10


def test_a_view_that_was_read_before_a_change_isn_t_kept(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ViewCache()
    load_views = views.load_views

    def load_while_it_changes(connection: Connection, codes: list[str], known_at: datetime | None) -> Any:
        loaded = load_views(connection, codes, known_at)
        connection.execute("update grid.member set multiplier = 80 where meter = 'A1-master'")
        cache.drop("A1")
        return loaded

    monkeypatch.setattr(view_cache, "load_views", load_while_it_changes)
    assert cache.get(connection, {"A1"})["A1"].roster(NOON_US, 900).multiplier[0] == 60
    monkeypatch.setattr(view_cache, "load_views", load_views)
    assert cache.get(connection, {"A1"})["A1"].roster(NOON_US, 900).multiplier[0] == 80


def test_views_may_be_dropped_while_they_are_asked_for(connection: Connection) -> None:
    cache = ViewCache()
    stop = threading.Event()

    def drop() -> None:
        while not stop.is_set():
            cache.drop("A1")
            cache.clear()

    thread = threading.Thread(target=drop)
    thread.start()
    try:
        for _ in range(300):
            assert set(cache.get(connection, {"A1", "A2", "F1"})) == {"A1", "A2", "F1"}
    finally:
        stop.set()
        thread.join()


def test_what_is_held_of_the_model_is_bounded(connection: Connection) -> None:
    cache = ViewCache(max_bytes=9_000)
    for code in ("A1", "A2", "A1", "F1", "F2"):
        assert set(cache.get(connection, {code})) == {code}
        assert cache._bytes == sum(map(view_cache._bytes, cache._views.values())) <= 9_000
    held = cache.figures()
    assert (held.hits, held.misses, held.units) == (1, 4, len(cache._views))
    cache.clear()
    assert cache._bytes == cache.figures().units == 0


def test_what_is_held_of_a_unit_counts_the_times_that_it_is_asked_about(connection: Connection) -> None:
    cache = ViewCache(max_bytes=12_000)
    for code in ("A1", "A2"):
        cache.get(connection, {code})
    assert cache.figures().units == 2
    (view,) = cache.get(connection, {"A1"}).values()
    for end in range(5):
        # Each from a change of its own on, as a unit whose members come and go.
        view._rosters[end, end] = view.roster(NOON_US, 900)
    cache.get(connection, {"A1"})
    assert set(cache._views) == {"A1"}
    assert cache._bytes == view_cache._bytes(view) == 2_000 + 3 * 80 + 6 * (1_300 + 3 * 75) + 150


@pytest.mark.parametrize("size", [1, 2_000])
def test_units_of_one_meter_and_of_two_thousand(worker: Processor, connection: Connection, size: int) -> None:
    """In two messages, of which the one carries energies and the other registers and voltages."""
    code = f"N{size}"
    meters = [Meter(f"{code}-{i}", code, Role.GATEWAY | Role.CUSTOMER) for i in range(size)]
    area_ = TransformerArea(code, code, UnitKind.DEDICATED, "headend", "F1")
    model = small_model()
    load_grid(connection, replace(model, areas=(*model.areas, area_), meters=(*model.meters, *meters)))
    names = pa.array([meter.code for meter in meters])
    at = (NOON_US, NOON_US + 900_000_000)

    def sent(end_us: int, channels: dict[str, Any]) -> Record:
        sequence, quality = np.ones(size, np.int64), np.zeros(size, np.uint8)
        return Record(
            "telemetry.area",
            encode_block(Block(code, "headend", end_us, 900, end_us + 1, names, sequence, channels, quality)),
        )

    numbers = np.arange(size, dtype=np.int64)
    worker.process([sent(at[0], {"register_import_wh": numbers})])
    worker.process([sent(at[1], {"voltage_b_dv": np.full(size, 2_311, np.int16)})])
    worker.process([sent(at[1], {"register_import_wh": numbers * 2 + 5})])
    rows = connection.execute(
        "select inflow_wh, loss_wh, coverage, status from loss.balance join grid.unit using (unit_id)"
        " where code = %s order by observed_at",
        [code],
    ).fetchall()
    assert rows == [(0, 0, 0.0, "provisional"), (int(numbers.sum()) + 5 * size, 0, 1.0, "final")]
    reading = connection.execute(
        "select import_wh, register_import_wh, voltage_b_v::float8, quality from telemetry.reading"
        " where unit = %s and observed_at = to_timestamp(%s) order by register_import_wh desc limit 1",
        [code, at[1] / 1e6],
    ).fetchone()
    assert reading == (size + 4, 2 * size + 3, 231.1, Quality.DERIVED)
