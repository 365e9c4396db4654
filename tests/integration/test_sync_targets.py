"""Targets that hold a copy: sent to, read back, compared and repaired, on real servers and through faults."""

from __future__ import annotations

import contextlib
import csv
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import kafka
import pytest
from kafka.admin import KafkaAdminClient, NewTopic

from grid.document import LISTS, MODEL_KINDS, VALUES, Document, Key
from store.connection import Connection, connect
from store.deliveries import Attempt, Outcome, Queue, Target, deliver_due
from store.sync_documents import owe_fresh, pages_of
from store.sync_targets import count_drift, count_owed, drift_minutes, list_drift
from sync.delivery import Subscriber, sender
from sync.load import load_grid
from sync.reconcile import owe_repairs, reconcile
from sync.relay import relay_batch
from sync.service import SyncCounts, run_sync
from sync.targets.cim_file import CimFile
from sync.targets.contract import Carrier, Parcel, TargetError
from sync.targets.csv_file import CsvFolder
from sync.targets.kafka_topic import KafkaTopic
from sync.targets.postgres_table import PostgresTable
from tests.copy_receiver import keep_copy
from tests.held_copy import (
    Clock,
    Place,
    assert_equal,
    change,
    down_for_six_hours,
    postgres_place,
    settle,
    subscriber_of,
    webhook_place,
)
from tests.integration.test_sync import FakeProducer
from tests.small_grid import small_model
from tests.waiting import PATIENCE_S, until

KINDS = ("webhook", "kafka", "postgres", "csv", "cim")


@pytest.fixture
def conninfo(database: Any) -> str:
    return str(database.conninfo("app"))


@pytest.fixture
def connection(conninfo: str) -> Iterator[Connection]:
    with connect(conninfo, "test") as opened:
        opened.autocommit = True
        yield opened


@pytest.fixture
def make_place(stack: Any, make_database: Callable[[], Any], tmp_path: Path) -> Iterator[Callable[[str], Place]]:
    with contextlib.ExitStack() as opened:
        makers: dict[str, Callable[[], Place]] = {
            "webhook": lambda: webhook_place(opened.enter_context(keep_copy())),
            "kafka": lambda: kafka_place(f"127.0.0.1:{stack.ports.kafka}"),
            "postgres": lambda: postgres_place(make_database().conninfo("owner")),
            "csv": lambda: csv_place(tmp_path / "copy"),
            "cim": lambda: cim_place(tmp_path / "copy.xml"),
        }
        yield lambda kind: makers[kind]()


def kafka_place(bootstrap: str) -> Place:
    topic = f"copy-{uuid4().hex[:8]}"
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(topic, 2, 1, topic_configs={"cleanup.policy": "compact"})])
    admin.close()

    def produce() -> Any:
        return kafka.KafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)

    def consume() -> Any:
        return kafka.KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)

    def spoil() -> None:
        producer = produce()
        producer.send(topic, key=b"meter:A1-m1", value=b'{"data": {"body": {"multiplier": 99}}}')
        producer.send(topic, key=b"unit:A2", value=None)
        producer.flush()
        producer.close()

    return Place(lambda: KafkaTopic(topic, produce, consume), spoil)


def csv_place(folder: Path) -> Place:
    def spoil() -> None:
        path = folder / "meter.csv"
        path.write_text(path.read_text().replace("A1,2,40,", "A1,2,99,"))
        path = folder / "unit.csv"
        path.write_text("\n".join(x for x in path.read_text().splitlines() if ",A2," not in x) + "\n")

    return Place(lambda: CsvFolder(folder), spoil)


