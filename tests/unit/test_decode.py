from __future__ import annotations

import json
from typing import Any

import jsonschema
import numpy as np
import pytest

from grid.errors import Reason
from grid.model import UnitKind
from grid.quality import MISSING_DV, MISSING_WH, Quality
from ingest.decode import MAX_PAYLOAD, decode_message
from ingest.messages import block_schema

NOON_US = 1_795_262_400_000_000  # 2026-11-21T12:00:00Z
TOPIC = "meterline/v1/headend-1/block/A1"


class Units:
    """Two areas of one gateway and one of another."""

    def __init__(self) -> None:
        self.known = {"A1": "headend-1", "A2": "headend-1", "B1": "headend-2"}

    def unit_kind(self, unit: str) -> UnitKind | None:
        return UnitKind.AREA if unit in self.known else None

    def may_send(self, gateway: str, unit: str) -> bool:
        return self.known[unit] == gateway


def message(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "sequence": 7,
        "observed_at": "2026-11-21T12:00:00Z",
        "interval_s": 900,
        "meter": ["m1", "m2", "m3"],
        "import_wh": [1, None, 3],
        "export_wh": [0, 0, 5],
        "voltage_v": [230.04, None, 229.96],
    }
    fields |= changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def decode(payload: bytes, topic: str = TOPIC, received_at_us: int = NOON_US + 1_000_000) -> Any:
    return decode_message(topic, payload, received_at_us, Units())


def test_takes_a_block_as_it_is() -> None:
    decoded = decode(message())
    assert decoded.rejections == ()
    block = decoded.block
    assert (block.unit, block.gateway, block.observed_at_us, block.interval_s) == ("A1", "headend-1", NOON_US, 900)
    assert block.sequence == 7
    assert block.meters.to_pylist() == ["m1", "m2", "m3"]
    assert block.import_wh.tolist() == [1, MISSING_WH, 3]
    assert block.export_wh.tolist() == [0, MISSING_WH, 5]
    assert block.voltage_dv.tolist() == [2300, MISSING_DV, 2300]
    assert block.quality.tolist() == [0, Quality.MISSING, 0]


def test_columns_that_are_left_out() -> None:
    block = decode(message(export_wh=..., voltage_v=...)).block
    assert block.export_wh.tolist() == [0, MISSING_WH, 0]
    assert np.all(block.voltage_dv == MISSING_DV)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{", Reason.INVALID_JSON),
        (b"\xff\xfe", Reason.INVALID_JSON),
        (message().replace(b"230.04", b"NaN"), Reason.INVALID_JSON),
        (b"[" * 100_000, Reason.INVALID_FIELD),
        (b"[]", Reason.INVALID_FIELD),
        (message(sequence=...), Reason.INVALID_FIELD),
        (message(sequence="7"), Reason.INVALID_FIELD),
        (message(surprise=1), Reason.INVALID_FIELD),
        (message(interval_s=7), Reason.INVALID_FIELD),
        (message(import_wh=[1.5, 2, 3]), Reason.INVALID_FIELD),
        (message(import_wh=[10**30, 2, 3]), Reason.INVALID_FIELD),
        (message(import_wh=[-(2**63), None, 3]), Reason.INVALID_FIELD),
        (message(observed_at="2026-11-21T12:00:00"), Reason.INVALID_FIELD),
        (message(observed_at="2026-11-21T12:00:01Z"), Reason.TIME_NOT_ALIGNED),
        (message(observed_at="2100-01-01T00:00:00Z"), Reason.TIME_IN_FUTURE),
        (message(observed_at="1970-01-01T00:15:00Z"), Reason.TIME_TOO_OLD),
        (message(observed_at="0001-01-01T00:00:00+14:00"), Reason.TIME_TOO_OLD),
        (message(observed_at="9999-12-31T23:45:00-14:00"), Reason.TIME_IN_FUTURE),
        (message(import_wh=[1, 2]), Reason.UNEQUAL_LENGTHS),
        (message(meter=["m1", "m1", "m3"]), Reason.DUPLICATE_METER),
        (b" " * (MAX_PAYLOAD + 1), Reason.TOO_LARGE),
    ],
)
def test_refuses_whole_with_reason_and_original(payload: bytes, reason: Reason) -> None:
    decoded = decode(payload)
    assert decoded.block is None
    (rejection,) = decoded.rejections
    assert rejection.reason is reason
    assert rejection.original == payload
    assert rejection.topic == TOPIC
    assert rejection.detail


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("meterline/v1/headend-1/block", Reason.BAD_TOPIC),
        ("other/v1/headend-1/block/A1", Reason.BAD_TOPIC),
        ("meterline/v1/headend-1/block/Z9", Reason.UNKNOWN_UNIT),
        ("meterline/v1/headend-1/block/B1", Reason.NOT_SENDERS_UNIT),
    ],
)
def test_refuses_what_the_sender_may_not_send(topic: str, reason: Reason) -> None:
    (rejection,) = decode(message(), topic=topic).rejections
    assert rejection.reason is reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"import_wh": [1, -2, 3]}, Reason.NEGATIVE_ENERGY),
        ({"export_wh": [0, -1, 0], "import_wh": [1, 2, 3]}, Reason.NEGATIVE_ENERGY),
        ({"import_wh": [1, 10**12, 3]}, Reason.ENERGY_TOO_LARGE),
        ({"voltage_v": [230, 1e308, 230], "import_wh": [1, 2, 3]}, Reason.VOLTAGE_OUT_OF_RANGE),
    ],
)
def test_refuses_one_reading_and_keeps_the_others(changes: dict[str, Any], reason: Reason) -> None:
    payload = message(**changes)
    decoded = decode(payload)
    (rejection,) = decoded.rejections
    assert (rejection.reason, rejection.meters, rejection.original) == (reason, ("m2",), payload)
    assert decoded.block.import_wh.tolist() == [1, MISSING_WH, 3]
    assert decoded.block.quality.tolist() == [0, Quality.MISSING, 0]


def test_a_clock_five_minutes_ahead_is_taken() -> None:
    assert decode(message(), received_at_us=NOON_US - 300_000_000).block is not None
    assert decode(message(), received_at_us=NOON_US - 300_000_001).block is None


def test_what_is_a_year_late_is_taken() -> None:
    day_us = 86_400_000_000
    assert decode(message(), received_at_us=NOON_US + 400 * day_us).block is not None
    assert decode(message(), received_at_us=NOON_US + 400 * day_us + 1).block is None


def test_the_published_schema_says_the_same() -> None:
    schema = block_schema()
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    assert validator.is_valid(json.loads(message()))
    assert not validator.is_valid(json.loads(message(surprise=1)))
    assert not validator.is_valid(json.loads(message(import_wh=[1.5, 2, 3])))


def test_what_is_too_large_doesn_t_wait_for_its_unit() -> None:
    (rejection,) = decode(b" " * (MAX_PAYLOAD + 1), topic="meterline/v1/headend-1/block/Z9").rejections
    assert rejection.reason is Reason.TOO_LARGE
    assert not rejection.quarantined
