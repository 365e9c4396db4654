"""What the worker makes of the records that aren't blocks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError

from grid.errors import Reason, Rejection
from grid.resettle import Resettle
from grid.unit_energy import UnitEnergies
from meterline.replay import _KEYS, _key_of
from streams.app import _rejection, _settle_again, _Told
from streams.counters import Counters, Vitals
from streams.model_changes import units_of
from streams.worker_state import PART_OF, lag_of_parts
from tests.unit.test_telling import energies


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


ORDER = json.dumps(
    {
        "recorded_at": "2026-11-21T12:00:00+00:00",
        "payload": {"unit": "A1", "from": "2026-11-20T12:00:00+00:00", "to": None, "model_version": 7},
    }
).encode()


class Pages:
    """Settles a unit again, a page at a time."""

    def __init__(self, *pages: list[UnitEnergies] | Exception) -> None:
        self.counters = Counters()
        self._pages = pages

    def settle_again(self, order: Resettle) -> Iterator[list[UnitEnergies]]:
        for page in self._pages:
            if isinstance(page, Exception):
                raise page
            yield page

    def close(self) -> None:
        pass


class Refused(list[Rejection]):
    def write(self, rejections: list[Rejection]) -> None:
        self.extend(rejections)


class Away:
    """A topic of a Kafka that can't be reached."""

    async def send(self, **_: Any) -> Any:
        raise KafkaTimeoutError


def again(processor: Any, refusals: Any, value: bytes = ORDER) -> None:
    message = SimpleNamespace(value=value, message=SimpleNamespace(topic="grid.resettle"))
    asyncio.run(_settle_again(processor, _Told(Away(), 4), refusals, message))


def test_an_order_whose_figures_kafka_does_not_take_is_not_refused_but_comes_again() -> None:
    refused = Refused()
    with pytest.raises(KafkaTimeoutError):
        again(Pages([energies("F1", 0)], []), refused)
    assert refused == []


def test_an_order_that_cannot_be_carried_out_is_refused() -> None:
    refused = Refused()
    again(Pages([], ZeroDivisionError("bug")), refused)
    again(Pages(), refused, b"{")
    assert [rejection.reason for rejection in refused] == [Reason.PROCESSING_FAILED, Reason.INVALID_BLOCK]
    assert [rejection.original for rejection in refused] == [ORDER, b"{"]


@pytest.mark.parametrize(
    ("original", "key"),
    [(ORDER, b"A1"), (b"{", None), (b"\xff", None), (ORDER.replace(b"A1", b"\\ud800"), None)],
)
def test_a_refused_order_goes_back_to_its_own_topic_by_its_unit(original: bytes, key: bytes | None) -> None:
    assert "grid.resettle" in _KEYS
    assert _key_of("grid.resettle", original) == key
