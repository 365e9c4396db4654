"""Energy from power that is reported by exception: a value is held until the next report, within a dead band."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

#: States of a report: the value isn't known from then on, was substituted by hand, or is good.
UNKNOWN, SUBSTITUTED, GOOD = 0, 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class Integral:
    """Result of `integrate_power`; all arrays have shape (k,).

    Attributes
    ----------
    import_wh, export_wh
        float64 ≥ 0. Energy while the summed power is positive, and, without its sign, while it is negative; over the
        known part of the interval only.
    coverage
        float64, 0…1. Share of the interval in which every point is known.
    sigma_wh
        float64. Standard deviation of import_wh − export_wh from the dead bands.
    substituted
        bool. A substituted value entered.
    """

    import_wh: NDArray[np.float64]
    export_wh: NDArray[np.float64]
    coverage: NDArray[np.float64]
    sigma_wh: NDArray[np.float64]
    substituted: NDArray[np.bool_]


def integrate_power(
    begin_us: NDArray[np.int64],
    end_us: NDArray[np.int64],
    point_starts: NDArray[np.int64],
    dead_band_w: NDArray[np.float64],
    hold_us: NDArray[np.int64],
    report_starts: NDArray[np.int64],
    point: NDArray[np.int64],
    reported_at_us: NDArray[np.int64],
    power_w: NDArray[np.float64],
    state: NDArray[np.int64],
) -> Integral:
    """Integrate the summed power of the points of k groups over [begin, end) each.

    Parameters
    ----------
    begin_us, end_us
        int64 of shape (k,), end after begin.
    point_starts
        int64 of shape (k + 1,), rising from 0: the points of group g are at point_starts[g]:point_starts[g + 1].
    dead_band_w, hold_us
        Of each point, float64 and int64: half the width of the band within which the device doesn't report, and how
        long a value may be held (the device's cycle, with an allowance for a lost report).
    report_starts
        int64 of shape (k + 1,), rising from 0: the reports of group g, in order of time.
    point, reported_at_us, power_w, state
        Of each report: index of its point within the group, instant, value, and `UNKNOWN`, `SUBSTITUTED` or `GOOD`.
        Those before `begin_us` say what is held when the interval begins; the value of an unknown one isn't read.

    Raises
    ------
    ValueError
        When shapes disagree, an interval is empty, or a report names no point of its group.

    Notes
    -----
    **Hold.** A device that reports by exception (send-on-delta; Miskowicz, *Sensors* 6 (2006) 49–63) is silent while
    |x(t) − v| ≤ d, where v is its last report and d the dead band. So v is the estimate of x until the next report, or
    until the hold is over: a device that reports by cycle as well, and didn't, isn't heard any more.

    **Error.** While v is held the error e(t) = x(t) − v lies within ±d. Nothing more being known, it is taken as
    uniform there: var e = d²/3 (JCGM 100:2008, 4.3.7). Within one hold of length τ the error moves slowly against τ: it
    is taken as one value, fully correlated, so that ∫e dt = e·τ has variance (d·τ)²/3, the greatest that any
    correlation gives. A report sets the error to zero, so errors of different holds, and of different points, are taken
    as independent:

        σ² = Σ over points, Σ over holds (d·τ)²/3,

    with τ the part of the hold inside the interval. Reports by cycle shorten the holds: n equal holds of an interval T
    give σ = d·T/√(3n).

    **Limit.** Where the power rises or falls all the time, the errors of successive holds have the same sign and the
    sum is off by up to d·T; the variance doesn't say so. Over whole days rises and falls cancel.
    """
    groups = len(begin_us)
    points, reports = len(dead_band_w), len(point)
    for name, array, size in (
        ("end_us", end_us, groups),
        ("hold_us", hold_us, points),
        ("reported_at_us", reported_at_us, reports),
        ("power_w", power_w, reports),
        ("state", state, reports),
    ):
        if array.shape != (size,):
            raise ValueError(f"{name} has shape {array.shape}, not ({size},)")
    for name, starts, size in (("point_starts", point_starts, points), ("report_starts", report_starts, reports)):
        if len(starts) != groups + 1 or starts[0] != 0 or starts[-1] != size or np.any(np.diff(starts) < 0):
            raise ValueError(f"{name} must rise from 0 to {size} in {groups} steps")
    if np.any(end_us <= begin_us):
        raise ValueError("an interval is empty")
    sizes = np.repeat(np.diff(point_starts), np.diff(report_starts))
    if np.any((point < 0) | (point >= sizes)):
        raise ValueError("a report names no point of its group")
    return Integral(
        *_integrate(
            begin_us, end_us, point_starts, dead_band_w, hold_us, report_starts, point, reported_at_us, power_w, state
        )
    )


_US_PER_HOUR = 3.6e9
_NEVER = np.iinfo(np.int64).min


@njit(cache=True, nogil=True)
def _integrate(begin_us, end_us, point_starts, dead_band_w, hold_us, report_starts, point, at_us, power_w, state):  # type: ignore[no-untyped-def]  # numba infers
    groups = len(begin_us)
    taken = np.zeros(groups, np.float64)
    given = np.zeros(groups, np.float64)
    coverage = np.zeros(groups, np.float64)
    sigma = np.zeros(groups, np.float64)
    substituted = np.zeros(groups, np.bool_)
    for g in range(groups):
        first = point_starts[g]
        size = point_starts[g + 1] - first
        value = np.zeros(size, np.float64)
        until = np.full(size, _NEVER, np.int64)
        by_hand = np.zeros(size, np.bool_)
        held = np.zeros(size, np.float64)  # of the present hold, within the interval
        known = 0.0
        variance = 0.0
        last = report_starts[g + 1]
        now = begin_us[g]
        for r in range(report_starts[g], last + 1):
            # From `now` to the next report or the end of the interval, every value is held.
            to = end_us[g]
            if r < last and at_us[r] < to:
                to = at_us[r]
            expires = to
            for p in range(size):
                expires = min(expires, until[p])
            if size > 0 and expires > now:
                span = np.float64(expires - now)
                total = 0.0
                for p in range(size):
                    total += value[p]
                    held[p] += span
                    substituted[g] |= by_hand[p]
                known += span
                if total > 0:
                    taken[g] += total * span
                else:
                    given[g] -= total * span
            now = max(now, to)
            if r == last or at_us[r] >= end_us[g]:
                break
            p = point[r]
            variance += (dead_band_w[first + p] * held[p]) ** 2 / 3.0
            held[p] = 0.0
            until[p] = at_us[r] + hold_us[first + p] if state[r] != UNKNOWN else _NEVER
            value[p] = power_w[r]
            by_hand[p] = state[r] == SUBSTITUTED
        for p in range(size):
            variance += (dead_band_w[first + p] * held[p]) ** 2 / 3.0
        taken[g] /= _US_PER_HOUR
        given[g] /= _US_PER_HOUR
        coverage[g] = known / np.float64(end_us[g] - begin_us[g])
        sigma[g] = math.sqrt(variance) / _US_PER_HOUR
    return taken, given, coverage, sigma, substituted
