"""A household's half-hours out of nothing but numbers: position- and time-counted noise, and a stochastic model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numba import njit
from numpy.typing import NDArray

HALF_HOUR_S, DAY = 1800, 48
"""Length of the model's interval in seconds, and how many a day has."""
_DAYS_YEAR, _HALF_YEAR_DAYS = 365.2425, 182


@dataclass(frozen=True, slots=True)
class Clock:
    """How the time of a place relates to UTC.

    Attributes
    ----------
    utc_offset_s
        Local standard time less UTC, whole half-hours; there is no summer time.
    south
        Whether July is winter. Where it isn't, the seasons of the model, which come from Australia, are moved by
        182 days: 26 weeks.
    """

    utc_offset_s: int = 3600
    south: bool = False

    def __post_init__(self) -> None:
        """Check the offset."""
        if self.utc_offset_s % HALF_HOUR_S:
            raise ValueError(f"an offset of {self.utc_offset_s} s is not whole half-hours")

    def season_day(self, day: NDArray[np.int64]) -> NDArray[np.float64]:
        """Position in the model's year, 0 to under 365.2425 days from 1 January, of days since 1970."""
        return np.asarray((day + (0 if self.south else _HALF_YEAR_DAYS)) % _DAYS_YEAR, np.float64)


def key_of(seed: int, purpose: str) -> np.uint64:
    """Key of a stream of random numbers."""
    return np.uint64(int.from_bytes(blake2b(f"{seed}/households/{purpose}".encode(), digest_size=8).digest(), "little"))


@njit(cache=True, nogil=True)
def hashed(key, household, index):  # type: ignore[no-untyped-def]
    """64 random bits of a household at an index: the finaliser of SplitMix64 (Steele et al., 2014), twice."""
    bits = key + np.uint64(household) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits = (bits ^ (bits >> np.uint64(31))) + np.uint64(index) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@njit(cache=True, nogil=True)
def uniform(key, household, index):  # type: ignore[no-untyped-def]
    """A number of [0, 1)."""
    return np.float64(hashed(key, household, index) >> np.uint64(11)) * 2.0**-53


@njit(cache=True, nogil=True)
def normal(key, household, index):  # type: ignore[no-untyped-def]
    """Nearly standard normal: the sum of four uniform numbers of 16 bits each, so never beyond 3.47."""
    bits = hashed(key, household, index)
    low = np.uint64(0xFFFF)
    total = (bits & low) + ((bits >> np.uint64(16)) & low) + ((bits >> np.uint64(32)) & low) + (bits >> np.uint64(48))
    # The sum has a mean of 4 * 65535 / 2 and a variance of 4 * (65536² - 1) / 12.
    return (np.float64(total) - 131070.0) / 37837.22747


@njit(cache=True, nogil=True)
def uniforms(key, household, index):  # type: ignore[no-untyped-def]
    """`uniform` of many households at one index."""
    result = np.empty(len(household))
    for i in range(len(household)):
        result[i] = uniform(key, household[i], index)
    return result


@njit(cache=True, nogil=True)
def normals(key, household, index):  # type: ignore[no-untyped-def]
    """`normal` of many households at one index."""
    result = np.empty(len(household))
    for i in range(len(household)):
        result[i] = normal(key, household[i], index)
    return result


@dataclass(frozen=True, slots=True)
class Constants:
    """What the stochastic model was derived as from real households.

    Attributes
    ----------
    profile
        Mean power in each hour of local time over the mean of all, by quarter of the calendar year (the first is the
        summer's) and day: working day, weekend; shape (4, 2, 24).
    day_wh, day_spread
        Mean energy a day; standard deviation of its logarithm between households.
    waves, season_spread
        Standard deviations of the coefficients, one household's profile from the mean's: waves of 24, 12 and 8 hours
        in the logarithm; and of half the logarithm of winter over summer.
    sigma, sigma_slope, sigma_spread
        Standard deviation of the logarithm of power at one time of day: of a middling household, its change with the
        logarithm of energy (small ones vary more), and the deviation that this leaves.
    slow, fast, decay
        Shares of that variance which last for weeks and for hours; the latter's decay a half-hour. What is left of it
        is new each half-hour.
    zero_households, zero_share, away
        Share of households that read zero at times; the largest share of time, of which most have little: the square
        of an even number in 0 to 1; of those households, the share that is away for weeks on end.
    """

    profile: NDArray[np.float64]
    day_wh: float
    day_spread: float
    waves: tuple[float, float, float]
    season_spread: float
    sigma: float
    sigma_slope: float
    sigma_spread: float
    slow: float
    fast: float
    decay: float
    zero_households: float
    zero_share: float
    away: float


