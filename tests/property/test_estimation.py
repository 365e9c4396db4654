from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kernels.estimation import estimate_missing
from kernels.estimation_errors import sum_variance
from kernels.estimation_model import REGISTER, Estimates, Model
from kernels.member import MISSING_WH
from tests.naive.estimation import Case, Settings, fill, fill_to_register, runs

SLOTS, MINUTES = 4, 360.0
SETTINGS = Settings(**{name: getattr(Model(), name) for name in Settings._fields})

values = st.one_of(st.none(), st.integers(0, 20), st.integers(0, 5_000))
series = st.lists(values, min_size=1, max_size=10 * SLOTS)
meters = st.integers(1, 30).flatmap(
    lambda n: st.lists(st.lists(values, min_size=n, max_size=n), min_size=1, max_size=4)
)


def calendar(intervals: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    t = np.arange(intervals)
    return t % SLOTS, (t // SLOTS % 7 >= 5).astype(np.int64)


def matrix(rows: list[list[int | None]]) -> NDArray[np.int64]:
    return np.array([[MISSING_WH if x is None else x for x in row] for row in rows], np.int64)


def estimated(
    energy_wh: NDArray[np.int64], *, online: bool = False, register_wh: NDArray[np.int64] | None = None
) -> Estimates:
    return estimate_missing(energy_wh, *calendar(energy_wh.shape[1]), MINUTES, online=online, register_wh=register_wh)


def case(row: list[int | None], *, online: bool) -> Case:
    slot, day_type = calendar(len(row))
    return Case(row, slot.tolist(), day_type.tolist(), MINUTES, online, SETTINGS)


def close(ours: float, theirs: float) -> bool:
    return (math.isnan(ours) and math.isnan(theirs)) or math.isclose(ours, theirs, rel_tol=1e-5, abs_tol=1e-3)


@settings(deadline=None, max_examples=50)
@given(series, st.booleans())
def test_agrees_with_plain_python(row: list[int | None], online: bool) -> None:
    result = estimated(matrix([row]), online=online)
    expected = fill(case(row, online=online))
    ours = [None if x == MISSING_WH else int(x) for x in result.energy_wh[0]]
    assert [x is None for x in ours] == [x is None for x in expected.energy_wh]
    for t, (x, y) in enumerate(zip(ours, expected.energy_wh, strict=True)):
        assert x == y or (row[t] is None and x is not None and y is not None and abs(x - y) <= 1)  # ties of rounding
        if x == y:
            assert close(result.variance_wh2[0, t], expected.variance_wh2[t])
    for begin, end in runs(row):
        if begin in expected.sum_variance_wh2:
            (variance,) = sum_variance(result, np.array([begin, end]), MINUTES)[0]
            assert math.isnan(variance) or close(variance, expected.sum_variance_wh2[begin])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 3_000), min_size=12, max_size=40), st.data(), st.integers(0, 20_000))
def test_a_register_agrees_with_plain_python(row: list[int], data: st.DataObject, total: int) -> None:
    begin = data.draw(st.integers(0, len(row) - 2))
    end = data.draw(st.integers(begin + 1, len(row) - 1))
    gappy = [None if begin <= t < end else x for t, x in enumerate(row)]
    register = np.full((1, len(row) + 1), MISSING_WH)
    register[0, [begin, end]] = 77, 77 + total
    result = estimated(matrix([gappy]), register_wh=register)
    expected = fill_to_register(case(gappy, online=False), begin, end, total, 1 / 6)
    assert result.energy_wh[0, begin:end].sum() == total
    for t in range(begin, end):
        theirs = expected.energy_wh[t]
        assert theirs is not None
        assert abs(int(result.energy_wh[0, t]) - theirs) <= 1
        if result.energy_wh[0, t] == theirs:
            assert close(result.variance_wh2[0, t], expected.variance_wh2[t])
    assert close(sum_variance(result, np.array([begin, end]), MINUTES)[0, 0], expected.sum_variance_wh2[begin])


