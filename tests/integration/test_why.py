"""Why a loss changed, on a real database: two weeks of hours in the time of Shanghai, with a truth made by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from grid.model import GreaterUnit, UnitKind, UnitParent
from meterline.cli import app
from store.connection import Connection, connect
from store.views import load_views
from sync.change import apply_change, read_change
from sync.load import load_grid
from tests.small_grid import small_model

ZONE = ZoneInfo("Asia/Shanghai")
FIRST = datetime(2026, 6, 1, tzinfo=ZONE)
HOURS = 14 * 24
#: Wednesday of the second week.
MOVED = 9 * 24
Energies = NDArray[np.int64]


def load_wh(seed: int, mean_wh: float) -> Energies:
    hour = np.arange(HOURS) % 24
    daily = 1 + 0.6 * np.sin((hour - 10) / 24 * 2 * np.pi)
    noise = np.random.default_rng(seed).uniform(0.7, 1.3, HOURS)
    return np.rint(mean_wh * daily * noise).astype(np.int64)


A1, A2 = load_wh(1, 40_000), load_wh(2, 90_000)
TECHNICAL = np.rint(500 + 2e-7 * (A1 + A2).astype(np.float64) ** 2).astype(np.int64)


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, small_model())
        yield opened


@pytest.fixture
def why(database: Any, config_path: Path) -> Any:
    """Runs the command on the test's database, whose days begin in Shanghai; gives its JSON."""
    path = config_path.with_name(f"{database.section.name}-why.toml")
    settings = config_path.read_text().replace('name = "meterline"', f'name = "{database.section.name}"')
    path.write_text(settings + '\n[settling]\ntime_zone = "Asia/Shanghai"\n')

    def run(unit: str, *options: str, weeks: bool = True) -> Any:
        dates = ("--between", "2026-06-01", "--and", "2026-06-08", "--days", "7") if weeks else ()
        return CliRunner().invoke(app, ["why", unit, *dates, *options, "--config", str(path)])

    return run


def change(connection: Connection, **values: Any) -> None:
    apply_change(connection, read_change(json.dumps(values).encode()))


def store(
    connection: Connection,
    unit: str,
    members: dict[str, Energies],
    loss_wh: Energies,
    *,
    there: NDArray[np.bool_] | None = None,
    members_loss_wh: Energies | None = None,
    technical_wh: Energies | None = None,
) -> None:
    """Store hours of a unit: readings of the members that the roster has then, and results."""
    view = load_views(connection, [unit])[unit]
    codes: dict[int, str] = dict(connection.execute("select unit_id, code from grid.unit").fetchall())
    members_loss = np.zeros(HOURS, np.int64) if members_loss_wh is None else members_loss_wh
    blocks, balances = [], []
    for i in np.flatnonzero(np.ones(HOURS, np.bool_) if there is None else there).tolist():
        end = FIRST + timedelta(hours=i + 1)
        missing = np.iinfo(np.int64).min
        imports = [missing] * view.size
        roster = view.roster(int(end.timestamp()) * 1_000_000, 3_600)
        names = dict(roster.position_of_meter) | {codes[c]: p for c, p in roster.position_of_child.items()}
        for name, position in names.items():
            if name in members:
                imports[position] = int(members[name][i]) // int(roster.multiplier[position])
        blocks.append((view.unit_id, end, 3_600, end, imports, [0] * view.size))
        known = None if technical_wh is None else float(technical_wh[i])
        balances.append(
            (
                view.unit_id,
                end,
                int(sum(members[n][i] for n in members)),
                0,
                int(loss_wh[i]),
                int(members_loss[i]),
                end,
                known,
            )
        )
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into telemetry.block (unit_id, observed_at, interval_s, version, received_at, precedence,"
            " received_us, import_wh, export_wh, quality) values (%s, %s, %s, 1, %s, '{0}', '{0}', %s, %s, '')",
            blocks,
        )
        cursor.executemany(
            "insert into loss.balance (unit_id, observed_at, interval_s, inflow_wh, outflow_wh, loss_wh,"
            " members_loss_wh, sigma_wh, coverage, status, computable, revision, received_at, technical_wh,"
            " technical_sigma_wh, systematic_sigma_wh, class)"
            " values (%s, %s, 3600, %s, %s, %s, %s, 50, 1, 'final', true, 1, %s, %s, 10, 30, 'normal')",
            balances,
        )


