"""How closely a meter's own values beside each other hang together, at the slots at the ends of a gap.

Compiled helpers of `kernels.estimation`, which documents the method.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from kernels.estimation_history import sample
from kernels.member import MISSING_WH

#: The shares that last must leave something for each value's own.
_MOST = 0.97


@njit(cache=True, nogil=True)
def _rank(value, up_to, x):  # type: ignore[no-untyped-def]  # numba infers
    """Share of a weighted, rising sample below `x`, less a half; ties count half."""
    low = np.searchsorted(value, x)
    high = np.searchsorted(value, x, side="right")
    return 0.5 * (up_to[low] + up_to[high]) / up_to[-1] - 0.5


@njit(cache=True, nogil=True)
def _up_to(weight):  # type: ignore[no-untyped-def]
    total = np.zeros(len(weight) + 1)
    for i in range(len(weight)):
        total[i + 1] = total[i] + weight[i]
    return total


@njit(cache=True, nogil=True)
def own_shares(  # type: ignore[no-untyped-def]
    wh, slot, day_type, order, place, first, after, online, days, other_type, beside, shares, decay, common
):
    """The shares of a rank that last, scaled to how ranks go together from one slot to the next on other days.

    Looked at are the slots on either side of the gap's begin and, offline, of its end. The common correlation counts
    as many pairs as `common` says.
    """
    expected = shares[0] * decay[0] + shares[1] * decay[1]
    end = first if online else len(wh)
    size = 6 * len(days)
    value, weight, value_before, weight_before = np.empty(size), np.empty(size), np.empty(size), np.empty(size)
    both = square = square_before = total = squares = 0.0
    for side in range(1 if online else 2):
        t = first if side == 0 else after
        if t < 1 or t >= len(wh):
            continue
        found = sample(wh, slot, day_type, order, place, t, end, days, other_type, beside, value, weight)
        before = sample(
            wh, slot, day_type, order, place, t - 1, end, days, other_type, beside, value_before, weight_before
        )
        if found == 0 or before == 0:
            continue
        up_to, up_to_before = _up_to(weight[:found]), _up_to(weight_before[:before])
        for way in (-1, 1):
            for away in range(1, len(days)):
                at = place[t] + way * away
                if at < 0 or at >= len(order) or slot[order[at]] != slot[t]:
                    break
                u = order[at]
                if u < 1 or u >= end or wh[u] == MISSING_WH or wh[u - 1] == MISSING_WH or slot[u - 1] != slot[t - 1]:
                    continue
                w = days[away] * (1.0 if day_type[u] == day_type[t] else other_type)
                p = _rank(value[:found], up_to, wh[u])
                q = _rank(value_before[:before], up_to_before, wh[u - 1])
                both += w * p * q
                square += w * p * p
                square_before += w * q * q
                total += w
                squares += w * w
    if not (square > 0.0 and square_before > 0.0 and expected > 0.0):
        return shares
    pairs = total * total / squares
    seen = both / math.sqrt(square * square_before)
    scale = (pairs * seen + common * expected) / ((pairs + common) * expected)
    return shares * min(max(scale, 0.0), _MOST / shares.sum())
