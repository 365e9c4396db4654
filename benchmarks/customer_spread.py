"""How much SimBench's commercial and agricultural profiles differ from their own other weeks: constants of the twin.

Each day of a profile is held against the median, quarter-hour by quarter-hour, of the same weekdays in the four weeks
before and after it. A day's level is the logarithm of its energy over that median's; a quarter-hour's is the logarithm
of its power over the median's, less the day's level. Spreads are those of the middle half, as those of a normal
distribution; days whose energy is off by more than a factor of 4.5, holidays mostly, are left out. Printed are the
medians over the profiles that customers at low voltage have in the demonstration grid (`twin.customers`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import Result, main, result
from twin.simbench import PROFILE_ROWS, data_folder, read_profiles

Floats = NDArray[np.float64]

PROFILES = ("G1-A", "G1-B", "G1-C", "G2-A", "G3-A", "G4-A", "G4-B", "G5-A", "G6-A", "L1-A", "L2-A")
_DAY, _WEEK_DAYS, _WEEKS, _FAR_OFF = 96, 7, 4, 1.5
#: Power under this part of the mean says nothing in a logarithm.
_LEAST = 0.02
_QUARTILES = 1.349


def measure() -> list[Result]:
    """Medians over the profiles."""
    profiles = read_profiles(data_folder(), list(PROFILES))
    spreads = np.array(
        [spread(profiles.active[:, i].reshape(PROFILE_ROWS // _DAY, _DAY)) for i in range(len(PROFILES))]
    )
    names = (
        "standard deviation of a day's level",
        "its correlation with the day before",
        "standard deviation of a quarter-hour's level",
        "its correlation with that a quarter-hour before",
        "the same an hour before",
        "the same four hours before",
    )
    return [result(name, float(value), "") for name, value in zip(names, np.median(spreads, axis=0), strict=True)]


def spread(power: Floats) -> list[float]:
    """Figures of one profile, as `measure` names them; power of shape (days, 96)."""
    days = np.arange(len(power))
    usual = np.empty_like(power)
    for day in days:
        apart = np.abs(days - day)
        like = (apart > 0) & (apart <= _WEEKS * _WEEK_DAYS) & (apart % _WEEK_DAYS == 0)
        usual[day] = np.median(power[like], axis=0)
    level = np.log(power.sum(axis=1) / usual.sum(axis=1))
    level[np.abs(level) > _FAR_OFF] = np.nan
    known = (np.minimum(power, usual) > _LEAST * power.mean()) & np.isfinite(level)[:, None]
    within = np.full(power.shape, np.nan)
    within[known] = (np.log(power, where=known, out=within.copy()) - np.log(usual, where=known, out=within.copy()))[
        known
    ]
    of_quarter = (within - level[:, None]).ravel()
    return [_deviation(level), _lag(level, 1), _deviation(of_quarter), *(_lag(of_quarter, by) for by in (1, 4, 16))]


def _deviation(values: Floats) -> float:
    low, high = np.nanpercentile(values, [25, 75])
    return float((high - low) / _QUARTILES)


def _lag(values: Floats, by: int) -> float:
    early, late = values[:-by], values[by:]
    both = np.isfinite(early) & np.isfinite(late)
    return float(np.corrcoef(early[both], late[both])[0, 1])


if __name__ == "__main__":
    main(measure, __doc__ or "")
