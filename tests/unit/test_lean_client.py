"""What paho reads and writes through a socket that is read ahead: a broker's bytes over a real pair of sockets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest
from paho.mqtt.client import MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from ingest.sources.mqtt.lean_client import BufferedSocket, LeanClient


class Rig:
    def __init__(self) -> None:
        here, self.broker = socket.socketpair()
        here.setblocking(False)
        self.client = LeanClient(CallbackAPIVersion.VERSION2, client_id="c", protocol=MQTTv5, manual_ack=True)
        self.ahead = BufferedSocket(here)
        self.client._sock = self.ahead  # type: ignore[assignment]
        self.payloads: list[bytes] = []
        self.client.on_message = self._take

    def _take(self, _client: object, _userdata: object, message: MQTTMessage) -> None:
        self.payloads.append(bytes(message.payload))

    def close(self) -> None:
        self.broker.close()
        self.client._sock_close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


def publish(number: int, payload: bytes) -> bytes:
    topic = b"meterline/v1/g/block/A1"
    body = struct.pack("!H", len(topic)) + topic + struct.pack("!H", number) + b"\0" + payload
    length, size = b"", len(body)
    while True:
        size, digit = divmod(size, 128)
        length += bytes([digit | (128 if size else 0)])
        if not size:
            return b"\x32" + length + body


def test_all_that_has_come_is_read_at_once(rig: Rig) -> None:
    payloads = [bytes([n]) * (100 * n) for n in range(1, 40)]
    rig.broker.sendall(b"".join(publish(n, payload) for n, payload in enumerate(payloads, 1)))
    assert rig.client.loop_read() == MQTTErrorCode.MQTT_ERR_SUCCESS
    assert rig.payloads == payloads


def test_a_message_that_comes_in_parts_is_put_together(rig: Rig) -> None:
    data = publish(1, b"a" * 300) + publish(2, b"b" * 200)
    for n in range(len(data)):
        rig.broker.sendall(data[n : n + 1])
        rig.client.loop_read()
    assert rig.payloads == [b"a" * 300, b"b" * 200]


def test_a_flood_leaves_room_for_answers(rig: Rig) -> None:
    rig.broker.sendall(b"".join(publish(n, b"x") for n in range(1, 301)))
    rig.client.loop_read()
    assert 0 < len(rig.payloads) < 300
    assert rig.ahead.pending() > 0  # so paho comes again without waiting for the socket
    while rig.ahead.pending():
        rig.client.loop_read()
    assert len(rig.payloads) == 300


def test_the_end_of_the_connection_is_seen(rig: Rig) -> None:
    rig.broker.sendall(publish(1, b"last"))
    rig.broker.close()
    codes = [rig.client.loop_read() for _ in range(2)]
    assert rig.payloads == [b"last"]
    assert MQTTErrorCode.MQTT_ERR_CONN_LOST in codes


def test_acknowledgements_go_out_together_and_in_order(rig: Rig) -> None:
    rig.client.ack_all([7, 300, 8])
    rig.client.loop_write()
    assert rig.broker.recv(100) == bytes.fromhex("40020007 4002012c 40020008")
    rig.client.ack_all([])
    assert not rig.client.want_write()
