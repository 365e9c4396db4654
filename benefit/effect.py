"""Whether something that was done changed a unit's daily loss, and by how much: difference-in-differences; pure.

The treated unit's change from before to after is compared with that of its controls over the same days (Card, Krueger
1994). How far such a comparison is off where nothing was done is seen from the controls themselves: each in turn is
taken for treated (placebo in space; Abadie, Diamond, Hainmueller 2010), and its result is measured by its own standard
error from a bootstrap of blocks of days and of controls (Künsch 1989; Bertrand, Duflo, Mullainathan 2004 say why days
may not be drawn one by one). The interval is as wide as these results say it has to be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benefit.matching import LEAST_SHARE

#: Days drawn together: a week, so that a drawn course has the days of the week as they follow each other.
BLOCK_DAYS = 7
DRAWS = 400
LEVEL = 0.95
#: Standard deviations that hold it.
NORMAL = 1.96
#: What was lost before might not have gone on as it was: how far by itself is nothing that the days say. Standard
#: deviation of that in parts of the season's own change among the controls, and of what it changes by itself.
SEASON, COURSE = 1.0, 0.04
#: A placebo further off than so many standard errors has had something happen to it.
_FAR = 4.0
#: Share of the controls that is left out at either end.
TRIM = 0.25


class EffectError(ValueError):
    """Nothing can be said; the message says why."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What came of it over the days after, watt-hours; positive = that much less was lost.

    Attributes
    ----------
    recovered_wh, low_wh, high_wh
        By difference-in-differences, with the interval of `level`.
    sigma_wh
        Standard deviation of `recovered_wh`.
    before_after_wh
        Simple comparison of the days before with the days after, which takes season and weather for an effect.
    placebo_rank
        Share of the units, the treated one among them, whose result is at least as large, by their own standard errors.
    shown
        Whether an effect is shown: the interval leaves out zero, and so does the rank at the same level.
    days_before, days_after
        Days that were compared.
    controls
        How many.
    """

    recovered_wh: float
    low_wh: float
    high_wh: float
    sigma_wh: float
    before_after_wh: float
    placebo_rank: float
    shown: bool
    days_before: int
    days_after: int
    controls: int
    level: float


def estimate_effect(
    treated_wh: NDArray[np.float64],
    controls_wh: NDArray[np.float64],
    scales: NDArray[np.float64],
    growth: NDArray[np.float64],
    before: NDArray[np.bool_],
    after: NDArray[np.bool_],
    seed: int,
    *,
    draws: int = DRAWS,
) -> Effect:
    """Energy that the treated unit didn't lose over the days after, against its controls.

    Parameters
    ----------
    treated_wh
        Its daily loss, watt-hours, of shape (days,); NaN = not computable: such a day is left out.
    controls_wh
        Theirs, of shape (days, controls); a missing day of a control is the mean of its others on that side.
    scales
        Size of the treated unit over that of each control, of shape (controls,).
    growth
        Mean daily inflow after over that before, of each control, of shape (controls,).
    before, after
        Which days are compared, of shape (days,); none is both.
    seed
        Of the bootstrap: the same gives the same.

    Raises
    ------
    EffectError
        Fewer than seven days on a side, fewer than three controls, or nothing ever changed.
    """
    count = controls_wh.shape[1]
    own = np.isfinite(treated_wh)
    before, after = before & own, after & own
    if min(before.sum(), after.sum()) < BLOCK_DAYS:
        raise EffectError(f"fewer than {BLOCK_DAYS} computable days before or after")
    if count < 3:
        raise EffectError("fewer than three controls")
    units = np.column_stack([treated_wh, controls_wh * scales])
    sides = [_filled(units[side]) for side in (before, after)]
    change = sides[1].mean(axis=0) - sides[0].mean(axis=0)

    generator = np.random.Generator(np.random.Philox(seed))
    drawn = _draw_means(sides[1], draws, generator) - _draw_means(sides[0], draws, generator)
    differences, errors = np.empty(count + 1), np.empty(count + 1)
    for unit in range(count + 1):
        others = np.array([other for other in range(1, count + 1) if other != unit])
        differences[unit] = change[unit] - float(_middle(change[others]))
        picked = others[generator.integers(0, len(others), (draws, len(others)))]
        errors[unit] = np.std(drawn[:, unit] - _middle(np.take_along_axis(drawn, picked, axis=1)))
    if not errors[0] > 0:
        raise EffectError("nothing changes from day to day")
    ratios = np.abs(differences) / np.where(errors > 0, errors, np.inf)
    placebo = _spread(ratios[1:])
    days = int(after.sum())
    season = float(_middle(growth))
    recovered = -float(differences[0]) * days
    of_season = abs(recovered) * float(np.sqrt((SEASON * (season - 1)) ** 2 + np.var(growth) + COURSE**2))
    noise = float(errors[0]) * placebo * days
    sigma = float(np.hypot(noise, of_season))
    half = NORMAL * sigma
    rank = float((1 + np.sum(ratios[1:] >= ratios[0])) / (count + 1))
    return Effect(
        recovered_wh=recovered,
        low_wh=recovered - half,
        high_wh=recovered + half,
        sigma_wh=sigma,
        before_after_wh=-float(change[0]) * days,
        placebo_rank=rank,
        # With few controls the best rank there is is above the level.
        shown=abs(recovered) > half and rank <= max(1 - LEVEL, 1.5 / (count + 1)),
        days_before=int(before.sum()),
        days_after=days,
        controls=count,
        level=LEVEL,
    )


def _filled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    there = np.isfinite(values)
    if (there.mean(axis=0) < LEAST_SHARE).any():
        raise EffectError("a control lacks too many days")
    means = np.nansum(values, axis=0) / there.sum(axis=0)
    return np.where(there, values, means)


def _middle(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the middle along the last axis: where something begins or ends in a control doesn't count."""
    cut = int(TRIM * values.shape[-1])
    return np.asarray(np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut].mean(axis=-1), np.float64)


def _draw_means(side: NDArray[np.float64], draws: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Means over days drawn as blocks, of shape (draws, units): the same days of all units."""
    days = len(side)
    blocks = -(-days // BLOCK_DAYS)
    first = generator.integers(0, days, (draws, blocks))
    # Circular: each day is as likely as any other.
    index = (first[:, :, None] + np.arange(BLOCK_DAYS)).reshape(draws, -1)[:, :days] % days
    picked = np.zeros((draws, days))
    np.add.at(picked, (np.arange(draws)[:, None], index), 1.0 / days)
    return picked @ side


def _spread(ratios: NDArray[np.float64]) -> float:
    """How many of their standard errors placebos are off: standard deviation, with one that is far off cut short."""
    sigma = max(float(np.sqrt(np.mean(np.minimum(ratios, _FAR) ** 2))), 0.5)
    return sigma * float(np.sqrt(1 + 1 / len(ratios)))
