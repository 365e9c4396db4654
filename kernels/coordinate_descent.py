"""Least squares within bounds, on the sums of products."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def bounded(matrix, moments, low, high, size, most, least_move):  # type: ignore[no-untyped-def]  # numba infers
    """Coefficients between `low` and `high` by coordinate descent, of regressors whose products are not 0.

    Ends after `most` sweeps, or when none moves by more than `least_move` of the greatest, each times its `size`.
    """
    count = len(moments)
    out = np.zeros(count)
    slope = -moments.copy()
    for _ in range(most):
        moved = 0.0
        greatest = 0.0
        for j in range(count):
            if matrix[j, j] <= 0.0:
                continue
            new = min(max(out[j] - slope[j] / matrix[j, j], low[j]), high[j])
            step = new - out[j]
            if step != 0.0:
                for k in range(count):
                    slope[k] += step * matrix[k, j]
                out[j] = new
                moved = max(moved, abs(step) * size[j])
            greatest = max(greatest, abs(new) * size[j])
        if moved <= least_move * greatest:
            break
    return out
