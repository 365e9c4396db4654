"""What the bridge acknowledges, and when, with a broker's callbacks made by hand."""

from __future__ import annotations

import json
import threading
import tracemalloc
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

import pytest
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from prometheus_client import CollectorRegistry

from grid.block import decode_block
from grid.model import UnitKind
from ingest.gaps import AskLimits
from ingest.gather import GatherLimits
from ingest.requests import sequence_of
from ingest.resend import Resender
from ingest.sources.mqtt import Bridge, BridgeSettings, bridge
from ingest.sources.mqtt.bridge import BridgeError
from meterline.metrics_bridge import BridgeMetrics
from tests.memory_ledger import MemoryLedger
from tests.waiting import PATIENCE_S

NOW_S = 1_795_262_401.0


class Units:
    zone = UTC

    def unit_kind(self, unit: str) -> UnitKind | None:
        return UnitKind.AREA

    def may_send(self, gateway: str, unit: str) -> bool:
        return True


@dataclass
class Future:
    exception: Exception | None = None
    is_done: bool = True

    def succeeded(self) -> bool:
        return self.exception is None


@dataclass
class Producer:
    """Takes everything, or fails with `error`."""

    error: Exception | None = None
    answers: bool = True
    sent: list[tuple[str, bytes]] = field(default_factory=list)
    futures: list[Future] = field(default_factory=list)

    def send(self, topic: str, *, key: bytes, value: bytes, headers: Any = None) -> Future:
        self.sent.append((topic, value))
        self.futures.append(Future(self.error, self.answers))
        return self.futures[-1]

    def flush(self, timeout: float) -> None:
        pass


class Client:
    def __init__(self) -> None:
        self.acks: list[int] = []

    def ack_all(self, numbers: Iterable[int]) -> None:
        self.acks += numbers


class Rig:
    """A bridge between a client and a producer that only take notes."""

    def __init__(self, gather: GatherLimits = GatherLimits(below=0), resender: Any = None) -> None:  # noqa: B008
        self.producer = Producer()
        settings = BridgeSettings("nowhere", 1, "bridge", "", gather=gather)
        self.bridge = Bridge(settings, self.producer, Units(), lambda: NOW_S, resender)
        self.client = Client()
        self.bridge._client = self.client  # type: ignore[assignment]

    def arrive(self, mid: int, padding: int = 0, meters: tuple[str, ...] = ("m",), unit: str = "A1") -> None:
        message = MQTTMessage(mid, f"meterline/v1/g/block/{unit}".encode())
        message.qos = 1
        fields = {"sequence": mid, "observed_at": "2026-11-21T12:00:00Z", "interval_s": 900}
        message.payload = (
            json.dumps({**fields, "meter": meters, "import_wh": [mid] * len(meters)}).encode() + b" " * padding
        )
        self.bridge._on_message(None, None, message)  # type: ignore[arg-type]

    def disconnect(self) -> None:
        self.bridge._on_disconnect(None, None, None, "lost", None)  # type: ignore[arg-type]

    def forward(self) -> None:
        self.bridge._forward(self.bridge._take())


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_acknowledges_in_order_once_kafka_has_them(rig: Rig) -> None:
    for mid in (3, 1, 2):
        rig.arrive(mid)
    rig.forward()
    assert rig.client.acks == [3, 1, 2]


def test_acknowledges_nothing_when_kafka_refuses_one(rig: Rig) -> None:
    rig.producer.error = RuntimeError("no")
    rig.arrive(1)
    with pytest.raises(BridgeError, match="no"):
        rig.forward()
    assert rig.client.acks == []


def test_what_kafka_has_not_answered_for_holds_up_what_came_after_it(rig: Rig) -> None:
    rig.producer.answers = False
    rig.arrive(1)
    rig.forward()
    rig.producer.answers = True
    rig.arrive(2)
    rig.forward()
    assert (len(rig.producer.sent), rig.client.acks) == (2, [])
    rig.producer.futures[0].is_done = True
    rig.forward()
    assert rig.client.acks == [1, 2]
    assert rig.bridge.held_bytes == 0


def test_a_kafka_that_does_not_answer_ends_the_bridge(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "_KAFKA_TIMEOUT_S", 0)
    rig.producer.answers = False
    rig.arrive(1)
    with pytest.raises(BridgeError, match="answer"):
        rig.forward()
    assert rig.client.acks == []


def test_a_number_of_an_earlier_connection_is_not_acknowledged(rig: Rig) -> None:
    rig.arrive(1)
    rig.disconnect()
    # The broker has lost the session and counts from 1 again: this is another message.
    first = rig.bridge._take()
    rig.arrive(1)
    rig.bridge._forward(first)
    assert rig.client.acks == []
    rig.forward()
    assert rig.client.acks == [1]
    assert len(rig.producer.sent) == 2


def test_stops_reading_from_the_broker_while_too_much_is_held(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "_MAX_HELD", 1_000)
    rig.arrive(1, padding=1_000)
    network = threading.Thread(target=rig.arrive, args=(2,), daemon=True)
    network.start()
    network.join(0.2)
    assert network.is_alive()
    rig.forward()
    network.join(PATIENCE_S)
    assert not network.is_alive()
    rig.forward()
    assert rig.client.acks == [1, 2]