#: Derived from 13 households of the Smart Grid Smart City trial (those at even positions of the file of 25) as
#: docs/explanation/twin-households.md says; of the other 12 none was used.
# fmt: off
OF_THE_TRIAL = Constants(
  profile=np.array([
    [[84, 73, 65, 59, 60, 63, 74, 88,108, 96, 88, 84, 87, 87, 83, 81, 87, 91, 94,100,114,112,108, 98],
     [88, 74, 68, 62, 61, 60, 69, 75,100,118,105, 96, 95, 97, 98,100,102, 97,100,103, 97, 99, 98, 98]],
    [[88, 72, 57, 53, 51, 52, 65,102,115,109, 99, 94, 92, 92, 86, 92, 94, 99,111,123,132,124,111,105],
     [83, 74, 67, 59, 55, 62, 72, 88,115,124,115,106,102,109,112,108,102,110,110,122,106,105,106,105]],
    [[137,119, 95, 82, 78, 81, 90,109,142,156,139,135,122,125,126,118,112,124,141,170,165,162,159,152],
     [122,112,100, 88, 79, 85, 90, 97,110,127,150,164,161,150,150,135,137,127,154,175,163,149,135,130]],
    [[89, 75, 71, 67, 61, 64, 82,105,125,123,103, 89, 83, 84, 79, 76, 71, 78, 88,107,119,123,111, 98],
     [87, 79, 76, 65, 66, 73, 77, 93,101,111,118,111,115,112,115,105, 94, 90, 90,103,101,103,101, 85]],
  ]) / 100,
  day_wh=14_550.0, day_spread=0.76,
  waves=(0.25, 0.16, 0.11), season_spread=0.16,
  sigma=0.94, sigma_slope=-0.23, sigma_spread=0.23,
  slow=0.17, fast=0.56, decay=0.80,
  zero_households=7 / 13, zero_share=0.37, away=0.6,
)
# fmt: on
#: Bounds of a household's energy in standard deviations of its logarithm, and of its sigma.
_DAY_BOUNDS, _SIGMA_BOUNDS = (-2.5, 2.0), (0.35, 1.5)
#: The logarithm exceeds its mean by at most so many standard deviations.
_HIGHEST = 3.0
#: Nor does power exceed what the connection carries.
_MOST_W = 15_000.0
#: Half-hours between the knots of what lasts for weeks, and reach of what lasts for hours.
_KNOT, _REACH = 10 * DAY, 16
#: Lengths of spells of zeros in half-hours, of those who are away for weeks and of the others.
_AWAY_SPELL, _SHORT_SPELL = (20 * DAY, 60 * DAY), (1, 24)


def level(
    first: int, count: int, clock: Clock, profile: NDArray[np.float64] = OF_THE_TRIAL.profile
) -> NDArray[np.float64]:
    """Mean power of all households over their mean of the year, in `count` half-hours of local time.

    Parameters
    ----------
    first
        Half-hours since 1970, local standard time.
    """
    hours = np.arange(DAY) / 2 - 0.25
    before = np.floor(hours).astype(np.int64)
    after_share = hours - before
    by_slot = profile[..., before % 24] * (1 - after_share) + profile[..., (before + 1) % 24] * after_share
    at = np.arange(first, first + count)
    day, slot = at // DAY, at % DAY
    weekend = ((day + 3) % 7 >= 5).astype(np.int64)
    # A quarter's profile holds at its middle; between two middles the share moves in a line.
    quarter = clock.season_day(day) / (_DAYS_YEAR / 4) - 0.5
    early = np.floor(quarter).astype(np.int64)
    late_share = quarter - early
    result: NDArray[np.float64] = (
        by_slot[early % 4, weekend, slot] * (1 - late_share) + by_slot[(early + 1) % 4, weekend, slot] * late_share
    )
    return result


def day_waves() -> NDArray[np.float64]:
    """Cosine and sine of 24, 12 and 8 hours in the middles of a day's half-hours; shape (6, DAY)."""
    angle = 2 * np.pi * (np.arange(DAY) + 0.5) / DAY
    return np.array([wave(k * angle) for k in (1, 2, 3) for wave in (np.cos, np.sin)])


