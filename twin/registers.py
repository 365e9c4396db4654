"""Registers of meters: whole watt-hours of the meter's own, with the remainder kept for the next interval."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Registers:
    """The import and export registers of many meters.

    What has flowed and not yet made a whole watt-hour stays in the meter, so that rounding never adds up. Where a
    register stands between two steps at the start follows from the meter's code and the seed.
    """

    def __init__(self, codes: Sequence[str], multipliers: Sequence[int], seed: int = 0) -> None:
        self.codes = tuple(codes)
        self.multipliers = np.array(multipliers, dtype=np.float64)
        digests = [hashlib.blake2b(code.encode(), digest_size=8, key=str(seed).encode()).digest() for code in codes]
        parts = np.frombuffer(b"".join(digests), dtype="<u4").reshape(len(digests), 2)
        self._remainder = parts.T / 2.0**32

    def advance(self, energy_wh: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Let energy flow, positive for import, and return what each register moved by (before the multiplier)."""
        own = energy_wh / self.multipliers
        total = self._remainder + np.stack([np.maximum(own, 0), np.maximum(-own, 0)])
        moved = np.floor(total)
        self._remainder = total - moved
        imported, exported = moved.astype(np.int64)
        return imported, exported
