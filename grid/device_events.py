"""Device events: what a meter reports of itself at once, such as a last gasp (停电上报) or an opened cover.

A message holds events of meters of one unit, each with its own instant. On Kafka it is an Arrow IPC stream with one
record batch, keyed by the unit; its header travels as schema metadata.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from grid.arrow import InvalidBlockError, read_record, write_record

#: Events of one message.
MAX_EVENTS = 4_096

_END_US = 253_370_764_800_000_000  # 9999-01-01T00:00:00Z
_METADATA_KEY = b"events"


class DeviceEventKind(StrEnum):
    """What happened; the list is closed. What a meter names otherwise its gateway translates, or leaves out."""

    LAST_GASP = "last_gasp"  # 停电上报: the voltage is gone; sent by what is left in a capacitor
    POWER_RESTORED = "power_restored"  # 复电上报
    COVER_OPEN = "cover_open"  # 开盖: of the meter or of its terminals
    COVER_CLOSED = "cover_closed"
    MAGNETIC_FIELD = "magnetic_field"  # 恒定磁场干扰: a strong field from outside
    PHASE_MISSING = "phase_missing"  # 失压, 断相: one phase has no voltage, others have
    REVERSE_ENERGY = "reverse_energy"  # 潮流反向: energy flows backwards where it shouldn't
    CLOCK_FAULT = "clock_fault"  # 时钟异常


EVENT_KINDS = tuple(kind.value for kind in DeviceEventKind)
_KINDS = pa.array(EVENT_KINDS, pa.string())


@dataclass(frozen=True, slots=True, eq=False)
class EventBatch:
    """One message of device events; arrays of shape (n,).

    Attributes
    ----------
    unit, gateway
        Codes of the unit and of the account that sent it.
    received_at_us
        When ingest received it, microseconds since 1970 UTC.
    sequence
        The gateway's number of the message.
    meters
        Asset numbers; one may stand there more than once.
    kinds
        Of `EVENT_KINDS`.
    observed_at_us
        int64, when it happened, microseconds since 1970 UTC.
    """

    unit: str
    gateway: str
    received_at_us: int
    sequence: int
    meters: pa.StringArray
    kinds: pa.StringArray
    observed_at_us: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.meters)


_PLAIN = pa.schema(
    [pa.field("meter", pa.string()), pa.field("kind", pa.string()), pa.field("observed_at_us", pa.int64())]
)


def encode_events(batch: EventBatch) -> bytes:
    """`batch` as an Arrow IPC stream."""
    header = "\n".join((batch.unit, batch.gateway, str(batch.received_at_us), str(batch.sequence)))
    schema = _PLAIN.with_metadata({_METADATA_KEY: header.encode()})
    return write_record(schema, [batch.meters, batch.kinds, pa.array(batch.observed_at_us, pa.int64())])


def decode_events(data: bytes) -> EventBatch:
    """Inverse of `encode_events`.

    Raises
    ------
    InvalidBlockError
        When `data` is no message of device events.
    """
    header, batch = read_record(data, _PLAIN, _METADATA_KEY)
    try:
        if any(batch.column(i).null_count for i in range(batch.num_columns)):
            raise InvalidBlockError("an event lacks its meter, its kind or its instant")
        meters, kinds, observed_at_us = batch.column(0), batch.column(1), batch.column(2).to_numpy()
        # Unsigned, what lies before 1970 is greater than all else.
        if len(observed_at_us) and observed_at_us.view(np.uint64).max() >= _END_US:
            raise InvalidBlockError("an instant lies outside 1970 to 9999")
        if not pc.all(pc.is_in(kinds, _KINDS)).as_py():
            raise InvalidBlockError("an event of an unknown kind")
        unit, gateway, received, sequence = header.split("\n")
        return EventBatch(unit, gateway, int(received), int(sequence), meters, kinds, observed_at_us)
    except ValueError as error:
        raise InvalidBlockError(str(error)) from error
