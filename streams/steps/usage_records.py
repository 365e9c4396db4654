"""Records of transformer and phase against what voltages, energies and losses say. Pure.

An area is compared with its neighbours. A column is what one meter shows of one phase; a group is an area's phase.
Meters on several phases, and the area's gateway meters, are taken to be where they are recorded.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.model import Role
from grid.roster import UnitView
from grid.usage import AreaQuantities
from kernels.association import SURE, Repair, voltage_association
from kernels.known import mean_of_known
from streams.steps.usage_energies import (
    Column,
    NearEnergies,
    make_energies,
    of_member,
    phases_of,
    rounded,
    said_by_energy,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: More columns than these would take gigabytes: neighbours that are farther off are left out, and larger areas.
MOST_COLUMNS = 2_500
_PHASES = "ABC"
_MISSING = np.iinfo(np.int16).min
#: A voltage below this part of the middle one is an outage or a lost phase.
_OUTAGE = 0.5
#: Logarithm of how many records are right for each wrong one, before anything was measured: one in 20.
_PRIOR = 3.0
#: A repair counts when it leaves at most this part of the losses' squares, and the next best set this much more.
_LEAST_MENDED, _CLEARER = 0.5, 1.5
#: How sure a repair is that nothing else confirms, and what it adds to the logarithm of the odds where something does.
_REPAIR_ALONE, _REPAIR_ADDS = 0.92, 2.0


@dataclass(frozen=True, slots=True)
class Doubt:
    """A meter's record that is contradicted.

    Attributes
    ----------
    area, phase
        Where it seems to be; the phase is None where only losses say so.
    evidence
        What the finding shows: plain values.
    """

    meter: str
    area: str
    phase: str | None
    confidence: float
    reasons: tuple[str, ...]
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Neighbourhood:
    """Columns of an area and its neighbours.

    Attributes
    ----------
    areas
        Codes; group g is phase g % 3 of area g // 3.
    meters
        By column.
    voltage_v
        float64 (times, columns), at equal distances; NaN = missing.
    group
        int64 (columns,); of a meter whose phase isn't known, the phase that it goes with most.
    certain, phase_known
        bool (columns,): it stays where it is; its phase is on record.
    energies
        None where no transformer's meter is read, or there would be too many columns.
    """

    areas: tuple[str, ...]
    meters: tuple[str, ...]
    voltage_v: Floats
    group: Integers
    certain: NDArray[np.bool_]
    phase_known: NDArray[np.bool_]
    energies: NearEnergies | None = None

    def digest(self) -> str:
        """Names the series: 16 bytes of BLAKE2b over the voltages, the recorded groups and the energies."""
        hashed = hashlib.blake2b(np.ascontiguousarray(self.voltage_v).data, digest_size=16)
        hashed.update(self.group.tobytes())
        if self.energies is not None:
            given = self.energies.energies
            for values in (given.energy_wh, given.power_factor, given.supply_wh, given.supply_vah):
                hashed.update(np.ascontiguousarray(values).data)
        return hashed.hexdigest()


def make_neighbourhood(
    areas: Sequence[tuple[UnitView, AreaQuantities]], at_us: int, interval_s: int, most_columns: int = MOST_COLUMNS
) -> Neighbourhood | None:
    """Columns of an area, the first, and its neighbours as recorded at an instant.

    Neighbours that would make too many columns are left out with all that are farther off; None where the area itself
    does.
    """
    taken: list[tuple[UnitView, AreaQuantities]] = []
    columns: list[Column] = []
    for view, shown in areas:
        members = [m for m in view.members if m.meter is not None and m.valid_from_us <= at_us < m.valid_to_us]
        own = [
            Column(len(taken), member, phase)
            for member in members
            if member.role & (Role.CUSTOMER | Role.GATEWAY)
            for phase in phases_of(member)
        ]
        if len(columns) + len(own) > most_columns:
            break
        taken.append((view, shown))
        columns += own
    if not taken:
        return None
    begin_us = min((int(shown.ends_us[0]) for _, shown in taken if len(shown.ends_us)), default=at_us)
    step_us = interval_s * 1_000_000
    rows = [(shown.ends_us - begin_us) // step_us for _, shown in taken]
    voltage_v = np.full(((at_us - begin_us) // step_us + 1, len(columns)), np.nan)
    for n, column in enumerate(columns):
        voltage_v[rows[column.area], n] = _volts(taken[column.area][1], column)
    known = np.array([column.phase in _PHASES for column in columns], np.bool_)
    found = Neighbourhood(
        tuple(view.unit for view, _ in taken),
        tuple(column.member.meter or "" for column in columns),
        voltage_v,
        np.array([column.area * 3 + max(_PHASES.find(column.phase), 0) for column in columns], np.int64),
        np.array([column.is_gateway or not column.is_single for column in columns], np.bool_),
        known,
    )
    _guess_phases(found)
    return replace(found, energies=make_energies(taken, rows, columns, found.group, len(voltage_v), at_us, interval_s))


def _volts(shown: AreaQuantities, column: Column) -> Floats:
    """One meter's voltages where it is read, on line, and a member."""
    raw = of_member(shown.voltage_dv[column.channel], _MISSING, shown, column.member)
    known = raw[~np.isnan(raw)]
    middle = float(np.median(known)) if known.size else 0.0
    return np.where(raw > _OUTAGE * middle, raw / 10.0, np.nan)


