"""First reconciliation of the stock (存量数据核对): a model with mistakes, systems that know better, who decides."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pytest

from grid.model import GridModel, UnitKind
from meterline.city import make_city
from store.connection import Connection, connect
from store.sync_conflicts import list_conflicts, read_rate_totals
from store.sync_grid import read_grid_view
from store.sync_indicators import read_indicators
from store.sync_proposals import find_to_propose
from sync.load import load_grid
from sync.mapping import SourceMapping, parse_mapping
from sync.match import match
from sync.proposals.lifecycle import Action, ReviewRules
from sync.proposals.review import propose, review
from sync.take import TakeRules, find_files, take_file
from tests.integration.conftest import Database
from tests.waiting import until
from twin.city import City
from twin.sources.faults import FaultPlan
from twin.sources.headend import write_headend
from twin.sources.write import write_sources

DAY = date(2026, 6, 1)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
WRONG = 6
#: Of a statement that is short.
LIMIT_S = 1


@pytest.fixture(scope="module")
def city() -> City:
    return make_city("demonstration", areas=8, seed=6, events="none")


@pytest.fixture(scope="module")
def mapping() -> SourceMapping:
    return parse_mapping((files("sync") / "default_mapping.toml").read_text("utf-8"))


def spoilt(model: GridModel) -> tuple[GridModel, dict[str, str], list[str]]:
    """The model with customers under a wrong area and accounts of wrong capacity; where they belong, and which."""
    areas = [area.code for area in model.areas if area.kind is UnitKind.AREA]
    chosen = [m for m in model.meters if m.account is not None and m.unit in areas][:: len(model.meters) // 20][
        : 2 * WRONG
    ]
    moved = {m.code: m.unit for m in chosen[:WRONG]}
    accounts = [str(m.account) for m in chosen[WRONG:]]
    meters = tuple(
        replace(m, unit=areas[(areas.index(m.unit) + 1) % len(areas)]) if m.code in moved else m for m in model.meters
    )
    wrong = tuple(replace(a, contract_w=a.contract_w + 7_000) if a.code in accounts else a for a in model.accounts)
    return replace(model, meters=meters, accounts=wrong), moved, accounts


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        yield opened


def take(connection: Connection, city: City, mapping: SourceMapping, folder: Path, at: datetime) -> int:
    write_headend(write_sources(city.network, city.recorded, folder, 6, FaultPlan({})), folder)
    return sum(
        take_file(connection, file, system.name, TakeRules(withheld=mapping.withheld(system.name)), at).added
        for system in sorted(folder.iterdir())
        for file in find_files(system)
    )


def test_the_stock_is_put_right_by_those_who_keep_it(
    connection: Connection, city: City, mapping: SourceMapping, tmp_path: Path
) -> None:
    model, moved, accounts = spoilt(city.recorded)
    load_grid(connection, model)
    assert (len(moved), len(accounts)) == (WRONG, WRONG)
    take(connection, city, mapping, tmp_path, NOW)
    first = match(connection, mapping, DAY, NOW)
    open_ones = list_conflicts(connection, None, None, None, None, False, 1_000)
    # Each mistake of the model is found, as the model's, and nothing else.
    assert {(row["field"], row["code"]) for row in open_ones} == {("area", m) for m in moved} | {
        ("contract_w", a) for a in accounts
    }
    assert {row["system"] for row in open_ones} == {"model"}
    assert first.conflicts.found == 2 * WRONG
    (wrong_rate,) = [r for r in read_rate_totals(connection, DAY) if r["relation"] == "transformer_customer"]
    assert wrong_rate["relations"] - wrong_rate["consistent"] == WRONG

    last = connection.execute("select coalesce(max(id), 0) from grid.outbox").fetchone()
    assert last is not None
    rules = ReviewRules()
    ids = find_to_propose(connection, None, None, 0.0, 1_000)
    proposed = propose(connection, ids, "li", "stock verification", rules, NOW, SINCE)
    assert len(proposed) == 2 * WRONG
    for each in proposed:
        assert each.proposal_id is not None
        row = review(connection, each.proposal_id, Action.APPROVE, "wang", "marketing", None, NOW)
        assert row.state == "open"
        assert review(connection, each.proposal_id, Action.APPROVE, "zhao", "operation", None, NOW).state == "applied"

    # The model says what the systems say, each changed unit is told of, and both areas are settled again.
    with connection.transaction():
        grid = read_grid_view(connection)
    unit = {meter.code: meter.unit for meter in grid.meters.values()}
    assert {code: unit[code] for code in moved} == moved
    capacity = {account.code: account.contract_w for account in grid.accounts.values()}
    right = {account.code: account.contract_w for account in city.recorded.accounts}
    assert capacity == {code: float(contract_w) for code, contract_w in right.items()}
    again = connection.execute(
        "select distinct aggregateid from grid.outbox where id > %s and aggregatetype = 'resettle'", last
    ).fetchall()
    concerned = set(moved.values()) | {m.unit for m in model.meters if m.code in moved}
    assert concerned <= {code for (code,) in again}

    later = NOW + timedelta(days=1)
    second = match(connection, mapping, later.date(), later)
    assert (second.conflicts.found, second.conflicts.closed, second.unsure) == (0, 2 * WRONG, 0)
    assert {rate["rate"] for rate in read_rate_totals(connection, later.date())} == {1.0}
    # Told as known then: what there is was recorded today, whichever day the extracts are of.
    told = read_indicators(connection, NOW, max(later, datetime.now(UTC)) + timedelta(days=1), "UTC")
    assert (told.whole["open_conflicts"].value, told.whole["consistency"].value) == (0, 1)
    assert told.whole["conflict_hours"].value == pytest.approx(24)
    assert told.whole["completeness"].value == 1


@contextmanager
def held_up(database: Database, connection: Connection, table: str) -> Iterator[None]:
    """What writes to `table` waits longer than the time limit, on any machine."""
    with connect(database.conninfo("app"), "other") as other:
        other.execute(f"lock table {table} in share row exclusive mode".encode())

        def let_go() -> bool:
            waiting = "select from pg_locks where not granted and pid = %s"
            until(lambda: other.execute(waiting, [connection.info.backend_pid]).rowcount, "the load waits")
            time.sleep(2 * LIMIT_S)
            other.rollback()
            return True

        with ThreadPoolExecutor(1) as beside:
            waited = beside.submit(let_go)
            yield
            assert waited.result()


def test_a_bulk_take_and_load_are_not_cut_off_by_the_roles_time_limit(
    connection: Connection, database: Database, city: City, tmp_path: Path
) -> None:
    connection.execute(f"set statement_timeout = '{LIMIT_S}s'".encode())
    with held_up(database, connection, "grid.unit"):
        load_grid(connection, city.recorded)
    rows = "\n".join(f"{n},name {n}" for n in range(60_000))
    (tmp_path / "lines.csv").write_text(f"line_number,name\n{rows}\n")
    with held_up(database, connection, "sync.record"):
        assert take_file(connection, tmp_path / "lines.csv", "marketing", TakeRules(), NOW).added == 60_000
    # What isn't bulk is still bound by it.
    shown = connection.execute("show statement_timeout").fetchone()
    assert shown == (f"{LIMIT_S}s",)