def move(connection: Connection, at: int) -> None:
    change(connection, kind="unit_parent", unit="A1", parent="F2", valid_from=(FIRST + timedelta(hours=at)).isoformat())


def parts(done: Any) -> tuple[dict[str, int], Any]:
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    by_name = {part["part"]: part["wh"] for part in found["parts"]}
    assert sum(by_name.values()) == found["change_wh"] == found["after"]["loss_wh"] - found["before"]["loss_wh"]
    return by_name, found


def in_second_week(values: Energies, first: int, last: int = HOURS) -> int:
    return int(values[max(first, 168) : last].sum())


def test_an_area_that_is_recorded_as_moved_and_was_not(connection: Connection, why: Any) -> None:
    move(connection, MOVED)
    gone = np.arange(HOURS) >= MOVED
    gap = (np.arange(HOURS) >= 300) & (np.arange(HOURS) < 306)
    head = A1 + A2 + TECHNICAL
    loss = TECHNICAL + np.where(gone, A1, 0)
    store(connection, "F1", {"F1-head": head, "A1": A1, "A2": A2}, loss, there=~gap, technical_wh=TECHNICAL)
    nothing = np.zeros(HOURS, np.int64)
    store(connection, "F2", {"F2-head": nothing, "A1": A1}, np.where(gone, -A1, 0))

    found, told = parts(why("F1", "--json"))
    missing = int(TECHNICAL[300 - 168 : 306 - 168].sum())
    assert found["data_quality"] == told["gaps_wh"] == -missing
    assert told["after"]["gaps"] == [{"from": "2026-06-13T04:00:00+00:00", "to": "2026-06-13T10:00:00+00:00"}]
    assert found["topology"] == pytest.approx(in_second_week(A1, MOVED) - int(A1[gap].sum()), rel=1e-4)
    technical = in_second_week(TECHNICAL, 168) - int(TECHNICAL[:168].sum()) - int(TECHNICAL[gap].sum()) + missing
    assert found["technical"] == technical
    assert abs(found["unexplained"]) < 500
    (step,) = told["steps"]
    assert (step["part"], step["late_since"]) == ("topology", None)
    assert step["share"] == pytest.approx(1.0, abs=1e-3)
    at = "2026-06-09T16:00:00+00:00"
    assert step["changes"] == [{"kind": "went", "member": "A1", "at": at, "old": None, "new": None}]

    # The feeder that it came to by the record lacks as much.
    found, _ = parts(why("F2", "--json"))
    assert found["topology"] == pytest.approx(-in_second_week(A1, MOVED), rel=1e-4)

    shown = why("F1")
    assert shown.exit_code == 0, shown.output
    assert "topology" in shown.stdout
    assert "2026-06-10 00:00 A1 went" in shown.stdout
    assert "2026-06-13 12:00 to 2026-06-13 18:00" in shown.stdout


