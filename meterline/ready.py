"""Waits until the programs work: the bridge hears the broker, every worker has its partitions, the console answers."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import httpx
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from ingest.sources.mqtt.bridge import STATUS_TOPIC
from meterline.config import Settings
from meterline.group import members
from meterline.settings.section import read_secret


class NotReadyError(RuntimeError):
    """A program doesn't come to work in time; says which."""


def wait_until_ready(settings: Settings, workers: int, timeout_s: float = 180.0) -> None:
    """Return once messages that are published now are taken at once.

    Raises
    ------
    NotReadyError
        When that takes longer than `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    _wait_for_bridge(settings, deadline)
    _wait_for_workers(settings, workers, deadline)


def wait_for_workers(settings: Settings, workers: int, timeout_s: float = 180.0) -> None:
    """Return once every worker has its partitions.

    Raises
    ------
    NotReadyError
        When that takes longer than `timeout_s`.
    """
    _wait_for_workers(settings, workers, time.monotonic() + timeout_s)


def wait_for_console(settings: Settings, timeout_s: float = 120.0) -> None:
    """Return once the console answers.

    Raises
    ------
    NotReadyError
        When that takes longer than `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    url = f"{settings.console.url}healthz"
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, timeout=2).is_success:
                return
        if time.monotonic() > deadline:
            raise NotReadyError("the console isn't up; its log is log/console.log in the stack's folder")
        time.sleep(0.2)


def _wait_for_bridge(settings: Settings, deadline: float) -> None:
    online = threading.Event()

    def on_connect(client: Client, *_: Any) -> None:
        client.subscribe(STATUS_TOPIC, qos=1)

    def on_message(_client: Client, _userdata: Any, message: MQTTMessage) -> None:
        if message.payload == b"online":
            online.set()

    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    client.username_pw_set(settings.mqtt.username, read_secret(settings.mqtt.password_file))
    client.on_connect = on_connect
    client.on_message = on_message
    client.connect(settings.mqtt.host, settings.mqtt.port)
    client.loop_start()
    try:
        if not online.wait(max(0.0, deadline - time.monotonic())):
            raise NotReadyError("the MQTT bridge isn't up; its log is log/bridge.log in the stack's folder")
    finally:
        client.disconnect()
        client.loop_stop()


def _wait_for_workers(settings: Settings, workers: int, deadline: float) -> None:
    while True:
        state, found = members(settings.kafka)
        if state == "Stable" and len(found) >= workers:
            return
        if time.monotonic() > deadline:
            raise NotReadyError(
                f"the workers' group is {state} with {len(found)} of {workers} members;"
                " their logs are log/worker-*.log in the stack's folder"
            )
        time.sleep(0.2)
