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

from grid.channels import CHANNELS, EXPORT, IMPORT, LOSS, SIGMA
from grid.quality import MISSING_WH, Quality
from grid.roster import Part, Roster
from grid.rows import BlockRows


def share(energy: int, from_us: int, to_us: int, length_us: int) -> int:
    """Part of an energy that falls into [from, to) of an interval, by time; shares that tile it add up to it."""
    return energy * to_us // length_us - energy * from_us // length_us


def energies_of_unit(
    rows: BlockRows, numbers: NDArray[np.intp], rosters: Sequence[Roster]
) -> Mapping[str, NDArray[np.int64]]:
    """Import, export, loss and deviation of all members as far as they are the unit's; arrays of shape (m,).

    Where no member of the given rows came or went in its interval, the arrays are the rows' own.

    Notes
    -----
    The deviation of a share f of an energy E is taken as E · √(f (1 − f)): that of energy that came at one unknown
    instant of the interval, which is the most that it can be for instants that are equally likely.
    """
    size = len(rows.quality)
    names = (IMPORT, EXPORT, LOSS, SIGMA)
    own = {name: rows.channels[name] if name in rows.channels else CHANNELS[name].blank(size) for name in names}
    partial = [
        (int(r), roster, part)
        for r, roster in zip(numbers.tolist(), rosters, strict=True)
        for part in roster.parts
        if part.to_us - part.from_us < int(rows.interval_s[r]) * 1_000_000
    ]
    if partial:
        own = {name: values.astype(np.int64, copy=True) for name, values in own.items()}
        for r, _, part in partial:
            _take_share(rows, r, part, own)
    return own


def _take_share(rows: BlockRows, r: int, part: Part, own: Mapping[str, NDArray[np.int64]]) -> None:
    at = int(rows.starts[r]) + part.member.position
    length_us = int(rows.interval_s[r]) * 1_000_000
    flags = int(rows.quality[at])
    derived = bool(flags & Quality.DERIVED)
    for name in (IMPORT, EXPORT, LOSS):
        energy = int(own[name][at])
        if energy != MISSING_WH and not derived:
            own[name][at] = share(energy, part.from_us, part.to_us, length_us)
    if derived and not flags & Quality.ESTIMATED:
        return
    fraction = (part.to_us - part.from_us) / length_us
    moved = sum(int(own[name][at]) for name in (IMPORT, EXPORT) if own[name][at] != MISSING_WH)
    split = moved * math.sqrt((1 - fraction) / fraction)
    held = 0 if own[SIGMA][at] == MISSING_WH else int(own[SIGMA][at]) * fraction
    own[SIGMA][at] = math.ceil(math.hypot(split, held))


def lapsed_wh(rows: BlockRows, r: int, roster: Roster, own: Mapping[str, NDArray[np.int64]]) -> int:
    """Taken by customers of a row in the part of the interval in which they had no active account, by time."""
    spans = {part.member.position: (part.from_us, part.to_us) for part in roster.parts}
    taken = 0
    for lapse in roster.lapses:
        energy = int(own[IMPORT][int(rows.starts[r]) + lapse.position])
        begin, end = spans.get(lapse.position, (0, int(rows.interval_s[r]) * 1_000_000))
        first, last = max(lapse.from_us, begin), min(lapse.to_us, end)
        if energy != MISSING_WH and first < last:
            whole = energy * int(roster.multiplier[lapse.position])
            taken += share(whole, first - begin, last - begin, end - begin)
    return taken
