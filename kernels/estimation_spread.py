"""Laying a known sum over the values of a span, and what is known of the errors then.

Compiled helpers of `kernels.estimation`, which documents the method.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.estimation_history import quantile

_FARTHEST, _BISECTIONS = 8.0, 40


@njit(cache=True, nogil=True)
def at_common_quantile(total, mean, z, spread):  # type: ignore[no-untyped-def]  # numba infers
    """Values of the distributions at the one quantile at which they sum to `total`, or nearest to it and scaled."""
    n = len(z)
    shape = np.zeros(n)
    low, high = -_FARTHEST, _FARTHEST
    for _ in range(_BISECTIONS):
        k = 0.5 * (low + high)
        reached = 0.0
        for i in range(n):
            shape[i] = quantile(mean[i], z[i] + spread[i] * k)
            reached += shape[i]
        if reached < total:
            low = k
        else:
            high = k
    reached = shape.sum()
    for i in range(n):
        shape[i] = shape[i] * (total / reached) if reached > 0.0 else total / n
    return shape


@njit(cache=True, nogil=True)
def whole(shape, total):  # type: ignore[no-untyped-def]
    """Integers nearest to `shape` that sum to `total`: the largest remainders, the earlier of equal ones, round up."""
    n = len(shape)
    out = np.empty(n, np.int64)
    short = total
    for i in range(n):
        out[i] = np.int64(shape[i])
        short -= out[i]
    order = np.argsort(out - shape, kind="mergesort")
    # Float sums of large totals may be off by more than one each; then the rest goes round again, or comes back.
    i = 0
    while short != 0:
        at = order[i % n]
        step = 1 if short > 0 else -1
        many = max(abs(short) // n, 1) * step
        if out[at] + many < 0:
            many = -out[at]
        out[at] += many
        short -= many
        i += 1
    return out


@njit(cache=True, nogil=True)
def covariance_with_sum(at, sigma, shares, decay):  # type: ignore[no-untyped-def]
    """Covariance of each error with the sum of all, where errors k intervals apart correlate by Σ share × decay^k."""
    n = len(at)
    out = (1.0 - shares.sum()) * sigma
    for s in range(len(shares)):
        carried = 0.0
        for i in range(n):
            if i > 0:
                carried *= decay[s] ** (at[i] - at[i - 1])
            carried += sigma[i]
            out[i] += shares[s] * carried
        carried = 0.0
        for i in range(n - 2, -1, -1):
            carried = (carried + sigma[i + 1]) * decay[s] ** (at[i + 1] - at[i])
            out[i] += shares[s] * carried
    return out * sigma
