"""The integration of reported power: its σ against Monte Carlo, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kernels.integration import GOOD, Integral, integrate_power

SECOND_US = 1_000_000
QUARTER_S = 900


def one(
    at_s: list[int], power_w: NDArray[np.float64] | list[float], dead_band_w: float, hold_s: int = 3_600
) -> Integral:
    n = len(at_s)
    return integrate_power(
        np.array([0]),
        np.array([QUARTER_S * SECOND_US]),
        np.array([0, 1]),
        np.array([dead_band_w]),
        np.array([hold_s * SECOND_US]),
        np.array([0, n]),
        np.zeros(n, np.int64),
        np.array(at_s, np.int64) * SECOND_US,
        np.array(power_w, np.float64),
        np.full(n, GOOD, np.int64),
    )


def test_a_held_value_is_power_times_time() -> None:
    result = one([-60], [4_000.0], 100.0)
    assert (result.import_wh[0], result.export_wh[0], result.coverage[0]) == (1_000.0, 0.0, 1.0)
    assert result.sigma_wh[0] == pytest.approx(100 / 4 / np.sqrt(3))


def test_a_silent_device_is_not_known_for_longer_than_its_hold() -> None:
    result = one([0], [4_000.0], 100.0, hold_s=300)
    assert result.coverage[0] == pytest.approx(1 / 3)
    assert result.import_wh[0] == pytest.approx(4_000 * 300 / 3_600)


def test_sigma_is_that_of_errors_that_are_uniform_and_last_as_long_as_a_hold() -> None:
    random = np.random.default_rng(4)
    at_s = [-30, 40, 70, 200, 310, 311, 640, 800]
    held_s = np.diff([0, *at_s[1:], QUARTER_S])
    errors_w = random.uniform(-50, 50, (100_000, len(held_s)))
    true_minus_held_wh = errors_w @ held_s / 3_600
    sigma = one(at_s, np.full(len(at_s), 4_000.0), 50.0).sigma_wh[0]
    assert sigma == pytest.approx(true_minus_held_wh.std(), rel=0.01)


@pytest.mark.parametrize("cycle_s", [60, 300])
def test_sigma_covers_a_device_that_reports_a_wandering_load(cycle_s: int) -> None:
    """The device itself, second by second: a load that wanders about a mean, a dead band, and a cycle beside it."""
    random = np.random.default_rng(cycle_s)
    dead_band_w, runs = 30_000.0, 300
    errors, sigmas = [], []
    for _ in range(runs):
        true_w = np.empty(QUARTER_S)
        level = 0.0
        for s, step in enumerate(random.normal(0, 4_000, QUARTER_S)):
            level = 0.995 * level + step
            true_w[s] = 2e6 + level
        at_s, power_w = [0], [true_w[0]]
        for s in range(1, QUARTER_S):
            if abs(true_w[s] - power_w[-1]) > dead_band_w or s - at_s[-1] >= cycle_s:
                at_s.append(s)
                power_w.append(true_w[s])
        result = one(at_s, power_w, dead_band_w, 2 * cycle_s)
        assert result.coverage[0] == 1.0
        errors.append(true_w.sum() / 3_600 - result.import_wh[0])
        sigmas.append(result.sigma_wh[0])
    root_mean_square = float(np.sqrt(np.mean(np.square(errors))))
    # It is an upper estimate, and not a wild one.
    assert root_mean_square < np.mean(sigmas) < 6 * root_mean_square


def test_wrong_arguments_are_refused() -> None:
    good: dict[str, Any] = {
        "begin_us": np.array([0]),
        "end_us": np.array([10]),
        "point_starts": np.array([0, 1]),
        "dead_band_w": np.zeros(1),
        "hold_us": np.ones(1, np.int64),
        "report_starts": np.array([0, 1]),
        "point": np.zeros(1, np.int64),
        "reported_at_us": np.zeros(1, np.int64),
        "power_w": np.zeros(1),
        "state": np.full(1, GOOD),
    }
    integrate_power(**good)
    for name, wrong in (
        ("end_us", np.array([0])),
        ("power_w", np.zeros(2)),
        ("point", np.array([1])),
        ("point_starts", np.array([0, 2])),
        ("report_starts", np.array([0])),
    ):
        with pytest.raises(ValueError, match=r"."):
            integrate_power(**{**good, name: wrong})
