"""What settled units tell the units above them: children's energies as columns, of several parents in one record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.arrow import InvalidBlockError, read_record, write_record


@dataclass(frozen=True, slots=True, eq=False)
class UnitEnergies:
    """Energies of children of one parent; arrays of shape (n,).

    Attributes
    ----------
    parent
        Code of the unit that is told.
    received_at_us
        When the message came that brought the child to this state.
    version
        Of the child's row: of two states the one of the greater version stands.
    taken_wh, returned_wh
        What the child took from the parent through its gateways over the whole interval, and what it gave back;
        `MISSING_WH` where not known. A parent that had the child for a part of the interval takes its share.
    loss_wh
        Loss inside the child with all that is below; `MISSING_WH` where not computable. A voltage level is told the
        child's own loss instead, and of it technical loss and standard deviations.
    sigma_wh
        Standard deviation of what it took beyond its gateways' class, from substitutes and splits; of a unit without
        gateways of its own, from the classes of its parts' too.
    sigma_systematic_wh
        Part of it that the intervals share.
    technical_milli_wh
        Technical loss inside the child with all that is below, thousandths of a watt-hour; `MISSING_WH` where not
        known.
    sold_sigma_wh, sold_systematic_wh
        Standard deviation of what customers below took less what they fed in, and its systematic part.
    final_us
        When the child's figures became final; `MISSING_WH` while they aren't.
    """

    parent: str
    child_id: NDArray[np.int32]
    observed_at_us: NDArray[np.int64]
    interval_s: NDArray[np.int32]
    received_at_us: NDArray[np.int64]
    version: NDArray[np.int64]
    taken_wh: NDArray[np.int64]
    returned_wh: NDArray[np.int64]
    loss_wh: NDArray[np.int64]
    sigma_wh: NDArray[np.int64]
    technical_milli_wh: NDArray[np.int64]
    sold_sigma_wh: NDArray[np.int64]
    sold_systematic_wh: NDArray[np.int64]
    sigma_systematic_wh: NDArray[np.int64]
    final_us: NDArray[np.int64]
    quality: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.child_id)


_COLUMNS = {
    "child_id": pa.int32(),
    "observed_at_us": pa.int64(),
    "interval_s": pa.int32(),
    "received_at_us": pa.int64(),
    "version": pa.int64(),
    "taken_wh": pa.int64(),
    "returned_wh": pa.int64(),
    "loss_wh": pa.int64(),
    "sigma_wh": pa.int64(),
    "technical_milli_wh": pa.int64(),
    "sold_sigma_wh": pa.int64(),
    "sold_systematic_wh": pa.int64(),
    "sigma_systematic_wh": pa.int64(),
    "final_us": pa.int64(),
    "quality": pa.uint8(),
}
_PLAIN = pa.schema(list(_COLUMNS.items()))
_METADATA_KEY = b"parents"


def encode_unit_energies(parts: Sequence[UnitEnergies]) -> bytes:
    """`parts` as one Arrow IPC stream; the metadata name the parents with the number of rows of each."""
    header = "\n".join(f"{len(part)} {part.parent}" for part in parts)
    schema = _PLAIN.with_metadata({_METADATA_KEY: header.encode()})
    columns = [pa.array(np.concatenate([getattr(part, name) for part in parts])) for name in _COLUMNS]
    return write_record(schema, columns)


def decode_unit_energies(data: bytes) -> list[UnitEnergies]:
    """Inverse of `encode_unit_energies`.

    Raises
    ------
    InvalidBlockError
        When `data` is no such record.
    """
    header, batch = read_record(data, _PLAIN, _METADATA_KEY)
    parts, begin = [], 0
    try:
        columns = [column.to_numpy() for column in batch.columns]
        for line in header.split("\n"):
            size, parent = line.split(" ", 1)
            end = begin + int(size)
            parts.append(UnitEnergies(parent, *(column[begin:end] for column in columns)))
            begin = end
    except ValueError as error:  # ArrowInvalid, for a column with nulls, is one too
        raise InvalidBlockError(str(error)) from error
    if begin != batch.num_rows:
        raise InvalidBlockError(f"{batch.num_rows} rows, of which {begin} have a parent")
    return parts
