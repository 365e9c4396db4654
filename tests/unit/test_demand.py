"""Demand of points by load step."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.twin_grid import one_feeder
from twin.demand import Demand
from twin.load import mean_shares
from twin.steps import Steps, make_steps

TWIN = one_feeder()
POINTS = TWIN.network.points
PROFILES = TWIN._profiles
BEGIN_S = 1_783_000_800 // 900 * 900


class Flat:
    """Households of which each draws its number's last digit in hundreds of watts."""

    def power_w(self, steps: Steps, household: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.broadcast_to(100.0 * (household % 10), (len(steps), len(household)))

    def power_factor(self, household: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.full(len(household), 0.8)


def test_a_quarter_hour_has_its_profiles_energy_whatever_its_steps() -> None:
    steps = make_steps(BEGIN_S, 8)
    demand = Demand(POINTS, PROFILES, seed=3)
    active, _ = demand.at(steps)
    energy = steps.by_interval(active * steps.hours[:, None])
    index = [PROFILES.index[p.profile] for p in POINTS]
    rated = np.array([p.active_w * (-1 if p.generation else 1) for p in POINTS])
    own = demand._varies
    for i, end_s in enumerate(steps.ends_s.tolist()):
        share = mean_shares(PROFILES, end_s, 900)[0][index]
        # Who follows a profile in a way of its own has the energy of that whatever the steps.
        share[own] = demand._customers.shares(np.array([end_s - 900]))[0][0]
        np.testing.assert_allclose(energy[i], share * rated / 4, rtol=1e-9, atol=1e-9)
    assert len(own) > 3
    assert np.std(active[:3], axis=0).max() > 0


def test_days_are_the_same_one_by_one_and_cut_steps_keep_their_power() -> None:
    demand = Demand(POINTS, PROFILES, Flat(), seed=3)
    whole, whole_var = demand.at(make_steps(BEGIN_S, 12))
    parts = [demand.at(make_steps(BEGIN_S + i * 3_600, 4)) for i in range(3)]
    np.testing.assert_array_equal(whole, np.concatenate([a for a, _ in parts]))
    np.testing.assert_array_equal(whole_var, np.concatenate([r for _, r in parts]))
    cut = make_steps(BEGIN_S, 1, cuts=[BEGIN_S + 420])
    assert cut.length_s.tolist() == [300, 120, 180, 300]
    np.testing.assert_array_equal(demand.at(cut)[0], whole[[0, 1, 1, 2]])


def test_households_keep_the_energy_of_their_profile_over_a_year() -> None:
    demand = Demand(POINTS, PROFILES, Flat(), seed=3)
    active, reactive = demand.at(make_steps(BEGIN_S, 1))
    for n, at in enumerate(demand._is_household.tolist()):
        point = POINTS[at]
        assert not point.generation
        mean_w = PROFILES.active[:, PROFILES.index[point.profile]].mean() * point.active_w
        assert active[0, at] == pytest.approx(mean_w * (demand._household[n] % 10) / 4.5)
        assert reactive[0, at] == pytest.approx(active[0, at] * 0.75)
    assert len(demand._is_household) > 50
    assert len(set(demand._household.tolist())) == len(demand._household)


def test_another_seed_has_other_households_and_a_shifted_day_another_demand() -> None:
    steps = make_steps(BEGIN_S, 2)
    one = Demand(POINTS, PROFILES, seed=3).at(steps)[0]
    assert (one != Demand(POINTS, PROFILES, seed=4).at(steps)[0]).any()
    assert (one != Demand(POINTS, PROFILES, seed=3, shifted=lambda at_s: at_s - 3 * 86_400).at(steps)[0]).any()


class Hours:
    """Households that draw the hour since 1970 in watts."""

    def power_w(self, steps: Steps, household: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.repeat((steps.begin_s // 3_600).astype(np.float64)[:, None], len(household), axis=1)

    def power_factor(self, household: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.ones(len(household))


def test_on_a_holiday_households_live_another_day_and_the_sun_does_not() -> None:
    begin_s = BEGIN_S // 3_600 * 3_600
    steps = make_steps(begin_s, 8)
    back = 3 * 86_400
    # The first hour is a holiday, the second isn't.
    demand = Demand(POINTS, PROFILES, Hours(), 3, lambda at_s: at_s - back if at_s < begin_s + 3_600 else at_s)
    active, reactive = demand.at(steps)
    usual = Demand(POINTS, PROFILES, Hours(), seed=3)
    own, own_var = usual.at(steps)
    earlier = usual.at(make_steps(begin_s - back, 8))[0]
    households = demand._is_household
    np.testing.assert_array_equal(active[:12, households], earlier[:12, households])
    np.testing.assert_array_equal(active[12:], own[12:])
    assert (active[:12, households] != own[:12, households]).all()
    generators = [i for i, p in enumerate(POINTS) if p.generation]
    assert (own[:, generators] < 0).any()
    np.testing.assert_array_equal(active[:, generators], own[:, generators])
    np.testing.assert_array_equal(reactive[:, generators], own_var[:, generators])


def test_steps_fill_their_intervals() -> None:
    steps = make_steps(BEGIN_S, 3, cuts=[BEGIN_S + 7, BEGIN_S + 900, BEGIN_S + 1_700, BEGIN_S - 5, BEGIN_S + 9_999])
    assert steps.length_s.sum() == 2_700
    np.testing.assert_array_equal(steps.begin_s[1:], (steps.begin_s + steps.length_s)[:-1])
    assert steps.ends_s.tolist() == [BEGIN_S + 900 * i for i in (1, 2, 3)]
    np.testing.assert_array_equal(steps.by_interval(steps.length_s[:, None].astype(float))[:, 0], 900)
    assert len(steps.part(2, 5)) == 3
    assert len(make_steps(BEGIN_S, 0)) == 0
    with pytest.raises(ValueError, match="intervals"):
        make_steps(BEGIN_S + 1, 3)
