"""Energies of an area and its neighbours by phase, as the comparison of records takes them. Pure.

What a transformer's meter counts in a phase is its voltage times its current; what a three-phase meter does, its
energy shared out so. A meter whose currents nobody knows makes that unknown of its area, unless it counts little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.memberships import Membership
from grid.model import MeteredSide, Role
from grid.quality import MISSING_WH
from grid.roster import UnitView
from grid.usage import AreaQuantities
from kernels.association_energy import PhaseEnergies, energy_association

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Columns that may belong to an area, and columns of all areas. Twelve numbers a time are held of each of an area's:
#: over 28 days of quarter hours some hundreds of megabytes.
MOST_OF_AREA, MOST_OF_ALL = 600, 1_000
_PHASES = "ABC"
_MISSING = np.iinfo(np.int16).min
#: Part of an area's energy of which phases may be unknown: as much as a meter's gain may be off.
_MOST_UNKNOWN = 0.02
#: Apparent over active energy of a transformer's meter that is believed, and what is usual.
_LEAST_APPARENT, _MOST_APPARENT, _USUAL_APPARENT = 0.9, 3.0, 1.05
#: Log-likelihood from which on energies alone tell between two places.
_DECIDED = 20.0
#: One that says nothing.
_SLIGHT = 1.0
_SOURCES = int(Role.GATEWAY | Role.TIE_IN | Role.TIE_OUT)


@dataclass(frozen=True, slots=True)
class Column:
    """What one meter shows of one phase, "?" where it isn't known; `area` is the number of its area."""

    area: int
    member: Membership
    phase: str

    @property
    def is_gateway(self) -> bool:
        """Whether it is of a transformer's meter."""
        return bool(self.member.role & Role.GATEWAY)

    @property
    def is_single(self) -> bool:
        """Whether the meter has this phase alone."""
        return len(phases_of(self.member)) == 1

    @property
    def channel(self) -> int:
        """Where the phase's voltage and current stand."""
        return 0 if self.is_single else _PHASES.index(self.phase)


def phases_of(member: Membership) -> str:
    """Phases of a meter, a column each; of a gateway meter all three, though nobody has written them down."""
    return member.phases or (_PHASES if member.role & Role.GATEWAY else "?")


@dataclass(frozen=True, slots=True, eq=False)
class NearEnergies:
    """Energies of a neighbourhood.

    Attributes
    ----------
    column
        int64: of the neighbourhood's columns, that of each of the energies.
    candidate
        bool (areas, areas): to which areas a column recorded in one may belong by what it counts.
    """

    energies: PhaseEnergies
    column: Integers
    candidate: NDArray[np.bool_]


def make_energies(
    areas: Sequence[tuple[UnitView, AreaQuantities]],
    rows: Sequence[Integers],
    columns: Sequence[Column],
    group: Integers,
    times: int,
    at_us: int,
    interval_s: int,
) -> NearEnergies | None:
    """Energies by phase of areas, the first of which is compared; None where nothing is known or it is too large.

    Parameters
    ----------
    rows
        Of each area: which of the times its intervals are.
    group
        int64 (columns,): as recorded.

    Notes
    -----
    Of a neighbour that is too large for memory nothing is read: it is a place of which nothing is known.
    """
    customers = [n for n, column in enumerate(columns) if not column.is_gateway]
    count = np.bincount([columns[n].area for n in customers], minlength=len(areas))
    read, candidate = _bounded(count)
    kept = [n for n in customers if read[columns[n].area]]
    if not read[0] or not kept:
        return None
    place = {n: i for i, n in enumerate(kept)}
    energy_wh, factor = np.full((times, len(kept)), np.nan), np.full((times, len(kept)), np.nan)
    supply_wh, supply_vah = np.full((times, len(areas)), np.nan), np.full((times, len(areas), 3), np.nan)
    for a in np.flatnonzero(read).tolist():
        view, shown = areas[a]
        own = [n for n in kept if columns[n].area == a]
        unknown_wh = 0.0
        for n in own:
            column = columns[n]
            counted, share = _counted_wh(shown, column.member), _share(shown, column)
            if share is None:
                share = np.full(len(counted), 1.0 / len(phases_of(column.member)))
                unknown_wh += float(np.nansum(np.abs(counted * share)))
            energy_wh[rows[a], place[n]] = counted * share
            factor[rows[a], place[n]] = _factor(shown, column.member)
        came, apparent = _supply(view, shown, at_us, interval_s)
        supply_wh[rows[a], a] = came
        # Shared out by guess, a large meter would put others on another phase.
        if unknown_wh <= _MOST_UNKNOWN * float(np.nansum(np.abs(energy_wh[:, [place[n] for n in own]]))):
            supply_vah[rows[a], a] = apparent
    if not np.isfinite(supply_wh).any():
        return None
    certain = np.array([not columns[n].is_single for n in kept], np.bool_)
    at = np.array(kept, np.int64)
    energies = PhaseEnergies(energy_wh, factor, group[at], certain, supply_wh, supply_vah)
    return NearEnergies(energies, at, candidate)


