"""One gateway's connection to the broker: MQTT 5, QoS 1, bounded, and sure of what was acknowledged."""

from __future__ import annotations

import ssl
import time
from collections import deque
from threading import Event

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from twin.kept import KeptMessages

_SESSION_S = 3_600
_CONNECT_S = 10.0
#: From here on a reason code tells of a failure; below, "no matching subscriber" is success as well.
_FAILED = 128


class BrokerError(RuntimeError):
    """The broker could not be reached or refused the account."""


class GatewayClient:
    """Sends a gateway's messages and tells which of them the broker has taken.

    paho keeps a message until its PUBACK and sends it again after a lost connection, so a message is handed over
    once. What the bridge misses nevertheless, a broker that died may have lost it, it asks for, and is sent again. All
    methods are called from one thread; paho's own thread only appends to queues.

    Parameters
    ----------
    account, password
        Of the broker. The account is the client's id as well.
    in_flight
        Most messages that wait for their PUBACK; the broker's own limit holds when it is lower.
    tls
        None for a plain connection.
    """

    def __init__(
        self,
        host: str,
        port: int,
        account: str,
        password: str,
        *,
        in_flight: int = 200,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.account = account
        self._address = (host, port)
        self._limit = in_flight
        # None: it is sent again, and was answered for when it was sent first.
        self._number_of: dict[int, int | None] = {}
        self._kept = KeptMessages()
        self._requests: deque[bytes] = deque()
        self._again: deque[tuple[str, bytes]] = deque()
        self._answers: deque[tuple[int, int, bool]] = deque()
        self._connected = Event()
        self._refused: str | None = None
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=account, protocol=MQTTv5)
        self._client.username_pw_set(account, password)
        self._client.max_inflight_messages_set(in_flight)
        self._client.reconnect_delay_set(1, 5)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message

    def connect(self) -> None:
        """Connect and wait until the broker has accepted the account.

        Raises
        ------
        BrokerError
            When it cannot be reached, refuses or does not answer.
        """
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _SESSION_S
        host, port = self._address
        try:
            # What an earlier run left unacknowledged isn't ours to account for: the first connection starts anew.
            self._client.connect(host, port, keepalive=30, properties=properties)
        except OSError as error:
            raise BrokerError(f"no broker at {host}:{port}: {error}") from error
        self._client.loop_start()
        deadline = time.monotonic() + _CONNECT_S
        while not self._connected.wait(0.02):
            if self._refused is not None or time.monotonic() > deadline:
                self.close()
                raise BrokerError(
                    f"the broker at {host}:{port} does not accept {self.account}: {self._refused or 'no answer'}"
                )

    @property
    def outstanding(self) -> int:
        """Messages that wait for their PUBACK."""
        return len(self._number_of) - len(self._answers)

    @property
    def ready(self) -> bool:
        """Whether another message may be handed over."""
        return self.outstanding < self._limit

    def publish(self, topic: str, payload: bytes, number: int, sequence: int | None = None) -> None:
        """Hand a message over; `number` names it in `answers`.

        One that has a sequence number is kept, as far as there is room, and sent again when it is asked for.

        Raises
        ------
        RuntimeError
            When paho does not take it, which the bound on outstanding messages rules out.
        """
        if sequence is not None:
            self._kept.keep(sequence, topic, payload)
        self._hand_over(topic, payload, number)

    def _hand_over(self, topic: str, payload: bytes, number: int | None) -> None:
        info = self._client.publish(topic, payload, qos=1)
        if info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            raise RuntimeError(f"{self.account}: message {number} was not taken: {info.rc!r}")
        self._number_of[info.mid] = number

    def answers(self) -> list[tuple[int, int, bool]]:
        """(number, microseconds since 1970, taken) of each PUBACK since the last call; also sends what is asked for."""
        settled = []
        while self._answers:
            mid, at_us, taken = self._answers.popleft()
            number = self._number_of.pop(mid)
            if number is not None:
                settled.append((number, at_us, taken))
        while self._requests:
            self._again.extend(self._kept.asked_for(self._requests.popleft()))
        while self._again and self.ready:
            self._hand_over(*self._again.popleft(), None)
        return settled

    def close(self) -> None:
        """Disconnect and end paho's thread."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self,
        client: Client,
        _userdata: object,
        _flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._refused = str(reason)
            return
        # paho does not heed the broker's limit by itself, and the broker disconnects who exceeds it.
        limit = getattr(properties, "ReceiveMaximum", self._limit)
        self._limit = min(self._limit, limit)
        client.subscribe(f"meterline/v1/{self.account}/request", qos=1)
        self._connected.set()

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: object,
        _flags: DisconnectFlags,
        _reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._connected.clear()

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self._requests.append(bytes(message.payload))

    def _on_publish(
        self, _client: Client, _userdata: object, mid: int, reason: ReasonCode, _properties: Properties
    ) -> None:
        # Called under paho's lock for outgoing messages: nothing here may wait for the publishing thread.
        self._answers.append((mid, time.time_ns() // 1_000, reason.value < _FAILED))
