"""The MQTT bridge: decode, check, hand to Kafka, and acknowledge to the broker only after Kafka has.

The broker keeps the session of the fixed client id, so whatever was not acknowledged comes again after a crash; the
merge by position makes the repeat harmless.
"""

from __future__ import annotations

import contextlib
import queue
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from kafka import KafkaProducer
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from grid.ports import Directory
from grid.topics import TELEMETRY_BACKFILL
from ingest.dispatch import SUBSCRIPTIONS, take_message
from ingest.gaps import ResendRequest
from ingest.gather import Gatherer, GatherLimits
from ingest.requests import encode_request, request_topic
from ingest.resend import Resender
from ingest.sources.mqtt.lean_client import LeanClient
from ingest.topics import BACKFILL_AFTER_US, KafkaRecord, record_of

log = structlog.get_logger("ingest.mqtt")

#: Retained: "online" while the bridge listens, "offline" once it is gone.
STATUS_TOPIC = "meterline/status/bridge"

_BATCH = 500
_IDLE_S = 0.2
#: How often Kafka's answers are looked at while some are outstanding.
_ANSWERS_S = 0.005
_SESSION_EXPIRY_S = 7 * 86_400
_KAFKA_TIMEOUT_S = 60
#: Bytes that may wait in memory. Beyond, the bridge stops reading from the broker, which holds the rest.
_MAX_HELD = 32 << 20
#: What a message takes beside its topic and its payload: however short they are, no more than 16,384 wait.
_MESSAGE_BYTES = 2_048


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """Where the broker is and who the bridge is there."""

    host: str
    port: int
    username: str
    password: str
    client_id: str = "meterline-bridge"
    in_flight: int = 2_000
    """Messages that the broker may send before an acknowledgement (MQTT 5 receive maximum)."""
    ca_file: str | None = None
    """Certificate authority for TLS; None speaks plain MQTT, for a broker on the same machine."""
    gather: GatherLimits = field(default_factory=GatherLimits)
    """Which messages are gathered into blocks."""
    backfill_after_us: int = BACKFILL_AFTER_US
    """From which age on a block travels apart from live data."""


@dataclass(frozen=True, slots=True)
class _Arrival:
    message: MQTTMessage
    received_at_us: int
    connection: int
    """Number of the connection that it came by."""
    held_bytes: int


@dataclass(slots=True)
class _InHand:
    """What was read and isn't acknowledged yet, in the order received."""

    arrivals: list[_Arrival] = field(default_factory=list)
    sent: list[Any] = field(default_factory=list)
    """Kafka's answers that are awaited."""
    numbers: list[int | None] = field(default_factory=list)
    """The gateway's number of each; None where it must be read from the payload."""
    sent_at_s: float = 0.0
    """When the last of it was given to Kafka, of a clock that doesn't go back."""


class BridgeError(RuntimeError):
    """The bridge can't go on; the supervisor restarts it and the broker sends again what wasn't acknowledged."""


