"""The flow of work against oracles in plain Python, and what holds of any work."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.lifecycle import TRANSITIONS, State
from benefit.flow_bottlenecks import FlowRules, find_bottlenecks
from benefit.flow_cases import Stay, trace
from benefit.flow_events import By, Event
from benefit.flow_process import ALERT
from benefit.flow_report import flow_of
from benefit.flow_times import log_rank, quantile
from tests.naive import flow as naive

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
Lengths = list[tuple[float, bool]]
#: Few different lengths, so that some are equal.
lengths = st.lists(st.tuples(st.integers(0, 12).map(float), st.booleans()), min_size=1, max_size=30)


def arrays(stays: Lengths) -> tuple[np.ndarray, np.ndarray]:
    return np.array([length for length, _ in stays]), np.array([ended for _, ended in stays], np.bool_)


@given(lengths, st.sampled_from([0.1, 0.5, 0.9]))
def test_quantiles_agree_with_the_oracle(stays: Lengths, share: float) -> None:
    assert np.array_equal(quantile(*arrays(stays), share), naive.quantile(stays, share), equal_nan=True)


@given(st.lists(st.integers(0, 100), min_size=1, max_size=40), st.sampled_from([0.25, 0.5, 0.9]))
def test_a_quantile_of_what_is_over_is_that_of_the_sample(ends: list[int], share: float) -> None:
    found = quantile(np.array(ends, np.float64), np.ones(len(ends), np.bool_), share)
    assert found == sorted(ends)[math.ceil(share * len(ends) - 1e-9) - 1]


@given(lengths, lengths)
def test_the_test_of_two_curves_agrees_with_the_oracle(mine: Lengths, others: Lengths) -> None:
    assert math.isclose(
        log_rank(*arrays(mine), *arrays(others)), naive.log_rank(mine, others), rel_tol=1e-9, abs_tol=1e-12
    )


#: Where an alert waits for nobody.
RESTS = ("closed", "suppressed")


@st.composite
def alert_cases(draw: st.DrawFn) -> list[Event]:
    """A course that the table of alerts allows."""
    stage, at, role = State.OPEN, BEGIN, draw(st.sampled_from(["marketing", "metering"]))
    events = [Event(1, "high_loss", at, "open", stage, None, role, role, By.SYSTEM)]
    for _ in range(draw(st.integers(0, 12))):
        action = draw(st.sampled_from(sorted(TRANSITIONS[stage])))
        before, stage = stage, TRANSITIONS[stage][action]
        at += timedelta(minutes=draw(st.integers(0, 600)))
        if action == "start" and before == stage:  # counts as work done again, which the oracle doesn't know
            continue
        events.append(Event(1, "high_loss", at, action, stage, before, role, role, By.OPERATOR))
    return events


@given(alert_cases(), st.integers(0, 600))
def test_stays_agree_with_the_oracle(events: list[Event], more_min: int) -> None:
    until = events[-1].at + timedelta(minutes=more_min)
    traced = trace(ALERT, events, until)
    steps = [((e.at - BEGIN).total_seconds(), e.action, str(e.stage), str(e.holder)) for e in events]
    wanted = naive.stays(steps, set(RESTS), (until - BEGIN).total_seconds())
    assert [(s.stage, s.department, s.seconds, s.ended, s.again) for s in traced.stays] == wanted
    assert traced.deviations == []
    # No time is lost, and none is counted twice.
    rested_s = sum(
        ((later.at if later else until) - e.at).total_seconds()
        for e, later in zip(events, [*events[1:], None], strict=True)
        if e.stage in RESTS
    )
    assert math.isclose(sum(s.seconds for s in traced.stays) + rested_s, (until - BEGIN).total_seconds())
    again_s = sum(s.seconds for s in traced.stays if s.again)
    assert math.isclose(sum(loop.seconds for loop in traced.loops), again_s)


@given(alert_cases(), st.data())
def test_a_step_that_the_table_lacks_is_a_deviation(events: list[Event], data: st.DataObject) -> None:
    last = State(str(events[-1].stage))
    lacking = sorted({action for each in TRANSITIONS.values() for action in each} - set(TRANSITIONS[last]))
    action = data.draw(st.sampled_from(lacking))
    wrong = Event(1, "high_loss", events[-1].at, action, "closed", last, "marketing", "marketing", By.OPERATOR)
    (found,) = trace(ALERT, [*events, wrong], events[-1].at).deviations
    assert f"{action} isn't possible in {last}" in found.what


def stays_of(rng: np.random.Generator, slow: tuple[str, str] | None, times: float) -> list[Stay]:
    """Sixty cases through four stages at three departments, each stage of another length."""
    found = []
    for case in range(60):
        department, at = str(rng.choice(["marketing", "metering", "operation"])), BEGIN
        for stage, hours in (("open", 2.0), ("acknowledged", 3.0), ("in_progress", 12.0), ("resolved", 6.0)):
            factor = times if (stage, department) == slow else 1.0
            end = at + timedelta(hours=hours * factor * float(rng.lognormal(0, 0.7)))
            kind = str(rng.choice(["high_loss", "negative_loss"]))
            found.append(Stay(case, kind, stage, department, "go_on", at, end, ended=True, again=False))
            at = end
    return found


def test_nothing_is_named_where_nothing_is_slow() -> None:
    named = [
        find_bottlenecks("alert", stays_of(np.random.default_rng(n), None, 1.0), FlowRules(), {}) for n in range(200)
    ]
    assert sum(map(bool, named)) <= 2


def test_what_is_slow_is_named_and_nothing_else() -> None:
    right = other = 0
    for n in range(200):
        rng = np.random.default_rng(1_000 + n)
        slow = (
            ("open", "acknowledged", "in_progress", "resolved")[n % 4],
            ("marketing", "metering", "operation")[n % 3],
        )
        named = find_bottlenecks("alert", stays_of(rng, slow, 6.0), FlowRules(), {})
        right += [(b.stage, b.department) for b in named] == [slow]
        other += any((b.stage, b.department) != slow for b in named)
    assert right >= 196
    assert other <= 2


@settings(max_examples=50)
@given(st.integers(0, 10_000))
def test_the_report_adds_up_and_doesnt_depend_on_the_order_of_cases(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cases = []
    for case in range(12):
        at, events = BEGIN, list[Event]()
        for action, stage in (("open", "open"), ("acknowledge", "acknowledged"), ("close", "closed"))[
            : rng.integers(1, 4)
        ]:
            before = events[-1].stage if events else None
            events.append(Event(case, "high_loss", at, action, stage, before, "metering", "metering", By.OPERATOR))
            at += timedelta(hours=float(rng.exponential(5)))
        cases.append(events)
    until = BEGIN + timedelta(days=3)
    mixed = [cases[n] for n in rng.permutation(12)]
    flows = [
        flow_of(ALERT, trace(ALERT, [e for events in some for e in events], until), FlowRules(), {})
        for some in (cases, mixed)
    ]
    whole = [step for step in flows[0].steps if step.kind is None]
    assert math.isclose(sum(step.spent_s for step in whole), flows[0].waiting_s + flows[0].working_s)
    for one, other in zip(flows[0].steps, flows[1].steps, strict=True):
        assert (one.stage, one.department, one.kind, one.stays) == (
            other.stage,
            other.department,
            other.kind,
            other.stays,
        )
        assert math.isclose(one.spent_s, other.spent_s)
        assert np.array_equal(one.p50_s, other.p50_s, equal_nan=True)
