"""Stated losses and their error bars against the truth: by interval, local day and month; pure.

Days and months are summed up and classed by the same step as in the product (`streams.steps.periods`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.loss_settle import FIGURES, Stated
from grid.limits import Limits
from grid.loss_class import LossClass
from grid.model import UnitKind
from grid.period import JUDGED_OF, PIECE_COLUMNS, PeriodKeys, PeriodKind, Pieces, judged_of
from grid.thresholds import Threshold, Thresholds
from streams.steps.periods import PeriodRules, fold_periods

#: How far the truth must lie beyond a limit for an event that has to be classed, in standard deviations.
EVENT = 3.0
_SECOND_US = 1_000_000
#: Longer than any limit.
_LATE_US = 10**9 * _SECOND_US


@dataclass(frozen=True, slots=True, eq=False)
class Periods:
    """Sums over the computable intervals of each period and unit; arrays of shape (periods, units).

    Attributes
    ----------
    there
        Whether there is any.
    computable
        Whether there are enough.
    systematic_sigma_wh, ends_sigma_wh
        Parts of `sigma_wh`.
    judged
        Part of the period that the class rests on.
    called
        int8, `LossClass`: what the system calls it.
    reasons
        Why.
    """

    loss_wh: NDArray[np.float64]
    inflow_wh: NDArray[np.float64]
    sigma_wh: NDArray[np.float64]
    systematic_sigma_wh: NDArray[np.float64]
    ends_sigma_wh: NDArray[np.float64]
    true_wh: NDArray[np.float64]
    supply_wh: NDArray[np.float64]
    there: NDArray[np.bool_]
    computable: NDArray[np.bool_]
    judged: NDArray[np.float64]
    called: NDArray[np.int8]
    reasons: NDArray[np.int32]

    @property
    def z(self) -> NDArray[np.float64]:
        """Error over its stated standard deviation, where there is a sum; flat."""
        there = self.there
        return (self.loss_wh[there] - self.true_wh[there]) / self.sigma_wh[there]

    def part(self, units: slice) -> Periods:
        """Some of the units."""
        return Periods(*(getattr(self, name)[:, units] for name in self.__slots__))


def intervals_of(stated: Stated, true_wh: NDArray[np.float64], supply_wh: NDArray[np.float64]) -> Periods:
    """Each interval as a period of its own, as it was settled."""
    there = stated.computable
    summed = {name: np.where(there, getattr(stated, name), 0.0) for name in _SUMMED}
    return Periods(
        **summed,
        true_wh=np.where(there, true_wh, 0.0),
        supply_wh=np.where(there, supply_wh, 0.0),
        there=there,
        computable=there,
        judged=there.astype(np.float64),
        called=stated.loss_class,
        reasons=np.where(there, stated.reasons, 0),
    )


_SUMMED = ("loss_wh", "inflow_wh", "sigma_wh", "systematic_sigma_wh", "ends_sigma_wh")


def periods_of(
    stated: Stated,
    true_wh: NDArray[np.float64],
    supply_wh: NDArray[np.float64],
    period: NDArray[np.int64],
    interval_s: int,
    kinds: Sequence[UnitKind],
    thresholds: Thresholds,
) -> Periods:
    """Days or months, each settled wholly.

    Parameters
    ----------
    period
        Number of each interval's period, not falling, from 0; shape (intervals,).
    kinds
        Of the units.
    """
    shape = int(period[-1]) + 1, len(kinds)
    firsts = np.flatnonzero(np.append(True, period[1:] != period[:-1]))
    lasts = np.append(firsts[1:], len(period))
    length_us = interval_s * _SECOND_US
    bounds = np.stack([firsts, lasts]) * length_us
    keys = PeriodKeys(
        kind=PeriodKind.DAY,
        unit_id=np.repeat(np.arange(shape[1], dtype=np.int32), shape[0]),
        unit_kind=[kind for kind in kinds for _ in range(shape[0])],
        medium_voltage_v=[None] * (shape[0] * shape[1]),
        first=[datetime.fromtimestamp(0, UTC).date()] * (shape[0] * shape[1]),
        begin_us=np.tile(bounds[0], shape[1]),
        end_us=np.tile(bounds[1], shape[1]),
    )
    pieces = _pieces(stated, period, shape[0], interval_s)
    rules = PeriodRules(Limits(), thresholds)
    rows = fold_periods(keys, pieces, rules, int(bounds[1, -1]) + _LATE_US)
    newest = np.flatnonzero(np.append(rows.period[1:] != rows.period[:-1], True))

    def of_rows(name: str) -> NDArray[Any]:
        return rows.figures[name][newest].reshape(shape[1], shape[0]).T

    def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
        summed: NDArray[np.float64] = np.add.reduceat(np.where(stated.computable, values, 0.0), firsts, axis=0)
        return summed

    expected_s = ((bounds[1] - bounds[0]) // _SECOND_US)[:, None]
    return Periods(
        **{name: of_rows(name).astype(np.float64) for name in _SUMMED},
        true_wh=total(true_wh),
        supply_wh=total(supply_wh),
        there=of_rows("covered_s") > 0,
        computable=of_rows("computable"),
        judged=of_rows("judged_s") / expected_s,
        called=of_rows("loss_class").astype(np.int8),
        reasons=of_rows("reasons").astype(np.int32),
    )


def _pieces(stated: Stated, period: NDArray[np.int64], periods: int, interval_s: int) -> Pieces:
    """All units' intervals, one version each, published with the first: unit by unit."""
    intervals, units = stated.computable.shape
    end_us = np.tile(np.arange(1, intervals + 1) * interval_s * _SECOND_US, units)
    there = stated.computable.T.ravel()
    half = np.where(there, stated.ends_sigma_wh.T.ravel(), 0.0) / np.sqrt(2.0)
    columns: dict[str, NDArray[Any]] = {
        "period": np.repeat(np.arange(units), intervals) * periods + np.tile(period, units),
        "begin_us": end_us - interval_s * _SECOND_US,
        "end_us": end_us,
        "whole": np.zeros(len(end_us), np.bool_),
        "final": np.ones(len(end_us), np.bool_),
        "published_us": np.zeros(len(end_us), np.int64),
        "covered_s": interval_s * there,
        "intervals": there,
        "from_us": end_us - interval_s * _SECOND_US,
        "to_us": end_us,
        "opening_sigma_wh": half,
        "closing_sigma_wh": half,
        "reasons": stated.reasons.T.ravel().astype(np.int64),
        **{name: np.where(there, np.nan_to_num(getattr(stated, name).T.ravel()), 0.0) for name in FIGURES},
    }
    # As `store.periods` reads it: what an interval adds to a sum's error.
    columns["sigma_wh"] = np.hypot(columns["sigma_wh"], columns.pop("gap_sigma_wh"))
    typed: dict[str, Any] = {
        name: columns[name].astype(dtype) for name, dtype in PIECE_COLUMNS.items() if name in columns
    }
    return Pieces(**(typed | judged_of(**{name: typed[name] for name in JUDGED_OF})))


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
        The truth of a computable period lies beyond a limit by more than 3 stated σ.
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
    """What periods of one kind of unit are called, and should be.

    Parameters
    ----------
    least_wh
        Inflow below which no class is told; shape (periods, units).
    """
    can = periods.computable & (periods.inflow_wh >= np.maximum(least_wh, 1.0))
    above, below = limits.high_rate * periods.supply_wh, limits.low_rate * periods.supply_wh
    true, reach = periods.true_wh, EVENT * periods.sigma_wh
    truly = np.select(
        [true > above, true < below], [int(LossClass.HIGH), int(LossClass.NEGATIVE)], int(LossClass.NORMAL)
    )
    return Classed(periods.called, truly.astype(np.int8), can & ((true - reach > above) | (true + reach < below)))


def shares_within(z: NDArray[np.float64], halves: Sequence[float] = (1.0, 2.0, 3.0)) -> list[float]:
    """Share of errors within each half width, in standard deviations."""
    return [float(np.mean(np.abs(z) <= half)) for half in halves]
