"""What a generator fed in that wasn't heard, from those of its area that were: the same sky is over all; pure.

Ten sunny days say little of a dull one. How much those that were heard fed in, over what they usually do, says how dull
it is; how the silent one went with them on the other days says what that makes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from grid.history import Past
from grid.model import Role, UnitKind
from grid.quality import MISSING_WH
from kernels.known import mean_of_known
from kernels.member_error import STEP_VARIANCE
from streams.steps.contribution import Key
from streams.steps.gap import Gap
from streams.steps.past_days import on_other_days

#: Fewer values, or days, tell nothing.
_LEAST = 3
#: Part of what the others usually feed in that must have been heard on a day.
_MOST_OF = 0.5


def from_others(
    gap: Gap, days: Sequence[Sequence[int]], past: Mapping[Key, Past]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """What each of a gap's positions fed in by the others, and its variance; NaN where they don't tell.

    Parameters
    ----------
    days
        Ends of the intervals that it is taken from, by day.

    Returns
    -------
    None where nobody was heard who feeds in.

    Notes
    -----
    The others' energy over their mean is the one regressor, without an intercept: where the sun gives nothing nobody
    feeds in. Intervals of one day hang together, so the variance is widened as for so many days.
    """
    if gap.heard_export_wh is None or gap.view.kind is not UnitKind.AREA:
        return None
    fed, day = on_other_days(gap, days, past, _fed_in)
    role = gap.roster.role
    is_customer = (role & int(Role.CUSTOMER) != 0) & (role & int(Role.GATEWAY) == 0)
    there = ~np.isnan(fed)
    usual = mean_of_known(fed, axis=0)
    feeds_in = is_customer & (there.sum(axis=0) >= _LEAST) & (usual > 0.0)
    others = np.flatnonzero(feeds_in & (gap.heard_export_wh != MISSING_WH))
    if not len(others):
        return None
    now = gap.heard_export_wh[others].sum() / usual[others].sum()
    heard = there[:, others] @ usual[others]
    told = np.where(there[:, others], fed[:, others], 0.0).sum(axis=1) / np.maximum(heard, 1e-9)
    is_told = heard >= _MOST_OF * usual[others].sum()
    energy, variance = (np.full(len(gap.positions), np.nan) for _ in range(2))
    for i, position in enumerate(gap.positions.tolist()):
        use = is_told & there[:, position]
        many = len(np.unique(day[use]))
        squares = float(told[use] @ told[use])
        if feeds_in[position] and many >= _LEAST and squares > 0.0:
            slope = float(told[use] @ fed[use, position]) / squares
            off = fed[use, position] - slope * told[use]
            energy[i] = slope * now
            variance[i] = STEP_VARIANCE + float(off @ off) / len(off) * (many + 1) / (many - 1)
    return energy, variance


def _fed_in(held: Past) -> NDArray[np.float64]:
    """Exports of a row, NaN of who has none."""
    return np.where(held.export_wh >= 0, held.export_wh, np.nan)