class StochasticHouseholds:
    """Half-hours of any number of households from the model's constants alone."""

    def __init__(self, seed: int, clock: Clock, constants: Constants = OF_THE_TRIAL) -> None:
        self._clock = clock
        self._constants = constants
        self._key = key_of(seed, "stochastic")

    def half_hours(self, first: int, count: int, household: NDArray[np.int64]) -> NDArray[np.float64]:
        """Mean power in W; shape (count, households), from half-hour `first` since 1970 UTC on."""
        local = first + self._clock.utc_offset_s // HALF_HOUR_S
        season = np.cos(2 * np.pi * (self._clock.season_day(np.arange(local, local + count) // DAY) - 196) / _DAYS_YEAR)
        slot = np.arange(local, local + count) % DAY
        own = self._constants
        mean = level(local, count, self._clock, own.profile)
        shares = np.array([own.slow, own.fast, own.decay])
        spreads = np.array([*own.waves, own.season_spread])
        result: NDArray[np.float64] = _half_hours(
            self._key, local, household, mean, season, slot, day_waves(), shares, spreads, *self._traits(household)
        )
        return result

    def _traits(self, household: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
        """Of each household: mean power in W, sigma, season, share of zeros, length of spells; waves (…, 6)."""
        key = key_of(0, "traits") ^ self._key

        def draw(index: int) -> NDArray[np.float64]:
            return np.asarray(normals(key, household, index))

        def choose(index: int) -> NDArray[np.float64]:
            return np.asarray(uniforms(key, household, index))

        own = self._constants
        size = own.day_spread * np.clip(draw(0), *_DAY_BOUNDS)
        mean_w = own.day_wh / 24 * np.exp(size - own.day_spread**2 / 2)
        sigma = np.clip(own.sigma + own.sigma_slope * size + own.sigma_spread * draw(1), *_SIGMA_BOUNDS)
        season = own.season_spread * draw(2)
        zeros = np.where(choose(3) < own.zero_households, own.zero_share * choose(4) ** 2, 0.0)
        away = choose(5) < own.away
        shortest = np.where(away, _AWAY_SPELL[0], _SHORT_SPELL[0])
        longest = np.where(away, _AWAY_SPELL[1], _SHORT_SPELL[1])
        spell = shortest + np.floor((longest - shortest + 1) * choose(6))
        waves = np.stack([own.waves[i // 2] * draw(7 + i) for i in range(6)], axis=1)
        return mean_w, sigma, season, zeros, spell, waves


@njit(cache=True, nogil=True)
def _half_hours(  # type: ignore[no-untyped-def]  # numba infers; one pass
    key, first, household, level, season, slot, wave, shares, spreads, mean_w, sigma, seasonal, zeros, spell, waves
):
    slow, fast, decay = shares
    season_spread = spreads[3]
    count = len(level)
    result = np.zeros((count, len(household)))
    fast_key, slow_key, white_key, zero_key = (
        key + np.uint64(1),
        key + np.uint64(2),
        key + np.uint64(3),
        key + np.uint64(4),
    )
    weight = np.empty(_REACH)
    squares = 0.0
    for k in range(_REACH):
        weight[k] = decay**k
        squares += weight[k] ** 2
    for k in range(_REACH):
        weight[k] *= math.sqrt(fast / squares)
    slow_share, white_share = math.sqrt(slow), math.sqrt(1 - slow - fast)
    wave_variance = np.sum(spreads[:3] ** 2)
    noise = np.empty(count + _REACH)
    shape = np.empty(DAY)
    for j in range(len(household)):
        number, spread = household[j], sigma[j]
        for i in range(count + _REACH):
            noise[i] = normal(fast_key, number, first + i - _REACH)
        for s in range(DAY):
            deviation = 0.0
            for k in range(6):
                deviation += waves[j, k] * wave[k, s]
            shape[s] = mean_w[j] / (1 - zeros[j]) * math.exp(deviation - (wave_variance + spread**2) / 2)
        # Households begin their spells and knots at different times.
        phase = np.int64(hashed(slow_key, number, -1) >> np.uint64(40))
        length = np.int64(spell[j])
        last_spell, last_knot, silent = np.int64(-1), np.int64(-1), False
        before = after = 0.0
        for i in range(count):
            at = first + i + phase
            if zeros[j] > 0 and at // length != last_spell:
                last_spell = at // length
                silent = uniform(zero_key, number, last_spell) < zeros[j]
            if zeros[j] > 0 and silent:
                continue
            if at // _KNOT != last_knot:
                last_knot = at // _KNOT
                before, after = normal(slow_key, number, last_knot), normal(slow_key, number, last_knot + 1)
            share = (at - last_knot * _KNOT) / _KNOT
            total = slow_share * (before * (1 - share) + after * share) / math.sqrt((1 - share) ** 2 + share**2)
            total += white_share * normal(white_key, number, first + i)
            for k in range(_REACH):
                total += weight[k] * noise[i + _REACH - k]
            of_season = seasonal[j] * season[i] - (season_spread * season[i]) ** 2 / 2
            power = shape[slot[i]] * level[i] * math.exp(spread * min(total, _HIGHEST) + of_season)
            result[i, j] = min(power, _MOST_W)
    return result
