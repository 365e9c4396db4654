"""Pure rules of the roll-out: working time, criteria, plans, the life of tickets."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.calendar import Calendar
from sync.rollout.criteria import Criterion, by_day, parse_criterion
from sync.rollout.errors import RolloutError
from sync.rollout.plan import parse_plan
from sync.rollout.tickets import (
    RUNNING,
    TRANSITIONS,
    Action,
    DeskRules,
    Promise,
    Standing,
    State,
    opened,
    step,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = Calendar(SHANGHAI, frozenset(range(5)), time(8), time(18))
HOUR = 3_600
#: Friday, 16:00.
FRIDAY = datetime(2040, 6, 8, 16, tzinfo=SHANGHAI)
#: Hypothesis wants bounds without a zone.
YEAR = (datetime(2026, 1, 1), datetime(2027, 1, 1))  # noqa: DTZ001
PROMISE = Promise(2 * HOUR, 8 * HOUR)


class TestWorkingTime:
    def test_a_weekend_doesnt_count(self) -> None:
        monday = datetime(2040, 6, 11, 9, tzinfo=SHANGHAI)
        assert OFFICE.worked_s(FRIDAY, monday) == 3 * HOUR
        assert OFFICE.after(FRIDAY, 3 * HOUR) == monday
        assert OFFICE.worked_s(monday, FRIDAY) == 0

    def test_a_holiday_doesnt_count_and_a_working_saturday_does(self) -> None:
        shifted = Calendar(
            SHANGHAI, OFFICE.weekdays, time(8), time(18), {date(2040, 6, 9): True, date(2040, 6, 11): False}
        )
        assert shifted.after(FRIDAY, 13 * HOUR) == datetime(2040, 6, 12, 9, tzinfo=SHANGHAI)

    def test_a_night_in_which_the_clock_changes_has_an_hour_less(self) -> None:
        night = Calendar(BERLIN, frozenset(range(7)), time(22), time(6))
        evening = datetime(2026, 3, 28, 21, tzinfo=BERLIN)
        assert night.worked_s(evening, datetime(2026, 3, 29, 12, tzinfo=BERLIN)) == 7 * HOUR

    def test_a_calendar_that_never_opens_ends(self) -> None:
        never = Calendar(UTC_ZONE, frozenset({0}), time(8), time(8, 1), {date(2040, 1, 2): False})
        assert never.after(datetime(2040, 1, 1, tzinfo=UTC), 10**9) is None

    @given(st.datetimes(timezones=st.just(UTC), min_value=YEAR[0], max_value=YEAR[1]), st.floats(0, 200 * HOUR))
    def test_after_and_worked_are_each_others_inverse(self, start: datetime, worked_s: float) -> None:
        for zone in (SHANGHAI, BERLIN):
            calendar = Calendar(zone, frozenset(range(5)), time(7, 30), time(16))
            end = calendar.after(start, worked_s)
            assert end is not None
            assert calendar.worked_s(start, end) == pytest.approx(worked_s, abs=1e-3)

    @given(st.datetimes(timezones=st.just(UTC), min_value=YEAR[0], max_value=YEAR[1]), st.integers(0, 10 * 1440))
    def test_it_is_the_number_of_open_minutes(self, at: datetime, minutes: int) -> None:
        start = at.replace(second=0, microsecond=0)
        calendar = Calendar(BERLIN, frozenset({0, 2, 6}), time(22), time(6))
        sample = range(0, minutes, 30)
        opened_at = sum(calendar.is_open(start + timedelta(minutes=n)) for n in sample)
        worked = calendar.worked_s(start, start + timedelta(minutes=minutes))
        assert abs(worked / 60 - 30 * opened_at) <= 30 * (2 * minutes / 1440 + 3)


UTC_ZONE = ZoneInfo("UTC")


class TestCriteria:
    def test_reads_share_and_days(self) -> None:
        known = ("consistency", "open_conflicts")
        assert parse_criterion("consistency >= 98 % for 7 days", known) == Criterion("consistency", True, 0.98, 7)
        assert parse_criterion("open_conflicts ≤ 12", known) == Criterion("open_conflicts", False, 12, 1)

    @pytest.mark.parametrize(
        "text", ["consistency > 98 %", "konsistency >= 98 %", "consistency >= 98 % for 0 days", "consistency >= x", ""]
    )
    def test_refuses_what_it_cant_judge(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"consistency|INDICATOR|days"):
            parse_criterion(text, ("consistency",))

    def test_a_day_counts_only_where_it_was_measured_anew(self) -> None:
        tuesday, monday, sunday = date(2040, 6, 5), date(2040, 6, 4), date(2040, 6, 3)
        assert by_day([(1.0, tuesday), (0.9, monday), (0.8, sunday)]) == [1.0, 0.9, 0.8]
        # Nothing since Sunday; nothing on Monday; and one on which nobody knew anything.
        assert by_day([(0.8, sunday), (0.8, sunday), (0.8, sunday)]) == [0.8, None, None]
        assert by_day([(1.0, tuesday), (0.8, sunday), (0.8, sunday)]) == [1.0, None, 0.8]
        assert by_day([(1.0, tuesday), (None, None)]) == [1.0, None]
        # What isn't of a day is as it was when it was asked for.
        assert by_day([(3.0, None), (2.0, None)]) == [3.0, 2.0]
        assert by_day([]) == []

    @given(
        st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=9), st.integers(1, 8), st.floats(0, 1), st.booleans()
    )
    def test_holds_when_no_day_of_the_last_ones_breaks_it(
        self, values: list[float | None], days: int, limit: float, at_least: bool
    ) -> None:
        expected = len(values) >= days
        for value in values[:days]:
            if value is None or (at_least and value < limit) or (not at_least and value > limit):
                expected = False
        assert Criterion("x", at_least, limit, days).is_met(values) is expected


PLAN = """
programme = "P"
[[packages]]
code = "A"
name = "a"
unit = "u"
owner = "o"
starts_on = 2040-01-01
due_on = 2040-01-02
[[packages]]
code = "B"
name = "b"
unit = "u"
owner = "o"
starts_on = 2040-01-01
due_on = 2040-01-02
depends_on = ["A"]
[[milestones]]
code = "M"
package = "A"
name = "m"
due_on = 2040-01-02
measures = ["consistency >= 98 %"]
"""


class TestPlan:
    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ('owner = "o"\n', "", "owner"),
            ("due_on = 2040-01-02", "due_on = 2039-01-02", "before it starts"),
            ('depends_on = ["A"]', 'depends_on = ["C"]', "C, which isn't there"),
            ('depends_on = ["A"]', 'depends_on = ["B"]', "ring"),
            ('code = "B"', 'code = "A"', "one code"),
            ('package = "A"', 'package = "Z"', "no package Z"),
            ('measures = ["consistency >= 98 %"]', "", "by nothing"),
            ("consistency", "consistence", "no indicator"),
            ("[[packages]]", "[[packages", "TOML|Expected"),
        ],
    )
    def test_says_what_is_wrong(self, old: str, new: str, said: str) -> None:
        assert parse_plan(PLAN, ("consistency",)).packages[1].depends_on == ["A"]
        with pytest.raises(RolloutError, match=said):
            parse_plan(PLAN.replace(old, new), ("consistency",))


def after(standing: Standing, action: Action, hours: float, assignee: str | None = None) -> Standing:
    at = OFFICE.after(standing.at, hours * HOUR)
    assert at is not None
    return step(standing, action, at, PROMISE, OFFICE, assignee)


class TestTickets:
    def test_a_promise_is_kept_over_a_weekend(self) -> None:
        begun = opened(FRIDAY, 2, PROMISE, OFFICE)
        assert (begun.respond_due_at, begun.resolve_due_at) == (
            datetime(2040, 6, 8, 18, tzinfo=SHANGHAI), datetime(2040, 6, 11, 14, tzinfo=SHANGHAI),
        )  # fmt: skip
        taken = after(begun, Action.TAKE, 1, "li.wei")
        assert (taken.responded_s, taken.respond_due_at, taken.assignee) == (HOUR, None, "li.wei")
        assert taken.resolve_due_at == begun.resolve_due_at
        resolved = after(taken, Action.RESOLVE, 4)
        assert (resolved.worked_s, resolved.resolve_due_at) == (5 * HOUR, None)

    def test_the_clock_stands_still_while_others_are_waited_for(self) -> None:
        taken = after(opened(FRIDAY, 2, PROMISE, OFFICE), Action.TAKE, 1, "li.wei")
        waiting = after(taken, Action.WAIT, 1)
        assert waiting.resolve_due_at is None
        resumed = after(waiting, Action.RESUME, 30)
        assert resumed.worked_s == 2 * HOUR
        assert resumed.resolve_due_at == OFFICE.after(resumed.at, 6 * HOUR)

    def test_a_broken_promise_stays_broken_and_a_reopened_ticket_goes_on(self) -> None:
        taken = after(opened(FRIDAY, 2, PROMISE, OFFICE), Action.TAKE, 3, "li.wei")
        assert taken.responded_s == 3 * HOUR
        noted = after(taken, Action.NOTE, 7)
        assert noted.resolve_due_at == taken.resolve_due_at
        reopened = after(after(noted, Action.RESOLVE, 1), Action.REOPEN, 20)
        assert (reopened.worked_s, reopened.assignee, reopened.tier) == (11 * HOUR, None, 1)
        assert reopened.resolve_due_at == taken.resolve_due_at

    def test_what_was_broken_stays_so_while_others_are_waited_for_and_at_the_end(self) -> None:
        taken = after(opened(FRIDAY, 2, PROMISE, OFFICE), Action.TAKE, 1, "li.wei")
        late = after(taken, Action.WAIT, 9)
        assert late.resolve_due_at == taken.resolve_due_at
        assert after(late, Action.RESUME, 30).resolve_due_at == taken.resolve_due_at
        assert after(late, Action.RESOLVE, 1).resolve_due_at == taken.resolve_due_at
        begun = opened(FRIDAY, 2, PROMISE, OFFICE)
        dropped = after(begun, Action.CLOSE, 3)
        assert (dropped.respond_due_at, dropped.resolve_due_at) == (begun.respond_due_at, None)
        # At the very instant it is still kept.
        assert after(taken, Action.RESOLVE, 7).resolve_due_at is None

    def test_tiers_are_handed_up_and_down(self) -> None:
        begun = opened(FRIDAY, 3, PROMISE, OFFICE)
        third = after(after(begun, Action.UP, 0), Action.UP, 0)
        assert (third.tier, third.state) == (3, State.OPEN)
        with pytest.raises(RolloutError, match="3 tiers"):
            after(third, Action.UP, 0)
        with pytest.raises(RolloutError, match="2 tiers"):
            after(after(opened(FRIDAY, 2, PROMISE, OFFICE), Action.UP, 0), Action.UP, 0)
        assert after(third, Action.DOWN, 0).tier == 2

    def test_no_step_before_the_last(self) -> None:
        begun = opened(FRIDAY, 2, PROMISE, OFFICE)
        with pytest.raises(RolloutError, match="later"):
            step(begun, Action.NOTE, FRIDAY - timedelta(seconds=1), PROMISE, OFFICE)
        with pytest.raises(RolloutError, match="possible: take"):
            step(begun, Action.RESOLVE, FRIDAY, PROMISE, OFFICE)
        with pytest.raises(ValueError, match="tiers"):
            DeskRules(OFFICE, tiers=4)

    @given(st.lists(st.tuples(st.sampled_from(Action), st.integers(0, 40))))
    def test_the_clock_is_the_working_time_of_the_running_states(self, steps: list[tuple[Action, int]]) -> None:
        standing = opened(FRIDAY, 3, PROMISE, OFFICE)
        minutes_on = 0.0
        for action, hours in steps:
            at = standing.at + timedelta(hours=hours)
            running = standing.state in RUNNING
            spent = OFFICE.worked_s(standing.at, at) if running else 0.0
            try:
                standing = step(standing, action, at, PROMISE, OFFICE, "x" if action is Action.TAKE else None)
            except RolloutError:
                assert action not in TRANSITIONS[standing.state] or action in {Action.UP, Action.DOWN}
                continue
            minutes_on += spent
            assert standing.worked_s == pytest.approx(minutes_on)
            if standing.resolve_due_at is not None and standing.resolve_due_at > standing.at:
                left = OFFICE.worked_s(standing.at, standing.resolve_due_at)
                assert left == pytest.approx(PROMISE.resolve_s - standing.worked_s, abs=1e-3)
        assert set(TRANSITIONS) == set(State)
