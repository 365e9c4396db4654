"""What the state of a meter says: compiled helpers of `kernels.usage`, which documents the method."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from kernels.usage_fold import FIGURES, KEPT, NO_FIGURE, OFFSET_W, RECENT, TO_LOG


@njit(cache=True, nogil=True)
def changes(ring, base, weight, highest, through):  # type: ignore[no-untyped-def]  # noqa: C901
    meters = len(ring)
    out = np.full((meters, 3 * FIGURES), np.nan)
    total = np.empty(FIGURES, np.int64)
    first = np.empty(FIGURES, np.int64)
    before = np.empty(FIGURES, np.int64)
    top = np.empty(FIGURES, np.int64)
    for m in range(meters):
        # Four weeks of the long run, and half of the recent days.
        if weight[m] < 0.74:
            continue
        total[:] = 0
        first[:] = 0
        before[:] = 0
        top[:] = 0
        count = 0
        firsts = 0
        befores = 0
        at = through % KEPT
        for back in range(KEPT):
            if ring[m, at, 0] != NO_FIGURE:
                if back >= RECENT:
                    befores += 1
                    for f in range(FIGURES):
                        before[f] += ring[m, at, f]
                else:
                    count += 1
                    for f in range(FIGURES):
                        total[f] += ring[m, at, f]
                        top[f] = max(top[f], ring[m, at, f])
                    if back >= RECENT - 7:
                        firsts += 1
                        for f in range(FIGURES):
                            first[f] += ring[m, at, f]
            at = at - 1 if at > 0 else KEPT - 1
        if count < RECENT // 2:
            continue
        for f in range(FIGURES):
            out[m, f] = base[m, f] - total[f] / count * TO_LOG
            out[m, FIGURES + f] = highest[m, f] - top[f] * TO_LOG
            out[m, 2 * FIGURES + f] = out[m, f]
            if firsts >= 4 and befores >= 4:
                out[m, 2 * FIGURES + f] = (before[f] / befores - first[f] / firsts) * TO_LOG
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def agreement(changes, shifts, spreads):  # type: ignore[no-untyped-def]
    """Log of the mean likelihood ratio over `shifts`, changes being Cauchy about 0 or about a shift; and the best one.

    With one degree of freedom the ratio is a quotient of squares, so that nothing but products is computed.
    """
    meters, count = changes.shape
    said = np.full(meters, np.nan)
    best = np.full(meters, np.nan)
    inverse = 1.0 / spreads
    products = np.empty(len(shifts))
    for m in range(meters):
        if math.isnan(changes[m, 0]):
            continue
        none = 1.0
        products[:] = 1.0
        for k in range(count):
            none *= 1.0 + (changes[m, k] * inverse[k]) ** 2
            for s in range(len(shifts)):  # side by side in the processor's vectors
                products[s] *= 1.0 + ((changes[m, k] - shifts[s]) * inverse[k]) ** 2
        total = 0.0
        greatest = -1.0
        for s in range(len(shifts)):
            ratio = none / products[s]
            total += ratio
            if ratio > greatest:
                greatest = ratio
                best[m] = shifts[s]
        said[m] = math.log(total / len(shifts))
    return said, best


@njit(cache=True, nogil=True)
def levels(ring, base, weight, through):  # type: ignore[no-untyped-def]
    """Usual and recent power, and how many days back the sum of days below the middle of both is greatest."""
    meters = len(ring)
    usual = np.full(meters, np.nan)
    recent = np.full(meters, np.nan)
    since = np.zeros(meters, np.int64)
    for m in range(meters):
        total = 0.0
        count = 0
        at = through % KEPT
        for _ in range(RECENT):
            code = ring[m, at, 0]
            if code != NO_FIGURE:
                total += code * TO_LOG
                count += 1
            at = at - 1 if at > 0 else KEPT - 1
        if count == 0:
            continue
        mean = total / count
        recent[m] = OFFSET_W * (math.exp(mean) - 1.0)
        if weight[m] <= 0.0:
            continue
        usual[m] = OFFSET_W * (math.exp(base[m, 0]) - 1.0)
        middle = 0.5 * (base[m, 0] + mean)
        sign = 1.0 if mean < base[m, 0] else -1.0
        total = 0.0
        greatest = 0.0
        at = through % KEPT
        for back in range(KEPT):
            code = ring[m, at, 0]
            at = at - 1 if at > 0 else KEPT - 1
            if code == NO_FIGURE:
                continue
            total += sign * (middle - code * TO_LOG)
            if total > greatest:
                greatest = total
                since[m] = back + 1
    return usual, recent, since
