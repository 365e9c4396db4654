"""A master meter that wasn't heard, from those that were: what its customers took, and what is usually lost; pure.

A master meter's own history says little of a half day: all of its area is warmer or colder than usual at once. Its
customers were heard, and what lies between them and it differs little from day to day. The loss of such an interval is
the usual one and no finding: its row has no class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from grid.history import Past
from grid.model import MAX_ENERGY_WH, Role, UnitKind
from grid.quality import MISSING_WH
from grid.roster import UNCONTRACTED
from kernels.consensus import consensus
from kernels.known import mean_of_known
from kernels.member_error import STEP_VARIANCE
from streams.steps.contribution import Key
from streams.steps.gap import Filled, Gap, signs_of
from streams.steps.past_days import on_other_days

#: Fewer days on which the master meter was heard, or fewer values of a member, tell nothing.
_LEAST = 3
_PLAIN = np.uint8(int(Role.GATEWAY | Role.CUSTOMER) | UNCONTRACTED)


def from_customers(
    gap: Gap, filled: Filled, factor: NDArray[np.float64], days: Sequence[Sequence[int]], past: Mapping[Key, Past]
) -> None:
    """Put a master meter's estimate from its customers in place of that from its own history where it is surer.

    Parameters
    ----------
    factor
        Of each of the gap's positions, a value's covariance with the sum of its gap over its own variance.
    days
        Ends of the intervals that the usual loss is taken from, by day.
    """
    roster = gap.roster
    lacking = np.flatnonzero(roster.role[gap.positions] & int(Role.GATEWAY) != 0)
    is_plain = not np.any(roster.role & ~_PLAIN) and not roster.parts
    if gap.view.kind is not UnitKind.AREA or len(lacking) != 1 or not is_plain:
        return
    place = int(lacking[0])
    others = np.delete(np.arange(len(gap.positions)), place)
    if np.any(filled.import_wh[others] == MISSING_WH):
        return
    usual = usual_loss(gap, int(gap.positions[place]), days, past)
    if usual is None:
        return
    lost_wh, lost_wh2 = usual
    sign = signs_of(roster)[gap.positions[others]].astype(np.float64)
    net_wh = (filled.import_wh - np.maximum(filled.export_wh, 0))[others]
    ratio = int(roster.multiplier[gap.positions[place]])
    energy = round((gap.heard_wh + float(sign @ net_wh) + lost_wh) / ratio)
    own, of_gap = (np.square(column.astype(np.float64)) for column in (filled.sigma_wh, filled.gap_sigma_wh))
    own_wh2 = (sign**2 @ own[others] + lost_wh2) / ratio**2
    gap_wh2 = (sign**2 @ of_gap[others] + lost_wh2 * (factor[place] - 1.0)) / ratio**2
    has_own = filled.import_wh[place] != MISSING_WH
    if abs(energy) > MAX_ENERGY_WH or (has_own and own[place] + of_gap[place] <= own_wh2 + gap_wh2):
        return
    filled.import_wh[place], filled.export_wh[place] = max(energy, 0), max(-energy, 0)
    filled.sigma_wh[place], filled.gap_sigma_wh[place] = (int(np.ceil(np.sqrt(v))) for v in (own_wh2, gap_wh2))


def usual_loss(
    gap: Gap, gateway: int, days: Sequence[Sequence[int]], past: Mapping[Key, Past]
) -> tuple[float, float] | None:
    """What lies between a master meter and all others at this time of day, and its variance; None = not known.

    Members that weren't heard then count with their own means, which makes a day that much less sure. Intervals of one
    day hang together: a day counts once.
    """
    sign = signs_of(gap.roster)
    members = np.flatnonzero(sign)
    members = members[members != gateway]
    rows, day = on_other_days(gap, days, past, _net_wh)
    heard = ~np.isnan(rows[:, gateway])
    rows, day = rows[heard], day[heard]
    if len(np.unique(day)) < _LEAST:
        return None
    net, taken = rows[:, members], rows[:, gateway] * float(-sign[gateway])
    there = ~np.isnan(net)
    count = there.sum(axis=0)
    if np.any(count < _LEAST):
        return None
    mean = mean_of_known(net, axis=0)
    off = np.where(there, net - mean, 0.0)
    variance = (off**2).sum(axis=0) / (count - 1)
    weight = sign[members].astype(np.float64)
    lost = taken - np.where(there, net, mean) @ weight
    steps = STEP_VARIANCE * (there @ weight**2 + float(sign[gateway]) ** 2)
    unsure = ~there @ (variance * weight**2) + steps
    number, of_day = np.unique(day, return_inverse=True)
    rows_of_day = np.bincount(of_day, minlength=len(number))
    usual, between, of_mean = consensus(*(np.bincount(of_day, v) / rows_of_day for v in (lost, unsure)))
    return usual, between + of_mean


def _net_wh(held: Past) -> NDArray[np.int64]:
    """Imports less exports of a row."""
    return held.import_wh - np.maximum(held.export_wh, 0)
