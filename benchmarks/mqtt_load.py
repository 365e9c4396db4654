"""Messages of many areas, published as one gateway: as fast as the broker takes them, for little processor time."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from benchmarks.scene import taken_wh, whole_intervals_us
from meterline.config import Settings
from meterline.settings.section import read_secret
from store.blocks import to_datetime

ACCOUNT = "headend"
_IN_FLIGHT = 200
_WAIT_S = 60.0
_LOOK_S = 0.005
#: Packets of MQTT 3.1.1 (OASIS, 2014): CONNECT with clean session, account and password; PUBLISH with QoS 1.
_CONNECT, _CONNECTED, _PUBLISH, _PUBACK_BYTES = 0x10, b"\x20\x02\x00\x00", 0x32, 4
_LEVEL_AND_FLAGS = b"\x04\xc2"
_IDS = 65_535


class Publisher:
    """A connection that publishes with QoS 1 and counts what the broker has taken; it takes messages as Kafka's does.

    Raises
    ------
    ConnectionError
        When the broker refuses the account or goes away.
    """

    def __init__(self, settings: Settings) -> None:
        folder = settings.mqtt.gateway_passwords_dir
        assert folder is not None
        self._socket = socket.create_connection((settings.mqtt.host, settings.mqtt.port), _WAIT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        texts = (ACCOUNT, ACCOUNT, read_secret(folder / ACCOUNT))
        body = _text("MQTT") + _LEVEL_AND_FLAGS + bytes(2) + b"".join(map(_text, texts))
        self._socket.sendall(bytes([_CONNECT]) + _length(len(body)) + body)
        if (answer := self._socket.recv(len(_CONNECTED))) != _CONNECTED:
            raise ConnectionError(f"the broker doesn't accept {ACCOUNT}: {answer.hex()}")
        self._sent = self._acknowledged_bytes = 0

    def send(self, topic: str, *, key: bytes = b"", value: bytes) -> None:  # noqa: ARG002  # as Kafka's producer
        """Publish `value`, after a wait for the broker where too much is in flight."""
        self._await(_IN_FLIGHT - 1)
        self._sent += 1
        head = _text(topic) + (1 + self._sent % _IDS).to_bytes(2, "big")
        self._socket.sendall(b"".join((bytes([_PUBLISH]), _length(len(head) + len(value)), head, value)))

    def flush(self) -> None:
        """Wait until the broker has all."""
        self._await(0)

    def close(self) -> None:
        """Leave the broker."""
        self._socket.close()

    def _await(self, in_flight: int) -> None:
        while self._sent - self._acknowledged_bytes // _PUBACK_BYTES > in_flight:
            answers = self._socket.recv(1 << 16)
            if not answers:
                raise ConnectionError("the broker has closed the connection")
            self._acknowledged_bytes += len(answers)


def _text(text: str) -> bytes:
    return len(text.encode()).to_bytes(2, "big") + text.encode()


def _length(size: int) -> bytes:
    """A variable byte integer."""
    out = bytearray()
    while size > 0x7F:
        out.append(0x80 | size & 0x7F)
        size >>= 7
    out.append(size)
    return bytes(out)


class Messages:
    """A gateway's messages of one area, of which only number and time are filled in."""

    def __init__(self, code: str, meters: Sequence[str], interval_s: int) -> None:
        random = np.random.default_rng(len(code) + len(meters))
        fields = {
            "meter": list(meters),
            "import_wh": taken_wh(random, len(meters)).tolist(),
            "export_wh": [0] * len(meters),
            "voltage_a_v": np.round(random.normal(230, 2, len(meters)), 1).tolist(),
            "interval_s": interval_s,
        }
        self.topic = f"meterline/v1/{ACCOUNT}/block/{code}"
        self._begin = json.dumps(fields).removesuffix("}").encode()

    def message(self, sequence: int, observed_at: str) -> bytes:
        """The message of that number."""
        return b'%b, "sequence": %d, "observed_at": "%b"}' % (self._begin, sequence, observed_at.encode())


class Intervals:
    """All areas' messages of so many intervals, the last of which is over now.

    Parameters
    ----------
    areas
        Meters of each, by its code.
    """

    def __init__(self, areas: dict[str, pa.StringArray], intervals: int, interval_s: int) -> None:
        self._areas = [Messages(code, meters.to_pylist(), interval_s) for code, meters in areas.items()]
        self._interval_us = interval_s * 1_000_000
        self._first_us = whole_intervals_us(interval_s) - (intervals + 1) * self._interval_us

    def publish(self, settings: Settings, some: range, may_send: Callable[[int], bool] = lambda _: True) -> None:
        """Publish those of some intervals until the broker has all of them; `may_send` is asked of each by number."""
        publisher = Publisher(settings)
        sequence = some.start * len(self._areas)
        for i in some:
            observed_at = to_datetime(self._first_us + i * self._interval_us).isoformat()
            for area in self._areas:
                sequence += 1
                while not may_send(sequence):
                    time.sleep(_LOOK_S)
                publisher.send(area.topic, value=area.message(sequence, observed_at))
        publisher.flush()
        publisher.close()
