"""What an estimate of missing energies rests on, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Bits of a value's method. 0: the value was there and is untouched.
HISTORY = 1  #: from same-slot history and the values beside the gap
INTERPOLATED = 2  #: too little history: straight line between the values beside the gap
REGISTER = 4  #: brought to the difference of two registers
CONTRADICTED = 8  #: the register's difference is below the intervals that are there, so it was not used
UNKNOWN = 16  #: nothing to estimate from; the value is still missing


@dataclass(frozen=True, slots=True)
class Model:
    """What the estimate rests on; the defaults are explained in docs/explanation/estimation.md.

    Attributes
    ----------
    days
        How many days before (and, offline, after) a value its history reaches.
    memory_days
        A day that lies so much farther counts 1/e of a nearer one.
    other_day_type
        Weight of a day of another type, 0…1.
    beside
        Weight of the slots next to the same slot, 0…1.
    neighbours
        How many known values on either side of a gap say how high the missing ones lie.
    fast, slow
        Shares of a value's rank in its slot's distribution that last for `fast_hours` and `slow_hours`; the rest
        lasts for one interval.
    common_pairs
        These shares are scaled to the meter's own correlation at the ends of the gap; the common one counts there as
        so many pairs of values.
    error_fast, error_slow
        The shares of an estimate's error that last so long.
    """

    days: int = 28
    memory_days: float = 12.0
    other_day_type: float = 0.5
    beside: float = 0.5
    neighbours: int = 4
    fast: float = 0.6
    slow: float = 0.25
    common_pairs: float = 16.0
    fast_hours: float = 1.5
    slow_hours: float = 25.0
    error_fast: float = 0.4
    error_slow: float = 0.08

    def __post_init__(self) -> None:
        shares = (self.other_day_type, self.beside, self.fast, self.slow, self.error_fast, self.error_slow)
        if self.days < 1 or not 1 <= self.neighbours <= 48 or not all(0.0 <= share <= 1.0 for share in shares):
            raise ValueError("days must be at least 1, neighbours 1 to 48, and every weight and share lie in 0…1")
        if not (self.fast + self.slow < 1.0 and self.error_fast + self.error_slow <= 1.0):
            raise ValueError("fast and slow shares must leave something (the errors' at least 0)")
        if not self.common_pairs >= 0.0:
            raise ValueError("common_pairs must not be below 0")
        if not min(self.memory_days, self.fast_hours, self.slow_hours) > 0.0:
            raise ValueError("memory_days, fast_hours and slow_hours must be above 0")

    def decay(self, interval_minutes: float) -> NDArray[np.float64]:
        """What is left of the fast and the slow share after one interval; shape (2,)."""
        return np.exp(-interval_minutes / 60.0 / np.array([self.fast_hours, self.slow_hours]))

    def errors(self, interval_minutes: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Shares of an estimate's error, and what is left of each after one interval; both of shape (2,)."""
        return np.array([self.error_fast, self.error_slow]), self.decay(interval_minutes)


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """Result of `estimate_missing`; all arrays have shape (meters, intervals).

    Attributes
    ----------
    energy_wh
        int64, as given where it was there, estimated where it was missing; `MISSING_WH` where method is UNKNOWN.
    method
        uint8, bits HISTORY, INTERPOLATED, REGISTER, CONTRADICTED, UNKNOWN; 0 = measured.
    variance_wh2
        float64. Expected square of the estimate's error; 0 where measured, NaN where UNKNOWN.
    free_sigma_wh
        float64. Standard deviation as it would be without the register; what `sum_variance` starts from.
    span
        int64. Number of the values that share one total, counted from 0 for each meter; −1 where measured.
    """

    energy_wh: NDArray[np.int64]
    method: NDArray[np.uint8]
    variance_wh2: NDArray[np.float64]
    free_sigma_wh: NDArray[np.float64]
    span: NDArray[np.int64]
