"""Estimation of missing interval energies (VEE): same-slot history, neighbours and the register, with an error bar.

A missing value's distribution is that of the meter's own values at the same slot of other days, the nearer days and
the days of its own type counting more. How high in that distribution the values beside the gap lie says how high the
missing ones are likely to lie. The mean of what results gives the energy of a gap, the register gives it where there
is one, and the energy is laid over the gap at one common quantile, which is how a known sum is spread with the
least expected absolute error.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.estimation_history import STRATA, moments, place_in_history, sample, shift, slot_lists, strata
from kernels.estimation_kriging import factored, weights
from kernels.estimation_model import CONTRADICTED, HISTORY, INTERPOLATED, REGISTER, UNKNOWN, Estimates, Model
from kernels.estimation_own import own_shares
from kernels.estimation_spread import at_common_quantile, covariance_with_sum, whole
from kernels.member import MISSING_WH


def estimate_missing(
    energy_wh: NDArray[np.int64],
    slot: NDArray[np.int64],
    day_type: NDArray[np.int64],
    interval_minutes: float,
    *,
    online: bool = False,
    register_wh: NDArray[np.int64] | None = None,
    register_variance_wh2: float = 1.0 / 6.0,
    model: Model | None = None,
) -> Estimates:
    """Fill the missing energies of many meters.

    Parameters
    ----------
    energy_wh
        int64 of shape (meters, intervals), consecutive intervals, not negative; `MISSING_WH` where missing.
    slot
        int64 of shape (intervals,), not negative: slot of the local day. A day of 23 or 25 hours leaves out or repeats
        slots.
    day_type
        int64 of shape (intervals,): equal for days that are alike, as 0 for working days and 1 for others.
    interval_minutes
        Length of an interval.
    online
        Use only what lies before a gap, so that nothing that comes later changes an estimate.
    register_wh
        int64 of shape (meters, intervals + 1): register at the beginning of each interval and at the end of the last,
        `MISSING_WH` where not read. Rolled over registers are the caller's to unwrap. Offline only.
    register_variance_wh2
        Variance of the difference of two registers; the default is that of registers of one watt-hour.
    model
        Other than the default `Model`.

    Returns
    -------
    Estimates

    Raises
    ------
    ValueError
        When shapes disagree, a present energy, a slot is negative, or a register is given online.

    Notes
    -----
    Same-slot history of like days and straight lines over short gaps are the customary substitutes (California's
    Standards for Validating, Editing and Estimating Monthly and Interval Data; AEMO Metrology Procedure Part B, like
    day and interpolation).
    The rank in the slot's distribution is kriged from both ends as a Gaussian (normal-score kriging: Journel and
    Huijbregts, Mining Geostatistics, 1978). One common quantile for a known sum is the stationarity condition of the
    least expected absolute error under that sum (Koenker, Quantile Regression, 2005, for the loss). Whole
    watt-hours are made by largest remainders.
    """
    energy_wh = np.ascontiguousarray(energy_wh, np.int64)
    if energy_wh.ndim != 2:
        raise ValueError(f"energy_wh has shape {energy_wh.shape}, wants (meters, intervals)")
    meters, intervals = energy_wh.shape
    for name, array in (("slot", slot), ("day_type", day_type)):
        if array.shape != (intervals,):
            raise ValueError(f"{name} has shape {array.shape}, energy_wh {energy_wh.shape}")
    if np.any((energy_wh < 0) & (energy_wh != MISSING_WH)) or np.any(slot < 0):
        raise ValueError("energy_wh and slot must not be negative")
    if not interval_minutes > 0.0 or not register_variance_wh2 >= 0.0:
        raise ValueError("interval_minutes must be above 0, register_variance_wh2 not below")
    if register_wh is None:
        register_wh = np.empty((0, intervals + 1), np.int64)
    elif online:
        raise ValueError("a register closes a gap afterwards, so it can't be used online")
    elif register_wh.shape != (meters, intervals + 1):
        raise ValueError(f"register_wh has shape {register_wh.shape}, wants ({meters}, {intervals + 1})")
    model = model or Model()
    slot = np.ascontiguousarray(slot, np.int64)
    return Estimates(
        *_estimate(
            energy_wh,
            slot,
            np.ascontiguousarray(day_type, np.int64),
            *slot_lists(slot),
            np.ascontiguousarray(register_wh, np.int64),
            online,
            np.exp(-np.arange(model.days + 1) / model.memory_days),
            model.other_day_type,
            model.beside,
            model.neighbours,
            np.array([model.fast, model.slow]),
            model.common_pairs,
            *model.errors(interval_minutes),
            float(register_variance_wh2),
        )
    )


@njit(cache=True, nogil=True)
def _estimate(  # type: ignore[no-untyped-def]  # numba infers
    energy,
    slot,
    day_type,
    order,
    place,
    register,
    online,
    days,
    other_type,
    beside,
    neighbours,
    shares,
    common,
    errors,
    decay,
    step,
):
    meters, intervals = energy.shape
    out = energy.copy()
    method = np.zeros((meters, intervals), np.uint8)
    variance = np.zeros((meters, intervals))
    free = np.zeros((meters, intervals))
    span = np.full((meters, intervals), -1)
    for m in range(meters):
        at = np.flatnonzero(energy[m] == MISSING_WH)
        n = len(at)
        if n == 0:
            continue
        mean, z, spread, expected = _distributions(
            energy[m],
            at,
            slot,
            day_type,
            order,
            place,
            online,
            days,
            other_type,
            beside,
            neighbours,
            shares,
            common,
            decay,
            method[m],
            free[m],
        )
        counters = register[m] if len(register) else energy[m, :0]
        bounds, total = _spans(energy[m], at, counters, method[m], span[m], expected)
        for s in range(len(total)):
            i, j = bounds[s]
            _fill(
                total[s],
                at[i:j],
                mean[i:j],
                z[i:j],
                spread[i:j],
                expected[i:j],
                online,
                errors,
                decay,
                step,
                out[m],
                method[m],
                variance[m],
                free[m],
            )
        for t in at:
            if method[m, t] & UNKNOWN:
                variance[m, t] = np.nan
    return out, method, variance, free, span


@njit(cache=True, nogil=True)
def _straight(a, b, way):  # type: ignore[no-untyped-def]
    """Value on the line from `a` to `b`, and its deviation: as the ends are apart, and half of the value itself."""
    value = a + (b - a) * way
    return value, 0.5 * math.sqrt((b - a) ** 2 + value**2)


@njit(cache=True, nogil=True)
def _distributions(  # type: ignore[no-untyped-def]
    wh,
    at,
    slot,
    day_type,
    order,
    place,
    online,
    days,
    other_type,
    beside,
    neighbours,
    shares,
    common,
    decay,
    method,
    free,
):
    """Strata, kriged score and its spread, and the expected energy of each missing value of a meter."""
    n = len(at)
    mean = np.zeros((n, STRATA))
    square = np.empty(STRATA)
    z = np.zeros(n)
    spread = np.ones(n)
    expected = np.full(n, np.nan)
    value = np.empty(6 * len(days))
    weight = np.empty(6 * len(days))
    i = 0
    while i < n:
        first = at[i]
        j = i
        while j + 1 < n and at[j + 1] == at[j] + 1:
            j += 1
        after = at[j] + 1
        end = first if online else len(wh)
        left = first > 0
        right = not online and after < len(wh)
        near, score, beyond = _scores(
            wh, slot, day_type, order, place, first, after, online, days, other_type, beside, neighbours
        )
        own = shares
        if len(near):
            own = own_shares(
                wh,
                slot,
                day_type,
                order,
                place,
                first,
                after,
                online,
                days,
                other_type,
                beside,
                shares,
                decay,
                common,
            )
        low = factored(near, own, decay)
        for g in range(i, j + 1):
            t = at[g]
            found = sample(wh, slot, day_type, order, place, t, end, days, other_type, beside, value, weight)
            if found > 0:
                strata(value, weight, found, mean[g], square)
                by, explained = weights(low, near, t, own, decay)
                passed = 0.0
                for k in range(len(near)):
                    z[g] += by[k] * score[k]
                    # What lies beyond all history passes sooner than a high rank does.
                    passed += by[k] * decay[0] ** (abs(t - near[k]) - 1) * beyond[k]
                shift(mean[g], square, passed)
                spread[g] = math.sqrt(1.0 - explained)
                expected[g], around = moments(mean[g], square, z[g], spread[g])
                free[t] = math.sqrt(around)
                method[t] = HISTORY
            elif left or right:
                a = wh[first - 1] if left else wh[after]
                b = wh[after] if right else wh[first - 1]
                expected[g], free[t] = _straight(a, b, (t - first + 1) / (after - first + 1))
                mean[g] = expected[g]
                method[t] = INTERPOLATED
            else:
                method[t] = UNKNOWN
        i = j + 1
    return mean, z, spread, expected


@njit(cache=True, nogil=True)
def _scores(wh, slot, day_type, order, place, first, after, online, days, other_type, beside, neighbours):  # type: ignore[no-untyped-def]
    """Known values next to a gap: where, normal scores, and how far those beside it lie beyond all of their history."""
    near = np.empty(2 * neighbours, np.int64)
    score = np.empty(2 * neighbours)
    beyond = np.zeros(2 * neighbours)
    value = np.empty(6 * len(days))
    weight = np.empty(6 * len(days))
    count = 0
    end = first if online else len(wh)
    for side in range(1 if online else 2):
        for away in range(neighbours):
            u = first - 1 - away if side == 0 else after + away
            if u < 0 or u >= len(wh) or wh[u] == MISSING_WH:
                break
            found = sample(wh, slot, day_type, order, place, u, end, days, other_type, beside, value, weight)
            if found > 0:  # without a history of its own it says nothing
                near[count] = u
                score[count], over = place_in_history(value, weight, found, wh[u])
                if away == 0:
                    beyond[count] = over
                count += 1
    return near[:count], score[:count], beyond[:count]


@njit(cache=True, nogil=True)
def _spans(wh, at, register, method, span, expected):  # type: ignore[no-untyped-def]
    """Values that share a total: between two registers, else a run of missing ones; bounds among them, and totals."""
    bounds = np.empty((len(at), 2), np.int64)
    total = np.empty(len(at), np.int64)
    count = _between_registers(wh, at, register, method, span, bounds, total)
    i = 0
    while i < len(at):
        j = i
        energy = 0.0
        while j < len(at) and span[at[j]] < 0 and not method[at[j]] & UNKNOWN and at[j] - at[i] == j - i:
            energy += expected[j]
            j += 1
        if j > i:
            span[at[i] : at[j - 1] + 1] = count
            bounds[count] = i, j
            total[count] = np.int64(energy + 0.5)
            count += 1
        i = max(j, i + 1)
    return bounds[:count], total[:count]


@njit(cache=True, nogil=True)
def _between_registers(wh, at, register, method, span, bounds, total):  # type: ignore[no-untyped-def]
    """Write the spans between consecutive readings of the register; return how many there are."""
    count = 0
    read = np.flatnonzero(register != MISSING_WH)
    for r in range(1, len(read)):
        first, after = read[r - 1], read[r]
        i = np.searchsorted(at, first)
        j = np.searchsorted(at, after)
        if i == j:
            continue
        rest = register[after] - register[first]
        for t in range(first, after):
            rest -= 0 if wh[t] == MISSING_WH else wh[t]
        for g in range(i, j):
            method[at[g]] |= REGISTER if rest >= 0 else CONTRADICTED
            span[at[g]] = count if rest >= 0 else -1
        if rest >= 0:
            bounds[count] = i, j
            total[count] = rest
            count += 1
    return count


@njit(cache=True, nogil=True)
def _fill(total, at, mean, z, spread, expected, online, errors, decay, step, out, method, variance, free):  # type: ignore[no-untyped-def]
    """Write the energies, variances and free deviations of one span."""
    n = len(at)
    by_register = method[at[0]] & REGISTER != 0
    if by_register:
        _level_unknown(total, at, mean, expected, method, free)
    if online:
        for i in range(n):
            out[at[i]] = np.int64(expected[i] + 0.5)
    else:
        filled = whole(at_common_quantile(total, mean, z, spread), total)
        for i in range(n):
            out[at[i]] = filled[i]
    if not by_register:
        for i in range(n):
            variance[at[i]] = free[at[i]] ** 2 + (out[at[i]] - expected[i]) ** 2
        return
    prior = expected.sum()
    # Errors grow with the energy, which the register now tells.
    sigma = free[at] * (math.sqrt(total / prior) if prior > 0.0 else 1.0)
    with_sum = covariance_with_sum(at, sigma, errors, decay)
    of_sum = with_sum.sum()
    for i in range(n):
        free[at[i]] = sigma[i]
        learned = with_sum[i] / (of_sum + step) if of_sum > 0.0 else 0.0
        off = out[at[i]] - expected[i] - learned * (total - prior)
        variance[at[i]] = max(sigma[i] ** 2 - learned * with_sum[i], 0.0) + off * off


@njit(cache=True, nogil=True)
def _level_unknown(total, at, mean, expected, method, free):  # type: ignore[no-untyped-def]
    """Give values that nothing is known of the mean of the others in the span, or an even share of the total."""
    known = 0
    energy = 0.0
    for i in range(len(at)):
        if not method[at[i]] & UNKNOWN:
            known += 1
            energy += expected[i]
    level = energy / known if known else total / len(at)
    for i in range(len(at)):
        if method[at[i]] & UNKNOWN:
            method[at[i]] = REGISTER
            mean[i] = level
            expected[i] = level
            free[at[i]] = level
