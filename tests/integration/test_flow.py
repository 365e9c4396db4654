"""The flow of the work, from steps that were taken by the true functions on a real database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alerts.lifecycle import Action
from alerts.operate import operate
from benefit.flow import read_flow
from benefit.flow_process import PROCESSES
from benefit.flow_report import ProcessFlow
from store.alerts import NewAlert, open_alerts
from store.benefit_flow import read_steps
from store.connection import Connection, connect
from sync.load import load_grid
from tests.rollout_grid import rollout_model
from tests.workflow import Workflow

# Some thousand statements a test, on servers that others use too.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, rollout_model())
        yield opened


def flows(connection: Connection, work: Workflow) -> dict[str, ProcessFlow]:
    return {flow.process: flow for flow in read_flow(connection, work.begin, work.end)}


BOTTLENECKS = [
    ("alert", "open", "marketing"),
    ("alert", "acknowledged", "metering"),
    ("alert", "in_progress", "control_room"),
    ("alert", "resolved", "marketing"),
    ("ticket", "open", "desk tier 1"),
    ("ticket", "in_progress", "desk tier 2"),
    ("ticket", "waiting", "county-02"),
    ("ticket", "resolved", "county-03"),
    ("conflict", "unproposed", "marketing"),
    ("conflict", "open", "metering"),
    ("conflict", "approved", "operation"),
    ("delivery", "owed", "gis"),
]


@pytest.mark.parametrize(("process", "stage", "department"), BOTTLENECKS)
def test_a_bottleneck_is_named(connection: Connection, process: str, stage: str, department: str) -> None:
    work = Workflow(connection, seed=7, slow={(process, stage, department): 8.0})
    work.run("conflict" if process == "delivery" else process, 100)
    found = flows(connection, work)
    assert [(b.process, b.stage, b.department) for flow in found.values() for b in flow.bottlenecks] == [
        (process, stage, department)
    ]
    assert all(flow.deviating_steps == 0 for flow in found.values())
    advice = found[process].recommendations[0]
    assert (advice.about, advice.step, advice.department) == ("bottleneck", f"{process}: {stage}", department)
    (named,) = found[process].bottlenecks
    assert advice.gain_s == pytest.approx(named.spent_s - named.ended * named.reference_pace_s)


@pytest.mark.parametrize("process", ["alert", "ticket", "conflict"])
def test_no_bottleneck_is_named_where_there_is_none(connection: Connection, process: str) -> None:
    work = Workflow(connection, seed=8)
    work.run(process, 100)
    found = flows(connection, work)
    assert found[process].cases == 100
    assert [(b.stage, b.department) for flow in found.values() for b in flow.bottlenecks] == []
    assert [flow.deviating_steps for flow in found.values()] == [0, 0, 0, 0]
    assert work.end - work.begin == timedelta(days=40)


def test_two_at_once_are_named_and_the_greater_comes_first(connection: Connection) -> None:
    slow = {("alert", "open", "marketing"): 15.0, ("alert", "resolved", "metering"): 15.0}
    work = Workflow(connection, seed=9, slow=slow)
    work.run("alert", 100)
    flow = flows(connection, work)["alert"]
    assert [(b.stage, b.department) for b in flow.bottlenecks] == [("resolved", "metering"), ("open", "marketing")]
    assert flow.bottlenecks[0].gain_s > flow.bottlenecks[1].gain_s


def test_as_of_an_earlier_time_later_steps_are_not_known(connection: Connection) -> None:
    work = Workflow(connection, seed=10)
    work.run("alert", 40, days=10)
    half = work.begin + timedelta(days=5)
    (early,) = read_flow(connection, work.begin, half, ["alert"])
    (late,) = read_flow(connection, work.begin, work.end, ["alert"])
    assert 0 < early.cases < late.cases == 40
    assert early.over < late.over
    (newest,) = read_flow(connection, work.begin, work.end, ["alert"], limit=15)
    assert newest.cases == 15


def test_what_never_passed_the_rules_deviates(connection: Connection) -> None:
    """A step written past the functions of the system."""
    work = Workflow(connection, seed=11)
    work.run("alert", 6, days=2)
    (number,) = connection.execute("select min(alert_id) from alerts.alert").fetchone() or (0,)
    connection.execute(
        "insert into alerts.transition (alert_id, at, actor, action, from_state, to_state, reason)"
        " values (%s, %s, 'li.na', 'acknowledge', 'closed', 'acknowledged', 'by hand')",
        [number, work.end - timedelta(hours=1)],
    )
    (flow,) = read_flow(connection, work.begin, work.end, ["alert"])
    assert (flow.cases, flow.conforming, flow.deviating_steps) == (6, 5, 1)
    assert (flow.deviations[0].case, flow.deviations[0].what) == (number, "acknowledge isn't possible in closed")


def test_a_delivery_that_is_to_be_read_back_waits_for_it(connection: Connection) -> None:
    work = Workflow(connection, seed=12)
    work.run("conflict", 12, days=2)
    connection.execute("update sync.delivery set to_read = true where target = 'gis'")
    flow = flows(connection, work)["delivery"]
    steps = {(s.stage, s.department): s for s in flow.steps if s.kind is None}
    assert steps["delivered", "gis"].lasting == steps["delivered", "gis"].stays > 0
    # Read back: at an instant that the database notes, so everything is looked at as of then.
    connection.execute("update sync.delivery set to_read = false, read_at = delivered_at + interval '2 hours'")
    flow = flows(connection, work)["delivery"]
    (read,) = [s for s in flow.steps if (s.stage, s.department, s.kind) == ("delivered", "gis", None)]
    assert (read.p50_s, read.lasting, flow.deviating_steps) == (7_200, 0, 0)


def test_a_delivery_has_a_number_of_its_own_and_what_was_removed_makes_nothing_slow(connection: Connection) -> None:
    work = Workflow(connection, seed=15)
    work.run("conflict", 60, days=30)
    connection.execute("update sync.delivery set delivered_at = null where target = 'gis'")
    whole = flows(connection, work)["delivery"]
    cases = {row[0] for row in read_steps(connection, "delivery", work.begin, work.end, 1_000)}
    assert len(cases) == whole.cases
    later = {row[0] for row in read_steps(connection, "delivery", work.begin + timedelta(days=10), work.end, 1_000)}
    assert later < cases, "a case has its number wherever one begins to look"
    # What retention has left of those that were delivered long ago is what still waits.
    kept_since = work.begin + timedelta(days=15)
    connection.execute("delete from sync.delivery where delivered_at < %s", [kept_since])
    names = ["delivery"]
    (blind,) = read_flow(connection, work.begin, work.end, names)
    (flow,) = read_flow(connection, work.begin, work.end, names, deliveries_since=kept_since)
    steps = {(s.department, s.kind): s for s in flow.steps}
    assert steps["billing", None].stays == steps["gis", None].stays
    assert {(s.department, s.kind): s for s in blind.steps}["billing", None].stays < blind.cases / 3
    (older,) = flow.older
    assert (older.stage, older.department) == ("owed", "gis")
    assert older.cases + steps["gis", None].stays == whole.cases / 3
    assert older.oldest_at < kept_since


def test_a_suppressed_alert_waits_for_nobody(connection: Connection) -> None:
    work = Workflow(connection, seed=16)
    work.run("alert", 4, days=1)
    opened = work.end - timedelta(days=5)
    (unit,) = connection.execute("select min(unit_id) from grid.unit").fetchone() or (0,)
    new = NewAlert("high_loss:quiet", "high_loss", "warning", unit, opened, {"expected_wh": 1}, role="marketing")
    with connection.transaction():
        (alert_id,) = open_alerts(connection, [new], "the condition holds").values()
    suppressed = opened + timedelta(hours=1)
    until = work.end + timedelta(days=30)
    operate(connection, alert_id, Action.SUPPRESS, "li.na", "a fair", suppressed, until=until)
    flow = flows(connection, work)["alert"]
    assert (flow.cases, flow.over, flow.deviating_steps) == (5, 5, 0)
    assert "suppressed" not in {s.stage for s in flow.steps}
    # It comes back: from then on it waits again.
    operate(connection, alert_id, Action.REOPEN, "li.na", "over", opened + timedelta(days=2))
    flow = flows(connection, work)["alert"]
    assert (flow.over, flow.deviating_steps) == (4, 0)
    assert sum(s.lasting for s in flow.steps if s.kind is None and s.stage == "open") == 1


@pytest.mark.parametrize("process", ["alert", "ticket", "conflict"])
def test_what_began_before_and_still_waits_is_told(connection: Connection, process: str) -> None:
    work = Workflow(connection, seed=17)
    work.run(process, 60)
    half = work.begin + timedelta(days=15)
    (all_of,) = read_flow(connection, work.begin, half, [process])
    (late,) = read_flow(connection, half - timedelta(hours=1), half, [process])
    still = {(s.stage, s.department): s.lasting for s in all_of.steps if s.kind is None and s.lasting}
    here = {(s.stage, s.department): s.lasting for s in late.steps if s.kind is None and s.lasting}
    assert sum(o.cases for o in late.older) > 0
    for o in late.older:
        assert o.cases + here.get((o.stage, o.department), 0) == still[o.stage, o.department]
        assert work.begin <= o.oldest_at < half
    assert {(o.stage, o.department) for o in late.older} | set(here) == set(still)
    assert all_of.older == ()
    assert [r.about for r in late.recommendations] == []


def test_no_name_leaves_the_database(connection: Connection) -> None:
    work = Workflow(connection, seed=13)
    for process in ("alert", "ticket", "conflict"):
        work.run(process, 5, days=1)
    told = repr([list(read_steps(connection, name, work.begin, work.end, 100)) for name in PROCESSES])
    assert "desk tier 1" in told
    for name in ("crew 1", "on duty", "head of", "clerk", "tier 1'"):
        assert name not in told.replace("desk tier 1'", "")


def run(conninfo_config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "meterline", "flow", *arguments, "--config", str(conninfo_config)],
        capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip


def test_the_command_shows_and_checks(settings: Any, config_path: Path) -> None:
    with connect(settings.database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, rollout_model())
        long_ago = datetime.now(UTC) - timedelta(days=60)
        work = Workflow(opened, seed=14, slow={("ticket", "waiting", "county-02"): 12.0}, begin=long_ago)
        work.run("ticket", 100)
    window = ("--process", "ticket", "--since", work.begin.isoformat(), "--at", work.end.isoformat())
    shown = run(config_path, "show", *window, "--json")
    assert shown.returncode == 0, shown.stderr
    (flow,) = json.loads(shown.stdout)["processes"]
    assert [(b["stage"], b["department"]) for b in flow["bottlenecks"]] == [("waiting", "county-02")]
    assert flow["recommendations"][0]["gain_s"] > 0
    text = run(config_path, "show", *window, "--kinds").stdout
    assert "1. bottleneck, ticket: waiting at county-02:" in text
    assert "guidance" in text
    checked = run(config_path, "check", *window)
    assert (checked.returncode, checked.stdout) == (0, "ticket: 100 of 100 cases as intended\n")
    none = run(config_path, "show", "--process", "ticket", "--at", datetime(2020, 1, 1, tzinfo=UTC).isoformat())
    assert "nothing is held up" in none.stdout
    half = work.begin + timedelta(days=15)
    span = ("--since", (half - timedelta(hours=1)).isoformat(), "--at", half.isoformat())
    late = run(config_path, "show", "--process", "ticket", *span)
    assert "begun before and still open:" in late.stdout
    ahead = run(config_path, "show", "--at", (datetime.now(UTC) + timedelta(days=1)).isoformat())
    assert (ahead.returncode, "--at lies ahead" in ahead.stderr) == (2, True)
    turned = run(config_path, "show", "--since", work.end.isoformat(), "--at", work.begin.isoformat())
    assert (turned.returncode, "--since must be earlier than --at" in turned.stderr) == (2, True)
    wrong = run(config_path, "check", "--process", "billing")
    assert (wrong.returncode, "there are conflict, delivery, alert, ticket" in wrong.stderr) == (2, True)
