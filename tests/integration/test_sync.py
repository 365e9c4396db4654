"""The relay and the deliveries of changes on a real database, a real Kafka and a real receiver."""

from __future__ import annotations

import dataclasses
import json
import random
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import kafka
import pytest

from meterline.topics import ensure_topics
from meterline.webhook import WebhookSender
from store.connection import Connection, connect
from store.deliveries import Attempt, Outcome, Outgoing, Queue, Target, deliver_due, read_backlog, resume_target
from store.outbox import RelayMovedError, read_outbox, relay_position
from sync.change import apply_change, read_change
from sync.delivery import Subscriber
from sync.load import load_grid
from sync.relay import TOPIC, relay_batch
from sync.service import run_sync
from tests.small_grid import small_model
from tests.waiting import PATIENCE_S, Promise, until
from tests.webhook_receiver import SECRET, receive


@pytest.fixture
def conninfo(database: Any) -> str:
    return str(database.conninfo("app"))


@pytest.fixture
def connection(conninfo: str) -> Iterator[Connection]:
    with connect(conninfo, "test") as opened:
        opened.autocommit = True
        yield opened


class FakeFuture:
    def get(self, timeout: float | None = None) -> object:
        return None


class FakeProducer:
    """Keeps what it is given; fails on demand."""

    def __init__(self) -> None:
        self.records: list[tuple[str, dict[str, Any]]] = []
        self.broken = False

    def send(self, topic: str, value: bytes | None = None, key: bytes | None = None) -> FakeFuture:
        if self.broken:
            raise ConnectionError("no broker")
        self.records.append(((key or b"").decode(), json.loads(value or b"")))
        return FakeFuture()

    def flush(self, timeout: float | None = None) -> None:
        pass


TARGET = Target("gis", "http://127.0.0.1:1/", SECRET, allow_private=True)


def rename(connection: Connection, unit: str, name: str) -> None:
    apply_change(connection, read_change(json.dumps({"kind": "unit_name", "unit": unit, "name": name}).encode()))


