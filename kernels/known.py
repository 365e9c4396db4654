"""Means of what is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mean_of_known(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Means without what is missing (NaN); 0 where all of it is."""
    known = np.isfinite(values)
    return np.asarray(np.where(known, values, 0.0).sum(axis=axis) / np.maximum(known.sum(axis=axis), 1))
