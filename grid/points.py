"""SCADA points (遥测、遥信): what an RTU measures or reports in a unit, at a feeder's head or elsewhere.

Points come one by one, by exception or by cycle, each with an instant of its own. On Kafka a message of points is an
Arrow IPC stream with one record batch; its header travels as schema metadata, under a key by which it is told from a
block.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag, StrEnum

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.arrow import InvalidBlockError, read_record, write_record
from grid.model import check_code

#: Points of one message.
MAX_POINTS = 4_096
#: A value is held for so many of its cycles: one report may be lost before it is old.
CYCLES_HELD = 2
MAX_CYCLE_S = 3_600
#: Far above what any unit of measure needs, far below where sums lose a watt.
MAX_VALUE = 1e12
MINUTE_US = 60_000_000

_END_US = 253_370_764_800_000_000  # 9999-01-01T00:00:00Z
_METADATA_KEY = b"points"


class PointKind(StrEnum):
    """What a point measures or reports."""

    ACTIVE_POWER = "P"
    REACTIVE_POWER = "Q"
    VOLTAGE = "U"
    CURRENT = "I"
    SWITCH = "switch"  # 1 closed, 0 open, anything else in between
    OTHER = "other"


class PointQuality(IntFlag):
    """Quality descriptor of IEC 60870-5-101 and -104 (QDS, 7.2.6.3), at its own bits; no flag set means good."""

    GOOD = 0
    OVERFLOW = 0x01
    BLOCKED = 0x10
    SUBSTITUTED = 0x20
    NOT_TOPICAL = 0x40
    INVALID = 0x80


class PointCause(IntEnum):
    """Why a message was sent: cause of transmission, IEC 60870-5-101, 7.2.3."""

    CYCLIC = 1
    SPONTANEOUS = 3
    INTERROGATION = 20


#: Flags with which a value doesn't say what is there now.
UNKNOWN_FLAGS = PointQuality.OVERFLOW | PointQuality.BLOCKED | PointQuality.NOT_TOPICAL | PointQuality.INVALID
ALL_FLAGS = UNKNOWN_FLAGS | PointQuality.SUBSTITUTED

#: Ranks of a value by its quality.
UNKNOWN, SUBSTITUTED, GOOD = 0, 1, 2

_RANK = np.array(
    [UNKNOWN if q & UNKNOWN_FLAGS else SUBSTITUTED if q & PointQuality.SUBSTITUTED else GOOD for q in range(256)],
    dtype=np.int16,
)


def point_rank(quality: NDArray[np.uint8]) -> NDArray[np.int16]:
    """0 where a value isn't known, 1 where it was substituted, 2 where it is good; same shape as `quality`."""
    return _RANK[quality]


#: Watts of one unit of measure of active power.
WATTS = {"W": 1.0, "kW": 1e3, "MW": 1e6}


@dataclass(frozen=True, slots=True)
class Point:
    """A point as the loader receives it.

    Attributes
    ----------
    code
        Unique among all points.
    unit
        Code of the assessment unit that it belongs to.
    unit_of_measure
        Of active power W, kW or MW; elsewhere any text.
    dead_band
        In the unit of measure: the device reports when the value has moved by more than this; 0 where it doesn't.
    cycle_s
        The device reports at least this often, changed or not; a value is known for `CYCLES_HELD` cycles.
    sign
        1 where a positive value flows into the unit, −1 where it flows out of it.
    meter
        Gateway meter that the point's power stands in for; None = it doesn't. Several points of one meter add up.
    switch
        Switch whose position the point reports; for kind `SWITCH` only.
    """

    code: str
    unit: str
    kind: PointKind
    unit_of_measure: str = ""
    dead_band: float = 0.0
    cycle_s: int = 60
    sign: int = 1
    meter: str | None = None
    switch: str | None = None

    def __post_init__(self) -> None:
        for code in (self.code, self.unit, self.meter, self.switch):
            if code is not None:
                check_code(code)
        if len(self.unit_of_measure) > 16 or not self.unit_of_measure.isprintable():
            raise ValueError(f"{self.code}: not a unit of measure: {self.unit_of_measure!r:.40}")
        if self.kind is PointKind.ACTIVE_POWER and self.unit_of_measure not in WATTS:
            raise ValueError(f"{self.code}: active power is in one of {', '.join(WATTS)}")
        if not 0 <= self.dead_band <= MAX_VALUE:
            raise ValueError(f"{self.code}: dead band {self.dead_band} is not in 0..{MAX_VALUE:g}")
        if not 1 <= self.cycle_s <= MAX_CYCLE_S:
            raise ValueError(f"{self.code}: cycle {self.cycle_s} s is not in 1..{MAX_CYCLE_S}")
        if self.sign not in (1, -1):
            raise ValueError(f"{self.code}: sign {self.sign} is neither 1 nor -1")
        if self.meter is not None and self.kind is not PointKind.ACTIVE_POWER:
            raise ValueError(f"{self.code}: only active power stands in for a meter")
        if self.switch is not None and self.kind is not PointKind.SWITCH:
            raise ValueError(f"{self.code}: only a point of kind switch reports a switch")


