"""One figure from several that are unequally sure and differ among each other too."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_BISECTIONS = 60


def consensus(value: NDArray[np.float64], variance: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean of values that differ by their own errors and by what they are values of.

    Parameters
    ----------
    value
        Shape (n,), at least 2.
    variance
        Of each value's own error, above 0; shape (n,).

    Returns
    -------
    mean, between, of_mean : float
        The mean; the variance of what they are values of, about it; and the variance of the mean. Another value of the
        kind, without an error of its own, has the variance `between` + `of_mean` about the mean.

    Raises
    ------
    ValueError
        When there are fewer than 2, or a variance isn't above 0.

    Notes
    -----
    The variance between is that at which the weighted squares add up to what is expected of them, n − 1; 0 where they
    are less without it (Paule and Mandel, Consensus values and weighting factors, J. Res. NBS 87, 1982).
    """
    if value.shape != variance.shape or value.ndim != 1 or len(value) < 2 or not np.all(variance > 0.0):
        raise ValueError("consensus wants at least 2 values, each with a variance above 0")
    low, high = 0.0, max(float(np.var(value, ddof=1)), float(variance.max()))
    if _excess(value, variance, 0.0) <= 0.0:
        high = 0.0
    while high and _excess(value, variance, high) > 0.0:
        low, high = high, 2.0 * high
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if _excess(value, variance, middle) > 0.0:
            low = middle
        else:
            high = middle
    weight = 1.0 / (variance + high)
    total = math.fsum(weight)
    return math.fsum(weight * value) / total, high, 1.0 / total


def _excess(value: NDArray[np.float64], variance: NDArray[np.float64], between: float) -> float:
    """Weighted squares about the weighted mean, less what is expected of them."""
    weight = 1.0 / (variance + between)
    mean = weight @ value / weight.sum()
    return float(weight @ (value - mean) ** 2) - (len(value) - 1)
