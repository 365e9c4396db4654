from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from grid.arrow import InvalidBlockError
from grid.device_events import EVENT_KINDS, MAX_EVENTS, EventBatch, decode_events, encode_events
from grid.errors import Reason
from grid.points import encode_points
from grid.topics import TELEMETRY_EVENT, TELEMETRY_REJECTED
from ingest.checks import MAX_PAYLOAD, DecodedBatch
from ingest.decode_events import decode_events_message
from ingest.dispatch import take_message
from ingest.event_messages import events_schema
from tests.unit.test_decode_points import NOON_US, Units
from tests.unit.test_decode_points import decode as decode_points_fixture
from tests.unit.test_decode_points import message as points_message

TOPIC = "meterline/v1/rtu/event/F1"


def message(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "sequence": 7,
        "meter": ["M-1", "M-2", "M-1"],
        "kind": ["last_gasp", "cover_open", "power_restored"],
        "observed_at": ["2026-11-21T12:00:00.000001Z", "2026-11-21T13:00:00+01:00", "2026-11-21T11:59:59Z"],
    }
    fields |= changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def decode(payload: bytes, topic: str = TOPIC, received_at_us: int = NOON_US + 1_000_000) -> DecodedBatch[EventBatch]:
    return decode_events_message(topic, payload, received_at_us, Units())


def test_takes_events_as_they_are_and_through_kafka() -> None:
    taken = take_message(TOPIC, message(), NOON_US + 1_000_000, Units())
    assert (taken.rejections, taken.forwarded, taken.block) == ((), True, None)
    (record,) = taken.records
    assert (record.topic, record.key) == (TELEMETRY_EVENT, b"F1")
    batch = decode_events(record.value)
    assert (batch.unit, batch.gateway, batch.sequence, batch.received_at_us) == ("F1", "rtu", 7, NOON_US + 1_000_000)
    assert batch.meters.to_pylist() == ["M-1", "M-2", "M-1"]
    assert batch.kinds.to_pylist() == ["last_gasp", "cover_open", "power_restored"]
    assert batch.observed_at_us.tolist() == [NOON_US + 1, NOON_US, NOON_US - 1_000_000]


@pytest.mark.parametrize(
    ("payload", "topic", "reason"),
    [
        (message(), "meterline/v1/rtu/event/F9", Reason.UNKNOWN_UNIT),
        (message(), "meterline/v1/rtu/event/F2", Reason.NOT_SENDERS_UNIT),
        (message(), "meterline/v1/rtu/event/F1/more", Reason.BAD_TOPIC),
        (b" " * (MAX_PAYLOAD + 1), TOPIC, Reason.TOO_LARGE),
        (b"{", TOPIC, Reason.INVALID_JSON),
        (b'{"sequence": 1, "meter": ["\xff"]}', TOPIC, Reason.INVALID_JSON),
        (message(kind=["last_gasp", "cover_open", "stolen"]), TOPIC, Reason.INVALID_FIELD),
        (message(kind=["last_gasp", "cover_open", None]), TOPIC, Reason.INVALID_FIELD),
        (message(kind=["last_gasp", "cover_open"]), TOPIC, Reason.UNEQUAL_LENGTHS),
        (message(observed_at=["2026-11-21T12:00:00Z"]), TOPIC, Reason.UNEQUAL_LENGTHS),
        (message(observed_at=["2026-11-21T12:00:00"] * 3), TOPIC, Reason.INVALID_FIELD),
        (message(observed_at=["0001-01-01T00:00:00+14:00"] * 3), TOPIC, Reason.TIME_TOO_OLD),
        (message(meter=[]), TOPIC, Reason.INVALID_FIELD),
        (message(meter=["M-1", "", "M-2"]), TOPIC, Reason.INVALID_FIELD),
        (message(meter=["M-1", "a\0b", "M-2"]), TOPIC, Reason.INVALID_FIELD),
        (message(meter=["M-1", "a/b", "M-2"]), TOPIC, Reason.INVALID_FIELD),
        (message(meter=["M-1", "x" * 65, "M-2"]), TOPIC, Reason.INVALID_FIELD),
        (message(meter=["M"] * (MAX_EVENTS + 1)), TOPIC, Reason.INVALID_FIELD),
        (message(sequence=-1), TOPIC, Reason.INVALID_FIELD),
        (message(sequence=...), TOPIC, Reason.INVALID_FIELD),
        (message(more=1), TOPIC, Reason.INVALID_FIELD),
    ],
)
def test_refuses_what_it_cannot_take(payload: bytes, topic: str, reason: Reason) -> None:
    decoded = decode(payload, topic)
    assert decoded.batch is None
    assert [(r.reason, r.original) for r in decoded.rejections] == [(reason, payload)]
    (record,) = take_message(topic, payload, NOON_US, Units()).records
    assert (record.topic, record.key) == (TELEMETRY_REJECTED, reason.value.encode())


def test_an_event_at_an_impossible_time_is_refused_alone() -> None:
    payload = message(observed_at=["2026-11-21T12:00:00Z", "2026-11-21T12:05:02Z", "2025-01-01T00:00:00Z"])
    decoded = decode(payload)
    assert decoded.batch is not None
    assert decoded.batch.meters.to_pylist() == ["M-1"]
    assert decoded.batch.kinds.to_pylist() == ["last_gasp"]
    assert {(r.reason, r.meters, r.quarantined) for r in decoded.rejections} == {
        (Reason.TIME_IN_FUTURE, ("M-2",), True),
        (Reason.TIME_TOO_OLD, ("M-1",), False),
    }
    decoded = decode(message(observed_at=["1969-12-31T23:00:00Z"] * 3))
    assert decoded.batch is None
    assert [r.reason for r in decoded.rejections] == [Reason.TIME_TOO_OLD]


def test_the_schema_takes_what_the_decoder_takes_and_names_every_kind() -> None:
    schema = events_schema()
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(json.loads(message()))
    validator.validate(json.loads(message(kind=list(EVENT_KINDS[:3]))))
    for bad in (message(kind=["stolen"]), message(meter=["a/b"]), message(meter=["a\0b"]), message(more=1)):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(json.loads(bad))


def test_a_record_that_is_something_else_is_told_from_events() -> None:
    points = decode_points_fixture(points_message()).batch
    events = decode(message()).batch
    assert points is not None
    assert events is not None
    for broken in (encode_points(points), encode_events(events)[:-40], b"", b"{}"):
        with pytest.raises(InvalidBlockError):
            decode_events(broken)
