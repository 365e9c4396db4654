"""The daily job of abnormal usage on the real database: theft, a closed account, vacancy, late data, repetition."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from alerts.evaluate import evaluate
from alerts.lifecycle import Action
from alerts.operate import operate
from alerts.routing import Routing
from alerts.rules import AlertPolicy
from grid.model import Account, AccountStatus, Feeder, GridModel, Meter, Role, Substation, TransformerArea, UnitKind
from grid.quality import MISSING_WH
from meterline import cli
from meterline.usage import run_through
from store.connection import Connection, connect
from store.views import load_views
from streams.usage import UsageCounts, UsageRules
from streams.usage_findings import Told
from sync.load import load_grid
from tests.integration.conftest import Database
from tests.usage_area import store_readings

BERLIN = ZoneInfo("Europe/Berlin")
BEGIN = date(2026, 2, 2)
DAYS = 70
METERS = 12
THIEF, CLOSED, VACANT = 3, 5, 7
#: The theft and the vacancy begin, the account ends.
SINCE = 40
MASTER = "A1-master"
CODES = [MASTER, *(f"A1-m{n}" for n in range(METERS))]
THIEF_CODE, CLOSED_CODE = CODES[1 + THIEF], CODES[1 + CLOSED]
RULES = UsageRules(BERLIN, told=Told(prices={"household": 0.3}))
TARGET = BEGIN + timedelta(days=DAYS - 1)


def model() -> GridModel:
    accounts = tuple(Account(f"a{n}", "household", 8_000) for n in range(METERS))
    meters = [Meter(MASTER, "A1", Role.GATEWAY, 10, 0.2), Meter("F1-head", "F1", Role.GATEWAY, 40, 0.2)]
    meters += [Meter(CODES[n + 1], "A1", Role.CUSTOMER, account=f"a{n}") for n in range(METERS)]
    return GridModel(
        substations=(Substation("S", "South", 110_000, 20_000),),
        feeders=(Feeder("F1", "First", "S"),),
        areas=(TransformerArea("A1", "Area 1", UnitKind.AREA, "headend", "F1", 400_000, 600.0, 4_000.0),),
        meters=tuple(meters),
        accounts=accounts,
        feeder_gateways={"F1": "rtu"},
    )


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=BERLIN).astimezone(UTC)


def ends() -> NDArray[np.int64]:
    """Ends of the hours of all days, by the local clock: one day has 23."""
    begin, end = (int(midnight(BEGIN + timedelta(days=n)).timestamp()) for n in (0, DAYS))
    return np.arange(begin + 3_600, end + 1, 3_600)


def readings() -> NDArray[np.int64]:
    """Hours of the master meter and the customers'."""
    random = np.random.default_rng(7)
    hours = len(ends())
    shape = 200 + 150 * np.sin(np.arange(hours) / 24 * 2 * np.pi) + 400 * (np.arange(hours) % 24 >= 17)
    size = random.uniform(0.6, 1.8, METERS)
    use = shape[:, None] * size * random.lognormal(0.0, 0.25, (hours, METERS))
    after = np.arange(hours) >= SINCE * 24
    use[after, VACANT] *= 0.03
    shown = use.copy()
    shown[after, THIEF] *= 0.25
    master = use.sum(axis=1) * 1.004 / 10
    found: NDArray[np.int64] = np.rint(np.column_stack([master, shown])).astype(np.int64)
    return found


@pytest.fixture
def open_one(database: Database) -> Callable[[], Connection]:
    return partial(connect, database.conninfo("app"), "test")


@pytest.fixture
def connection(open_one: Callable[[], Connection]) -> Iterator[Connection]:
    with open_one() as opened:
        opened.autocommit = True
        load(opened)
        yield opened


def load(connection: Connection) -> None:
    """The model, and later that an account has ended."""
    load_grid(connection, model())
    closed = replace(model().accounts[CLOSED], status=AccountStatus.CLOSED)
    accounts = tuple(closed if a.code == closed.code else a for a in model().accounts)
    load_grid(connection, replace(model(), accounts=accounts), midnight(BEGIN + timedelta(days=SINCE)))


def put(connection: Connection, wh: NDArray[np.int64], hours: slice = slice(None), sequence: int = 1) -> None:
    """Readings of some hours; the area has no network in the model, so its technical loss is put beside them."""
    view = load_views(connection, ["A1"])["A1"]
    store_readings(connection, view, CODES, ends()[hours], 3_600, wh[hours], sequence=sequence)
    # What was written within a second isn't looked at yet: another transaction might still write what was before.
    connection.execute(
        "update loss.balance set technical_wh = 0.002 * inflow_wh, recorded_at = now() - interval '2 s'"
        " where technical_wh is null"
    )


