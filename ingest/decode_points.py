"""From an MQTT message of SCADA points to a batch of points, pure: the only place where an RTU's input is checked.

What cannot be decoded is refused whole; a point that makes no sense is refused alone and the others are kept. Whether a
point is known is not checked here but where points are stored, since it is a question to the master data. Nothing here
raises for what a peer sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.errors import Reason, Rejection
from grid.points import ALL_FLAGS, MAX_VALUE, PointBatch, PointCause, PointQuality
from grid.ports import Directory
from ingest.checks import MAX_AHEAD_US, MAX_BEHIND_US, RefusedError, check_sender, check_size, parse, parse_topic
from ingest.point_messages import PointsMessage

_decoder = msgspec.json.Decoder(PointsMessage)
_INVALID = np.uint8(PointQuality.INVALID)


@dataclass(frozen=True, slots=True)
class DecodedPoints:
    """What came of one message: points unless it was refused whole, and what was refused."""

    batch: PointBatch | None
    rejections: tuple[Rejection, ...]


def decode_points_message(topic: str, payload: bytes, received_at_us: int, directory: Directory) -> DecodedPoints:
    """Decode and check one MQTT message of points.

    Parameters
    ----------
    topic
        ``meterline/v1/{gateway}/points/{unit}``; the broker has made sure that {gateway} is the sender.
    payload
        Columnar JSON, see `ingest.point_messages.PointsMessage`.
    received_at_us
        When it came, microseconds since 1970 UTC.
    directory
        What is known of units and gateways.
    """
    try:
        check_size(payload)
        gateway, unit = parse_topic(topic, "points")
        check_sender(gateway, unit, directory)
        message = parse(_decoder, payload)
        _check_lengths(message)
        observed_at_us = _instants(message)
    except RefusedError as refused:
        return DecodedPoints(None, (Rejection(refused.reason, refused.detail, topic, payload),))

    value = np.array(message.value, np.float64) + 0.0  # a negative zero is zero
    quality = _quality(message)
    quality = np.where(np.isnan(value), quality | _INVALID, quality)
    keep = np.ones(len(value), np.bool_)
    rejections = []
    bad: dict[Reason, NDArray[np.bool_]] = {
        Reason.TIME_IN_FUTURE: observed_at_us - received_at_us > MAX_AHEAD_US,
        Reason.TIME_TOO_OLD: (received_at_us - observed_at_us > MAX_BEHIND_US) | (observed_at_us <= 0),
        Reason.VALUE_OUT_OF_RANGE: np.abs(value) > MAX_VALUE,
        Reason.INVALID_QUALITY: (quality & np.uint8(255 - ALL_FLAGS)) != 0,
    }
    for reason, mask in bad.items():
        if mask.any():
            points = tuple(dict.fromkeys(message.point[i] for i in np.flatnonzero(mask)))
            detail = f"{int(mask.sum())} of {len(value)} values"
            rejections.append(Rejection(reason, detail, topic, payload, points))
            keep &= ~mask
    if not keep.any():
        return DecodedPoints(None, tuple(rejections))
    codes = pa.array(message.point, pa.string())
    batch = PointBatch(
        unit=unit,
        gateway=gateway,
        received_at_us=received_at_us,
        sequence=message.sequence,
        cause=PointCause[message.cause.upper()],
        digest=_digest(topic, payload),
        codes=codes if keep.all() else codes.filter(pa.array(keep)),
        observed_at_us=observed_at_us[keep],
        value=value[keep],
        quality=quality[keep],
    )
    return DecodedPoints(batch, tuple(rejections))


def _check_lengths(message: PointsMessage) -> None:
    size = len(message.point)
    columns: dict[str, Sequence[object] | None] = {
        "observed_at": message.observed_at,
        "value": message.value,
        "quality": message.quality,
    }
    for name, column in columns.items():
        if column is not None and len(column) != size:
            raise RefusedError(Reason.UNEQUAL_LENGTHS, f"{name} has {len(column)} values for {size} points")


def _instants(message: PointsMessage) -> NDArray[np.int64]:
    """Microseconds since 1970 UTC; converted by Arrow, without Python for each."""
    try:
        instants = pa.array(message.observed_at, pa.timestamp("us", tz="UTC"))
    except (pa.ArrowInvalid, OverflowError, ValueError) as error:  # an offset that leads out of the calendar
        raise RefusedError(Reason.INVALID_FIELD, f"observed_at: {error}") from None
    return np.asarray(instants.cast(pa.int64()).to_numpy(), dtype=np.int64)


def _quality(message: PointsMessage) -> NDArray[np.uint8]:
    if message.quality is None:
        return np.zeros(len(message.point), np.uint8)
    return np.array(message.quality, np.uint8)


def _digest(topic: str, payload: bytes) -> int:
    digest = hashlib.blake2b(topic.encode("utf-8", "backslashreplace") + b"\0" + payload, digest_size=8)
    return int.from_bytes(digest.digest(), "big", signed=True)
