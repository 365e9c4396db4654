"""A leak is told from the noise of batches."""

from __future__ import annotations

import numpy as np
import pytest

from tests.soak.slope import growth, theil_sen


def test_a_straight_line_has_its_slope() -> None:
    assert theil_sen([0, 1, 5, 9], [3, 5, 13, 21]) == pytest.approx(2)


def test_single_values_far_off_don_t_move_it() -> None:
    times = np.arange(1_000.0)
    values = 5 + 0.25 * times
    values[::7] += 1_000
    assert theil_sen(times, values) == pytest.approx(0.25, rel=0.2)


def test_a_leak_is_seen_in_noise_and_noise_is_no_leak() -> None:
    rng = np.random.default_rng(1)
    times = np.arange(0.0, 3_600.0, 2.0)
    noise = 400e6 + rng.choice([0.0, 60e6], len(times)) + rng.normal(0, 5e6, len(times))
    assert abs(theil_sen(times, noise) * 3_600) < 10e6
    assert theil_sen(times, noise + times * 100e6 / 3_600) * 3_600 > 80e6


def test_of_less_than_two_points_there_is_none() -> None:
    assert theil_sen([], []) == theil_sen([1], [5]) == theil_sen([1, 1], [5, 6]) == 0


def rounds(minutes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Times, and memory that is another in each minute, as the rounds of a soak have it."""
    rng = np.random.default_rng(seed)
    times = np.arange(0.0, minutes * 60.0, 2.0)
    return times, 400e6 + np.repeat(rng.choice([0.0, 10e6, 60e6], minutes), 30) + rng.normal(0, 3e6, len(times))


@pytest.mark.parametrize("leak", [0.0, 100e6])
def test_of_an_hour_of_rounds_the_true_growth_lies_within_the_error(leak: float) -> None:
    found = []
    for seed in range(10):
        times, values = rounds(60, seed)
        found.append(growth(times, values + times * leak / times[-1]))
    assert sum(grown.least <= leak <= grown.most for grown in found) >= 9
    assert all(grown.least <= grown.by <= grown.most for grown in found)
    # Narrow enough for a leak to be told from none.
    assert max(grown.most - grown.least for grown in found) < 50e6


def test_the_error_of_a_few_minutes_is_greater() -> None:
    few, many = (growth(*rounds(minutes, 1)) for minutes in (8, 60))
    assert few.most - few.least > 2 * (many.most - many.least)


def test_of_less_than_three_blocks_nothing_is_sure() -> None:
    grown = growth(*rounds(5, 1))
    assert (grown.least, grown.most) == (-np.inf, np.inf)
    assert growth([], []).most == np.inf
