"""Replay against the live path on real servers: the same rows, byte for byte, but for when they were recorded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from kafka import KafkaConsumer, TopicPartition

from deploy.stack import StackSpec, set_gateways, start_programs, stop_programs
from grid.block import decode_block, encode_block
from grid.model import UnitKind
from grid.topics import ENERGY_UNIT
from grid.unit_energy import encode_unit_energies
from ingest.dispatch import take_message
from meterline.bootstrap import opener
from meterline.config import Settings
from meterline.ready import wait_until_ready
from meterline.replaying import ReplayOptions, Span, provide_model, replay, same_database
from store.connection import Connection, connect
from store.directory import StoredDirectory
from streams.counters import Counters
from streams.join import Record
from streams.processor import Processor
from streams.sweep import Sweeper
from sync.load import load_grid
from tests.all_done import wait_until_done
from tests.integration.conftest import Database
from tests.integration.live.test_pipeline import Gateway
from tests.replay_day import TABLES, Sent, a_day, microseconds, readings_of, results, write_log
from tests.small_grid import small_model
from tests.waiting import until

Open = Callable[[], Connection]
START = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=8)
UNTIL = START + timedelta(days=6)


@pytest.fixture
def live(database: Database) -> Open:
    """A database with the small grid; its ids don't begin at 1, as those of one that has lived."""
    open_live = partial(connect, database.conninfo("app"), "test")
    with open_live() as connection:
        connection.execute("select nextval('grid.unit_unit_id_seq') from generate_series(1, 40)")
        connection.commit()
        load_grid(connection, small_model())
    return open_live


@pytest.fixture
def other(database: Database, make_database: Callable[[], Database], live: Open) -> Open:
    """Another database with the same model, copied."""
    target = make_database()
    open_target = partial(connect, target.conninfo("owner"), "test")
    assert provide_model(open_target, None, live) == "source"
    return open_target


class LivePath:
    """What bridge, workers and sweeper do, one batch after the other, at the times of the messages."""

    def __init__(self, open_live: Open) -> None:
        self._open = open_live
        self._directory = StoredDirectory(open_live)
        self._areas = Processor(open_live, Counters())
        self._greater = Processor(open_live, Counters())

    def close(self) -> None:
        self._areas.close()
        self._greater.close()

    def take(self, batch: Sequence[Sent]) -> None:
        blocks: dict[str, list[Record]] = {"telemetry.area": [], "telemetry.scada": []}
        for sent in batch:
            at_us = microseconds(sent.received_at)
            taken = take_message(sent.topic, sent.payload, at_us, self._directory)
            assert taken.block is not None
            block, kind = taken.block
            topic = "telemetry.scada" if kind is UnitKind.FEEDER else "telemetry.area"
            blocks[topic].append(Record(topic, encode_block(block)))
        self._process(blocks["telemetry.area"], blocks["telemetry.scada"])

    def sweep(self, until_at: datetime) -> None:
        # A sweeper doesn't repeat an order for a minute of the wall's clock; here a day passes in seconds. It leaves
        # five seconds for what is still on its way.
        orders = Sweeper(self._open).orders(microseconds(until_at) + 5_000_000)
        area = [Record(o.topic, o.value) for o in orders if o.topic == "telemetry.area"]
        self._process(area, [Record(o.topic, o.value) for o in orders if o.topic != "telemetry.area"])

    def _process(self, areas: list[Record], greater: list[Record]) -> None:
        told = self._areas.process(areas) if areas else []
        while greater or told:
            upward = [Record(ENERGY_UNIT, encode_unit_energies([e])) for e in told]
            told = self._greater.process([*greater, *upward])
            greater = []