def test_an_area_that_moved_takes_its_loss_with_it(connection: Connection, why: Any) -> None:
    """F1 lies in region R and F2 doesn't: with A1 goes the loss inside it, half of which is technical."""
    greater = (GreaterUnit("R", "Region", UnitKind.REGION), GreaterUnit("V", "Level", UnitKind.VOLTAGE_LEVEL))
    parents = (UnitParent("F1", "R"), UnitParent("F1", "V"), UnitParent("F2", "V"))
    load_grid(connection, replace(small_model(), greater=greater, parents=parents))
    move(connection, MOVED)
    stays = np.arange(HOURS) < MOVED
    lost = {"A1": A1 // 20, "A2": A2 // 20}
    for area, energy in (("A1", A1), ("A2", A2)):
        store(connection, area, {f"{area}-master": energy}, lost[area], technical_wh=lost[area] // 2)
    head = np.where(stays, A1, 0) + A2 + TECHNICAL
    below = np.where(stays, lost["A1"], 0) + lost["A2"]
    members = {"F1-head": head, "A1": A1, "A2": A2}
    store(connection, "F1", members, TECHNICAL, members_loss_wh=below, technical_wh=TECHNICAL)
    store(connection, "R", {"F1": head}, 0 * head, members_loss_wh=TECHNICAL + below)

    found, told = parts(why("F1", "--json"))
    assert not told["with_members"]
    assert (found["topology"], found["unexplained"]) == (0, 0)
    assert found["technical"] == in_second_week(TECHNICAL, 168) - int(TECHNICAL[:168].sum())

    half = TECHNICAL + lost["A2"] // 2
    for unit, options in (("F1", ("--with-members",)), ("R", ())):
        found, told = parts(why(unit, *options, "--json"))
        assert told["with_members"]
        assert found["topology"] == -int(lost["A1"][MOVED - 168 : 168].sum())
        assert found["technical"] == in_second_week(half, 168) - int(half[:168].sum())
        (step,) = told["steps"]
        assert [(c["member"], c["kind"]) for c in step["changes"]] == [("A1", "went")]

    # The voltage level has both feeders, so nothing has come or gone.
    store(connection, "F2", {"A1": A1}, 0 * A1, technical_wh=0 * A1)
    store(connection, "V", {"F1": A1 + A2}, 0 * A1, members_loss_wh=TECHNICAL + lost["A1"] + lost["A2"])
    found, told = parts(why("V", "--json"))
    assert told["steps"] == []
    every = half + lost["A1"] // 2
    assert found["technical"] == in_second_week(every, 168) - int(every[:168].sum())


def test_a_multiplier_that_was_doubled_and_recorded_a_day_late(connection: Connection, why: Any) -> None:
    late = MOVED + 24
    at = (FIRST + timedelta(hours=late)).isoformat()
    change(connection, kind="meter_multiplier", meter="A1-master", multiplier=120, valid_from=at)
    hours = np.arange(HOURS)
    wrong = (hours >= MOVED) & (hours < late)
    shown = np.where(wrong, A1 // 2, A1) // 120 * 120
    sold = A1 - TECHNICAL
    store(
        connection,
        "A1",
        {"A1-master": shown, "A1-m1": sold // 2, "A1-m2": sold - sold // 2},
        shown - sold,
        technical_wh=TECHNICAL,
    )
    found, told = parts(why("A1", "--json"))
    assert found["meter"] == pytest.approx(-in_second_week(A1 // 2, MOVED, late), rel=0.01)
    (step,) = told["steps"]
    since = (FIRST + timedelta(hours=MOVED)).isoformat()
    assert step["late_since"] == since
    assert (step["changes"][0]["old"], step["changes"][0]["new"]) == ("× 60", "× 120")
    assert abs(found["unexplained"]) < 0.02 * abs(found["meter"])


def test_a_meter_that_stood_still_until_it_was_replaced(connection: Connection, why: Any) -> None:
    at = (FIRST + timedelta(hours=MOVED)).isoformat()
    change(connection, kind="meter_replace", meter="A2-m1", new_meter="A2-new", valid_from=at)
    sold = (A2 - TECHNICAL) // 2
    before = np.arange(HOURS) < MOVED
    shown = np.where(before, 0, sold)
    members = {"A2-master": A2, "A2-m1": 0 * sold, "A2-new": sold, "A2-m2": sold}
    store(connection, "A2", members, A2 - sold - shown, technical_wh=TECHNICAL)
    found, told = parts(why("A2", "--json"))
    (step,) = told["steps"]
    # What it didn't show before is known by what is used after it, which differs by chance.
    assert abs(found["meter"] + int(sold[MOVED - 168 : 168].sum())) < 3 * step["sigma_wh"]
    assert step["sigma_wh"] < 0.1 * abs(found["meter"])
    assert step["share"] == pytest.approx(1.0, abs=0.2)
    assert step["changes"] == [
        {"kind": "meter", "member": "A2-m1", "at": "2026-06-09T16:00:00+00:00", "old": "A2-m1 × 1", "new": "A2-new × 1"}
    ]


def test_panels_that_feed_in(connection: Connection, why: Any) -> None:
    """In the second week A1 gives back at noon; the line carries less."""
    hour = np.arange(HOURS) % 24
    fed = np.where(np.arange(HOURS) < 168, 0, 30_000 * np.clip(np.sin((hour - 6) / 12 * np.pi), 0, None)).astype(int)
    flow = A1 + A2 - fed
    technical = np.rint(500 + 2e-7 * flow.astype(np.float64) ** 2).astype(np.int64)
    store(connection, "F1", {"F1-head": flow + technical}, technical, technical_wh=technical)
    with connection.cursor() as cursor:
        cursor.executemany(
            "update loss.balance set generation_wh = %s, inflow_wh = %s where observed_at = %s",
            [(int(fed[i]), int(flow[i] + technical[i] + fed[i]), FIRST + timedelta(hours=i + 1)) for i in range(HOURS)],
        )
    found, told = parts(why("F1", "--json"))
    both = (flow[:168] + flow[168:]).astype(np.float64)
    assert found["generation"] == pytest.approx(-2e-7 * float((both * fed[168:]).sum()), rel=1e-3)
    assert found["generation"] + found["technical"] == found_technical(told)
    assert found["unexplained"] == 0
    assert told["after"]["generation_wh"] == int(fed.sum())


def test_what_still_gathers_is_in_no_figure(connection: Connection, why: Any) -> None:
    loss = np.full(HOURS, 1_000, np.int64)
    store(connection, "F1", {"F1-head": A1 + loss, "A1": A1}, loss)
    connection.execute(
        "update loss.balance set revision = 0, status = 'provisional' where observed_at = %s",
        [FIRST + timedelta(hours=HOURS - 2)],
    )
    _, found = parts(why("F1", "--json"))
    assert (found["after"]["computable"], found["after"]["loss_wh"]) == (167, 167_000)


def found_technical(told: Any) -> int:
    return int(told["after"]["technical_wh"] - told["before"]["technical_wh"])


def test_what_cannot_be_told_is_said_in_a_line(connection: Connection, why: Any) -> None:
    for arguments, code, message in (
        (("nowhere",), 1, "no unit is named nowhere"),
        (("F1",), 1, "F1 has no computable interval from 2026-06-01 to 2026-06-08"),
        (("F1", "--period", "month"), 2, "give one of them"),
    ):
        done = why(*arguments)
        assert (done.exit_code, message in done.stderr) == (code, True), done.stderr
    for dates, message in (
        (("--between", "2026-06-01", "--and", "2026-06-08", "--days", "8"), "without overlap"),
        (("--between", "2026-06-08", "--and", "2026-06-01"), "--between comes first"),
        (("--between", "2026-06-01", "--and", "June"), "--and: not a date"),
        (("--between", "2026-06-01", "--and", "2026-06-30", "--period", "month"), "without overlap"),
    ):
        done = why("F1", *dates, weeks=False)
        assert (done.exit_code, message in done.stderr) == (2, True), done.stderr
    months = why("F1", "--between", "2026-05-17", "--and", "2026-06-20", "--period", "month", weeks=False)
    assert "F1 has no computable interval from 2026-05-01 to 2026-06-01" in months.stderr
