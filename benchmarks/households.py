"""Households of the twin against real ones that were not used to make them.

The file's meters at even positions (13 of 25) are the ones to make households of; those at odd positions are held
out. The split was fixed before any of the figures was looked at. The stochastic model's constants come from the same
13. Half-hours of days 200 to 800 of the file, 500 households of each maker, nobody's home vacant.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import Result, main, median_seconds, result
from twin.household_model import Clock
from twin.households import FILE_LEAD_S, Households
from twin.steps import make_steps

_DAYS, _DAY_S, _HALF_HOURS = (200, 800), 86_400, 48
_MADE, _TOGETHER, _FEWEST = 500, 100, 4
_SEED, _SPLITS, _REMADE = 1, 1000, 20
#: The file's own clock, read as if it were UTC.
_FILE_CLOCK = Clock(-FILE_LEAD_S, south=True)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of each household: mean by hour of day in W (households, 24), autocorrelations, zeros and energy a day."""

    hours_w: NDArray[np.float64]
    lag: NDArray[np.float64]
    daily: NDArray[np.float64]
    zeros: NDArray[np.float64]

    def part(self, at: NDArray[np.int64]) -> Figures:
        """Those of some households."""
        return Figures(self.hours_w[at], self.lag[at], self.daily[at], self.zeros[at])

    @property
    def profile(self) -> NDArray[np.float64]:
        """Mean daily profile of all households together, over its mean."""
        mean = self.hours_w.mean(axis=0)
        return np.asarray(mean / mean.mean())

    @property
    def energy_spread(self) -> float:
        """Standard deviation of the logarithm of energy between households."""
        return float(np.std(np.log(self.hours_w.mean(axis=1)), ddof=1))


def _figures(power_w: NDArray[np.float64]) -> Figures:
    """Figures of (half-hours, households), from midnight on; NaN where missing."""
    by_hour = np.nanmean(power_w.reshape(-1, 24, 2, power_w.shape[1]), axis=(0, 2))
    known = ~np.isnan(power_w)
    return Figures(
        by_hour.T,
        _autocorrelation(power_w, 1),
        _autocorrelation(power_w, _HALF_HOURS),
        (power_w == 0).sum(axis=0) / known.sum(axis=0),
    )


def _autocorrelation(series: NDArray[np.float64], lag: int) -> NDArray[np.float64]:
    """Correlation of each column with itself `lag` rows later, over the rows where both are there."""
    early, late = series[:-lag], series[lag:]
    both = ~(np.isnan(early) | np.isnan(late))
    early, late = np.where(both, early, np.nan), np.where(both, late, np.nan)
    early, late = early - np.nanmean(early, axis=0), late - np.nanmean(late, axis=0)
    spread = np.sqrt(np.nansum(early**2, axis=0) * np.nansum(late**2, axis=0))
    return np.asarray(np.nansum(early * late, axis=0) / spread)


def _generated(households: Households, first_day: int, made: int = _MADE) -> Figures:
    """Figures of made households over the days of the comparison."""
    begin_s, half_hours = (first_day + _DAYS[0]) * _DAY_S, (_DAYS[1] - _DAYS[0]) * _HALF_HOURS
    steps = make_steps(begin_s, half_hours, 1800, 1)
    parts = [
        _figures(households.power_w(steps, np.arange(begin, min(begin + _TOGETHER, made))))
        for begin in range(0, made, _TOGETHER)
    ]
    return Figures(
        np.concatenate([p.hours_w for p in parts]),
        np.concatenate([p.lag for p in parts]),
        np.concatenate([p.daily for p in parts]),
        np.concatenate([p.zeros for p in parts]),
    )


def _differences(made: Figures, real: Figures) -> list[float]:
    """Of the profile by hour, largest and mean in per cent; of lag-1 and daily autocorrelation; of zeros in points."""
    apart = np.abs(made.profile / real.profile - 1) * 100
    return [
        float(apart.max()),
        float(apart.mean()),
        abs(float(made.lag.mean() - real.lag.mean())),
        abs(float(made.daily.mean() - real.daily.mean())),
        abs(float(made.zeros.mean() - real.zeros.mean())) * 100,
    ]


_NAMES = (
    ("profile, largest difference of an hour", "%", 10.0),
    ("profile, mean difference of hours", "%", 10.0),
    ("lag-1 autocorrelation, difference", "", 0.05),
    ("daily autocorrelation, difference", "", 0.05),
    ("share of zeros, difference", "points", 5.0),
)


def measure(path: Path, real: Figures, first_day: int) -> list[Result]:
    """Both makers against the held-out households, what real halves differ by, and the speed."""
    return [*held_out(path, real, first_day), *_splits(real), *_remade(path, real, first_day), *_speed(path)]


