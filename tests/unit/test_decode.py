from __future__ import annotations

import json
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import jsonschema
import numpy as np
import pytest

from grid.errors import Reason
from grid.model import UnitKind
from grid.quality import MISSING_WH, Quality
from ingest.checks import MAX_PAYLOAD
from ingest.decode import decode_message
from ingest.messages import block_schema

MISSING = np.iinfo(np.int16).min
NOON_US = 1_795_262_400_000_000  # 2026-11-21T12:00:00Z
TOPIC = "meterline/v1/headend-1/block/A1"


class Units:
    """Two areas of one gateway and one of another."""

    def __init__(self) -> None:
        self.known = {"A1": "headend-1", "A2": "headend-1", "B1": "headend-2"}

    zone = UTC

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
        "voltage_a_v": [230.04, None, 229.96],
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
    assert block.sequence.tolist() == [7, 7, 7]
    assert block.meters.to_pylist() == ["m1", "m2", "m3"]
    assert {name: values.tolist() for name, values in block.channels.items()} == {
        "import_wh": [1, MISSING_WH, 3],
        "export_wh": [0, 0, 5],
        "voltage_a_dv": [2300, MISSING, 2300],
    }
    assert block.quality.tolist() == [0, Quality.MISSING, 0]


def test_columns_that_are_left_out() -> None:
    block = decode(message(export_wh=..., voltage_a_v=...)).block
    assert list(block.channels) == ["import_wh"]
    block = decode(message(import_wh=..., export_wh=...)).block
    assert list(block.channels) == ["voltage_a_dv"]
    assert block.quality.tolist() == [Quality.MISSING] * 3


def test_every_channel_is_taken_in_its_steps() -> None:
    columns = {
        "register_import_wh": [10, None, 30],
        "register_export_wh": [0, 0, 10**15],
        "voltage_b_v": [229.96, 1.0, 2.0],
        "voltage_c_v": [0, 3_000, None],
        "current_a_a": [5.004, 0, 300],
        "current_b_a": [None, None, None],
        "current_c_a": [1, 2, 3],
        "power_factor": [-1, 0.9996, 1],
    }
    decoded = decode(message(**columns))
    assert decoded.rejections == ()
    channels = {name: values.tolist() for name, values in decoded.block.channels.items()}
    assert channels["register_import_wh"] == [10, MISSING_WH, 30]
    assert channels["register_export_wh"] == [0, 0, 10**15]
    assert channels["voltage_b_dv"] == [2300, 10, 20]
    assert channels["voltage_c_dv"] == [0, 30_000, MISSING]
    assert channels["current_a_ca"] == [500, 0, 30_000]
    assert channels["current_b_ca"] == [MISSING] * 3
    assert channels["current_c_ca"] == [100, 200, 300]
    assert channels["power_factor_permille"] == [-1_000, 1_000, 1_000]


@pytest.mark.parametrize(
    ("end", "length_s", "is_day"),
    [
        ("2026-11-20T16:00:00Z", 86_400, True),  # midnight in Xi'an
        ("2026-11-21T00:00:00+08:00", 86_400, True),
        ("2026-11-21T00:00:00Z", 86_400, False),
        ("2026-11-20T16:00:00Z", 82_800, False),
    ],
)
def test_a_day_is_the_utility_s(end: str, length_s: int, is_day: bool) -> None:
    payload = message(observed_at=end, interval_s=length_s)
    decoded = decode_message(TOPIC, payload, NOON_US, Units(), ZoneInfo("Asia/Shanghai"))
    assert (decoded.block is not None) == is_day
    if not is_day:
        assert decoded.rejections[0].reason is Reason.TIME_NOT_ALIGNED


@pytest.mark.parametrize(("end", "length_s"), [("2026-10-25T23:00:00Z", 90_000), ("2026-03-29T22:00:00Z", 82_800)])
def test_days_on_which_the_clock_is_changed(end: str, length_s: int) -> None:
    payload = message(observed_at=end, interval_s=length_s)
    assert decode_message(TOPIC, payload, NOON_US, Units(), ZoneInfo("Europe/Berlin")).block is not None
    other = message(observed_at=end, interval_s=86_400)
    assert decode_message(TOPIC, other, NOON_US, Units(), ZoneInfo("Europe/Berlin")).block is None


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
        (message(current_b_a=[1, 2]), Reason.UNEQUAL_LENGTHS),
        (message(import_wh=..., export_wh=..., voltage_a_v=...), Reason.INVALID_FIELD),
        (message(sequence=2**60), Reason.INVALID_FIELD),
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
    ],
)
def test_refuses_one_reading_and_keeps_the_others(changes: dict[str, Any], reason: Reason) -> None:
    payload = message(**changes)
    decoded = decode(payload)
    (rejection,) = decoded.rejections
    assert (rejection.reason, rejection.meters, rejection.original) == (reason, ("m2",), payload)
    assert decoded.block.channels["import_wh"].tolist() == [1, MISSING_WH, 3]
    assert decoded.block.channels["export_wh"].tolist()[1] == MISSING_WH
    assert decoded.block.quality.tolist() == [0, Quality.MISSING, 0]


@pytest.mark.parametrize(
    "changes",
    [
        {"voltage_a_v": [230, 1e308, 230]},
        {"current_c_a": [0, -1, 0]},
        {"power_factor": [0, 1.5, 0]},
        {"register_import_wh": [0, -1, 0]},
        {"register_export_wh": [0, 10**15 + 1, 0]},
    ],
)
def test_refuses_one_value_and_keeps_the_energy_of_that_meter(changes: dict[str, Any]) -> None:
    decoded = decode(message(import_wh=[1, 2, 3], **changes))
    (rejection,) = decoded.rejections
    assert (rejection.reason, rejection.meters) == (Reason.VALUE_OUT_OF_RANGE, ("m2",))
    assert decoded.block.channels["import_wh"].tolist() == [1, 2, 3]
    (other,) = (
        n for n in decoded.block.channels if n not in ("import_wh", "export_wh") and n[:6] == next(iter(changes))[:6]
    )
    values = decoded.block.channels[other]
    assert values[1] == np.iinfo(values.dtype).min
    assert np.all(values[[0, 2]] != np.iinfo(values.dtype).min)


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
