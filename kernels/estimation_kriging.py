"""How high a missing value is likely to lie, from how high several known values on either side of its gap lie.

Compiled helpers of `kernels.estimation`, which documents the method: simple kriging of normal scores.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _correlation(apart, shares, decay):  # type: ignore[no-untyped-def]  # numba infers
    return shares[0] * decay[0] ** apart + shares[1] * decay[1] ** apart


@njit(cache=True, nogil=True)
def factored(at, shares, decay):  # type: ignore[no-untyped-def]
    """Cholesky factor of the correlations between the scores at these intervals; shape (n, n)."""
    n = len(at)
    low = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            left = 1.0 if i == j else _correlation(abs(at[i] - at[j]), shares, decay)
            for k in range(j):
                left -= low[i, k] * low[j, k]
            low[i, j] = math.sqrt(left) if i == j else left / low[j, j]
    return low


@njit(cache=True, nogil=True)
def weights(low, at, t, shares, decay):  # type: ignore[no-untyped-def]
    """Weights of the scores at `at` for that of interval `t`, of shape (n,), and the variance that they explain."""
    n = len(at)
    weight = np.empty(n)
    explained = 0.0
    for i in range(n):
        left = _correlation(abs(at[i] - t), shares, decay)
        for k in range(i):
            left -= low[i, k] * weight[k]
        weight[i] = left / low[i, i]
        explained += weight[i] ** 2
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            weight[i] -= low[k, i] * weight[k]
        weight[i] /= low[i, i]
    return weight, explained
