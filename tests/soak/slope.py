"""Whether something grows: the slope of a series, robust against single values, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

#: Points that a long series is thinned to: the number of pairs is its square.
_POINTS = 600
#: What hangs together in time is drawn together: a round of a fault takes a minute or two.
BLOCK_S = 120.0
_DRAWS = 400


@dataclass(frozen=True, slots=True)
class Growth:
    """What a series grows by from its beginning to its end, by its slope; 95 of 100 lie from `least` to `most`."""

    by: float
    least: float
    most: float


def theil_sen(times: ArrayLike, values: ArrayLike) -> float:
    """Median of the slopes between all pairs of points (Theil 1950, Sen 1968); 0 for fewer than two.

    Parameters
    ----------
    times, values
        Of shape (n,), times rising.
    """
    x, y = np.asarray(times, np.float64), np.asarray(values, np.float64)
    keep = slice(None, None, max(1, -(-len(x) // _POINTS)))
    x, y = x[keep], y[keep]
    first, second = np.triu_indices(len(x), k=1)
    apart = x[second] - x[first]
    if not np.any(apart > 0):
        return 0.0
    return float(np.median((y[second] - y[first])[apart > 0] / apart[apart > 0]))


def growth(times: ArrayLike, values: ArrayLike) -> Growth:
    """Slope times length, with its error by drawing what is left over it anew, in blocks (Künsch 1989).

    Samples of memory hang together: taken for independent ones, an hour of them would make any step a slope that is
    sure. Of less than three blocks nothing is sure.

    Parameters
    ----------
    times, values
        Of shape (n,), times rising, in seconds and evenly apart.
    """
    x, y = np.asarray(times, np.float64), np.asarray(values, np.float64)
    length_s = float(x[-1] - x[0]) if len(x) else 0.0
    slope = theil_sen(x, y)
    by = slope * length_s
    if length_s < 3 * BLOCK_S:
        return Growth(by, -np.inf, np.inf)
    line = np.median(y - slope * x) + slope * x
    left = y - line
    size = max(1, round(BLOCK_S / length_s * (len(x) - 1)))
    chance = np.random.default_rng(1)
    begins = chance.integers(0, len(x) - size + 1, (_DRAWS, -(-len(x) // size)))
    drawn = left[(begins[:, :, None] + np.arange(size)).reshape(_DRAWS, -1)[:, : len(x)]]
    keep = slice(None, None, max(1, len(x) // 60))
    slopes = [theil_sen(x[keep], (line + each)[keep]) for each in drawn]
    least, most = np.percentile(slopes, [2.5, 97.5]) * length_s
    return Growth(by, float(least), float(most))
