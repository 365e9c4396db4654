"""Places by energy: who is missing in which phase's supply, and what can't be told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kernels.association import voltage_association
from kernels.association_energy import PhaseEnergies, energy_association, integrated
from kernels.association_gaps import filled, in_step, tangent
from kernels.association_noise import Noise, measured
from tests.naive import association_energy as naive

AREAS, EACH, DAYS, SLOTS = 3, 6, 7, 96
GROUPS = 3 * AREAS
TIMES = DAYS * SLOTS
EVERYWHERE = np.ones((AREAS, AREAS), np.bool_)


def energies(seed: int, *, missing: float = 0.05, theft: dict[int, float] | None = None) -> PhaseEnergies:
    """Single-phase meters that are recorded right; `theft`: by column the part that isn't counted."""
    random = np.random.default_rng(seed)
    group = np.repeat(np.arange(GROUPS), EACH)
    mean = random.lognormal(3.5, 0.8, len(group))
    use = random.lognormal(0, 0.5, (TIMES, len(group))) * mean
    tangent = random.uniform(0.1, 0.4, len(group))
    active = np.stack([use[:, group == g].sum(axis=1) for g in range(GROUPS)], axis=1)
    reactive = np.stack([(use * tangent)[:, group == g].sum(axis=1) for g in range(GROUPS)], axis=1)
    active *= 1.0 + 0.03 * active / active.mean()
    apparent = np.hypot(active, reactive) * (1 + random.normal(0, 0.002, active.shape))
    counted = use.copy()
    for column, part in (theft or {}).items():
        counted[:, column] *= 1.0 - part
    shown = np.rint(counted)
    factor = np.broadcast_to(np.round(1 / np.hypot(1, tangent), 3), shown.shape).copy()
    lost = random.random(shown.shape) < missing
    shown[lost] = np.nan
    factor[lost] = np.nan
    supply = active.reshape(TIMES, AREAS, 3).sum(axis=2)
    gone = random.random(supply.shape) < missing
    supply[gone] = np.nan
    vah = apparent.reshape(TIMES, AREAS, 3).copy()
    vah[gone] = np.nan
    return PhaseEnergies(shown, factor, group, np.zeros(len(group), np.bool_), np.rint(supply), vah)


def wrongly(given: PhaseEnergies, moves: dict[int, int]) -> PhaseEnergies:
    group = given.group.copy()
    for column, to in moves.items():
        group[column] = to
    return replace(given, group=group)


@pytest.mark.parametrize("seed", range(3))
def test_wrong_transformers_and_phases_are_told_and_right_ones_left(seed: int) -> None:
    given = energies(seed)
    # Two that were exchanged for each other, one in another area, and one on another phase.
    moves = {0: 4, 4 * EACH: 0, 2 * EACH + 1: 7, 5 * EACH + 2: 3}
    said = energy_association(wrongly(given, moves), EVERYWHERE)
    np.testing.assert_array_equal(said.group, given.group)
    for column, recorded in moves.items():
        true = int(given.group[column])
        assert said.fit[column, recorded] < -20
        assert said.share[column, true] == pytest.approx(1.0, abs=5 * said.deviation[column, true])
        assert said.share[column, recorded] == pytest.approx(0.0, abs=5 * said.deviation[column, recorded])


def test_only_candidates_are_asked_and_certain_ones_stay() -> None:
    given = wrongly(energies(1), {0: 8})
    said = energy_association(given, np.eye(AREAS, dtype=np.bool_))
    assert said.group[0] // 3 == 2
    assert np.isneginf(said.fit[0, :6]).all()
    certain = np.zeros(len(given.group), np.bool_)
    certain[0] = True
    said = energy_association(replace(given, certain=certain), EVERYWHERE)
    assert said.group[0] == 8
    assert np.flatnonzero(np.isfinite(said.fit[0])).tolist() == [8]


def test_one_that_counts_nothing_says_nothing() -> None:
    given = wrongly(energies(2), {0: 4})
    given.energy_wh[:, 0] = 0.0
    given.energy_wh[:, 1] = np.nan
    said = energy_association(given, EVERYWHERE)
    assert said.group[:2].tolist() == [4, 0]
    np.testing.assert_allclose(said.fit[:2], 0.0, atol=1e-6)
    assert np.isnan(said.share[:2]).all()


