"""A gateway that keeps what it has sent, loses some of it on the way, and sends it again when it is asked (补采)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.waiting import PATIENCE_S, until
from twin.kept import KeptMessages


class AnsweringGateway:
    """One account at the broker.

    Parameters
    ----------
    loses
        Whether the message of that number is lost on its way. What is sent again isn't.
    first
        Number of its first message.
    """

    def __init__(
        self,
        host: str,
        port: int,
        account: str,
        password: str,
        loses: Callable[[int], bool] = lambda _number: False,
        first: int = 0,
    ) -> None:
        self.account = account
        self.answers = True
        self.requests: list[tuple[int, int]] = []
        self.seen: list[bytes] = []
        """Whatever came, on any topic."""
        self.refused: list[str] = []
        self._next = first
        self._loses = loses
        self._kept = KeptMessages()
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=f"answering-{account}", protocol=MQTTv5)
        self._client.username_pw_set(account, password)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 3_600
        self._client.connect(host, port, keepalive=30, clean_start=False, properties=properties)
        self._client.loop_start()
        assert self._ready.wait(PATIENCE_S), "the broker doesn't answer"

    def send(self, unit: str, fields: dict[str, Any]) -> int:
        """Number a block of `unit`, and publish it unless it is lost; returns the number."""
        number = self._next
        self._next += 1
        message = f"meterline/v1/{self.account}/block/{unit}", json.dumps({"sequence": number, **fields}).encode()
        self._kept.keep(number, *message)
        if not self._loses(number):
            self._client.publish(*message, qos=1)
        return number

    def publish(self, topic: str, payload: bytes) -> bool:
        """Publish anything; whether the broker took it."""
        answers: list[Any] = []
        self._client.on_publish = lambda _c, _u, _mid, reason, _p: answers.append(reason)
        self._client.publish(topic, payload, qos=1)
        until(lambda: answers, "the broker answers")
        return not answers[0].is_failure

    def subscribe(self, topic: str) -> None:
        """Ask for another topic, and wait for the broker."""
        self._ready.clear()
        self._client.subscribe(topic, qos=1)
        assert self._ready.wait(PATIENCE_S), "the broker doesn't answer"

    def restart(self) -> None:
        """Begin to count at 0 again, with nothing kept."""
        self._next = 0
        self._kept = KeptMessages()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: Client, *_: Any) -> None:
        client.subscribe(f"meterline/v1/{self.account}/request", qos=1)

    def _on_subscribe(self, _client: Client, _userdata: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        self.refused += [str(reason) for reason in reasons if reason.is_failure]
        self._ready.set()

    def _on_message(self, client: Client, _userdata: Any, message: MQTTMessage) -> None:
        self.seen.append(bytes(message.payload))
        request = json.loads(message.payload)
        if request["kind"] != "resend":
            return
        self.requests.append((request["first"], request["last"]))
        if self.answers:
            for topic, payload in self._kept.asked_for(bytes(message.payload)):
                client.publish(topic, payload, qos=1)
