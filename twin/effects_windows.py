"""When effects hold: shares of steps inside periods, nights by the clock on the wall, sessions drawn day by day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from hashlib import blake2b
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from twin.steps import Steps

#: Begin and end of a period that is open there; far enough from each other to be subtracted.
BEGINNING_S, END_S = -(2**61), 2**61

_HOUR_S = 3600
_NIGHT_BEGINS, _NIGHT_ENDS = 22, 6
#: Days whose draws are kept.
_KEPT_DAYS = 8

Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class Compact(Generic[Value]):
    """Columns of a wide array whose other columns are zero.

    Attributes
    ----------
    at
        Shape (columns,): their positions, ascending, each once.
    values
        Shape (steps, columns).
    """

    at: NDArray[np.int64]
    values: NDArray[Value]

    def spread(self, width: int) -> NDArray[Value]:
        """The wide array; shape (steps, width)."""
        wide = np.zeros((len(self.values), width), self.values.dtype)
        wide[:, self.at] = self.values
        return wide


class Row(NamedTuple):
    """An effect at a position over [begin, end)."""

    at: int
    begin_s: int
    end_s: int
    size: float


@dataclass(frozen=True, slots=True, eq=False)
class Periods:
    """Effects of one sort: where, when and how much; arrays of shape (effects,)."""

    at: NDArray[np.int64]
    begin_s: NDArray[np.int64]
    end_s: NDArray[np.int64]
    size: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.at)

    def during(self, steps: Steps) -> NDArray[np.int64]:
        """Which of them hold at some time within successive steps."""
        if not len(steps):
            return np.empty(0, np.int64)
        first, last = steps.begin_s[0], steps.begin_s[-1] + steps.length_s[-1]
        return np.flatnonzero((self.begin_s < last) & (self.end_s > first))

    def taken(self, which: NDArray[np.int64]) -> Periods:
        """Those of them."""
        return Periods(self.at[which], self.begin_s[which], self.end_s[which], self.size[which])

    def share(self, steps: Steps) -> NDArray[np.float64]:
        """Share of each step in which each holds; shape (steps, effects)."""
        return _overlap(steps, self.begin_s, self.end_s)


def make_periods(rows: Iterable[Row]) -> Periods:
    """Effects as arrays, in the order given."""
    taken = list(rows)
    return Periods(
        np.array([r.at for r in taken], np.int64),
        np.array([r.begin_s for r in taken], np.int64),
        np.array([r.end_s for r in taken], np.int64),
        np.array([r.size for r in taken], np.float64),
    )


def multiplied(at: NDArray[np.int64], factors: NDArray[np.float64]) -> Compact[np.float64]:
    """Product of the factors (steps, effects) of each position."""
    return _reduced(np.multiply, at, factors)


def added(at: NDArray[np.int64], values: NDArray[np.float64]) -> Compact[np.float64]:
    """Sum of the values (steps, effects) of each position."""
    return _reduced(np.add, at, values)


def lasting(periods: Periods, steps: Steps) -> Compact[np.float64]:
    """Share of each step in which none of a position's periods holds; positions with one within the steps."""
    held = periods.taken(periods.during(steps))
    return multiplied(held.at, 1 - held.share(steps))


@dataclass(frozen=True, slots=True)
class Pattern:
    """How sessions are drawn: one a day at most, ended at 6 o'clock of the next day.

    Attributes
    ----------
    chance
        That there is one on a day.
    from_hour
        Of the clock on the wall, before which none begins.
    within_h
        Hours from then on within which it begins, uniformly.
    least, most
        Of its length, uniformly: hours, or watt-hours where `by_energy`.
    """

    chance: float
    from_hour: int
    within_h: float
    least: float
    most: float
    by_energy: bool = False


