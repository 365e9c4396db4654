"""From an MQTT message of SCADA points to a batch of points, pure: the only place where an RTU's input is checked.

What cannot be decoded is refused whole; a point that makes no sense is refused alone and the others are kept. Whether a
point is known is not checked here but where points are stored, since it is a question to the master data. Nothing here
raises for what a peer sent.
"""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.errors import Reason, Rejection
from grid.points import ALL_FLAGS, MAX_VALUE, PointBatch, PointCause, PointQuality
from grid.ports import Directory
from ingest.checks import (
    DecodedBatch,
    RefusedError,
    check_lengths,
    check_sender,
    check_size,
    impossible_times,
    instants_us,
    parse,
    parse_topic,
    sift,
)
from ingest.point_messages import PointsMessage

_decoder = msgspec.json.Decoder(PointsMessage)
_INVALID = np.uint8(PointQuality.INVALID)


def decode_points_message(
    topic: str, payload: bytes, received_at_us: int, directory: Directory
) -> DecodedBatch[PointBatch]:
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
        check_lengths(
            len(message.point),
            "points",
            observed_at=message.observed_at,
            value=message.value,
            quality=message.quality,
        )
        observed_at_us = instants_us(message.observed_at)
    except RefusedError as refused:
        return DecodedBatch(None, (Rejection(refused.reason, refused.detail, topic, payload),))

    value = np.array(message.value, np.float64) + 0.0  # a negative zero is zero
    quality = _quality(message)
    quality = np.where(np.isnan(value), quality | _INVALID, quality)
    bad = {
        **impossible_times(observed_at_us, received_at_us),
        Reason.VALUE_OUT_OF_RANGE: np.abs(value) > MAX_VALUE,
        Reason.INVALID_QUALITY: (quality & np.uint8(255 - ALL_FLAGS)) != 0,
    }
    keep, rejections = sift(bad, message.point, "values", topic, payload)
    if not keep.any():
        return DecodedBatch(None, rejections)
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
    return DecodedBatch(batch, rejections)


def _quality(message: PointsMessage) -> NDArray[np.uint8]:
    if message.quality is None:
        return np.zeros(len(message.point), np.uint8)
    return np.array(message.quality, np.uint8)


def _digest(topic: str, payload: bytes) -> int:
    digest = hashlib.blake2b(topic.encode("utf-8", "backslashreplace") + b"\0" + payload, digest_size=8)
    return int.from_bytes(digest.digest(), "big", signed=True)
