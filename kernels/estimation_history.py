"""What a meter's own history says of one value: its distribution at the same slot, and how high a value lies in it.

Compiled helpers of `kernels.estimation`, which documents the method.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.member import MISSING_WH

#: A distribution is kept as the means and mean squares of so many equally likely strata, in rising order.
STRATA = 24
#: Limits of the strata as normal scores; beyond ±40 the normal distribution is 0 or 1 to the last bit.
_LIMITS = np.array([-40.0, *(NormalDist().inv_cdf(j / STRATA) for j in range(1, STRATA)), 40.0])
_ROOT_HALF = math.sqrt(0.5)


def slot_lists(slot: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Intervals in order of slot and time, and the place of each interval in that order; both of shape (intervals,)."""
    order = np.argsort(slot, kind="stable")
    place = np.empty(len(slot), np.int64)
    place[order] = np.arange(len(slot))
    return order, place


@njit(cache=True, nogil=True)
def normal(z):  # type: ignore[no-untyped-def]  # numba infers
    """Cumulative normal distribution."""
    return 0.5 * math.erfc(-z * _ROOT_HALF)


@njit(cache=True, nogil=True)
def sample(wh, slot, day_type, order, place, t, end, days, other_type, beside, value, weight):  # type: ignore[no-untyped-def]
    """Values, rising, and weights at the slot of `t` and beside it on other days before `end`; returns how many."""
    found = 0
    drawn = np.empty(len(value))
    drawn_weight = np.empty(len(value))
    for side in (-1, 1):
        for away in range(1, len(days)):
            at = place[t] + side * away
            if at < 0 or at >= len(order) or slot[order[at]] != slot[t]:
                break
            middle = order[at]
            like = days[away] * (1.0 if day_type[middle] == day_type[t] else other_type)
            for u in range(max(middle - 1, 0), min(middle + 2, end)):
                w = like if u == middle else like * beside
                if wh[u] != MISSING_WH and w > 0.0:
                    drawn[found] = wh[u]
                    drawn_weight[found] = w
                    found += 1
    # To count how many are less sorts the hundred values that a history has faster than a sort does.
    weight[:found] = 0.0
    for i in range(found):
        at = 0
        for j in range(found):
            at += drawn[j] < drawn[i]
        while weight[at] > 0.0:  # an equal one is there already
            at += 1
        value[at] = drawn[i]
        weight[at] = drawn_weight[i]
    return found


@njit(cache=True, nogil=True)
def strata(value, weight, found, mean, square):  # type: ignore[no-untyped-def]
    """Write means and mean squares of equally likely strata of rising, weighted values."""
    total = 0.0
    for i in range(found):
        total += weight[i]
    i = 0
    left = weight[0]
    for j in range(STRATA):
        want = total / STRATA
        first = 0.0
        second = 0.0
        while want > 0.0:
            part = min(left, want)
            if i == found - 1:  # what rounding leaves belongs to the greatest
                part = want
            x = value[i]
            first += part * x
            second += part * x * x
            want -= part
            left -= part
            if left <= 0.0 and i < found - 1:
                i += 1
                left = weight[i]
        mean[j] = first * STRATA / total
        square[j] = second * STRATA / total


@njit(cache=True, nogil=True)
def moments(mean, square, z, spread):  # type: ignore[no-untyped-def]
    """Mean and variance where the normal score is itself normal with mean `z` and standard deviation `spread`."""
    first = 0.0
    second = 0.0
    before = 0.0
    for j in range(STRATA):
        after = normal((_LIMITS[j + 1] - z) / spread)
        first += (after - before) * mean[j]
        second += (after - before) * square[j]
        before = after
    return first, max(second - first * first, 0.0)


@njit(cache=True, nogil=True)
def quantile(mean, z):  # type: ignore[no-untyped-def]
    """Value at a normal score, on straight lines between the strata's middles and from 0 below the lowest."""
    at = STRATA * normal(z) - 0.5
    if at < 0.0:
        return mean[0] * (1.0 + 2.0 * at)
    j = int(at)
    if j >= STRATA - 1:
        return mean[STRATA - 1]
    return mean[j] + (at - j) * (mean[j + 1] - mean[j])


@njit(cache=True, nogil=True)
def shift(mean, square, by):  # type: ignore[no-untyped-def]
    """Move a distribution, but not below 0; what each stratum varies by inside stays."""
    for j in range(STRATA):
        moved = max(mean[j] + by, 0.0)
        square[j] += moved * moved - mean[j] * mean[j]
        mean[j] = moved


@njit(cache=True, nogil=True)
def place_in_history(value, weight, found, x):  # type: ignore[no-untyped-def]
    """Normal score of `x` among weighted values (ties count half), and how far `x` lies beyond what they have there."""
    if found == 0:
        return 0.0, 0.0
    below = 0.0
    total = 0.0
    for i in range(found):
        total += weight[i]
        if value[i] < x:
            below += weight[i]
        elif value[i] == x:
            below += 0.5 * weight[i]
    # Half a nearest day stands on either side of all that was seen.
    share = (below + 0.5) / (total + 1.0)
    low, high = -6.0, 6.0
    for _ in range(30):
        middle = 0.5 * (low + high)
        if normal(middle) < share:
            low = middle
        else:
            high = middle
    z = 0.5 * (low + high)
    mean = np.empty(STRATA)
    strata(value, weight, found, mean, np.empty(STRATA))
    return z, x - quantile(mean, z)
