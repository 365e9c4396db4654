"""Indicators of source systems' records, against what the test wrote, by day, week and month."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from meterline.cli import app
from store.connection import Connection, connect
from store.rollout import read_figure
from store.sync_conflicts import ConflictRow, write_conflicts
from store.sync_indicators import read_indicators, write_completeness
from sync.load import load_grid
from tests.naive.indicators import Step, open_at, overlap, resolved
from tests.rollout_grid import rollout_model, write_consistency

HOUR = timedelta(hours=1)
#: A Monday, the first of its month, after the load of the model: who answers for what is asked as it was known then.
BEGIN = datetime(2040, 10, 1, tzinfo=UTC)
KINDS = ("field_differs", "missing", "relation_differs")
DEPARTMENTS = ("marketing", "operation")


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, rollout_model())
        yield opened


def conflict(number: int) -> ConflictRow:
    return ConflictRow(
        bytes([number]) * 16, KINDS[number % 3], "meter", None, "multiplier", "gis", "meters", f"M{number}",
        DEPARTMENTS[number % 2], "1", "2", {}, 1.0,
    )  # fmt: skip


def write_steps(connection: Connection, seed: int) -> list[Step]:
    """Conflicts that open, close and open again over some weeks, written by the way that a match does."""
    draw = random.Random(seed)  # noqa: S311  # made-up data
    steps: list[Step] = []
    now: set[int] = set()
    hours = sorted(draw.uniform(0, 24 * 40) for _ in range(60))
    for hour in hours:
        then = {n for n in range(12) if draw.random() < 0.4}
        with connection.transaction():
            write_conflicts(connection, [conflict(n) for n in sorted(then)], BEGIN + hour * HOUR)
        steps += [(n, hour, False) for n in sorted(now - then)] + [(n, hour, True) for n in sorted(then - now)]
        now = then
    return steps


@pytest.mark.parametrize("days", [1, 7, 30])
def test_conflicts_are_those_counted_by_hand(connection: Connection, days: int) -> None:
    steps = write_steps(connection, days)
    for end in range(days, 41, days):
        since, at = BEGIN + (end - days) * 24 * HOUR, BEGIN + end * 24 * HOUR
        found = read_indicators(connection, since, at, "UTC")
        still = open_at(steps, end * 24)
        by_place: dict[tuple[str, str, str], int] = {}
        for number, hour in still.items():
            age = (end * 24 - hour) / 24
            days_open = "0-1" if age < 1 else "1-7" if age < 7 else "7-30" if age < 30 else "30+"
            place = (KINDS[number % 3], DEPARTMENTS[number % 2], days_open)
            by_place[place] = by_place.get(place, 0) + 1
        assert {(r["kind"], r["department"], r["days"]): r["open"] for r in found.open_conflicts} == by_place
        assert found.whole["open_conflicts"].value == len(still)
        hours = resolved(steps, (end - days) * 24, end * 24)
        assert sum(row["resolved"] for row in found.resolved) == len(hours)
        mean = found.whole["conflict_hours"].value
        assert mean == (pytest.approx(sum(hours) / len(hours), abs=1e-6) if hours else None)
        whole = sum(row["resolved"] * row["mean_hours"] for row in found.resolved)
        assert whole == pytest.approx(sum(hours), abs=1e-5)


def test_drift_is_what_of_it_lies_in_the_period(connection: Connection) -> None:
    spans: list[tuple[float, float | None]] = [(-5, 3), (10, 30), (40, None)]
    for n, (begin, end) in enumerate(spans):
        since = BEGIN + begin * HOUR
        if end is None:
            connection.execute(
                "insert into sync.target_state (target, kind, code, expected, seen, checked_at, since)"
                " values ('billing', 'meter', %s, '\\x01', '\\x02', %s, %s)",
                [f"M{n}", since, since],
            )
        else:
            connection.execute(
                "insert into sync.drift values ('billing', 'meter', %s, %s, %s)", [f"M{n}", since, BEGIN + end * HOUR]
            )
    for first, last in ((0, 24), (24, 48), (0, 168)):
        found = read_indicators(connection, BEGIN + first * HOUR, BEGIN + last * HOUR, "UTC")
        expected = 60 * overlap(spans, first, last)
        assert sum(row["minutes"] for row in found.drift) == pytest.approx(expected)
        assert found.whole["drift_minutes"].value == pytest.approx(expected)
        assert {row["target"] for row in found.drift} == {"billing"}


def test_completeness_and_consistency_are_of_the_last_day_that_had_ended(connection: Connection) -> None:
    for day, missing in ((date(2040, 10, 1), 3), (date(2040, 10, 2), 1)):
        write_completeness(connection, day, {("gis", "meter"): 97, ("pms", "area"): 10}, {("gis", "meter"): missing})
    write_consistency(connection, "A1", date(2040, 10, 1), 50, 40)
    write_consistency(connection, "A2", date(2040, 10, 1), 50, 50)
    before = read_indicators(connection, BEGIN - 24 * HOUR, BEGIN, "UTC")
    assert (before.completeness, before.whole["completeness"].value, before.whole["consistency"].value) == (
        [],
        None,
        None,
    )
    first = read_indicators(connection, BEGIN, BEGIN + 24 * HOUR, "UTC")
    assert {(r["system"], r["kind"]): r["rate"] for r in first.completeness} == {
        ("gis", "meter"): 0.97, ("pms", "area"): 1.0,
    }  # fmt: skip
    assert first.whole["completeness"].value == 107 / 110
    assert first.whole["consistency"].value == 0.9
    # County 1 answers for A1; consistency by unit is that of the roll-out, to the letter.
    for code, figure in first.units.items():
        assert figure.value == read_figure(connection, "consistency", code, BEGIN + 24 * HOUR, "UTC").value
    assert first.units["county-01"].value == 0.8
    second = read_indicators(connection, BEGIN + 24 * HOUR, BEGIN + 48 * HOUR, "UTC")
    assert second.whole["completeness"].value == 107 / 108
    # Of a part of the utility nobody can say which records are its own.
    assert read_figure(connection, "completeness", "county-01", BEGIN + 48 * HOUR, "UTC").value is None
    # Written again, a day is what was found last.
    write_completeness(connection, date(2040, 10, 2), {("gis", "meter"): 98, ("pms", "area"): 10}, {})
    assert read_figure(connection, "completeness", None, BEGIN + 48 * HOUR, "UTC").value == 1


def test_the_command_tells_days_weeks_and_months(
    database: Any, connection: Connection, config_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METERLINE_DATABASE__NAME", database.section.name)
    monkeypatch.setenv("METERLINE_SETTLING__TIME_ZONE", "UTC")
    steps = write_steps(connection, 5)
    now = (BEGIN + 40 * 24 * HOUR + HOUR).isoformat()
    options = ["sync", "indicators", "--config", str(config_path), "--at", now]
    told = CliRunner().invoke(app, [*options, "--count", "3", "--json"], catch_exceptions=False)
    rows = json.loads(told.stdout)
    assert [row["at"][:10] for row in rows] == ["2040-11-10", "2040-11-09", "2040-11-08"]
    for row in rows:
        end = (datetime.fromisoformat(row["at"]) - BEGIN) / HOUR
        assert row["all"]["open_conflicts"]["value"] == len(open_at(steps, end))
    month = CliRunner().invoke(app, [*options, "--period", "month"], catch_exceptions=False)
    assert month.stdout.startswith("2040-10-01 to 2040-11-01\n")
    wrong = CliRunner().invoke(app, [*options, "--period", "year"])
    assert (wrong.exit_code, "day, week, month" in wrong.stderr) == (2, True)