class Sessions:
    """Effects that are on for one session a day, drawn from the name of the effect and the day alone.

    Parameters
    ----------
    names
        One for each effect, with the seed in it.
    """

    def __init__(self, periods: Periods, names: Sequence[str], zone: tzinfo, pattern: Pattern) -> None:
        self.periods = periods
        self._keys = [stable_key(name) for name in names]
        self._zone, self._pattern = zone, pattern
        self._drawn: dict[date, NDArray[np.float64]] = {}

    def on(self, steps: Steps) -> Compact[np.float64]:
        """Mean power of each position with a session's effect in force; W, shape (steps, positions)."""
        which = self.periods.during(steps)
        held = self.periods.taken(which)
        share = np.zeros((len(steps), len(held)))
        for day in days_of(steps, self._zone) if len(held) else ():
            begin_s, end_s = self._session(day, which, held.size)
            _add_overlap(share, steps, np.maximum(begin_s, held.begin_s), np.minimum(end_s, held.end_s))
        return added(held.at, share * held.size)

    def _session(
        self, day: date, which: NDArray[np.int64], size: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        pattern, draws = self._pattern, self._draws(day)[which]
        first_s = local_instant(day, pattern.from_hour, self._zone)
        last_s = local_instant(day + timedelta(days=1), _NIGHT_ENDS, self._zone)
        begin_s = first_s + (draws[:, 1] * pattern.within_h * _HOUR_S).astype(np.int64)
        length = pattern.least + draws[:, 2] * (pattern.most - pattern.least)
        hours = length / np.maximum(size, 1.0) if pattern.by_energy else length
        end_s = np.minimum(begin_s + (hours * _HOUR_S).astype(np.int64), last_s)
        return begin_s, np.where(draws[:, 0] < pattern.chance, end_s, begin_s)

    def _draws(self, day: date) -> NDArray[np.float64]:
        """Four numbers of each effect for a day: one block of its own counter."""
        found = self._drawn.get(day)
        if found is None:
            found = np.array(
                [np.random.Generator(np.random.Philox(key=k, counter=day.toordinal())).random(4) for k in self._keys]
            ).reshape(-1, 4)
            while len(self._drawn) >= _KEPT_DAYS:
                del self._drawn[next(iter(self._drawn))]
            self._drawn[day] = found
        return found


def night_share(periods: Periods, steps: Steps, zone: tzinfo) -> NDArray[np.float64]:
    """Share of each step that lies in a night, from 22 to 6 o'clock on the wall, and in the period.

    A night has seven hours where summer time begins in it, and nine where it ends.
    """
    share = np.zeros((len(steps), len(periods)))
    for day in days_of(steps, zone) if len(periods) else ():
        begin_s = local_instant(day, _NIGHT_BEGINS, zone)
        end_s = local_instant(day + timedelta(days=1), _NIGHT_ENDS, zone)
        _add_overlap(share, steps, np.maximum(begin_s, periods.begin_s), np.minimum(end_s, periods.end_s))
    return share


def stable_key(name: str) -> int:
    """Key of a Philox generator from a name."""
    return int.from_bytes(blake2b(name.encode(), digest_size=16).digest())


def local_day(at_s: int, zone: tzinfo) -> date:
    """Day on the calendar of the zone."""
    return datetime.fromtimestamp(at_s, zone).date()


def local_instant(day: date, hour: int, zone: tzinfo) -> int:
    """Instant at which the clock on the wall shows a full hour; the first where it does so twice."""
    return int(datetime(day.year, day.month, day.day, hour, tzinfo=zone).timestamp())


def days_of(steps: Steps, zone: tzinfo) -> list[date]:
    """Local days whose sessions may reach into successive steps: from the day before the first one on."""
    if not len(steps):
        return []
    first = local_day(int(steps.begin_s[0]), zone) - timedelta(days=1)
    last = local_day(int(steps.begin_s[-1] + steps.length_s[-1]) - 1, zone)
    return [first + timedelta(days=i) for i in range((last - first).days + 1)]


def _overlap(steps: Steps, begin_s: NDArray[np.int64], end_s: NDArray[np.int64]) -> NDArray[np.float64]:
    first = np.maximum(steps.begin_s[:, None], begin_s)
    last = np.minimum((steps.begin_s + steps.length_s)[:, None], end_s)
    share: NDArray[np.float64] = np.maximum(last - first, 0) / steps.length_s[:, None]
    return share


def _add_overlap(
    share: NDArray[np.float64], steps: Steps, begin_s: NDArray[np.int64], end_s: NDArray[np.int64]
) -> None:
    """Add the shares in which [begin, end) (effects,) holds; only steps that one of them reaches are touched."""
    first = int(np.searchsorted(steps.begin_s + steps.length_s, begin_s.min(), "right"))
    last = int(np.searchsorted(steps.begin_s, end_s.max(), "left"))
    if first < last:
        share[first:last] += _overlap(steps.part(first, last), begin_s, end_s)


def _reduced(operation: np.ufunc, at: NDArray[np.int64], values: NDArray[np.float64]) -> Compact[np.float64]:
    order = np.argsort(at, kind="stable")
    positions = at[order]
    firsts = np.flatnonzero(np.diff(positions, prepend=-1))
    return Compact(positions[firsts], operation.reduceat(values[:, order], firsts, axis=1))
