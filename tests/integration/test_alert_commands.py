"""`meterline alert list`, `show` and what people do to alerts, as commands on a real database."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from alerts.evaluate import evaluate
from alerts.routing import Routing
from alerts.rules import AlertPolicy
from alerts.sense import SenseRule, SenseRules
from grid.finding import Finding, Severity
from meterline.cli import app
from store.connection import connect
from store.findings import add_findings
from sync.load import load_grid
from tests.integration.conftest import Database
from tests.small_grid import small_model

NOW = datetime.now(UTC).replace(microsecond=0)
FINDINGS = (
    Finding(
        "theft_bypass", Severity.WARNING, "A1", "theft_bypass:A1/A1-m1", NOW, NOW, meter="A1-m1",
        figures={"expected_wh": 120_000}, evidence={"days": ["2026-11-20"]},
    ),
    Finding("outage", Severity.CRITICAL, "F2", "outage:F2", NOW, NOW, evidence={"areas": []}),
)  # fmt: skip

Run = Callable[..., Any]


@pytest.fixture
def run(database: Database, config_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A command on a database with two alerts."""
    with connect(database.conninfo("app"), "test") as connection:
        connection.autocommit = True
        load_grid(connection, small_model())
        add_findings(connection, FINDINGS)
        rules = SenseRules({"theft_bypass": SenseRule()})
        evaluate(connection, AlertPolicy(), Routing(), NOW + timedelta(seconds=10), rules=rules)
    monkeypatch.setenv("METERLINE_CONFIG", str(config_path))
    monkeypatch.setenv("METERLINE_DATABASE__NAME", database.section.name)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, ["alert", *arguments])


def asked(run: Run, *arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def alert_of(run: Run, kind: str) -> int:
    (row,) = asked(run, "list", "--kind", kind, "--all")
    return int(row["alert_id"])


def test_alerts_are_listed_the_newest_first_and_by_what_is_asked(run: Run) -> None:
    rows = asked(run, "list")
    assert {row["kind"] for row in rows} == {"theft_bypass", "outage"}
    assert [row["alert_id"] for row in rows] == sorted((row["alert_id"] for row in rows), reverse=True)
    assert [row["kind"] for row in asked(run, "list", "--severity", "critical")] == ["outage"]
    assert [row["kind"] for row in asked(run, "list", "--unit", "A1")] == ["theft_bypass"]
    assert asked(run, "list", "--unit", "nowhere") == []
    assert asked(run, "list", "--state", "closed") == []
    (first,) = asked(run, "list", "--limit", "1")
    assert [row["alert_id"] for row in asked(run, "list", "--before", str(first["alert_id"]))] == [rows[1]["alert_id"]]
    table = run("list").stdout
    assert "A1 / A1-m1" in table
    assert "outage" in table


def test_an_alert_is_worked_on_from_open_to_closed(run: Run) -> None:
    number = str(alert_of(run, "theft_bypass"))
    taken = asked(run, "ack", number, "--by", "li.wei", "--reason", "on my way")
    assert taken["state"] == "acknowledged"
    assert asked(run, "assign", number, "--to", "wang.fang", "--by", "li.wei")["assignee"] == "wang.fang"
    late = run("close", number, "--reason", "mended", "--version", "1")
    assert late.exit_code == 1
    assert "not 1" in late.stderr
    closed = run("close", number, "--reason", "mended", "--by", "wang.fang")
    assert closed.exit_code == 0
    assert f"alert {number}" in closed.stdout
    assert "is closed" in closed.stdout
    assert [row["kind"] for row in asked(run, "list")] == ["outage"]
    shown = asked(run, "show", number)
    assert [(step["action"], step["actor"]) for step in shown["history"][-3:]] == [
        ("acknowledge", "li.wei"), ("assign", "li.wei"), ("close", "wang.fang"),
    ]  # fmt: skip
    assert [finding["kind"] for finding in shown["findings"]] == ["theft_bypass"]
    assert "mended" in run("show", number).stdout
    assert asked(run, "reopen", number, "--reason", "again")["state"] == "open"


def test_what_is_expected_and_who_is_out(run: Run) -> None:
    number = str(alert_of(run, "outage"))
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=3)
    assert asked(run, "ack", number, "--expected", until.isoformat())["state"] == "acknowledged"
    later = (until + timedelta(hours=1)).isoformat()
    assert datetime.fromisoformat(asked(run, "expect", number, "--until", later)["expected_at"]) > until
    assert asked(run, "suppress", number, "--reason", "ordered", "--hours", "2")["state"] == "suppressed"
    assert run("outage", "nobody").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("show", "9999"), 1, "no alert 9999"),
        (("ack", "9999"), 1, "no alert 9999"),
        (("show", "99999999999999999999"), 1, "no alert 99999999999999999999"),
        (("ack", "99999999999999999999"), 1, "no alert 99999999999999999999"),
        (("list", "--state", "sleeping"), 2, "no state is named sleeping"),
        (("list", "--severity", "grave"), 2, "no severity is named grave"),
        (("list", "--opened-from", "yesterday"), 2, "--opened-from"),
        (("replay", "crm", "--since", "2026-11-22"), 1, "nothing was ever owed to crm"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(run: Run, arguments: tuple[str, ...], code: int, told: str) -> None:
    result = run(*arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code, result.stderr
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_an_alert_is_closed_once(run: Run) -> None:
    number = str(alert_of(run, "outage"))
    assert run("close", number, "--reason", "over").exit_code == 0
    again = run("close", number, "--reason", "over")
    assert again.exit_code == 1
    assert "closed" in again.stderr
    assert run("close", number, "--reason", " ").exit_code == 1