class Bridge:
    """Moves messages from one broker to Kafka until told to stop.

    Parameters
    ----------
    settings
        See `BridgeSettings`.
    producer
        A producer with ``acks="all"``; the bridge doesn't close it.
    directory
        What is known of units and gateways.
    clock
        Seconds since 1970, for the time of receipt.
    resender
        Follows the gateways' numbers and asks for what is missing; None for a source without.
    """

    def __init__(
        self,
        settings: BridgeSettings,
        producer: KafkaProducer,
        directory: Directory,
        clock: Callable[[], float] = time.time,
        resender: Resender | None = None,
    ) -> None:
        self._settings = settings
        self._producer = producer
        self._directory = directory
        self._clock = clock
        self._resender = resender
        self._gatherer = Gatherer(settings.gather)
        self._in_hand = _InHand()
        # What Kafka has been given, in the order received.
        self._awaited: deque[_InHand] = deque()
        self._arrived: queue.SimpleQueue[_Arrival | BridgeError] = queue.SimpleQueue()
        # Guards the number of the connection and what is held.
        self._lock = threading.Condition()
        self._connection = 0
        self._held = 0
        self._stopping = False
        self._client = self._make_client()
        self.forwarded = 0
        self.gathered = 0
        self.rejected = 0
        self.backfilled = 0
        #: Inputs refused, by reason.
        self.reasons: Counter[str] = Counter()

    @property
    def held_bytes(self) -> int:
        """Bytes that messages take which were received and which Kafka hasn't acknowledged."""
        return self._held

    def idle_reason(self) -> str | None:
        """Why nothing can be forwarded now; None when the broker is heard."""
        return None if self._client.is_connected() else "not connected to the broker"

    def run(self, stop: threading.Event) -> None:
        """Forward until `stop` is set; what is in hand then is finished first.

        Raises
        ------
        BridgeError
            When the broker refuses the account or the subscription, or Kafka doesn't take a message.
        """
        connect = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        connect.SessionExpiryInterval = _SESSION_EXPIRY_S
        connect.ReceiveMaximum = self._settings.in_flight
        self._client.connect_async(
            self._settings.host, self._settings.port, keepalive=30, clean_start=False, properties=connect
        )
        self._client.loop_start()
        done = threading.Event()
        resending = threading.Thread(target=self._resend, args=(done,), name="resend", daemon=True)
        resending.start()
        try:
            while not stop.is_set():
                self._forward(self._take())
            self._hand_over()
            self._producer.flush(timeout=_KAFKA_TIMEOUT_S)
            self._settle()
        finally:
            done.set()
            with self._lock:
                self._stopping = True
                self._lock.notify_all()
            # After a clean goodbye the broker doesn't send the will.
            with contextlib.suppress(RuntimeError):  # not connected: the broker has sent the will already
                self._client.publish(STATUS_TOPIC, b"offline", qos=1, retain=True).wait_for_publish(timeout=1)
            self._client.disconnect()
            self._client.loop_stop()
            resending.join(timeout=2)

    def gap_figures(self) -> dict[str, int]:
        """Open gaps and counts by name; empty without a resender."""
        return {} if self._resender is None else self._resender.figures()

    def _resend(self, stop: threading.Event) -> None:
        if self._resender is not None:
            try:
                self._resender.run(stop, self._ask)
            except Exception as error:
                log.exception("gaps can't be followed")
                self._arrived.put(BridgeError(f"gaps can't be followed: {error}"))

    def _ask(self, request: ResendRequest) -> bool:
        if not self._client.is_connected():
            return False  # it is asked again, like one that wasn't answered
        self._client.publish(request_topic(request.gateway), encode_request(request), qos=1)
        return True

    def _make_client(self) -> LeanClient:
        client = LeanClient(
            CallbackAPIVersion.VERSION2, client_id=self._settings.client_id, protocol=MQTTv5, manual_ack=True
        )
        client.username_pw_set(self._settings.username, self._settings.password)
        if self._settings.ca_file is not None:
            client.tls_set(ca_certs=self._settings.ca_file, tls_version=ssl.PROTOCOL_TLS_CLIENT)
        client.reconnect_delay_set(min_delay=1, max_delay=10)
        client.will_set(STATUS_TOPIC, b"offline", qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _on_connect(self, client: Client, _userdata: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._arrived.put(
                BridgeError(f"the broker refused the bridge ({reason}): check mqtt.username and its password")
            )
            return
        log.info("connected to the broker", session_present=flags.session_present)
        client.subscribe([(topic, 1) for topic in SUBSCRIPTIONS])

    def _on_subscribe(self, client: Client, _userdata: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._arrived.put(BridgeError(f"the broker refused the bridge's subscription ({reasons[0]})"))
            return
        client.publish(STATUS_TOPIC, b"online", qos=1, retain=True)

    def _on_disconnect(self, _client: Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        log.info("disconnected from the broker", reason=str(reason))
        with self._lock:
            self._connection += 1

    def _on_message(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        received_at_us = int(self._clock() * 1e6)
        message.properties = None  # three times as large as the rest of a short message
        held_bytes = _MESSAGE_BYTES + len(message._topic) + len(message.payload)  # noqa: SLF001  # its bytes
        with self._lock:
            self._lock.wait_for(lambda: self._held < _MAX_HELD or self._stopping)
            self._held += held_bytes
            self._arrived.put(_Arrival(message, received_at_us, self._connection, held_bytes))

    def _take(self) -> list[_Arrival]:
        batch: list[_Arrival] = []
        wait_s = self._gatherer.wait_us(time.monotonic_ns() // 1_000) / 1e6 if self._in_hand.arrivals else _IDLE_S
        if self._awaited:
            wait_s = min(wait_s, _ANSWERS_S)
        try:
            item = self._arrived.get(timeout=wait_s) if wait_s else self._arrived.get_nowait()
            while True:
                if isinstance(item, BridgeError):
                    raise item
                batch.append(item)
                if len(batch) >= _BATCH:
                    return batch
                item = self._arrived.get_nowait()
        except queue.Empty:
            return batch

    def _forward(self, batch: list[_Arrival]) -> None:
        """Give what came to Kafka, but for what is gathered, and settle what Kafka has taken by now."""
        for arrival in batch:
            self._in_hand.arrivals.append(arrival)
            self._send(arrival)
        if self._in_hand.arrivals and (
            len(self._in_hand.arrivals) >= _BATCH or not self._gatherer.wait_us(time.monotonic_ns() // 1_000)
        ):
            self._hand_over()
        self._settle()

    def _hand_over(self) -> None:
        """Give what was gathered to Kafka too; all that is in hand now waits for Kafka's answers."""
        for block, kind in self._gatherer.take():
            self.forwarded += 1
            self._produce(record_of(block, kind, self._settings.backfill_after_us))
        in_hand, self._in_hand = self._in_hand, _InHand()
        in_hand.sent_at_s = time.monotonic()
        self._awaited.append(in_hand)

    def _settle(self) -> None:
        """Acknowledge what Kafka has answered for, in the order received: the producer sends on meanwhile."""
        while self._awaited:
            first = self._awaited[0]
            if not all(future.is_done for future in reversed(first.sent)):
                if time.monotonic() - first.sent_at_s > _KAFKA_TIMEOUT_S:
                    raise BridgeError(f"Kafka didn't answer within {_KAFKA_TIMEOUT_S} s")
                return
            self._awaited.popleft()
            for future in first.sent:
                if not future.succeeded():
                    raise BridgeError(f"Kafka didn't take a message: {future.exception}")
            self._acknowledge(first)

    def _acknowledge(self, in_hand: _InHand) -> None:
        with self._lock:
            # In the order received, as MQTT 5 asks of a client. What an earlier connection brought comes again, and a
            # broker that has lost the session may by now have given its number to a message that Kafka hasn't.
            self._client.ack_all(
                arrival.message.mid
                for arrival in in_hand.arrivals
                if arrival.connection == self._connection and arrival.message.qos
            )
            self._held -= sum(arrival.held_bytes for arrival in in_hand.arrivals)
            self._lock.notify_all()
        if self._resender is not None:
            self._resender.heard(
                (arrival.message.topic, bytes(arrival.message.payload), number)
                for arrival, number in zip(in_hand.arrivals, in_hand.numbers, strict=True)
            )

    def _send(self, arrival: _Arrival) -> None:
        message = arrival.message
        taken = take_message(message.topic, bytes(message.payload), arrival.received_at_us, self._directory)
        self._in_hand.numbers.append(taken.number)
        self.rejected += len(taken.rejections)
        for rejection in taken.rejections:
            self.reasons[rejection.reason.value] += 1
            # Both are of the sender's making, and may be long.
            topic, detail = rejection.topic[:200], rejection.detail[:200]
            log.warning("rejected", reason=rejection.reason.value, topic=topic, detail=detail)
        for record in taken.records:
            self._produce(record)
        if taken.block is None:
            self.forwarded += taken.forwarded
        elif self._gatherer.add(*taken.block, len(message.payload), time.monotonic_ns() // 1_000):
            self.gathered += 1
        else:
            self.forwarded += 1
            self._produce(record_of(*taken.block, self._settings.backfill_after_us))

    def _produce(self, record: KafkaRecord) -> None:
        self.backfilled += record.topic == TELEMETRY_BACKFILL
        self._in_hand.sent.append(
            self._producer.send(record.topic, key=record.key, value=record.value, headers=record.headers)
        )