def cim_place(path: Path) -> Place:
    def spoil() -> None:
        path.write_text(path.read_text().replace("400000", "300000"))

    return Place(lambda: CimFile(path, lambda: datetime.now(UTC)), spoil)


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_is_sent_to_read_back_compared_and_repaired(
    connection: Connection, make_place: Callable[[str], Place], kind: str
) -> None:
    place = make_place(kind)
    subscriber, clock = subscriber_of(kind, place), Clock()
    load_grid(connection, small_model())
    relay_batch(connection, FakeProducer(), [subscriber])
    settle(connection, subscriber, clock)
    assert_equal(connection, subscriber, clock)
    change(connection, kind="meter_multiplier", meter="A1-m1", multiplier=40, valid_from="2026-07-01T00:00:00Z")
    change(connection, kind="unit_name", unit="A1", name="North <yard> & “más”, 北院")
    change(connection, kind="account_contract", account="A1-account1", contract_w=9_000)
    relay_batch(connection, FakeProducer(), [subscriber])
    settle(connection, subscriber, clock)
    assert_equal(connection, subscriber_of(kind, place), clock)
    (counted,) = count_drift(connection)
    # CIM has no accounts.
    assert (counted["entities"], counted["drifted"]) == (13 if kind == "cim" else 17, 0)

    place.spoil()
    clock.advance(hours=1)
    found = reconcile(connection, subscriber, clock)
    drifted = list_drift(connection, kind, 10)
    assert found.drifted == len(drifted) == 2
    since = {row["since"] for row in drifted}
    clock.advance(hours=2)
    reconcile(connection, subscriber, clock)
    assert {row["since"] for row in list_drift(connection, kind, 10)} == since  # the clock runs on
    (minutes,) = {round(sum(row["minutes"] for row in drift_minutes(connection, clock() - timedelta(days=1), clock())))}
    assert minutes == 2 * 120
    assert owe_repairs(connection, kind) == 2
    settle(connection, subscriber, clock)
    assert_equal(connection, subscriber_of(kind, place), clock)
    after = sum(row["minutes"] for row in drift_minutes(connection, clock() - timedelta(days=1), clock()))
    assert after == pytest.approx(2 * 120, abs=1)


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("webhook", "cim")])
def test_what_the_model_does_not_know_is_found_and_taken_away(
    connection: Connection, make_place: Callable[[str], Place], kind: str
) -> None:
    place = make_place(kind)
    subscriber, clock = subscriber_of(kind, place), Clock()
    load_grid(connection, small_model())
    relay_batch(connection, FakeProducer(), [subscriber])
    settle(connection, subscriber, clock)
    assert subscriber.carrier is not None
    ghost = Document(Key("account", "ghost"), {"states": []})
    notice = {"type": "test", "timestamp": clock().isoformat(), "data": {}}
    assert subscriber.carrier.send([Parcel(uuid4(), 1, notice, (ghost,))])[0].outcome is Outcome.DELIVERED
    assert reconcile(connection, subscriber, clock).drifted == 1
    (row,) = list_drift(connection, kind, 10)
    assert (row["code"], row["extra"], row["missing"]) == ("ghost", True, False)
    owe_repairs(connection, kind)
    settle(connection, subscriber, clock)
    assert_equal(connection, subscriber_of(kind, place), clock)


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs."""


class Dying:
    """A carrier that dies at one step, the first time."""

    def __init__(self, inner: Carrier, step: str) -> None:
        self._inner, self._step = inner, step

    def _at(self, step: str) -> None:
        if step == self._step:
            self._step = ""
            raise Killed

    def send(self, parcels: Sequence[Parcel]) -> list[Attempt]:
        self._at("before sending")
        if self._step == "amid sending":
            self._inner.send(parcels[:1])
            self._at("amid sending")
        done = self._inner.send(parcels)
        self._at("after sending")
        return done

    def expected(self, document: Any) -> bytes | None:
        return self._inner.expected(document)

    def read(self, keys: Any) -> Any:
        self._at("before reading")
        found = self._inner.read(keys)
        self._at("after reading")
        return found

    def keys(self) -> Any:
        return self._inner.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_each_step_it_ends_equal_and_each_effect_once(
    connection: Connection, make_place: Callable[[str], Place], kind: str
) -> None:
    place, clock = make_place(kind), Clock()
    load_grid(connection, small_model())
    steps = ("before sending", "amid sending", "after sending", "before reading", "after reading")
    for number, step in enumerate(steps):
        subscriber = Subscriber(Target(kind, "", channel=kind), Dying(place.make(), step))
        change(connection, kind="unit_name", unit="A1", name=f"name {number}")
        change(
            connection, kind="meter_multiplier", meter="A2-m1", multiplier=2 + number,
            valid_from=f"2026-07-0{number + 1}T00:00:00Z",
        )  # fmt: skip
        relay_batch(connection, FakeProducer(), [subscriber])
        with pytest.raises(Killed):
            settle(connection, subscriber, clock)
        clock.advance(seconds=61)  # the lease of the dead one is over
        settle(connection, subscriber_of(kind, place), clock)
        assert count_owed(connection, kind) == 0
    assert_equal(connection, subscriber_of(kind, place), clock)
    if place.effects is not None:
        assert place.effects() == 1


@pytest.mark.parametrize("kind", ["webhook", "postgres"])
def test_down_for_six_hours_then_500s_and_lost_answers(
    connection: Connection, make_place: Callable[[str], Place], kind: str
) -> None:
    down_for_six_hours(connection, kind, make_place(kind), 5)


def test_a_slow_target_delays_no_other(
    connection: Connection, conninfo: str, make_place: Callable[[str], Place]
) -> None:
    """The service as a whole with four targets, of which one doesn't answer; it is also compared by itself."""
    load_grid(connection, small_model())
    hanging = threading.Event()

    class Hangs:
        def __init__(self, inner: Carrier) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def send(self, parcels: Sequence[Parcel]) -> list[Attempt]:
            hanging.wait(2 * PATIENCE_S)
            return self._inner.send(parcels)

    places = {kind: make_place(kind) for kind in ("webhook", "postgres", "csv", "cim")}
    subscribers = [subscriber_of(kind, place) for kind, place in places.items() if kind != "csv"]
    subscribers.append(Subscriber(Target("csv", ""), Hangs(places["csv"].make())))
    stop, counts = threading.Event(), SyncCounts()
    service = threading.Thread(
        target=run_sync,
        args=(lambda: connect(conninfo, "sync-service"), FakeProducer(), subscribers, lambda _: [], stop, counts, 1.0),
    )
    service.start()
    try:
        change(connection, kind="unit_name", unit="A1", name="seen")
        until(lambda: count_owed(connection, "csv") > 0)
        until(lambda: all(count_owed(connection, s.name) == 0 for s in subscribers[:3]))
        # The one that hangs still does: nobody has waited for it.
        assert count_owed(connection, "csv") > 0
        hanging.set()
        until(lambda: count_owed(connection, "csv") == 0)
        for kind, place in places.items():
            assert_equal(connection, subscriber_of(kind, place), lambda: datetime.now(UTC))
        assert counts.read_back["csv", "agrees"] > 0
        assert not any(outcome == "differs" for _, outcome in counts.read_back)
    finally:
        hanging.set()
        stop.set()
        service.join(PATIENCE_S)