def fold(connection: Connection, target: date = TARGET) -> UsageCounts:
    return run_through(connection, RULES, target)


def said(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """All that the job has said, but for numbers that the database gave."""
    queries = {
        "state": "select day, version, state from usage.state order by day",
        "days": "select * from usage.area_day order by day",
        "conclusions": "select * from usage.conclusion order by day, meter",
        "findings": "select meter, kind, confidence, begin_at, opened_at, seen_at, ended_at, expected_wh, reasons,"
        " evidence from usage.finding order by meter, opened_at",
        "area": "select * from usage.area",
    }
    return {name: connection.execute(query).fetchall() for name, query in queries.items()}


@pytest.fixture
def run(database: Database, config_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a command on the test's database; what it prints as JSON, or its error."""
    monkeypatch.setenv("METERLINE_CONFIG", str(config_path))
    monkeypatch.setenv("METERLINE_DATABASE__NAME", database.section.name)
    monkeypatch.setenv("METERLINE_SETTLING__TIME_ZONE", "Europe/Berlin")

    def entry(*arguments: str, code: int = 0) -> Any:
        result = CliRunner().invoke(cli.app, [*arguments, "--json"], catch_exceptions=False)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout) if code == 0 else result.stderr

    return entry


def test_theft_and_a_closed_account_are_found_and_vacancy_is_not(
    connection: Connection, run: Callable[..., Any], tmp_path: Path
) -> None:
    put(connection, readings())
    assert fold(connection).area_days == DAYS
    found = {f["meter"]: f for f in run("usage", "list")}
    assert {meter: f["kind"] for meter, f in found.items()} == {THIEF_CODE: "theft", CLOSED_CODE: "no_contract"}
    theft, closed = found[THIEF_CODE], found[CLOSED_CODE]
    begun = midnight(BEGIN + timedelta(days=SINCE))
    # By the day: one since then had 23 hours.
    assert datetime.fromisoformat(theft["begin_at"]) == begun
    assert datetime.fromisoformat(closed["begin_at"]) == begun
    # Three quarters of what it took are not counted: as energy over 28 days, within a third.
    robbed_wh = int(readings()[-28 * 24 :, 1 + THIEF].sum() * 3)
    assert 0.67 * robbed_wh < theft["expected_wh"] < 1.33 * robbed_wh
    free_wh = int(readings()[-28 * 24 :, 1 + CLOSED].sum())
    assert 0.67 * free_wh < closed["expected_wh"] < 1.33 * free_wh
    assert found == {f["meter"]: f for f in sorted(run("usage", "list"), key=lambda f: -f["worth_wh"])}

    before = said(connection)
    assert fold(connection).area_days == 0
    assert said(connection) == before

    story = run("usage", "explain", THIEF_CODE)
    assert story["findings"][0]["finding_id"] == theft["finding_id"]
    assert any("theft" in line for line in story["story"])
    assert story["evidence"]["series"] == before["days"][-1][3].hex()
    assert "Nothing was found" in " ".join(run("usage", "explain", CODES[1 + VACANT])["story"])
    assert "no day of a customer's meter" in run("usage", "explain", "nobody", code=1)


def test_a_finding_is_alerted_checked_and_learnt_from(
    connection: Connection, run: Callable[..., Any], tmp_path: Path
) -> None:
    put(connection, readings())
    fold(connection)
    now = midnight(TARGET + timedelta(days=1))
    opened = evaluate(connection, AlertPolicy(), Routing.to_all(("marketing",)), now)
    found = {f["meter"]: f for f in run("usage", "list")}
    alerts = {f["alert_id"] for f in found.values()}
    assert None not in alerts
    assert alerts <= {event.alert_id for event in opened if event.event == "opened"}
    theft, closed = found[THIEF_CODE], found[CLOSED_CODE]

    picture = tmp_path / "thief.png"
    ask = ("usage", "explain", THIEF_CODE, "--plot", str(picture), "--reader", "crew-3")
    assert "assigned to you" in run(*ask, code=1)
    run("workorder", "create", str(theft["alert_id"]), "--to", "crew-3", "--by", "wang")
    run(*ask)
    assert picture.read_bytes().startswith(b"\x89PNG")
    readers = connection.execute("select reader, meter from alerts.series_read").fetchall()
    assert readers == [("crew-3", THIEF_CODE)]

    check = ("usage", "check", str(theft["finding_id"]), "--note", "bridge behind the meter", "--by", "li")
    assert run(*check, "--result", "confirmed")["recorded_with"].startswith("work order")
    assert "checked already" in run(*check, "--result", "innocent", code=1)
    (order,) = run("workorder", "list", "--state", "done")
    assert (order["result"], order["done_by"]) == ("confirmed", "li")
    run("usage", "check", str(closed["finding_id"]), "--result", "innocent", "--note", "new contract", "--by", "li")
    assert run("usage", "list") == []
    assert [f["result"] for f in run("usage", "list", "--all")].count("refuted") == 1
    (month,) = run("usage", "precision", "--k", "1")
    assert (month["visits"], month["confirmed"], month["precision"]) == (2, 1, 0.5)
    # What was found innocent is worth less in the same area than before.
    again = {f["meter"]: f for f in run("usage", "list", "--all")}
    assert again[CLOSED_CODE]["chance"] < closed["chance"]
    assert again[THIEF_CODE]["chance"] > theft["chance"]


def test_a_crew_comes_home_when_the_alert_is_over(connection: Connection, run: Callable[..., Any]) -> None:
    put(connection, readings())
    fold(connection)
    now = midnight(TARGET + timedelta(days=1))
    evaluate(connection, AlertPolicy(), Routing.to_all(("marketing",)), now)
    found = {f["meter"]: f for f in run("usage", "list")}
    for meter, action, result in ((THIEF_CODE, Action.RESOLVE, "confirmed"), (CLOSED_CODE, Action.CLOSE, "not-found")):
        finding, alert = found[meter]["finding_id"], found[meter]["alert_id"]
        operate(connection, alert, action, "li", "it has passed", now)
        check = ("usage", "check", str(finding), "--result", result, "--by", "li")
        assert "must be said" in run(*check, "--note", " ", code=1)
        assert run(*check, "--note", "long sealed " * 100)["recorded_with"] == f"alert {alert}"
        assert "checked already" in run(*check, "--note", "again", code=1)
    results = {f["meter"]: f["result"] for f in run("usage", "list", "--all")}
    assert results == {THIEF_CODE: "confirmed", CLOSED_CODE: "not_found"}
    (month,) = run("usage", "precision")
    assert (month["visits"], month["confirmed"]) == (2, 1)


def test_what_is_not_there_is_said(connection: Connection, run: Callable[..., Any]) -> None:
    put(connection, readings())
    fold(connection)
    before = said(connection)
    tomorrow = (datetime.now(BERLIN) + timedelta(days=1)).date().isoformat()
    for command in (("run", "--once"), ("associate",)):
        assert "is not closed yet" in run("usage", *command, "--day", tomorrow, code=2)
        assert "no such day" in run("usage", *command, "--day", "0001-01-01", code=2)
        assert "no area 'A9'" in run("usage", *command, "--area", "A9", code=1)
    assert said(connection) == before
    assert "no area 'A9'" in run("usage", "list", "--area", "A9", code=1)
    assert "'thef' is none of no_contract, " in run("usage", "list", "--kind", "thef", code=2)
    assert run("usage", "list", "--kind", "single_outage", "--area", "A1") == []


def test_late_data_come_to_the_same_as_data_in_order(
    connection: Connection, make_database: Callable[[], Database]
) -> None:
    whole = readings()
    put(connection, whole)
    for n in range(3, DAYS, 5):
        fold(connection, BEGIN + timedelta(days=n))
    fold(connection)
    late = whole.copy()
    late[33 * 24 : 36 * 24, 1:6] = MISSING_WH
    with connect(make_database().conninfo("app"), "test") as other:
        other.autocommit = True
        load(other)
        put(other, late, slice(0, 50 * 24))
        fold(other, BEGIN + timedelta(days=48))
        # A day is not there at all, and what lacked comes after days that were folded.
        put(other, whole, slice(50 * 24, 55 * 24))
        put(other, whole, slice(56 * 24, None))
        fold(other, BEGIN + timedelta(days=60))
        assert said(other) != said(connection)
        put(other, whole, slice(33 * 24, 36 * 24), sequence=2)
        put(other, whole, slice(55 * 24, 56 * 24), sequence=2)
        counts = fold(other)
        assert counts.folded_again == 1
        for name, rows in said(connection).items():
            assert said(other)[name] == rows, name
        # What was settled again and says the same is not folded again.
        other.execute("update loss.balance set recorded_at = now() - interval '2 s'")
        assert fold(other).area_days == 0


def test_states_take_few_bytes_and_old_ones_go(connection: Connection) -> None:
    put(connection, readings())
    for n in range(0, DAYS, 9):
        fold(connection, BEGIN + timedelta(days=n))
    fold(connection)
    rows = connection.execute("select day, octet_length(state) from usage.state order by day").fetchall()
    ends_of_months = [date(2026, 2, 28), date(2026, 3, 31)]
    assert [day for day, _ in rows] == [*ends_of_months, TARGET]
    # Arrays, and a header of what they are.
    assert all(size <= 256 * len(CODES) + 1_024 for _, size in rows)
