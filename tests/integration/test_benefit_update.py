"""How the ledger is brought up to date: what is measured again and what isn't, when, and what is told beside it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from benefit.effect import EffectError
from benefit.ledger import Repair
from benefit.measure import Sizes, measure
from benefit.report import all_entries, explain, social
from benefit.update import LedgerBusyError, load_approved
from grid.finding import Finding, Severity
from meterline.bootstrap import opener
from meterline.config import Settings
from meterline.deliver import daily_round, run_sync_service
from meterline.metrics_sync import SyncMetrics
from store.benefit import own_ledger, read_last_run, read_told, unit_codes
from store.connection import Connection, connect
from store.findings import add_findings
from store.sync_conflicts import ConflictRow, write_conflicts
from sync.load import load_grid
from sync.proposals.lifecycle import Action, ReviewRules
from sync.proposals.review import propose, review
from sync.rollout.report import Level, make_report
from sync.rollout.report_html import draw_report
from sync.rollout.timetable import Span
from tests.benefit_grid import (
    AREAS,
    FIRST,
    LONG_AFTER,
    NOON,
    PARAMETERS,
    REPAIRED,
    approve_some,
    benefit_model,
    confirm,
    losses,
    publish_day,
    update,
    write_losses,
)
from tests.waiting import PATIENCE_S, until


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, benefit_model())
        approve_some(opened)
        yield opened


@pytest.fixture
def ledger(connection: Connection) -> Connection:
    """A theft that was found and ended, with its days; nothing is entered yet."""
    write_losses(connection, *losses())
    confirm(connection, "A1", "A1-m1", NOON, 500_000)
    return connection


def restate(connection: Connection, unit: str, day: int, revision: int, more_wh: int = 1_000) -> None:
    loss, inflow = losses()
    i = AREAS.index(unit)
    publish_day(
        connection, unit, FIRST + timedelta(days=day), int(loss[day, i]) + more_wh, int(inflow[day, i]),
        revision=revision,
    )  # fmt: skip


def test_what_is_as_it_was_is_not_measured_again(ledger: Connection) -> None:
    confirm(ledger, "A7", None, NOON, None)
    assert update(ledger).measured == 2
    assert update(ledger).measured == 0
    # Later days concern none of their windows.
    for area in AREAS:
        publish_day(ledger, area, FIRST + timedelta(days=57), 40_000, 1_000_000)
    assert update(ledger).measured == 0
    # Another repair, whose window begins where theirs is over: it alone is measured.
    confirm(ledger, "A3", None, NOON + timedelta(days=29), None)
    done = update(ledger)
    assert (done.measured, done.written) == (1, {})
    assert update(ledger).measured == 0


@pytest.mark.parametrize("unit", ["A1", "A9"])
def test_a_day_that_is_published_anew_is_looked_at_again(ledger: Connection, unit: str) -> None:
    update(ledger)
    restate(ledger, unit, 10, revision=2)
    done = update(ledger)
    assert (done.measured, done.effects) == (1, 1)
    assert update(ledger).measured == 0


def test_something_done_at_a_control_is_looked_at_again(ledger: Connection) -> None:
    update(ledger)
    (before,) = explain(ledger, "work_order", 1, "loss_avoided")
    gone = before["effect"]["evidence"]["controls"][0]["unit"]
    confirm(ledger, gone, None, NOON + timedelta(days=3), None)
    done = update(ledger)
    assert done.measured == 2
    *_, after = explain(ledger, "work_order", 1, "loss_avoided")
    assert gone not in {unit["unit"] for unit in after["effect"]["evidence"]["controls"]}
    assert (before["effect"]["evidence"]["barred"], after["effect"]["evidence"]["barred"]) == (0, 1)


def test_other_windows_measure_anew_and_other_prices_do_not(ledger: Connection) -> None:
    update(ledger)
    approve_some(ledger, PARAMETERS.replace("household = 0.5283", "household = 1.0566"))
    done = update(ledger)
    assert (done.measured, done.written) == (0, {"parameters": 2})
    approve_some(ledger, PARAMETERS.replace("controls_least = 10", "controls_least = 11"))
    assert update(ledger).measured == 1


def test_a_repair_is_measured_early_and_once_more_when_its_days_are_over(ledger: Connection) -> None:
    """On each day of a month and a half, as the service does it."""
    measured = {}
    for n in range(45):
        done = update(ledger, NOON + timedelta(days=n))
        if done.measured:
            measured[n] = [e["energy_wh"] for e in all_entries(ledger) if e["item"] == "loss_avoided"]
    # Fourteen and 28 days after are over on the day that follows.
    assert list(measured) == [15, 29]
    assert measured[15][0] == pytest.approx(30_000 * 14, rel=0.2)
    assert measured[29][0] == pytest.approx(30_000 * 28, rel=0.1)
    early, late = explain(ledger, "work_order", 1, "loss_avoided")
    assert (early["effect"]["days_after"], late["effect"]["days_after"]) == (14, 28)
    assert (early["check"], late["check"], late["reason"]) == ("same", "same", "restated")


def test_two_updates_at_once_are_one(ledger: Connection, database: Any) -> None:
    with connect(database.conninfo("app"), "test") as other:
        other.autocommit = True
        with own_ledger(other) as mine:
            assert mine
            with pytest.raises(LedgerBusyError):
                update(ledger)
    assert update(ledger).written == {"new": 2}


def test_what_was_broken_off_is_taken_up(ledger: Connection, database: Any) -> None:
    """The effect was kept and its entry was not: what a killed update leaves."""
    with connect(database.conninfo("owner"), "test") as owner:
        owner.execute("create function public.fail() returns trigger language plpgsql as $$ begin raise 'full'; end $$")
        owner.execute("create trigger fail before insert on benefit.entry execute function public.fail()")
    with pytest.raises(psycopg.errors.RaiseException):
        update(ledger)
    with connect(database.conninfo("owner"), "test") as owner:
        owner.execute("drop trigger fail on benefit.entry")
    done = update(ledger)
    assert (done.measured, done.effects, done.written) == (0, 0, {"new": 2})


def test_too_many_units_at_once_are_said_so_and_the_update_goes_on(connection: Connection) -> None:
    many = [f"B{n}" for n in range(65)]
    for code in many:
        connection.execute("insert into grid.unit (code, kind, name) values (%s, 'area', %s)", [code, code])
    write_losses(connection, *losses())
    connection.execute("insert into sync.entity (entity_id, kind, code) values (1, 'feeder', 'F1')")
    connection.execute(
        "insert into sync.conflict (fingerprint, kind, entity_kind, entity_id, field, system, dataset, key, department,"
        " believed, given, said, confidence, opened_at, seen_at)"
        " values ('x', 'field_differs', 'feeder', 1, 'areas', 'gis', 'areas', '1', 'gis', '1', '2', '{}', 1, %(at)s,"
        " %(at)s)",
        {"at": NOON},
    )
    connection.execute(
        "insert into sync.proposal (conflict_id, target, change, before, after, state, approvals_needed, proposed_by,"
        " reason, due_at) select conflict_id, 'model', jsonb_build_object('valid_from', %(at)s::timestamptz), '{}',"
        " (select jsonb_object_agg(code, code) from grid.unit where code like 'B%%'), 'applied', 1, 'li', 'x', %(at)s"
        " from sync.conflict",
        {"at": NOON},
    )
    connection.execute(
        "insert into sync.proposal_event (proposal_id, action, by_whom, department, at)"
        " select proposal_id, 'approve', 'wang', 'gis', %s from sync.proposal",
        [NOON],
    )
    confirm(connection, "A1", "A1-m1", NOON, 500_000)
    done = update(connection)
    assert [one["why"] for one in done.waiting] == ["65 units were repaired together; at most 64 are compared as one"]
    assert {(e["source"], e["item"]) for e in all_entries(connection)} == {
        ("work_order", "loss_avoided"), ("work_order", "recovered"), ("proposal", "visits"),
    }  # fmt: skip


def conflict(connection: Connection, at: datetime, field: str = "area") -> int:
    """A meter that gis has in another area than the model and all others; its number."""
    connection.execute(
        "insert into sync.entity (entity_id, kind, code) values (1, 'meter', 'A1-m1') on conflict do nothing"
    )
    row = ConflictRow(
        b"2" * 16, "field_differs", "meter", 1, field, "gis", "meters", "1", "gis", "1", "2",
        {"model": "1", "pms.meters/1": "1", "gis.meters/1": "2"}, 1.0,
    )  # fmt: skip
    with connection.transaction():
        write_conflicts(connection, [row], at)
    (number,) = connection.execute("select conflict_id from sync.conflict").fetchall()[0]
    return int(number)


@pytest.mark.parametrize("approved", ["nobody", "approved", "rejected"])
def test_a_visit_is_earned_by_a_conflict_that_was_resolved(connection: Connection, approved: str) -> None:
    begin = datetime.now(UTC) - timedelta(days=2)
    number = conflict(connection, begin, "rating_va")
    rules = ReviewRules(approvals_correction=1)
    (done,) = propose(connection, [number], "li", "plate read", rules, begin + timedelta(hours=1))
    assert done.proposal_id is not None, done.reason
    if approved != "nobody":
        review(connection, done.proposal_id, Action.APPROVE, "wang", "gis", None, begin + timedelta(hours=2))
    if approved == "rejected":
        review(connection, done.proposal_id, Action.REJECT, "zhao", "gis", "no", begin + timedelta(hours=3))
    with connection.transaction():
        write_conflicts(connection, [], begin + timedelta(hours=4))
    update(connection, datetime.now(UTC))
    found = [(e["source"], e["source_id"], e["visits_milli"]) for e in all_entries(connection)]
    assert found == ([("conflict", number, 500)] if approved == "approved" else [])
    if approved == "approved":
        (row,) = explain(connection, "conflict", number)
        assert row["evidence"]["source"]["proposal"] == done.proposal_id


def test_a_relation_counts_from_when_it_became_true(connection: Connection) -> None:
    """Approved a month after the meter was moved, and recorded from the move on: its days are those of the move."""
    write_losses(connection, *losses())
    connection.execute("insert into sync.entity (entity_id, kind, code) values (1, 'meter', 'A1-m1')")
    row = ConflictRow(
        b"1" * 16, "impossible", "meter", 1, "area", "model", "meter", "A1-m1", "marketing", "A2", "A1",
        {"model": "A1", "voltage": "A2"}, 0.99,
    )  # fmt: skip
    approved = NOON + timedelta(days=40)
    with connection.transaction():
        write_conflicts(connection, [row], approved)
    (number,) = connection.execute("select conflict_id from sync.conflict").fetchall()[0]
    (done,) = propose(connection, [number], "li", "voltage", ReviewRules(), approved, NOON)
    assert done.proposal_id is not None
    review(connection, done.proposal_id, Action.APPROVE, "wang", "metering", None, approved)
    review(connection, done.proposal_id, Action.APPROVE, "zhao", "operation", None, approved)
    update(connection, NOON + timedelta(days=39))
    assert all_entries(connection) == []
    update(connection, approved + timedelta(days=1))
    (avoided,) = (e for e in all_entries(connection) if e["item"] == "loss_avoided")
    assert avoided["done_at"] == approved
    (shown,) = explain(connection, "proposal", done.proposal_id, "loss_avoided")
    assert (shown["effect"]["repaired_from"], shown["effect"]["repaired_to"]) == (REPAIRED, REPAIRED)


def outage(connection: Connection, unit: str, begin: datetime, at: datetime, meters: int, *, holds: bool = True,
           **figures: str) -> None:  # fmt: skip
    finding = Finding(
        "outage", Severity.CRITICAL, unit, f"outage:{unit}", begin, at, holds=holds,
        figures={"meters": meters, "source": "switch", **figures}, evidence={"areas": [unit]},
    )  # fmt: skip
    with connection.transaction():
        add_findings(connection, [finding])


def test_supply_that_comes_back_step_by_step_is_kept_so(connection: Connection) -> None:
    minute = timedelta(minutes=1)
    outage(connection, "F1", NOON, NOON, 30)
    outage(connection, "F1", NOON, NOON + 2 * minute, 20)
    outage(connection, "F1", NOON, NOON + 60 * minute, 5)
    outage(connection, "F1", NOON, NOON + 120 * minute, 5, holds=False)
    # An area's that went on as its feeder's is in that.
    outage(connection, "A1", NOON, NOON, 2)
    outage(connection, "A1", NOON, NOON + 2 * minute, 2, holds=False, taken_over_by="F1")
    update(connection)
    (entry,) = all_entries(connection)
    assert (entry["unit"], entry["outage_customer_s"]) == ("F1", (15 * (90 - 60) + 5 * (90 - 120)) * 60)
    _, parameters = load_approved(connection)
    found = {row["name"]: row["value"] for row in social(connection, parameters, NOON - 60 * minute, LONG_AFTER)}
    customers = 2 * len(AREAS)
    assert found["saidi_minutes"] == pytest.approx((15 * 60 + 5 * 120) / customers)
    assert found["saifi"] == pytest.approx(20 / customers)
    assert found["maifi"] == pytest.approx(10 / customers)


def test_a_report_says_what_the_update_found_beside_the_ledger(ledger: Connection) -> None:
    early = datetime.now(UTC)
    assert read_last_run(ledger) is None
    done = update(ledger)
    run = read_last_run(ledger)
    assert run is not None
    assert (run["at"], run["sources"], run["written"], run["measured"]) == (LONG_AFTER, 1, 2, 1)
    assert done.measured == 1
    now = datetime.now(UTC)
    assert read_told(ledger, early) == ((), ())
    _, told = read_told(ledger, now)
    assert {"saidi_minutes", "co2_avoided_kg"} <= {row["name"] for row in told}
    report = make_report(ledger, Span.WEEKLY, Level.WORKING, now, ZoneInfo("UTC"))
    english, chinese = draw_report(report, "en"), draw_report(report, "zh")
    assert "CO₂ avoided" in english
    assert "近一年社会效益" in chinese
    # The year before the update ends with what was done two months ago.
    kg = next(row["value"] for row in told if row["name"] == "co2_avoided_kg")
    assert kg > 0
    assert f"<td>{kg:.4g}</td>" in english
    of_unit = make_report(ledger, Span.WEEKLY, Level.UNIT, now, ZoneInfo("UTC"), "county-01")
    assert (of_unit.advice, of_unit.social) == ((), ())


def test_the_service_brings_it_up_to_date_when_it_starts(ledger: Connection, database: Any, settings: Settings) -> None:
    ours = settings.model_copy(update={"database": database.section})
    metrics = SyncMetrics(opener(ours, "test"))

    def told() -> dict[str, float]:
        samples = [sample for family in metrics.collect() for sample in family.samples]
        return {s.name: s.value for s in samples if s.name.startswith("meterline_benefit")}

    assert told() == {}
    begun = time.time()
    stop = threading.Event()
    service = threading.Thread(target=run_sync_service, args=(ours, stop))
    service.start()
    until(lambda: read_last_run(ledger), "the ledger is brought up to date")
    stop.set()
    service.join(PATIENCE_S)
    assert not service.is_alive()
    assert len(all_entries(ledger)) == 2
    found = told()
    assert begun <= found["meterline_benefit_updated_timestamp_seconds"] <= time.time()
    assert found["meterline_benefit_waiting"] == 0


def test_the_daily_round_keeps_outages_before_their_findings_go(connection: Connection, database: Any,
                                                               settings: Settings) -> None:  # fmt: skip
    ours = settings.model_copy(update={"database": database.section})
    long_ago = datetime.now(UTC) - timedelta(days=4_000)
    outage(connection, "A1", long_ago, long_ago, 2)
    outage(connection, "A1", long_ago, long_ago + timedelta(hours=1), 2, holds=False)
    connection.execute("update alerts.finding set due_at = null")
    assert daily_round(connection, ours) is False
    assert connection.execute("select count(*) from alerts.finding").fetchone() == (0,)
    assert [(e["source"], e["outage_customer_s"]) for e in all_entries(connection)] == [("outage", 2 * 30 * 60)]


def test_without_parameters_the_daily_round_goes_on(database: Any, settings: Settings) -> None:
    ours = settings.model_copy(update={"database": database.section})
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        assert daily_round(opened, ours) is False
        assert read_last_run(opened) is None


def test_many_units_together_are_compared_with_units_of_the_size_of_one(connection: Connection) -> None:
    """Nine together are nine times as large as any other: of that size there is none."""
    write_losses(connection, *losses(stolen_wh=9 * 30_000))
    rows = connection.execute("select unit_id from grid.unit where code = any(%s) order by 1", [list(AREAS[:9])])
    units = tuple(row[0] for row in rows)
    windows = load_approved(connection)[1].windows
    last = REPAIRED + timedelta(days=windows.days_after)
    codes = unit_codes(connection, units)
    barred = frozenset(units[:2])
    found = measure(connection, Repair((0,), units, REPAIRED, REPAIRED), last, barred, windows, codes, Sizes()).values
    assert (found["controls"], found["evidence"]["barred"]) == (11, 0)
    assert found["low_wh"] <= 9 * 30_000 * 28 <= found["high_wh"]
    others = connection.execute(
        "select unit_id from grid.unit where kind = 'area' and unit_id <> all(%s)", [list(units)]
    )
    barred = frozenset(row[0] for row in others.fetchall()[:4])
    with pytest.raises(EffectError, match="only 7 units are like it, of 10 that are needed; 4 more are none"):
        measure(connection, Repair((0,), units, REPAIRED, REPAIRED), last, barred, windows, codes, Sizes())
