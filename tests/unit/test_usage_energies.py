"""From what meters show to energies by phase: three-phase meters, transformers' meters, and what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from grid.memberships import Membership
from grid.model import MeteredSide, Role, UnitKind
from grid.quality import MISSING_WH, Quality
from grid.roster import BEGINNING_US, END_US, Plate, UnitView
from grid.usage import AreaQuantities
from kernels.association_energy import PhaseEnergies
from store.usage_association import quantities_of_rows
from streams.steps import usage_energies
from streams.steps.usage_energies import NearEnergies
from streams.steps.usage_records import compare, make_neighbourhood

HOUR_S, HOURS, PER_PHASE = 3_600, 336, 4
MISSING = np.iinfo(np.int16).min
AT_US = HOURS * HOUR_S * 1_000_000
ENDS_US = np.arange(1, HOURS + 1) * HOUR_S * 1_000_000


def member(position: int, code: str, role: Role, phases: str | None = None, multiplier: int = 1) -> Membership:
    return Membership(position, code, None, int(role), multiplier, 1.0, BEGINNING_US, END_US, phases=phases)


def area(code: str, customers: Sequence[str | None], plates: tuple[Plate, ...] = (), multiplier: int = 1) -> UnitView:
    """A gateway meter, and customers on these phases."""
    members = [member(0, f"{code}-master", Role.GATEWAY, multiplier=multiplier)]
    members += [member(n + 1, f"{code}-m{n}", Role.CUSTOMER, phases) for n, phases in enumerate(customers)]
    return UnitView(1, code, UnitKind.AREA, tuple(members), (), plates=plates)


def shown(energy_wh: np.ndarray, current_a: np.ndarray) -> AreaQuantities:
    """Energies (hours, meters) and currents (3, hours, meters), NaN = none, at 230 V."""
    missing = ~np.isfinite(current_a)
    current_ca = np.where(missing, MISSING, np.rint(np.nan_to_num(current_a) * 100)).astype(np.int16)
    return AreaQuantities(
        ENDS_US[: len(energy_wh)],
        np.where(missing, MISSING, 2_300).astype(np.int16),
        current_ca,
        np.full(energy_wh.shape, 1_000, np.int16),
        np.where(np.isfinite(energy_wh), np.rint(np.nan_to_num(energy_wh)), MISSING_WH).astype(np.int64),
    )


def one(view: UnitView, given: AreaQuantities) -> NearEnergies | None:
    found = make_neighbourhood([(view, given)], AT_US, HOUR_S)
    assert found is not None
    return found.energies


def some(view: UnitView, given: AreaQuantities) -> PhaseEnergies:
    found = one(view, given)
    assert found is not None
    return found.energies


def plain(three_a: list[float], master_a: float = 2.0) -> AreaQuantities:
    """Hours of a master, of a customer on A, and of one on three phases, who takes 690 Wh."""
    currents = np.full((3, HOURS, 3), np.nan)
    currents[:, :, 0] = master_a
    currents[0, :, 1] = 1.0
    currents[:, :, 2] = np.array(three_a)[:, None]
    return shown(np.tile([1_380.0, 230.0, 690.0], (HOURS, 1)), currents)


def test_a_three_phase_meter_is_shared_out_by_what_flows() -> None:
    given = plain([2.0, 1.0, 0.0])
    given.current_ca[1, 5, 2] = MISSING  # as usual then
    given.energy_wh[7, 2] = MISSING_WH
    found = some(area("A", ["A", "ABC"]), given)
    assert found.group.tolist() == [0, 0, 1, 2]
    assert found.certain.tolist() == [False, True, True, True]
    np.testing.assert_allclose(found.energy_wh[[0, 5]], [[230, 460, 230, 0]] * 2)
    assert np.isnan(found.energy_wh[7, 1:]).all()
    np.testing.assert_allclose(found.supply_wh[:, 0], 1_380)
    np.testing.assert_allclose(found.supply_vah[:, 0], 460)
    np.testing.assert_allclose(found.power_factor, 1.0)


def test_one_of_two_phases_has_two_columns() -> None:
    found = some(area("A", ["A", "CA"]), plain([2.0, np.nan, 1.0]))
    assert found.group.tolist() == [0, 2, 0]
    np.testing.assert_allclose(found.energy_wh[0], [230, 230, 460])


@pytest.mark.parametrize(("takes_wh", "known"), [(690, False), (3, True)])
def test_one_whose_currents_nobody_knows_leaves_phases_unknown_unless_it_is_small(
    takes_wh: int, *, known: bool
) -> None:
    given = plain([np.nan] * 3)
    given.energy_wh[:, 2] = takes_wh
    found = some(area("A", ["A", "ABC"]), given)
    np.testing.assert_allclose(found.energy_wh[0], [230, *[takes_wh / 3] * 3])
    assert np.isfinite(found.supply_vah).all() == known
    np.testing.assert_allclose(found.supply_wh[:, 0], 1_380)


def test_a_transformers_meter_without_currents_or_on_the_other_side_tells_no_phases() -> None:
    assert np.isnan(some(area("A", ["A", "ABC"]), plain([1.0] * 3, np.nan)).supply_vah).all()
    high = (Plate(MeteredSide.HIGH, 1e5, 200.0, 1_000.0),)
    found = some(area("A", ["A", "ABC"], high), plain([1.0] * 3))
    assert np.isnan(found.supply_vah).all()
    np.testing.assert_allclose(found.supply_wh[:, 0], 1_380)


@pytest.mark.parametrize(("master_a", "known"), [(20.0, True), (2.0, True), (0.4, False), (200.0, False)])
def test_currents_are_taken_before_or_after_the_multiplier_as_energy_says(master_a: float, *, known: bool) -> None:
    given = plain([1.0] * 3, master_a)
    found = some(area("A", ["A", "ABC"], multiplier=10), given)
    np.testing.assert_allclose(found.supply_wh[:, 0], 13_800)
    if known:
        np.testing.assert_allclose(found.supply_vah, 4_600)
    else:
        assert np.isnan(found.supply_vah).all()


def test_what_is_on_from_the_neighbour_belongs_to_the_supply_and_a_member_unit_makes_it_unknown() -> None:
    view = area("A", ["A", "ABC"])
    out = replace(view.members[2], role=int(Role.TIE_OUT))
    found = some(replace(view, members=(*view.members[:2], out)), plain([1.0] * 3))
    np.testing.assert_allclose(found.supply_wh[:, 0], 690)
    assert np.isnan(found.supply_vah).all()
    assert found.energy_wh.shape[1] == 1
    unit = Membership(3, None, 7, int(Role.UNIT), 1, 1.0, BEGINNING_US, END_US)
    assert one(replace(view, members=(*view.members, unit)), plain([1.0] * 3)) is None


def test_energies_that_no_meter_counted_are_left_out() -> None:
    flags = [0, Quality.ESTIMATED, Quality.SUSPECT, Quality.SUBSTITUTED, Quality.MISSING, Quality.DERIVED, 0]
    taken = np.full(8, 100)
    taken[6] = MISSING_WH
    given = np.array([30, 0, 0, 0, 0, MISSING_WH, 0, 0])
    volts = np.array([2_300, 2_310], np.int16)
    row = (3_600_000_000, volts, *[None] * 6, taken, given, bytes(int(flag) for flag in flags))
    found = quantities_of_rows([row], 9)
    none = MISSING_WH  # of the eighth there is no flag, and the ninth came later
    assert found.energy_wh.tolist() == [[70, none, none, none, none, 100, none, none, none]]
    assert found.voltage_dv[0].tolist() == [[2_300, 2_310, *[MISSING] * 7]]
    assert (found.current_ca == MISSING).all()
    assert found.power_factor_permille.shape == (1, 9)


def test_before_a_meter_was_a_member_nothing_is_known() -> None:
    view = area("A", ["A", "ABC"])
    late = replace(view.members[1], valid_from_us=20 * HOUR_S * 1_000_000)
    found = some(replace(view, members=(view.members[0], late, view.members[2])), plain([1.0] * 3))
    assert np.isnan(found.energy_wh[:20, 0]).all()
    assert np.isnan(found.power_factor[:20, 0]).all()
    assert np.isfinite(found.energy_wh[20:, 0]).all()


def test_without_a_transformers_reading_nothing_is_asked() -> None:
    given = plain([1.0] * 3)
    given.energy_wh[:, 0] = MISSING_WH
    assert one(area("A", ["A", "ABC"]), given) is None


def test_memory_of_energies_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    areas = [(area(code, ["A", "ABC"]), plain([1.0] * 3)) for code in "ABCD"]

    def bounded(of_area: int, of_all: int) -> NearEnergies | None:
        monkeypatch.setattr(usage_energies, "MOST_OF_AREA", of_area)
        monkeypatch.setattr(usage_energies, "MOST_OF_ALL", of_all)
        found = make_neighbourhood(areas, AT_US, HOUR_S)
        assert found is not None
        return found.energies

    assert bounded(3, 100) is None
    found = bounded(8, 12)
    assert found is not None
    # Two areas' meters may be exchanged, those of the first may be anywhere, and of the last nothing is read.
    assert found.candidate.astype(int).tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert np.isfinite(found.energies.supply_wh).all(axis=0).tolist() == [True, True, True, False]
    assert np.bincount(found.energies.group // 3).tolist() == [4, 4, 4]


def two_areas(*, currents: bool, noise: int) -> list[tuple[UnitView, AreaQuantities]]:
    """Areas of 4 meters a phase; A-m1, recorded on B, is on C, and A-m3, of A, on B's phase B. Voltages are noise."""
    random = np.random.default_rng(noise)
    phases = list("ABC") * PER_PHASE
    use = random.lognormal(0, 0.6, (HOURS, 2, len(phases))) * random.uniform(100, 900, (2, len(phases)))
    true = np.tile(np.arange(len(phases)) % 3, (2, 1)) + np.array([[0], [3]])
    true[0, 1], true[0, 3] = 2, 4
    flows = np.stack([use[:, true == g].sum(axis=1) for g in range(6)], axis=1)
    given = []
    for n, code in enumerate("AB"):
        current = np.full((3, HOURS, 1 + len(phases)), np.nan)
        current[:, :, 0] = flows[:, 3 * n : 3 * n + 3].T / 230
        if not currents:
            current[:, :, 0] = np.nan
        energy = np.concatenate([flows[:, 3 * n : 3 * n + 3].sum(axis=1)[:, None], use[:, n]], axis=1)
        one_area = shown(energy, current)
        one_area.voltage_dv[0, :, 1:] = 2_300 + random.normal(0, 40, (HOURS, len(phases)))
        given.append((area(code, phases), one_area))
    return given


