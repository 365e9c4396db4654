"""Quality of a reading, after IEC 61968-9 ReadingQuality, packed into one byte a meter and interval."""

from __future__ import annotations

from enum import IntFlag

import numpy as np
from numpy.typing import NDArray


class Quality(IntFlag):
    """Flags of one reading. No flag set means valid as received."""

    VALID = 0
    MISSING = 1
    ESTIMATED = 2
    SUSPECT = 4
    SUBSTITUTED = 8
    DERIVED = 16  # from two registers


#: A missing energy is the type's minimum, never NULL, so that arrays stay dense.
MISSING_WH = np.iinfo(np.int64).min

#: A precedence is a rank and, below it, a sequence.
MAX_SEQUENCE = 2**60
#: Nothing was said.
NO_PRECEDENCE = -1

# Rank by flag byte: a valid reading beats a suspect, substituted, estimated and missing one, in this order.
_RANK = np.zeros(256, dtype=np.int64)
for _flags in range(256):
    if _flags & Quality.MISSING:
        _RANK[_flags] = 0
    elif _flags & Quality.ESTIMATED:
        _RANK[_flags] = 1
    elif _flags & Quality.SUBSTITUTED:
        _RANK[_flags] = 2
    elif _flags & Quality.SUSPECT:
        _RANK[_flags] = 3
    else:
        _RANK[_flags] = 4


def quality_rank(quality: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Rank of readings by their flags, 0 (missing) to 4 (valid); same shape as `quality`."""
    return _RANK[quality]


# Least precedence by flag byte.
_LEAST: NDArray[np.int64] = _RANK[np.arange(256) & ~int(Quality.MISSING)] * MAX_SEQUENCE


#: Of an energy from registers that took the place of a substitute or an estimate: above theirs, below a meter's own.
COUNTED = int(_RANK[Quality.SUSPECT]) * MAX_SEQUENCE - 1


def precedence(quality: NDArray[np.uint8], sequence: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """Which of two readings stands: the greater of (rank, sequence), as one number; same shape as `quality`.

    Whether a single channel is there is said by its value: a reading whose energy alone is missing ranks by its other
    flags. `sequence` lies in 0 … `MAX_SEQUENCE` − 1.
    """
    # Half the time of an index.
    return np.asarray(_LEAST.take(quality) + sequence)