class TestRelay:
    def test_changes_go_out_in_commit_order_and_once(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        rename(connection, "A1", "one")
        producer = FakeProducer()
        assert relay_batch(connection, producer, [Subscriber(TARGET)], limit=3) == 3
        assert relay_batch(connection, producer, [Subscriber(TARGET)], limit=3) == 2
        assert relay_batch(connection, producer, [Subscriber(TARGET)]) == 0
        assert [record["id"] for _, record in producer.records] == sorted(r["id"] for _, r in producer.records)
        key, value = producer.records[-1]
        assert key == "unit:A1"
        assert value["type"] == "unit.name"
        assert value["payload"]["unit"] == "A1"
        assert datetime.fromisoformat(value["recorded_at"]).tzinfo is not None
        assert connection.execute("select count(*) from sync.delivery").fetchone() == (5,)

    def test_a_row_waits_for_older_transactions(self, connection: Connection, conninfo: str) -> None:
        """A serial id that was taken first may be committed last: a position by id alone would pass it over."""
        add = """
            insert into grid.outbox (aggregatetype, aggregateid, type, payload)
            values ('unit', %s, 'unit.name', '{"units": []}')
        """
        producer = FakeProducer()
        with connect(conninfo, "slow") as slow:
            slow.execute(add, ["slow"])
            connection.execute(add, ["quick"])
            assert relay_batch(connection, producer, []) == 0
            slow.commit()
        assert relay_batch(connection, producer, []) == 2
        assert [key for key, _ in producer.records] == ["unit:slow", "unit:quick"]

    def test_what_kafka_did_not_take_is_sent_again(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        producer = FakeProducer()
        producer.broken = True
        with pytest.raises(ConnectionError):
            relay_batch(connection, producer, [Subscriber(TARGET)])
        assert connection.execute("select count(*) from sync.delivery").fetchone() == (0,)
        producer.broken = False
        assert relay_batch(connection, producer, [Subscriber(TARGET)]) == 4

    def test_a_crash_between_kafka_and_commit_repeats_with_the_same_ids(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        producer = FakeProducer()
        relay_batch(connection, producer, [Subscriber(TARGET)])
        ids = connection.execute("select delivery_id from sync.delivery order by 1").fetchall()
        connection.execute("delete from sync.relay")
        relay_batch(connection, producer, [Subscriber(TARGET)])
        assert producer.records[:4] == producer.records[4:]
        assert connection.execute("select delivery_id from sync.delivery order by 1").fetchall() == ids

    def test_one_relay_runs(self, connection: Connection, conninfo: str) -> None:
        load_grid(connection, small_model())
        assert relay_batch(connection, FakeProducer(), []) == 4
        with connect(conninfo, "other") as other:
            other.autocommit = True
            assert relay_batch(other, FakeProducer(), []) is None

    def test_a_relay_that_was_replaced_moves_nothing(self, connection: Connection) -> None:
        load_grid(connection, small_model())

        class Overtaken(FakeProducer):
            def flush(self, timeout: float | None = None) -> None:
                connection.execute("insert into sync.relay values (%s, '1', 1)", [TOPIC])

        with pytest.raises(RelayMovedError):
            relay_batch(connection, Overtaken(), [Subscriber(TARGET)])
        assert connection.execute("select count(*) from sync.delivery").fetchone() == (0,)
        assert relay_position(connection, TOPIC) == (1, 1)
        assert read_outbox(connection, relay_position(connection, TOPIC), 10)


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC) + timedelta(seconds=1)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **delta: float) -> None:
        self.now += timedelta(**delta)


class TestDeliveries:
    def test_changes_of_one_entity_stay_in_order(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        for name in ("one", "two", "three"):
            rename(connection, "A1", name)
        relay_batch(connection, FakeProducer(), [Subscriber(TARGET)])
        clock = Clock()
        sent: list[tuple[str, str]] = []

        def send(batch: Any) -> list[Attempt]:
            attempts = []
            for outgoing in batch:
                data = json.loads(outgoing.body)["data"]
                fails = data["payload"].get("name") == "one" and outgoing.attempt < 3
                attempts.append(Attempt(Outcome.FAILED if fails else Outcome.DELIVERED, "later"))
                if not fails:
                    sent.append((data["aggregateid"], data["payload"]["name"]))
            return attempts

        for _ in range(12):
            deliver_due(connection, Queue.SYNC, [TARGET], send, clock, lambda: 0.5)
            clock.advance(hours=1)
        assert [name for unit, name in sent if unit == "A1"] == ["Area A1", "one", "two", "three"]
        assert sorted(unit for unit, name in sent if unit != "A1") == ["A2", "F1", "F2"]

    def test_a_lease_that_is_over_is_claimed_again(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        relay_batch(connection, FakeProducer(), [Subscriber(TARGET)])
        clock = Clock()

        class Killed(BaseException):
            pass

        def die(batch: object) -> list[Attempt]:
            raise Killed

        with pytest.raises(Killed):
            deliver_due(connection, Queue.SYNC, [TARGET], die, clock, random.random)
        done = lambda batch: [Attempt(Outcome.DELIVERED) for _ in batch]  # noqa: E731
        assert deliver_due(connection, Queue.SYNC, [TARGET], done, clock, random.random).claimed == 0
        clock.advance(seconds=61)
        assert deliver_due(connection, Queue.SYNC, [TARGET], done, clock, random.random).delivered == 4

    def test_gone_disables_the_target_until_it_is_resumed(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        relay_batch(connection, FakeProducer(), [Subscriber(TARGET)])
        clock = Clock()
        gone = lambda batch: [Attempt(Outcome.GONE, "HTTP 410") for _ in batch]  # noqa: E731
        assert deliver_due(connection, Queue.SYNC, [TARGET], gone, clock, random.random).gone == 4
        rename(connection, "A1", "later")
        relay_batch(connection, FakeProducer(), [Subscriber(TARGET)])
        clock.advance(days=3)
        done = lambda batch: [Attempt(Outcome.DELIVERED) for _ in batch]  # noqa: E731
        assert deliver_due(connection, Queue.SYNC, [TARGET], done, clock, random.random).claimed == 0
        (backlog,) = read_backlog(connection, Queue.SYNC)
        assert (backlog.waiting, backlog.disabled) == (5, True)
        assert resume_target(connection, Queue.SYNC, TARGET.name, clock()) == 4
        for _ in range(2):
            deliver_due(connection, Queue.SYNC, [TARGET], done, clock, random.random)
        (backlog,) = read_backlog(connection, Queue.SYNC)
        assert (backlog.waiting, backlog.delivered, backlog.disabled) == (0, 5, False)

    def test_two_senders_never_send_the_same(self, connection: Connection, conninfo: str) -> None:
        load_grid(connection, small_model())
        relay_batch(connection, FakeProducer(), [Subscriber(TARGET)])
        clock = Clock()
        taken: list[Outgoing] = []

        def send(batch: Any) -> list[Attempt]:
            taken.extend(batch)
            with connect(conninfo, "second") as other:
                other.autocommit = True
                assert deliver_due(other, Queue.SYNC, [TARGET], send, clock, random.random).claimed == 0
            return [Attempt(Outcome.DELIVERED) for _ in batch]

        deliver_due(connection, Queue.SYNC, [TARGET], send, clock, random.random)
        assert len({outgoing.delivery_id for outgoing in taken}) == len(taken) == 4

    def test_a_real_receiver_that_fails_first(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        relay_batch(connection, FakeProducer(), [Subscriber(TARGET)])
        clock = Clock()
        with receive(lambda n: 503 if n == 1 else 204) as receiver:
            target = dataclasses.replace(TARGET, url=receiver.url)
            sender = WebhookSender(threading.Event())
            first = deliver_due(connection, Queue.SYNC, [target], sender, clock, random.random)
            assert (first.delivered, first.failed) == (0, 4)
            errors = connection.execute("select distinct last_error from sync.delivery").fetchall()
            assert errors == [("HTTP 503",)]
            clock.advance(seconds=3)
            assert deliver_due(connection, Queue.SYNC, [target], sender, clock, random.random).delivered == 4
        assert receiver.forged == 0
        assert set(receiver.seen.values()) == {2}
        assert len(receiver.accepted) == 4
        assert {body["type"] for body in receiver.bodies} == {"grid.change"}


def test_a_change_reaches_kafka_and_a_webhook(
    connection: Connection, conninfo: str, stack: Any, promise: Promise
) -> None:
    """The service as a whole: it reconnects when its connections are cut, and stops within 2 s."""
    bootstrap = f"127.0.0.1:{stack.ports.kafka}"
    ensure_topics(bootstrap, 8, 1)
    producer = kafka.KafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=5)
    consumer = kafka.KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="latest", enable_auto_commit=False)
    load_grid(connection, small_model())
    relay_batch(connection, producer, [])
    connection.execute("select pg_advisory_unlock_all()")
    partitions = [kafka.TopicPartition(TOPIC, p) for p in sorted(consumer.partitions_for_topic(TOPIC) or ())]
    consumer.assign(partitions)
    consumer.seek_to_end()
    for partition in partitions:
        consumer.position(partition)
    stop = threading.Event()
    with receive(lambda n: 500 if n == 1 else 200) as receiver:
        target = dataclasses.replace(TARGET, url=receiver.url)
        service = threading.Thread(
            target=run_sync,
            args=(lambda: connect(conninfo, "sync-service"), producer, [Subscriber(target)], WebhookSender(stop), stop),
        )
        service.start()
        rename(connection, "A1", "one")
        until(lambda: receiver.accepted)
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'sync-service'"
        )
        rename(connection, "A1", "two")
        until(lambda: len(receiver.accepted) == 2)
        started = time.monotonic()
        stop.set()
        service.join(PATIENCE_S)
        promise("the sync service stops", time.monotonic() - started, 2)
    names: list[str] = []

    def read() -> bool:
        for records in consumer.poll(timeout_ms=500).values():
            for record in records:
                assert record.key == b"unit:A1"
                names.append(json.loads(record.value)["payload"]["name"])
        return len(names) >= 2

    until(read, "both changes are in Kafka")
    consumer.close()
    producer.close()
    assert names == ["one", "two"]
    assert [body["data"]["payload"]["name"] for body in receiver.bodies] == ["one", "two"]
    assert set(receiver.accepted.values()) == {1}
