"""Mean load of an interval from the 15-minute profiles, down to one minute."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from twin.simbench import Profiles, profile_row

_QUARTER_S, _MINUTE_S, _MINUTES = 900, 60, 15


def _minute_weights() -> NDArray[np.float64]:
    """Shares of the means before, of and after a quarter-hour in each of its minutes; shape (15, 3).

    A line is drawn through the middles of the quarter-hours, where it takes their means, and read at the middle of
    each minute: it is straight over every minute, so that this is the minute's mean.
    """
    offset = (np.arange(_MINUTES) + 0.5) / _MINUTES - 0.5
    before, after = np.maximum(-offset, 0), np.maximum(offset, 0)
    return np.stack([before, 1 - before - after, after], axis=1)


_WEIGHTS = _minute_weights()
_MEAN_WEIGHTS = _WEIGHTS.mean(axis=0)


def mean_shares(profiles: Profiles, end_s: int, length_s: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean active and reactive share of each profile over the interval that ends at `end_s`.

    A quarter-hour has the profile's own value. A shorter interval reads the interpolated curve, which is scaled
    (where nothing is negative) or moved so that its fifteen minutes still have the quarter-hour's mean: the same
    energy flows whichever interval it is read at.

    Parameters
    ----------
    end_s
        Seconds since 1970 UTC, aligned to `length_s`.
    length_s
        Whole minutes that divide a quarter-hour, or whole quarter-hours.

    Raises
    ------
    ValueError
        For an interval that is not aligned or of another length.
    """
    if end_s % length_s or length_s % _MINUTE_S or (length_s % _QUARTER_S and _QUARTER_S % length_s):
        raise ValueError(f"no interval of {length_s} s ends at {end_s}")
    first = (end_s - length_s) // _QUARTER_S
    if length_s >= _QUARTER_S:
        rows = [profile_row(first + i) for i in range(length_s // _QUARTER_S)]
        return profiles.active[rows].mean(axis=0), profiles.reactive[rows].mean(axis=0)
    rows = [profile_row(first + i) for i in (-1, 0, 1)]
    minute = (end_s - length_s) % _QUARTER_S // _MINUTE_S
    weights = _WEIGHTS[minute : minute + length_s // _MINUTE_S].mean(axis=0)
    return _interpolated(profiles.active[rows], weights), _interpolated(profiles.reactive[rows], weights)


def _interpolated(means: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted sum of three successive means by profile, with the middle one's mean over the quarter-hour."""
    value, mean = weights @ means, _MEAN_WEIGHTS @ means
    # Scaling keeps zero at zero and nothing below it; next to a change of sign it would magnify.
    scalable = (means.min(axis=0) >= 0) & (mean > 0)
    factor = np.divide(means[1], mean, out=np.ones_like(mean), where=scalable)
    result: NDArray[np.float64] = np.where(scalable, value * factor, value + (means[1] - mean))
    return result