def _bounded(count: Integers) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Areas that are read, and where columns may belong, by how many each area has; the nearest come first."""
    read = count + np.where(np.arange(len(count)) > 0, count[0], 0) <= MOST_OF_AREA
    read &= np.cumsum(np.where(read, count, 0)) <= MOST_OF_ALL
    candidate = np.eye(len(count), dtype=np.bool_)
    # The first area's meters may be anywhere; those of neighbours, among the nearest.
    candidate[0] = True
    nearest = np.flatnonzero(np.cumsum(np.where(read, count, 0)) <= MOST_OF_AREA)
    candidate[np.ix_(nearest, nearest)] = True
    return read, candidate


def of_member(values: NDArray[Any], missing: int, shown: AreaQuantities, member: Membership) -> Floats:
    """One meter's column of an array (n, m), (n,); NaN where it shows nothing, or isn't a member."""
    if member.position >= values.shape[1]:
        return np.full(len(values), np.nan)
    raw = values[:, member.position]
    return np.where((raw != missing) & (shown.ends_us > member.valid_from_us), raw.astype(np.float64), np.nan)


def _counted_wh(shown: AreaQuantities, member: Membership) -> Floats:
    """What a meter took less what it gave back, (n,)."""
    return of_member(shown.energy_wh, MISSING_WH, shown, member) * member.multiplier


def _factor(shown: AreaQuantities, member: Membership) -> Floats:
    return of_member(shown.power_factor_permille, _MISSING, shown, member) / 1_000.0


def _apparent_va(shown: AreaQuantities, member: Membership) -> Floats:
    """Voltage times current as the meter shows them, (n, 3)."""
    volts, amperes = (
        np.stack([of_member(values, _MISSING, shown, member) for values in channels], axis=1)
        for channels in (shown.voltage_dv, shown.current_ca)
    )
    return volts * amperes / 1_000.0


def _share(shown: AreaQuantities, column: Column) -> Floats | None:
    """Part of a meter's energy that is a phase's, (n,): by what flows; as usual where currents are missing.

    None where they are always.
    """
    if column.is_single:
        return np.ones(len(shown.ends_us))
    phases = phases_of(column.member)
    through = _apparent_va(shown, column.member)[:, [_PHASES.index(phase) for phase in phases]]
    own = phases.index(column.phase)
    whole = through.sum(axis=1)
    flows = whole > 0.0
    if not flows.any():
        return None
    usual = float(through[flows, own].sum() / whole[flows].sum())
    return np.where(flows, through[:, own] / np.where(flows, whole, 1.0), usual)


def _supply(view: UnitView, shown: AreaQuantities, at_us: int, interval_s: int) -> tuple[Floats, Floats]:
    """What came into an area: all of it (n,), and in volt-ampere-hours by phase (n, 3).

    Where meters are several, or stand on the transformer's other side, phases can't be told.
    """
    nothing = np.full(len(shown.ends_us), np.nan), np.full((len(shown.ends_us), 3), np.nan)
    members = [m for m in view.members if m.valid_from_us <= at_us < m.valid_to_us]
    sources = [m for m in members if m.role & _SOURCES and m.meter is not None]
    if not sources or any(m.meter is None for m in members):
        return nothing
    came = np.zeros(len(shown.ends_us))
    for m in sources:
        came += _counted_wh(shown, m) * (-1.0 if m.role & Role.TIE_OUT else 1.0)
    plate = view.plate(at_us, interval_s)
    if len(sources) > 1 or (plate is not None and plate.metered_side is MeteredSide.HIGH):
        return came, nothing[1]
    apparent = _apparent_va(shown, sources[0]) * (interval_s / 3_600.0)
    ratio = _ratio(apparent.sum(axis=1), came, sources[0].multiplier)
    return came, nothing[1] if ratio is None else apparent * ratio


def _ratio(apparent_vah: Floats, active_wh: Floats, multiplier: int) -> int | None:
    """What makes a transformer's meter's currents those that flow: some show them before the multiplier, some after.

    None where neither goes with its energy.
    """
    both = np.isfinite(apparent_vah) & np.isfinite(active_wh)
    active, apparent = float(np.abs(active_wh[both]).sum()), float(apparent_vah[both].sum())
    if active <= 0.0 or apparent <= 0.0:
        return None
    times = {ratio: ratio * apparent / active for ratio in (1, multiplier)}
    best = min(times, key=lambda ratio: abs(float(np.log(times[ratio] / _USUAL_APPARENT))))
    return best if _LEAST_APPARENT <= times[best] <= _MOST_APPARENT else None


@dataclass(frozen=True, slots=True, eq=False)
class SaidByEnergy:
    """What energies say of a neighbourhood's columns, (columns, groups); see `kernels.association_energy.EnergyFit`.

    `fit` is 0, shares are NaN and nothing is `in_step` of columns whose energies weren't looked at.
    """

    fit: Floats
    share: Floats
    deviation: Floats
    in_step: NDArray[np.bool_]

    def says_something(self) -> NDArray[np.bool_]:
        """Columns of which places differ, by more than rounding."""
        return np.asarray((np.isfinite(self.fit) & (self.fit < -_SLIGHT)).any(axis=1))

    def is_decided(self, column: int, own: int, found: int) -> bool:
        """Whether energies alone say that a column is in a group and not in its own."""
        return bool(self.fit[column, found] - self.fit[column, own] >= _DECIDED)

    def shown(self, column: int, own: int, found: int) -> dict[str, Any]:
        """Evidence: the part of what is counted that is found in either place, with its standard deviation."""
        return {
            "share_recorded": rounded(self.share[column, own], 3),
            "deviation_recorded": rounded(self.deviation[column, own], 3),
            "share_found": rounded(self.share[column, found], 3),
            "deviation_found": rounded(self.deviation[column, found], 3),
        }


def said_by_energy(near: NearEnergies, columns: int) -> SaidByEnergy:
    """Ask energies of a neighbourhood, which has so many columns."""
    found = energy_association(near.energies, near.candidate)
    fit = np.zeros((columns, found.fit.shape[1]))
    share, deviation = np.full(fit.shape, np.nan), np.full(fit.shape, np.nan)
    in_step = np.zeros(columns, np.bool_)
    fit[near.column], share[near.column], deviation[near.column] = found.fit, found.share, found.deviation
    in_step[near.column] = found.in_step
    return SaidByEnergy(fit, share, deviation, in_step)


def rounded(value: float, digits: int) -> float | None:
    """A figure as it is shown, None for NaN."""
    return round(float(value), digits) if np.isfinite(value) else None
