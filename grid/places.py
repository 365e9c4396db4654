"""Where meters are read: the units that have them over time, for readings that come without their unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.model import UnitKind


@dataclass(frozen=True, slots=True, eq=False)
class UnitPlaces:
    """The stays of meters in one unit, by position and time.

    Attributes
    ----------
    meters
        Meter codes as an Arrow string array of length n.
    from_us, to_us
        int64 of shape (n,): each stay is [from, to), microseconds since 1970 UTC.
    """

    unit: str
    kind: UnitKind
    meters: pa.StringArray
    from_us: NDArray[np.int64]
    to_us: NDArray[np.int64]
