"""Which units to compare one with: of similar size, loss rate and course before anything was done; pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Days of a unit's own that must be there, of those before and of those after.
LEAST_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class MatchRules:
    """How controls are chosen.

    Attributes
    ----------
    most, least
        How many are taken at most; with fewer than `least` nothing is said.
    size_ratio
        A control's mean daily inflow lies within this factor of the treated unit's.
    """

    most: int = 30
    least: int = 12
    size_ratio: float = 8.0

    def __post_init__(self) -> None:
        if not 3 <= self.least <= self.most <= 200:
            raise ValueError("expected 3 <= least <= most <= 200")
        if not 1 < self.size_ratio <= 1_000:
            raise ValueError("expected 1 < size_ratio <= 1000")


def match_controls(
    treated_wh: NDArray[np.float64],
    treated_inflow_wh: NDArray[np.float64],
    loss_wh: NDArray[np.float64],
    inflow_wh: NDArray[np.float64],
    before: NDArray[np.bool_],
    after: NDArray[np.bool_],
    rules: MatchRules,
) -> NDArray[np.int64]:
    """Positions of the controls, the nearest first; may be fewer than `rules.least`.

    Only the days before decide. The distance is Euclidean over what differs in size (logarithm of the mean inflow),
    level (loss rate) and shape (one less the correlation of daily inflow), the first two in standard deviations of the
    candidates.

    Parameters
    ----------
    treated_wh, treated_inflow_wh
        Daily loss and inflow of the treated unit, watt-hours, of shape (days,); NaN = not computable.
    loss_wh, inflow_wh
        Of the candidates, of shape (days, candidates).
    before, after
        Which days count, of shape (days,). What happened after plays no part but for the days that must be there.
    """
    there = np.isfinite(loss_wh) & np.isfinite(inflow_wh)
    known = np.isfinite(treated_wh) & np.isfinite(treated_inflow_wh)
    own, own_after = before & known, after & known
    if not (own.any() and own_after.any()):
        return np.empty(0, np.int64)
    # Of the treated unit's own days: no others are compared.
    enough = (there[own].mean(axis=0) >= LEAST_SHARE) & (there[own_after].mean(axis=0) >= LEAST_SHARE)
    size = float(np.mean(treated_inflow_wh[own]))
    rate = float(np.sum(treated_wh[own]) / np.sum(treated_inflow_wh[own])) if size > 0 else np.nan
    sizes, rates, shapes = (np.full(loss_wh.shape[1], np.nan) for _ in range(3))
    for i in np.flatnonzero(enough).tolist():
        both = own & there[:, i]
        sizes[i] = np.mean(inflow_wh[both, i]) if both.any() else np.nan
        if sizes[i] > 0:
            rates[i] = np.sum(loss_wh[both, i]) / np.sum(inflow_wh[both, i])
            shapes[i] = 1.0 - _correlation(treated_inflow_wh[both], inflow_wh[both, i])
    usable = enough & (sizes > 0) & np.isfinite(rates) & np.isfinite(shapes)
    usable[usable] &= np.abs(np.log(sizes[usable] / size)) <= np.log(rules.size_ratio) if size > 0 else False
    found = np.flatnonzero(usable)
    if not len(found):
        return found
    far = np.hypot(_scaled(np.log(sizes[found]), np.log(size)), _scaled(rates[found], rate))
    # Equal distances in the order of the candidates: the same data give the same controls.
    return found[np.argsort(np.hypot(far, shapes[found]), kind="stable")][: rules.most]


def _scaled(values: NDArray[np.float64], centre: float) -> NDArray[np.float64]:
    spread = float(np.std(values))
    return (values - centre) / spread if spread > 0 else np.zeros_like(values)


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    if len(a) < 3:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0 else 0.0
