"""Blocks in the real database: what is written is what is read, and no writer overwrites another."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql

from deploy.stack import StackSpec
from deploy.stack.postgres import superuser_dsn
from grid.channels import VOTING, Values
from grid.errors import Reason, Rejection
from grid.quality import MAX_SEQUENCE, MISSING_WH, NO_PRECEDENCE, Quality
from grid.rows import NEVER_US, BalanceRows, BlockRows, Superseded, empty_balances
from store.block_writer import write_blocks
from store.blocks import _SQL, LostBlockError, StaleVersionError, lock_units, read_blocks, to_datetime
from store.connection import Connection, connect
from store.migrate import migrate
from store.rejected import add_rejections, list_rejected, read_original
from tests.integration.conftest import Database
from tests.memory import plain, plain_values

DAY_US = 86_400_000_000
JUNE_US = 1_780_272_000_000_000  # 2026-06-01T00:00:00Z
LIMIT = 2**63 - 1


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as connection:
        yield connection


def make_rows(sizes: list[int], observed_at_us: list[int], unit_id: list[int] | None = None) -> BlockRows:
    """Rows of these sizes with a value of its own in every field, new to the store."""
    k, m = len(sizes), sum(sizes)
    values = np.arange(m, dtype=np.int64)
    received_us = np.array(observed_at_us, np.int64) + 1_234_567
    channels: dict[str, Values] = {
        "import_wh": values + 1,
        "export_wh": values + 2,
        "voltage_a_dv": (2_300 + values % 100).astype(np.int16),
        "loss_wh": np.full(m, MISSING_WH, np.int64),
    }
    voting = [name for name in channels if name in VOTING]
    return BlockRows(
        unit_id=np.array(unit_id or range(1, k + 1), np.int32),
        interval_s=np.full(k, 900, np.int32),
        read_version=np.zeros(k, np.int64),
        version=np.ones(k, np.int64),
        observed_at_us=np.array(observed_at_us, np.int64),
        received_at_us=received_us,
        starts=np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        channels=channels,
        quality=(values % 3 * Quality.SUSPECT).astype(np.uint8),
        precedence={name: np.repeat(np.arange(k, dtype=np.int64), sizes) for name in voting},
        received_us={name: np.repeat(received_us, sizes) for name in voting},
    )


def balances_of(rows: BlockRows, status: int = 1) -> BalanceRows:
    k = len(rows)
    figures = np.arange(k, dtype=np.int64)
    balances = empty_balances(k)
    for name, values in (
        ("inflow_wh", figures + 10),
        ("outflow_wh", figures + 20),
        ("loss_wh", figures - 10),
        ("members_loss_wh", figures),
        ("uncontracted_wh", figures + 5),
        ("sigma_wh", figures / 7),
        ("coverage", np.ones(k)),
        ("computable", np.ones(k, np.bool_)),
        ("generation_wh", figures + 3),
        ("estimated_wh", figures + 4),
        ("technical_wh", np.where(figures % 2 == 0, figures / 3, np.nan)),
        ("averaging_wh", np.where(figures % 2 == 0, figures / 30, np.nan)),
        ("technical_sigma_wh", np.where(figures % 2 == 0, figures / 9, np.nan)),
        ("members_technical_wh", figures / 11),
        ("systematic_sigma_wh", figures / 13),
        ("ends_sigma_wh", figures / 17),
        ("total_sigma_wh", figures / 19),
        ("total_systematic_sigma_wh", figures / 23),
        ("export_sigma_wh", figures / 29),
        ("gap_sigma_wh", figures / 31),
        ("loss_class", figures % 4),
        ("reasons", figures * 3),
        ("status", np.full(k, status)),
        ("revision", np.ones(k)),
        ("published_us", rows.received_at_us),
    ):
        getattr(balances, name)[:] = values
    return balances


def no_history(rows: BlockRows) -> Superseded:
    none = np.empty(0, np.intp)
    return Superseded(
        rows.unit_id[none], rows.interval_s[none], rows.observed_at_us[none], balances_of(rows).take(none)
    )


def write(connection: Connection, rows: BlockRows) -> None:
    with connection.transaction():
        write_blocks(connection, rows, balances_of(rows), no_history(rows))


def keys_of(rows: BlockRows) -> list[tuple[int, int, int]]:
    return list(zip(rows.unit_id.tolist(), rows.observed_at_us.tolist(), rows.interval_s.tolist(), strict=True))


def assert_equal(connection: Connection, rows: BlockRows) -> None:
    keys, balances = keys_of(rows), balances_of(rows)
    stored = read_blocks(connection, keys)
    assert set(stored) == set(keys)
    for r, key in enumerate(keys):
        block, part = stored[key], rows.part(r)
        assert (block.version, block.received_at_us) == (rows.version[r], rows.received_at_us[r])
        assert plain_values(block.balance) == plain(balances, r)
        assert block.quality.tolist() == rows.quality[part].tolist()
        for name, values in rows.channels.items():
            wanted = values[part]
            there = name in ("import_wh", "export_wh") or bool(np.any(wanted != np.iinfo(wanted.dtype).min))
            if name in VOTING:
                there |= bool(np.any(rows.precedence[name][part] != NO_PRECEDENCE))
            assert (name in block.channels) == there
            if there:
                assert block.channels[name].tolist() == wanted.tolist()
            if there and name in VOTING:
                assert block.precedence[name].tolist() == rows.precedence[name][part].tolist()
                assert block.received_us[name].tolist() == rows.received_us[name][part].tolist()


def random_rows(seed: int) -> BlockRows:
    """Rows whose values have many origins, or few, or are missing, known to be missing, or derived."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, size=5).tolist()
    rows = make_rows(sizes, [JUNE_US + i * 900_000_000 for i in range(5)])
    for r in range(5):
        part, kind = rows.part(r), rng.integers(4)
        for name in rows.precedence:
            n = sizes[r]
            values, precedence = rows.channels[name][part], rows.precedence[name][part]
            received_us = rows.received_us[name][part]
            if kind > 0:
                values[rng.random(n) < 0.4] = np.iinfo(values.dtype).min
            if kind > 1:
                precedence[:] = rng.integers(0, 3, n) * MAX_SEQUENCE + 7
                received_us[:] = JUNE_US + rng.integers(0, 3, n)
            silent = values == np.iinfo(values.dtype).min
            if kind == 3:
                silent &= rng.random(n) < 0.5
                if name == "import_wh":
                    rows.quality[part] = np.where(rng.random(n) < 0.3, Quality.DERIVED, 0)
                if name in ("import_wh", "export_wh"):
                    silent |= (rows.quality[part] == Quality.DERIVED) & (rng.random(n) < 0.8)
            precedence[silent], received_us[silent] = NO_PRECEDENCE, NEVER_US
    return rows


