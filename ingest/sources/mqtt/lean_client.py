"""paho's client with less work for each message: it reads a message by four calls of the system, and answers by two.

Each of them gives the interpreter's lock away, and a thread that decodes meanwhile gives it back after 5 ms. Here what
has come is read at once, and acknowledgements that are due together go out together. A usual message is taken from what
was read as it lies there: half of paho's own time for one goes into the tables of properties that it might have. It
rests on how paho 2.2 is made inside: `tests/unit/test_lean_client.py` and the tests with a broker show whether another
still is.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterable
from typing import cast

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import MessageType, MQTTErrorCode

_READ_BYTES = 256 * 1024
#: Messages that are read before something may be written.
_PACKETS = 100
_PUBACK = int(MessageType.PUBACK)
#: First byte of a message of quality 1 that isn't retained, but for the mark of a repeat.
_PUBLISH, _REPEAT = 0x32, 0x08


class Publication(MQTTMessage):
    """A message of quality 1 without properties, and without what paho keeps of one that is sent."""

    __slots__ = ()

    def __init__(self, mid: int, topic: bytes, payload: bytes, repeat: bool) -> None:
        self.mid, self._topic, self.payload, self.dup = mid, topic, payload, repeat
        self.qos, self.retain, self.properties = 1, False, None


class BufferedSocket:
    """What paho uses of a socket, with what has come already read ahead."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._read = b""
        self._at = 0

    def recv(self, size: int) -> bytes:
        """At most `size` bytes; nothing at the end of the connection.

        Raises
        ------
        OSError
            As a socket's own; BlockingIOError when nothing has come.
        """
        if self._at == len(self._read):
            self._read, self._at = self._sock.recv(_READ_BYTES), 0
        part = self._read[self._at : self._at + size]
        self._at += len(part)
        return part

    def publication(self) -> Publication | None:
        """The next message, if it was read ahead whole and is a usual one; else None, and nothing of it is taken."""
        data, at = self._read, self._at
        if len(data) < at + 2 or data[at] & ~_REPEAT != _PUBLISH:
            return None
        repeat = bool(data[at] & _REPEAT)
        size = shift = 0
        for n in range(1, 5):
            at += 1
            if at == len(data):
                return None
            size |= (data[at] & 0x7F) << shift
            shift += 7
            if data[at] < 0x80:
                break
            if n == 4:
                return None
        topic = at + 3
        end = at + 1 + size
        if size < 5 or end > len(data):
            return None
        number = topic + (data[topic - 2] << 8 | data[topic - 1])
        # Behind the number stands the length of the properties.
        if number + 3 > end or data[number + 2]:
            return None
        self._at = end
        return Publication(data[number] << 8 | data[number + 1], data[topic:number], data[number + 3 : end], repeat)

    def pending(self) -> int:
        """Bytes that can be had without waiting for the socket."""
        pending = self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0
        return len(self._read) - self._at + pending

    def send(self, data: bytes) -> int:
        """As a socket's own."""
        return self._sock.send(data)

    def close(self) -> None:
        """As a socket's own."""
        self._sock.close()

    def fileno(self) -> int:
        """As a socket's own."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        """As a socket's own."""
        self._sock.setblocking(flag)


class LeanClient(Client):
    """Reads ahead, and acknowledges many messages of quality 1 at once."""

    def ack_all(self, numbers: Iterable[int]) -> None:
        """Acknowledge messages by their packet identifiers, in this order."""
        packets = b"".join(struct.pack("!BBH", _PUBACK, 2, number) for number in numbers)
        if packets:
            self._packet_queue(_PUBACK, packets, 0, 1)

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """As paho's, and on with what was read ahead."""
        code = super().loop_read(max_packets)
        for _ in range(_PACKETS):
            buffered = cast("BufferedSocket | None", self._sock)
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS or buffered is None or not buffered.pending():
                break
            code = super().loop_read(max_packets)
        return code

    def _packet_read(self) -> MQTTErrorCode:
        buffered = cast("BufferedSocket | None", self._sock)
        publication = None if self._in_packet["command"] or buffered is None else buffered.publication()
        if publication is None:
            return super()._packet_read()
        # When something came last is noted with the first message of each read, which nothing was read ahead of.
        self._handle_on_message(publication)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _create_socket(self) -> BufferedSocket:  # type: ignore[override]  # paho asks no more of it than that has
        return BufferedSocket(cast("socket.socket", super()._create_socket()))
