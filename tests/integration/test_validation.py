"""Rules over a day on the real database: what they doubt, who is shown it, and what estimates make of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from grid.doubt import DoubtRule
from grid.loss_rules import LossRules
from kernels.validation import Multiplier
from meterline.cli import app
from store.connection import connect
from store.validation import StoredDoubt, list_doubts
from streams.counters import Counters
from streams.processor import Processor
from streams.steps.validate import DayRules
from streams.validation import Validated, validate_due
from sync.load import load_grid
from tests.integration.conftest import Database
from tests.integration.test_estimates import START, AreasApart, Open, drive, hours_of, rows, true_wh
from tests.replay_day import Sent, microseconds
from tests.small_grid import small_model

SPIKE_WH = 200_000
#: Of the second day, in which the meter's value is a spike, and of the fourth, in which it is missing.
SPIKE_HOUR, GAP_HOUR = 24 + 12, 72 + 12
FINAL_S = 86_400


class WithRules(AreasApart):
    """With rules of its own."""

    def __init__(self, open_live: Open, rules: LossRules) -> None:
        super().__init__(open_live)
        self.close()
        self._areas = Processor(open_live, Counters(), rules=rules)
        self._greater = Processor(open_live, Counters(), rules=rules)


def with_spike(messages: Sequence[Sent]) -> list[Sent]:
    """The messages, in one of which the first customer's meter of A1 says far too much."""
    changed = []
    for message in messages:
        body = json.loads(message.payload)
        if message.topic.endswith("/A1") and body["sequence"] == SPIKE_HOUR:
            body["import_wh"][body["meter"].index("A1-m1")] = SPIKE_WH
            message = replace(message, payload=json.dumps(body).encode())  # noqa: PLW2901
        changed.append(message)
    return changed


def validate(open_live: Open, after: timedelta, **options: object) -> Validated:
    with open_live() as connection:
        connection.autocommit = True
        now_us = microseconds(START + after)
        done = validate_due(connection, DayRules(), FINAL_S, LossRules().zone, now_us, **options)  # type: ignore[arg-type]
    assert done is not None
    return done


def doubts(open_live: Open) -> list[StoredDoubt]:
    with open_live() as connection:
        return list_doubts(connection, START)


@pytest.fixture
def live(database: Database) -> Open:
    open_live = partial(connect, database.conninfo("app"), "test")
    with open_live() as connection:
        load_grid(connection, small_model())
    return open_live


@pytest.mark.parametrize("kept_out", [(), (DoubtRule.SPIKE,)])
def test_a_spike_is_doubted_and_kept_out_of_history(live: Open, kept_out: tuple[DoubtRule, ...]) -> None:
    path = WithRules(live, LossRules(kept_out=kept_out))
    messages = with_spike(hours_of({(GAP_HOUR, "A1-m1")}))
    looked_at = timedelta(days=3, minutes=30)
    drive(path, [m for m in messages if m.received_at < START + looked_at], START + looked_at)
    before = rows(live, SPIKE_HOUR)["A1"]
    # Two areas; on neither side of the seven days back is there anything else.
    assert validate(live, looked_at) == Validated(units=4, doubts=1)
    (doubt,) = doubts(live)
    assert (doubt.unit, doubt.meter, doubt.rule) == ("A1", "A1-m1", "spike")
    assert (doubt.begins_at, doubt.ends_at) == tuple(START + timedelta(hours=SPIKE_HOUR + n) for n in (0, 1))
    assert doubt.value_wh == SPIKE_WH
    assert doubt.as_of == START + timedelta(days=3)
    assert validate(live, looked_at) == Validated(units=0, doubts=0)
    # Nothing that was measured has changed.
    assert rows(live, SPIKE_HOUR)["A1"] == before
    drive(path, [m for m in messages if m.received_at >= START + looked_at], START + timedelta(days=5, hours=3))
    path.close()
    estimated = rows(live, GAP_HOUR)["A1"]["estimated_wh"]
    truth = true_wh("A1", GAP_HOUR)["A1-m1"]
    if kept_out:
        assert abs(estimated - truth) < 0.3 * truth
    else:
        assert estimated > 1.5 * truth


def test_days_can_be_looked_at_again_with_other_limits(live: Open) -> None:
    path = WithRules(live, LossRules())
    drive(path, with_spike(hours_of(set())), START + timedelta(days=4))
    path.close()
    day = (START + timedelta(hours=SPIKE_HOUR)).date()
    assert validate(live, timedelta(days=5, hours=1)) == Validated(units=8, doubts=1)
    assert validate(live, timedelta(days=5, hours=1), days=[day], units=["A1"]) == Validated(1, 1)
    assert len(doubts(live)) == 1
    # A day whose limits haven't passed is nobody's yet.
    assert validate(live, timedelta(days=2, hours=23), days=[day]).units == 0
    with live() as connection:
        connection.autocommit = True
        blind = replace(DayRules(), spike=replace(DayRules().spike, least_wh=10 * SPIKE_WH))
        now_us = microseconds(START + timedelta(days=5))
        validate_due(connection, blind, FINAL_S, LossRules().zone, now_us, days=[day])
    assert doubts(live) == []


def test_a_multiplier_is_told_from_the_sums_of_days(live: Open) -> None:
    path = WithRules(live, LossRules())
    messages = []
    for message in hours_of(set()):
        body = json.loads(message.payload)
        if message.topic.endswith("/A2") and body["sequence"] >= 48:
            body["import_wh"] = [
                20 * wh if m == "A2-m2" else wh for m, wh in zip(body["meter"], body["import_wh"], strict=True)
            ]
        messages.append(replace(message, payload=json.dumps(body).encode()))
    drive(path, messages, START + timedelta(days=4))
    path.close()
    rules = replace(DayRules(), multiplier=Multiplier(days=2))
    with live() as connection:
        connection.autocommit = True
        now_us = microseconds(START + timedelta(days=5, hours=1))
        validate_due(connection, rules, FINAL_S, LossRules().zone, now_us)
    (doubt,) = doubts(live)
    assert (doubt.meter, doubt.rule) == ("A2-m2", "multiplier")
    assert (doubt.begins_at, doubt.ends_at) == (START + timedelta(days=2), START + timedelta(days=4))
    assert doubt.value_wh == pytest.approx(20 * doubt.limit_wh, rel=0.15)


def test_boards_see_counts_alone(live: Open, database: Database) -> None:
    with psycopg.connect(database.conninfo("board")) as connection:
        connection.execute("select * from telemetry.doubt_count")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select value_wh from telemetry.doubt")


def test_the_commands_tell_what_there_is(config_path: Path, settings: object) -> None:
    run = CliRunner()

    def invoke(*arguments: str) -> tuple[int, str]:
        result = run.invoke(app, ["validation", *arguments, "--config", str(config_path)])
        return result.exit_code, result.stdout

    assert invoke("list", "--json", "--since", "2026-01-01T00:00:00Z") == (0, "[]\n")
    assert invoke("list")[1].startswith("nothing doubtful since")
    assert invoke("list", "--unit", "nowhere")[0] == 1
    assert invoke("run", "--from", "2026-13-01")[0] == 1
    assert invoke("run", "--to", "2026-01-01")[0] == 1
    code, text = invoke("run", "--from", date(2020, 1, 1).isoformat(), "--to", "2020-01-02", "--json")
    assert (code, json.loads(text)) == (0, {"units": 0, "doubts": 0})
