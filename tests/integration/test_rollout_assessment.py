"""Assessment on a real database: scores from raw facts, warnings, appeals; and its rules against a plain oracle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alerts.evaluate import evaluate
from alerts.routing import Routing
from alerts.rules import AlertPolicy
from alerts.sense import SenseRules
from store.alerts import AlertFilter, list_alerts
from store.connection import Connection, connect
from store.findings import FindingFilter, list_findings
from store.rollout import INDICATORS, read_figure
from sync.load import load_grid
from sync.rollout.assess import (
    Result,
    answer_appeal,
    appeal,
    approve_weights,
    assess,
    propose_weights,
    read_assessment,
)
from sync.rollout.assessment import parse_weights
from sync.rollout.desk import open_ticket, take_step
from sync.rollout.errors import NotFoundError, RolloutError
from sync.rollout.plan import parse_plan
from sync.rollout.planning import load_plan, review
from sync.rollout.report import Level, make_report
from sync.rollout.tickets import Action, Kind, Priority
from sync.rollout.timetable import Span
from sync.rollout.watch import watch
from tests.integration.test_rollout_desk import RULES
from tests.integration.test_rollout_report import plan_of
from tests.naive.assessment import naive_score
from tests.rollout_grid import DAY, MONDAY, SHANGHAI, UNITS, rollout_model, write_consistency

HOUR = timedelta(hours=1)
WEIGHTS = """
warn_below = 50
[[indicators]]
indicator = "on_time"
weight = 50
floor = 0
target = 1
[[indicators]]
indicator = "resolve_hours"
weight = 20
floor = 10
target = 2
unknown = "left_out"
[[indicators]]
indicator = "consistency"
weight = 30
floor = 0.9
target = 1.0
"""
END = MONDAY + 7 * DAY


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, rollout_model())
        load_plan(opened, parse_plan(plan_of(UNITS), INDICATORS), "planner", MONDAY - DAY)
        # Due on Monday and Tuesday: county 1 is on time, county 2 late, the others never.
        review(opened, "PILOT", "M-county-01", "passed", "list", "boss", MONDAY + HOUR, SHANGHAI)
        review(opened, "PILOT", "M-county-02", "passed", "list", "boss", MONDAY + 4 * DAY, SHANGHAI)
        write_consistency(opened, "A1", date(2040, 6, 8), 100, 95)
        write_consistency(opened, "A2", date(2040, 6, 8), 100, 100)
        for unit, hours in (("county-01", 4), ("county-01", 8), ("county-02", 9)):
            number = open_ticket(opened, RULES, Kind.DEMAND, unit, Priority.LOW, "T", "B", "x", MONDAY)
            take_step(opened, RULES, number, Action.TAKE, "x", "y", MONDAY, assignee="x")
            take_step(opened, RULES, number, Action.RESOLVE, "x", "z", MONDAY + hours * HOUR)
        yield opened


def weigh(connection: Connection) -> int:
    version = propose_weights(connection, parse_weights(WEIGHTS, INDICATORS), "order 12", "worker", MONDAY)
    approve_weights(connection, version, "leader", MONDAY)
    return version


def results(connection: Connection, number: int, days_later: int = 0) -> dict[str, Result]:
    found = read_assessment(connection, number, END + days_later * DAY)
    return {result.unit: result for result in found["results"]}


#: Raw facts of the fixture: share of milestones on time, working hours of tickets, share of right relations.
FACTS: dict[str, dict[str, float | None]] = {
    "county-01": {"on_time": 1 / 1, "resolve_hours": (4 + 8) / 2, "consistency": 95 / 100},
    "county-02": {"on_time": 0 / 1, "resolve_hours": 9 / 1, "consistency": 100 / 100},
    "county-03": {"on_time": 0 / 1, "resolve_hours": None, "consistency": None},
}


def test_scores_are_reproduced_from_raw_facts(connection: Connection) -> None:
    number = assess(connection, weigh(connection), "unit", MONDAY, END, "worker", END, SHANGHAI)
    found = results(connection, number)
    assert set(found) == set(UNITS)
    weights = read_assessment(connection, number, END)["weights"]["indicators"]
    for unit, facts in FACTS.items():
        assert found[unit].values == pytest.approx(facts)
        assert found[unit].score == pytest.approx(naive_score(weights, facts))
    # County 1: 50 + 20·(10−6)/8 + 30·(0.95−0.9)/0.1 of 100; county 2: 0 + 20·1/8 + 30.
    assert found["county-01"].score == pytest.approx(75)
    assert found["county-02"].score == pytest.approx(32.5)
    assert found["county-03"].score == 0
    assert [found[unit].rank for unit in UNITS] == [1, 2, *[3] * 10]
    warned = {row["unit"]: row["score"] for row in read_assessment(connection, number, END)["warnings"]}
    assert set(warned) == set(UNITS[1:])
    assert warned["county-02"] == found["county-02"].score


def test_a_granted_appeal_changes_the_score_by_exactly_that(connection: Connection) -> None:
    number = assess(connection, weigh(connection), "unit", MONDAY, END, "worker", END, SHANGHAI)
    before = results(connection, number)
    made = appeal(connection, number, "county-02", "on_time", 1.0, "report 9 by post", "head.2", END + DAY)
    with pytest.raises(RolloutError, match="somebody else answers"):
        answer_appeal(connection, made, "yes", "head.2", END + DAY, 1.0)
    assert results(connection, number, 1) == before
    answer_appeal(connection, made, "postmark seen, half of it", "leader", END + 2 * DAY, 0.5)
    after = results(connection, number, 2)
    assert after["county-02"].score == pytest.approx(32.5 + 50 * 0.5)
    assert (after["county-02"].found, after["county-02"].appeals) == (before["county-02"].score, (made,))
    assert {unit: after[unit] for unit in UNITS if unit != "county-02"} == {
        unit: before[unit] for unit in UNITS if unit != "county-02"
    }
    # As of before it is as it was, and later facts change nothing.
    assert results(connection, number, 1) == before
    review(connection, "PILOT", "M-county-03", "passed", "list", "boss", END + 2 * DAY, SHANGHAI)
    assert results(connection, number, 3) == after
    with pytest.raises(RolloutError, match="answered already"):
        answer_appeal(connection, made, "again", "leader", END + 3 * DAY, 1.0)
    refused = appeal(connection, number, "county-03", "on_time", 1.0, "x", "head.3", END + 3 * DAY)
    answer_appeal(connection, refused, "no", "leader", END + 3 * DAY, None)
    assert results(connection, number, 4) == after
    with pytest.raises(NotFoundError, match="collection"):
        appeal(connection, number, "county-03", "collection", 1.0, "x", "head.3", END + 3 * DAY)


def test_a_warning_order_reaches_its_unit_and_is_lifted(connection: Connection) -> None:
    number = assess(connection, weigh(connection), "unit", MONDAY, END, "worker", END, SHANGHAI)

    def holding(at: datetime) -> dict[str, str]:
        watch(connection, at, SHANGHAI)
        rows = list_findings(connection, FindingFilter(kind="warning_order", holds=True), 0, 50)
        return {str(row.figures["organisation"]): row.unit for row in rows}

    def told(name: str, unit: str, at: datetime) -> float | None:
        return read_figure(connection, name, unit, at, SHANGHAI.key).value

    # County 2 answers for area A2; who answers for nothing is told at the highest.
    assert holding(END + HOUR) == {"county-02": "A2", **dict.fromkeys(UNITS[2:], "F1")}
    evaluate(connection, AlertPolicy(), Routing(), END + HOUR, rules=SenseRules())
    alerts = list_alerts(connection, AlertFilter(role="working_group"), 0, 50)
    assert f"warning_order:{number}/county-02" in {alert.fingerprint for alert in alerts}
    report = make_report(connection, Span.DAILY, Level.UNIT, END + HOUR, SHANGHAI, "county-02")
    assert [(row["unit"], row["score"], row["rank"]) for row in report.warnings] == [("county-02", 32.5, 2)]
    shown = {figure.name: figure.value for figure in report.figures}
    assert (shown["score"], shown["rank"], shown["warning_orders"]) == (32.5, 2, 1)
    whole = make_report(connection, Span.DAILY, Level.LEADING, END + HOUR, SHANGHAI)
    assert len(whole.warnings) == 11
    made = appeal(connection, number, "county-02", "on_time", 1.0, "post", "head.2", END + HOUR)
    answer_appeal(connection, made, "half of it", "leader", END + DAY, 0.5)
    assert set(holding(END + DAY)) == set(UNITS[2:])
    # By statement and by rule: the same scores and ranks, with the appeal and as of before it.
    for days in (0, 1):
        for unit, result in results(connection, number, days).items():
            at = END + days * DAY
            assert told("score", unit, at) == pytest.approx(result.score)
            assert told("rank", unit, at) == result.rank
    # The next assessment is what counts then; one of an earlier time made later doesn't.
    review(connection, "PILOT", "M-county-03", "passed", "list", "boss", END + DAY, SHANGHAI)
    kinder = parse_weights(WEIGHTS.replace("warn_below = 50", "warn_below = 0"), INDICATORS)
    version = propose_weights(connection, kinder, "order 13", "worker", END + DAY)
    approve_weights(connection, version, "leader", END + DAY)
    assess(connection, version, "unit", MONDAY, END - DAY, "worker", END + DAY, SHANGHAI)
    assert set(holding(END + DAY)) == set(UNITS[2:])
    assess(connection, version, "unit", END, END + DAY, "worker", END + DAY, SHANGHAI)
    assert holding(END + DAY) == {}
    assert told("score", "marketing", END + DAY) is None


def test_weights_count_once_somebody_else_has_approved_them(connection: Connection) -> None:
    version = propose_weights(connection, parse_weights(WEIGHTS, INDICATORS), "order 12", "worker", MONDAY)
    with pytest.raises(RolloutError, match="approved"):
        assess(connection, version, "unit", MONDAY, END, "worker", END, SHANGHAI)
    with pytest.raises(RolloutError, match="somebody else"):
        approve_weights(connection, version, "worker", MONDAY)
    approve_weights(connection, version, "leader", MONDAY)
    with pytest.raises(RolloutError, match="already"):
        approve_weights(connection, version, "leader", MONDAY)
    with pytest.raises(RolloutError, match="over"):
        assess(connection, version, "unit", MONDAY, END + DAY, "worker", END, SHANGHAI)
    department = assess(connection, version, "department", MONDAY, END, "worker", END, SHANGHAI)
    assert set(results(connection, department)) == {"marketing"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("weight = 50", "weight = 40", "100"),
        ("target = 1\n", "target = 0\n", "same"),
        ('"consistency"', '"on_time"', "twice"),
        ('"consistency"', '"loyalty"', "no indicator"),
        ('"left_out"', '"guess"', "left_out|enum"),
        ("floor = 0\n", "floor = nan\n", "floor"),
        ("floor = 10\n", "floor = inf\n", "floor"),
        ("target = 2\n", "target = -inf\n", "target"),
        ("warn_below = 50", "warn_below = nan", "warn_below"),
    ],
)
def test_weights_say_what_is_wrong(old: str, new: str, said: str) -> None:
    with pytest.raises(RolloutError, match=said):
        parse_weights(WEIGHTS.replace(old, new), INDICATORS)


def test_commands(config_path: Path, settings: Any, tmp_path: Path) -> None:
    with connect(settings.database.conninfo("app"), "test") as opened:
        load_grid(opened, rollout_model())
    file = tmp_path / "weights.toml"
    file.write_text(WEIGHTS)

    def run(*arguments: str, code: int = 0) -> Any:
        command = [sys.executable, "-m", "meterline", "rollout", "assess", *arguments, "--config", str(config_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ), timeout=90)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if "--json" in arguments else done.stdout + done.stderr

    version = run("weights", str(file), "--reason", "order 12", "--by", "worker").split()[1].rstrip(":")
    assert "somebody else" in run("approve", version, "--by", "worker", code=1)
    run("approve", version, "--by", "leader")
    made = run("run", version, "--since", "2026-11-01", "--json")
    number = str(made["assessment_id"])
    assert len(made["results"]) == 12
    appealed = run("appeal", number, "county-04", "consistency", "1", "--reason", "x", "--by", "head").split()[1]
    run("answer", appealed, "--grant", "1", "--answer", "seen", "--by", "leader")
    assert "1  county-04  " in run("show", number)
