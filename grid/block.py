"""The interval block: all members of one assessment unit at one interval, from ingest to the database.

On Kafka a block is an Arrow IPC stream with one record batch. Its columns are dense arrays, one for each channel that
was sent. The header travels as schema metadata.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.arrow import InvalidBlockError, read_record, write_record
from grid.block_forms import Forms
from grid.block_layout import Layouts
from grid.channels import CHANNELS, MEASURED, SIGMA, Values
from grid.quality import MAX_SEQUENCE

#: Lengths of interval that the system knows, in seconds (1, 5, 15, 30 and 60 minutes).
INTERVALS_S = (60, 300, 900, 1800, 3600)
#: Lengths of a local day, in seconds: of 23, 24 and 25 hours.
DAYS_S = (82_800, 86_400, 90_000)

_METADATA_KEY = b"block"
_FORMS = Forms()
_LAYOUTS = Layouts()
#: What a block may carry, in the order of its columns.
BLOCK_CHANNELS = (*MEASURED, SIGMA)


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
        End of the interval, microseconds since 1970 UTC.
    received_at_us
        When ingest received it.
    meters
        Meter codes as an Arrow string array of length n.
    sequence
        int64 of shape (n,): the gateway's number of the message, 0 … `grid.quality.MAX_SEQUENCE` − 1. They differ
        where ingest has gathered several messages into one block.
    channels
        Arrays of shape (n,) by channel, any of `BLOCK_CHANNELS`; energies and registers at the meter, before the
        multiplier. A channel that was not sent is left out.
    quality
        uint8 of shape (n,), flags of `Quality`; MISSING where the import is missing.
    """

    unit: str
    gateway: str
    observed_at_us: int
    interval_s: int
    received_at_us: int
    meters: pa.StringArray
    sequence: NDArray[np.int64]
    channels: Mapping[str, Values]
    quality: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.meters)


@functools.lru_cache(maxsize=256)
def _schema(names: tuple[str, ...]) -> pa.Schema:
    types = {"meter": pa.string(), "quality": pa.uint8(), "sequence": pa.int64()}
    types |= {name: pa.int64() if CHANNELS[name].wide else pa.int16() for name in BLOCK_CHANNELS}
    if names[:2] != ("meter", "quality") or len(set(names)) != len(names) or not set(names) <= set(types):
        raise InvalidBlockError(f"columns are {names}")
    return pa.schema([pa.field(name, types[name]) for name in names])


def encode_block(block: Block) -> bytes:
    """`block` as an Arrow IPC stream."""
    first = int(block.sequence[0]) if len(block) else 0
    uniform = bool((block.sequence == first).all())
    header = "\n".join(
        (
            block.unit,
            block.gateway,
            str(block.observed_at_us),
            str(block.interval_s),
            str(block.received_at_us),
            str(first),
        )
    )
    columns: dict[str, Values] = {"quality": block.quality}
    if not uniform:
        columns["sequence"] = block.sequence
    columns |= block.channels
    text = header.encode()
    known = _FORMS.record(text, block.meters, columns)
    if known is not None:
        return known
    schema = _schema(("meter", *columns)).with_metadata({_METADATA_KEY: text})
    data = write_record(schema, [block.meters, *(pa.array(values) for values in columns.values())])
    _FORMS.learn(data, text, block.meters, columns)
    return data


def decode_block(data: bytes) -> Block:
    """Inverse of `encode_block`.

    Raises
    ------
    InvalidBlockError
        When `data` is not a block.
    """
    layout = _LAYOUTS.of(data)
    try:
        if layout is None:
            text, meters, columns = _read(data)
        else:
            text, meters, columns = layout.text(data), layout.meters(data), layout.values(data)
        quality = columns.pop("quality")
        sequence = columns.pop("sequence", None)
        unit, gateway, observed, interval, received, first = text.split("\n")
        number = _sequence(first)
        return Block(
            unit=unit,
            gateway=gateway,
            observed_at_us=int(observed),
            interval_s=int(interval),
            received_at_us=int(received),
            meters=meters,
            sequence=filled(len(quality), number) if sequence is None else sequence,
            channels=columns,
            quality=quality,
        )
    except InvalidBlockError:
        raise
    except ValueError as error:  # ArrowInvalid, for a column with nulls, is one too
        raise InvalidBlockError(str(error)) from error


def filled(size: int, value: int) -> NDArray[np.int64]:
    """`value` so many times: as `numpy.full`, in half the time for the members of an area."""
    array = np.empty(size, np.int64)
    array.fill(value)
    return array


def _sequence(text: str) -> int:
    if not 0 <= int(text) < MAX_SEQUENCE:
        raise ValueError(f"sequence {text} is out of bounds")
    return int(text)


def _read(data: bytes) -> tuple[str, pa.StringArray, dict[str, Values]]:
    """Header, meters and the other columns as Arrow reads them."""
    text, batch = read_record(data, None, _METADATA_KEY)
    names = tuple(batch.schema.names)
    if not batch.schema.equals(_schema(names), check_metadata=False):
        raise InvalidBlockError(f"columns are {batch.schema}")
    columns = {name: column.to_numpy() for name, column in zip(names[1:], batch.columns[1:], strict=True)}
    _LAYOUTS.learn(data, text, batch)
    return text, batch.column(0), columns
