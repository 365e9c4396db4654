"""The ledger of benefits in a real database: evidence, versions, sums, shares, commands."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from fastapi import FastAPI
from psycopg_pool import ConnectionPool
from starlette.testclient import TestClient
from typer.testing import CliRunner

from benefit.ledger import Repair
from benefit.measure import Sizes, measure
from benefit.report import add_up, all_entries, explain, programme, social, summary
from benefit.update import LedgerAheadError, NotApprovedError, Updated, load_approved, update_ledger
from console.api import add_routes
from console.api.benefit import benefit_router
from console.api.desk import Desk
from console.api.flow import flow_router
from console.api.tokens import RateLimiter, Tokens, hash_of
from meterline import cli
from store.benefit import unit_codes
from store.connection import Connection, connect
from store.rollout import read_figure
from store.sync_conflicts import ConflictRow, write_conflicts
from sync.load import load_grid
from sync.proposals.lifecycle import Action, ReviewRules
from sync.proposals.review import propose, review
from sync.rollout.desk import open_ticket
from sync.rollout.report import Level, make_report
from sync.rollout.report_html import show_figure
from sync.rollout.tickets import Kind, Priority
from sync.rollout.timetable import Span
from tests.benefit_grid import (
    AREAS,
    FIRST,
    LONG_AFTER,
    PARAMETERS,
    REPAIRED,
    STOLEN_WH,
    approve_some,
    benefit_model,
    confirm,
    losses,
    publish_day,
    write_losses,
)
from tests.integration.test_alerts_api import as_, problem
from tests.served_api import ask_wrongly, serve
from tests.workflow import DESK

NOON = datetime(REPAIRED.year, REPAIRED.month, REPAIRED.day, 12, tzinfo=UTC)


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, benefit_model())
        yield opened


def update(connection: Connection, at: datetime = LONG_AFTER) -> Updated:
    return update_ledger(connection, ZoneInfo("UTC"), at)


def shown(connection: Connection) -> dict[str, Any]:
    """Everything that `benefit show --json` prints."""
    _, parameters = load_approved(connection)
    return {**summary(connection, parameters), "list": all_entries(connection)}


@pytest.fixture
def ledger(connection: Connection) -> Connection:
    """A theft that was found and ended, with its days; nothing is entered yet."""
    approve_some(connection)
    write_losses(connection, *losses())
    confirm(connection, "A1", "A1-m1", NOON, 500_000)
    return connection


def test_nothing_is_valued_by_parameters_that_nobody_approved(connection: Connection) -> None:
    with pytest.raises(NotApprovedError):
        update(connection)


def test_a_theft_that_ended_is_entered_with_its_energy_money_and_emissions(ledger: Connection) -> None:
    done = update(ledger)
    assert (done.written, done.waiting, done.effects) == ({"new": 2}, [], 1)
    avoided, recovered = all_entries(ledger)
    assert (avoided["item"], recovered["item"]) == ("loss_avoided", "recovered")
    assert avoided["energy_wh"] == pytest.approx(STOLEN_WH * 28, rel=0.1)
    assert avoided["low_wh"] <= STOLEN_WH * 28 <= avoided["high_wh"]
    assert avoided["shown"]
    assert avoided["organisation"] == "county-01"
    # A household's price, and a quarter of what isn't lost isn't generated any more.
    assert avoided["money_cents"] == round(avoided["energy_wh"] * 5283 / 100_000)
    assert avoided["co2_g"] == round(avoided["energy_wh"] / 1_000 * 570.3 * 0.25)
    assert (recovered["energy_wh"], recovered["money_cents"], recovered["co2_g"]) == (500_000, 26_415, 0)


def test_the_same_again_writes_nothing_and_says_the_same(ledger: Connection) -> None:
    update(ledger)
    first = json.dumps(shown(ledger), default=str)
    again = update(ledger)
    assert (again.written, again.effects, again.unchanged) == ({}, 0, 2)
    assert json.dumps(shown(ledger), default=str) == first


def test_two_databases_with_the_same_rows_say_the_same(make_database: Callable[[], Any]) -> None:
    said = []
    for _ in range(2):
        with connect(make_database().conninfo("app"), "test") as opened:
            opened.autocommit = True
            load_grid(opened, benefit_model())
            approve_some(opened)
            write_losses(opened, *losses())
            confirm(opened, "A1", "A1-m1", NOON, 500_000)
            update(opened)
            said.append(
                json.dumps([shown(opened), [row["digest"] for row in explain(opened, "work_order", 1)]], default=str)
            )
    assert said[0] == said[1]


def test_the_entries_add_up_to_the_report(ledger: Connection) -> None:
    for n, area in enumerate(AREAS[1:4], start=1):
        confirm(ledger, area, f"{area}-m1", NOON + timedelta(hours=n), 1_001 + n)
    update(ledger)
    found = shown(ledger)
    entries = add_up(found["list"])
    assert entries == {name: found["total"][name] for name in entries}
    assert entries == add_up(found["by_item"])
    assert sum(found["departments"].values()) == found["total"]["money_cents"]
    assert found["no_effect_shown"] == 3


def test_consecutive_reports_add_up_to_the_ledger(ledger: Connection) -> None:
    """Each books what became known in its time, whenever it was done: weeks pass before a loss is known."""
    bounds = [datetime.now(UTC)]
    for step in range(4):
        if step == 1:
            confirm(ledger, "A2", None, NOON + timedelta(hours=1), 70_000)
        if step == 2:
            loss, inflow = losses()
            day = FIRST + timedelta(days=40)
            publish_day(ledger, "A1", day, int(loss[40, 0]) + 9_000, int(inflow[40, 0]), revision=2)
        if step == 3:
            ledger.execute("update alerts.work_order set result = 'refuted' where found_wh = 70000")
        update(ledger)
        bounds.append(datetime.now(UTC))
    total = shown(ledger)["total"]
    for name, wanted in (("benefit_wh", total["energy_wh"]), ("benefit_cents", total["money_cents"])):
        parts = [read_figure(ledger, name, None, at, "UTC", since).value for since, at in pairwise(bounds)]
        assert sum(part for part in parts if part is not None) == wanted
        assert all(parts), "each step brought or took something"
        assert read_figure(ledger, name, "county-02", bounds[-1], "UTC", bounds[0]).value is None


def test_a_report_has_the_sum_of_the_entries_as_it_was_known_then(ledger: Connection) -> None:
    update(ledger)
    asked = (ledger, Span.MONTHLY, Level.WORKING)
    known = datetime.now(UTC)
    span = {"since": NOON - timedelta(days=1), "at": known}

    def figures() -> list[float | None]:
        names = ("benefit_wh", "benefit_cents")
        return [read_figure(ledger, name, None, span["at"], "UTC", span["since"]).value for name in names]

    was = figures()
    entries = all_entries(ledger)
    assert was == [sum(e["energy_wh"] for e in entries), sum(e["money_cents"] for e in entries)]
    # A report of the month in which it was done was made before anything was entered: it stays empty.
    early = make_report(*asked, NOON + timedelta(hours=1), ZoneInfo("UTC"))
    assert {f.value for f in early.figures if f.name.startswith("benefit")} == {None}
    approve_some(ledger, PARAMETERS.replace("household = 0.5283", "household = 1.0566"))
    assert update(ledger).written == {"parameters": 2}
    assert figures() == was
    span["at"] = datetime.now(UTC)
    now = figures()[1]
    assert now is not None
    assert was[1] is not None
    assert now > was[1]
    found = read_figure(ledger, "benefit_wh", None, known, "UTC", span["since"])
    assert show_figure(found, "en") == f"{sum(e['energy_wh'] for e in entries) / 1_000:,.3f} kWh"


def test_no_effect_is_credited_where_none_is_shown(connection: Connection) -> None:
    approve_some(connection)
    write_losses(connection, *losses(stolen_wh=0))
    confirm(connection, "A1", None, NOON, None)
    update(connection)
    (entry,) = all_entries(connection)
    assert (entry["energy_wh"], entry["money_cents"], entry["shown"]) == (0, 0, False)
    assert entry["sigma_wh"] > 0
    assert entry["low_wh"] < 0 < entry["high_wh"]


def test_a_restated_loss_restates_the_entry_and_the_former_one_stays(ledger: Connection) -> None:
    update(ledger)
    (was,) = explain(ledger, "work_order", 1, "loss_avoided")
    loss, inflow = losses()
    for n in range(29, 57):
        publish_day(ledger, "A1", FIRST + timedelta(days=n), int(loss[n, 0]) + 10_000, int(inflow[n, 0]), revision=2)
    assert update(ledger).written == {"restated": 1}
    before, after = explain(ledger, "work_order", 1, "loss_avoided")
    assert {**before, "check": None} == {**was, "check": None}
    assert (after["version"], after["reason"]) == (2, "restated")
    assert was["energy_wh"] - after["energy_wh"] == pytest.approx(10_000 * 28, rel=0.1)
    # Both come to the same from the revisions that they rest on.
    assert (before["check"], after["check"]) == ("same", "same")


def test_an_entry_opens_to_what_it_rests_on(ledger: Connection) -> None:
    update(ledger)
    (row,) = explain(ledger, "work_order", 1, "loss_avoided")
    assert row["evidence"]["source"]["work_order"] == 1
    effect = row["effect"]
    assert row["evidence"]["effect"] == effect["digest"]
    (treated,) = effect["evidence"]["treated"]
    assert (treated["unit"], treated["first"], treated["revisions"]) == ("A1", str(FIRST), [1] * 57)
    assert {u["unit"] for u in effect["evidence"]["controls"]} <= set(AREAS) - {"A1"}
    assert row["check"] == "same"


def test_days_that_are_not_kept_any_more_take_no_entry_away(ledger: Connection, database: Any) -> None:
    update(ledger)
    with connect(database.conninfo("owner"), "test") as owner:
        owner.execute("delete from loss.period_revision where first_day < %s", [FIRST + timedelta(days=20)])
    done = update(ledger)
    assert (done.written, len(done.waiting)) == ({}, 1)
    (row,) = explain(ledger, "work_order", 1, "loss_avoided")
    assert (row["withdrawn"], row["check"]) == (False, "gone")


def test_before_the_days_after_are_over_nothing_is_entered_of_the_loss(ledger: Connection) -> None:
    done = update(ledger, NOON + timedelta(days=9))
    assert done.written == {"new": 1}
    assert done.waiting[0]["why"] == "8 of 14 days after are over"
    assert [entry["item"] for entry in all_entries(ledger)] == ["recovered"]


def test_an_update_never_goes_back_behind_an_earlier_one(ledger: Connection) -> None:
    update(ledger)
    was = all_entries(ledger)
    for at in (NOON - timedelta(days=1), NOON + timedelta(days=20)):
        with pytest.raises(LedgerAheadError):
            update(ledger, at)
    assert all_entries(ledger) == was


def test_what_a_visit_refuted_brings_nothing(connection: Connection) -> None:
    approve_some(connection)
    write_losses(connection, *losses())
    confirm(connection, "A1", "A1-m1", NOON, 500_000, result="refuted")
    assert (update(connection).sources, all_entries(connection)) == (0, [])


def test_two_repairs_of_one_area_share_what_came_of_both(ledger: Connection) -> None:
    update(ledger)
    (alone,) = [e for e in all_entries(ledger) if e["item"] == "loss_avoided"]
    confirm(ledger, "A1", "A1-m2", NOON + timedelta(hours=1), None)
    assert update(ledger).written == {"new": 1, "restated": 1}
    shares = [e for e in all_entries(ledger) if e["item"] == "loss_avoided"]
    assert len(shares) == 2
    assert sum(e["energy_wh"] for e in shares) == alone["energy_wh"]
    assert sum(e["sigma_wh"] for e in shares) == alone["sigma_wh"]
    found = shown(ledger)
    (item,) = [row for row in found["by_item"] if row["item"] == "loss_avoided"]
    # One effect errs once, however it is shared.
    assert item["sigma_wh"] == alone["sigma_wh"]


def test_other_parameters_restate_what_they_change(ledger: Connection) -> None:
    update(ledger)
    approve_some(ledger, PARAMETERS.replace("household = 0.5283", "household = 1.0566"))
    assert update(ledger).written == {"parameters": 2}
    (recovered,) = [e for e in all_entries(ledger) if e["item"] == "recovered"]
    assert (recovered["money_cents"], recovered["version"]) == (52_830, 2)


def test_nobody_approves_their_own_parameters(connection: Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        approve_some(connection, by="wang")


def test_nothing_of_the_ledger_can_be_changed(ledger: Connection, database: Any) -> None:
    update(ledger)
    for statement in (
        "update benefit.entry set energy_wh = 1",
        "delete from benefit.effect",
        "truncate benefit.outage",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ledger.execute(statement.encode())
        with connect(database.conninfo("owner"), "test") as owner, pytest.raises(psycopg.errors.RaiseException):
            owner.execute(statement.encode())


def test_boards_see_figures_and_no_evidence(ledger: Connection, database: Any) -> None:
    update(ledger)
    with connect(database.conninfo("board"), "test") as board:
        assert len(board.execute("select * from benefit.figure").fetchall()) == 2
        for table in ("entry", "parameters"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                board.execute(f"select * from benefit.{table}".encode())
            board.rollback()


def test_the_programme_counts_what_was_measured_and_adds_up(ledger: Connection) -> None:
    update(ledger)
    _, parameters = load_approved(ledger)
    found = programme(ledger, parameters, ZoneInfo("UTC"))
    # What was billed after all counts once, in the year in which it was found.
    (gain,) = found["measured"]
    avoided, recovered = all_entries(ledger)
    assert gain == {
        "unit": "county-01", "year": 2026, "once_cents": recovered["money_cents"],
        "yearly_cents": round(avoided["money_cents"] * 365 / 28),
    }  # fmt: skip
    assert sum(unit["npv_cents"] for unit in found["units"]) == found["all"]["npv_cents"]
    assert [bar["swing_cents"] for bar in found["tornado"]] == sorted(
        (bar["swing_cents"] for bar in found["tornado"]), reverse=True
    )


def test_the_commands(ledger: Connection, config_path: Path, tmp_path: Path, monkeypatch: Any, database: Any) -> None:
    monkeypatch.setenv("METERLINE_DATABASE__NAME", database.section.name)
    monkeypatch.setenv("METERLINE_CONFIG", str(config_path))

    def run(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(cli.app, ["benefit", *words])
        assert done.exit_code == code, done.output
        return done.output

    assert "--until must be later" in run("show", "--since", "2026-05-01", "--until", "2026-04-01", code=2)
    assert json.loads(run("update", "--json"))["written"] == {"new": 2}
    assert "entries: none new, 2 as they were" in run("update")
    said = run("show", "--json")
    assert run("show", "--json") == said
    assert len(json.loads(said)["list"]) == 2
    text = run("show")
    assert "by department: dispatch" in text
    assert "how exact that is isn't known" in text
    text = run("explain", "work_order", "1")
    assert "an effect is shown" in text
    assert "500.000 kWh ± not known" in text
    assert "0 units were none, since something was done at them too" in text
    assert "computed again: same" in text
    assert "simple comparison of before and after" in text
    run("explain", "work_order", "9", code=1)
    assert json.loads(run("model", "--json"))["all"]["npv_cents"]
    assert "all" in run("model")
    assert "saidi_minutes: 0.000 min, measured" in run("social", "--since", "2026-01-01", "--until", "2026-12-31")
    file = tmp_path / "parameters.toml"
    file.write_text(PARAMETERS.replace('currency = "CNY"', 'currency = "EUR"'))
    assert json.loads(run("parameters", "load", str(file), "--reason", "euro", "--by", "li", "--json"))["new"]
    run("parameters", "approve", "2", "--by", "li", code=1)
    run("parameters", "approve", "2", "--by", "zhao")
    assert "approved by zhao" in run("parameters", "list")
    file.write_text("currency = 3")
    run("parameters", "load", str(file), "--reason", "wrong", code=1)


@pytest.fixture
def client(ledger: Connection, database: Any, tmp_path: Path) -> Iterator[TestClient]:
    update(ledger)
    file = tmp_path / "tokens.toml"
    who = {"county1": "unit", "county2": "unit", "leader": "leading_group", "marketer": "marketing"}
    units = {"county1": "county-01", "county2": "county-02"}
    file.write_text(
        "\n".join(
            f'[[tokens]]\nname = "{name}"\nsha256 = "{hash_of(name)}"\nroles = ["{role}"]\n'
            + (f'unit = "{units[name]}"\n' if name in units else "")
            for name, role in who.items()
        )
    )
    made = FastAPI(openapi_url="/api/openapi.json")
    options = {"autocommit": True, "options": "-c timezone=UTC"}
    pool = ConnectionPool[Connection](database.conninfo("app"), kwargs=options, min_size=1, max_size=3, open=False)
    with pool:
        limiter = RateLimiter(100_000, 100_000, time.monotonic)
        desk = Desk(pool, Tokens(file), limiter, limiter, lambda: datetime.now(UTC))
        add_routes(made, [benefit_router(desk, ZoneInfo("UTC")), flow_router(desk, timedelta(days=90))])
        yield TestClient(made, raise_server_exceptions=True)


def test_the_api_says_what_the_ledger_says_to_those_whom_it_concerns(client: TestClient) -> None:
    county, other, leader = as_(client, "county1"), as_(client, "county2"), as_(client, "leader")
    found = leader.get("/rollout/benefit").json()
    assert found["entries"] == 2
    entries = leader.get("/rollout/benefit/entries").json()
    assert entries["next"] is None
    assert sum(row["energy_wh"] for row in entries["items"]) == found["total"]["energy_wh"]
    first = leader.get("/rollout/benefit/entries", params={"limit": 1}).json()
    assert first["next"] == "work_order/1/loss_avoided"
    second = leader.get("/rollout/benefit/entries", params={"limit": 1, "after": first["next"]}).json()
    assert [*first["items"], *second["items"]] == entries["items"]
    assert county.get("/rollout/benefit").json()["total"] == found["total"]
    assert other.get("/rollout/benefit").json()["entries"] == 0
    problem(other.get("/rollout/benefit", params={"organisation": "county-01"}), 403)
    problem(as_(client, "marketer").get("/rollout/benefit"), 403)
    problem(as_(client, None).get("/rollout/benefit"), 401)
    (row, _) = leader.get("/rollout/benefit/entries/work_order/1").json()["items"]
    assert (row["item"], row["check"]) == ("loss_avoided", "same")
    problem(county.get("/rollout/benefit/entries/work_order/1"), 403)
    problem(leader.get("/rollout/benefit/entries/work_order/7"), 404)
    assert leader.get("/rollout/benefit/model").json()["all"]["npv_cents"]
    span = {"since": "2026-01-01T00:00:00Z", "until": "2026-12-31T00:00:00Z"}
    names = [row["name"] for row in county.get("/rollout/benefit/social", params=span).json()["items"]]
    assert names[:3] == ["saidi_minutes", "saifi", "caidi_minutes"]
    problem(leader.get("/rollout/benefit/social", params={"since": span["until"], "until": span["since"]}), 422)


def test_the_api_tells_the_groups_how_the_work_flows(client: TestClient, ledger: Connection) -> None:
    number = open_ticket(
        ledger, DESK, Kind.CHANGE, "county-01", Priority.NORMAL, "Swaps", "x", "clerk",
        datetime.now(UTC) - timedelta(days=100),
    )  # fmt: skip
    leader = as_(client, "leader")
    found = leader.get("/rollout/flow").json()
    assert [flow["process"] for flow in found["processes"]] == ["conflict", "delivery", "alert", "ticket"]
    (ticket,) = leader.get("/rollout/flow", params={"process": "ticket"}).json()["processes"]
    # It began before, and still waits; nothing else is known of tickets.
    assert (ticket["cases"], ticket["lead_p50_s"], ticket["older"][0]["cases"]) == (0, None, 1)
    long_ago = {"process": "ticket", "since": (datetime.now(UTC) - timedelta(days=200)).isoformat()}
    (ticket,) = leader.get("/rollout/flow", params=long_ago).json()["processes"]
    assert (number, ticket["cases"], ticket["older"]) == (1, 1, [])
    problem(as_(client, "county1").get("/rollout/flow"), 403)
    problem(as_(client, None).get("/rollout/flow"), 401)
    problem(leader.get("/rollout/flow", params={"at": "2090-01-01T00:00:00Z"}), 422)
    problem(leader.get("/rollout/flow", params={"since": "2020-01-02T00:00:00Z", "at": "2020-01-01T00:00:00Z"}), 422)
    problem(leader.get("/rollout/flow", params={"process": "billing"}), 422)
    turned = {"since": "2026-12-31T00:00:00Z", "until": "2026-01-01T00:00:00Z"}
    problem(leader.get("/rollout/benefit", params=turned), 422)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_api_stands_what_nobody_should_ask(client: TestClient, tmp_path: Path) -> None:
    with serve(client.app) as url:
        ask_wrongly(
            url, "leader", tmp_path, '"2xx", "404", "409", "422"', "--include-path-regex", "benefit|flow", examples=10,
            timeout_s=500,
        )  # fmt: skip


def test_outages_are_kept_compared_and_counted(connection: Connection) -> None:
    approve_some(connection)
    rows = [("A1", 0, 30, 40, None), ("A2", 60, 180, 10, None), ("A3", 0, 4, 99, None), ("A4", 0, 60, 50, "work")]
    for unit, begin, end, meters, planned in rows:
        connection.execute(
            """
            insert into alerts.finding (
              fingerprint, kind, severity, unit_id, begin_at, seen_at, ended_at, figures, evidence
            )
            select 'outage:' || code, 'outage', 'critical', unit_id, %(from)s, %(to)s, %(to)s,
              jsonb_build_object('meters', %(meters)s::int), '{}'
            from grid.unit where code = %(unit)s
            """,
            {
                "unit": unit,
                "from": NOON + timedelta(minutes=begin),
                "to": NOON + timedelta(minutes=end),
                "meters": meters,
            },
        )
        if planned:
            connection.execute(
                "insert into alerts.maintenance (unit_id, during, reason, created_by) "
                "select unit_id, tstzrange(%s, %s), 'cable', 'li' from grid.unit where code = %s",
                [NOON - timedelta(hours=1), NOON + timedelta(hours=2), unit],
            )
    update(connection)
    # Findings go when they are old; what was kept of them stays.
    connection.execute("delete from alerts.finding")
    assert update(connection).written == {}
    _, parameters = load_approved(connection)
    found = {row["name"]: row for row in social(connection, parameters, NOON - timedelta(days=1), LONG_AFTER)}
    customers = 2 * len(AREAS)
    assert found["saidi_minutes"]["value"] == pytest.approx((40 * 30 + 10 * 120) / customers)
    assert found["saifi"]["value"] == pytest.approx(50 / customers)
    assert found["caidi_minutes"]["value"] == pytest.approx(48)
    assert found["maifi"]["value"] == pytest.approx(99 / customers)
    assert found["restore_minutes"]["value"] == pytest.approx(75)
    assert found["saidi_planned_minutes"]["value"] == pytest.approx(60 * 50 / customers)
    # Against 90 minutes before: sooner, and later; what was over in a moment is compared with nothing.
    avoided_s = 40 * 60 * 60 - 10 * 30 * 60
    assert found["outage_customer_hours_avoided"]["value"] == pytest.approx(avoided_s / 3_600)
    assert found["outage_customer_hours_avoided"]["basis"] == "estimate"
    assert found["saidi_minutes"]["basis"] == "measured"


def propose_a_move(connection: Connection) -> int:
    """A meter that the records have in A1 and that hangs in A2: proposed and applied by four eyes; the proposal."""
    now = datetime.now(UTC)
    connection.execute("insert into sync.entity (entity_id, kind, code) values (1, 'meter', 'A1-m1')")
    row = ConflictRow(
        b"1" * 16, "impossible", "meter", 1, "area", "model", "meter", "A1-m1", "marketing", "A2", "A1",
        {"model": "A1", "voltage": "A2"}, 0.99,
    )  # fmt: skip
    with connection.transaction():
        write_conflicts(connection, [row], now)
    (number,) = connection.execute("select conflict_id from sync.conflict").fetchall()[0]
    (done,) = propose(connection, [number], "li", "voltage", ReviewRules(), now, now)
    assert done.proposal_id is not None
    review(connection, done.proposal_id, Action.APPROVE, "wang", "metering", None, now)
    assert review(connection, done.proposal_id, Action.APPROVE, "zhao", "operation", None, now).state == "applied"
    return done.proposal_id


def test_a_repaired_relation_is_entered_once_and_taken_back_with_it(connection: Connection) -> None:
    approve_some(connection)
    number = propose_a_move(connection)
    connection.execute("update sync.conflict set closed_at = now()")
    now = datetime.now(UTC)
    # The conflict that it resolved isn't counted beside it; of the loss nothing is known yet.
    done = update(connection, now)
    assert (done.written, [one["why"] for one in done.waiting]) == ({"new": 1}, ["0 of 14 days after are over"])
    (entry,) = all_entries(connection)
    assert (entry["source"], entry["source_id"], entry["unit"], entry["basis"]) == (
        "proposal",
        number,
        "A1",
        "estimate",
    )
    assert (entry["visits_milli"], entry["work_s"], entry["money_cents"]) == (1_000, 9_000, 18_000)
    (row,) = explain(connection, "proposal", number)
    assert row["evidence"]["source"]["before"] == {"area": "A1"}
    review(connection, number, Action.UNDO, "wang", "metering", "it was right", now)
    written = update(connection, datetime.now(UTC)).written
    assert written["withdrawn"] == 1
    # What is left is a conflict that went by itself: nobody has earned a visit.
    assert all_entries(connection) == []
    assert [(row["version"], row["withdrawn"]) for row in explain(connection, "proposal", number)] == [
        (1, False),
        (2, True),
    ]


def test_energy_that_moves_between_two_areas_is_no_benefit(connection: Connection) -> None:
    approve_some(connection)
    loss, inflow = losses(stolen_wh=0)
    loss[29:, 0] -= 40_000
    loss[29:, 1] += 40_000
    write_losses(connection, loss, inflow)
    confirm(connection, "A1", None, NOON, None)
    confirm(connection, "A2", None, NOON, None)
    # Each by itself has changed; as one, which a relation repaired between them makes of them, they have not.
    update(connection)
    assert [e["shown"] for e in all_entries(connection)] == [True, True]
    units = unit_ids(connection, "A1", "A2")
    together = measure(
        connection,
        Repair((0,), units, REPAIRED, REPAIRED),
        REPAIRED + timedelta(days=28),
        frozenset(),
        load_approved(connection)[1].windows,
        unit_codes(connection, units),
        Sizes(),
    )
    assert not together.values["shown"]
    assert together.values["low_wh"] < 0 < together.values["high_wh"]


def unit_ids(connection: Connection, *codes: str) -> tuple[int, ...]:
    rows = connection.execute("select unit_id from grid.unit where code = any(%s) order by 1", [list(codes)])
    return tuple(row[0] for row in rows)
