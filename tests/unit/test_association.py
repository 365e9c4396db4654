import numpy as np
import pytest

from kernels.association import paired_repair, voltage_association
from tests.naive import repair as naive

GROUPS, EACH, DAYS, SLOTS = 6, 10, 10, 48


def voltages(seed: int, noise: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    times = DAYS * SLOTS
    medium = random.normal(0, 1.5, (times, 1))
    group = np.repeat(np.arange(GROUPS), EACH)
    drop = random.gamma(1.0, 1.0, (times, GROUPS))
    far = random.uniform(0.5, 1.5, GROUPS * EACH)
    voltage = 230 + medium - drop[:, group] * far + random.normal(0, noise, (times, len(group)))
    voltage[random.random(voltage.shape) < 0.05] = np.nan
    return voltage, group


@pytest.mark.parametrize("seed", range(3))
def test_wrong_groups_are_found_and_right_ones_left(seed: int) -> None:
    voltage, true = voltages(seed)
    random = np.random.default_rng(seed + 10)
    recorded = true.copy()
    wrong = random.choice(len(true), 6, replace=False)
    recorded[wrong] = (true[wrong] + random.integers(1, GROUPS, 6)) % GROUPS
    said = voltage_association(voltage, recorded, np.ones((GROUPS, GROUPS), np.bool_), SLOTS)
    np.testing.assert_array_equal(said.group, true)
    np.testing.assert_array_equal(np.flatnonzero(said.doubted), np.sort(wrong))
    assert (said.best[wrong] > said.own[wrong] + 0.2).all()
    assert said.samples.min() > 0.8 * len(voltage)


def test_only_candidates_are_considered_and_certain_ones_stay() -> None:
    voltage, true = voltages(1)
    recorded = true.copy()
    recorded[[0, 1]] = 5
    near = np.eye(GROUPS, dtype=np.bool_)
    certain = np.zeros(len(true), np.bool_)
    certain[1] = True
    assert not voltage_association(voltage, recorded, near, SLOTS, certain).doubted.any()
    said = voltage_association(voltage, recorded, np.ones_like(near), SLOTS, certain)
    assert said.doubted[0]
    assert not said.doubted[1]
    assert np.isnan(said.best[1])


def test_a_cable_of_its_own_is_no_other_area() -> None:
    """Members of a group differ along their cables more than groups do: a mean alone would move them."""
    random = np.random.default_rng(4)
    voltage, true = voltages(3)
    cable = random.gamma(1.0, 2.0, (len(voltage), GROUPS))
    voltage -= cable[:, true] * random.choice([0.0, 0.5, 1.0], len(true))
    recorded = true.copy()
    recorded[7] = 3
    said = voltage_association(
        voltage, recorded, np.ones((GROUPS, GROUPS), np.bool_), SLOTS, area=np.arange(GROUPS) // 3
    )
    assert np.flatnonzero(said.doubted).tolist() == [7]
    assert said.group[7] == true[7]


def test_too_few_readings_say_nothing() -> None:
    voltage, true = voltages(2)
    voltage[:, 3] = np.nan
    said = voltage_association(voltage, true, np.ones((GROUPS, GROUPS), np.bool_), SLOTS)
    assert np.isnan(said.best[3])
    assert said.group[3] == true[3]


@pytest.mark.parametrize("seed", range(6))
def test_the_repair_is_the_best_set_of_its_size(seed: int) -> None:
    random = np.random.default_rng(seed)
    use = random.gamma(1.5, 100.0, (12, 60))
    noise = random.normal(0, 15, (2, 60))
    first, second = use[:6].copy(), use[6:].copy()
    apart = np.zeros(60)
    if seed % 3 >= 1:
        apart, (first[2], second[4]) = use[2] - use[10], (use[10].copy(), use[2].copy())
    if seed % 3 == 2:
        apart = apart + use[0] - use[7]
        first[0], second[1] = use[7].copy(), use[0].copy()
    a, b = noise[0] + apart, noise[1] - apart
    said = paired_repair(a, b, first, second)
    moves = {*((0, m) for m in said.to_second), *((1, m) for m in said.to_first)}
    assert moves == [set(), {(0, 2), (1, 4)}, {(0, 2), (1, 4), (0, 0), (1, 1)}][seed % 3]
    if moves:
        value, wanted = naive.best(a.tolist(), b.tolist(), first.tolist(), second.tolist(), len(moves))
        assert set(wanted) == moves
        assert said.left == pytest.approx(value / float((a**2).sum() + (b**2).sum()))
        assert abs(said.after_wh[0]) < abs(said.before_wh[0]) or abs(said.before_wh[0]) < 2000


def test_one_meter_in_the_wrong_area() -> None:
    random = np.random.default_rng(1)
    use = random.gamma(1.5, 100.0, (10, 96))
    said = paired_repair(random.normal(0, 10, 96) - use[3], random.normal(0, 10, 96) + use[3], use[:5], use[5:])
    assert (said.to_second, said.to_first) == ((3,), ())
    assert said.runner_up > 5 * said.left


def test_an_empty_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="no interval"):
        paired_repair(np.full(3, np.nan), np.zeros(3), np.zeros((1, 3)), np.zeros((1, 3)))
