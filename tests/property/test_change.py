from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kernels.change import Cause, Change, PeriodLoss, Step, explain_change
from kernels.paired_steps import Candidate, fit_steps
from tests.naive.change import Row, slope
from tests.naive.change import change as naive_change

DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 90)


def period(rng: np.random.Generator, size: int, first_day: int, known: float) -> PeriodLoss:
    """Any period: slots that lack, intervals that aren't computable, some with a technical loss."""
    slot = np.arange(size) + rng.integers(0, 5)
    slot[: size // 4] = rng.permutation(slot[: size // 4])
    begin = first_day * DAY_US + slot * HOUR_US
    computable = rng.random(size) < 0.8
    computable[0] = True
    technical = np.where(rng.random(size) < known, rng.uniform(0, 1e5, size), np.nan)
    through = rng.integers(-1000, 100_000, size)
    if rng.random() < 0.5:  # as of a line
        technical = np.where(np.isnan(technical), np.nan, through**2 / 1e6 * rng.normal(1, 0.01, size))
    scale = 10 ** rng.integers(0, 10)
    return PeriodLoss(
        slot=slot.astype(np.int64),
        begin_us=begin.astype(np.int64),
        end_us=(begin + HOUR_US).astype(np.int64),
        computable=computable,
        loss_wh=rng.integers(-scale, scale + 1, size),
        doubtful_wh=rng.integers(0, 1000, size) * rng.integers(0, 2),
        generation_wh=rng.integers(0, 1000, size) * rng.integers(0, 2),
        through_wh=through,
        technical_wh=technical,
        technical_sigma_wh=np.abs(technical) / 10,
        sigma_wh=rng.uniform(0, 100, size),
        systematic_sigma_wh=rng.uniform(0, 50, size),
    )


def step(rng: np.random.Generator, before: PeriodLoss, after: PeriodLoss) -> Step:
    """Any step, some of whose energies aren't known; now and then the losses are such that it shows."""

    def arrays() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        first, second = (np.rint(rng.normal(5e4, 5e4, len(p))) for p in (before, after))
        for of in (first, second):
            of[rng.random(len(of)) < 0.05] = np.nan
        return first, second

    taken = (rng.integers(-99, 99, len(before)), rng.integers(-99, 99, len(after))) if rng.random() < 0.5 else None
    within = (before, after)[int(rng.integers(2))]
    at_us = int(rng.integers(within.begin_us.min(), within.end_us.max() + 1))
    cause = (Cause.TOPOLOGY, Cause.METER)[int(rng.integers(2))]
    return Step(cause, at_us, arrays(), arrays(), taken, two_sided=bool(rng.random() < 0.3))


def case(seed: int, first: int, second: int) -> tuple[PeriodLoss, PeriodLoss, list[Step]]:
    rng = np.random.default_rng(seed)
    known = float(rng.choice([0.0, 0.9, 1.0]))
    before, after = period(rng, first, 0, known), period(rng, second, 4, known)
    steps = [step(rng, before, after) for _ in range(rng.choice([0, 1, 1, 2, 3]))]
    if rng.random() < 0.3:  # estimates that are too low
        after = replace(after, loss_wh=after.loss_wh // 10**8 + 9 * after.doubtful_wh // 10)
        before = replace(before, loss_wh=before.loss_wh // 10**8)
    elif steps and rng.random() < 0.7:  # a record that is wrong, or late
        (of,) = steps[:1]
        wrong = np.nan_to_num(of.step_wh[1]) * (after.begin_us >= of.at_us)
        if rng.random() < 0.5:
            wrong = np.nan_to_num(of.late_wh[1]) * (after.end_us <= of.at_us)
        small = (after.loss_wh // 10**6).astype(np.int64)
        after = replace(after, loss_wh=small + wrong.astype(np.int64))
        before = replace(before, loss_wh=(before.loss_wh // 10**6).astype(np.int64))
    return before, after, steps


def parts(change: Change) -> dict[str, int]:
    return {cause.value: part.wh for cause, part in change.parts.items()}


def rows(of: PeriodLoss) -> list[Row]:
    technical = [None if math.isnan(t) else t for t in of.technical_wh.tolist()]
    return [
        Row(*row) for row in zip(of.slot.tolist(), of.computable.tolist(), of.loss_wh.tolist(), technical, strict=True)
    ]


@given(seeds, sizes, sizes)
@settings(deadline=None)
def test_parts_add_up_and_agree_with_plain_python(seed: int, first: int, second: int) -> None:
    before, after, steps = case(seed, first, second)
    change = explain_change(before, after, steps)
    expected = naive_change(rows(before), rows(after))
    found = parts(change)
    assert set(found) == {cause.value for cause in Cause}
    assert sum(found.values()) == change.change_wh == expected.change_wh
    assert (found["length"], change.gaps_wh, change.pairs) == (expected.length_wh, expected.gaps_wh, expected.pairs)
    assert found["data_quality"] == change.gaps_wh + change.estimates_wh
    assert found["technical"] + found["generation"] == expected.technical_wh
    for of_step, outcome in zip(steps, change.steps, strict=True):
        assert (-1 if of_step.two_sided else 0) <= outcome.share <= 1
        assert not (outcome.note and outcome.wh)


@given(seeds, sizes, sizes)
@settings(deadline=None)
def test_exchanged_periods_give_the_other_sign(seed: int, first: int, second: int) -> None:
    before, after, steps = case(seed, first, second)

    def swapped(step: Step) -> Step:
        taken = None if step.loss_wh is None else step.loss_wh[::-1]
        return replace(step, step_wh=step.step_wh[::-1], late_wh=step.late_wh[::-1], loss_wh=taken)

    there = explain_change(before, after, steps)
    back = explain_change(after, before, [swapped(step) for step in steps])
    assert parts(back) == {name: -wh for name, wh in parts(there).items()}
    assert back.late_since_us == there.late_since_us
    for cause in Cause:
        one, other = there.parts[cause].sigma_wh, back.parts[cause].sigma_wh
        assert one == other or (math.isnan(one) and math.isnan(other))


@given(seeds, sizes)
@settings(deadline=None)
def test_the_same_period_again_is_no_change(seed: int, size: int) -> None:
    before, _, _ = case(seed, size, size)
    rng = np.random.default_rng(seed)
    steps = [replace(step(rng, before, before), at_us=int(before.begin_us.min()) - 1, two_sided=False)]
    steps[0] = replace(steps[0], loss_wh=None)
    change = explain_change(before, before, steps)
    assert set(parts(change).values()) == {0}
    assert change.pairs == np.count_nonzero(before.computable)


@given(seeds, sizes, sizes)
@settings(deadline=None)
def test_the_order_of_intervals_does_not_matter(seed: int, first: int, second: int) -> None:
    before, after, steps = case(seed, first, second)
    rng = np.random.default_rng(seed)
    orders = rng.permutation(first), rng.permutation(second)
    shuffled = [
        PeriodLoss(**{f.name: getattr(of, f.name)[order] for f in fields(PeriodLoss)})
        for of, order in zip((before, after), orders, strict=True)
    ]

    def along(step: Step) -> Step:
        def two(of: tuple[NDArray[np.float64], NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            return of[0][orders[0]], of[1][orders[1]]

        taken = None if step.loss_wh is None else (step.loss_wh[0][orders[0]], step.loss_wh[1][orders[1]])
        return replace(step, step_wh=two(step.step_wh), late_wh=two(step.late_wh), loss_wh=taken)

    one = explain_change(before, after, steps)
    other = explain_change(shuffled[0], shuffled[1], [along(step) for step in steps])
    assert parts(one) == parts(other)
    assert one.steps == other.steps or any(math.isnan(o.sigma_wh) for o in one.steps)


@given(seeds, st.integers(20, 80), st.floats(0.0, 1.0))
@settings(deadline=None)
def test_a_clear_step_has_the_slope_of_plain_python(seed: int, size: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    column = np.rint(np.where(np.arange(size) < size // 3, 0.0, rng.uniform(5e3, 2e4, size)))
    rest = np.rint(share * column + rng.normal(0, 20, size) + 3e5)
    (outcome,) = fit_steps(rest, [Candidate(column, None)])
    expected = slope(column.tolist(), rest.tolist())
    if outcome.note:
        assert outcome.note == "not_clear"
        assert share < 0.05
    else:
        assert math.isclose(outcome.share, min(1.0, expected), rel_tol=1e-9)
        assert outcome.wh == round(outcome.share * math.fsum(column))
