"""Measures the channel from a site to the broker, with the site's own account: round trips and throughput.

Small messages go to the account's topic ``probe/echo``, which only it reads, and come back; larger ones go to
``probe/load``, which nobody reads, and the broker acknowledges them. So nothing but the broker is needed.
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

_CHUNK = 16 * 1024
_NONCE = 8
_CONNECT_S = 10.0


class ProbeError(RuntimeError):
    """The broker doesn't let the account measure."""


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """Where the broker is, who the site is there, and how much is sent.

    Attributes
    ----------
    gateway
        The site's account.
    count, every_s
        Round trips, one begun each `every_s`.
    wait_s
        What hasn't come back this long after the last was sent is lost.
    echo_bytes
        Size of a message that comes back.
    load_bytes, load_s
        How much is sent to measure throughput, and for how long at most; 0 bytes: it isn't measured.
    """

    host: str
    port: int
    gateway: str
    password: str
    ca_file: str | None = None
    count: int = 50
    every_s: float = 0.1
    wait_s: float = 5.0
    echo_bytes: int = 256
    load_bytes: int = 256 * 1024
    load_s: float = 10.0


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Round trips in the order sent, None where nothing came back; throughput, None where it wasn't measured."""

    delays_s: tuple[float | None, ...]
    bytes_per_s: float | None


def measure_channel(settings: ProbeSettings, stop: Callable[[], bool] = lambda: False) -> ProbeResult:
    """Measure; a broker that can't be reached gives lost messages and no throughput.

    Parameters
    ----------
    stop
        Asked between messages: True ends the measurement with what there is.

    Raises
    ------
    ProbeError
        When the broker refuses the account, or its access list the topics.
    """
    prober = _Prober(settings)
    try:
        if not prober.connect():
            return ProbeResult((None,) * settings.count, None)
        delays = prober.echo(stop)
        return ProbeResult(delays, None if settings.load_bytes == 0 or stop() else prober.load())
    finally:
        prober.close()


class _Prober:
    def __init__(self, settings: ProbeSettings) -> None:
        self._settings = settings
        self._topic = f"meterline/v1/{settings.gateway}/probe"
        self._nonce = os.urandom(_NONCE)
        self._changed = threading.Condition()
        self._ready = False
        self._refused = ""
        self._back: dict[int, float] = {}
        self._loading = False
        self._acked = 0
        self._acked_at = 0.0
        # Not the gateway's own client id: the broker would break the gateway's connection for it.
        client_id = f"probe-{self._nonce.hex()}"
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTv5)
        self._client.username_pw_set(settings.gateway, settings.password)
        if settings.ca_file is not None:
            self._client.tls_set(ca_certs=settings.ca_file, tls_version=ssl.PROTOCOL_TLS_CLIENT)
        self._client.connect_timeout = _CONNECT_S
        self._client.reconnect_delay_set(min_delay=1, max_delay=2)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish

    def connect(self) -> bool:
        try:
            self._client.connect(self._settings.host, self._settings.port, keepalive=30, clean_start=True)
        except ssl.SSLError as error:
            raise ProbeError(f"TLS with the broker fails: {error.reason or error}") from None
        except OSError:
            return False
        self._client.loop_start()
        with self._changed:
            self._changed.wait_for(lambda: self._ready or bool(self._refused), _CONNECT_S)
        self._check()
        return self._ready

    def echo(self, stop: Callable[[], bool]) -> tuple[float | None, ...]:
        sent: list[float] = []
        padding = bytes(max(0, self._settings.echo_bytes - _NONCE - 4))
        begin = time.monotonic()
        for number in range(self._settings.count):
            time.sleep(max(0.0, begin + number * self._settings.every_s - time.monotonic()))
            if stop() and sent:
                break
            sent.append(time.monotonic())
            # Quality of service 0: what is lost stays lost.
            self._client.publish(f"{self._topic}/echo", self._nonce + number.to_bytes(4) + padding, qos=0)
        with self._changed:
            self._changed.wait_for(lambda: len(self._back) == len(sent) or bool(self._refused), self._settings.wait_s)
            back = dict(self._back)
        self._check()
        return tuple(back[number] - at if number in back else None for number, at in enumerate(sent))

    def load(self) -> float:
        chunks = max(1, self._settings.load_bytes // _CHUNK)
        # Of a message of quality 0 it is told too when it is written to the socket; all of them are by now.
        self._loading = True
        begin = time.monotonic()
        for _ in range(chunks):
            self._client.publish(f"{self._topic}/load", bytes(_CHUNK), qos=1)
        with self._changed:
            self._changed.wait_for(lambda: self._acked == chunks or bool(self._refused), self._settings.load_s)
            acked, ended = self._acked, self._acked_at
        self._check()
        # What wasn't acknowledged in all that time counts as time, not as bytes.
        seconds = ended - begin if acked == chunks else time.monotonic() - begin
        return acked * _CHUNK / max(seconds, 1e-6)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _check(self) -> None:
        if self._refused:
            raise ProbeError(self._refused)

    def _on_connect(self, client: Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._refuse(f"the broker refuses account {self._settings.gateway}: {reason}")
        else:
            client.subscribe(f"{self._topic}/echo", qos=0)

    def _on_subscribe(self, _client: Client, _userdata: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._refuse(f"the broker's access list doesn't let {self._settings.gateway} read {self._topic}/echo")
            return
        with self._changed:
            self._ready = True
            self._changed.notify_all()

    def _on_message(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        at = time.monotonic()
        if message.payload[:_NONCE] != self._nonce:
            return
        with self._changed:
            self._back.setdefault(int.from_bytes(message.payload[_NONCE : _NONCE + 4]), at)
            self._changed.notify_all()

    def _on_publish(self, _client: Client, _userdata: Any, _mid: int, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._refuse(f"the broker's access list doesn't let {self._settings.gateway} write {self._topic}: {reason}")
            return
        with self._changed:
            self._acked_at = time.monotonic()
            self._acked += self._loading
            self._changed.notify_all()

    def _refuse(self, reason: str) -> None:
        with self._changed:
            self._refused = reason
            self._changed.notify_all()
