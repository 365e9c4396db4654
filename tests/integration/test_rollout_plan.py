"""The plan of a roll-out on a real database: revisions, reviews, criteria that judge themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from store.connection import Connection, connect
from store.rollout import INDICATORS, read_figure, read_rows
from sync.load import load_grid
from sync.rollout.errors import RolloutError
from sync.rollout.plan import parse_plan
from sync.rollout.planning import add_resource, find_milestone, judge, list_milestones, load_plan, review
from tests.rollout_grid import DAY, MONDAY, SHANGHAI, rollout_model, write_consistency, write_day

PLAN = """
programme = "PILOT"

[[packages]]
code = "W1"
name = "Records of county 1"
unit = "county-01"
department = "marketing"
owner = "li.wei"
starts_on = 2040-06-01
due_on = 2040-06-08
planned = { funds = 20000, people = 3 }

[[packages]]
code = "W2"
name = "Meters of county 2"
unit = "county-02"
owner = "wang.fang"
starts_on = 2040-06-08
due_on = 2040-06-20
depends_on = ["W1"]

[[milestones]]
code = "M1"
package = "W1"
name = "Records agree"
due_on = 2040-06-07
measures = ["consistency >= 98 % for 3 days"]

[[milestones]]
code = "M2"
package = "W2"
name = "All meters are read"
due_on = 2040-06-05
accept = ["report of the crew"]
measures = ["collection >= 99.5 %"]
"""


HOUR = timedelta(hours=1)


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, rollout_model())
        load_plan(opened, parse_plan(PLAN, INDICATORS), "planner", MONDAY)
        yield opened


def packages(connection: Connection, at: datetime, unit: str | None = None) -> dict[str, Any]:
    rows = read_rows(
        connection, "plan", "packages", at=at, zone=SHANGHAI.key, programme=None, unit=unit, skip=0, limit=10
    )
    return {row["code"]: row for row in rows}


def test_a_plan_gets_revisions_and_the_old_one_can_be_read(connection: Connection) -> None:
    again = load_plan(connection, parse_plan(PLAN, INDICATORS), "planner", MONDAY + DAY)
    assert (again.changed, again.dropped) == (0, 0)
    later = PLAN.replace("due_on = 2040-06-05", "due_on = 2040-06-15").replace('owner = "li.wei"', 'owner = "zhao.min"')
    assert load_plan(connection, parse_plan(later, INDICATORS), "planner", MONDAY + DAY).changed == 2
    assert packages(connection, MONDAY)["W1"]["owner"] == "li.wei"
    assert packages(connection, MONDAY + DAY)["W1"]["owner"] == "zhao.min"
    # What was slipped by the old plan is not by the new one; a report of the old day says what it said.
    end = MONDAY + 2 * DAY
    assert find_milestone(connection, "PILOT", "M2", end, SHANGHAI)["due_on"] == date(2040, 6, 15)
    without = later[: later.index('[[milestones]]\ncode = "M2"')]
    assert load_plan(connection, parse_plan(without, INDICATORS), "planner", end).dropped == 1
    assert [m["code"] for m in list_milestones(connection, end, SHANGHAI)] == ["M1"]
    assert [m["code"] for m in list_milestones(connection, MONDAY, SHANGHAI)] == ["M2", "M1"]
    # A milestone goes with its package, and doesn't come back with it.
    start = later.index('[[packages]]\ncode = "W2"')
    alone = (
        later[:start] + later[later.index('[[milestones]]\ncode = "M1"') : later.index('[[milestones]]\ncode = "M2"')]
    )
    load_plan(connection, parse_plan(later, INDICATORS), "planner", end + HOUR)
    assert load_plan(connection, parse_plan(alone, INDICATORS), "planner", end + 2 * HOUR).dropped == 2
    load_plan(connection, parse_plan(without, INDICATORS), "planner", end + 3 * HOUR)
    assert [m["code"] for m in list_milestones(connection, end + 3 * HOUR, SHANGHAI)] == ["M1"]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("delete from rollout.package")


def test_history_cant_be_changed_even_by_its_owner(connection: Connection, database: Any) -> None:
    with connect(database.conninfo("owner"), "test") as owner:
        for statement in ("update rollout.package set owner = 'x'", "truncate rollout.milestone"):
            with pytest.raises(psycopg.errors.RaiseException, match="history"), owner.transaction():
                owner.execute(statement)


def test_an_organisation_sees_itself_and_what_is_below(connection: Connection) -> None:
    assert set(packages(connection, MONDAY, "county-01")) == {"W1"}
    assert set(packages(connection, MONDAY, "marketing")) == {"W1"}
    assert set(packages(connection, MONDAY, "utility")) == {"W1", "W2"}


def test_a_milestone_judges_itself_once_its_indicator_has_kept_the_limit_long_enough(connection: Connection) -> None:
    # Of county 1: A1 98 of 100 and F1 1 of 1 are 99/101 = 98.02 %; area A2 of county 2 doesn't count.
    for number in range(3):
        day = date(2040, 6, 4 + number)
        write_consistency(connection, "A1", day, 100, 98)
        write_consistency(connection, "F1", day, 1, 1)
        write_consistency(connection, "A2", day, 100, 50)
    after_two = datetime(2040, 6, 6, 0, 30, tzinfo=SHANGHAI)
    (told,) = judge(connection, after_two, SHANGHAI, "PILOT", "M1")
    assert (told["met"], told["recorded"]) == (False, None)
    assert told["figures"]["consistency >= 98 % for 3 days"]["values"] == [99 / 101, 99 / 101, None]
    after_three = after_two + DAY
    (told,) = judge(connection, after_three, SHANGHAI, "PILOT", "M1")
    assert (told["met"], told["recorded"]) == (True, "passed")
    found = find_milestone(connection, "PILOT", "M1", after_three, SHANGHAI)
    assert (found["result"], found["reviewed_by"], found["passed_at"]) == ("passed", "meterline", after_three)
    # It is as it was before when asked as of before, and isn't judged twice.
    assert find_milestone(connection, "PILOT", "M1", after_two, SHANGHAI)["result"] is None
    assert judge(connection, after_three, SHANGHAI, "PILOT", "M1") == []


def test_one_old_day_isnt_three(connection: Connection) -> None:
    """The comparison stood still after a good day: that it is still the last one known proves nothing of the others."""
    write_consistency(connection, "A1", date(2040, 6, 2), 100, 100)
    (told,) = judge(connection, datetime(2040, 6, 7, 0, 30, tzinfo=SHANGHAI), SHANGHAI, "PILOT", "M1")
    assert (told["met"], told["recorded"]) == (False, None)
    figure = told["figures"]["consistency >= 98 % for 3 days"]
    assert (figure["values"], figure["day"]) == ([1, None, None], "2040-06-02")


def test_a_milestone_has_passed_when_it_first_did(connection: Connection) -> None:
    """With conditions on Monday, without on Wednesday: it passed once, on Monday, and on time."""

    def passed(at: datetime) -> float | None:
        return read_figure(connection, "milestones_passed", None, at, SHANGHAI.key).value

    def say(result: str, at: datetime) -> datetime | None:
        conditions = "street 5" if result == "conditions" else None
        row = review(connection, "PILOT", "M2", result, "report", "zhang.jie", at, SHANGHAI, conditions)
        return row["passed_at"]  # type: ignore[no-any-return]

    at = [MONDAY + n * DAY for n in range(6)]
    assert say("failed", at[0]) is None
    assert say("conditions", at[1]) == at[1]
    assert say("passed", at[3]) == at[1]
    assert [passed(when + HOUR) for when in at] == [0, 1, 0, 0, 0, 0]
    on_time = read_figure(connection, "on_time", "county-02", at[4], SHANGHAI.key)
    assert (on_time.part, on_time.whole) == (1, 1)
    # What has failed since passes anew; as of before it is as it was.
    assert say("failed", at[4]) is None
    assert say("passed", at[5]) == at[5]
    assert find_milestone(connection, "PILOT", "M2", at[3], SHANGHAI)["passed_at"] == at[1]


def test_a_milestone_fails_by_itself_once_its_day_is_over(connection: Connection) -> None:
    write_consistency(connection, "A1", date(2040, 6, 6), 100, 97)
    night = datetime(2040, 6, 8, 0, 30, tzinfo=SHANGHAI)
    (told,) = judge(connection, night, SHANGHAI, "PILOT", "M1")
    assert told["recorded"] == "failed"
    assert judge(connection, night + DAY, SHANGHAI, "PILOT", "M1")[0]["recorded"] is None
    # Better late than never.
    for number in range(8, 11):
        write_consistency(connection, "A1", date(2040, 6, number), 100, 99)
    assert judge(connection, night + 3 * DAY, SHANGHAI, "PILOT", "M1")[0]["recorded"] == "passed"
    on_time = read_figure(connection, "on_time", "county-01", night + 4 * DAY, SHANGHAI.key)
    assert (on_time.part, on_time.whole) == (0, 1)


def test_people_review_what_has_criteria_of_theirs(connection: Connection) -> None:
    tuesday = MONDAY + DAY
    write_day(connection, "A2", date(2040, 6, 4), tuesday, 1_000_000, 50_000)
    (told,) = judge(connection, tuesday, SHANGHAI, "PILOT", "M2")
    assert (told["met"], told["recorded"]) == (True, None)
    with pytest.raises(RolloutError, match="conditions"):
        review(connection, "PILOT", "M2", "conditions", "report 7", "zhang.jie", tuesday, SHANGHAI)
    with pytest.raises(RolloutError, match="evidence"):
        review(connection, "PILOT", "M2", "passed", "report 7", "meterline", tuesday, SHANGHAI)
    with pytest.raises(RolloutError, match="no milestone"):
        review(connection, "PILOT", "M9", "passed", "report 7", "zhang.jie", tuesday, SHANGHAI)
    done = review(
        connection,
        "PILOT",
        "M2",
        "conditions",
        "report 7",
        "zhang.jie",
        tuesday,
        SHANGHAI,
        conditions="street 5 by July",
    )
    assert (done["result"], done["is_slipped"]) == ("conditions", False)
    (kept,) = read_rows(connection, "plan", "reviews", programme="PILOT", milestone="M2", at=tuesday)
    assert kept["figures"]["collection >= 99.5 %"]["values"] == [1.0]


def test_resources_are_planned_granted_and_used(connection: Connection) -> None:
    for phase, amount in (("granted", 15_000), ("used", 400), ("used", -100)):
        add_resource(connection, "PILOT", "W1", "funds", phase, amount, "order 12", "leader", MONDAY, SHANGHAI)
    row = packages(connection, MONDAY)["W1"]
    assert row["planned"] == {"funds": 20_000, "people": 3, "material": 0}
    assert row["resources"] == {"granted_funds": 15_000, "used_funds": 300}
    with pytest.raises(RolloutError, match="W9"):
        add_resource(connection, "PILOT", "W9", "funds", "used", 1, "x", "leader", MONDAY, SHANGHAI)


def test_a_package_begins_once_those_before_it_are_done(connection: Connection) -> None:
    def use(amount: float, at: datetime) -> None:
        add_resource(connection, "PILOT", "W2", "people", "used", amount, "week 24", "leader", at, SHANGHAI)

    def blocked(at: datetime) -> list[list[str]]:
        return [packages(connection, at)[code]["blocked_by"] for code in ("W1", "W2")]

    assert blocked(MONDAY) == [[], ["W1"]]
    with pytest.raises(RolloutError, match="W2 begins once these are done: W1"):
        use(2, MONDAY)
    # It may be promised before, and what was noted wrongly be put right.
    add_resource(connection, "PILOT", "W2", "people", "granted", 3, "order 4", "leader", MONDAY, SHANGHAI)
    use(-1, MONDAY)
    review(connection, "PILOT", "M1", "passed", "list", "zhang.jie", MONDAY + DAY, SHANGHAI)
    assert (blocked(MONDAY), blocked(MONDAY + DAY)) == ([[], ["W1"]], [[], []])
    use(2, MONDAY + DAY)
    # One that has no milestones is done when its day is over.
    without = PLAN[: PLAN.index('[[milestones]]\ncode = "M1"')] + PLAN[PLAN.index('[[milestones]]\ncode = "M2"') :]
    load_plan(connection, parse_plan(without, INDICATORS), "planner", MONDAY + DAY)
    assert blocked(datetime(2040, 6, 8, 23, 59, tzinfo=SHANGHAI)) == [[], ["W1"]]
    assert blocked(datetime(2040, 6, 9, tzinfo=SHANGHAI)) == [[], []]


def test_the_units_of_a_plan_must_be_there(connection: Connection) -> None:
    wrong = PLAN.replace('unit = "county-02"', 'unit = "county-99"')
    with pytest.raises(RolloutError, match="county-99"):
        load_plan(connection, parse_plan(wrong, INDICATORS), "planner", MONDAY + DAY)
    assert packages(connection, MONDAY + DAY)["W2"]["unit"] == "county-02"


def test_commands(config_path: Path, settings: Any, tmp_path: Path) -> None:
    with connect(settings.database.conninfo("app"), "test") as opened:
        load_grid(opened, rollout_model())
    today = datetime.now(SHANGHAI).date()
    text = PLAN.replace("2040-06-01", str(today)).replace("2040-06-07", str(today + timedelta(days=4)))
    file = tmp_path / "plan.toml"
    file.write_text(text)

    def run(*arguments: str) -> Any:
        command = [sys.executable, "-m", "meterline", "rollout", "plan", *arguments, "--config", str(config_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ), timeout=90)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    assert run("load", str(file), "--json") == {"programme": "PILOT", "changed": 4, "dropped": 0}
    assert [row["code"] for row in run("list", "--unit", "county-01", "--json")] == ["W1"]
    reviewed = run("review", "PILOT", "M2", "passed", "--evidence", "report 7", "--by", "zhang.jie", "--json")
    assert (reviewed["result"], reviewed["reviewed_by"]) == ("passed", "zhang.jie")
    assert "passed by zhang.jie: report 7" in run("show", "PILOT", "M2")
    assert "not met (unknown" in run("judge", "--milestone", "M1")
    run("resource", "PILOT", "W1", "people", "granted", "3", "--note", "order 4")
