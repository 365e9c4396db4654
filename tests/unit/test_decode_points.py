from __future__ import annotations

import json
from datetime import UTC
from typing import Any

import jsonschema
import numpy as np
import pytest

from grid.arrow import OtherRecordError
from grid.block import decode_block, encode_block
from grid.errors import Reason
from grid.model import UnitKind
from grid.points import MAX_POINTS, PointBatch, PointCause, PointQuality, decode_points, encode_points
from ingest.checks import MAX_PAYLOAD, DecodedBatch
from ingest.decode_points import decode_points_message
from ingest.dispatch import take_message
from ingest.point_messages import points_schema
from ingest.topics import BACKFILL_AFTER_US
from tests.unit.test_decode import message as block_message

NOON_US = 1_795_262_400_000_000  # 2026-11-21T12:00:00Z
TOPIC = "meterline/v1/rtu/points/F1"


class Units:
    """A feeder of the RTU and one of another."""

    def __init__(self) -> None:
        self.known = {"F1": "rtu", "F2": "rtu-2"}

    zone = UTC

    def unit_kind(self, unit: str) -> UnitKind | None:
        return UnitKind.FEEDER if unit in self.known else None

    def may_send(self, gateway: str, unit: str) -> bool:
        return self.known[unit] == gateway


def message(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "sequence": 7,
        "point": ["F1-P", "F1-Q", "F1-CB"],
        "observed_at": ["2026-11-21T12:00:00.000001Z", "2026-11-21T13:00:00+01:00", "2026-11-21T11:59:59Z"],
        "value": [4.25, -0.0, 1],
        "quality": [0, 32, 0],
        "cause": "spontaneous",
    }
    fields |= changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def decode(payload: bytes, topic: str = TOPIC, received_at_us: int = NOON_US + 1_000_000) -> DecodedBatch[PointBatch]:
    return decode_points_message(topic, payload, received_at_us, Units())


def test_takes_points_as_they_are_and_through_kafka() -> None:
    decoded = decode(message())
    assert decoded.rejections == ()
    assert decoded.batch is not None
    batch = decode_points(encode_points(decoded.batch))
    assert (batch.unit, batch.gateway, batch.sequence, batch.cause) == ("F1", "rtu", 7, PointCause.SPONTANEOUS)
    assert (batch.received_at_us, batch.digest) == (NOON_US + 1_000_000, decoded.batch.digest)
    assert batch.codes.to_pylist() == ["F1-P", "F1-Q", "F1-CB"]
    assert batch.observed_at_us.tolist() == [NOON_US + 1, NOON_US, NOON_US - 1_000_000]
    assert batch.value.tolist() == [4.25, 0.0, 1.0]
    assert not np.signbit(batch.value).any()
    assert batch.quality.tolist() == [0, PointQuality.SUBSTITUTED, 0]


def test_points_and_blocks_are_told_apart() -> None:
    decoded = decode(message())
    assert decoded.batch is not None
    block = take_message("meterline/v1/rtu/block/F1", block_message(), NOON_US, Units()).all_records(BACKFILL_AFTER_US)[
        0
    ]
    points = take_message(TOPIC, message(), NOON_US, Units()).all_records(BACKFILL_AFTER_US)[0]
    assert (block.topic, block.key) == (points.topic, points.key) == ("telemetry.scada", b"F1")
    assert encode_points(decode_points(points.value)) == points.value
    assert encode_block(decode_block(block.value)) == block.value
    with pytest.raises(OtherRecordError):
        decode_points(block.value)
    with pytest.raises(OtherRecordError):
        decode_block(points.value)
    for nothing in (b"", b"?", points.value[:50]):
        with pytest.raises(OtherRecordError):
            decode_points(nothing)


def test_the_same_message_has_the_same_digest_whenever_it_comes() -> None:
    first = decode(message()).batch
    again = decode(message(), received_at_us=NOON_US + 9_000_000).batch
    other = decode(message(sequence=8)).batch
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.digest == again.digest != other.digest


def test_columns_may_be_left_out() -> None:
    decoded = decode(message(quality=..., cause=...))
    assert decoded.batch is not None
    assert decoded.batch.quality.tolist() == [0, 0, 0]
    assert decoded.batch.cause is PointCause.SPONTANEOUS


