"""Asks each server a real question: connect as the bridge, read Kafka's metadata, select from PostgreSQL."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import psycopg
from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from deploy.stack.accounts import BRIDGE_ACCOUNT, ensure_secret
from deploy.stack.postgres import superuser_dsn
from deploy.stack.spec import StackSpec

# None is good; a string says what is wrong.
Probe = Callable[[StackSpec], str | None]


def port_answers(port: int, timeout_s: float = 1.0) -> bool:
    """Whether something on this machine accepts connections at `port`."""
    with socket.socket() as sock:
        sock.settimeout(timeout_s)
        return sock.connect_ex(("127.0.0.1", port)) == 0


def port_is_free(port: int) -> bool:
    """Whether a server could listen at `port` now."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def probe_mqtt(spec: StackSpec) -> str | None:
    """Connect with the bridge's account."""
    if not port_answers(spec.ports.mqtt):
        return "does not accept connections"
    answered = threading.Event()
    refused: list[str] = []

    def on_connect(_client: Client, _data: object, _flags: object, reason: Any, _properties: object) -> None:
        if reason.is_failure:
            refused.append(str(reason))
        answered.set()

    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    client.username_pw_set(BRIDGE_ACCOUNT, ensure_secret(spec, "mqtt-bridge"))
    client.on_connect = on_connect
    try:
        client.connect("127.0.0.1", spec.ports.mqtt, keepalive=10)
        client.loop_start()
        if not answered.wait(3):
            return "accepts connections but does not answer"
        return f"refuses the bridge's account: {refused[0]}" if refused else None
    except OSError as error:
        return str(error)
    finally:
        client.disconnect()
        client.loop_stop()


def probe_kafka(spec: StackSpec) -> str | None:
    """Read the cluster's metadata."""
    if not port_answers(spec.ports.kafka):
        return "does not accept connections"
    try:
        client = KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{spec.ports.kafka}", request_timeout_ms=5_000)
        try:
            client.list_topics()
        finally:
            client.close()
    except KafkaError as error:
        return f"{type(error).__name__}: {error}".rstrip(": ")
    return None


def probe_postgres(spec: StackSpec) -> str | None:
    """Connect as the superuser and select."""
    try:
        with psycopg.connect(superuser_dsn(spec), connect_timeout=3) as connection:
            connection.execute("select 1")
    except psycopg.Error as error:
        return str(error).strip().splitlines()[-1][:200]
    return None


PROBES: Final[Mapping[str, Probe]] = {"mosquitto": probe_mqtt, "kafka": probe_kafka, "postgres": probe_postgres}
