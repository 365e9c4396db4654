"""A leak is told from the noise of batches."""

from __future__ import annotations

import numpy as np
import pytest

from tests.soak.slope import theil_sen


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