@dataclass(frozen=True, slots=True, eq=False)
class PointBatch:
    """One message of points; arrays of shape (n,).

    Attributes
    ----------
    unit, gateway
        Codes of the unit and of the account that sent it.
    received_at_us
        When ingest received it, microseconds since 1970 UTC.
    sequence
        The gateway's number of the message.
    digest
        Hash of the message as it came: the same message again has the same.
    codes
        Point codes; one may stand there more than once.
    observed_at_us
        int64, microseconds since 1970 UTC.
    value
        float64, in the point's unit of measure; NaN = none, which is invalid.
    quality
        uint8, flags of `PointQuality`.
    """

    unit: str
    gateway: str
    received_at_us: int
    sequence: int
    cause: PointCause
    digest: int
    codes: pa.StringArray
    observed_at_us: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.codes)


_FIELDS = [
    pa.field("point", pa.string()),
    pa.field("observed_at_us", pa.int64()),
    pa.field("value", pa.float64()),
    pa.field("quality", pa.uint8()),
]
_PLAIN = pa.schema(_FIELDS)


def encode_points(batch: PointBatch) -> bytes:
    """`batch` as an Arrow IPC stream."""
    header = "\n".join(
        (
            batch.unit,
            batch.gateway,
            str(batch.received_at_us),
            str(batch.sequence),
            str(int(batch.cause)),
            str(batch.digest),
        )
    )
    schema = _PLAIN.with_metadata({_METADATA_KEY: header.encode()})
    return write_record(
        schema, [batch.codes, pa.array(batch.observed_at_us), pa.array(batch.value), pa.array(batch.quality)]
    )


def decode_points(data: bytes) -> PointBatch:
    """Inverse of `encode_points`.

    Raises
    ------
    OtherRecordError
        When `data` is something else, such as a block.
    InvalidBlockError
        When `data` is a broken message of points.
    """
    header, batch = read_record(data, _PLAIN, _METADATA_KEY)
    try:
        observed_at_us = batch.column(1).to_numpy()
        # Unsigned, what lies before 1970 is greater than all else.
        if len(observed_at_us) and observed_at_us.view(np.uint64).max() >= _END_US:
            raise InvalidBlockError("an instant lies outside 1970 to 9999")
        if batch.column(0).null_count:
            raise InvalidBlockError("a point has no code")
        unit, gateway, received, sequence, cause, digest = header.split("\n")
        return PointBatch(
            unit=unit,
            gateway=gateway,
            received_at_us=int(received),
            sequence=int(sequence),
            cause=PointCause(int(cause)),
            digest=int(digest),
            codes=batch.column(0),
            observed_at_us=observed_at_us,
            value=batch.column(2).to_numpy(),
            quality=batch.column(3).to_numpy(),
        )
    except ValueError as error:  # ArrowInvalid, for a column with nulls, is one too
        raise InvalidBlockError(str(error)) from error
