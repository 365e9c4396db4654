"""Constants of the twin's stochastic households, derived from real series.

What a figure tells directly is taken as it is. The others (how much lasts for how long, zeros, spreads that the luck of
weeks is part of) are moved until as many made households show the same figures over the same half-hours.

Notes
-----
Simulated moments: Gourieroux, Monfort and Renault, "Indirect inference", J. Appl. Econometrics 8 (1993).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from twin.household_model import DAY, OF_THE_TRIAL, Clock, Constants, StochasticHouseholds, day_waves

_QUARTER_DAYS = 365.2425 / 4
#: Households that are made a round, so many together, and rounds. Their numbers are none that a comparison uses.
MADE, _TOGETHER, _ROUNDS, _FIRST_NUMBER = 300, 100, 4, 1_000_000
#: A value read over a quarter, or over an hour, in a line between middles: its own weight and each neighbour's.
_OWN, _NEIGHBOUR = 0.75, 0.125
#: A spread is moved by at most such a factor a round.
_MOST = 2.0
#: Nobody is made to read zero nearly always: what is left would have to carry all of the energy.
_MOST_ZEROS = 0.95


@dataclass(frozen=True, slots=True)
class Traits:
    """Of each household; NaN where its readings don't tell.

    Attributes
    ----------
    cells_w
        Mean power by quarter, working day or weekend, and hour: (households, 4, 2, 24).
    mean_w, zeros
        Mean power, and the share of half-hours that are zero.
    away
        Whether most of its zeros are in runs of more than a day.
    waves
        Fourier coefficients of the logarithm of its profile, waves of 24, 12 and 8 hours: (households, 6).
    season
        Half the logarithm of winter's over summer's power.
    sigma
        Standard deviation of the logarithm of power at one time of day, without zeros.
    lag, daily
        Autocorrelation of power after a half-hour and after a day.
    lasting
        That of the logarithm of power over its mean at that time of day, after 1, 4 and 48 half-hours: (households, 3).
    """

    cells_w: NDArray[np.float64]
    mean_w: NDArray[np.float64]
    zeros: NDArray[np.float64]
    away: NDArray[np.float64]
    waves: NDArray[np.float64]
    season: NDArray[np.float64]
    sigma: NDArray[np.float64]
    lag: NDArray[np.float64]
    daily: NDArray[np.float64]
    lasting: NDArray[np.float64]

    def part(self, at: NDArray[np.int64]) -> Traits:
        """Those of some households."""
        return Traits(**{field.name: getattr(self, field.name)[at] for field in fields(self)})


def autocorrelation(series: NDArray[np.float64], lag: int) -> NDArray[np.float64]:
    """Correlation of each column with itself `lag` rows later, over the rows where both are there."""
    early, late = series[:-lag], series[lag:]
    both = ~(np.isnan(early) | np.isnan(late))
    early, late = np.where(both, early, np.nan), np.where(both, late, np.nan)
    early, late = early - np.nanmean(early, axis=0), late - np.nanmean(late, axis=0)
    spread = np.sqrt(np.nansum(early**2, axis=0) * np.nansum(late**2, axis=0))
    return np.asarray(np.nansum(early * late, axis=0) / spread)


def traits(power_w: NDArray[np.float64], first: int) -> Traits:
    """Of half-hours (whole days, households), NaN where missing, from half-hour `first` since 1970, local time.

    The year is Australia's, as the model's is.
    """
    local = np.arange(first, first + len(power_w))
    day, hour = local // DAY, local % DAY // 2
    quarter = (Clock(south=True).season_day(day) / _QUARTER_DAYS).astype(np.int64)
    cell = (quarter * 2 + ((day + 3) % 7 >= 5)) * 24 + hour
    cells_w = _means(power_w, cell, 192).reshape(4, 2, 24, -1)
    zeros = (power_w == 0).sum(axis=0) / (~np.isnan(power_w)).sum(axis=0)
    awake = np.where(power_w > 0, power_w, np.nan)
    by_slot = awake.reshape(-1, DAY, power_w.shape[1])
    cv_square = np.nanmean(np.nanvar(by_slot, axis=0) / np.nanmean(by_slot, axis=0) ** 2, axis=0)
    logarithm = np.log(by_slot)
    logarithm = (logarithm - np.nanmean(logarithm, axis=0)).reshape(power_w.shape)
    of_quarter = cells_w.mean(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        season = np.log(of_quarter[2] / of_quarter[0]) / 2
    return Traits(
        np.moveaxis(cells_w, -1, 0),
        np.nanmean(power_w, axis=0),
        zeros,
        np.array([_is_away(power_w[:, i] == 0) for i in range(power_w.shape[1])], np.float64),
        _waves(_means(power_w, local % DAY, DAY)),
        np.where(np.isfinite(season), season, np.nan),
        np.sqrt(np.log1p(cv_square)),
        autocorrelation(power_w, 1),
        autocorrelation(power_w, DAY),
        np.stack([autocorrelation(logarithm, lag) for lag in (1, 4, DAY)], axis=1),
    )


def _means(power_w: NDArray[np.float64], group: NDArray[np.int64], groups: int) -> NDArray[np.float64]:
    """Mean of the rows of each group that are there; NaN where none is. Shape (groups, households)."""
    result = np.full((groups, power_w.shape[1]), np.nan)
    for number in range(groups):
        rows = power_w[group == number]
        known = ~np.isnan(rows)
        total, count = np.where(known, rows, 0).sum(axis=0), known.sum(axis=0)
        result[number] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return result


def _waves(by_slot: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.log(by_slot).T @ day_waves().T * 2 / DAY)


def _is_away(zero: NDArray[np.bool_]) -> bool:
    edges = np.diff(np.concatenate([[0], zero.astype(np.int8), [0]]))
    lengths = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
    return bool(2 * lengths[lengths > DAY].sum() > lengths.sum())


def figures(of: Traits) -> Constants:
    """What the households show for each constant; autocorrelations of power stand for the shares that last."""
    size = np.log(of.mean_w) - np.log(of.mean_w).mean()
    slope = float(size @ of.sigma / (size @ size))
    left = of.sigma - of.sigma.mean() - slope * size
    wave = of.waves.std(axis=0, ddof=1).reshape(3, 2)
    after = of.lasting.mean(axis=0)
    some = of.zeros > 0
    return Constants(
        profile=_profile(of),
        day_wh=float(of.mean_w.mean()) * 24,
        day_spread=float(np.log(of.mean_w).std(ddof=1)),
        waves=(_middle(wave[0]), _middle(wave[1]), _middle(wave[2])),
        season_spread=float(np.nanstd(of.season, ddof=1)),
        sigma=float(of.sigma.mean()),
        sigma_slope=slope,
        sigma_spread=float(np.sqrt((left**2).sum() / (len(left) - 2))),
        slow=float(of.daily.mean()),
        fast=float(of.lag.mean()),
        decay=float(np.clip((after[1] - after[2]) / (after[0] - after[2]), 0.01, 0.99) ** (1 / 3)),
        zero_households=float(some.mean()),
        # The square of an even number in 0 to 1 is a third in the mean.
        zero_share=3 * float(of.zeros[some].mean()) if some.any() else 0.0,
        away=float(of.away[some].mean()) if some.any() else 0.0,
    )


def _middle(pair: NDArray[np.float64]) -> float:
    return float(np.sqrt((pair**2).mean()))


def _profile(of: Traits) -> NDArray[np.float64]:
    """The values in the middles of hours and quarters, between which a line has the means that were seen."""
    there = ~np.isnan(of.cells_w)
    expected = np.where(there, of.mean_w[:, None, None, None], 0).sum(axis=0)
    seen = np.where(there, of.cells_w, 0).sum(axis=0) / expected
    for axis in (0, 2):
        lines = _OWN * np.eye(seen.shape[axis])
        lines += _NEIGHBOUR * (np.roll(np.eye(len(lines)), 1, axis=0) + np.roll(np.eye(len(lines)), -1, axis=0))
        seen = np.moveaxis(np.tensordot(np.linalg.inv(lines), seen, axes=(1, axis)), 0, axis)
    profile = np.maximum(seen, 0.01)
    return np.asarray(profile / (profile.mean(axis=(0, 2)) @ [5 / 7, 2 / 7]))


def fit(real: Traits, first: int, half_hours: int, made: int = MADE, rounds: int = _ROUNDS) -> Constants:
    """The model's constants of real households.

    Parameters
    ----------
    real
        Of at least four households, over `half_hours` (whole days) from `first` on.
    made, rounds
        Households that are made a round to see what the constants so far show, and rounds.
    """
    wanted = figures(real)
    zero_share = min(wanted.zero_share, _MOST_ZEROS)
    constants = replace(wanted, slow=OF_THE_TRIAL.slow, fast=OF_THE_TRIAL.fast, zero_share=zero_share)
    for _ in range(rounds):
        constants = _moved(constants, wanted, figures(_shown(constants, first, half_hours, made)))
    return constants


def _shown(constants: Constants, first: int, half_hours: int, made: int) -> Traits:
    source = StochasticHouseholds(0, Clock(0, south=True), constants)
    parts = []
    for begin in range(0, made, _TOGETHER):
        numbers = _FIRST_NUMBER + np.arange(begin, min(begin + _TOGETHER, made))
        parts.append(traits(source.half_hours(first, half_hours, numbers), first))
    return Traits(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Traits)))


def _moved(own: Constants, wanted: Constants, shown: Constants) -> Constants:
    """Constants a step nearer to those that show what is wanted."""

    def spread(value: float, want: float, show: float) -> float:
        return value * float(np.clip(want / show, 1 / _MOST, _MOST)) if show > 0 else want

    def share(value: float, want: float, show: float, most: float = 1.0) -> float:
        return float(np.clip(value + want - show, 0, most))

    slow = share(own.slow, wanted.slow, shown.slow, 0.9)
    return replace(
        own,
        season_spread=spread(own.season_spread, wanted.season_spread, shown.season_spread),
        sigma=spread(own.sigma, wanted.sigma, shown.sigma),
        sigma_slope=own.sigma_slope + wanted.sigma_slope - shown.sigma_slope,
        sigma_spread=spread(own.sigma_spread, wanted.sigma_spread, shown.sigma_spread),
        slow=slow,
        # What the next half-hour keeps moves by less than half of what the share is moved by.
        fast=float(np.clip(own.fast + 2 * (wanted.fast - shown.fast), 0, 0.99 - slow)),
        decay=share(own.decay, wanted.decay, shown.decay, 0.98),
        zero_households=share(own.zero_households, wanted.zero_households, shown.zero_households),
        zero_share=min(spread(own.zero_share, wanted.zero_share, shown.zero_share), _MOST_ZEROS),
        away=share(own.away, wanted.away, shown.away),
    )
