"""What a neighbourhood's missing readings were, how sure that is, and who goes in step: for comparing records."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.known import mean_of_known

Floats = NDArray[np.float64]

#: So many columns that go like another fill its gaps, from this cosine between them on.
_ALIKE, _LEAST_ALIKE = 4, 0.9
#: Correlation of changes from which on two columns go in step.
_IN_STEP = 0.9
#: Least power factor that is believed, and most reactive energy for active.
_LEAST_FACTOR, _MOST_TANGENT = 0.05, 3.0


def filled(energy_wh: Floats) -> tuple[Floats, Floats]:
    """Energies with an estimate where a reading is missing, and the estimate's variance, 0 elsewhere.

    Parameters
    ----------
    energy_wh
        float64 (times, columns); NaN = missing.

    Returns
    -------
    energy, variance
        float64 (times, columns): the mean of those that go alike or that of the readings before and after, whichever is
        nearer to this column's readings that are there; in Wh and Wh².
    """
    times, columns = energy_wh.shape
    known = np.isfinite(energy_wh)
    values = np.where(known, energy_wh, 0.0)
    at = np.arange(times)[:, None]
    before, after = np.full((times, columns), -1), np.full((times, columns), times)
    before[1:] = np.maximum.accumulate(np.where(known, at, -1), axis=0)[:-1]
    after[:-1] = np.minimum.accumulate(np.where(known, at, times)[::-1], axis=0)[::-1][1:]
    there = before >= 0, after < times
    sides = [
        np.take_along_axis(values, np.clip(side, 0, times - 1), axis=0) * has
        for side, has in zip((before, after), there, strict=True)
    ]
    middle = (sides[0] + sides[1]) / np.maximum(there[0].astype(np.float64) + there[1], 1.0)
    wrong = np.where(known, (values - middle) ** 2, 0.0).sum(axis=0)
    # How far readings are from the mean of those beside grows with what flows.
    size = middle**2 + 1.0
    rate = wrong / np.maximum((known * size).sum(axis=0), 1e-9)
    gap = np.sqrt(np.clip(after - before - 1, 1, 4))
    alike, there_too = _alike(values, known)
    # Those that go together, such as panels under one sky, say more than the readings before and after.
    wrong_alike = np.where(known & there_too, (values - alike) ** 2, 0.0).sum(axis=0)
    size_alike = alike**2 + 1.0
    rate_alike = wrong_alike / np.maximum((known & there_too).astype(np.float64).T @ np.ones(times), 1e-9)
    mean_size = np.where(known, size, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    better = there_too & (rate_alike < rate * mean_size)
    own = np.where(better, alike, middle)
    mean_alike = np.where(known, size_alike, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    doubt = np.where(better, rate_alike * size_alike / np.maximum(mean_alike, 1e-9), rate * size * gap)
    return np.where(known, values, own), np.where(known, 0.0, doubt)


def _alike(values: Floats, known: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Each column as the mean of those that go most like it, to its own measure; where any of them is known."""
    products, both = values.T @ values, known.astype(np.float64)
    squares = (values**2).T @ both  # of a column where another is known
    alike = products / np.sqrt(np.maximum(squares * squares.T, 1e-9))
    np.fill_diagonal(alike, -1.0)
    total, count = np.zeros(values.shape), np.zeros(values.shape)
    every = np.arange(values.shape[1])
    for _ in range(min(_ALIKE, values.shape[1] - 1)):
        other = alike.argmax(axis=0)
        measure = products[every, other] / np.maximum(squares[other, every], 1e-9)
        use = known[:, other] & (alike[other, every] > _LEAST_ALIKE)
        total += np.where(use, values[:, other] * measure, 0.0)
        count += use
        alike[other, every] = -1.0
    return total / np.maximum(count, 1.0), count > 0


def in_step(energy_wh: Floats, near: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Columns of which another one that is near goes up and down with it, as street lights or panels under one sky do.

    Parameters
    ----------
    energy_wh
        float64 (times, columns); NaN = missing.
    near
        bool (columns, columns): which may be taken for each other.
    """
    change = np.diff(energy_wh, axis=0)
    known = np.isfinite(change)
    change = np.where(known, change - mean_of_known(change, axis=0), 0.0)
    squares = (change**2).T @ known.astype(np.float64)  # of a column where another is known
    with np.errstate(invalid="ignore", divide="ignore"):
        together = change.T @ change / np.sqrt(squares * squares.T)
    np.fill_diagonal(together, 0.0)
    return np.asarray(((together > _IN_STEP) & near).any(axis=0))


def tangent(power_factor: Floats, energy: Floats) -> Floats:
    """Reactive for active energy, (times, columns); a column's middle one where nothing is shown, and NaN stands."""
    factor = np.abs(power_factor)
    shown = np.isfinite(factor) & (factor > _LEAST_FACTOR) & (energy != 0.0)
    middle = np.array([np.median(f[s]) if s.any() else 1.0 for f, s in zip(factor.T, shown.T, strict=True)])
    factor = np.clip(np.where(shown, factor, middle), _LEAST_FACTOR, 1.0)
    return np.asarray(np.minimum(np.sqrt(1.0 / factor**2 - 1.0), _MOST_TANGENT))
