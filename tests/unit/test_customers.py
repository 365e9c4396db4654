"""Customers that follow a profile in a way of their own."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from twin.customers import Customers
from twin.demand import Demand
from twin.network import Point
from twin.simbench import Profiles, data_folder, profile_row, read_profiles

NAMES = ("G1-A", "G6-A", "L1-A")
#: The beginning of a block of four weeks in spring of 2026.
DAY = 20_552
QUARTERS = 96


@cache
def profiles() -> Profiles:
    return read_profiles(data_folder(), list(NAMES))


def make(count: int = 300, seed: int = 5, first: int = 0) -> Customers:
    number = np.arange(first, first + count)
    return Customers(profiles(), number % len(NAMES), number, seed)


def instants(days: int, day: int = DAY) -> NDArray[np.int64]:
    return (np.arange(day * QUARTERS, (day + days) * QUARTERS) * 900).astype(np.int64)


def test_the_same_seed_gives_the_same_bytes_and_another_others() -> None:
    at_s = instants(2)
    active, reactive = make().shares(at_s)
    again, again_var = make().shares(at_s)
    assert active.tobytes() == again.tobytes()
    assert reactive.tobytes() == again_var.tobytes()
    assert (make(seed=6).shares(at_s)[0] != active).mean() > 0.9


def test_a_value_depends_on_the_customer_and_the_time_alone() -> None:
    whole = make()
    active, reactive = whole.shares(instants(31))
    # One day of another block after it, in another company, and instants within quarter-hours in any order.
    late = instants(1, DAY + 29)
    np.testing.assert_array_equal(whole.shares(late)[0], active[29 * QUARTERS : 30 * QUARTERS])
    np.testing.assert_array_equal(make(120, first=60).shares(late)[1], reactive[29 * QUARTERS : 30 * QUARTERS, 60:180])
    mixed = np.array([late[7] + 899, late[3], late[7] - 86_400])
    np.testing.assert_array_equal(
        make().shares(mixed)[0], active[[29 * QUARTERS + 7, 29 * QUARTERS + 3, 28 * QUARTERS + 7]]
    )


def correlations(of: NDArray[np.float64]) -> NDArray[np.float64]:
    """Between each two columns."""
    return np.asarray(np.corrcoef(of.T))[np.triu_indices(of.shape[1], 1)]


def test_customers_of_one_profile_do_not_go_in_lockstep() -> None:
    active, _ = make().shares(instants(28))
    for k in range(len(NAMES)):
        alike = active[:, k :: len(NAMES)]
        between = correlations(np.diff(alike, axis=0))
        assert np.median(between) < 0.5
        assert between.max() < 0.9
        # Nor do their days: what a day has above or below the mean of all is each one's own.
        days = alike.reshape(28, QUARTERS, -1).sum(axis=1)
        level = days / days.mean(axis=1, keepdims=True)
        assert level.std() > 0.05
        assert abs(correlations(level).mean()) < 0.05


def test_each_keeps_the_energy_of_its_profile() -> None:
    days = 364
    active, reactive = make(90).shares(instants(days))
    rows = [profile_row(quarter) for quarter in range(DAY * QUARTERS, (DAY + days) * QUARTERS)]
    for of, own in ((profiles().active, active), (profiles().reactive, reactive)):
        kept = own.mean(axis=0) / of[rows].mean(axis=0)[np.arange(90) % len(NAMES)]
        assert abs(kept.mean() - 1.0) < 0.005
        np.testing.assert_allclose(kept, 1.0, atol=0.02)


def test_nobody_takes_more_than_the_rated_power_or_gives_back() -> None:
    active, _ = make().shares(instants(60, DAY + 200))
    assert active.min() >= 0.0
    assert active.max() <= max(1.0, profiles().active.max())
    assert active.max() > 0.5


def point(profile: str, *, generation: bool = False) -> Point:
    return Point(profile, 0, 0, 0, "MV1", profile, generation, 1_000.0, 300.0, 1_100.0, 0.0, 0.0)


def test_networks_and_generators_follow_their_profile_and_shops_do_not() -> None:
    names = ["G1-A", "lv_rural1", "PV1"]
    of = read_profiles(data_folder(), names)
    points = tuple(point(name, generation=name == "PV1") for name in names)
    demand = Demand(points, of, seed=3)
    assert demand._varies.tolist() == [0]
    assert demand._others.tolist() == [1, 2]
