"""Changes of master data on their way to Kafka: what is ordered, under which key, and how soon."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import kafka
import pytest

from grid.resettle import decode_resettle
from grid.roster import END_US
from meterline.topics import ensure_topics
from store.connection import Connection, connect
from store.deliveries import Target
from store.views import read_model_version
from sync.change import (
    AppliedChange,
    apply_change,
    read_change,
)
from sync.delivery import Subscriber
from sync.load import load_grid
from sync.relay import relay_batch
from sync.service import run_sync
from tests.small_grid import JUNE, small_model
from tests.waiting import PATIENCE_S, Promise, until


@pytest.fixture
def conninfo(database: Any) -> str:
    return str(database.conninfo("app"))


@pytest.fixture
def connection(conninfo: str) -> Iterator[Connection]:
    with connect(conninfo, "test") as opened:
        opened.autocommit = True
        yield opened


def apply(connection: Connection, **change: Any) -> AppliedChange:
    plain = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in change.items()}
    return apply_change(connection, read_change(json.dumps(plain).encode()))


def us(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000


class FakeProducer:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.records: list[tuple[str, str, bytes]] = []

    def send(self, topic: str, value: bytes | None = None, key: bytes | None = None) -> FakeProducer:
        self.records.append((topic, (key or b"").decode(), value or b""))
        return self

    def get(self, timeout: float | None = None) -> object:
        return None

    def flush(self, timeout: float | None = None) -> None:
        pass


class TestOrders:
    def test_they_go_out_keyed_by_the_unit_and_to_no_target(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        producer = FakeProducer()
        relay_batch(connection, producer, [])
        producer.records.clear()
        apply(connection, kind="unit_parent", unit="A1", parent="F2", valid_from=JUNE)
        assert relay_batch(connection, producer, [Subscriber(Target("gis", "http://127.0.0.1:1/", b"k"))]) == 4
        assert [(topic, key) for topic, key, _ in producer.records] == [
            ("grid.change", "unit:A1"),
            ("grid.resettle", "A1"),
            ("grid.resettle", "F1"),
            ("grid.resettle", "F2"),
        ]
        order = decode_resettle(producer.records[1][2])
        assert (order.unit, order.from_us, order.to_us) == ("A1", us(JUNE), END_US)
        assert order.model_version == read_model_version(connection) > 0
        assert connection.execute("select count(*) from sync.delivery").fetchone() == (1,)

    def test_a_first_load_orders_nothing_and_versions_rise(self, connection: Connection) -> None:
        assert load_grid(connection, small_model()).units_resettled == 0
        first = read_model_version(connection)
        assert load_grid(connection, small_model()).units_resettled == 0
        assert read_model_version(connection) == first
        assert load_grid(connection, small_model(A1="F2"), valid_from=JUNE).units_resettled == 3
        assert read_model_version(connection) == first + 1


def test_a_change_is_on_kafka_within_two_seconds_of_its_commit(
    connection: Connection, conninfo: str, stack: Any, promise: Promise
) -> None:
    bootstrap = f"127.0.0.1:{stack.ports.kafka}"
    ensure_topics(bootstrap, 8, 1)
    load_grid(connection, small_model())
    producer = kafka.KafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=5)
    consumer = kafka.KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    topics = ("grid.change", "grid.resettle")
    partitions = [
        kafka.TopicPartition(topic, p) for topic in topics for p in sorted(consumer.partitions_for_topic(topic) or ())
    ]
    consumer.assign(partitions)
    consumer.seek_to_end()
    for partition in partitions:
        consumer.position(partition)
    stop = threading.Event()
    service = threading.Thread(
        target=run_sync, args=(lambda: connect(conninfo, "sync-service"), producer, [], lambda _: [], stop)
    )
    service.start()
    try:
        seen: dict[str, float] = {}

        def read(count: int) -> bool:
            for records in consumer.poll(timeout_ms=50).values():
                seen.update({record.key.decode(): time.monotonic() for record in records})
            return len(seen) >= count

        until(lambda: read(4), "the load's own changes, one a unit, are in Kafka: the relay is at work")
        delays = []
        for multiplier in range(61, 66):
            seen.clear()
            apply(connection, kind="meter_multiplier", meter="A2-m1", multiplier=multiplier, valid_from=JUNE)
            committed = time.monotonic()
            until(lambda: read(2), "a change is in Kafka")
            assert set(seen) == {"meter:A2-m1", "A2"}
            delays.append(max(seen.values()) - committed)
        promise("from the commit of a change to Kafka", max(delays), 2)
    finally:
        stop.set()
        service.join(PATIENCE_S)
        consumer.close()
        producer.close()