def test_results_are_subscribed_to(connection: Connection, make_place: Callable[[str], Place]) -> None:
    load_grid(connection, small_model())
    place, clock = make_place("webhook"), Clock()
    subjects = frozenset({"loss", "findings", "work_orders"})
    subscriber = subscriber_of("webhook", place, subjects=subjects, grid=False)
    for subject in subjects:
        assert owe_fresh(connection, "webhook", subject, datetime.now(UTC) - timedelta(minutes=1)) == 0
    relay_batch(connection, FakeProducer(), [subscriber])
    assert count_owed(connection, "webhook") == 0  # it wants nothing of the model
    publish_day(connection, 1, 5_000)
    connection.execute(
        "insert into alerts.finding (fingerprint, kind, severity, unit_id, meter, begin_at, seen_at, figures, evidence)"
        " select 'f', 'theft_bypass', 'warning', unit_id, 'A1-m1', now(), now(), '{\"share\": 0.4}', '{\"secret\": 1}'"
        " from grid.unit where code = 'A1'"
    )
    assert sum(owe_fresh(connection, "webhook", subject, clock()) for subject in subjects) == 2
    assert sum(owe_fresh(connection, "webhook", subject, clock()) for subject in subjects) == 0
    settle(connection, subscriber, clock)
    assert place.receiver is not None
    day = place.receiver.held["loss_day", "A1/2026-06-01"]
    assert (day["revision"], day["loss_wh"]) == (1, 5_000)
    ((_, finding),) = [item for item in place.receiver.held.items() if item[0][0] == "finding"]
    assert (finding["figures"], "evidence" in finding) == ({"share": 0.4}, False)
    publish_day(connection, 2, 4_000)
    connection.execute("update alerts.finding set ended_at = now()")
    assert sum(owe_fresh(connection, "webhook", subject, clock()) for subject in subjects) == 2
    settle(connection, subscriber, clock)
    assert place.receiver.held["loss_day", "A1/2026-06-01"]["loss_wh"] == 4_000
    assert list_drift(connection, "webhook", 10) == []
    assert count_drift(connection)[0]["entities"] == 2


