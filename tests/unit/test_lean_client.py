"""What paho reads and writes through a socket that is read ahead: a broker's bytes over a real pair of sockets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest
from paho.mqtt.client import MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from ingest.sources.mqtt.lean_client import BufferedSocket, LeanClient, Publication


class Rig:
    def __init__(self) -> None:
        here, self.broker = socket.socketpair()
        here.setblocking(False)
        self.client = LeanClient(CallbackAPIVersion.VERSION2, client_id="c", protocol=MQTTv5, manual_ack=True)
        self.ahead = BufferedSocket(here)
        self.client._sock = self.ahead  # type: ignore[assignment]
        self.messages: list[MQTTMessage] = []
        self.client.on_message = self._take

    def _take(self, _client: object, _userdata: object, message: MQTTMessage) -> None:
        self.messages.append(message)

    @property
    def payloads(self) -> list[bytes]:
        return [bytes(message.payload) for message in self.messages]

    def close(self) -> None:
        self.broker.close()
        self.client._sock_close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


TOPIC = "meterline/v1/g/block/A1"


def publish(number: int, payload: bytes, first: int = 0x32, properties: bytes = b"\0") -> bytes:
    topic = TOPIC.encode()
    packet_id = struct.pack("!H", number) if first & 0x06 else b""
    body = struct.pack("!H", len(topic)) + topic + packet_id + properties + payload
    length, size = b"", len(body)
    while True:
        size, digit = divmod(size, 128)
        length += bytes([digit | (128 if size else 0)])
        if not size:
            return bytes([first]) + length + body


def test_all_that_has_come_is_read_at_once(rig: Rig) -> None:
    payloads = [bytes([n]) * (100 * n) for n in range(1, 40)]
    rig.broker.sendall(b"".join(publish(n, payload) for n, payload in enumerate(payloads, 1)))
    assert rig.client.loop_read() == MQTTErrorCode.MQTT_ERR_SUCCESS
    assert rig.payloads == payloads


def test_what_is_taken_as_it_lies_says_the_same_as_what_paho_reads(rig: Rig) -> None:
    """Each message comes behind another and at the end of what was read, one byte short: paho reads it then."""
    count = b"\x05\x02\0\0\0\x3c"  # message expiry
    kinds: list[tuple[int, bytes, bytes]] = [
        (0x32, b"\0", b"usual"),
        (0x3A, b"\0", b"again"),
        (0x33, b"\0", b"retained"),
        (0x30, b"\0", b"quality 0"),
        (0x32, count, b"properties"),
        (0x32, b"\0", b""),
        (0x32, b"\0", b"x" * 300),
        (0x3A, b"\0", b"x" * 20_000),
    ]
    for first, properties, payload in kinds:
        message = publish(500, payload, first, properties)
        rig.messages.clear()
        rig.broker.sendall(publish(1, b"ahead") + message + publish(2, b"ahead") + message[:-1])
        while not rig.ahead.pending() and len(rig.messages) < 3:
            rig.client.loop_read()
        rig.broker.sendall(message[-1:])
        while len(rig.messages) < 4:
            rig.client.loop_read()
        as_it_lay, as_paho_reads = rig.messages[1], rig.messages[3]
        assert said(as_it_lay) == said(as_paho_reads)
        assert said(as_it_lay) == (TOPIC, payload, 500 if first & 0x06 else 0, first & 0x06, first & 0x08, first & 1)
        usual = first & ~0x08 == 0x32 and properties == b"\0"
        assert isinstance(as_it_lay, Publication) == usual
        assert not isinstance(as_paho_reads, Publication)


def said(message: MQTTMessage) -> tuple[str, bytes, int, int, int, int]:
    flags = message.qos << 1, message.dup << 3, int(message.retain)
    return message.topic, bytes(message.payload), message.mid, *flags


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x32",
        b"\x32\x80",
        b"\x32\x00",
        b"\x32\x04\0\0\0\1",
        b"\x32\xff\xff\xff\xff\x01",
        b"\x32\x08\0\xff\0\1\0\0\0\0",
        b"\x40\x02\0\1",
        publish(1, b"payload")[:-1],
        publish(1, b"payload", properties=b"\x05\x02\0\0\0\x3c"),
    ],
)
def test_what_is_no_usual_message_is_left_to_paho(rig: Rig, data: bytes) -> None:
    rig.ahead._read = data
    assert rig.ahead.publication() is None
    assert rig.ahead.pending() == len(data)


def test_the_broker_counts_as_heard_with_each_read(rig: Rig) -> None:
    rig.client._last_bytes_received = 0.0
    rig.broker.sendall(publish(1, b"one") + publish(2, b"two"))
    rig.client.loop_read()
    assert rig.payloads == [b"one", b"two"]
    assert rig.client._last_bytes_received > 0


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