def live_like(open_live: Open, day: Sequence[Sent]) -> None:
    """Batches of what comes within 20 s, a sweep before each and every hour."""
    path = LivePath(open_live)
    batches = [list(g) for _, g in groupby(day, key=lambda s: int(s.received_at.timestamp()) // 20)]
    try:
        for batch, following in pairwise([*batches, [Sent("", b"", UNTIL)]]):
            path.sweep(batch[0].received_at)
            path.take(batch)
            hour = batch[-1].received_at + timedelta(hours=1)
            while hour < following[0].received_at:
                path.sweep(hour)
                hour += timedelta(hours=7)
        path.sweep(UNTIL)
        path.sweep(UNTIL)
    finally:
        path.close()


def all_of(open_one: Open) -> dict[str, list[Any]]:
    with open_one() as connection:
        return results(connection)


def test_a_day_gives_the_same_rows_live_and_replayed(live: Open, other: Open, tmp_path: Path) -> None:
    day = a_day(START, 32, seed=7)
    live_like(live, day)
    report = replay(ReplayOptions(files=(write_log(tmp_path / "log.parquet", day),), until=UNTIL), other)
    assert (report.complete, report.messages, report.rejected) == (True, len(day), 0)
    expected, found = all_of(live), all_of(other)
    assert len(expected["telemetry.block"]) == 128
    assert {row["status"] for row in expected["loss.balance"]} == {"final", "restated"}
    assert len(expected["loss.superseded"]) > 50
    for table in TABLES:
        assert found[table] == expected[table], table


def test_readings_and_stored_blocks_give_the_same_figures(live: Open, other: Open, tmp_path: Path) -> None:
    day = a_day(START, 8, seed=3)
    live_like(live, day)
    pq.write_table(readings_of(day), tmp_path / "readings.parquet")
    assert replay(ReplayOptions(files=(tmp_path / "readings.parquet",), until=UNTIL), other).complete
    assert all_of(other) == all_of(live)
    # What is there is said again: nothing changes.
    again = replay(ReplayOptions(span=Span(START, UNTIL), until=UNTIL), other, live)
    assert (again.complete, again.rows, again.messages > 30) == (True, 0, True)
    assert same_database(live, live)
    assert not same_database(live, other)


def test_a_copied_model_goes_on_with_new_ids(live: Open, other: Open) -> None:
    rows = "select unit_id, code from grid.unit order by 1"
    with live() as one, other() as two:
        units = one.execute(rows).fetchall()
        assert min(unit_id for unit_id, _ in units) > 40
        assert two.execute(rows).fetchall() == units
        model = small_model(A3="F2")
        load_grid(two, model)
        new = two.execute("select unit_id from grid.unit where code = 'A3'").fetchone()
        assert new is not None
        assert new[0] > max(unit_id for unit_id, _ in units)


@pytest.fixture(scope="module")
def pipeline(stack: StackSpec, settings: Settings) -> Iterator[Settings]:
    """Bridge and worker on the stack's own database, with the small grid and no result."""
    with opener(settings, "test")() as connection:
        load_grid(connection, small_model())
    set_gateways(stack, ["headend", "rtu"])
    programs = ["bridge", "worker", "sync"]
    start_programs(stack, programs)
    try:
        wait_until_ready(settings, 1)
        yield settings
    finally:
        stop_programs(stack, programs)


class Received:
    """What the bridge has given to Kafka since this was made: when it received each message."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = KafkaConsumer(bootstrap_servers=settings.kafka.bootstrap)
        topics = ("telemetry.area", "telemetry.scada", "telemetry.backfill")
        places = [TopicPartition(t, p) for t in topics for p in self._consumer.partitions_for_topic(t) or ()]
        self._consumer.assign(places)
        self._consumer.seek_to_end()
        for place in places:
            self._consumer.position(place)
        self.times: dict[tuple[str, int], int] = {}

    def poll(self) -> int:
        for records in self._consumer.poll(timeout_ms=200).values():
            for record in records:
                if not record.value.startswith(b"{"):
                    block = decode_block(record.value)
                    for sequence in set(block.sequence.tolist()):
                        self.times[(block.unit, sequence)] = block.received_at_us
        return len(self.times)

    def close(self) -> None:
        self._consumer.close()


def test_the_live_path_itself_and_its_replay_agree(
    pipeline: Settings, make_database: Callable[[], Database], tmp_path: Path
) -> None:
    # Of the last three hours: what is older than two has a lane of its own.
    now = datetime.now(UTC)
    start = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0) - timedelta(hours=3)
    day = renumbered(a_day(start, 12, seed=11))
    open_live = opener(pipeline, "test")
    gateways = {name: Gateway(pipeline, name) for name in ("headend", "rtu")}
    received = Received(pipeline)
    try:
        # In waves: which of two that come within milliseconds is settled first is open on a live system.
        for wave in (day[: len(day) // 2], day[len(day) // 2 :]):
            for sent in wave:
                gateways[sent.topic.split("/")[2]].send(sent.topic, sent.payload)
            expected = len(received.times) + len(wave)
            until(lambda expected=expected: received.poll() == expected)  # type: ignore[misc]
            wait_until_done(pipeline, open_live)
    finally:
        received.close()
        for gateway in gateways.values():
            gateway.close()
    log = [
        Sent(s.topic, s.payload, datetime.fromtimestamp(0, UTC) + timedelta(microseconds=received.times[key_of(s)]))
        for s in day
    ]
    log.sort(key=lambda s: s.received_at)
    target = make_database()
    open_target = partial(connect, target.conninfo("owner"), "test")
    provide_model(open_target, None, open_live)
    options = ReplayOptions(files=(write_log(tmp_path / "log.parquet", log),), until=log[-1].received_at)
    assert replay(options, open_target).rejected == 0
    expected_rows, found = all_of(open_live), all_of(open_target)
    assert len(expected_rows["telemetry.block"]) == 48
    for table in TABLES:
        assert found[table] == expected_rows[table], table


def key_of(sent: Sent) -> tuple[str, int]:
    return sent.topic.rsplit("/", 1)[-1], json.loads(sent.payload)["sequence"]


def renumbered(day: Sequence[Sent]) -> list[Sent]:
    """A number of its own for each message, in the order of the old ones; a repeat becomes a confirmation."""
    order = sorted(range(len(day)), key=lambda n: (key_of(day[n])[1], n))
    numbers = {n: number for number, n in enumerate(order)}
    return [
        Sent(s.topic, json.dumps(json.loads(s.payload) | {"sequence": numbers[n]}).encode(), s.received_at)
        for n, s in enumerate(day)
    ]
