"""Households that differ as real ones do: their power in any steps, from a file of real meters or from a model."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Self
from zipfile import BadZipFile

import numpy as np
from numba import njit
from numpy.typing import NDArray

from twin.household_model import (
    DAY,
    HALF_HOUR_S,
    Clock,
    StochasticHouseholds,
    hashed,
    key_of,
    normals,
    uniform,
    uniforms,
)
from twin.steps import Steps

#: Share of connections at which nobody lives: zero throughout. An assumption; the trial had none.
VACANT_SHARE = 0.02
#: The clock of the Smart Grid Smart City file runs ahead of its households' own: their least load at four in the
#: morning, late mornings at weekends and a weekend house's arrival on Friday evening say so.
FILE_LEAD_S = 17 * 3600

#: Households computed together; bounds memory.
_CHUNK = 2048
_QUARTER_S = 900
#: Days that are drawn together; of how many times nearest in the year one is drawn.
_BLOCK_DAYS, _CHOICES = 7, 8
#: A donor has at least so many blocks; a gap of so many half-hours is filled by a line.
_MIN_BLOCKS, _MAX_GAP = 180, 4
_YEAR_DAYS = 366
#: No meter of a household takes as much in a half-hour, in whatever unit the file is.
_MOST_KWH = 1e6
#: Half-hours by which a household may be later or earlier than its donor, each as likely.
_SHIFTS = np.array([-1, 0, 0, 1])
#: Standard deviation of the logarithm by which a household's power differs from its donor's.
_SCALE_SPREAD = 0.25
#: Power factors lie between these, with the mode in the middle. An assumption: no file tells reactive power.
_POWER_FACTORS = (0.90, 1.0)


class Source(Protocol):
    """What can tell the half-hours of households."""

    def half_hours(self, first: int, count: int, household: NDArray[np.int64]) -> NDArray[np.float64]:
        """Mean power in W; shape (count, households), from half-hour `first` since 1970 UTC on."""
        ...


class Households:
    """Households by number, each its own; the same seed and number give the same values, whatever else is asked."""

    def __init__(self, source: Source, seed: int, vacant: float = VACANT_SHARE) -> None:
        if not 0 <= vacant <= 1:
            raise ValueError(f"a share of {vacant} can't be vacant")
        self._source = source
        self._vacant = vacant
        self._traits = key_of(seed, "connection")
        self._days: dict[int, NDArray[np.float64]] = {}
        self._days_of: NDArray[np.int64] = np.empty(0, np.int64)

    @classmethod
    def resampled(
        cls,
        path: Path,
        seed: int,
        *,
        clock: Clock | None = None,
        columns: Sequence[int] | None = None,
        lead_s: int = FILE_LEAD_S,
        vacant: float = VACANT_SHARE,
    ) -> Self:
        """Households whose weeks are drawn from real meters'.

        Parameters
        ----------
        path
            An ``.npz`` with ``X`` (half-hours, meters), kWh, NaN where missing, and ``t0``, the proleptic Gregorian
            ordinal of its first day.
        columns
            Which of the file's meters; all of them without.
        lead_s
            By how much the file's clock runs ahead of local time, whole half-hours; its seasons are Australia's.

        Raises
        ------
        ValueError
            When the file isn't of this form, or no meter has blocks enough.
        """
        return cls(ResampledHouseholds(path, seed, clock or Clock(), columns, lead_s), seed, vacant)

    @classmethod
    def stochastic(cls, seed: int, *, clock: Clock | None = None, vacant: float = VACANT_SHARE) -> Self:
        """Households of the stochastic model, without any file."""
        return cls(StochasticHouseholds(seed, clock or Clock()), seed, vacant)

    def is_vacant(self, household: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether nobody lives there; shape (households,)."""
        return np.asarray(uniforms(self._traits, _numbers(household), 0)) < self._vacant

    def power_factor(self, household: NDArray[np.int64]) -> NDArray[np.float64]:
        """Displacement factor of each household, constant and inductive; shape (households,)."""
        numbers, (low, high) = _numbers(household), _POWER_FACTORS
        both = uniforms(self._traits, numbers, 1) + uniforms(self._traits, numbers, 2)
        return low + (high - low) * np.asarray(both) / 2

    def power_w(self, steps: Steps, household: NDArray[np.int64]) -> NDArray[np.float64]:
        """Mean active power in W of each household in each step; shape (steps, households), never negative.

        A half-hour's mean is the model's, however it is cut into steps: within it a line through the middles of the
        half-hours is read, scaled to that mean.
        """
        numbers = _numbers(household)
        result = np.zeros((len(steps), len(numbers)))
        if not len(steps):
            return result
        first, count, pieces = _pieces(steps)
        lived_in = np.flatnonzero(~self.is_vacant(numbers))
        if count <= DAY:
            _read(self._of_days(first, count, numbers[lived_in]), *pieces, lived_in, result)
            return result
        for begin in range(0, len(lived_in), _CHUNK):
            at = lived_in[begin : begin + _CHUNK]
            _read(self._source.half_hours(first, count, numbers[at]), *pieces, at, result)
        return result

    def _of_days(self, first: int, count: int, household: NDArray[np.int64]) -> NDArray[np.float64]:
        """As `Source.half_hours`, from whole days: those of the last call are kept, since steps follow each other."""
        kept = self._days if np.array_equal(household, self._days_of) else {}
        begin = first // DAY
        days = range(begin, (first + count - 1) // DAY + 1)
        self._days = {day: kept[day] if day in kept else self._day(day, household) for day in days}
        self._days_of = household
        at = first - begin * DAY
        whole = self._days[begin] if len(days) == 1 else np.concatenate([self._days[day] for day in days])
        return whole[at : at + count]

    def _day(self, day: int, household: NDArray[np.int64]) -> NDArray[np.float64]:
        result = np.empty((DAY, len(household)))
        for begin in range(0, len(household), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            result[:, part] = self._source.half_hours(day * DAY, DAY, household[part])
        return result


def _numbers(household: NDArray[np.int64]) -> NDArray[np.int64]:
    numbers = np.ascontiguousarray(household, np.int64)
    if numbers.ndim != 1 or (len(numbers) and numbers.min() < 0):
        raise ValueError("households are numbers from 0 on, in one dimension")
    return numbers


def _pieces(steps: Steps) -> tuple[int, int, tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    """First half-hour and count of half-hours to read, one more at both ends, and the pieces to read them in.

    Pieces are of one step and one half of a half-hour, over which the curve is straight: its value at a piece's middle
    is the piece's mean. Of each: its step, its half-hour, and the weights of the half-hour's, its predecessor's and
    its successor's mean; shape (pieces, 3), before, of, after, times the piece's share of the step.
    """
    begin, end = int(steps.begin_s[0]), int(steps.begin_s[-1] + steps.length_s[-1])
    quarters = np.arange(begin // _QUARTER_S + 1, -(-end // _QUARTER_S)) * _QUARTER_S
    edges = np.unique(np.concatenate([steps.begin_s, quarters, [end]]))
    step = np.searchsorted(steps.begin_s, edges[:-1], side="right") - 1
    half_hour = edges[:-1] // HALF_HOUR_S
    offset = (edges[:-1] % HALF_HOUR_S + np.diff(edges) / 2) / HALF_HOUR_S - 0.5
    before, after = np.maximum(-offset, 0), np.maximum(offset, 0)
    weights = np.stack([before, 1 - before - after, after], axis=1)
    weights *= (np.diff(edges) / steps.length_s[step])[:, None]
    first = int(half_hour[0]) - 1
    return first, int(half_hour[-1]) - first + 2, (step, half_hour - first, weights)


@njit(cache=True, nogil=True)
def _read(half_hours, step, half_hour, weights, at, result):  # type: ignore[no-untyped-def]
    """Add the pieces to the `result`'s steps, in the columns `at`."""
    for p in range(len(step)):
        h, s = half_hour[p], step[p]
        w_before, w_own, w_after = weights[p, 0], weights[p, 1], weights[p, 2]
        for j in range(len(at)):
            own = half_hours[h, j]
            if own > 0:
                before, after = half_hours[h - 1, j], half_hours[h + 1, j]
                # The line's own mean over the half-hour is (before + 6 own + after) / 8.
                scale = 8 * own / (before + 6 * own + after)
                result[s, at[j]] += scale * (w_before * before + w_own * own + w_after * after)


class ResampledHouseholds:
    """Half-hours drawn from a file of real meters, a week at a time.

    A household has one donor, a factor, a weekday on which its blocks begin, and a shift of at most a half-hour. Each
    of its weeks is one of the eight of its donor's, beginning on that weekday, that are nearest in the year.
    """

    def __init__(
        self, path: Path, seed: int, clock: Clock, columns: Sequence[int] | None = None, lead_s: int = FILE_LEAD_S
    ) -> None:
        if lead_s % HALF_HOUR_S:
            raise ValueError(f"a lead of {lead_s} s is not whole half-hours")
        self._lead = (clock.utc_offset_s + lead_s) // HALF_HOUR_S
        self._clock = clock
        self._key = key_of(seed, "resampled")
        series, first_day = _read_file(path, columns)
        self._power_w, self._blocks = _blocks(series, first_day)

    def half_hours(self, first: int, count: int, household: NDArray[np.int64]) -> NDArray[np.float64]:
        """Mean power in W; shape (count, households), from half-hour `first` since 1970 UTC on."""
        scale = np.exp(_SCALE_SPREAD * np.asarray(normals(self._key, household, -1)) - _SCALE_SPREAD**2 / 2)
        begin = (first + self._lead - 1) // DAY - _BLOCK_DAYS
        days = np.arange(begin, (first + count + self._lead + 1) // DAY + 1)
        of_year = np.minimum(self._clock.season_day(days).astype(np.int64), _YEAR_DAYS - 1)
        result: NDArray[np.float64] = _resample(
            self._key, first + self._lead, count, household, scale, self._power_w, self._blocks, of_year, begin
        )
        return result


def _read_file(path: Path, columns: Sequence[int] | None) -> tuple[NDArray[np.float64], int]:
    """Power in W, shape (meters, days, 48), with short gaps filled, and the first day since 1970."""
    given, first_day = _arrays(path)
    if given.ndim != 2 or first_day.ndim or given.dtype.kind not in "fiu" or first_day.dtype.kind not in "iu":
        raise ValueError(f"{path} has no series X (half-hours, meters) from day t0 on: numbers, and a whole one")
    energy_kwh, ordinal = given.astype(np.float64), int(first_day)
    chosen = energy_kwh if columns is None else energy_kwh[:, list(columns)]
    if np.any(chosen < 0):
        raise ValueError(f"{path} has negative energy")
    if np.any(chosen > _MOST_KWH):
        raise ValueError(f"{path} has more than {_MOST_KWH:g} kWh in a half-hour")
    if np.any(chosen == 0) and not np.any(chosen > 0):
        raise ValueError(f"{path} has no energy but zeros")
    whole = chosen[: len(chosen) // DAY * DAY]
    filled = np.empty((whole.shape[1], len(whole) // DAY, DAY))
    for i in range(whole.shape[1]):
        filled[i] = _filled(whole[:, i]).reshape(-1, DAY)
    return filled * 2000, ordinal - int(np.datetime64(0, "D").item().toordinal())


def _arrays(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """`X` and `t0` as the file has them."""
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.lib.npyio.NpzFile):
            with file:
                return file["X"], file["t0"]
    except KeyError:
        raise ValueError(f"{path} has no series X (half-hours, meters) from day t0 on") from None
    except (BadZipFile, EOFError, ValueError, zlib.error):
        pass
    raise ValueError(f"{path} is no whole .npz file of numbers")


def _filled(series: NDArray[np.float64]) -> NDArray[np.float64]:
    """A series with a line through gaps of at most four half-hours."""
    known = np.flatnonzero(~np.isnan(series))
    at = np.arange(len(series))
    if not len(known):
        return series
    after = np.searchsorted(known, at)
    gap = known[np.minimum(after, len(known) - 1)] - known[np.maximum(after - 1, 0)] - 1
    short = np.isnan(series) & (after > 0) & (after < len(known)) & (gap <= _MAX_GAP)
    return np.where(short, np.interp(at, known, series[known]), series)


def _blocks(series: NDArray[np.float64], first_day: int) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Meters that can be donors, and the days at which their blocks begin.

    Returns
    -------
    tuple
        Power (donors, days, 48), and days by donor, weekday and day of the year: (donors, 7, 366, 8).
    """
    complete: NDArray[np.bool_] = np.all(~np.isnan(series), axis=2)
    donors, tables = [], []
    for i in range(len(series)):
        run = np.cumsum(np.append(0, complete[i]))
        starts = np.flatnonzero(run[_BLOCK_DAYS:] - run[:-_BLOCK_DAYS] == _BLOCK_DAYS)
        by_weekday = [starts[(starts + first_day + 3) % 7 == weekday] for weekday in range(7)]
        if len(starts) >= _MIN_BLOCKS and all(len(own) for own in by_weekday):
            donors.append(i)
            tables.append([_nearest(own, first_day) for own in by_weekday])
    if not donors:
        raise ValueError(f"no meter has {_MIN_BLOCKS} blocks of {_BLOCK_DAYS} whole days")
    return series[donors], np.array(tables, np.int32)


def _nearest(starts: NDArray[np.int64], first_day: int) -> NDArray[np.int64]:
    """Of days `starts`, the eight nearest to each day of the year, again from the first where there are fewer."""
    of_year = Clock(south=True).season_day(starts + first_day)
    apart = np.abs(np.arange(_YEAR_DAYS)[:, None] - of_year)
    order = np.argsort(np.minimum(apart, _YEAR_DAYS - 1 - apart), axis=1, kind="stable")
    return starts[order[:, np.arange(_CHOICES) % len(starts)]]


@njit(cache=True, nogil=True)
def _resample(key, first, count, household, scale, power_w, blocks, of_year, begin):  # type: ignore[no-untyped-def]
    """Half-hours from `first` on in the file's clock; `of_year` of days from `begin` on."""
    result = np.empty((count, len(household)))
    for j in range(len(household)):
        number = household[j]
        donor = np.int64(uniform(key, number, -2) * len(power_w))
        weekday = np.int64(hashed(key, number, -3) >> np.uint64(33)) % 7
        shift = _SHIFTS[np.int64(uniform(key, number, -4) * len(_SHIFTS))]
        i = 0
        while i < count:
            at = first + i + shift
            day, slot = at // DAY, at % DAY
            start = day - (day + 3 - weekday) % 7
            choice = np.int64(hashed(key, number, start) >> np.uint64(33)) % _CHOICES
            of_donor = blocks[donor, weekday, of_year[start - begin], choice] + day - start
            while slot < DAY and i < count:
                result[i, j] = scale[j] * power_w[donor, of_donor, slot]
                slot += 1
                i += 1
    return result
