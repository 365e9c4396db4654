"""Folding a day into the state of each meter: compiled helpers of `kernels.usage`, which documents the method."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from kernels.member import MISSING_WH

#: Days whose figures are kept one by one, and of them those that are compared with what lay before.
KEPT, RECENT = 35, 28
#: Of a day: mean power, mean of the lowest and of the highest readings of parts of the day, and the highest of all.
FIGURES = 4
#: Parts of the day of the profile and of the floor, and those of the crest.
PARTS, CREST_PARTS = 12, 6
#: A figure is kept as a byte: `STEPS` an octave above `OFFSET_W`.
STEPS, OFFSET_W = 12.0, 4.0
NO_FIGURE = 255
TO_LOG = math.log(2.0) / STEPS
#: The profile is kept in two bytes a part.
_PROFILE_STEPS = 2048.0
PROFILE_TO_LOG = math.log(2.0) / _PROFILE_STEPS
NO_PROFILE = 0
#: A day counts when this share of its readings is there.
_LEAST_PRESENT = 0.75
#: The long run forgets half in so many days; the highest seen sinks by so much a day (natural logarithm).
_HALF_DAYS, _SINK = 14.0, 0.01
#: The profile moves by this share of what a day differs, and a day counts as at most this many times the profile.
_PROFILE_GAIN, _PROFILE_CLIP = (0.1, 0.2), 3.0
#: CUSUM: slack and clip of a day's deviation, in its own standard deviations.
_SLACK, _CLIP = 0.5, 4.0
#: What runs are counted to.
_LONGEST = 65_000
_NIGHT_PARTS = 3  # midnight to six


@njit(cache=True, nogil=True)
def _code(power_w):  # type: ignore[no-untyped-def]  # numba infers
    return min(round(STEPS * math.log2(1.0 + max(power_w, 0.0) / OFFSET_W)), 254)


@njit(cache=True, nogil=True, error_model="numpy")
def _day_figures(wh, per_hour, figure, part_w):  # type: ignore[no-untyped-def]
    """Write the figures of a day and its means by part (NaN = none); returns the share of readings that is there."""
    slots = len(wh)
    total = 0
    there = 0
    floor = 0
    floors = 0
    crest = 0
    crests = 0
    peak = MISSING_WH
    top = MISSING_WH
    end = 0
    for p in range(PARTS):
        begin = end
        end = (p + 1) * slots // PARTS
        sum_wh = 0
        least = np.iinfo(np.int64).max
        count = 0
        for t in range(begin, end):
            x = wh[t]
            if x != MISSING_WH:
                count += 1
                sum_wh += x
                least = min(least, x)
            top = max(top, x)
        part_w[p] = np.nan
        if count > 0:
            floor += least
            floors += 1
            part_w[p] = sum_wh / count * per_hour
            total += sum_wh
            there += count
        if (p + 1) % (PARTS // CREST_PARTS) == 0:
            if top != MISSING_WH:
                crest += top
                crests += 1
                peak = max(peak, top)
            top = MISSING_WH
    if there > 0:
        figure[0] = total / there * per_hour
        figure[1] = floor / floors * per_hour
        figure[2] = crest / crests * per_hour
        figure[3] = peak * per_hour
    return there / slots


@njit(cache=True, nogil=True)
def _run(wh, run, last):  # type: ignore[no-untyped-def]
    """Carry the runs on over a day, from its end backwards; returns its last reading.

    A reading that is missing leaves a run as it is.
    """
    end = MISSING_WH
    same = 0
    negative = 0
    broken = False
    still = True
    for t in range(len(wh) - 1, -1, -1):
        x = wh[t]
        if x == MISSING_WH:
            continue
        if end == MISSING_WH:
            end = x
        if not broken and x == end:
            same += 1
        else:
            broken = True
        if still and x < 0:
            negative += 1
        else:
            still = False
        if broken and not still:
            break
    if end == MISSING_WH:
        return last
    if not broken and last == end:
        same += run[1]
    if still:
        negative += run[2]
    run[0] = min(same, _LONGEST) if end == 0 else 0
    run[1] = min(same, _LONGEST)
    run[2] = min(negative, _LONGEST)
    return end


@njit(cache=True, nogil=True, error_model="numpy")
def fold_meters(  # type: ignore[no-untyped-def]  # numba infers
    ring, base, weight, highest, profile, cusum, spread, runs, night, last_wh, energy_wh, day, through, per_hour, kind
):
    """Fold a day into all arrays of the state."""
    keep = 0.5 ** (1.0 / _HALF_DAYS)
    figure = np.empty(FIGURES)
    part_w = np.empty(PARTS)
    run = np.empty(3, np.int64)
    none = np.iinfo(np.int32).min
    for m in range(len(ring)):
        # Days that leave the recent ones go into the long run, those skipped included.
        for late in range(through + 1, min(day, through + KEPT) + 1):
            old = (late - RECENT) % KEPT
            if ring[m, old, 0] != NO_FIGURE:
                total = weight[m] * keep + (1.0 - keep)
                for f in range(FIGURES):
                    x = ring[m, old, f] * TO_LOG
                    base[m, f] += (x - base[m, f]) * (1.0 - keep) / total
                    highest[m, f] = max(highest[m, f] - _SINK, x)
                weight[m] = total
            for f in range(FIGURES):
                ring[m, late % KEPT, f] = NO_FIGURE
        for r in range(3):
            run[r] = runs[m, r]
        last = last_wh[m] if last_wh[m] != none else MISSING_WH
        last = _run(energy_wh[m], run, last)
        for r in range(3):
            runs[m, r] = run[r]
        last_wh[m] = none if last == MISSING_WH else min(max(last, none + 1), 2**31 - 1)
        there = _day_figures(energy_wh[m], per_hour, figure, part_w)
        if there < _LEAST_PRESENT:
            continue
        for f in range(FIGURES):
            ring[m, day % KEPT, f] = _code(figure[f])
        _against_profile(m, figure, part_w, profile, cusum, spread, night, kind)


@njit(cache=True, nogil=True, error_model="numpy")
def _against_profile(m, figure, part_w, profile, cusum, spread, night, kind):  # type: ignore[no-untyped-def]
    """Compare a day with the profile and move the profile towards it."""
    usual = 0.0
    seen = 0.0
    early = 0.0
    parts = 0
    for p in range(PARTS):
        if math.isnan(part_w[p]):
            continue
        now = max(part_w[p], 0.0)
        code = profile[m, kind, p]
        if code == NO_PROFILE:
            code = profile[m, 1 - kind, p]  # of the other kind of day, until there is one of this
        before = now
        if code != NO_PROFILE:
            before = OFFSET_W * (math.exp(code * PROFILE_TO_LOG) - 1.0)
            usual += before
            seen += now
            parts += 1
        if p < _NIGHT_PARTS:
            early += now
        after = before + _PROFILE_GAIN[kind] * (min(now, _PROFILE_CLIP * before + 100.0) - before)
        profile[m, kind, p] = max(round(_PROFILE_STEPS * math.log2(1.0 + after / OFFSET_W)), 1)
    if figure[0] > 0.0:
        share = early / PARTS / figure[0]
        for k, gain in ((0, 1.0 / 7.0), (1, 1.0 / 60.0)):
            night[m, k] = share if math.isnan(night[m, k]) else night[m, k] + gain * (share - night[m, k])
    if parts == 0:
        return
    apart = math.log((seen / parts + 10.0) / (usual / parts + 10.0))
    z = min(max(apart / max(spread[m], 0.05), -_CLIP), _CLIP)
    cusum[m, 0] = max(cusum[m, 0] - z - _SLACK, 0.0)
    cusum[m, 1] = max(cusum[m, 1] + z - _SLACK, 0.0)
    # Half the weight of 40 days; what lies beyond three deviations counts as three.
    limit = 3.0 * spread[m]
    spread[m] = math.sqrt(0.98 * spread[m] ** 2 + 0.02 * min(abs(apart), limit) ** 2 + 1e-6)
