"""Customers that aren't households: each follows its profile in hours, days and quarter-hours of its own.

A profile is one series. Customers who all took it as it is would rise and fall together to the watt, which no two
shops do. Described in docs/explanation/twin-households.md.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from twin.household_model import hashed, key_of, normal
from twin.simbench import Profiles, profile_row

Floats = NDArray[np.float64]

_QUARTER_S, _DAY = 900, 96
#: Quarter-hours by which a customer is at most earlier or later than its profile, each as likely. An assumption.
_MOST_SHIFT = 4
# How SimBench's commercial and agricultural profiles differ from their own other weeks (`benchmarks.customer_spread`):
#: Standard deviation of the logarithm of a day's energy about the profile's, and what is left of it the day after.
_OF_DAY, _DAY_DECAY = 0.12, 0.55
#: The same of a quarter-hour's about the day's; of its variance the part that lasts, and what is left of that a
#: quarter-hour later.
_OF_QUARTER, _LASTING, _QUARTER_DECAY = 0.18, 0.75, 0.83
#: A series begins so many days, or quarter-hours, before it is wanted: what was earlier has gone.
_DAYS_BEFORE, _QUARTERS_BEFORE = 14, 64
#: Days over which the energy of days comes out as the profile's.
_BLOCK = 28


class Customers:
    """Customers by number; the same seed and number give the same values, whatever else is asked.

    Parameters
    ----------
    profiles
        Of consumption: none is negative.
    profile
        Column of `profiles` of each customer.
    number
        Of each customer, from 0 on.
    """

    def __init__(self, profiles: Profiles, profile: NDArray[np.int64], number: NDArray[np.int64], seed: int) -> None:
        self._profiles = profiles
        self._profile = profile
        self._number = number
        self._of_quarter, self._of_day = key_of(seed, "customer's quarter-hour"), key_of(seed, "customer's day")
        self._shift = np.asarray(_shifts(key_of(seed, "customer's hours"), number))
        self._days: dict[int, tuple[Floats, Floats]] = {}
        self._blocks: dict[int, Floats] = {}

    def shares(self, at_s: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Active and reactive power over the rated power, mean of the quarter-hours with these instants.

        Parameters
        ----------
        at_s
            int64 (times,): seconds since 1970 UTC.

        Returns
        -------
        active, reactive
            float64 (times, customers).
        """
        quarter = at_s // _QUARTER_S
        day = quarter // _DAY
        wanted = np.unique(day).tolist()
        # Steps follow each other, so the days of the last call are kept.
        self._days = {one: self._days.get(one) or self._day(one) for one in wanted}
        active, reactive = np.empty((2, len(at_s), len(self._number)))
        for one in wanted:
            at = day == one
            active[at], reactive[at] = (of[quarter[at] % _DAY] for of in self._days[one])
        return active, reactive

    def _day(self, day: int) -> tuple[Floats, Floats]:
        """Shares of the quarter-hours of a day since 1970 UTC, (96, customers)."""
        first = day * _DAY
        rows = [profile_row(first + i) for i in range(-_MOST_SHIFT, _DAY + _MOST_SHIFT)]
        at = np.arange(_DAY)[:, None] + _MOST_SHIFT - self._shift
        active, reactive = (of[rows][at, self._profile] for of in (self._profiles.active, self._profiles.reactive))
        noise = _noise(self._of_quarter, self._number, first, _DAY, _QUARTERS_BEFORE, _QUARTER_DECAY, _LASTING)
        factor = np.exp(_OF_QUARTER * noise)
        whole, own = active.sum(axis=0), (active * factor).sum(axis=0)
        factor *= np.divide(whole, own, out=np.ones_like(own), where=own > 0) * self._level(day)
        # Nobody takes more than the rated power, but who does by its profile.
        most = np.maximum(np.divide(1.0, active, out=np.ones_like(active), where=active > 0), 1.0)
        factor = np.minimum(factor, most)
        return active * factor, reactive * factor

    def _level(self, day: int) -> Floats:
        """Energy of a day over the profile's, (customers,): its mean is 1 over each block of days."""
        block, within = divmod(day, _BLOCK)
        if block not in self._blocks:
            noise = _noise(self._of_day, self._number, block * _BLOCK, _BLOCK, _DAYS_BEFORE, _DAY_DECAY, 1.0)
            level = np.exp(_OF_DAY * noise)
            self._blocks = {block: level / level.mean(axis=0)}
        return np.asarray(self._blocks[block][within])


@njit(cache=True, nogil=True)
def _shifts(key, number):  # type: ignore[no-untyped-def]
    """Quarter-hours by which each customer is later than its profile."""
    result = np.empty(len(number), np.int64)
    for j in range(len(number)):
        result[j] = np.int64(hashed(key, number[j], -1) >> np.uint64(33)) % (2 * _MOST_SHIFT + 1) - _MOST_SHIFT
    return result


@njit(cache=True, nogil=True)
def _noise(key, number, first, count, before, decay, lasting):  # type: ignore[no-untyped-def]
    """Standard normal series from `first` on, (count, customers): one of first order, and what is new each time.

    The former is begun so many places `before`, and has the part `lasting` of the variance.
    """
    result = np.empty((count, len(number)))
    value = np.empty(len(number))
    fresh, kept, new = np.sqrt(1.0 - decay**2), np.sqrt(lasting), np.sqrt(1.0 - lasting)
    new_key = key + np.uint64(1)
    for j in range(len(number)):
        value[j] = normal(key, number[j], first - before)
    for i in range(1 - before, count):
        for j in range(len(number)):
            value[j] = decay * value[j] + fresh * normal(key, number[j], first + i)
            if i >= 0:
                result[i, j] = kept * value[j] + new * normal(new_key, number[j], first + i)
    return result
