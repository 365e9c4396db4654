"""What a settled unit tells the units above it: one record a parent, its children's energies as columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.arrow import InvalidBlockError, read_record, write_record


@dataclass(frozen=True, slots=True, eq=False)
class UnitEnergies:
    """Energies of children of one parent; arrays of shape (n,).

    `taken_wh` is what a child took from the parent through its gateways, `returned_wh` what it gave back, `loss_wh`
    the loss inside it with all that is below; `MISSING_WH` where not computable. A child's greater revision wins.
    """

    parent: str
    child_id: NDArray[np.int32]
    observed_at_us: NDArray[np.int64]
    interval_s: NDArray[np.int32]
    received_at_us: NDArray[np.int64]
    revision: NDArray[np.int64]
    taken_wh: NDArray[np.int64]
    returned_wh: NDArray[np.int64]
    loss_wh: NDArray[np.int64]
    quality: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.child_id)


_COLUMNS = {
    "child_id": pa.int32(),
    "observed_at_us": pa.int64(),
    "interval_s": pa.int32(),
    "received_at_us": pa.int64(),
    "revision": pa.int64(),
    "taken_wh": pa.int64(),
    "returned_wh": pa.int64(),
    "loss_wh": pa.int64(),
    "quality": pa.uint8(),
}
_PLAIN = pa.schema(list(_COLUMNS.items()))
_METADATA_KEY = b"parent"


def encode_unit_energies(energies: UnitEnergies) -> bytes:
    """`energies` as an Arrow IPC stream."""
    schema = _PLAIN.with_metadata({_METADATA_KEY: energies.parent.encode()})
    return write_record(schema, [pa.array(getattr(energies, name)) for name in _COLUMNS])


def decode_unit_energies(data: bytes) -> UnitEnergies:
    """Inverse of `encode_unit_energies`.

    Raises
    ------
    InvalidBlockError
        When `data` is no such record.
    """
    parent, batch = read_record(data, _PLAIN, _METADATA_KEY)
    try:
        return UnitEnergies(parent, *(column.to_numpy() for column in batch.columns))
    except ValueError as error:  # ArrowInvalid, for a column with nulls, is one too
        raise InvalidBlockError(str(error)) from error
