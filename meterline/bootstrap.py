"""The only place that builds clients and joins the rooms.

Each function imports what it builds: a program that is started again after a crash loads what it uses, and not what the
others do.
"""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from meterline.settings.section import read_secret

if TYPE_CHECKING:
    from kafka import KafkaProducer

    from ingest.gaps import AskLimits
    from ingest.sources.kafka import ReadingGatherer
    from ingest.sources.mqtt import Bridge
    from meterline.config import Settings
    from meterline.settings.servers import IngestSection
    from store.connection import Connection

_MAX_REQUEST = 24 * 1024 * 1024
#: At a thousand messages a second, three wait for each of 16 partitions: what costs Kafka and the workers is a batch.
_BRIDGE_LINGER_MS = 50
#: Compressed bytes of single readings in one fetch; uncompressed they are up to ten times that.
_FETCH_BYTES = 8 * 1024 * 1024
#: kafka-python asks an absent Kafka ever less often, by default twice a minute at last: that could be the whole wait.
_RECONNECT_MAX_MS = 1_000


def opener(settings: Settings, application: str) -> Callable[[], Connection]:
    """Opens connections of the application role."""
    from store.connection import connect

    return functools.partial(connect, settings.database.conninfo("app"), application)


def make_producer(settings: Settings, linger_ms: int = 20) -> KafkaProducer:
    """A producer whose sends count only when every replica has them."""
    from kafka import KafkaProducer

    return KafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap,
        acks="all",
        enable_idempotence=True,
        linger_ms=linger_ms,
        batch_size=256 * 1024,
        compression_type="lz4",
        max_request_size=_MAX_REQUEST,
        reconnect_backoff_max_ms=_RECONNECT_MAX_MS,
    )


def make_bridge(settings: Settings) -> Bridge:
    """The MQTT bridge with its producer, its directory and its account of gateways' numbers."""
    from ingest.gather import GatherLimits
    from ingest.resend import Resender
    from ingest.sources.mqtt import Bridge, BridgeSettings
    from store.directory import StoredDirectory
    from store.gaps import StoredGapLedger

    mqtt, ingest = settings.mqtt, settings.ingest
    bridge_settings = BridgeSettings(
        host=mqtt.host,
        port=mqtt.port,
        username=mqtt.username,
        password=read_secret(mqtt.password_file),
        ca_file=None if mqtt.ca_file is None else str(mqtt.ca_file),
        gather=GatherLimits(below=ingest.gather_below, linger_us=int(ingest.gather_linger_s * 1e6)),
        backfill_after_us=backfill_after_us(settings),
    )
    directory = StoredDirectory(opener(settings, "meterline-ingest"), settings.settling.zone())
    resender = Resender(StoredGapLedger(opener(settings, "meterline-gaps")), _ask_limits(ingest))
    return Bridge(bridge_settings, make_producer(settings, _BRIDGE_LINGER_MS), directory, resender=resender)


def make_reading_gatherer(settings: Settings, instance: str) -> ReadingGatherer:
    """The gatherer of single readings with its consumer, its producer and what it knows of meters."""
    from kafka import KafkaConsumer

    from ingest.sources.kafka import ReadingGatherer, ReadingSettings
    from ingest.sources.kafka.batches import pause_between_looks
    from ingest.sources.kafka.gatherer import GROUP
    from store.places import StoredPlaces

    ingest = settings.ingest
    consumer = KafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap,
        group_id=GROUP,
        group_instance_id=f"{GROUP}-{instance}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=10_000,
        heartbeat_interval_ms=2_500,
        fetch_max_bytes=_FETCH_BYTES,
        reconnect_backoff_max_ms=_RECONNECT_MAX_MS,
    )
    pause_between_looks(consumer)
    return ReadingGatherer(
        ReadingSettings(int(ingest.reading_linger_s * 1e6), ingest.reading_hold, backfill_after_us(settings)),
        consumer,
        make_producer(settings),
        StoredPlaces(opener(settings, "meterline-readings"), settings.settling.zone()),
    )


def backfill_after_us(settings: Settings) -> int:
    """Age from which on a block travels in the backfill's lane."""
    return int(settings.ingest.backfill_after_s * 1e6)


def _ask_limits(ingest: IngestSection) -> AskLimits:
    from ingest.gaps import AskLimits

    return AskLimits(
        wait_us=int(ingest.gap_wait_s * 1e6),
        tries=ingest.gap_tries,
        outstanding=ingest.gap_outstanding,
        numbers=ingest.gap_messages,
    )


def prepare(settings: Settings) -> tuple[list[str], list[str]]:
    """Migrate the database and make the Kafka topics; returns what was new of each."""
    from meterline.topics import ensure_topics
    from store.migrate import migrate

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
