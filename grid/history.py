"""What a stored row says of energies, and since when that was known: what estimates rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid.channels import CLOSING, EXPORT, IMPORT, Values
from grid.quality import MISSING_WH, NO_PRECEDENCE, Quality
from grid.rows import NEVER_US

#: Later than any limit.
NEVER_DOUBTED_US = np.iinfo(np.int64).max
#: What was guessed, stood in or is in doubt is no history.
_NOT_MEASURED = int(Quality.MISSING | Quality.ESTIMATED | Quality.SUBSTITUTED | Quality.SUSPECT)


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """Energies of one row by position; arrays of shape (n,).

    Attributes
    ----------
    import_wh, export_wh
        int64, `MISSING_WH` where missing.
    quality
        uint8, flags of `Quality`.
    precedence
        int64: by which the import stands.
    known_us
        int64: when the import was known; of one that is derived from registers, when the position's last value was.
    register_wh, register_us
        int64: closing register of the import and when it was known; None where no position of the row has one.
    doubted_us
        int64: from when on a validation rule's doubt counts, `NEVER_DOUBTED_US` where there is none; None: nowhere.
    """

    import_wh: NDArray[np.int64]
    export_wh: NDArray[np.int64]
    quality: NDArray[np.uint8]
    precedence: NDArray[np.int64]
    known_us: NDArray[np.int64]
    register_wh: NDArray[np.int64] | None = None
    register_us: NDArray[np.int64] | None = None
    doubted_us: NDArray[np.int64] | None = None

    def measured(self, until_us: int) -> NDArray[np.bool_]:
        """Where an import was measured and known by an instant."""
        there = (self.import_wh >= 0) & (self.quality & np.uint8(_NOT_MEASURED) == 0)
        return np.asarray(there & (self.known_us <= until_us))

    def doubted(self, until_us: int) -> NDArray[np.bool_] | None:
        """Where a validation rule's doubt counts at an instant; None: nowhere."""
        return None if self.doubted_us is None else np.asarray(self.doubted_us <= until_us)


def past_of(
    channels: Mapping[str, Values],
    quality: NDArray[np.uint8],
    precedence: Mapping[str, NDArray[np.int64]],
    received_us: Mapping[str, NDArray[np.int64]],
) -> Past:
    """The same of a row as it is held in memory; for the arguments see `grid.rows.StoredBlock`."""
    size = len(quality)
    missing, never = np.full(size, MISSING_WH), np.full(size, NEVER_US)
    last = np.max([never, *received_us.values()], axis=0)
    derived = quality & np.uint8(Quality.DERIVED) != 0
    return Past(
        import_wh=channels.get(IMPORT, missing),
        export_wh=channels.get(EXPORT, missing),
        quality=quality,
        precedence=precedence.get(IMPORT, np.full(size, NO_PRECEDENCE, np.int64)),
        known_us=np.where(derived, last, received_us.get(IMPORT, never)),
        register_wh=channels.get(CLOSING[0]),
        register_us=received_us.get(CLOSING[0]),
    )
