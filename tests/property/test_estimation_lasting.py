"""How errors of estimates hang together: as in plain Python, and as made-up meters err."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kernels.estimation import estimate_missing
from kernels.estimation_lasting import lasting
from kernels.estimation_model import Model
from tests.naive.gap_band import correlation, lasting_part, of_sum

Days = list[tuple[float | None, float | None, float | None]]
VALUE = st.one_of(st.none(), st.floats(0.0, 1e5))
DAYS = st.lists(st.tuples(VALUE, VALUE, VALUE), min_size=1, max_size=14)
MINUTES = st.sampled_from([5.0, 15.0, 30.0, 60.0])


def array(days: Days) -> NDArray[np.float64]:
    return np.array([[[math.nan if v is None else v for v in day] for day in days]])


@given(DAYS, MINUTES, st.integers(1, 60))
def test_agrees_with_plain_python(days: Days, minutes: float, size: int) -> None:
    found = lasting(array(days), Model(days=14), minutes)
    part = lasting_part(days, minutes)
    assert found.correlation(size)[0] == pytest.approx(correlation(size, minutes, part), abs=1e-6)
    runs = np.array([[i, size - 1 - i] for i in range(size)])
    factors = [found.factor(run[None])[0] for run in runs]
    assert sum(factors) == pytest.approx(of_sum(size, minutes, part), rel=1e-6)


@given(DAYS, MINUTES)
def test_a_history_is_worth_no_more_than_its_values_and_no_less_than_its_days(days: Days, minutes: float) -> None:
    values = array(days)
    (worth,) = lasting(values, Model(days=14), minutes).independent(values)
    assert (~np.isnan(values)).any(axis=2).sum() - 1e-9 <= worth <= (~np.isnan(values)).sum() + 1e-9


#: Share of what varies that lasts, and over how many hours; the rest is new at each quarter-hour.
KINDS = {"a household": (0.45, 2.5), "a shop": (0.8, 4.0), "an area": (1.0, 5.0)}
#: Quarter-hours that are missing on either side of those that are looked at, so that nothing near them is known.
MARGIN = 28


@pytest.mark.parametrize("size", [4, 16, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_a_sum_is_as_far_off_as_is_said(kind: str, size: int) -> None:
    """Meters whose values vary in a known way: squares of sums' errors against what is said of them."""
    chance = np.random.default_rng(11)
    share, hours = KINDS[kind]
    stays, slots, days, meters = math.exp(-0.25 / hours), 96, 12, 200
    noise = chance.normal(size=(meters, days * slots))
    slow = noise.copy()
    for t in range(1, days * slots):
        slow[:, t] = stays * slow[:, t - 1] + math.sqrt(1 - stays**2) * noise[:, t]
    fresh = chance.normal(size=slow.shape)
    usual = 4_000 + 1_000 * np.sin(2 * np.pi * np.arange(days * slots) / slots)
    truth = np.rint(usual + 400 * (math.sqrt(share) * slow + math.sqrt(1 - share) * fresh)).astype(np.int64)
    at = np.arange((days - 1) * slots + MARGIN, (days - 1) * slots + MARGIN + size)
    known = truth.copy()
    known[:, at[0] - MARGIN : at[-1] + 1 + MARGIN] = np.iinfo(np.int64).min
    whole = np.arange(days * slots)
    filled = estimate_missing(known, whole % slots, np.zeros_like(whole), 15.0, model=Model(days=14))
    error = (filled.energy_wh - truth)[:, at].sum(axis=1)
    said = np.zeros(meters)
    for n, t in enumerate(at.tolist()):
        other = t - slots * np.arange(1, days)
        values = np.stack([truth[:, other + side] for side in (-1, 0, 1)], axis=2).astype(np.float64)
        found = lasting(values, Model(days=14), 15.0)
        worth = found.independent(values)
        runs = np.broadcast_to([n, size - 1 - n], (meters, 2))
        said += filled.variance_wh2[:, t] * (worth + 1) / (worth - 1) * found.factor(runs)
    assert 0.6 < np.mean(error**2) / said.mean() < 1.4
    assert np.mean(np.abs(error) <= 2 * np.sqrt(said)) > 0.92
