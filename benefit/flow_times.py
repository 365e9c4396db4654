"""Times of stays of which some still last: Kaplan and Meier's curve, and the log-rank test of two of them; pure.

Leaving out what still waits would make the slowest step look quick, since what got through it is what went fast.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]
Ended = NDArray[np.bool_]


def quantile(seconds: Seconds, ended: Ended, share: float) -> float:
    """The time by which `share` of all stays are over.

    Parameters
    ----------
    seconds
        float64 (n,): how long each has lasted so far.
    ended
        bool (n,): whether that is its end.
    share
        Within (0, 1).

    Returns
    -------
    float
        The least time at which the estimated share that lasts is 1 − `share` or less; NaN where too few have ended.

    Notes
    -----
    E. L. Kaplan, P. Meier: Nonparametric estimation from incomplete observations. JASA 53 (1958) 457-481. Where none
    still lasts it is the quantile of the empirical distribution.
    """
    times, over, at_risk = _ladder(seconds, ended)
    lasting = np.cumprod(1.0 - over / at_risk)
    # A share of a count is only as exact as its digits.
    reached = np.flatnonzero(lasting <= 1.0 - share + 1e-12)
    return float(times[reached[0]]) if len(reached) else math.nan


def log_rank(seconds: Seconds, ended: Ended, other_s: Seconds, other_ended: Ended) -> float:
    """Probability of stays as slow as these, or slower, if they ended at the same rate as the others (one-sided).

    Parameters
    ----------
    seconds, ended
        As in `quantile`, float64 and bool (n,).
    other_s, other_ended
        The same of those to compare with, (m,).

    Returns
    -------
    float
        1 where nothing can be told.

    Notes
    -----
    N. Mantel: Evaluation of survival data and two new rank order statistics. Cancer Chemotherapy Reports 50 (1966)
    163-170; its normal approximation.
    """
    times = np.unique(np.concatenate((seconds[ended], other_s[other_ended])))
    mine, mine_over = _counts(seconds, ended, times)
    theirs, theirs_over = _counts(other_s, other_ended, times)
    at_risk, over = mine + theirs, mine_over + theirs_over
    expected = float(np.sum(over * mine / at_risk))
    spread = np.where(at_risk > 1, (at_risk - over) / np.maximum(at_risk - 1, 1), 0.0)
    variance = float(np.sum(over * mine * theirs / at_risk**2 * spread))
    if variance <= 0:
        return 1.0
    z = (expected - float(mine_over.sum())) / math.sqrt(variance)
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def seconds_per_end(seconds: Seconds, ended: Ended) -> float:
    """Time spent for each stay that came to its end; where none did, as if half of one had."""
    return float(seconds.sum()) / max(float(ended.sum()), 0.5)


def _ladder(seconds: Seconds, ended: Ended) -> tuple[Seconds, Seconds, Seconds]:
    times = np.unique(seconds[ended])
    at_risk, over = _counts(seconds, ended, times)
    return times, over, at_risk


def _counts(seconds: Seconds, ended: Ended, times: Seconds) -> tuple[Seconds, Seconds]:
    """Of each time: how many last until then at least, and how many end then."""
    inorder, ends = np.sort(seconds), np.sort(seconds[ended])
    at_risk = len(inorder) - np.searchsorted(inorder, times, "left")
    over = np.searchsorted(ends, times, "right") - np.searchsorted(ends, times, "left")
    return at_risk.astype(np.float64), over.astype(np.float64)
