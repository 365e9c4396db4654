"""What the worker makes of the records that aren't blocks."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from grid.errors import Reason
from streams.app import _rejection
from streams.counters import Vitals
from streams.model_changes import units_of
from streams.worker_state import PART_OF, lag_of_parts


def event(header: bytes | None, value: bytes | None = b"original") -> Any:
    headers = None if header is None else [("rejection", header)]
    return SimpleNamespace(value=value, message=SimpleNamespace(headers=headers, topic="telemetry.rejected"))


def test_a_rejection_comes_back_from_its_headers() -> None:
    about = {"reason": "unknown_unit", "detail": "d", "topic": "t", "meters": ["m"]}
    rejection = _rejection(event(json.dumps(about).encode()))
    assert (rejection.reason, rejection.topic, rejection.meters) == (Reason.UNKNOWN_UNIT, "t", ("m",))
    assert rejection.original == b"original"


@pytest.mark.parametrize(
    "header", [None, b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"reason": "new"}', b"9" * 10_000]
)
def test_a_rejection_without_its_reason_is_kept_all_the_same(header: bytes | None) -> None:
    rejection = _rejection(event(header))
    assert rejection.reason is Reason.INVALID_BLOCK
    assert rejection.original == b"original"
    assert _rejection(event(header, None)).original == b""


@pytest.mark.parametrize(
    ("value", "units"),
    [
        (b'{"payload": {"unit": "A1"}}', ["A1"]),
        (b'{"payload": {"unit": "A1", "units": ["A1", "F1"]}}', ["A1", "F1"]),
        (b'{"payload": {}}', None),
        (b"not json", None),
        (b"[1]", None),
        (b'{"payload": {"units": 7}}', None),
        (None, None),
    ],
)
def test_a_change_names_its_units_or_may_be_of_any(value: bytes | None, units: list[str] | None) -> None:
    assert units_of(value) == units


def test_lag_is_told_of_the_part_that_takes_a_topic() -> None:
    assert set(PART_OF.values()) == set(Vitals().by_name())
    lag = {("telemetry.area", 0): 3, ("telemetry.area", 1): 4, ("telemetry.backfill", 0): 5}
    assert lag_of_parts(lag) == {"areas": 7, "backfill": 5}
