import numpy as np
import pytest
from numpy.typing import NDArray

from kernels.estimation import estimate_missing
from kernels.estimation_errors import sum_variance
from kernels.estimation_model import CONTRADICTED, HISTORY, INTERPOLATED, REGISTER, UNKNOWN, Estimates, Model
from kernels.member import MISSING_WH

SLOTS, MINUTES = 24, 60.0


def weeks(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """A household with a morning, an evening and a weekend; its slots and day types."""
    t = np.arange(count * 7 * SLOTS)
    slot, day_type = t % SLOTS, (t // SLOTS % 7 >= 5).astype(np.int64)
    noise = np.random.default_rng(5).gamma(4.0, 25.0, len(t))
    shape = 1.0 + 2.0 * (slot == 7) + 4.0 * np.isin(slot, (18, 19, 20)) + 3.0 * day_type * (slot == 12)
    return (noise * shape).astype(np.int64)[None, :], slot, day_type


def without(energy: NDArray[np.int64], begin: int, end: int) -> NDArray[np.int64]:
    gappy = energy.copy()
    gappy[:, begin:end] = MISSING_WH
    return gappy


def filled(energy: NDArray[np.int64], begin: int, end: int) -> Estimates:
    _, slot, day_type = weeks(energy.shape[1] // (7 * SLOTS))
    return estimate_missing(without(energy, begin, end), slot, day_type, MINUTES)


def test_a_lost_day_has_the_shape_and_about_the_energy_of_its_kind() -> None:
    energy, _, _ = weeks(6)
    day = 2 * 7 * SLOTS + SLOTS  # a Tuesday
    result = filled(energy, day, day + SLOTS)
    estimate = result.energy_wh[0, day : day + SLOTS]
    assert (result.method[0, day : day + SLOTS] == HISTORY).all()
    assert estimate[18:21].min() > 2 * estimate[:6].max()
    assert abs(int(estimate.sum()) - int(energy[0, day : day + SLOTS].sum())) < 3 * float(
        np.sqrt(sum_variance(result, np.array([day, day + SLOTS]), MINUTES)[0, 0])
    )


def test_the_type_of_day_counts() -> None:
    energy, _, _ = weeks(6)
    _, slot, day_type = weeks(6)
    friday, saturday = (2 * 7 + 4) * SLOTS, (2 * 7 + 5) * SLOTS
    gappy = without(energy, friday, saturday + SLOTS)
    ratio = {}
    for weight in (0.0, 1.0):
        model = Model(other_day_type=weight)
        estimate = estimate_missing(gappy, slot, day_type, MINUTES, model=model).energy_wh[0]
        ratio[weight] = estimate[saturday + 12] / estimate[friday + 12]
    assert ratio[0.0] > 2.5
    assert 0.8 < ratio[1.0] < 1.2


def test_high_neighbours_raise_an_estimate_and_more_so_nearby() -> None:
    energy, _, _ = weeks(4)
    at = 2 * 7 * SLOTS + 10
    low = filled(energy, at, at + 4).energy_wh[0, at : at + 4]
    raised = energy.copy()
    raised[0, [at - 1, at + 4]] = 5_000
    high = filled(raised, at, at + 4).energy_wh[0, at : at + 4]
    assert (high > low).all()
    assert high[0] - low[0] > high[1] - low[1]


def test_energy_of_a_register_is_met_and_leaves_only_its_own_variance() -> None:
    energy, slot, day_type = weeks(4)
    begin, end = 250, 274
    register = np.full((1, energy.shape[1] + 1), MISSING_WH)
    register[0, [begin - 5, end + 3]] = 1_000, 1_000 + energy[0, begin - 5 : end + 3].sum()
    result = estimate_missing(without(energy, begin, end), slot, day_type, MINUTES, register_wh=register)
    assert result.energy_wh.sum() == energy.sum()
    assert (result.method[0, begin:end] == HISTORY | REGISTER).all()
    whole, first_half, second_half = (
        sum_variance(result, np.array(edges), MINUTES)[0, 0] for edges in ((0, 600), (0, 262), (262, 600))
    )
    assert whole == pytest.approx(1 / 6, rel=1e-3)
    # What one half has too much the other has too little.
    assert first_half == pytest.approx(second_half, rel=1e-2)
    assert first_half > 100 * whole


def test_two_days_between_three_registers_are_each_met() -> None:
    energy, slot, day_type = weeks(4)
    begin = 10 * SLOTS
    register = np.full((1, energy.shape[1] + 1), MISSING_WH)
    readings = [begin, begin + SLOTS, begin + 2 * SLOTS]
    register[0, readings] = 0, 2_000, 9_001
    result = estimate_missing(
        without(energy, begin, begin + 2 * SLOTS + 3), slot, day_type, MINUTES, register_wh=register
    )
    days = [int(result.energy_wh[0, r : r + SLOTS].sum()) for r in readings[:2]]
    assert days == [2_000, 7_001]
    beyond = result.method[0, readings[2] : readings[2] + 3]
    assert beyond.tolist() == [HISTORY] * 3
    assert len(set(result.span[0, begin : begin + 2 * SLOTS + 3].tolist())) == 3


def test_a_register_below_the_intervals_is_not_used() -> None:
    energy, slot, day_type = weeks(4)
    register = np.full((1, energy.shape[1] + 1), MISSING_WH)
    register[0, [250, 260]] = 0, int(energy[0, 255:260].sum()) - 1
    result = estimate_missing(without(energy, 250, 255), slot, day_type, MINUTES, register_wh=register)
    free = filled(energy, 250, 255)
    assert (result.method[0, 250:255] == HISTORY | CONTRADICTED).all()
    assert np.array_equal(result.energy_wh, free.energy_wh)


def test_a_register_of_zero_leaves_nothing() -> None:
    energy, slot, day_type = weeks(4)
    register = np.full((1, energy.shape[1] + 1), MISSING_WH)
    register[0, [250, 255]] = 9, 9
    result = estimate_missing(without(energy, 250, 255), slot, day_type, MINUTES, register_wh=register)
    assert result.energy_wh[0, 250:255].tolist() == [0] * 5
    assert sum_variance(result, np.array([250, 255]), MINUTES)[0, 0] < 0.2


def test_without_history_a_straight_line_is_drawn() -> None:
    _ = MISSING_WH
    energy = np.array([[100, _, _, _, 200, _]], np.int64)
    slot, day_type = np.arange(6), np.zeros(6, np.int64)
    result = estimate_missing(energy, slot, day_type, MINUTES)
    assert result.energy_wh[0].tolist() == [100, 125, 150, 175, 200, 200]
    assert result.method[0].tolist() == [0, *[INTERPOLATED] * 3, 0, INTERPOLATED]
    online = estimate_missing(energy, slot, day_type, MINUTES, online=True)
    assert online.energy_wh[0].tolist() == [100, 100, 100, 100, 200, 200]


def test_nothing_known_stays_missing_unless_a_register_tells() -> None:
    energy = np.full((1, 3), MISSING_WH)
    slot, day_type = np.arange(3), np.zeros(3, np.int64)
    result = estimate_missing(energy, slot, day_type, MINUTES)
    assert result.method[0].tolist() == [UNKNOWN] * 3
    assert (result.energy_wh == MISSING_WH).all()
    assert np.isnan(result.variance_wh2).all()
    assert np.isnan(sum_variance(result, np.array([0, 3]), MINUTES)[0, 0])
    register = np.array([[0, MISSING_WH, MISSING_WH, 8]], np.int64)
    told = estimate_missing(energy, slot, day_type, MINUTES, register_wh=register)
    assert told.energy_wh[0].tolist() == [3, 3, 2]
    assert told.method[0].tolist() == [REGISTER] * 3
    assert sum_variance(told, np.array([0, 3]), MINUTES)[0, 0] == pytest.approx(1 / 6, rel=0.05)


def test_a_day_of_23_hours_leaves_out_a_slot() -> None:
    energy, slot, day_type = weeks(4)
    lost = 14 * SLOTS + 2
    keep = np.arange(len(slot)) != lost
    energy, slot, day_type = energy[:, keep], slot[keep], day_type[keep]
    evening = 14 * SLOTS + 18 - 1
    result = estimate_missing(without(energy, evening, evening + 1), slot, day_type, MINUTES)
    assert slot[evening] == 18
    assert result.energy_wh[0, evening] > 250


def test_no_meter_and_no_gap_are_no_error() -> None:
    slot = np.zeros(2, np.int64)
    assert estimate_missing(np.empty((0, 2), np.int64), slot, slot, MINUTES).energy_wh.shape == (0, 2)
    complete = np.array([[4, 5]], np.int64)
    result = estimate_missing(complete, slot, slot, MINUTES)
    assert np.array_equal(result.energy_wh, complete)
    assert sum_variance(result, np.array([0, 2]), MINUTES).tolist() == [[0.0]]


def test_arguments_are_checked() -> None:
    energy, slot, day_type = weeks(1)
    with pytest.raises(ValueError, match="meters, intervals"):
        estimate_missing(energy[0], slot, day_type, MINUTES)
    with pytest.raises(ValueError, match="slot has shape"):
        estimate_missing(energy, slot[1:], day_type, MINUTES)
    with pytest.raises(ValueError, match="not be negative"):
        estimate_missing(-energy, slot, day_type, MINUTES)
    with pytest.raises(ValueError, match="interval_minutes"):
        estimate_missing(energy, slot, day_type, 0.0)
    with pytest.raises(ValueError, match="register_wh has shape"):
        estimate_missing(energy, slot, day_type, MINUTES, register_wh=energy)
    with pytest.raises(ValueError, match="online"):
        estimate_missing(energy, slot, day_type, MINUTES, online=True, register_wh=energy)
    with pytest.raises(ValueError, match="edges"):
        sum_variance(estimate_missing(energy, slot, day_type, MINUTES), np.array([3, 2]), MINUTES)


@pytest.mark.parametrize(
    "wrong", [{"days": 0}, {"beside": 1.5}, {"fast": 0.95}, {"error_fast": 0.95}, {"memory_days": 0.0}]
)
def test_a_model_refuses_what_makes_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must|above"):
        Model(**wrong)  # type: ignore[arg-type]  # on purpose


def test_values_that_do_not_hang_together_lose_no_energy() -> None:
    random = np.random.default_rng(9)
    t = np.arange(8 * 7 * SLOTS)
    energy = random.lognormal(4.0, 1.5, (60, len(t))).astype(np.int64)
    gaps = (t % 11 == 5) & (t > 4 * SLOTS)  # each among known values
    gappy = np.where(gaps, MISSING_WH, energy)
    calendar = t % SLOTS, (t // SLOTS % 7 >= 5).astype(np.int64)

    def bias(model: Model) -> float:
        estimate = estimate_missing(gappy, *calendar, MINUTES, model=model).energy_wh
        return float(estimate[:, gaps].sum() / energy[:, gaps].sum() - 1)

    own, common = bias(Model()), bias(Model(common_pairs=1e12))
    assert abs(own) < 0.03
    assert common < 2 * -abs(own) - 0.03


def test_a_smooth_meter_leans_more_on_its_neighbours_than_an_erratic_one() -> None:
    random = np.random.default_rng(4)
    t = np.arange(8 * 7 * SLOTS)
    level = np.repeat(random.gamma(2.0, 100.0, len(t) // 6), 6)
    energy = np.stack([level, random.permutation(level)]).astype(np.int64)
    at = 4 * 7 * SLOTS + 9  # inside a level, for the first
    calendar = t % SLOTS, (t // SLOTS % 7 >= 5).astype(np.int64)
    estimates = []
    for beside in (1, 2_000):
        energy[:, [at - 2, at - 1, at + 1, at + 2]] = beside
        estimates.append(estimate_missing(without(energy, at, at + 1), *calendar, MINUTES).energy_wh[:, at])
    smooth, erratic = (estimates[1] - estimates[0]).tolist()
    assert smooth > 1.5 * erratic > 0
