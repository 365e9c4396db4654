"""Records of transformer and phase against what voltages and losses say. Pure.

An area is compared with its neighbours. A column is what one meter shows of one phase; a group is an area's phase.
Meters on several phases, and the area's gateway meters, are taken to be where they are recorded.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.memberships import Membership
from grid.model import Role
from grid.roster import UnitView
from grid.usage import AreaVoltages
from kernels.association import SURE, Repair, voltage_association

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
#: How sure a repair is that no voltage confirms, and what it adds to the logarithm of the odds where one does.
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
    """

    areas: tuple[str, ...]
    meters: tuple[str, ...]
    voltage_v: Floats
    group: Integers
    certain: NDArray[np.bool_]
    phase_known: NDArray[np.bool_]

    def digest(self) -> str:
        """Names the series: 16 bytes of BLAKE2b over the voltages and the recorded groups."""
        hashed = hashlib.blake2b(np.ascontiguousarray(self.voltage_v).tobytes(), digest_size=16)
        hashed.update(self.group.tobytes())
        return hashed.hexdigest()


def make_neighbourhood(
    areas: Sequence[tuple[UnitView, AreaVoltages]], at_us: int, interval_s: int, most_columns: int = MOST_COLUMNS
) -> Neighbourhood | None:
    """Columns of an area, the first, and its neighbours as recorded at an instant.

    Neighbours that would make too many columns are left out with all that are farther off; None where the area itself
    does.
    """
    taken: list[tuple[UnitView, AreaVoltages, list[Membership]]] = []
    columns = 0
    for view, voltages in areas:
        members = [m for m in view.members if m.meter is not None and m.valid_from_us <= at_us < m.valid_to_us]
        members = [m for m in members if m.role & (Role.CUSTOMER | Role.GATEWAY)]
        columns += sum(len(_phases(m)) for m in members)
        if columns > most_columns:
            break
        taken.append((view, voltages, members))
    if not taken:
        return None
    begin_us = min((int(v.ends_us[0]) for _, v, _ in taken if len(v.ends_us)), default=at_us)
    step_us = interval_s * 1_000_000
    times = (at_us - begin_us) // step_us + 1
    voltage_v, group, meters, certain, known = [], [], [], [], []
    for number, (_, voltages, members) in enumerate(taken):
        rows = (voltages.ends_us - begin_us) // step_us
        for member in members:
            phases = _phases(member)
            gateway = bool(member.role & Role.GATEWAY)
            for phase in phases:
                channel = 0 if len(phases) == 1 else _PHASES.index(phase)
                column = np.full(times, np.nan)
                column[rows] = _volts(voltages, channel, member)
                voltage_v.append(column)
                group.append(number * 3 + max(_PHASES.find(phase), 0))
                meters.append(member.meter or "")
                certain.append(gateway or len(phases) > 1)
                known.append(phase in _PHASES)
    matrix = np.stack(voltage_v, axis=1) if voltage_v else np.zeros((times, 0))
    found = Neighbourhood(
        tuple(view.unit for view, _, _ in taken), tuple(meters), matrix, np.array(group, np.int64),
        np.array(certain, np.bool_), np.array(known, np.bool_),
    )  # fmt: skip
    _guess_phases(found)
    return found


def _phases(member: Membership) -> str:
    """Phases of a meter, a column each; of a gateway meter all three, though nobody has written them down."""
    return member.phases or (_PHASES if member.role & Role.GATEWAY else "?")


def _volts(voltages: AreaVoltages, channel: int, member: Membership) -> Floats:
    """One meter's voltages where it is read, on line, and a member."""
    if member.position >= voltages.voltage_dv.shape[2]:
        return np.full(len(voltages.ends_us), np.nan)
    raw = voltages.voltage_dv[channel, :, member.position]
    there = (raw != _MISSING) & (voltages.ends_us > member.valid_from_us)
    middle = float(np.median(raw[there])) if there.any() else 0.0
    return np.where(there & (raw > _OUTAGE * middle), raw / 10.0, np.nan)


def _guess_phases(found: Neighbourhood) -> None:
    """Give meters without a phase the one of their area whose mean they go with most."""
    unknown = np.flatnonzero(~found.phase_known & ~found.certain)
    if not len(unknown):
        return
    values = np.nan_to_num(found.voltage_v - _middle(found.voltage_v, axis=0))
    values -= values.mean(axis=1, keepdims=True)
    sure = np.flatnonzero(found.phase_known)
    for g in np.unique(found.group[unknown] // 3) * 3:
        of_area = unknown[found.group[unknown] // 3 == g // 3]
        means = np.stack([values[:, sure[found.group[sure] == g + k]].sum(axis=1) for k in range(3)], axis=1)
        means /= np.maximum(np.linalg.norm(means, axis=0), 1e-9)
        found.group[of_area] = g + (values[:, of_area].T @ means).argmax(axis=1)


def _middle(values: Floats, axis: int) -> Floats:
    """Means without what is missing; 0 where all of it is."""
    known = np.isfinite(values)
    return np.asarray(np.where(known, values, 0.0).sum(axis=axis) / np.maximum(known.sum(axis=axis), 1))


@dataclass(frozen=True, slots=True)
class Compared:
    """What voltages say of an area's meters: those that could be told, and the doubted ones."""

    meters: tuple[str, ...]
    doubts: tuple[Doubt, ...]


def compare(near: Neighbourhood, interval_s: int, limit: float = SURE) -> Compared:
    """Compare the meters of the first area with its own and its neighbours' phases."""
    groups = 3 * len(near.areas)
    said = voltage_association(
        near.voltage_v,
        near.group,
        np.ones((groups, groups), np.bool_),
        86_400 // interval_s,
        near.certain,
        limit,
        area=np.arange(groups) // 3,
    )
    told = np.flatnonzero((near.group < 3) & ~near.certain & np.isfinite(said.own))
    doubts = []
    for n in told[said.doubted[told]].tolist():
        own, found = int(near.group[n]), int(said.group[n])
        if own // 3 == found // 3 and not near.phase_known[n]:
            continue
        elsewhere = own // 3 != found // 3
        phase = _PHASES[own % 3] if near.phase_known[n] else None
        doubts.append(
            Doubt(
                meter=near.meters[n],
                area=near.areas[found // 3],
                phase=_PHASES[found % 3],
                confidence=_chance(float(said.sure[n]) ** 2 / 2.0 - _PRIOR),
                reasons=("voltage_follows_another",) if elsewhere else ("voltage_follows_another_phase",),
                evidence={
                    "voltage": {
                        "recorded_area": near.areas[own // 3],
                        "recorded_phase": phase,
                        "found_area": near.areas[found // 3],
                        "found_phase": _PHASES[found % 3],
                        "correlation_recorded": round(float(said.own[n]), 4),
                        "correlation_found": round(float(said.best[n]), 4),
                        "readings": int(said.samples[n]),
                        "sure": round(float(said.sure[n]), 2),
                    },
                },
            )
        )
    return Compared(tuple(near.meters[n] for n in told.tolist()), tuple(doubts))


def is_mended(repair: Repair) -> bool:
    """Whether a repair explains so much of both losses, and so much better than another, that it is to be told."""
    some = bool(repair.to_first or repair.to_second)
    return some and repair.left <= _LEAST_MENDED and repair.runner_up >= _CLEARER * repair.left


def with_repair(doubts: Iterable[Doubt], moved: Mapping[str, tuple[str, Repair]]) -> list[Doubt]:
    """Join what voltages and losses say of an area's meters.

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