def test_no_value_is_an_invalid_one() -> None:
    decoded = decode(message(value=[None, 2, None], quality=[0, 0, 64]))
    assert decoded.batch is not None
    assert decoded.batch.quality.tolist() == [128, 0, 192]
    assert np.isnan(decoded.batch.value).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("changes", "reason", "points"),
    [
        ({"observed_at": ["2026-11-21T12:05:02Z"] + ["2026-11-21T12:05:01Z"] * 2}, Reason.TIME_IN_FUTURE, ("F1-P",)),
        ({"observed_at": ["2025-10-01T00:00:00Z"] + ["2026-11-21T12:00:00Z"] * 2}, Reason.TIME_TOO_OLD, ("F1-P",)),
        ({"observed_at": ["1960-01-01T00:00:00Z"] + ["2026-11-21T12:00:00Z"] * 2}, Reason.TIME_TOO_OLD, ("F1-P",)),
        ({"value": [1, 2e12, -2e12]}, Reason.VALUE_OUT_OF_RANGE, ("F1-Q", "F1-CB")),
        ({"quality": [0, 2, 0]}, Reason.INVALID_QUALITY, ("F1-Q",)),
    ],
)
def test_a_senseless_point_is_refused_alone(changes: dict[str, Any], reason: Reason, points: tuple[str, ...]) -> None:
    decoded = decode(message(**changes))
    (rejection,) = decoded.rejections
    assert (rejection.reason, rejection.meters) == (reason, points)
    assert rejection.original == message(**changes)
    assert rejection.quarantined == (reason is Reason.TIME_IN_FUTURE)
    assert decoded.batch is not None
    assert decoded.batch.codes.to_pylist() == [p for p in ("F1-P", "F1-Q", "F1-CB") if p not in points]
    assert (
        len(decoded.batch.observed_at_us)
        == len(decoded.batch.value)
        == len(decoded.batch.quality)
        == len(decoded.batch)
    )


def test_nothing_goes_on_when_every_point_is_refused() -> None:
    assert decode(message(value=[2e12] * 3)).batch is None


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", Reason.INVALID_JSON),
        (b"\xff", Reason.INVALID_JSON),
        (b'{"sequence": ' + b"[" * 100_000, Reason.INVALID_FIELD),
        (b'{"sequence": 1, ', Reason.INVALID_JSON),
        (b"{}", Reason.INVALID_FIELD),
        (message(sequence=-1), Reason.INVALID_FIELD),
        (message(point=[]), Reason.INVALID_FIELD),
        (message(point=["p"] * (MAX_POINTS + 1)), Reason.INVALID_FIELD),
        (message(point=["", "a", "b"]), Reason.INVALID_FIELD),
        (message(quality=[256, 0, 0]), Reason.INVALID_FIELD),
        (message(quality=[None, 0, 0]), Reason.INVALID_FIELD),
        (message(cause="curiosity"), Reason.INVALID_FIELD),
        (message(observed_at=["2026-11-21T12:00:00"] * 3), Reason.INVALID_FIELD),
        (message(observed_at=["9999-12-31T23:59:59-23:59"] * 3), Reason.TIME_IN_FUTURE),
        (message(observed_at=["0001-01-01T00:00:00+23:59"] * 3), Reason.TIME_TOO_OLD),
        (message(other=1), Reason.INVALID_FIELD),
        (message(value=[1]), Reason.UNEQUAL_LENGTHS),
        (message(quality=[0]), Reason.UNEQUAL_LENGTHS),
        (message(observed_at=["2026-11-21T12:00:00Z"]), Reason.UNEQUAL_LENGTHS),
        (b" " * (MAX_PAYLOAD + 1), Reason.TOO_LARGE),
    ],
)
def test_what_can_t_be_decoded_is_refused_whole(payload: bytes, reason: Reason) -> None:
    decoded = decode(payload)
    assert decoded.batch is None
    assert [r.reason for r in decoded.rejections] == [reason]
    assert decoded.rejections[0].original == payload


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("meterline/v1/rtu/points", Reason.BAD_TOPIC),
        ("meterline/v1/rtu/points/F1/x", Reason.BAD_TOPIC),
        ("meterline/v2/rtu/points/F1", Reason.BAD_TOPIC),
        ("meterline/v1/rtu/points/F9", Reason.UNKNOWN_UNIT),
        ("meterline/v1/rtu/points/F2", Reason.NOT_SENDERS_UNIT),
    ],
)
def test_a_topic_that_isn_t_the_sender_s_is_refused(topic: str, reason: Reason) -> None:
    assert [r.reason for r in take_message(topic, message(), NOON_US, Units()).rejections] == [reason]


def test_what_is_taken_fits_the_published_schema() -> None:
    jsonschema.validate(json.loads(message()), points_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(message(quality=[0, 0, 300])), points_schema())
