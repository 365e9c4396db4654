"""What validation rules say of a unit's local day, from its readings and those of the day before; pure.

Nothing that was measured is changed by it: doubts are told beside the readings. They follow from what was known when
the final limit of the day's last interval passed, so they are the same whenever the rules are run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from grid.doubt import Doubt, DoubtRule
from grid.quality import MISSING_WH
from kernels.validation import FLAT_RUN, SPIKE, ZERO_RUN, Multiplier, Run, Spike

_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class DayRules:
    """Limits of the rules.

    Attributes
    ----------
    zero_hours
        Zeros for so long are a run.
    flat
        So many equal values that aren't 0 are one.
    """

    spike: Spike = field(default_factory=Spike)
    zero_hours: float = 24.0
    flat: int = 12
    multiplier: Multiplier = field(default_factory=Multiplier)

    def run(self, interval_s: int) -> Run:
        """The rule of runs for intervals of a length."""
        return Run(max(round(self.zero_hours * 3_600 / interval_s), 2), self.flat)


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """A unit's readings of a local day and of the one before.

    Attributes
    ----------
    energy_wh
        int64 of shape (positions, intervals), measured and known by the final limit, else `MISSING_WH`.
    begin_us
        Of the first of the intervals.
    own
        Number of the first interval of the day itself.
    """

    energy_wh: NDArray[np.int64]
    begin_us: int
    interval_s: int
    own: int

    def bounds_us(self, first: int, after: int) -> tuple[int, int]:
        """Begin and end of the intervals first … after − 1."""
        step_us = self.interval_s * _SECOND_US
        return self.begin_us + first * step_us, self.begin_us + after * step_us

    def sums_wh(self) -> NDArray[np.int64]:
        """Energy of the day by position; `MISSING_WH` where an interval is missing; shape (positions,)."""
        own = self.energy_wh[:, self.own :]
        whole = (own != MISSING_WH).all(axis=1)
        return np.where(whole, np.where(own == MISSING_WH, 0, own).sum(axis=1), MISSING_WH)


def doubts_of(day: Day, rules: DayRules) -> list[Doubt]:
    """Spikes and runs of a day, by position and time.

    A run of zeros is told on the day on which it has lasted for long enough, and not again; of a flat run each day's
    part is told.
    """
    return sorted([*_spikes(day, rules), *_runs(day, rules)], key=lambda d: (d.position, d.begin_us, d.rule))


def _spikes(day: Day, rules: DayRules) -> Iterator[Doubt]:
    own = day.energy_wh[:, day.own :]
    hits = np.nonzero(rules.spike.flags(own) & SPIKE)
    if not len(hits[0]):
        return
    ordered = np.partition(own, -rules.spike.rank, axis=1)[:, -rules.spike.rank]
    for position, t in zip(*(axis.tolist() for axis in hits), strict=True):
        limit = max(round(rules.spike.ratio * int(ordered[position])), rules.spike.least_wh)
        at = day.own + t
        yield Doubt(position, DoubtRule.SPIKE, *day.bounds_us(at, at + 1), int(own[position, t]), limit)


def _runs(day: Day, rules: DayRules) -> Iterator[Doubt]:
    flags = rules.run(day.interval_s).flags(day.energy_wh)
    intervals = flags.shape[1]
    for position in np.flatnonzero(flags.any(axis=1)).tolist():
        values = day.energy_wh[position]
        edges = np.flatnonzero(
            np.append(True, (values[1:] != values[:-1]) | (flags[position, 1:] != flags[position, :-1]))
        )
        for first, after in zip(edges.tolist(), [*edges[1:].tolist(), intervals], strict=True):
            flag, value = int(flags[position, first]), int(values[first])
            if after <= day.own or not flag:
                continue
            if flag == FLAT_RUN:
                begin = max(first, day.own)
                yield Doubt(position, DoubtRule.FLAT_RUN, *day.bounds_us(begin, after), value, 0)
            elif flag == ZERO_RUN and not _told(first, day, rules):
                yield Doubt(position, DoubtRule.ZERO_RUN, *day.bounds_us(first, after), value, 0)


def _told(first: int, day: Day, rules: DayRules) -> bool:
    """Whether zeros since `first` had lasted for long enough when the day began, or may have begun before all this."""
    return day.own > 0 and (first == 0 or day.own - first >= rules.run(day.interval_s).zeros)


def jumps(sums_wh: NDArray[np.int64], begin_us: int, end_us: int, rules: DayRules) -> list[Doubt]:
    """Positions whose daily sums jump by a factor in the middle of the days.

    Parameters
    ----------
    sums_wh
        int64 of shape (positions, 2 × `rules.multiplier.days`).
    begin_us, end_us
        Of the second half of the days.
    """
    days = rules.multiplier.days
    if sums_wh.shape[1] != 2 * days:
        raise ValueError(f"sums_wh has shape {sums_wh.shape}, wants (positions, {2 * days})")
    hits = np.flatnonzero(rules.multiplier.flags(sums_wh)[:, -1])
    return [
        Doubt(
            p, DoubtRule.MULTIPLIER, begin_us, end_us, round(sums_wh[p, days:].mean()), round(sums_wh[p, :days].mean())
        )
        for p in hits.tolist()
    ]