@pytest.mark.parametrize("topic", ["meterline/v1/g/block/A1", "meterline/v1/g/block/" + "A" * 60_000])
def test_messages_without_payload_take_no_more_memory_than_is_counted(rig: Rig, topic: str) -> None:
    tracemalloc.start()
    try:
        for mid in range(300):
            message = MQTTMessage(mid, topic.encode())
            message.properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            rig.bridge._on_message(None, None, message)  # type: ignore[arg-type]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < rig.bridge.held_bytes < 2 * taken
    rig.forward()
    assert rig.bridge.held_bytes == 0


def test_a_refused_subscription_is_no_listening(rig: Rig) -> None:
    denied = ReasonCode(PacketTypes.SUBACK, "Not authorized")
    rig.bridge._on_subscribe(None, None, 1, [denied], None)  # type: ignore[arg-type]
    with pytest.raises(BridgeError, match="subscription"):
        rig.forward()


def test_a_refused_connection_names_the_broker_s_reason(rig: Rig) -> None:
    busy = ReasonCode(PacketTypes.CONNACK, "Server busy")
    rig.bridge._on_connect(None, None, None, busy, None)  # type: ignore[arg-type]
    with pytest.raises(BridgeError, match="Server busy"):
        rig.forward()


def test_single_readings_become_one_record_and_are_acknowledged_after_it() -> None:
    rig = Rig(GatherLimits(below=3, linger_us=60_000_000, messages=3))
    rig.arrive(1, meters=("a",))
    rig.arrive(2, meters=("b",))
    rig.forward()
    assert (rig.producer.sent, rig.client.acks) == ([], [])
    # What is large enough goes straight through; its acknowledgement waits for those before it.
    rig.arrive(3, meters=("c", "d", "e"), unit="A2")
    rig.forward()
    assert [len(decode_block(value)) for _, value in rig.producer.sent] == [3]
    assert rig.client.acks == []
    rig.arrive(4, meters=("a",))
    rig.forward()
    assert rig.client.acks == [1, 2, 3, 4]
    # A meter that came twice is in two blocks: its numbers tell which reading stands.
    gathered = [decode_block(value) for _, value in rig.producer.sent[1:]]
    assert [block.meters.to_pylist() for block in gathered] == [["a", "b"], ["a"]]
    assert [block.sequence.tolist() for block in gathered] == [[1, 2], [4]]
    assert (rig.bridge.gathered, rig.bridge.forwarded) == (3, 3)


def test_a_linger_that_is_over_sends_what_there_is() -> None:
    rig = Rig(GatherLimits(below=3, linger_us=50_000))
    rig.arrive(1)
    rig.forward()
    assert rig.client.acks == []
    rig.forward()  # nothing comes: it waits for the linger to end
    assert rig.client.acks == [1]


def test_an_old_block_goes_to_the_backfill_s_lane(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.arrive(1)
    monkeypatch.setattr(rig.bridge, "_clock", lambda: NOW_S + 86_400)
    rig.arrive(2)
    rig.forward()
    assert [topic for topic, _ in rig.producer.sent] == ["telemetry.area", "telemetry.backfill"]
    assert rig.bridge.backfilled == 1


class Heard:
    def __init__(self) -> None:
        self.messages: list[tuple[str, int | None]] = []

    def heard(self, messages: Any) -> None:
        self.messages += [
            (topic, sequence_of(payload) if number is None else number) for topic, payload, number in messages
        ]


def test_a_number_is_heard_only_once_kafka_has_its_message() -> None:
    heard = Heard()
    rig = Rig(resender=heard)
    rig.producer.error = RuntimeError("no")
    rig.arrive(1)
    with pytest.raises(BridgeError):
        rig.forward()
    assert heard.messages == []
    rig.producer.error = None
    rig.arrive(2)
    rig.arrive(3, meters=("twice", "twice"))  # refused, and heard all the same
    rig.forward()
    assert heard.messages == [("meterline/v1/g/block/A1", 2), ("meterline/v1/g/block/A1", 3)]


def test_metrics_tell_of_gaps() -> None:
    resender = Resender(MemoryLedger(), AskLimits(), lambda: NOW_S)
    rig = Rig(resender=resender)
    for mid in (1, 2, 5):
        rig.arrive(mid)
    rig.forward()
    registry = CollectorRegistry()
    registry.register(BridgeMetrics(rig.bridge))
    values = {
        name: registry.get_sample_value(f"meterline_bridge_{name}")
        for name in (
            "forwarded_total",
            "gathered_total",
            "backfilled_total",
            "gap_noticed_total",
            "gaps_open",
            "gaps_open_messages",
            "gaps_given_up",
        )
    }
    assert values == {
        "forwarded_total": 3,
        "gathered_total": 0,
        "backfilled_total": 0,
        "gap_noticed_total": 1,
        "gaps_open": 1,
        "gaps_open_messages": 2,
        "gaps_given_up": 0,
    }