def _guess_phases(found: Neighbourhood) -> None:
    """Give meters without a phase the one of their area whose mean they go with most."""
    unknown = np.flatnonzero(~found.phase_known & ~found.certain)
    if not len(unknown):
        return
    values = np.nan_to_num(found.voltage_v - mean_of_known(found.voltage_v, axis=0))
    values -= values.mean(axis=1, keepdims=True)
    sure = np.flatnonzero(found.phase_known)
    for g in np.unique(found.group[unknown] // 3) * 3:
        of_area = unknown[found.group[unknown] // 3 == g // 3]
        means = np.stack([values[:, sure[found.group[sure] == g + k]].sum(axis=1) for k in range(3)], axis=1)
        means /= np.maximum(np.linalg.norm(means, axis=0), 1e-9)
        found.group[of_area] = g + (values[:, of_area].T @ means).argmax(axis=1)


@dataclass(frozen=True, slots=True)
class Compared:
    """What voltages and energies say of an area's meters: those that could be told, and the doubted ones."""

    meters: tuple[str, ...]
    doubts: tuple[Doubt, ...]


def compare(near: Neighbourhood, interval_s: int, limit: float = SURE) -> Compared:
    """Compare the meters of the first area with its own and its neighbours' phases."""
    groups = 3 * len(near.areas)
    counted = None if near.energies is None else said_by_energy(near.energies, len(near.meters))
    said = voltage_association(
        near.voltage_v,
        near.group,
        np.ones((groups, groups), np.bool_),
        86_400 // interval_s,
        near.certain,
        limit,
        area=np.arange(groups) // 3,
        by_energy=None if counted is None else counted.fit,
        in_step=None if counted is None else counted.in_step,
    )
    speaks = np.zeros(len(near.meters), np.bool_) if counted is None else counted.says_something()
    told = np.flatnonzero((near.group < 3) & ~near.certain & (speaks | np.isfinite(said.own)))
    doubts = []
    for n in told[said.doubted[told]].tolist():
        own, found = int(near.group[n]), int(said.group[n])
        if own // 3 == found // 3 and not near.phase_known[n]:
            continue
        phase = _PHASES[own % 3] if near.phase_known[n] else None
        evidence: dict[str, Any] = {
            "voltage": {
                "recorded_area": near.areas[own // 3],
                "recorded_phase": phase,
                "found_area": near.areas[found // 3],
                "found_phase": _PHASES[found % 3],
                "correlation_recorded": rounded(said.own[n], 4),
                "correlation_found": rounded(said.best[n], 4),
                "readings": int(said.samples[n]),
                "sure": round(float(said.sure[n]), 2),
            },
        }
        by_energy = counted is not None and counted.is_decided(n, own, found)
        if counted is not None and speaks[n]:
            evidence["energy"] = counted.shown(n, own, found)
        doubts.append(
            Doubt(
                meter=near.meters[n],
                area=near.areas[found // 3],
                phase=_PHASES[found % 3],
                confidence=_chance(float(said.sure[n]) ** 2 / 2.0 - _PRIOR),
                reasons=_reasons(
                    elsewhere=own // 3 != found // 3,
                    by_voltage=not by_energy or bool(said.best[n] > said.own[n]),
                    by_energy=by_energy,
                ),
                evidence=evidence,
            )
        )
    return Compared(tuple(near.meters[n] for n in told.tolist()), tuple(doubts))


def _reasons(*, elsewhere: bool, by_voltage: bool, by_energy: bool) -> tuple[str, ...]:
    where = "" if elsewhere else "_phase"
    said = ((by_voltage, "voltage_follows_another"), (by_energy, "energy_flows_in_another"))
    return tuple(reason + where for holds, reason in said if holds)


def is_mended(repair: Repair) -> bool:
    """Whether a repair explains so much of both losses, and so much better than another, that it is to be told."""
    some = bool(repair.to_first or repair.to_second)
    return some and repair.left <= _LEAST_MENDED and repair.runner_up >= _CLEARER * repair.left


def with_repair(doubts: Iterable[Doubt], moved: Mapping[str, tuple[str, Repair]]) -> list[Doubt]:
    """Join what voltages, energies and losses say of an area's meters.

    Parameters
    ----------
    moved
        By meter: the area to which a repair of two areas moves it, and the repair.
    """
    joined = []
    left = dict(moved)
    for doubt in doubts:
        other, repair = left.pop(doubt.meter, (None, None))
        if repair is None or other != doubt.area:
            joined.append(doubt)
            continue
        odds = math.log(doubt.confidence / (1.0 - doubt.confidence)) + _REPAIR_ADDS
        evidence = {**doubt.evidence, "repair": _shown(repair)}
        joined.append(
            Doubt(doubt.meter, doubt.area, doubt.phase, _chance(odds), (*doubt.reasons, "mends_two_areas"), evidence)
        )
    for meter, (area, repair) in left.items():
        evidence = {"repair": {"found_area": area, **_shown(repair)}}
        joined.append(Doubt(meter, area, None, _REPAIR_ALONE, ("mends_two_areas",), evidence))
    return joined


def _shown(repair: Repair) -> dict[str, Any]:
    return {
        "moves": len(repair.to_first) + len(repair.to_second),
        "loss_before_wh": [round(wh) for wh in repair.before_wh],
        "loss_after_wh": [round(wh) for wh in repair.after_wh],
        "left": round(repair.left, 4),
        "next_best_left": round(repair.runner_up, 4),
    }


def _chance(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(log_odds, 7.0)))