@pytest.mark.parametrize("seed", range(40))
def test_precedence_and_receipt_come_back_as_they_were(connection: Connection, seed: int) -> None:
    rows = random_rows(seed)
    write(connection, rows)
    assert_equal(connection, rows)


@pytest.mark.parametrize("year", [1971, 1999, 2000, 9999])
def test_instants_are_exact_to_the_microsecond(connection: Connection, year: int) -> None:
    since = datetime(year, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    at = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    rows = make_rows([2], [at - 2_000_000])
    write(connection, rows)
    assert_equal(connection, rows)
    row = connection.execute("select observed_at from telemetry.block").fetchone()
    assert row == (to_datetime(at - 2_000_000),)


def test_the_encoding_is_what_psycopg_reads_by_itself(connection: Connection, database: Database) -> None:
    rows = make_rows([3, 2], [JUNE_US, JUNE_US])
    rows.channels["loss_wh"][:3] = [1, MISSING_WH, -1]
    for name in rows.precedence:
        rows.precedence[name][3:] = [4, 5]
    rows.channels["voltage_a_dv"][3:] = np.iinfo(np.int16).min
    rows.precedence["voltage_a_dv"][3:] = NO_PRECEDENCE
    rows.received_us["voltage_a_dv"][3:] = NEVER_US
    write(connection, rows)
    with psycopg.connect(database.conninfo("app")) as plain:
        blocks = plain.execute(
            "select unit_id, interval_s, version, precedence, import_wh, export_wh, loss_wh, voltage_a_dv, quality"
            " from telemetry.block order by unit_id"
        ).fetchall()
        balances = plain.execute(
            "select unit_id, inflow_wh, outflow_wh, loss_wh, members_loss_wh, sigma_wh, coverage, status, computable,"
            " revision, interval_s from loss.balance order by unit_id"
        ).fetchall()
    assert blocks == [
        (1, 900, 1, [0], [1, 2, 3], [2, 3, 4], [1, MISSING_WH, -1], [2300, 2301, 2302], bytes([0, 4, 8])),
        (2, 900, 1, [4, 5], [4, 5], [5, 6], None, None, bytes([0, 4])),
    ]
    assert balances == [
        (1, 10, 20, -10, 0, 0.0, 1.0, "final", True, 1, 900),
        (2, 11, 21, -9, 1, 1 / 7, 1.0, "final", True, 1, 900),
    ]


def test_a_row_that_has_moved_on_is_not_overwritten(connection: Connection) -> None:
    rows = make_rows([2, 2], [JUNE_US, JUNE_US])
    write(connection, rows)
    late = make_rows([2, 2], [JUNE_US, JUNE_US])
    late.read_version[0], late.version[0] = 1, 2
    late.channels["import_wh"][:] = 99
    with pytest.raises(StaleVersionError, match="1 of 2"):
        write(connection, late)
    assert_equal(connection, rows)


def test_a_published_result_outlives_its_readings(connection: Connection, database: Database) -> None:
    rows = make_rows([2, 2, 2], [JUNE_US] * 3)
    write(connection, rows)
    everything = "select * from loss.balance order by unit_id"
    before = connection.execute(everything).fetchall()
    with psycopg.connect(database.conninfo("owner")) as owner:
        owner.execute("delete from telemetry.block where unit_id < 3")
    late = make_rows([1, 2, 2, 2], [JUNE_US] * 4)
    late.read_version[2:3], late.version[2:3] = 1, 2
    with pytest.raises(LostBlockError, match="2 published results are gone"):
        write(connection, late)
    assert connection.execute(everything).fetchall() == before
    assert connection.execute("select unit_id from telemetry.block").fetchall() == [(3,)]
    assert connection.execute("select count(*) from loss.superseded").fetchone() == (0,)


def test_a_result_that_was_never_published_is_begun_again(connection: Connection, database: Database) -> None:
    rows = make_rows([2], [JUNE_US])
    write(connection, rows)
    with psycopg.connect(database.conninfo("owner")) as owner:
        owner.execute("update loss.balance set revision = 0")
        owner.execute("delete from telemetry.block")
    write(connection, rows)
    assert_equal(connection, rows)


def test_units_share_a_bounded_number_of_locks_taken_in_rising_order(connection: Connection) -> None:
    shuffled = np.random.default_rng(1).permutation(5_000).tolist()
    lock_units(connection, shuffled)
    held = connection.execute(
        "select objid::bigint from pg_locks where locktype = 'advisory' and pid = pg_backend_pid() order by 1"
    ).fetchall()
    assert held == [(n,) for n in range(256)]
    plan = connection.execute("explain (costs off, verbose) " + _SQL["lock_units"], {"unit_ids": shuffled}).fetchall()
    lines = [line.strip() for (line,) in plan]
    # The lock is taken in the node above the sorted one.
    assert "pg_advisory_xact_lock" in lines[1]
    assert lines[0].startswith("Subquery Scan")
    assert not any("pg_advisory_xact_lock" in line for line in lines[2:])
    assert any("Sort" in line or "Unique" in line for line in lines[2:])


def test_two_that_lock_units_never_wait_for_each_other(database: Database) -> None:
    errors: list[Exception] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            with connect(database.conninfo("app"), "test") as connection:
                for _ in range(30):
                    with connection.transaction():
                        lock_units(connection, rng.permutation(2_000)[:300].tolist())
        except Exception as error:  # noqa: BLE001  # shown by the test
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_writers_at_once_lose_nothing(database: Database) -> None:
    """Each adds 1 to every row, so that a lost write would show in the sums."""
    units, turns, writers = 20, 5, 4
    errors: list[Exception] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            with connect(database.conninfo("app"), "test") as connection:
                for _ in range(turns):
                    unit_id = np.sort(rng.permutation(units)[: units // 2] + 1)
                    add_one(connection, unit_id.astype(np.int32))
                    done.append(len(unit_id))
        except Exception as error:  # noqa: BLE001  # shown by the test
            errors.append(error)

    def add_one(connection: Connection, unit_id: Any) -> None:
        rows = make_rows([3] * len(unit_id), [JUNE_US] * len(unit_id), unit_id.tolist())
        while True:
            try:
                with connection.transaction():
                    stored = read_blocks(connection, keys_of(rows))
                    rows.channels["import_wh"][:] = 1
                    rows.read_version[:] = 0
                    for r, key in enumerate(keys_of(rows)):
                        if key in stored:
                            rows.read_version[r] = stored[key].version
                            rows.channels["import_wh"][rows.part(r)] = stored[key].channels["import_wh"] + 1
                    rows.version[:] = rows.read_version + 1
                    write_blocks(connection, rows, balances_of(rows), no_history(rows))
                return
            except (StaleVersionError, psycopg.errors.DeadlockDetected):
                continue

    done: list[int] = []
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with connect(database.conninfo("app"), "test") as connection:
        stored = read_blocks(connection, [(unit, JUNE_US, 900) for unit in range(1, units + 1)])
        counts = [int(block.channels["import_wh"][0]) for block in stored.values()]
        assert sum(counts) == sum(done) == units // 2 * turns * writers
        assert [block.version for block in stored.values()] == counts


def test_reading_looks_at_the_keys_chunk_and_rows_alone(connection: Connection) -> None:
    """Thirty days, and a newest chunk without statistics, as it always is while it is written."""
    units = 300
    for day in range(30):
        write(connection, make_rows([1] * units, [JUNE_US + day * DAY_US] * units))
    last = JUNE_US + 29 * DAY_US
    arguments = {
        "unit_id": list(range(1, units + 1)),
        "observed_at": [to_datetime(last)] * units,
        "interval_s": [900] * units,
        "first": to_datetime(last),
        "last": to_datetime(last),
    }
    explain = sql.SQL("explain (analyze, format json) ") + sql.SQL(_SQL["read"])
    row = connection.execute(explain, arguments).fetchone()
    assert row is not None
    plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
    nodes = list(_nodes(plan[0]["Plan"]))
    scanned = {node["Relation Name"] for node in nodes if "Relation Name" in node}
    assert len(scanned) == 2, scanned
    assert sum(node.get("Rows Removed by Filter", 0) * node["Actual Loops"] for node in nodes) == 0


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def test_writing_leaves_the_catalog_alone(connection: Connection, database: Database, stack: StackSpec) -> None:
    rows = make_rows([2], [JUNE_US])
    write(connection, rows)
    rows.read_version[:], rows.version[:] = 1, 2
    write(connection, rows)
    with psycopg.connect(superuser_dsn(stack, database.section.name), autocommit=True) as superuser:
        newest = "select max(xmin::text::bigint) from pg_attribute"
        before = superuser.execute(newest).fetchone()
        rows.read_version[:], rows.version[:] = 2, 3
        write(connection, rows)
        write(connection, make_rows([2], [JUNE_US + 900_000_000]))
        assert superuser.execute(newest).fetchone() == before


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 200_000, "\x1b[2J", ""])
def test_a_rejection_is_stored_whatever_it_says(connection: Connection, text: str) -> None:
    rejection = Rejection(Reason.UNKNOWN_METER, text, text, text.encode("utf-8", "surrogatepass"), (text,))
    for _ in range(2):
        with connection.transaction():
            add_rejections(connection, [rejection], datetime.now(UTC))
    (row,) = list_rejected(connection)
    assert row.seen == 2
    assert read_original(connection, row.id) == rejection.original


def test_another_try_names_the_meters_that_are_still_unknown(connection: Connection) -> None:
    for meters in (("a", "b"), ("b",)):
        rejection = Rejection(Reason.UNKNOWN_METER, f"{len(meters)} of 2", "t", b"x", meters)
        with connection.transaction():
            add_rejections(connection, [rejection], datetime.now(UTC))
    (row,) = list_rejected(connection)
    assert (row.meters, row.detail, row.seen) == (["b"], "1 of 2", 2)


def test_a_password_may_hold_any_character(database: Database, stack: StackSpec) -> None:
    section, password = database.section, "p/a:s@s%w?o#rd"
    with psycopg.connect(superuser_dsn(stack), autocommit=True) as superuser:
        role = sql.Identifier("odd_owner")
        superuser.execute(sql.SQL("create role {} superuser login password {}").format(role, sql.Literal(password)))
        try:
            assert migrate(section.host, section.port, section.name, "odd_owner", password, "disable") == []
        finally:
            superuser.execute(sql.SQL("drop role {}").format(role))
