"""Error of stored losses against the true ones; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Half width of the error bar in standard deviations.
BAND = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class StoredLosses:
    """Stored results, one row a unit and interval, each once; arrays of shape (rows,).

    Attributes
    ----------
    unit
        Position among the units of the truth.
    loss_wh, sigma_wh
        The loss and its standard deviation; NaN where none is stored.
    computable
        Whether the system gives a loss at all.
    """

    unit: NDArray[np.int64]
    end_s: NDArray[np.int64]
    interval_s: NDArray[np.int64]
    loss_wh: NDArray[np.float64]
    sigma_wh: NDArray[np.float64]
    computable: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Every interval of the truth with what is stored of it; arrays of shape (rows,).

    Attributes
    ----------
    unit
        Position among the units of the truth.
    true_wh, supply_wh
        True loss and true inflow.
    stored_wh, sigma_wh
        NaN where nothing computable is stored.
    is_stored
        Whether there is a row at all.
    """

    unit: NDArray[np.int64]
    true_wh: NDArray[np.float64]
    supply_wh: NDArray[np.float64]
    stored_wh: NDArray[np.float64]
    sigma_wh: NDArray[np.float64]
    is_stored: NDArray[np.bool_]

    def part(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Pairs:
        """Some of the rows."""
        return Pairs(*(getattr(self, name)[rows] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class LossError:
    """How far stored losses lie from the true ones; None where `reason` says why there is no figure.

    An error is stored loss − true loss, over the intervals that are computable. A rate is a share of the true supply;
    intervals without supply have none. Percentiles are interpolated linearly.

    Attributes
    ----------
    intervals, stored, computable
        Of the truth; of these, with a row in the database; of these, with a loss.
    completeness
        `computable` / `intervals`.
    bias_wh, bias_rate
        Mean error, and the sum of errors over the sum of supply.
    band_intervals, band_coverage
        Intervals with a stored deviation, and the share of them whose truth lies within ± 2 σ.
    """

    intervals: int
    stored: int
    computable: int
    completeness: float | None
    mean_abs_wh: float | None
    median_abs_wh: float | None
    p95_abs_wh: float | None
    mean_abs_rate: float | None
    median_abs_rate: float | None
    p95_abs_rate: float | None
    bias_wh: float | None
    bias_rate: float | None
    band_intervals: int
    band_coverage: float | None
    reason: str | None


def pair(
    unit: NDArray[np.int64],
    end_s: NDArray[np.int64],
    interval_s: NDArray[np.int64],
    true_wh: NDArray[np.float64],
    supply_wh: NDArray[np.float64],
    stored: StoredLosses,
) -> Pairs:
    """Each interval of the truth with the stored row of the same unit, end and length.

    Parameters
    ----------
    unit, end_s, interval_s, true_wh, supply_wh
        The truth, each interval of a unit once; shape (rows,).
    """
    keys, others = _keys((unit, end_s, interval_s), (stored.unit, stored.end_s, stored.interval_s))
    stored_wh, sigma_wh = np.full(len(unit), np.nan), np.full(len(unit), np.nan)
    is_stored = np.zeros(len(unit), np.bool_)
    if len(others):
        order = np.argsort(others, kind="stable")
        at = order[np.minimum(np.searchsorted(others, keys, sorter=order), len(others) - 1)]
        is_stored = others[at] == keys
        with_loss = is_stored & stored.computable[at]
        stored_wh[with_loss] = stored.loss_wh[at[with_loss]]
        sigma_wh[with_loss] = stored.sigma_wh[at[with_loss]]
    return Pairs(unit, true_wh, supply_wh, stored_wh, sigma_wh, is_stored)


def join(parts: Sequence[Pairs]) -> Pairs:
    """Pieces as one."""
    if not parts:
        nothing = np.empty(0)
        return Pairs(nothing.astype(np.int64), nothing, nothing, nothing, nothing, nothing.astype(np.bool_))
    return Pairs(*(np.concatenate([getattr(p, name) for p in parts]) for name in Pairs.__slots__))


def summarize(pairs: Pairs) -> LossError:
    """The error over all rows."""
    there = np.isfinite(pairs.stored_wh)
    counts = (len(there), int(pairs.is_stored.sum()), int(there.sum()))
    completeness = counts[2] / counts[0] if counts[0] else None
    if not counts[2]:
        reason = _why_nothing(counts[0], counts[1])
        return LossError(*counts, completeness, None, None, None, None, None, None, None, None, 0, None, reason)
    error = pairs.stored_wh[there] - pairs.true_wh[there]
    supply, sigma = pairs.supply_wh[there], pairs.sigma_wh[there]
    size, fed, banded = np.abs(error), supply > 0, np.isfinite(sigma)
    rates = size[fed] / supply[fed]
    within = size[banded] <= BAND * sigma[banded]
    return LossError(
        *counts,
        completeness,
        *_spread(size),
        *_spread(rates),
        bias_wh=float(np.mean(error)),
        bias_rate=float(np.sum(error[fed]) / np.sum(supply[fed])) if fed.any() else None,
        band_intervals=len(within),
        band_coverage=float(np.mean(within)) if len(within) else None,
        reason=None if fed.any() and len(within) else "no supply" if len(within) else "no deviation is stored",
    )


def by_unit(pairs: Pairs) -> dict[int, LossError]:
    """The error of each unit by its position; units without a row in the truth are left out."""
    order = np.argsort(pairs.unit, kind="stable")
    units, firsts = np.unique(pairs.unit[order], return_index=True)
    groups = np.split(order, firsts[1:]) if len(units) else []
    return {int(unit): summarize(pairs.part(rows)) for unit, rows in zip(units, groups, strict=True)}


def _spread(values: NDArray[np.float64]) -> tuple[float | None, float | None, float | None]:
    """Mean, median and 95th percentile."""
    if not len(values):
        return None, None, None
    return float(np.mean(values)), float(np.median(values)), float(np.percentile(values, 95))


def _why_nothing(intervals: int, stored: int) -> str:
    if not intervals:
        return "the truth has no interval here"
    if not stored:
        return "no result is stored of the same unit, end and length"
    return "no stored result is computable"


_Key = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _keys(some: _Key, others: _Key) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One number for each combination of three, the same on both sides."""
    split = len(some[0])
    key = np.zeros(split + len(others[0]), np.int64)
    for one, other in zip(some, others, strict=True):
        values, place = np.unique(np.concatenate([one, other]), return_inverse=True)
        key = key * max(1, len(values)) + place
    return key[:split], key[split:]
