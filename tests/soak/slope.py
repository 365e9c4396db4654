"""Whether something grows: the slope of a series, robust against single values."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

#: Points that a long series is thinned to: the number of pairs is its square.
_POINTS = 600


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
