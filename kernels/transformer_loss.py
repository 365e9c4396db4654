"""Loss of a distribution transformer, calculated from its rating plate and the energy that passed through it."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

#: Where no meter tells it: of loads in distribution networks it lies between 0.9, which the tariffs of Chinese
#: utilities expect of a larger customer (力调电费), and 1. Either end changes the loss at load by a tenth.
POWER_FACTOR = 0.95


#: Apparent power over rated power that no distribution transformer is loaded beyond (IEC 60076-7, limits of current).
_MOST_LOAD = 2.0

_Numbers = TypeVar("_Numbers", float, NDArray[np.float64])


def load_loss_w(
    power_w: _Numbers, rating_va: _Numbers, rated_load_loss_w: _Numbers, power_factor: _Numbers | float = POWER_FACTOR
) -> _Numbers:
    """Load loss by the square of the load, in watts; of numbers or of arrays of one shape.

    Parameters
    ----------
    power_w
        Active power that passes, in either direction.
    rating_va, rated_load_loss_w
        Of the plate: rated power, and loss at rated current.
    power_factor
        In (0, 1].

    Notes
    -----
    P_k (S/S_r)² with S the apparent power, as in DL/T 686 (guide for the calculation of network loss) and IEC 60076-1.
    """
    load = power_w / power_factor / rating_va
    return rated_load_loss_w * load * load


def believed_power_factor(
    passed_wh: NDArray[np.int64],
    interval_s: NDArray[np.int64],
    rating_va: NDArray[np.float64],
    power_factor: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Power factors as a meter tells them, NaN where they can't be those of the interval; parameters as below.

    A meter that tells the factor of an instant may tell 0 or little of one at which hardly anything flowed. With what
    flowed over the interval that would be more current than the transformer carries.
    """
    known = (power_factor > 0) & (power_factor <= 1)
    apparent_va = passed_wh / (interval_s / 3_600.0) / np.where(known, power_factor, 1.0)
    return np.where(known & (apparent_va <= _MOST_LOAD * rating_va), power_factor, np.nan)


def transformer_loss_wh(
    passed_wh: NDArray[np.int64],
    interval_s: NDArray[np.int64],
    rating_va: NDArray[np.float64],
    no_load_loss_w: NDArray[np.float64],
    rated_load_loss_w: NDArray[np.float64],
    power_factor: NDArray[np.float64],
) -> NDArray[np.int64]:
    """No-load loss over the interval, and load loss by the square of the mean load.

    Parameters
    ----------
    passed_wh
        int64 of shape (n,): energy that passed at the side where it is metered, in either direction.
    interval_s
        Of shape (n,), positive.
    rating_va
        float64 of shape (n,), positive.
    no_load_loss_w, rated_load_loss_w
        float64 of shape (n,): at rated voltage; at rated current.
    power_factor
        float64 of shape (n,), in 0…1; where it isn't, or is NaN, `POWER_FACTOR` stands in.

    Returns
    -------
    NDArray
        int64 of shape (n,), watt-hours; a half goes to the even neighbour, so the same input gives the same loss.

    Raises
    ------
    ValueError
        When shapes disagree, or an interval or a rating isn't positive.

    Notes
    -----
    P = P₀ + P_k (S/S_r)² with S the mean apparent power (`load_loss_w`). The square of a mean is less than the mean of
    squares: what the load's course within the interval adds is left out.
    """
    arrays = (interval_s, rating_va, no_load_loss_w, rated_load_loss_w, power_factor)
    if any(array.shape != passed_wh.shape for array in arrays):
        raise ValueError(f"shapes disagree: {[a.shape for a in (passed_wh, *arrays)]}")
    if np.any(interval_s <= 0) or np.any(rating_va <= 0):
        raise ValueError("intervals and ratings must be positive")
    known = (power_factor > 0) & (power_factor <= 1)
    factor = np.where(known, power_factor, POWER_FACTOR)
    hours = interval_s / 3_600.0
    at_load_w = load_loss_w(passed_wh / hours, rating_va, rated_load_loss_w, factor)
    return np.rint((no_load_loss_w + at_load_w) * hours).astype(np.int64)
