"""Stated losses and their error bars against the truth: by interval, local day and month; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

import numpy as np
from numpy.typing import NDArray

from benchmarks.loss_settle import Stated
from grid.loss_class import LossClass
from grid.thresholds import Threshold

#: Half of a band in standard deviations, as of `streams.steps.classify`.
BAND = 2.0
#: How far the truth must lie beyond a limit for an event that has to be classed, in standard deviations.
EVENT = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class Periods:
    """Sums over the computable intervals of each period and unit; arrays of shape (periods, units).

    Attributes
    ----------
    computable
        Whether there is any.
    systematic_sigma_wh, ends_sigma_wh
        Parts of `sigma_wh`.
    reasons
        Those of any of the intervals.
    """

    loss_wh: NDArray[np.float64]
    inflow_wh: NDArray[np.float64]
    sigma_wh: NDArray[np.float64]
    systematic_sigma_wh: NDArray[np.float64]
    ends_sigma_wh: NDArray[np.float64]
    true_wh: NDArray[np.float64]
    supply_wh: NDArray[np.float64]
    computable: NDArray[np.bool_]
    reasons: NDArray[np.int32]

    @property
    def z(self) -> NDArray[np.float64]:
        """Error over its stated standard deviation, of what is computable; flat."""
        there = self.computable
        return (self.loss_wh[there] - self.true_wh[there]) / self.sigma_wh[there]

    def part(self, units: slice) -> Periods:
        """Some of the units."""
        return Periods(*(getattr(self, name)[:, units] for name in self.__slots__))


def intervals_of(stated: Stated, true_wh: NDArray[np.float64], supply_wh: NDArray[np.float64]) -> Periods:
    """Each interval as a period of its own."""
    return periods_of(stated, true_wh, supply_wh, np.arange(len(true_wh)))


def periods_of(
    stated: Stated, true_wh: NDArray[np.float64], supply_wh: NDArray[np.float64], period: NDArray[np.int64]
) -> Periods:
    """Sums over periods.

    What meters of a class err is the same in all intervals: its standard deviations are added. What is estimated or
    split errs anew: variances are added. What ends of intervals take from each other cancels where one follows the
    other: half of the variance stays at either end of each uninterrupted stretch.

    Parameters
    ----------
    period
        Number of each interval's period, not falling, from 0; shape (intervals,).
    """
    there = stated.computable
    firsts = np.flatnonzero(np.append(True, period[1:] != period[:-1]))
    begins, stops = there.copy(), there.copy()
    same = (period[1:] == period[:-1])[:, None]
    begins[1:] &= ~(there[:-1] & same)
    stops[:-1] &= ~(there[1:] & same)

    def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
        summed: NDArray[np.float64] = np.add.reduceat(np.where(there, values, 0.0), firsts, axis=0)
        return summed

    systematic = total(stated.systematic_sigma_wh)
    of_ends = stated.ends_sigma_wh**2
    ends = total(of_ends * (0.5 * begins + 0.5 * stops))
    rest = total(np.maximum(stated.sigma_wh**2 - stated.systematic_sigma_wh**2 - of_ends, 0.0))
    return Periods(
        loss_wh=total(stated.loss_wh),
        inflow_wh=total(stated.inflow_wh),
        sigma_wh=np.sqrt(systematic**2 + ends + rest),
        systematic_sigma_wh=systematic,
        ends_sigma_wh=np.sqrt(ends),
        true_wh=total(true_wh),
        supply_wh=total(supply_wh),
        computable=np.logical_or.reduceat(there, firsts, axis=0),
        reasons=np.bitwise_or.reduceat(np.where(there, stated.reasons, 0), firsts, axis=0),
    )


def local_days(ends_s: NDArray[np.int64], interval_s: int, zone: tzinfo) -> NDArray[np.int64]:
    """Number of the local day in which each interval begins, from 0."""
    days = [datetime.fromtimestamp(end_s - interval_s, zone).toordinal() for end_s in ends_s.tolist()]
    return np.array(days, np.int64) - days[0]


@dataclass(frozen=True, slots=True, eq=False)
class Classed:
    """What periods are called and should be; arrays of shape (periods, units).

    Attributes
    ----------
    called, truly
        int8, of `grid.loss_class`: by the system, whose whole band must lie beyond a limit; by the truth alone.
    is_event
        The truth lies beyond a limit by more than 3 stated σ.
    """

    called: NDArray[np.int8]
    truly: NDArray[np.int8]
    is_event: NDArray[np.bool_]

    @property
    def is_false(self) -> NDArray[np.bool_]:
        """Called high or negative although the true rate doesn't lie beyond that limit."""
        told = (self.called == LossClass.HIGH) | (self.called == LossClass.NEGATIVE)
        false: NDArray[np.bool_] = told & (self.called != self.truly)
        return false


def classes_of(periods: Periods, limits: Threshold, least_wh: NDArray[np.float64]) -> Classed:
    """Classes of periods of one kind of unit.

    Parameters
    ----------
    least_wh
        Inflow below which no class is told; shape (periods, units).
    """
    inflow, supply = periods.inflow_wh, periods.supply_wh
    told = periods.computable & (inflow >= np.maximum(least_wh, 1.0))
    above, below = limits.high_rate, limits.low_rate

    def named(over: NDArray[np.bool_], under: NDArray[np.bool_]) -> NDArray[np.int8]:
        names = [LossClass.NOT_COMPUTABLE, LossClass.HIGH, LossClass.NEGATIVE]
        return np.select([~told, over, under], [int(n) for n in names], int(LossClass.NORMAL)).astype(np.int8)

    band, reach = BAND * periods.sigma_wh, EVENT * periods.sigma_wh
    loss, true = periods.loss_wh, periods.true_wh
    return Classed(
        called=named(loss - band > above * inflow, loss + band < below * inflow),
        truly=named(true > above * supply, true < below * supply),
        is_event=told & ((true - reach > above * supply) | (true + reach < below * supply)),
    )


def shares_within(z: NDArray[np.float64], halves: Sequence[float] = (1.0, 2.0, 3.0)) -> list[float]:
    """Share of errors within each half width, in standard deviations."""
    return [float(np.mean(np.abs(z) <= half)) for half in halves]
