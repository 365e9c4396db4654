"""Validation rules for interval energies, as values: each says which readings are doubtful, none raises for data.

The rules are customary: California's Standards for Validating, Editing and Estimating Monthly and Interval Data (spike,
sum and time check), AEMO Metrology Procedure Part B (zero runs, register against intervals), the reading qualities of
IEC 61968-9. Limits differ between utilities, so they are parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.member import MISSING_WH

#: Bits of a flag.
SPIKE = 1
ZERO_RUN = 2
FLAT_RUN = 4
SUM_DIFFERS = 8
ROLLOVER = 16
MULTIPLIER = 32
CLOCK = 64


def _matrix(energy_wh: NDArray[np.int64]) -> NDArray[np.int64]:
    if energy_wh.ndim != 2:
        raise ValueError(f"energy_wh has shape {energy_wh.shape}, wants (meters, intervals)")
    return np.ascontiguousarray(energy_wh, np.int64)


def _registers(register_wh: NDArray[np.int64], meters: int, boundaries: int) -> NDArray[np.int64]:
    if register_wh.shape != (meters, boundaries):
        raise ValueError(f"register_wh has shape {register_wh.shape}, wants ({meters}, {boundaries})")
    return np.ascontiguousarray(register_wh, np.int64)


@dataclass(frozen=True, slots=True)
class Spike:
    """A value far above the meter's next highest ones: more than `ratio` times the `rank`-th highest that is there.

    After California's spike check, which compares the highest with the third highest of a day. Values up to `least_wh`
    never count, so that a home that is empty but for a kettle isn't flagged.
    """

    ratio: float = 3.0
    rank: int = 3
    least_wh: int = 1_000

    def __post_init__(self) -> None:
        if not self.ratio > 1.0 or self.rank < 2 or self.least_wh < 0:
            raise ValueError("ratio must be above 1, rank at least 2, least_wh not negative")

    def flags(self, energy_wh: NDArray[np.int64]) -> NDArray[np.uint8]:
        """SPIKE where the rule hits; uint8 of the shape of `energy_wh` (meters, intervals)."""
        energy_wh = _matrix(energy_wh)
        if energy_wh.shape[1] < self.rank:
            return np.zeros(energy_wh.shape, np.uint8)
        # A missing value is the least there is; a limit that is missing says that too few are there.
        limit = np.partition(energy_wh, -self.rank, axis=1)[:, -self.rank, None]
        hit = (energy_wh > self.ratio * limit) & (energy_wh > self.least_wh) & (limit != MISSING_WH)
        return np.where(hit, np.uint8(SPIKE), np.uint8(0))


@dataclass(frozen=True, slots=True)
class Run:
    """Equal values for long: a stopped meter, a frozen register, or values put in by a device.

    Zeros count from `zeros` intervals on (flag ZERO_RUN), other equal values from `flat` on (FLAT_RUN). A missing value
    ends a run. Vacant homes and constant loads look alike, so these are doubts, not errors.
    """

    zeros: int = 96
    flat: int = 12

    def __post_init__(self) -> None:
        if min(self.zeros, self.flat) < 2:
            raise ValueError("a run has at least 2 intervals")

    def flags(self, energy_wh: NDArray[np.int64]) -> NDArray[np.uint8]:
        """ZERO_RUN or FLAT_RUN on every value of a run; uint8 of the shape of `energy_wh` (meters, intervals)."""
        return np.asarray(_runs(_matrix(energy_wh), self.zeros, self.flat))


@njit(cache=True, nogil=True)
def _runs(energy_wh, zeros, flat):  # type: ignore[no-untyped-def]  # numba infers
    meters, intervals = energy_wh.shape
    out = np.zeros((meters, intervals), np.uint8)
    for m in range(meters):
        begin = 0
        for t in range(1, intervals + 1):
            if t < intervals and energy_wh[m, t] == energy_wh[m, begin]:
                continue
            value = energy_wh[m, begin]
            if value != MISSING_WH and t - begin >= (zeros if value == 0 else flat):
                out[m, begin:t] = ZERO_RUN if value == 0 else FLAT_RUN
            begin = t
    return out


@dataclass(frozen=True, slots=True)
class SumCheck:
    """Intervals against the register's difference: more than `tolerance_wh` + `tolerance_rate` of it apart.

    Between two consecutive register readings, where every interval is there; and where some are missing, only when
    those that are there are too many.
    """

    tolerance_wh: int = 2
    tolerance_rate: float = 0.0

    def __post_init__(self) -> None:
        if self.tolerance_wh < 0 or not self.tolerance_rate >= 0.0:
            raise ValueError("tolerances must not be negative")

    def flags(self, energy_wh: NDArray[np.int64], register_wh: NDArray[np.int64]) -> NDArray[np.uint8]:
        """SUM_DIFFERS on every interval between two readings that disagree with them; uint8 (meters, intervals).

        `register_wh` is int64 (meters, intervals + 1): the register at the beginning of each interval and at the end of
        the last, `MISSING_WH` where not read. A register that runs backwards is left to `Rollover`.
        """
        energy_wh = _matrix(energy_wh)
        meters, intervals = energy_wh.shape
        register_wh = _registers(register_wh, meters, intervals + 1)
        return np.asarray(_sum_differs(energy_wh, register_wh, self.tolerance_wh, self.tolerance_rate))


@njit(cache=True, nogil=True)
def _sum_differs(energy_wh, register_wh, tolerance_wh, tolerance_rate):  # type: ignore[no-untyped-def]
    meters, intervals = energy_wh.shape
    out = np.zeros((meters, intervals), np.uint8)
    for m in range(meters):
        last = -1
        energy = 0
        complete = True
        for b in range(intervals + 1):
            if register_wh[m, b] != MISSING_WH:
                if last >= 0:
                    difference = register_wh[m, b] - register_wh[m, last]
                    apart = energy - difference
                    tolerance = tolerance_wh + tolerance_rate * difference
                    if difference >= 0 and (apart > tolerance or (complete and -apart > tolerance)):
                        out[m, last:b] = SUM_DIFFERS
                last = b
                energy = 0
                complete = True
            if b < intervals:
                if energy_wh[m, b] == MISSING_WH:
                    complete = False
                else:
                    energy += energy_wh[m, b]
    return out


@dataclass(frozen=True, slots=True)
class Rollover:
    """A register that went back and, counted on past `modulus_wh`, moved by at most `most_wh`.

    One that went back by more isn't a rollover but a new meter or a reset, and isn't flagged.
    """

    modulus_wh: int = 10**9
    most_wh: int = 10**7

    def __post_init__(self) -> None:
        if not 0 < self.most_wh < self.modulus_wh:
            raise ValueError("0 < most_wh < modulus_wh")

    def flags(self, register_wh: NDArray[np.int64]) -> NDArray[np.uint8]:
        """ROLLOVER on the first reading after each; uint8 of the shape of `register_wh` (meters, readings)."""
        return np.asarray(_rolled(_matrix(register_wh), self.modulus_wh, self.most_wh))


@njit(cache=True, nogil=True)
def _rolled(register_wh, modulus_wh, most_wh):  # type: ignore[no-untyped-def]
    meters, readings = register_wh.shape
    out = np.zeros((meters, readings), np.uint8)
    for m in range(meters):
        last = MISSING_WH
        for b in range(readings):
            now = register_wh[m, b]
            if now == MISSING_WH:
                continue
            if last != MISSING_WH and now < last and now - last + modulus_wh <= most_wh:
                out[m, b] = ROLLOVER
            last = now
    return out


@dataclass(frozen=True, slots=True)
class Multiplier:
    """A lasting jump by a constant factor: a CT or PT ratio that was changed, or one that is counted twice or not.

    Hits where the mean of the `days` days after a midnight is one of `factors` times the mean of as many before, or
    that part of it, within `tolerance`, and every single day after lies on the far side of every day before, as
    after a change of use it seldom does. Flags the days after.
    """

    factors: tuple[float, ...] = (10.0, 20.0, 30.0, 40.0, 60.0, 80.0, 100.0)
    tolerance: float = 0.15
    days: int = 5
    least_wh: int = 1_000

    def __post_init__(self) -> None:
        if not self.factors or min(self.factors) <= 1.0 or not 0.0 < self.tolerance < 1.0:
            raise ValueError("factors must be above 1, tolerance inside 0…1")
        if self.days < 2 or self.least_wh < 1:
            raise ValueError("days must be at least 2, least_wh at least 1")

    def flags(self, energy_wh: NDArray[np.int64]) -> NDArray[np.uint8]:
        """MULTIPLIER on the `days` days after a jump; uint8 of the shape of `energy_wh` (meters, days), a day's sums.

        A window with a missing day, or with a mean below `least_wh` on its lower side, isn't judged.
        """
        energy_wh = _matrix(energy_wh)
        out = np.zeros(energy_wh.shape, np.uint8)
        for b in range(self.days, energy_wh.shape[1] - self.days + 1):
            before, after = energy_wh[:, b - self.days : b], energy_wh[:, b : b + self.days]
            whole = (before != MISSING_WH).all(axis=1) & (after != MISSING_WH).all(axis=1)
            low = np.minimum(before.mean(axis=1), after.mean(axis=1))
            high = np.maximum(before.mean(axis=1), after.mean(axis=1))
            apart = (before.max(axis=1) < after.min(axis=1)) | (after.max(axis=1) < before.min(axis=1))
            near = np.zeros(len(low), np.bool_)
            for factor in self.factors:
                near |= np.abs(high - factor * low) <= self.tolerance * factor * low
            out[whole & apart & near & (low >= self.least_wh), b : b + self.days] = MULTIPLIER
        return out


@dataclass(frozen=True, slots=True)
class ClockError:
    """A device whose clock is off by more than `limit_s` against the one that received its readings."""

    limit_s: float = 120.0

    def __post_init__(self) -> None:
        if not self.limit_s > 0.0:
            raise ValueError("limit_s must be above 0")

    def flags(self, offset_s: NDArray[np.float64]) -> NDArray[np.uint8]:
        """CLOCK where |offset| is above the limit; uint8 of the shape of `offset_s`. NaN: not known, not flagged."""
        return np.where(np.abs(offset_s) > self.limit_s, np.uint8(CLOCK), np.uint8(0))
