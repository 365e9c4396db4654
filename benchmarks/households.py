"""Households of the twin against real ones that were not used to make them.

The file's meters at even positions (13 of 25) are the ones to make households of; those at odd positions are held
out. The split was fixed before any of the figures was looked at. The stochastic model's constants come from the same
13. Half-hours of days 200 to 800 of the file, 500 households of each maker, nobody's home vacant.

Then each meter is held out in turn, and households are made of all the others: for the stochastic maker its constants
are derived anew (`benchmarks.household_fit`). That each is held out alone was fixed before any of the figures too.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.household_fit import MADE, Traits, autocorrelation, fit, traits
from benchmarks.report import Result, main, median_seconds, result, with_interval
from twin.household_model import Clock, StochasticHouseholds
from twin.households import FILE_LEAD_S, Households
from twin.steps import make_steps

_DAYS, _DAY_S, _HALF_HOURS = (200, 800), 86_400, 48
_MADE, _TOGETHER, _FEWEST = 500, 100, 4
_SEED, _SPLITS, _REMADE = 1, 1000, 20
#: Households of each maker for one that is held out; the middle share of them that it is looked for in.
_MADE_A_FOLD, _MIDDLE = 200, 0.8
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
        autocorrelation(power_w, 1),
        autocorrelation(power_w, _HALF_HOURS),
        (power_w == 0).sum(axis=0) / known.sum(axis=0),
    )


def _generated(households: Households, first_day: int, made: int = _MADE, number: int = 0) -> Figures:
    """Figures of made households over the days of the comparison, from a number on."""
    begin_s, half_hours = (first_day + _DAYS[0]) * _DAY_S, (_DAYS[1] - _DAYS[0]) * _HALF_HOURS
    steps = make_steps(begin_s, half_hours, 1800, 1)
    parts = [
        _figures(households.power_w(steps, number + np.arange(begin, min(begin + _TOGETHER, made))))
        for begin in range(0, made, _TOGETHER)
    ]
    return _together(parts)


def _together(parts: list[Figures]) -> Figures:
    return Figures(
        np.concatenate([p.hours_w for p in parts]),
        np.concatenate([p.lag for p in parts]),
        np.concatenate([p.daily for p in parts]),
        np.concatenate([p.zeros for p in parts]),
    )


def _differences(made: Figures, real: Figures) -> list[float]:
    """Of the profile by hour, largest and mean in per cent; of lag-1 and daily autocorrelation; of zeros in points."""
    return [abs(value) for value in _signed(made, real)]


def _signed(made: Figures, real: Figures) -> list[float]:
    """As `_differences`, above zero where those made have more; the profile's two have no sign."""
    apart = np.abs(made.profile / real.profile - 1) * 100
    return [
        float(apart.max()),
        float(apart.mean()),
        float(made.lag.mean() - real.lag.mean()),
        float(made.daily.mean() - real.daily.mean()),
        float(made.zeros.mean() - real.zeros.mean()) * 100,
    ]


_OTHERS = "the other real ones"
_NAMES = (
    ("profile, largest difference of an hour", "%", 10.0),
    ("profile, mean difference of hours", "%", 10.0),
    ("lag-1 autocorrelation, difference", "", 0.05),
    ("daily autocorrelation, difference", "", 0.05),
    ("share of zeros, difference", "points", 5.0),
)


def measure(path: Path, real: Figures, first_day: int) -> list[Result]:
    """Both makers against the held-out households, what real halves differ by, and the speed."""
    split = [*held_out(path, real, first_day), *_splits(real), *_remade(path, real, first_day)]
    made = made_of_the_others(path, real, first_day)
    return [*split, *each_held_out(made, real), *_speed(path)]


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
    energy_kwh, first_day = _read(path)
    if len(energy_kwh) < (_DAYS[1] - _DAYS[0]) * _HALF_HOURS:
        raise ValueError(f"{path} ends before its day {_DAYS[1]}: days {_DAYS[0]} to {_DAYS[1]} are compared")
    if energy_kwh.shape[1] < _FEWEST or np.isnan(energy_kwh).all(axis=0).any():
        raise ValueError(f"{path} needs {_FEWEST} meters, each with readings between days {_DAYS[0]} and {_DAYS[1]}")
    return _figures(energy_kwh * 2000), first_day


