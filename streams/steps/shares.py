"""The share of a member that belonged to a unit for a part of an interval only.

An energy that was measured over the whole interval is split by time at the instants where the member comes and goes,
and the watt-hours that don't divide go to the last: the shares of all units that had it add up to it. What registers
at that instant have told needs no split.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from grid.channels import CHANNELS, EXPORT, GAP_SIGMA, IMPORT, LOSS, SIGMA, SIGMA_SYSTEMATIC
from grid.quality import MISSING_WH, NO_PRECEDENCE, Quality
from grid.roster import Part, Roster
from grid.rows import BlockRows


def share(energy: int, from_us: int, to_us: int, length_us: int) -> int:
    """Part of an energy that falls into [from, to) of an interval, by time; shares that tile it add up to it."""
    return energy * to_us // length_us - energy * from_us // length_us


def energies_of_unit(
    rows: BlockRows, numbers: NDArray[np.intp], rosters: Sequence[Roster]
) -> Mapping[str, NDArray[np.int64]]:
    """Import, export, loss and deviations of all members as far as they are the unit's; arrays of shape (m,).

    Where no member of the given rows came or went in its interval, the arrays are the rows' own.

    Notes
    -----
    The deviation of a share f of an energy E is taken as E · √(f (1 − f)): that of energy that came at one unknown
    instant of the interval, which is the most that it can be for instants that are equally likely.
    """
    size = len(rows.quality)
    names = (IMPORT, EXPORT, LOSS, SIGMA, SIGMA_SYSTEMATIC, GAP_SIGMA)
    own = {name: rows.channels[name] if name in rows.channels else CHANNELS[name].blank(size) for name in names}
    partial = {
        int(r): of_row
        for r, roster in zip(numbers.tolist(), rosters, strict=True)
        if (of_row := _partial(roster, int(rows.interval_s[r]) * 1_000_000))
    }
    if partial:
        own = {name: values.astype(np.int64, copy=True) for name, values in own.items()}
        for r, positions in partial.items():
            for position, stays in positions.items():
                _take_share(rows, r, position, stays, own)
    return own


def _partial(roster: Roster, length_us: int) -> dict[int, list[Part]]:
    stays: dict[int, list[Part]] = {}
    for part in roster.parts:
        if part.to_us - part.from_us < length_us:
            stays.setdefault(part.position, []).append(part)
    return stays


def _take_share(
    rows: BlockRows, r: int, position: int, stays: Sequence[Part], own: Mapping[str, NDArray[np.int64]]
) -> None:
    at = int(rows.starts[r]) + position
    length_us = int(rows.interval_s[r]) * 1_000_000
    flags = int(rows.quality[at])
    for name in (IMPORT, EXPORT, LOSS):
        energy = int(own[name][at])
        derived = name in rows.precedence and rows.precedence[name][at] == NO_PRECEDENCE
        if energy != MISSING_WH and not derived:
            own[name][at] = sum(share(energy, stay.from_us, stay.to_us, length_us) for stay in stays)
    if flags & Quality.DERIVED and not flags & Quality.ESTIMATED:
        return
    fraction = sum(stay.to_us - stay.from_us for stay in stays) / length_us
    moved = sum(int(own[name][at]) for name in (IMPORT, EXPORT) if own[name][at] != MISSING_WH)
    split = moved * math.sqrt((1 - fraction) / fraction)
    held = 0 if own[SIGMA][at] == MISSING_WH else int(own[SIGMA][at]) * fraction
    own[SIGMA][at] = math.ceil(math.hypot(split, held))
    for name in (SIGMA_SYSTEMATIC, GAP_SIGMA):
        if own[name][at] != MISSING_WH:
            own[name][at] = math.floor(own[name][at] * fraction)


def lapsed_wh(rows: BlockRows, r: int, roster: Roster, own: Mapping[str, NDArray[np.int64]]) -> int:
    """Taken by customers of a row in the part of the interval in which they had no active account, by time."""
    length_us = int(rows.interval_s[r]) * 1_000_000
    spans: dict[int, list[tuple[int, int]]] = {}
    for part in roster.parts:
        spans.setdefault(part.position, []).append((part.from_us, part.to_us))
    taken = 0
    for lapse in roster.lapses:
        energy = int(own[IMPORT][int(rows.starts[r]) + lapse.position])
        if energy == MISSING_WH:
            continue
        stays = spans.get(lapse.position, [(0, length_us)])
        without = sum(max(0, min(lapse.to_us, end) - max(lapse.from_us, begin)) for begin, end in stays)
        whole = energy * int(roster.multiplier[lapse.position])
        # By what was taken before the lapse, so that the watt-hours that don't divide go to the last part.
        with_account = sum(max(0, min(lapse.from_us, end) - begin) for begin, end in stays)
        there = sum(end - begin for begin, end in stays)
        taken += share(whole, with_account, with_account + without, there)
    return taken
