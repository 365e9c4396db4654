"""Rows of interval blocks and of settled balances as flat arrays: what steps compute and the store writes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Status(IntEnum):
    """State of a published result."""

    PROVISIONAL = 0  # data can still be expected
    FINAL = 1
    RESTATED = 2  # later data changed a final figure


@dataclass(frozen=True, slots=True, eq=False)
class BlockRows:
    """Interval blocks of k units, their members in flat arrays of length m.

    Attributes
    ----------
    unit_id, interval_s, version
        int32 of shape (k,). `version` is that of the stored row, 0 where there is none yet.
    observed_at_us, received_at_us
        int64 of shape (k,), microseconds since 1970 UTC.
    prior_status
        int8 of shape (k,): `Status` that was published before, −1 where none was.
    starts
        int64 of shape (k + 1,): members of row r are at starts[r]:starts[r + 1].
    sequence, import_wh, export_wh, loss_wh, voltage_dv, quality
        Arrays of shape (m,), missing values as in `grid.quality`; `loss_wh` is missing throughout where members
        are meters.
    """

    unit_id: NDArray[np.int32]
    interval_s: NDArray[np.int32]
    version: NDArray[np.int32]
    observed_at_us: NDArray[np.int64]
    received_at_us: NDArray[np.int64]
    prior_status: NDArray[np.int8]
    starts: NDArray[np.int64]
    sequence: NDArray[np.int64]
    import_wh: NDArray[np.int64]
    export_wh: NDArray[np.int64]
    loss_wh: NDArray[np.int64]
    voltage_dv: NDArray[np.int16]
    quality: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.unit_id)

    def members(
        self, row: int
    ) -> tuple[
        NDArray[np.int64],
        NDArray[np.int64],
        NDArray[np.int64],
        NDArray[np.int64],
        NDArray[np.int16],
        NDArray[np.uint8],
    ]:
        """Views of one row's (sequence, import_wh, export_wh, loss_wh, voltage_dv, quality)."""
        part = slice(int(self.starts[row]), int(self.starts[row + 1]))
        return (
            self.sequence[part],
            self.import_wh[part],
            self.export_wh[part],
            self.loss_wh[part],
            self.voltage_dv[part],
            self.quality[part],
        )


@dataclass(frozen=True, slots=True, eq=False)
class StoredBlock:
    """One stored row, its members as arrays of the length they were written with."""

    interval_s: int
    version: int
    received_at_us: int
    sequence: NDArray[np.int64]
    import_wh: NDArray[np.int64]
    export_wh: NDArray[np.int64]
    loss_wh: NDArray[np.int64] | None
    voltage_dv: NDArray[np.int16] | None
    quality: NDArray[np.uint8]
    status: int
    """`Status` that was published, −1 where none was."""


@dataclass(frozen=True, slots=True, eq=False)
class BalanceRows:
    """Settled results beside `BlockRows`, row by row; arrays of shape (k,). See `kernels.energy_balance.Balance`."""

    inflow_wh: NDArray[np.int64]
    outflow_wh: NDArray[np.int64]
    loss_wh: NDArray[np.int64]
    members_loss_wh: NDArray[np.int64]
    sigma_wh: NDArray[np.float64]
    coverage: NDArray[np.float64]
    status: NDArray[np.int8]
    computable: NDArray[np.bool_]