def test_without_currents_the_transformer_is_told_and_the_phase_is_not() -> None:
    given = wrongly(energies(3), {0: 4, 2 * EACH: 0})
    given.supply_vah[:] = np.nan
    said = energy_association(given, EVERYWHERE)
    assert said.group[0] // 3 == 0
    assert said.fit[0, 4] < -20
    # The one on another phase of its area is left where it is.
    assert said.group[2 * EACH] == 0
    assert (said.fit[2 * EACH, :3] > -8).all()


def test_a_transformer_whose_meter_is_not_read_says_nothing() -> None:
    given = energies(4)
    given.supply_wh[:] = np.nan
    given.supply_vah[:] = np.nan
    said = energy_association(given, EVERYWHERE)
    np.testing.assert_array_equal(said.group, given.group)
    np.testing.assert_allclose(said.fit, 0.0, atol=1e-6)


def test_who_takes_more_than_is_counted_is_left_where_he_is() -> None:
    given = energies(5, theft={3: 0.6, 4 * EACH: 0.9})
    said = energy_association(given, EVERYWHERE)
    np.testing.assert_array_equal(said.group, given.group)


def test_the_order_of_columns_is_of_no_account() -> None:
    given = wrongly(energies(6), {0: 4, 2 * EACH: 0})
    order = np.random.default_rng(0).permutation(len(given.group))
    mixed = replace(
        given,
        energy_wh=given.energy_wh[:, order],
        power_factor=given.power_factor[:, order],
        group=given.group[order],
    )
    np.testing.assert_array_equal(
        energy_association(mixed, EVERYWHERE).group, energy_association(given, EVERYWHERE).group[order]
    )


def test_random_coefficients_are_integrated_out_as_in_the_covariance() -> None:
    random = np.random.default_rng(7)
    columns = random.normal(0, 1, (6, 12))
    free, deviation, kept = np.array([1, 4]), np.array([0.3, 2.0]), np.array([0, 1, 3, 5])
    found, _ = integrated(columns @ columns.T, free, deviation, kept)
    expected = np.array(naive.inverse_products(columns.tolist(), free.tolist(), deviation.tolist()))
    np.testing.assert_allclose(found, expected[np.ix_(kept, kept)], rtol=1e-9, atol=1e-9)


def test_what_does_not_fit_together_is_refused() -> None:
    given = energies(1)
    with pytest.raises(ValueError, match="supply_vah"):
        replace(given, supply_vah=given.supply_vah[:, :, :2])
    with pytest.raises(ValueError, match="doesn't exist"):
        replace(given, group=given.group + GROUPS)
    with pytest.raises(ValueError, match="shape"):
        replace(given, supply_wh=given.supply_wh[:-1])
    with pytest.raises(ValueError, match="candidate"):
        energy_association(given, np.ones((2, 2), np.bool_))


def test_gaps_are_filled_by_what_goes_alike_or_by_the_readings_beside() -> None:
    random = np.random.default_rng(10)
    sun = random.uniform(0, 500, TIMES)
    alone = 300 + 100 * np.sin(np.arange(TIMES) / 20) + random.normal(0, 10, TIMES)
    true = np.stack([sun, 2 * sun, 0.5 * sun, alone], axis=1)
    given = np.where(random.random(true.shape) < 0.05, np.nan, true)
    gap = np.isnan(given)
    energy, variance = filled(given)
    np.testing.assert_array_equal(energy[~gap], given[~gap])
    assert not variance[~gap].any()
    # Under one sky to a watt-hour, though the readings beside say nothing of it.
    np.testing.assert_allclose(energy[gap], true[gap], atol=60.0)
    assert np.median(np.abs(energy[:, :3][gap[:, :3]] - true[:, :3][gap[:, :3]])) < 1.0
    error = (energy - true)[:, 3][gap[:, 3]]
    assert 0.5 < (error**2).mean() / variance[:, 3][gap[:, 3]].mean() < 2.0


def test_reactive_energy_by_the_power_factor_or_the_meters_usual_one() -> None:
    factor = np.array([[0.8, np.nan], [np.nan, np.nan], [-0.8, np.nan], [0.6, np.nan]])
    assert tangent(factor, np.ones((4, 2))).round(6).tolist() == [[0.75, 0], [0.75, 0], [0.75, 0], [1.333333, 0]]


def voltages(group: np.ndarray, noise: float) -> np.ndarray:
    random = np.random.default_rng(9)
    drop = random.gamma(1.0, 1.0, (TIMES, GROUPS))
    return 230 - drop[:, group] + random.normal(0, noise, (TIMES, len(group)))


