from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.member import MISSING_WH
from kernels.usage import (
    SHARES,
    SPREADS,
    UsageDay,
    UsageModel,
    expected_w,
    fold_day,
    grow,
    usage_changes,
    usage_scores,
)
from tests.naive import usage as naive

METERS, DAYS = 6, 75


def readings(seed: int, slots: int, missing: float) -> np.ndarray:
    random = np.random.default_rng(seed)
    energy = random.gamma(1.5, 60.0, (DAYS, METERS, slots)).astype(np.int64)
    energy[random.random(energy.shape) < missing] = MISSING_WH
    energy[random.random((DAYS, METERS)) < 0.08] = MISSING_WH
    energy[50:, 1] = np.where(energy[50:, 1] == MISSING_WH, MISSING_WH, energy[50:, 1] * 2 // 5)
    energy[70:, 2] = 0
    energy[73:, 3] = -5
    return energy


@pytest.mark.parametrize(("seed", "slots", "missing"), [(1, 96, 0.0), (2, 48, 0.05), (3, 92, 0.02), (4, 24, 0.1)])
def test_agrees_with_the_plain_model(seed: int, slots: int, missing: float) -> None:
    energy = readings(seed, slots, missing)
    state = UsageModel().init(METERS)
    for day in range(DAYS):
        state = fold_day(state, UsageDay(day, energy[day], 1440 / slots, day % 7 >= 5))
    found = usage_changes(state)
    scores = usage_scores(state, common=0.0)
    for m in range(METERS):
        lists = [[None if x == MISSING_WH else int(x) for x in energy[d, m]] for d in range(DAYS)]
        wanted = naive.changes([naive.figures(day, slots / 24) for day in lists])
        assert wanted is not None
        np.testing.assert_allclose(found[m], wanted, atol=2e-5)  # the state is of single precision
        shifts = [-np.log1p(-s) for s in SHARES]
        np.testing.assert_allclose(scores.fall[m], naive.agreement(wanted, SPREADS, shifts), rtol=1e-3, atol=2e-3)
        all_readings = [x for day in lists for x in day]
        assert scores.zero_run[m] == naive.run(all_readings, lambda x: x == 0)
        assert scores.negative_run[m] == naive.run(all_readings, lambda x: x < 0)
        last = next(x for x in reversed(all_readings) if x is not None)
        assert scores.flat_run[m] == naive.run(all_readings, lambda x, last=last: x == last)


def steady(left: float, days: int = 90, since: int = 62) -> np.ndarray:
    random = np.random.default_rng(5)
    shape = 200 + 300 * np.sin(np.linspace(0, np.pi, 48))
    energy = shape * random.lognormal(0, 0.15, (days, 12, 48))
    energy[since:, 0] *= left
    return energy.astype(np.int64)


def folded(energy: np.ndarray) -> Any:
    state = UsageModel().init(energy.shape[1])
    for day, of_day in enumerate(energy):
        state = fold_day(state, UsageDay(day, of_day, 30.0, day % 7 >= 5))
    return usage_scores(state)


def test_a_fall_of_everything_is_seen_with_its_size_and_day() -> None:
    scores = folded(steady(0.4))
    assert scores.fall[0] > 20
    assert scores.fall[1:].max() < 0
    assert scores.share[0] == pytest.approx(0.6, abs=0.08)
    assert abs(scores.since_days[0] - 28) <= 2
    assert scores.cusum_low[0] > 10 * scores.cusum_low[1:].max()


def test_a_rise_is_no_fall() -> None:
    scores = folded(steady(2.0))
    assert scores.rise[0] > 20
    assert scores.fall[0] < 0


def test_an_absence_of_two_weeks_is_no_fall_of_everything() -> None:
    energy = steady(1.0)
    energy[66:80, 0] = energy[66:80, 0].min(axis=1, keepdims=True) // 3
    assert folded(energy).fall[0] < folded(steady(0.5)).fall[0] - 10


def test_what_all_meters_share_is_taken_as_season() -> None:
    energy = steady(0.6)
    energy[62:, 1:] = energy[62:, 1:] * 6 // 10
    alone = steady(0.6)
    assert folded(energy).fall[0] < folded(alone).fall[0]


def test_without_four_weeks_of_history_nothing_is_said() -> None:
    assert np.isnan(folded(steady(0.4, days=50, since=30)).fall).all()


def test_the_profile_follows_the_day() -> None:
    energy = np.zeros((40, 1, 48), np.int64)
    energy[:, :, 20:24] = 500
    state = UsageModel().init(1)
    for day, of_day in enumerate(energy):
        state = fold_day(state, UsageDay(day, of_day, 30.0, day % 7 >= 5))
    profile = expected_w(state, weekend=False)[0]
    assert profile[5] == pytest.approx(1000, rel=0.01)
    assert np.delete(profile, 5).max() < 1


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 400), st.integers(0, 2**32))
def test_days_left_out_are_days_without_readings(gap: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    energy = random.integers(0, 500, (3, 2, 24))
    first = fold_day(UsageModel().init(2), UsageDay(0, energy[0], 60.0, False))
    skipped = fold_day(first, UsageDay(gap + 1, energy[1], 60.0, False))
    filled = first
    for day in range(1, gap + 1):
        filled = fold_day(filled, UsageDay(day, np.full((2, 24), MISSING_WH), 60.0, False))
    filled = fold_day(filled, UsageDay(gap + 1, energy[1], 60.0, False))
    np.testing.assert_array_equal(skipped.ring, filled.ring)
    np.testing.assert_array_equal(skipped.base, filled.base)
    np.testing.assert_array_equal(skipped.runs, filled.runs)


def test_added_meters_leave_the_others_as_they_are() -> None:
    energy = steady(0.5)[:, :3]
    state = UsageModel().init(3)
    for day in range(60):
        state = fold_day(state, UsageDay(day, energy[day], 30.0, False))
    more = grow(state, 5)
    assert len(more.ring) == 5
    np.testing.assert_array_equal(usage_changes(more)[:3], usage_changes(state))
    with pytest.raises(ValueError, match="already"):
        grow(more, 4)


def test_what_does_not_fit_is_refused() -> None:
    state = fold_day(UsageModel().init(2), UsageDay(5, np.zeros((2, 24), np.int64), 60.0, False))
    with pytest.raises(ValueError, match="comes after"):
        fold_day(state, UsageDay(5, np.zeros((2, 24), np.int64), 60.0, False))
    with pytest.raises(ValueError, match="meters"):
        fold_day(state, UsageDay(6, np.zeros((3, 24), np.int64), 60.0, False))
    with pytest.raises(ValueError, match="slots"):
        UsageDay(6, np.zeros((2, 12), np.int64), 60.0, False)
