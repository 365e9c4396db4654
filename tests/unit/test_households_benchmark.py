"""The comparison of made households with held-out ones, on files whose halves are alike or aren't."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.household_fit import fit, traits
from benchmarks.households import each_held_out, held_out, made_of_the_others, read_real
from benchmarks.report import Result
from twin.household_model import OF_THE_TRIAL, Clock, StochasticHouseholds
from twin.households import FILE_LEAD_S, Households
from twin.steps import make_steps

_DAYS, _METERS, _FIRST_DAY, _UNIX_ORDINAL = 800, 160, 15_000, 719_163
_LIMITS = {
    "profile, largest difference of an hour": 10.0,
    "profile, mean difference of hours": 10.0,
    "lag-1 autocorrelation, difference": 0.05,
    "daily autocorrelation, difference": 0.05,
    "share of zeros, difference": 5.0,
}


@pytest.fixture(scope="module")
def alike() -> NDArray[np.float32]:
    """Half-hours of households of one kind, each beside itself a week later; kWh, (half-hours, meters)."""
    households = Households.stochastic(7, clock=Clock(-FILE_LEAD_S, south=True), vacant=0)
    steps = make_steps(_FIRST_DAY * 86_400, _DAYS * 48, 1800, 1)
    power_w = households.power_w(steps, np.arange(_METERS // 2))
    # All take as much: where a few take most, a mean profile is theirs.
    energy_kwh = power_w / power_w.mean(axis=0) / 3
    return np.stack([energy_kwh, np.roll(energy_kwh, 7 * 48, axis=0)], axis=2).reshape(-1, _METERS).astype(np.float32)


def compared(path: Path, energy_kwh: NDArray[np.float32]) -> dict[str, Result]:
    np.savez(path, X=energy_kwh, t0=np.int64(_FIRST_DAY + _UNIX_ORDINAL))
    real, first_day = read_real(path)
    return {result.name: result for result in held_out(path, real, first_day, made=400)}


def test_where_halves_are_alike_both_makers_keep_every_limit(tmp_path: Path, alike: NDArray[np.float32]) -> None:
    results = compared(tmp_path / "alike.npz", alike)
    for maker in ("resampled", "stochastic"):
        for name, limit in _LIMITS.items():
            found = results[f"{maker}: {name}"]
            assert found.target == limit
            assert found.ok, found
            assert found.peer_value is not None
            assert found.peer_value <= limit


def test_a_held_out_half_of_another_kind_is_told(tmp_path: Path, alike: NDArray[np.float32]) -> None:
    # The other half has the same energies in an order of chance, and is away for a tenth of the time.
    other = alike.copy()
    random = np.random.default_rng(1)
    other[:, 1::2] = random.permutation(other[:, 1::2], axis=0)
    other[: _DAYS * 48, 1::2] *= random.random((_DAYS * 48, _METERS // 2)) > 0.1
    results = compared(tmp_path / "other.npz", other)
    for maker in ("resampled", "stochastic"):
        for name, limit in _LIMITS.items():
            found = results[f"{maker}: {name}"]
            assert not found.ok, found
            assert found.peer_value is not None
            # Nor do the halves of the file agree.
            assert found.peer_value > limit
        # What is made is still like the half that it is made of.
        assert results[f"{maker} against the half it is made of: lag-1 autocorrelation, difference"].value < 0.05


def test_of_one_held_out_nothing_is_in_what_is_made_without_it(tmp_path: Path, alike: NDArray[np.float32]) -> None:
    # One meter of six reads zero for half of the time, and no other ever does.
    few = np.maximum(alike[:, :12:2], 0.001)
    few[:, 3] *= np.random.default_rng(1).random(len(few)) > 0.5
    path = tmp_path / "few.npz"
    np.savez(path, X=few, t0=np.int64(_FIRST_DAY + _UNIX_ORDINAL))
    real, first_day = read_real(path)
    folds = made_of_the_others(path, real, first_day, made=30, shown=60)
    for maker in ("resampled", "stochastic"):
        zeros = [float(made.zeros.mean()) for made in folds[maker]]
        assert zeros[3] == 0
        assert all(np.isfinite(made.hours_w).all() for made in folds[maker])
        assert min(zeros[:3] + zeros[4:]) > 0.02
    results = {result.name: result for result in each_held_out(folds, real)}
    for maker in ("resampled", "stochastic"):
        for name, limit in _LIMITS.items():
            found = results[f"{maker}, each held out, together: {name}"]
            assert found.target == limit
            # Each is left out once: all together, the others are all, whatever a single one differs by.
            assert found.peer_value == pytest.approx(0, abs=1e-9)
        one = results[f"{maker}, each held out, one: share of zeros, difference, mean size"]
        assert one.peer_value == pytest.approx((50 + 5 * 10) / 6, abs=0.2)
        assert one.value > 10


def test_households_of_the_model_give_its_constants_back() -> None:
    given = replace(
        OF_THE_TRIAL, profile=np.roll(OF_THE_TRIAL.profile, 3, axis=2), day_wh=9_000.0, day_spread=0.5,
        waves=(0.3, 0.2, 0.05), season_spread=0.25, sigma=0.75, sigma_slope=-0.15, sigma_spread=0.15, slow=0.3,
        fast=0.4, decay=0.7, zero_households=0.7, zero_share=0.3, away=0.4,
    )  # fmt: skip
    first, half_hours = _FIRST_DAY * 48, 400 * 48
    source = StochasticHouseholds(7, Clock(0, south=True), given)
    found = fit(traits(source.half_hours(first, half_hours, np.arange(200)), first), first, half_hours)
    assert np.abs(found.profile / given.profile - 1).mean() < 0.05
    assert found.day_wh == pytest.approx(given.day_wh, rel=0.1)
    assert found.waves == pytest.approx(given.waves, rel=0.15)
    for name, apart in {
        "day_spread": 0.06, "season_spread": 0.06, "sigma": 0.05, "sigma_slope": 0.08, "sigma_spread": 0.04,
        "slow": 0.05, "fast": 0.07, "decay": 0.05, "zero_households": 0.15, "zero_share": 0.15, "away": 0.2,
    }.items():  # fmt: skip
        assert getattr(found, name) == pytest.approx(getattr(given, name), abs=apart), name


def test_a_file_that_cannot_be_compared_is_told(tmp_path: Path, alike: NDArray[np.float32]) -> None:
    for energy, text in ((alike[: 700 * 48], "ends before its day 800"), (alike[:, :3], "needs 4 meters")):
        with pytest.raises(ValueError, match=text):
            compared(tmp_path / "file.npz", energy)
    dead = alike[:, :6].copy()
    dead[200 * 48 :, 4] = np.nan
    with pytest.raises(ValueError, match="each with readings"):
        compared(tmp_path / "file.npz", dead)
    command = [sys.executable, "-m", "benchmarks.households", "--data", str(tmp_path / "none.npz"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "none.npz" in done.stderr
