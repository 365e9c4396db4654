"""From an MQTT message to a block, pure: the only place where a device's input is checked.

What cannot be decoded is refused whole; a reading that makes no sense is refused alone and the rest of its block is
kept. Nothing here raises for what a peer sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.block import INTERVALS_S, Block
from grid.errors import Reason, Rejection
from grid.model import MAX_ENERGY_WH, MAX_MEMBERS, UnitKind
from grid.ports import Directory
from grid.quality import MISSING_DV, MISSING_WH, Quality
from ingest.messages import BlockMessage

#: A block of the greatest area is well below 1 MiB.
MAX_PAYLOAD = 1 << 20
#: A device's clock may be this far ahead; further, the message waits in quarantine.
MAX_AHEAD_US = 5 * 60 * 1_000_000
#: A device whose clock has fallen back to its first day would open a table for that day.
MAX_BEHIND_US = 400 * 86_400 * 1_000_000
MAX_VOLTAGE_V = 3_000.0

_TOPIC_PARTS = 5
_decoder = msgspec.json.Decoder(BlockMessage)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What came of one message: a block unless it was refused whole, its unit's kind, and what was refused."""

    block: Block | None
    kind: UnitKind | None
    rejections: tuple[Rejection, ...]


class _RefusedError(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def decode_message(topic: str, payload: bytes, received_at_us: int, directory: Directory) -> Decoded:
    """Decode and check one MQTT message.

    Parameters
    ----------
    topic
        ``meterline/v1/{gateway}/block/{unit}``; the broker has made sure that {gateway} is the sender.
    payload
        Columnar JSON, see `ingest.messages.BlockMessage`.
    received_at_us
        When it came, microseconds since 1970 UTC.
    directory
        What is known of units and gateways.
    """
    try:
        gateway, unit = _parse_topic(topic)
        _check_size(payload)
        kind = _check_sender(gateway, unit, directory)
        message = _parse(payload)
        observed_at_us = _check_time(message, received_at_us)
        size = _check_lengths(message)
        import_wh = _energy(message.import_wh)
        export_wh = np.zeros(size, np.int64) if message.export_wh is None else _energy(message.export_wh)
        voltage_v = _voltage(message.voltage_v, size)
    except _RefusedError as refused:
        return Decoded(None, None, (Rejection(refused.reason, refused.detail, topic, payload),))

    bad: dict[Reason, NDArray[np.bool_]] = {
        Reason.NEGATIVE_ENERGY: _negative(import_wh) | _negative(export_wh),
        Reason.ENERGY_TOO_LARGE: (import_wh > MAX_ENERGY_WH) | (export_wh > MAX_ENERGY_WH),
        Reason.VOLTAGE_OUT_OF_RANGE: (voltage_v < 0) | (voltage_v > MAX_VOLTAGE_V),
    }
    rejections = []
    refused_positions = np.zeros(size, np.bool_)
    for reason, mask in bad.items():
        if mask.any():
            meters = tuple(message.meter[i] for i in np.flatnonzero(mask))
            rejections.append(Rejection(reason, f"{len(meters)} of {size} readings", topic, payload, meters))
            refused_positions |= mask
    import_wh[refused_positions] = MISSING_WH
    export_wh[refused_positions] = MISSING_WH
    voltage_v[refused_positions] = np.nan
    absent = import_wh == MISSING_WH
    # A reading counts as missing when its import is, since the balance rests on it.
    export_wh[absent] = MISSING_WH
    block = Block(
        unit=unit,
        gateway=gateway,
        observed_at_us=observed_at_us,
        interval_s=message.interval_s,
        received_at_us=received_at_us,
        sequence=message.sequence,
        meters=pa.array(message.meter, pa.string()),
        import_wh=import_wh,
        export_wh=export_wh,
        voltage_dv=np.where(np.isnan(voltage_v), MISSING_DV, np.rint(np.nan_to_num(voltage_v) * 10)).astype(np.int16),
        quality=np.where(absent, np.uint8(Quality.MISSING), np.uint8(Quality.VALID)),
    )
    return Decoded(block, kind, tuple(rejections))


def _parse_topic(topic: str) -> tuple[str, str]:
    parts = topic.split("/")
    if len(parts) != _TOPIC_PARTS or parts[:2] != ["meterline", "v1"] or parts[3] != "block":
        raise _RefusedError(Reason.BAD_TOPIC, "expected meterline/v1/{gateway}/block/{unit}")
    return parts[2], parts[4]


def _check_sender(gateway: str, unit: str, directory: Directory) -> UnitKind:
    kind = directory.unit_kind(unit)
    if kind is None:
        raise _RefusedError(Reason.UNKNOWN_UNIT, f"no unit {unit!r} in the grid model")
    if not directory.may_send(gateway, unit):
        raise _RefusedError(Reason.NOT_SENDERS_UNIT, f"{gateway!r} doesn't read {unit!r}")
    return kind


def _check_size(payload: bytes) -> None:
    # First of all: what is too large must not wait in quarantine for its unit.
    if len(payload) > MAX_PAYLOAD:
        raise _RefusedError(Reason.TOO_LARGE, f"{len(payload)} bytes; the limit is {MAX_PAYLOAD}")


def _parse(payload: bytes) -> BlockMessage:
    try:
        return _decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise _RefusedError(Reason.INVALID_FIELD, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _RefusedError(Reason.INVALID_JSON, str(error)) from None


def _check_time(message: BlockMessage, received_at_us: int) -> int:
    if message.interval_s not in INTERVALS_S:
        raise _RefusedError(Reason.INVALID_FIELD, f"interval_s {message.interval_s} is not one of {INTERVALS_S}")
    since = message.observed_at - datetime(1970, 1, 1, tzinfo=UTC)
    observed_at_us = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    if observed_at_us - received_at_us > MAX_AHEAD_US:
        raise _RefusedError(Reason.TIME_IN_FUTURE, f"observed_at {message.observed_at} is ahead of the clock")
    if received_at_us - observed_at_us > MAX_BEHIND_US:
        raise _RefusedError(Reason.TIME_TOO_OLD, f"observed_at {message.observed_at} is over 400 days back")
    if observed_at_us <= 0 or observed_at_us % (message.interval_s * 1_000_000):
        raise _RefusedError(Reason.TIME_NOT_ALIGNED, f"{message.observed_at} isn't aligned to {message.interval_s} s")
    return observed_at_us


def _check_lengths(message: BlockMessage) -> int:
    size = len(message.meter)
    if size > MAX_MEMBERS:
        raise _RefusedError(Reason.TOO_MANY_METERS, f"{size} meters; the limit is {MAX_MEMBERS}")
    columns = {"import_wh": message.import_wh, "export_wh": message.export_wh, "voltage_v": message.voltage_v}
    for name, column in columns.items():
        if column is not None and len(column) != size:
            raise _RefusedError(Reason.UNEQUAL_LENGTHS, f"{name} has {len(column)} values for {size} meters")
    if len(set(message.meter)) != size:
        raise _RefusedError(Reason.DUPLICATE_METER, "a meter is named twice")
    return size


def _energy(column: list[int | None]) -> NDArray[np.int64]:
    try:
        return np.array(column, dtype=np.int64)
    except TypeError:
        return np.array([MISSING_WH if value is None else value for value in column], dtype=np.int64)


def _voltage(column: list[float | None] | None, size: int) -> NDArray[np.float64]:
    if column is None:
        return np.full(size, np.nan)
    return np.array(column, dtype=np.float64)


def _negative(energy_wh: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray((energy_wh < 0) & (energy_wh != MISSING_WH))
