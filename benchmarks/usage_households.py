"""Real households as the usage benchmarks take them, and what is done to them: faults, frauds and innocent changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernels.member import MISSING_WH
from twin.households import FILE_LEAD_S

SLOTS, MINUTES = 48, 30.0
WINDOW = 28
#: The ranges of the falls that are injected.
FALLS = ((0.2, 0.4), (0.4, 0.6), (0.6, 0.9))
#: Of 28 days of an honest meter, the share into which each innocent change is put.
HOLIDAYS, MOVES, NIGHT_ZEROS = 0.05, 0.01, 0.02
#: Of flags of vacancy and tariff changes, those that are missing; of meters without either, those that have one.
FLAG_MISSING, FLAG_WRONG = 0.2, 0.05
#: Households use so much on an average day of the 28 before, Wh; what uses less is an empty home.
LEAST_WH = 1_000


@dataclass(frozen=True, slots=True)
class Households:
    """Energies in Wh of shape (households, days, SLOTS) by local days; `MISSING_WH` where missing; ordinal of day 0."""

    energy_wh: NDArray[np.int64]
    first_day: int

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Days without gaps, (households, days)."""
        return np.asarray((self.energy_wh != MISSING_WH).all(axis=2))

    def is_weekend(self, day: int) -> bool:
        """Saturday or Sunday."""
        return (self.first_day + day + 6) % 7 >= 5  # ordinal 1 was a Monday


def read_households(path: Path) -> Households:
    """An .npz file with X: kWh a half-hour of shape (half-hours, households), NaN where missing, from day t0 on."""
    with np.load(path, allow_pickle=False) as file:
        kwh = file["X"].astype(np.float64)[FILE_LEAD_S // 1800 :]
        first_day = int(file["t0"])
    days = len(kwh) // SLOTS
    kwh = kwh[: days * SLOTS].reshape(days, SLOTS, -1).transpose(2, 0, 1)
    known = ~np.isnan(kwh)
    return Households(
        np.where(known, np.rint(np.where(known, kwh, 0.0) * 1000).astype(np.int64), MISSING_WH), first_day
    )


def usable_windows(data: Households, first: int, stride: int) -> list[tuple[int, int]]:
    """Household and first day of windows after at least 56 whole days, with at least 24 whole days of 28."""
    whole = data.whole
    seen = np.cumsum(whole, axis=1)
    return [
        (h, s)
        for s in range(max(first, 1), whole.shape[1] - WINDOW + 1, stride)
        for h in range(len(whole))
        if seen[h, s - 1] >= 2 * WINDOW and whole[h, s : s + WINDOW].sum() >= 24
    ]


def usual_wh(data: Households, household: int, start: int) -> float:
    """Mean of a day's use over the 28 days before; 0 when nothing is known."""
    days = slice(max(start - WINDOW, 0), start)
    whole = data.whole[household, days]
    return float(data.energy_wh[household, days][whole].sum(axis=1).mean()) if whole.any() else 0.0


def is_vacant(data: Households, household: int, start: int) -> bool:
    """At least 7 of the window's days under a quarter of the household's median day: someone is away."""
    whole = data.whole[household]
    daily = data.energy_wh[household].sum(axis=1)
    days = np.arange(start, start + WINDOW)[whole[start : start + WINDOW]]
    return bool((daily[days] < 0.25 * np.median(daily[whole])).sum() >= 7)


def scaled(energy_wh: NDArray[np.int64], left: float) -> NDArray[np.int64]:
    """A meter that counts a part of everything."""
    return np.where(energy_wh == MISSING_WH, MISSING_WH, np.rint(energy_wh * left).astype(np.int64))


def on_holiday(energy_wh: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """7 to 21 days on which nothing runs but what always does: each slot's lowest tenth."""
    out = energy_wh.copy()
    length = int(random.integers(7, 22))
    begin = int(random.integers(0, len(out) - length + 1))
    known = np.where(energy_wh == MISSING_WH, np.iinfo(np.int64).max, energy_wh)
    idle = np.sort(known.ravel())[: energy_wh.size // 4]
    away = random.choice(idle[idle < np.iinfo(np.int64).max], (length, SLOTS))
    there = out[begin : begin + length] != MISSING_WH
    out[begin : begin + length][there] = away[there]
    return out


def night_zeroed(energy_wh: NDArray[np.int64]) -> NDArray[np.int64]:
    """Nothing from 23:00 to 6:00."""
    out = energy_wh.copy()
    night = np.r_[0:12, 46:48]
    out[:, night] = np.where(out[:, night] == MISSING_WH, MISSING_WH, 0)
    return out


def bypassed(energy_wh: NDArray[np.int64], share: float, random: np.random.Generator) -> NDArray[np.int64]:
    """Whole hours by hazard in which everything passes beside the meter, one to six hours at a time."""
    out = energy_wh.ravel().copy()
    hidden = np.zeros(len(out), np.bool_)
    while hidden.mean() < share:
        begin = int(random.integers(len(out)))
        hidden[begin : begin + int(random.integers(2, 13))] = True
    out[hidden & (out != MISSING_WH)] = 0
    return out.reshape(energy_wh.shape)