@settings(deadline=None, max_examples=50)
@given(meters, st.data())
def test_a_register_is_met_to_the_watt_hour(rows: list[list[int | None]], data: st.DataObject) -> None:
    energy = matrix(rows)
    intervals = energy.shape[1]
    register = np.full((len(rows), intervals + 1), MISSING_WH)
    readings = sorted(data.draw(st.sets(st.integers(0, intervals), max_size=4)))
    rising = np.cumsum([data.draw(st.integers(0, 10**12)) for _ in readings])
    register[:, readings] = rising
    result = estimated(energy, register_wh=register)
    given_ = energy != MISSING_WH
    assert np.array_equal(result.energy_wh[given_], energy[given_])
    assert not result.method[given_].any()
    for begin, end in itertools.pairwise(readings):
        for m in range(len(rows)):
            if (result.method[m, begin:end] & REGISTER).any():
                assert int(result.energy_wh[m, begin:end].sum()) == register[m, end] - register[m, begin]
    filled = result.energy_wh[result.energy_wh != MISSING_WH]
    assert (filled >= 0).all()


@settings(deadline=None, max_examples=50)
@given(meters, st.booleans())
def test_estimates_are_whole_never_negative_and_each_meters_own(rows: list[list[int | None]], online: bool) -> None:
    energy = matrix(rows)
    result = estimated(energy, online=online)
    again = estimated(energy, online=online)
    order = np.random.default_rng(len(rows)).permutation(len(rows))
    permuted = estimated(energy[order], online=online)
    for field in dataclasses.fields(Estimates):
        first = getattr(result, field.name)
        assert np.array_equal(first, getattr(again, field.name), equal_nan=field.name.startswith(("var", "free")))
        assert np.array_equal(
            first[order], getattr(permuted, field.name), equal_nan=field.name.startswith(("var", "free"))
        )
    present = energy != MISSING_WH
    assert np.array_equal(result.energy_wh[present], energy[present])
    assert (result.energy_wh[result.energy_wh != MISSING_WH] >= 0).all()
    assert np.array_equal(result.method == 0, present)
    assert np.array_equal(np.isnan(result.variance_wh2), result.energy_wh == MISSING_WH)
    assert not result.variance_wh2[present].any()


@settings(deadline=None, max_examples=50)
@given(series, st.lists(values, min_size=1, max_size=12))
def test_what_comes_later_never_changes_an_online_estimate(row: list[int | None], later: list[int | None]) -> None:
    before = estimated(matrix([row]), online=True)
    after = estimated(matrix([row + later]), online=True)
    n = len(row)
    assert np.array_equal(before.energy_wh[0], after.energy_wh[0, :n])
    assert np.array_equal(before.variance_wh2[0], after.variance_wh2[0, :n], equal_nan=True)
    assert np.array_equal(before.method[0], after.method[0, :n])


@settings(deadline=None, max_examples=50)
@given(series, st.integers(2, 1_000), st.booleans())
def test_scaled_energies_give_scaled_estimates(row: list[int | None], factor: int, online: bool) -> None:
    energy = matrix([row])
    assume((energy == MISSING_WH).any())
    known = energy != MISSING_WH
    scaled = estimated(np.where(known, energy * factor, MISSING_WH), online=online)
    plain = estimated(energy, online=online)
    there = plain.energy_wh != MISSING_WH
    assert np.array_equal(there, scaled.energy_wh != MISSING_WH)
    # Each is rounded to whole watt-hours, and so are the totals of the gaps.
    apart = np.abs(scaled.energy_wh[there] - factor * plain.energy_wh[there])
    assert (apart <= 2 * factor + 2 + 0.01 * scaled.energy_wh[there]).all()
    assert np.allclose(scaled.free_sigma_wh, factor * plain.free_sigma_wh, rtol=1e-6, atol=1e-2 * factor)


@given(st.integers(0, 30), st.integers(0, 30))
def test_a_days_variance_is_not_that_of_independent_errors(first: int, second: int) -> None:
    row: list[int | None] = [10 * (t % 7) + t % 5 for t in range(40)]
    begin, end = sorted((first, second))
    assume(end - begin >= 2)
    row[begin:end] = [None] * (end - begin)
    result = estimated(matrix([row]))
    whole = sum_variance(result, np.array([0, 40]), MINUTES)[0, 0]
    free = result.free_sigma_wh[0]
    assert whole > (free**2).sum()
    assert whole <= free.sum() ** 2 * (1 + 1e-9)
    split = sum_variance(result, np.arange(41), MINUTES)[0]
    assert split == pytest.approx(free**2)