def publish_day(connection: Connection, revision: int, loss_wh: int) -> None:
    connection.execute("update loss.period_revision set until_at = now() where until_at is null")
    connection.execute(
        "insert into loss.period_revision select unit_id, 'day', '2026-06-01', %(r)s, '2026-06-01', '2026-06-02',"
        " 86400, 86400, 96, '2026-06-01', '2026-06-02', 100000, %(out)s, %(loss)s, 0, 0, 0, 0, null, null, null, 10,"
        " 1, 1, 1, 1, true, 'normal', 0, 'final', now(), null, null, now() from grid.unit where code = 'A1'",
        {"r": revision, "loss": loss_wh, "out": 100_000 - loss_wh},
    )


def test_an_unreadable_target_is_told_as_such(connection: Connection, tmp_path: Path) -> None:
    load_grid(connection, small_model())
    unreachable = PostgresTable("host=127.0.0.1 port=1 dbname=x", "copy")
    subscriber = Subscriber(Target("away", ""), unreachable)
    relay_batch(connection, FakeProducer(), [subscriber])
    done = deliver_due(
        connection, Queue.SYNC, [subscriber.target], sender(connection, unreachable), Clock(), random.random
    )
    assert (done.delivered, done.failed) == (0, 4)
    with pytest.raises(TargetError):
        reconcile(connection, subscriber, Clock())


def test_a_csv_journal_survives_a_torn_end_and_is_compacted(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_grid(connection, small_model())
    folder = CsvFolder(tmp_path)
    documents = next(pages_of(connection, "unit", 100))
    notice = {"type": "test", "timestamp": "2026-06-01T00:00:00Z", "data": {}}
    folder.send([Parcel(uuid4(), 1, notice, tuple(documents))])
    path = tmp_path / "unit.csv"
    whole = path.read_bytes()
    for cut in range(len(whole) - 1, len(whole) - 150, -13):
        path.write_bytes(whole[:cut])
        folder = CsvFolder(tmp_path)
        folder.send([Parcel(uuid4(), 2, notice, tuple(documents))])
        keys = [document.key for document in documents]
        assert CsvFolder(tmp_path).read(keys) == {d.key: folder.expected(d) for d in documents}
    monkeypatch.setattr("sync.targets.csv_file._COMPACT_FROM", 50)
    for number in range(3, 12):
        folder.send([Parcel(uuid4(), number, notice, tuple(documents))])
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) < 100
    assert CsvFolder(tmp_path).read([documents[0].key]) == {documents[0].key: folder.expected(documents[0])}


def test_documents_say_what_their_lists_name(connection: Connection) -> None:
    """The columns that targets make of them are those of the statements."""
    load_grid(connection, small_model())
    for kind in MODEL_KINDS:
        for documents in pages_of(connection, kind, 2):
            for document in documents:
                assert set(document.body) == {*LISTS[kind], *VALUES.get(kind, ())}
                for name, fields in LISTS[kind].items():
                    for entry in document.body[name] or ():
                        assert set(entry) == {"from", "to", *fields}