def _read(path: Path) -> tuple[NDArray[np.float64], int]:
    """Energy of the half-hours of the comparison in kWh, and the file's first day."""
    with np.load(path, allow_pickle=False) as file:
        first_day = int(file["t0"]) - np.datetime64(0, "D").item().toordinal()
        compared = file["X"][_DAYS[0] * _HALF_HOURS : _DAYS[1] * _HALF_HOURS]
    return np.asarray(compared, np.float64), first_day


def made_of_the_others(
    path: Path, real: Figures, first_day: int, made: int = _MADE_A_FOLD, shown: int = MADE
) -> dict[str, list[Figures]]:
    """By maker, for each of the file's meters: households made of all the others, and the others themselves.

    `shown` households are made a round to fit the stochastic maker's constants.
    """
    first = (first_day + _DAYS[0]) * _HALF_HOURS + _FILE_CLOCK.utc_offset_s // 1800
    seen = traits(_read(path)[0] * 2000, first)
    folds: dict[str, list[Figures]] = {"resampled": [], "stochastic": [], _OTHERS: []}
    for i in range(len(real.lag)):
        others = np.delete(np.arange(len(real.lag)), i)
        # Other numbers each time: the same households' luck would not even out.
        resampled = Households.resampled(path, _SEED, clock=_FILE_CLOCK, columns=list(others), vacant=0)
        folds["resampled"].append(_generated(resampled, first_day, made, i * made))
        folds["stochastic"].append(_generated(_fitted(seen.part(others), first, shown), first_day, made, i * made))
        folds[_OTHERS].append(real.part(others))
    return folds


def _fitted(seen: Traits, first: int, shown: int) -> Households:
    constants = fit(seen, first, (_DAYS[1] - _DAYS[0]) * _HALF_HOURS, shown)
    return Households(StochasticHouseholds(_SEED, _FILE_CLOCK, constants), _SEED, vacant=0)


def each_held_out(folds: dict[str, list[Figures]], real: Figures) -> list[Result]:
    """Of households made of the others: all folds together, what one fold differs by, and where real ones lie in it.

    All together, figures that are means over households can't differ for the other real ones: each is left out once.
    """
    held = [real.part(np.array([i])) for i in range(len(real.lag))]
    peer_all = _differences(_together(folds[_OTHERS]), real)
    peer_one = np.array([_signed(o, h) for o, h in zip(folds[_OTHERS], held, strict=True)])
    results = []
    for maker in ("resampled", "stochastic"):
        apart = _differences(_together(folds[maker]), real)
        results += [
            result(
                f"{maker}, each held out, together: {which}", value, unit, limit, _OTHERS, other, less_is_better=True
            )
            for (which, unit, limit), value, other in zip(_NAMES, apart, peer_all, strict=True)
        ]
    for maker in ("resampled", "stochastic"):
        one = np.array([_signed(m, h) for m, h in zip(folds[maker], held, strict=True)])
        for i, (which, unit, _) in enumerate(_NAMES):
            for how, of in (("mean size", _mean_size), ("sd", _spread)):
                value, other = of(one[:, i]), of(peer_one[:, i])
                results.append(
                    result(f"{maker}, each held out, one: {which}, {how}", value, unit, None, _OTHERS, other)
                )
    for maker in ("resampled", "stochastic"):
        for name in ("lag-1 autocorrelation", "daily autocorrelation", "energy"):
            share, other = (_within(folds[who], held, name) for who in (maker, _OTHERS))
            text = f"{maker}, each held out: in the middle {_MIDDLE:.0%} of those made, {name}"
            results.append(with_interval(result(text, share, "", None, _OTHERS, other), len(held)))
    return results


def _mean_size(differences: NDArray[np.float64]) -> float:
    return float(np.abs(differences).mean())


def _spread(differences: NDArray[np.float64]) -> float:
    return float(differences.std(ddof=1))


def _within(made: list[Figures], held: list[Figures], name: str) -> float:
    """Share of those held out that lie in the middle of those made without them."""

    def values(of: Figures) -> NDArray[np.float64]:
        by_name = {"lag-1 autocorrelation": of.lag, "daily autocorrelation": of.daily}
        return by_name.get(name, np.asarray(of.hours_w.mean(axis=1)))

    inside = 0
    for own, one in zip(made, held, strict=True):
        low, high = np.quantile(values(own), [(1 - _MIDDLE) / 2, (1 + _MIDDLE) / 2])
        inside += int(low <= values(one)[0] <= high)
    return inside / len(held)


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
