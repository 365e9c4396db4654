"""Load steps: the pieces of time over which the physics takes power as constant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Successive steps that fill whole intervals; arrays of shape (steps,), times in seconds since 1970 UTC.

    Attributes
    ----------
    interval_s
        Length of an interval.
    begin_s, length_s
        Of each step.
    end_s
        End of the interval that each step lies in.
    slot_s
        Length of the equal parts of an interval, some of which were cut further.
    """

    interval_s: int
    begin_s: NDArray[np.int64]
    length_s: NDArray[np.int64]
    end_s: NDArray[np.int64]
    slot_s: int = 300

    def __len__(self) -> int:
        return len(self.begin_s)

    @property
    def hours(self) -> NDArray[np.float64]:
        """Length of each step in hours."""
        return self.length_s / 3600.0

    @property
    def ends_s(self) -> NDArray[np.int64]:
        """Ends of the intervals, each once; shape (intervals,)."""
        return np.unique(self.end_s)

    def part(self, first: int, last: int) -> Steps:
        """Steps `first` up to `last`."""
        at = slice(first, last)
        return Steps(self.interval_s, self.begin_s[at], self.length_s[at], self.end_s[at], self.slot_s)

    def by_interval(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums of `values` (steps, …) over each interval; shape (intervals, …)."""
        if not len(self):
            return values[:0]
        firsts = np.flatnonzero(np.append(True, self.end_s[1:] != self.end_s[:-1]))
        sums: NDArray[np.float64] = np.add.reduceat(values, firsts, axis=0)
        return sums


def make_steps(
    begin_s: int, intervals: int, interval_s: int = 900, per_interval: int = 3, cuts: Iterable[int] = ()
) -> Steps:
    """Steps of so many intervals from `begin_s` on: equal parts of each, cut further at `cuts`.

    Parameters
    ----------
    cuts
        Instants in seconds since 1970 UTC at which the grid changes; those outside are passed over.

    Raises
    ------
    ValueError
        When the begin isn't aligned to the interval, or the interval isn't a multiple of `per_interval` seconds.
    """
    if begin_s % interval_s or interval_s % per_interval or intervals < 0 or per_interval < 1:
        raise ValueError(f"no {intervals} intervals of {per_interval} steps in {interval_s} s begin at {begin_s}")
    slot_s = interval_s // per_interval
    until_s = begin_s + intervals * interval_s
    inside = [cut for cut in cuts if begin_s < cut < until_s]
    edges = np.unique(np.append(np.arange(begin_s, until_s + 1, slot_s), inside)).astype(np.int64)
    begins = edges[:-1]
    return Steps(interval_s, begins, np.diff(edges), (begins // interval_s + 1) * interval_s, slot_s)
