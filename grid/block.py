"""The interval block: all members of one assessment unit at one interval, from ingest to the database.

On Kafka a block is an Arrow IPC stream with one record batch. Its columns are dense arrays; a missing value is
the type's minimum together with its quality bit. The header travels as schema metadata.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.arrow import InvalidBlockError, read_record, write_record

#: Lengths of interval that the system knows, in seconds (1, 5, 15, 30 and 60 minutes).
INTERVALS_S = (60, 300, 900, 1800, 3600)

_METADATA_KEY = b"block"


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Readings of one unit at one interval.

    Attributes
    ----------
    unit
        Code of the assessment unit.
    gateway
        Account that sent it.
    observed_at_us
        End of the interval, microseconds since 1970 UTC; a multiple of `interval_s`.
    received_at_us
        When ingest received it.
    sequence
        The gateway's number of the message.
    meters
        Meter codes as an Arrow string array of length n.
    import_wh, export_wh
        int64 of shape (n,), at the meter, before the multiplier; `MISSING_WH` where missing.
    voltage_dv
        int16 of shape (n,), tenths of a volt; `MISSING_DV` where missing.
    quality
        uint8 of shape (n,), flags of `Quality`; MISSING is set where `import_wh` is missing.
    """

    unit: str
    gateway: str
    observed_at_us: int
    interval_s: int
    received_at_us: int
    sequence: int
    meters: pa.StringArray
    import_wh: NDArray[np.int64]
    export_wh: NDArray[np.int64]
    voltage_dv: NDArray[np.int16]
    quality: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.meters)


_FIELDS = [
    pa.field("meter", pa.string()),
    pa.field("import_wh", pa.int64()),
    pa.field("export_wh", pa.int64()),
    pa.field("voltage_dv", pa.int16()),
    pa.field("quality", pa.uint8()),
]
_PLAIN = pa.schema(_FIELDS)


def encode_block(block: Block) -> bytes:
    """`block` as an Arrow IPC stream."""
    header = "\n".join(
        (
            block.unit,
            block.gateway,
            str(block.observed_at_us),
            str(block.interval_s),
            str(block.received_at_us),
            str(block.sequence),
        )
    )
    schema = _PLAIN.with_metadata({_METADATA_KEY: header.encode()})
    arrays = [
        block.meters,
        pa.array(block.import_wh),
        pa.array(block.export_wh),
        pa.array(block.voltage_dv),
        pa.array(block.quality),
    ]
    return write_record(schema, arrays)


def decode_block(data: bytes) -> Block:
    """Inverse of `encode_block`.

    Raises
    ------
    InvalidBlockError
        When `data` is not a block.
    """
    header, batch = read_record(data, _PLAIN, _METADATA_KEY)
    try:
        unit, gateway, observed, interval, received, sequence = header.split("\n")
        return Block(
            unit=unit,
            gateway=gateway,
            observed_at_us=int(observed),
            interval_s=int(interval),
            received_at_us=int(received),
            sequence=int(sequence),
            meters=batch.column(0),
            import_wh=batch.column(1).to_numpy(),
            export_wh=batch.column(2).to_numpy(),
            voltage_dv=batch.column(3).to_numpy(),
            quality=batch.column(4).to_numpy(),
        )
    except ValueError as error:  # ArrowInvalid, for a column with nulls, is one too
        raise InvalidBlockError(str(error)) from error