def test_voltages_tell_of_one_that_counts_nothing_once_energies_have_told_the_others() -> None:
    given = energies(8)
    voltage = voltages(given.group, 1.5)
    given.energy_wh[:, 0] = 0.0
    wrong = wrongly(given, {0: 4, EACH: 5, 3 * EACH: 1})
    fit = energy_association(wrong, EVERYWHERE).fit
    allowed = np.ones((GROUPS, GROUPS), np.bool_)
    said = voltage_association(voltage, wrong.group, allowed, SLOTS, area=np.arange(GROUPS) // 3, by_energy=fit)
    np.testing.assert_array_equal(said.group, given.group)
    assert np.flatnonzero(said.doubted).tolist() == [0, EACH, 3 * EACH]


def test_energies_stand_against_voltages_and_without_them() -> None:
    given = energies(8)
    fit = energy_association(given, EVERYWHERE).fit
    allowed = np.ones((GROUPS, GROUPS), np.bool_)
    # By its voltage one hangs elsewhere, as on a cable along another area's.
    elsewhere = given.group.copy()
    elsewhere[2] = 7
    voltage = voltages(elsewhere, 0.3)
    voltage[:, 3] = np.nan
    assert not voltage_association(voltage, given.group, allowed, SLOTS, by_energy=fit).doubted.any()
    moved = wrongly(given, {3: 8})
    said = voltage_association(
        voltage, moved.group, allowed, SLOTS, by_energy=energy_association(moved, EVERYWHERE).fit
    )
    assert np.flatnonzero(said.doubted).tolist() == [3]
    assert said.group[3] == 0
    with pytest.raises(ValueError, match="by_energy"):
        voltage_association(voltage, given.group, allowed, SLOTS, by_energy=fit[:, :3])


def test_who_goes_in_step_with_another_is_known_where_either_may_be() -> None:
    random = np.random.default_rng(11)
    lamp = random.normal(0, 1, TIMES).cumsum()
    true = np.stack([lamp, 3 * lamp, random.normal(0, 1, TIMES).cumsum(), 5 * lamp], axis=1)
    given = np.where(random.random(true.shape) < 0.05, np.nan, true)
    near = np.ones((4, 4), np.bool_)
    near[3, :3] = near[:3, 3] = False
    assert in_step(given, near).tolist() == [True, True, False, False]
    given[:, 1] = np.nan
    assert not in_step(given, near).any()


def test_voltages_keep_a_record_only_of_one_who_goes_in_step_with_another() -> None:
    given = energies(8)
    moved = wrongly(given, {3: 2})
    fit = energy_association(moved, EVERYWHERE).fit
    assert fit[3, 2] < -100.0
    # Its voltage goes with the recorded group.
    elsewhere = given.group.copy()
    elsewhere[3] = 2
    voltage = voltages(elsewhere, 0.3)
    allowed = np.ones((GROUPS, GROUPS), np.bool_)
    for in_step_with in (None, np.ones(len(given.group), np.bool_)):
        said = voltage_association(voltage, moved.group, allowed, SLOTS, by_energy=fit, in_step=in_step_with)
        assert not said.doubted.any()
    alone = np.zeros(len(given.group), np.bool_)
    said = voltage_association(voltage, moved.group, allowed, SLOTS, by_energy=fit, in_step=alone)
    assert np.flatnonzero(said.doubted).tolist() == [3]
    assert said.group[3] == 0


def test_what_noise_leaves_to_the_next_interval_is_measured_and_stays_when_it_is_taken_away() -> None:
    random = np.random.default_rng(12)
    new = random.normal(0, 2, (8_000, 4))
    whole = new.copy()
    for t in range(1, len(whole)):
        whole[t] += np.array([0.6, 0.0, 0.3, 0.6]) * whole[t - 1]
    there, weight = np.ones(new.shape, np.bool_), np.ones(len(new))
    first = measured(whole, there, Noise(1.0, weight, np.zeros(4)))
    np.testing.assert_allclose(first.lasting, [0.6, 0.0, 0.3, 0.6], atol=0.04)
    # What is new has the variance that the factor says, once the rest is taken away.
    again = measured(new, there, Noise(1.0, weight, first.lasting))
    np.testing.assert_allclose(again.lasting, first.lasting, atol=0.04)
    assert again.factor == pytest.approx(4.0, rel=0.1)
