"""What the bridge acknowledges, and when, with a broker's callbacks made by hand."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from grid.model import UnitKind
from ingest.sources.mqtt import Bridge, BridgeSettings, bridge
from ingest.sources.mqtt.bridge import BridgeError

NOW_S = 1_795_262_401.0


class Units:
    def unit_kind(self, unit: str) -> UnitKind | None:
        return UnitKind.AREA

    def may_send(self, gateway: str, unit: str) -> bool:
        return True


@dataclass
class Future:
    exception: Exception | None = None

    def succeeded(self) -> bool:
        return self.exception is None


@dataclass
class Producer:
    """Takes everything, or fails with `error`."""

    error: Exception | None = None
    sent: list[tuple[str, bytes]] = field(default_factory=list)

    def send(self, topic: str, *, key: bytes, value: bytes, headers: Any = None) -> Future:
        self.sent.append((topic, value))
        return Future(self.error)

    def flush(self, timeout: float) -> None:
        pass


class Client:
    def __init__(self) -> None:
        self.acks: list[int] = []

    def ack(self, mid: int, qos: int) -> None:
        self.acks.append(mid)


class Rig:
    """A bridge between a client and a producer that only take notes."""

    def __init__(self) -> None:
        self.producer = Producer()
        self.bridge = Bridge(BridgeSettings("nowhere", 1, "bridge", ""), self.producer, Units(), lambda: NOW_S)
        self.client = Client()
        self.bridge._client = self.client  # type: ignore[assignment]

    def arrive(self, mid: int, padding: int = 0) -> None:
        message = MQTTMessage(mid, b"meterline/v1/g/block/A1")
        message.qos = 1
        fields = {"sequence": mid, "observed_at": "2026-11-21T12:00:00Z", "interval_s": 900}
        message.payload = json.dumps({**fields, "meter": ["m"], "import_wh": [1]}).encode() + b" " * padding
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
    network.join(5)
    assert not network.is_alive()
    rig.forward()
    assert rig.client.acks == [1, 2]


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
