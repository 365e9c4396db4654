"""From daily figures of units to an effect: who is compared with whom, and what comes of it; pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from benefit.effect import Effect, EffectError, estimate_effect
from benefit.matching import MatchRules, match_controls

Floats = NDArray[np.float64]


def to_matrix(
    rows: Sequence[tuple[int, date, int, int, int]], unit_ids: Sequence[int], first: date, last: date
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Loss, inflow and revision by day and unit, of shape (days, units); NaN, NaN and 0 where there is nothing."""
    days = (last - first).days + 1
    column = {unit_id: i for i, unit_id in enumerate(unit_ids)}
    loss, inflow = np.full((days, len(column)), np.nan), np.full((days, len(column)), np.nan)
    revision = np.zeros((days, len(column)), np.int64)
    for unit_id, day, number, loss_wh, inflow_wh in rows:
        at = (day - first).days, column[unit_id]
        loss[at], inflow[at], revision[at] = loss_wh, inflow_wh, number
    return loss, inflow, revision


def sides(first: date, last: date, repaired: tuple[date, date]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Days before and after; those of the repair itself, and between several, are neither."""
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return np.array([day < repaired[0] for day in days]), np.array([day > repaired[1] for day in days])


def choose_controls(
    treated_wh: Floats,
    treated_inflow_wh: Floats,
    loss_wh: Floats,
    inflow_wh: Floats,
    before: NDArray[np.bool_],
    after: NDArray[np.bool_],
    rules: MatchRules,
) -> NDArray[np.int64]:
    """As `match_controls`.

    Raises
    ------
    EffectError
        When fewer than `rules.least` units are like it.
    """
    found = match_controls(treated_wh, treated_inflow_wh, loss_wh, inflow_wh, before, after, rules)
    if len(found) < rules.least:
        raise EffectError(f"only {len(found)} units are like it, of {rules.least} that are needed")
    return found


def compare(
    treated_wh: Floats,
    treated_inflow_wh: Floats,
    loss_wh: Floats,
    inflow_wh: Floats,
    before: NDArray[np.bool_],
    after: NDArray[np.bool_],
    seed: int,
) -> Effect:
    """The effect on a unit against given controls; arrays as in `match_controls`.

    Raises
    ------
    EffectError
        When nothing can be said.
    """
    # Sizes and growth of all are of the days that are compared: those of the unit itself.
    own = np.isfinite(treated_wh) & np.isfinite(treated_inflow_wh)
    before, after = before & own, after & own
    if min(before.sum(), after.sum()) == 0:
        raise EffectError("the unit has no computable days on a side")
    was, then = np.nanmean(inflow_wh[before], axis=0), np.nanmean(inflow_wh[after], axis=0)
    scales = float(np.mean(treated_inflow_wh[before])) / was
    return estimate_effect(treated_wh, loss_wh, scales, then / was, before, after, seed)
