"""Variance of sums of estimates: errors inside a gap hang together, and a register's difference leaves none."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.estimation_model import REGISTER, Estimates, Model
from kernels.estimation_spread import covariance_with_sum


def sum_variance(
    estimates: Estimates,
    edges: NDArray[np.int64],
    interval_minutes: float,
    *,
    register_variance_wh2: float = 1.0 / 6.0,
    model: Model | None = None,
) -> NDArray[np.float64]:
    """Variance of each meter's energy over periods, as far as it comes from estimates.

    Parameters
    ----------
    estimates
        Of `estimate_missing`, with the same `interval_minutes`, `register_variance_wh2` and `model`.
    edges
        int64 of shape (periods + 1,), rising, inside 0 … intervals: period p holds the intervals edges[p]:edges[p+1].

    Returns
    -------
    NDArray
        float64 of shape (meters, periods), Wh²; 0 where nothing is estimated, NaN where a value is unknown.

    Raises
    ------
    ValueError
        When the edges aren't as described.

    Notes
    -----
    Inside a span errors k intervals apart correlate by error_fast × e^(−k/fast) + error_slow × e^(−k/slow). Where a
    register gives the span's sum S, what it tells is taken off: Var(P) − Cov(P, S)² / (Var(S) + the register's), for
    the part P of the span inside the period. Spans are taken as independent of each other.
    """
    intervals = estimates.energy_wh.shape[1]
    edges = np.ascontiguousarray(edges, np.int64)
    if edges.ndim != 1 or len(edges) < 1 or np.any(np.diff(edges) < 0) or edges[0] < 0 or edges[-1] > intervals:
        raise ValueError(f"edges must rise inside 0…{intervals}")
    if not interval_minutes > 0.0 or not register_variance_wh2 >= 0.0:
        raise ValueError("interval_minutes must be above 0, register_variance_wh2 not below")
    model = model or Model()
    return np.asarray(
        _sum_variance(
            estimates.method,
            estimates.variance_wh2,
            estimates.free_sigma_wh,
            estimates.span,
            edges,
            *model.errors(interval_minutes),
            float(register_variance_wh2),
        )
    )


@njit(cache=True, nogil=True)
def _sum_variance(method, variance, sigma, span, edges, shares, decay, step):  # type: ignore[no-untyped-def]  # numba infers
    out = np.zeros((len(method), len(edges) - 1))
    for m in range(len(method)):
        at = np.flatnonzero(span[m] >= 0)
        i = 0
        while i < len(at):
            j = i
            while j < len(at) and span[m, at[j]] == span[m, at[i]]:
                j += 1
            by_register = method[m, at[i]] & REGISTER != 0
            _add_span(at[i:j], sigma[m], by_register, edges, shares, decay, step, out[m])
            i = j
        for p in range(len(edges) - 1):
            if np.isnan(variance[m, edges[p] : edges[p + 1]]).any():
                out[m, p] = np.nan
    return out


@njit(cache=True, nogil=True)
def _add_span(at, sigma, by_register, edges, shares, decay, step, out):  # type: ignore[no-untyped-def]
    with_sum = covariance_with_sum(at, sigma[at], shares, decay)
    of_sum = with_sum.sum() + step
    for p in range(len(out)):
        i = np.searchsorted(at, edges[p])
        j = np.searchsorted(at, edges[p + 1])
        if i == j:
            continue
        variance = covariance_with_sum(at[i:j], sigma[at[i:j]], shares, decay).sum()
        if by_register and of_sum > 0.0:
            variance -= with_sum[i:j].sum() ** 2 / of_sum
        out[p] += max(variance, 0.0)