@pytest.mark.parametrize("seed", range(2))
def test_energies_tell_what_voltages_do_not(seed: int) -> None:
    near = make_neighbourhood(two_areas(currents=True, noise=seed), AT_US, HOUR_S)
    assert near is not None
    assert compare(replace(near, energies=None), HOUR_S).doubts == ()
    doubts = {doubt.meter: doubt for doubt in compare(near, HOUR_S).doubts}
    assert {m: (d.area, d.phase) for m, d in doubts.items()} == {"A-m1": ("A", "C"), "A-m3": ("B", "B")}
    for meter, reason in (("A-m1", "energy_flows_in_another_phase"), ("A-m3", "energy_flows_in_another")):
        assert reason in doubts[meter].reasons
        said = doubts[meter].evidence["energy"]
        assert said["share_recorded"] == pytest.approx(0.0, abs=0.2)
        assert said["share_found"] == pytest.approx(1.0, abs=0.2)
        assert 0.0 < said["deviation_found"] < 0.2
        assert 0.0 < said["deviation_recorded"] < 0.2
    assert near.digest() != replace(near, energies=None).digest()


def test_without_currents_energies_tell_the_area_alone() -> None:
    near = make_neighbourhood(two_areas(currents=False, noise=0), AT_US, HOUR_S)
    assert near is not None
    doubts = {doubt.meter: doubt.area for doubt in compare(near, HOUR_S).doubts}
    assert doubts == {"A-m3": "B"}