def held_out(path: Path, real: Figures, first_day: int, made: int = _MADE) -> list[Result]:
    """So many households of each maker, of the file's meters at even positions or of no file, against those at odd."""
    used, held = np.arange(0, len(real.lag), 2), np.arange(1, len(real.lag), 2)
    natural = _differences(real.part(used), real.part(held))
    shown = {
        name: _generated(households, first_day, made)
        for name, households in {
            "resampled": Households.resampled(path, _SEED, clock=_FILE_CLOCK, columns=list(used), vacant=0),
            "stochastic": Households.stochastic(_SEED, clock=_FILE_CLOCK, vacant=0),
        }.items()
    }
    results = [
        result(f"{name}: {which}", value, unit, limit, "the real halves", other, less_is_better=True)
        for name, figures in shown.items()
        for (which, unit, limit), value, other in zip(
            _NAMES, _differences(figures, real.part(held)), natural, strict=True
        )
    ]
    results += [
        result(f"{name} against the half it is made of: {which}", value, unit)
        for name, figures in shown.items()
        for (which, unit, _), value in zip(_NAMES, _differences(figures, real.part(used)), strict=True)
    ]
    for name, figures in {"used half": real.part(used), "held-out half": real.part(held), **shown}.items():
        results += [
            result(f"{name}: lag-1 autocorrelation", float(figures.lag.mean()), ""),
            result(f"{name}: daily autocorrelation", float(figures.daily.mean()), ""),
            result(f"{name}: share of zeros", float(figures.zeros.mean()) * 100, "%"),
            result(f"{name}: spread of energy (sd of ln)", figures.energy_spread, ""),
        ]
    return results


def read_real(path: Path) -> tuple[Figures, int]:
    """Figures of the file's meters over the days of the comparison, and the file's first day since 1970.

    Raises
    ------
    ValueError
        When the file has fewer days or fewer than four meters, or one of them has no reading there.
    """
    with np.load(path, allow_pickle=False) as file:
        first_day = int(file["t0"]) - np.datetime64(0, "D").item().toordinal()
        energy_kwh = file["X"][_DAYS[0] * _HALF_HOURS : _DAYS[1] * _HALF_HOURS].astype(np.float64)
    if len(energy_kwh) < (_DAYS[1] - _DAYS[0]) * _HALF_HOURS:
        raise ValueError(f"{path} ends before its day {_DAYS[1]}: days {_DAYS[0]} to {_DAYS[1]} are compared")
    if energy_kwh.shape[1] < _FEWEST or np.isnan(energy_kwh).all(axis=0).any():
        raise ValueError(f"{path} needs {_FEWEST} meters, each with readings between days {_DAYS[0]} and {_DAYS[1]}")
    return _figures(energy_kwh * 2000), first_day


def _splits(real: Figures) -> list[Result]:
    """What two random halves of the real households differ by: the median and the 90th percentile of many splits."""
    random, meters = np.random.default_rng(_SEED), len(real.lag)
    drawn = []
    for _ in range(_SPLITS):
        order = random.permutation(meters)
        drawn.append(_differences(real.part(order[: (meters + 1) // 2]), real.part(order[(meters + 1) // 2 :])))
    middle, high = np.quantile(drawn, [0.5, 0.9], axis=0)
    return [
        result(f"random halves, {share}: {which[0]}", float(values[i]), which[1])
        for share, values in (("median", middle), ("90 %", high))
        for i, which in enumerate(_NAMES)
    ]


def _remade(path: Path, real: Figures, first_day: int) -> list[Result]:
    """What the resampling maker differs by on random splits, each made of one half and held against the other."""
    random, meters = np.random.default_rng(_SEED), len(real.lag)
    drawn = []
    for _ in range(_REMADE):
        order = random.permutation(meters)
        used, held = np.sort(order[: (meters + 1) // 2]), order[(meters + 1) // 2 :]
        households = Households.resampled(path, _SEED, clock=_FILE_CLOCK, columns=list(used), vacant=0)
        made = _generated(households, first_day)
        drawn.append([*_differences(made, real.part(held)), *_differences(made, real.part(used))])
    middle = np.median(drawn, axis=0)
    return [
        result(f"resampled anew against {whom}, median: {which[0]}", float(middle[i + at]), which[1])
        for at, whom in ((0, "the other half"), (len(_NAMES), "its own half"))
        for i, which in enumerate(_NAMES)
    ]


def _speed(path: Path) -> list[Result]:
    """Seconds for a day of 288 steps of the city's customers."""
    steps, city = make_steps(1_699_999_200, 96), np.arange(32_511)
    results = []
    for name, households in {
        "resampled": Households.resampled(path, _SEED),
        "stochastic": Households.stochastic(_SEED),
    }.items():
        seconds = median_seconds(partial(households.power_w, steps, city))
        results.append(result(f"{name}: a day of 32,511 households", seconds, "s", 1.5, less_is_better=True))
    return results


def _main() -> None:
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--data", type=Path, metavar="FILE.npz", required=True)
    description = f"{__doc__}\n--data FILE.npz: half-hours of real households."
    if {"-h", "--help"} & set(sys.argv):
        main(list, description)
    known, sys.argv[1:] = own.parse_known_args()
    try:
        real, first_day = read_real(known.data)
    except (OSError, ValueError, KeyError) as error:
        own.error(f"--data: {error}")
    main(partial(measure, known.data, real, first_day), description)


if __name__ == "__main__":
    _main()
