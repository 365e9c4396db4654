"""Which meters count too little by an area's loss: areas made here, whose thieves and innocents are known."""

import numpy as np
import pytest

from kernels.coordinate_descent import bounded
from kernels.member import MISSING_WH
from kernels.undercount import JUDGED_DAYS, AreaWindow, Undercount, undercount

HOMES, DAYS, SLOTS = 14, 2 * JUDGED_DAYS, 48
JUDGED = slice(DAYS - JUDGED_DAYS, DAYS)
NAMED = 15.0


def homes(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    shape = 100 + 150 * (1 + np.sin(np.linspace(0, 2 * np.pi, SLOTS) + random.uniform(0, 6, (HOMES, 1, 1))))
    busy = random.lognormal(0, 0.3, (HOMES, DAYS, 1))
    return (shape * busy * random.gamma(4.0, 0.25, (HOMES, DAYS, SLOTS))).astype(np.int64) + 20


def said(true: np.ndarray, told: np.ndarray, seed: int, hook_w: float = 0.0, gateway: float = 0.004) -> Undercount:
    """The gateway and the technical loss, 3 %, are wrong in the usual way."""
    random = np.random.default_rng(seed)
    used = true.sum(axis=0).astype(float) + hook_w / 2
    technical = 0.03 * used**2 / used.mean()
    supply = (used + technical) * (1 + gateway) * (1 + random.normal(0, 0.005, used.shape))
    there = np.where(told == MISSING_WH, true, told)
    return undercount(AreaWindow(told, supply - there.sum(axis=0) - 0.9 * technical, supply, technical, 30.0))


@pytest.mark.parametrize("seed", range(3))
def test_who_counts_a_part_of_everything(seed: int) -> None:
    true = homes(seed)
    told = true.copy()
    told[4, JUDGED] = told[4, JUDGED] * 6 // 10
    found = said(true, told, seed)
    assert found.score[4] > NAMED > np.delete(found.score, 4).max()
    assert found.share[4] == pytest.approx(0.4 / 0.6, rel=0.15)
    assert found.energy_wh[4] == pytest.approx((true - told)[4].sum(), rel=0.15)
    assert not found.at_times[4]


@pytest.mark.parametrize("seed", range(3))
def test_who_counts_nothing_at_night(seed: int) -> None:
    true = homes(seed)
    told = true.copy()
    told[4, :, :12] = 0
    found = said(true, told, seed)
    assert found.score.argmax() == 4
    assert found.score[4] > NAMED
    assert found.at_times[4]


@pytest.mark.parametrize("seed", range(3))
def test_an_empty_home_a_hook_and_a_wrong_gateway_name_nobody(seed: int) -> None:
    true = homes(seed)
    true[4, JUDGED] = true[4, JUDGED] // 5
    true[5, :, :12] = 0
    found = said(true, true, seed, hook_w=2_000.0, gateway=0.009)
    assert found.score.max() < NAMED


def test_a_stopped_meter_is_not_the_theft_of_one_that_goes_alike() -> None:
    # Two farms whose days are alike, so that one's loss goes as the other's use.
    true, random = homes(1), np.random.default_rng(5)
    true[3] = (true[2] * random.gamma(20.0, 0.05, (DAYS, SLOTS))).astype(np.int64) * 3
    true[2] = true[2] * 3
    told = true.copy()
    told[3, JUDGED] = 0
    assert said(true, told, 1).score.max() < NAMED


def test_a_reversed_meter_is_not_its_neighbours_theft() -> None:
    true = homes(1)
    told = true.copy()
    told[6] = -told[6]
    found = said(true, told, 1)
    assert found.score.max() < NAMED
    assert found.energy_wh[6] == 0.0, "who gives energy back is not asked"


def test_missing_readings_and_unknown_losses_change_little() -> None:
    true = homes(1)
    told = true.copy()
    told[4, JUDGED] = told[4, JUDGED] * 6 // 10
    random = np.random.default_rng(3)
    told[random.random(told.shape) < 0.01] = MISSING_WH
    assert said(true, told, 1).score.argmax() == 4
    window = AreaWindow(told, np.full((DAYS, SLOTS), np.nan), np.ones((DAYS, SLOTS)), np.ones((DAYS, SLOTS)), 30.0)
    assert not undercount(window).score.any()


def test_the_order_of_meters_makes_no_difference() -> None:
    true = homes(1)
    told = true.copy()
    told[4, JUDGED] = told[4, JUDGED] * 6 // 10
    order = np.random.default_rng(1).permutation(HOMES)
    np.testing.assert_allclose(said(true[order], told[order], 1).score, said(true, told, 1).score[order], atol=0.05)


def nothing(meters: int, slots: int, minutes: float) -> AreaWindow:
    none = np.zeros((30, slots))
    return AreaWindow(np.zeros((meters, 30, 24), np.int64), none, none, none, minutes)


def test_an_empty_area_and_one_without_use_say_nothing() -> None:
    for meters in (0, 3):
        found = undercount(nothing(meters, 24, 60.0))
        assert found.score.shape == (meters,)
        assert not found.score.any()


def test_coefficients_stay_within_their_bounds_and_are_the_best_there() -> None:
    random = np.random.default_rng(1)
    regressors = random.gamma(1.0, 1.0, (6, 60))
    loss = np.array([3.0, -2.0, 0.2, 0.5, 0.0, 1.0]) @ regressors + random.normal(0, 0.1, 60)
    matrix, moments = regressors @ regressors.T, regressors @ loss
    low, high = np.zeros(6), np.ones(6)
    found = bounded(matrix, moments, low, high, np.sqrt(np.diag(matrix)), 10_000, 1e-6)
    slope = matrix @ found - moments
    assert (found >= low).all()
    assert (found <= high).all()
    assert (slope[found == low] > -1e-3).all()
    assert (slope[found == high] < 1e-3).all()
    np.testing.assert_allclose(slope[(found > low) & (found < high)], 0.0, atol=1e-2)


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="shape"):
        nothing(2, 23, 60.0)
    with pytest.raises(ValueError, match="minutes"):
        nothing(2, 24, 0.0)
