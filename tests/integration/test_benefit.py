"""The ledger of benefits in a real database: evidence, versions, sums, shares, commands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from benefit.report import add_up, all_entries, explain, programme, social, summary
from benefit.update import LedgerAheadError, NotApprovedError, load_approved
from store.connection import Connection, connect
from store.rollout import read_figure
from sync.load import load_grid
from sync.rollout.report import Level, make_report
from sync.rollout.report_html import show_figure
from sync.rollout.timetable import Span
from tests.benefit_grid import (
    AREAS,
    FIRST,
    LONG_AFTER,
    NOON,
    PARAMETERS,
    STOLEN_WH,
    approve_some,
    benefit_model,
    confirm,
    losses,
    publish_day,
    update,
    with_theft,
    write_losses,
)


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, benefit_model())
        yield opened


def shown(connection: Connection) -> dict[str, Any]:
    """Everything that `benefit show --json` prints."""
    _, parameters = load_approved(connection)
    return {**summary(connection, parameters), "list": all_entries(connection)}


@pytest.fixture
def ledger(connection: Connection) -> Connection:
    return with_theft(connection)


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
