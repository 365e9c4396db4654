"""The flow of work, case by case: what ends a stay, what is rework, what deviates, what is recommended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from benefit.flow_bottlenecks import FlowRules, find_bottlenecks
from benefit.flow_cases import NOBODY, Stay, Traced, trace
from benefit.flow_events import By, Event
from benefit.flow_process import ALERT, CONFLICT, DELIVERY, PROCESSES, TICKET, Process
from benefit.flow_report import flow_of

BEGIN = datetime(2026, 6, 1, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)


def step(
    at_h: float,
    action: str,
    stage: str | None,
    holder: str | None = "marketing",
    by: By = By.OPERATOR,
    *,
    before: str | None = None,
    department: str | None = "marketing",
    person: int = 1,
    needed: int = 2,
    model: bool = True,
) -> Event:
    at = BEGIN + at_h * HOUR
    return Event(1, "k", at, action, stage, before, holder, department, by, person, needed, model)


def traced(process: Process, *steps: Event, until_h: float = 100) -> Traced:
    return trace(process, steps, BEGIN + until_h * HOUR)


def stays(found: Traced) -> list[tuple[str, str, float, bool]]:
    return [(stay.stage, stay.department, stay.seconds / 3600, stay.ended) for stay in found.stays]


OPENED = step(0, "open", "open", by=By.SYSTEM)
CONFLICTING = step(0, "open", "unproposed", by=By.SYSTEM)
PROPOSED = step(5, "propose", "open", by=By.AUTHOR, person=2)


def approves(at_h: float, department: str, person: int, *, needed: int = 2, model: bool = True) -> Event:
    return step(at_h, "approve", None, department=department, person=person, by=By.REVIEWER, needed=needed, model=model)


class TestAlerts:
    def test_an_escalation_or_an_assignment_ends_no_wait(self) -> None:
        found = traced(
            ALERT, OPENED, step(1, "escalate", "open", by=By.SYSTEM), step(2, "assign", "open"),
            step(4, "acknowledge", "acknowledged"), step(5, "start", "in_progress"), step(9, "confirm", "resolved"),
            step(10, "close", "closed"),
        )  # fmt: skip
        assert stays(found) == [
            ("open", "marketing", 4, True), ("acknowledged", "marketing", 1, True),
            ("in_progress", "marketing", 4, True), ("resolved", "marketing", 1, True),
        ]  # fmt: skip
        assert (found.lead_s, found.over, found.loops, found.deviations) == ([36_000], [True], [], [])

    def test_what_passed_by_itself_was_dealt_with_by_nobody_and_is_over(self) -> None:
        found = traced(ALERT, OPENED, step(3, "resolve", "resolved", by=By.SYSTEM))
        assert stays(found) == [("open", "marketing", 3, False)]
        assert (found.lead_s, found.over) == ([10_800], [True])

    def test_what_lasts_counts_until_now(self) -> None:
        assert stays(traced(ALERT, OPENED, until_h=7)) == [("open", "marketing", 7, False)]

    def test_a_reopened_alert_and_a_second_crew_are_rework(self) -> None:
        found = traced(
            ALERT, OPENED, step(1, "start", "in_progress"), step(3, "start", "in_progress"),
            step(6, "confirm", "resolved"), step(7, "close", "closed"), step(9, "reopen", "open"),
            step(10, "start", "in_progress"), step(12, "refute", "resolved"), step(13, "close", "closed"),
        )  # fmt: skip
        assert [(loop.action, loop.stage, loop.seconds / 3600) for loop in found.loops] == [
            ("start", "in_progress", 3), ("reopen", "open", 4),
        ]  # fmt: skip
        assert found.lead_s == [13 * 3_600]


class TestConflicts:
    def test_a_wait_belongs_to_the_department_whose_approval_ends_it(self) -> None:
        found = traced(
            CONFLICT, CONFLICTING, PROPOSED, approves(7, "metering", 3), approves(20, "operation", 4),
            step(21, "close", "closed", by=By.SYSTEM),
        )  # fmt: skip
        assert stays(found) == [
            ("unproposed", "marketing", 5, True), ("open", "metering", 2, True), ("open", "operation", 13, True),
            ("applied", "meterline", 1, True),
        ]  # fmt: skip
        assert found.deviations == []

    def test_nobody_is_blamed_for_an_approval_that_nobody_has_given(self) -> None:
        assert stays(traced(CONFLICT, CONFLICTING, PROPOSED))[-1] == ("open", NOBODY, 95, False)

    def test_the_system_that_corrects_its_record_ends_the_wait_for_it(self) -> None:
        found = traced(
            CONFLICT, CONFLICTING, PROPOSED, approves(6, "metering", 3, needed=1, model=False),
            step(30, "close", "closed", by=By.SYSTEM),
        )  # fmt: skip
        assert stays(found)[-1] == ("approved", "marketing", 24, True)

    def test_a_correction_and_a_second_proposal_are_rework(self) -> None:
        found = traced(
            CONFLICT, CONFLICTING, PROPOSED, step(6, "correct", None, by=By.REVIEWER, person=5),
            step(8, "reject", None, by=By.REVIEWER, person=3), step(10, "propose", "open", by=By.AUTHOR, person=2),
            step(12, "reject", None, by=By.REVIEWER, person=3),
        )  # fmt: skip
        assert [(loop.action, loop.stage) for loop in found.loops] == [("correct", "open"), ("propose", "open")]
        assert found.deviations == []

    @pytest.mark.parametrize(
        ("steps", "what"),
        [
            ([approves(6, "marketing", 2)], "somebody else must approve"),
            ([approves(6, "metering", 3), approves(7, "metering", 3)], "has approved it already"),
            ([step(6, "undo", None, person=3)], "undo isn't possible"),
            ([step(6, "propose", "open", person=3)], "propose"),
            ([step(1, "close", "closed", by=By.SYSTEM)], "after a later step"),
        ],
    )
    def test_what_the_rules_of_proposals_forbid_deviates(self, steps: list[Event], what: str) -> None:
        (found,) = traced(CONFLICT, CONFLICTING, PROPOSED, *steps).deviations
        assert what in found.what

    def test_what_was_applied_may_be_undone_after_the_conflict_was_gone(self) -> None:
        found = traced(
            CONFLICT, CONFLICTING, PROPOSED, approves(6, "metering", 3), approves(7, "operation", 4),
            step(8, "close", "closed", by=By.SYSTEM), step(9, "undo", None, person=3),
            step(10, "reopen", "unproposed", by=By.SYSTEM),
        )  # fmt: skip
        assert found.deviations == []
        assert [loop.action for loop in found.loops] == ["reopen"]


def test_deliveries_are_read_back_or_only_told() -> None:
    read = traced(
        DELIVERY, step(0, "owe", "owed", "gis"), step(1, "deliver", "delivered", "gis"),
        step(4, "read_back", "read_back", "gis"),
    )  # fmt: skip
    assert stays(read) == [("owed", "gis", 1, True), ("delivered", "gis", 3, True)]
    told = traced(DELIVERY, step(0, "owe", "owed", "hook"), step(1, "tell", "told", "hook"))
    assert (stays(told), told.over) == ([("owed", "hook", 1, True)], [True])


def test_a_ticket_that_goes_up_is_no_rework_and_one_that_comes_back_is() -> None:
    found = traced(
        TICKET, step(0, "open", "open", "desk tier 1"), step(1, "take", "in_progress", "desk tier 1"),
        step(2, "up", "open", "desk tier 2"), step(3, "take", "in_progress", "desk tier 2"),
        step(4, "down", "open", "desk tier 1"), step(6, "take", "in_progress", "desk tier 1"),
        step(7, "resolve", "resolved", "county-01"),
    )  # fmt: skip
    assert [(loop.action, loop.seconds / 3600) for loop in found.loops] == [("down", 3)]
    assert found.deviations == []


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_a_case_that_begins_otherwise_deviates(process: Process) -> None:
    (found,) = traced(process, step(0, "appear", "somewhere")).deviations
    assert "begins with appear" in found.what


def test_a_history_with_a_hole_deviates_and_goes_on_as_recorded() -> None:
    found = traced(ALERT, OPENED, step(2, "close", "closed", before="resolved"), step(3, "acknowledge", "open"))
    assert [d.what for d in found.deviations] == [
        "close began in resolved, and it was open", "acknowledge isn't possible in closed",
    ]  # fmt: skip
    wrong = traced(ALERT, OPENED, step(2, "acknowledge", "closed"))
    assert [d.what for d in wrong.deviations] == ["acknowledge in open led to closed, not to acknowledged"]


def stay(case: int, stage: str, department: str, hours: float, *, ended: bool = True) -> Stay:
    return Stay(
        case, "k", stage, department, "go_on" if ended else None, BEGIN, BEGIN + hours * HOUR, ended, again=False
    )


class TestBottlenecks:
    def test_one_who_lets_nothing_through_is_named_though_no_length_is_known(self) -> None:
        cases = [stay(n, "open", "metering", 40, ended=False) for n in range(12)]
        cases += [stay(20 + n, "open", "marketing", 2 + n % 3) for n in range(20)]
        (named,) = find_bottlenecks("alert", cases, FlowRules(), {})
        assert (named.department, named.lasting, named.until, named.p50_s != named.p50_s) == (
            "metering",
            12,
            None,
            True,
        )
        assert named.times > 2

    def test_what_is_quick_anyway_isnt_named(self) -> None:
        cases = [stay(n, "owed", "gis", 0.01) for n in range(50)] + [stay(n, "owed", "pms", 0.001) for n in range(50)]
        assert find_bottlenecks("delivery", cases, FlowRules(), {}) == []

    def test_too_few_cases_prove_nothing(self) -> None:
        cases = [stay(n, "open", "metering", 90) for n in range(7)] + [
            stay(n, "open", "marketing", 1) for n in range(50)
        ]
        assert find_bottlenecks("alert", cases, FlowRules(), {}) == []

    def test_a_step_without_another_department_is_compared_with_the_other_steps(self) -> None:
        hours = {"open": 1.0, "acknowledged": 2.0, "in_progress": 40.0}
        cases = [stay(n, stage, "control_room", h + n % 3 / 10) for n in range(20) for stage, h in hours.items()]
        (named,) = find_bottlenecks("alert", cases, FlowRules(), {})
        assert (named.stage, named.compared_with, named.reference) == ("in_progress", "steps", ("acknowledged", "open"))
        # Within the crews' own deadline it is work, and no bottleneck.
        assert find_bottlenecks("alert", cases, FlowRules(), {"in_progress": 7 * 86_400.0}) == []

    def test_departments_are_compared_over_the_kinds_that_both_have(self) -> None:
        """Metering has the long kind alone, and does it as fast as others do."""
        long = [
            Stay(n, "long", "open", d, "go_on", BEGIN, BEGIN + (40 + n % 5) * HOUR, ended=True, again=False)
            for d in ("metering", "marketing") for n in range(20)
        ]  # fmt: skip
        short = [stay(100 + n, "open", "marketing", 1) for n in range(100)]
        assert find_bottlenecks("alert", long + short, FlowRules(), {}) == []

    def test_the_gain_is_what_the_same_ends_need_less_at_the_others_pace(self) -> None:
        cases = [stay(n, "open", "metering", 50 + n % 2) for n in range(20)]
        cases += [stay(50 + n, "open", "marketing", 4 + n % 3) for n in range(30)]
        flow = flow_of(ALERT, Traced(cases, lead_s=[1.0], over=[True]), FlowRules(), {})
        (advice,) = flow.recommendations
        assert advice.gain_s == pytest.approx((20 * 50 + 10 - 20 * 5) * 3_600)
        assert "20 stays of 2.1 d at the median until go_on" in advice.evidence
        assert "less what its 20 ends take at the pace of the others (5.0 h each)" in advice.how


def test_rework_that_comes_often_is_recommended_with_its_time() -> None:
    cases = []
    for case in range(20):
        steps = [("open", "open"), ("start", "in_progress"), ("confirm", "resolved"), ("close", "closed")]
        if case < 9:
            steps += [("reopen", "open"), ("start", "in_progress"), ("refute", "resolved"), ("close", "closed")]
        cases += [
            Event(case, "k", BEGIN + n * HOUR, action, stage, None, "marketing", "marketing", By.OPERATOR)
            for n, (action, stage) in enumerate(steps)
        ]
    (advice,) = flow_of(ALERT, trace(ALERT, cases, BEGIN + 50 * HOUR), FlowRules(), {}).recommendations
    assert (advice.about, advice.step, advice.cases, advice.gain_s) == ("rework", "alert: reopen", 9, 9 * 3 * 3_600)


def test_rules_and_times_are_checked() -> None:
    with pytest.raises(ValueError, match="name anything"):
        FlowRules(times_peers=1.0)
    with pytest.raises(ValueError, match="aware"):
        Event(1, "k", datetime(2026, 1, 1), "open", "open", None, None, None, By.SYSTEM)  # noqa: DTZ001
