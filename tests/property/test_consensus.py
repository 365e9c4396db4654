"""Consensus of values that differ by more than their own errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.consensus import consensus
from tests.naive.consensus import excess, mean_at

VALUES = st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(0.1, 1e4)), min_size=2, max_size=14)


@given(VALUES)
def test_the_variance_between_explains_the_spread_and_no_more(pairs: list[tuple[float, float]]) -> None:
    value, variance = [x for x, _ in pairs], [v for _, v in pairs]
    mean, between, of_mean = consensus(np.array(value), np.array(variance))
    expected = mean_at(value, variance, between)
    assert mean == pytest.approx(expected[0], rel=1e-9, abs=1e-6)
    assert of_mean == pytest.approx(expected[1], rel=1e-9)
    if between == 0.0:
        assert excess(value, variance, 0.0) <= 1e-9
    else:
        assert excess(value, variance, between * (1 - 1e-6)) > 0 > excess(value, variance, between * (1 + 1e-6))


@given(VALUES, st.floats(-1e3, 1e3), st.floats(0.1, 10.0))
def test_moved_and_scaled_values_have_a_moved_and_scaled_consensus(
    pairs: list[tuple[float, float]], by: float, times: float
) -> None:
    value, variance = np.array(pairs).T
    mean, between, of_mean = consensus(value, variance)
    moved = consensus(value * times + by, variance * times**2)
    expected = mean * times + by, between * times**2, of_mean * times**2
    assert moved == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("between", "least"), [(0.0, 0.2), (4.0, 0.5), (100.0, 0.9)])
def test_another_value_lies_as_far_off_as_is_said(between: float, least: float) -> None:
    chance = np.random.default_rng(7)
    squares = stated = 0.0
    for _ in range(4_000):
        variance = chance.uniform(1.0, 30.0, 10)
        truth = chance.normal(0.0, np.sqrt(between), 11)
        mean, spread, of_mean = consensus(truth[:10] + chance.normal(0.0, np.sqrt(variance)), variance)
        squares += (truth[10] - mean) ** 2
        stated += spread + of_mean
    # A variance can't be found below 0, so without any it is said to be a little too much.
    assert least < squares / stated < 1.1


@pytest.mark.parametrize(
    ("value", "variance"), [([1.0], [1.0]), ([1.0, 2.0], [1.0, 0.0]), ([1.0, 2.0], [1.0]), ([], [])]
)
def test_arguments_are_checked(value: list[float], variance: list[float]) -> None:
    with pytest.raises(ValueError, match="at least 2 values"):
        consensus(np.array(value), np.array(variance))
