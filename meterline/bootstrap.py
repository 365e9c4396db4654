"""The only place that builds clients and joins the rooms."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from kafka import KafkaProducer

from ingest.sources.mqtt import Bridge, BridgeSettings
from meterline.config import Settings, read_secret
from meterline.topics import ensure_topics
from store.connection import Connection, connect
from store.directory import StoredDirectory
from store.migrate import migrate

_MAX_REQUEST = 24 * 1024 * 1024


def opener(settings: Settings, application: str) -> Callable[[], Connection]:
    """Opens connections of the application role."""
    return functools.partial(connect, settings.database.conninfo("app"), application)


def make_producer(settings: Settings, linger_ms: int = 20) -> KafkaProducer:
    """A producer whose sends count only when every replica has them."""
    return KafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap,
        acks="all",
        enable_idempotence=True,
        linger_ms=linger_ms,
        batch_size=256 * 1024,
        compression_type="lz4",
        max_request_size=_MAX_REQUEST,
    )


def make_bridge(settings: Settings) -> Bridge:
    """The MQTT bridge with its producer and directory."""
    mqtt = settings.mqtt
    bridge_settings = BridgeSettings(
        host=mqtt.host,
        port=mqtt.port,
        username=mqtt.username,
        password=read_secret(mqtt.password_file),
        ca_file=None if mqtt.ca_file is None else str(mqtt.ca_file),
    )
    return Bridge(bridge_settings, make_producer(settings), StoredDirectory(opener(settings, "meterline-ingest")))


def prepare(settings: Settings) -> tuple[list[str], list[str]]:
    """Migrate the database and make the Kafka topics; returns what was new of each."""
    database = settings.database
    password = read_secret(database.owner_password_file)
    applied = migrate(database.host, database.port, database.name, database.owner, password, database.sslmode)
    topics = ensure_topics(settings.kafka.bootstrap, settings.kafka.partitions, settings.kafka.replication)
    return applied, topics


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set, for a clean stop."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop


def default_config() -> Path:
    """Where the configuration is when nobody names one: the stack that `./run` makes here."""
    return Path.cwd() / ".meterline" / "run" / "config.toml"
