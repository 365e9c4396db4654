"""A city the whole way on real servers, MQTT to result: its replay gives the same rows; what its meters report."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from kafka import KafkaConsumer, TopicPartition
from typer.testing import CliRunner

from deploy.stack import StackSpec, set_gateways, start_programs, stop_programs
from grid.arrow import OtherRecordError
from grid.block import decode_block
from grid.device_events import decode_events
from grid.points import decode_points
from grid.topics import TELEMETRY_AREA, TELEMETRY_BACKFILL, TELEMETRY_EVENT, TELEMETRY_SCADA
from meterline.bootstrap import opener
from meterline.city import ZONE, make_city
from meterline.city_files import write_city
from meterline.cli import app
from meterline.config import Settings
from meterline.model_file import read_model
from meterline.points_file import read_points
from meterline.ready import wait_until_ready
from store.connection import Connection, connect
from store.outbox import last_change
from store.points import load_points
from sync.change import apply_change, read_change
from sync.load import load_grid
from tests.all_done import wait_until_done
from tests.integration.conftest import Database
from tests.integration.live.test_pipeline import Gateway
from tests.replay_day import TABLES, Sent, microseconds, write_log
from tests.waiting import until
from twin.city import City, CityPlan
from twin.city_play import CityPlay
from twin.event_text import parse_plan
from twin.events import EventKind
from twin.outbox import MessageKind, in_order_of_sending

_QUARTER_S, _ROUNDS = 900, 6
_PROGRAMS = ["bridge", "worker", "sync"]
#: Of the first city, whose codes are its own.
COPY = "C7-"


def small_city() -> City:
    """Intervals of the last two hours, so that they go the live way; what happens does so in the third of them."""
    begin_s = (int(time.time()) // _QUARTER_S - _ROUNDS - 1) * _QUARTER_S
    plan = CityPlan(
        begin_s,
        1,
        ZONE,
        areas=40,
        seed=4,
        copy=7,
        counts=parse_plan("cut_over=1,meter_replaced=1,outage=2,phase_lost=1,theft_scaling=2,record_multiplier=1"),
    )
    at_s = begin_s + 2 * _QUARTER_S + 7 * 60
    lasts_s = {EventKind.CUT_OVER: 2 * _QUARTER_S, EventKind.OUTAGE: 1_200}
    instants = dict.fromkeys((EventKind.METER_REPLACED, EventKind.RECORD_MULTIPLIER), at_s - 600)

    def moved(event: Any) -> Any:
        from_s = instants.get(event.kind, at_s)
        length_s = lasts_s.get(event.kind)
        return replace(event, begin_s=from_s, end_s=None if length_s is None else from_s + length_s)

    return City(replace(plan, counts=None, events=tuple(moved(event) for event in City(plan).events)))


@pytest.fixture(scope="module")
def services(stack: StackSpec, settings: Settings) -> Iterator[Settings]:
    """Bridge, worker and the relay of changes on the stack's own database."""
    start_programs(stack, _PROGRAMS)
    try:
        wait_until_ready(settings, 1)
        yield settings
    finally:
        stop_programs(stack, _PROGRAMS)


class Watch:
    """What the bridge gives to Kafka from now on: when it received each message."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = KafkaConsumer(bootstrap_servers=settings.kafka.bootstrap)
        topics = (TELEMETRY_AREA, TELEMETRY_SCADA, TELEMETRY_BACKFILL, TELEMETRY_EVENT)
        places = [TopicPartition(t, p) for t in topics for p in self._consumer.partitions_for_topic(t) or ()]
        self._consumer.assign(places)
        self._consumer.seek_to_end()
        for place in places:
            self._consumer.position(place)
        self.late = 0
        self.times: dict[tuple[str, int], set[int]] = defaultdict(set)

    def poll(self) -> int:
        """How many messages came until now; one that came twice counts twice."""
        for place, records in self._consumer.poll(timeout_ms=200).items():
            for record in records:
                if record.value.startswith(b"{"):  # the sweeper's order
                    continue
                self.late += place.topic == TELEMETRY_BACKFILL
                unit, sequence, received_us = _of_record(place.topic, record.value)
                self.times[unit, sequence].add(received_us)
        return sum(len(times) for times in self.times.values())

    def close(self) -> None:
        self._consumer.close()


def _of_record(topic: str, value: bytes) -> tuple[str, int, int]:
    if topic == TELEMETRY_EVENT:
        events = decode_events(value)
        return events.unit, int(events.sequence), events.received_at_us
    try:
        points = decode_points(value)
        return points.unit, int(points.sequence), points.received_at_us
    except OtherRecordError:
        block = decode_block(value)
        return block.unit, int(block.sequence[0]), block.received_at_us


def rows_of(connection: Connection, units: list[str]) -> dict[str, list[Any]]:
    """Stored rows of units, by name; all but when they were recorded. What holds of the model, as `model`."""
    rows = {
        table: [
            row[0]
            for row in connection.execute(
                "select (to_jsonb(t) - 'recorded_at' - 'unit_id') || jsonb_build_object('unit', u.code)"
                f" from {table} t join grid.unit u using (unit_id) where u.code = any(%s)"
                f" order by u.code, {key.removeprefix('unit_id, ')}",
                [units],
            )
        ]
        for table, key in TABLES.items()
    }
    return rows | {"model": connection.execute(_MODEL, [units]).fetchall()}


#: Who is a member of what, when, as is believed now.
_MODEL = """
select u.code, m.position, m.meter, c.code, m.role, m.multiplier, m.valid
from grid.member m
join grid.unit u using (unit_id)
left join grid.unit c on c.unit_id = m.child_id
where u.code = any(%s) and upper_inf(m.recorded)
order by u.code, m.position, m.valid
"""


class Play:
    """Sends a city's messages in their order, a part at a time, and waits for what each brings about."""

    def __init__(self, stack: StackSpec, settings: Settings, messages: list[Sent]) -> None:
        accounts = sorted({message.topic.split("/")[2] for message in messages})
        set_gateways(stack, accounts)
        self._gateways = {name: Gateway(settings, name) for name in accounts}
        self._settings = settings
        self._open = opener(settings, "test")
        self._left = list(messages)
        self.watch = Watch(settings)
        self.sent: list[Sent] = []

    def send(self, until_at: datetime | None = None) -> None:
        """Those that were sent before an instant, or all that are left."""
        wave = [m for m in self._left if until_at is None or m.received_at < until_at]
        self._left = self._left[len(wave) :]
        for message in wave:
            self._gateways[message.topic.split("/")[2]].client.publish(message.topic, message.payload, qos=1)
        self.sent += wave
        if wave:
            until(lambda: self.watch.poll() == len(self.sent), "the bridge has passed all on")
            wait_until_done(self._settings, self._open)

    def change(self, change: dict[str, Any]) -> None:
        """Send what came before a change, and make it."""
        at = datetime.fromisoformat(change["valid_from"])
        self.send(at)
        if change["kind"] == "switch_position":  # SCADA tells of it by itself
            self.send(at + timedelta(seconds=10))
            return
        with self._open() as connection:
            apply_change(connection, read_change(json.dumps(change).encode()))
        wait_until_done(self._settings, self._open)

    def close(self) -> None:
        self.watch.close()
        for gateway in self._gateways.values():
            gateway.close()


@pytest.mark.timeout(600)
def test_a_replay_of_a_citys_files_gives_the_rows_of_the_live_run(
    stack: StackSpec, services: Settings, make_database: Callable[[], Database], tmp_path: Path
) -> None:
    city, folder = small_city(), tmp_path / "city"
    write_city(city, folder, rounds=_ROUNDS)
    above = {unit.code: f"{COPY}{unit.code}" for unit in city.model.greater}
    for code, own in above.items():  # the other city of this file has units of these codes
        text = (folder / "grid.json").read_text()
        (folder / "grid.json").write_text(text.replace(f'"{code}"', f'"{own}"'))
    units = [*(unit.code for unit in city.units), *above.values()]
    open_live = opener(services, "test")
    with open_live() as connection:
        load_grid(connection, read_model(folder / "grid.json"))
        load_points(connection, read_points(folder / "points.json"))
        connection.commit()
        last = last_change(connection)
    messages = [Sent(**row) for row in pq.read_table(folder / "messages.parquet").to_pylist()]
    changes = [json.loads(line) for line in (folder / "changes.jsonl").read_text().splitlines()]
    assert {change["kind"] for change in changes} == {"meter_replace", "meter_multiplier", "switch_position"}
    play = Play(stack, services, messages)
    try:
        for change in changes:
            play.change(change)
        play.send()
    finally:
        play.close()
    assert play.watch.late == 0

    # The same files with the instants at which they were received and the changes recorded.
    logged = as_received(play.sent, play.watch)
    write_log(folder / "messages.parquet", logged)
    with open_live() as connection:
        expected = rows_of(connection, units)
        reported = as_reported(connection, changes, last)
    (folder / "changes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in reported))
    target = make_database().conninfo("owner")
    options = ["--database", target, "--until", logged[-1].received_at.isoformat(), "--json"]

    def replayed() -> tuple[dict[str, Any], dict[str, list[Any]]]:
        done = CliRunner().invoke(app, ["replay", "--city", str(folder), *options])
        assert done.exit_code == 0, done.output
        with connect(target, "test") as connection:
            return json.loads(done.stdout), rows_of(connection, units)

    report, found = replayed()
    assert (report["messages"], report["changes"], report["rejected"]) == (len(messages), len(changes), 0)
    assert len(expected["loss.balance"]) > (_ROUNDS - 1) * len(city.units)
    assert "final" in {row["status"] for row in expected["loss.balance"]}
    compare(found, expected, set(above.values()))

    # The same again changes no row.
    report, again = replayed()
    assert (report["rows"], report["revisions"], report["rejected"]) == (0, 0, 0)
    assert again == found


def compare(found: dict[str, list[Any]], expected: dict[str, list[Any]], above_feeders: set[str]) -> None:
    """Row by row. A unit above feeders hears of what a feeder took together at the instant of the last of it."""
    for table in ("model", *TABLES):
        assert len(found[table]) == len(expected[table]), table
        for row, other in zip(found[table], expected[table], strict=True):
            if table == "loss.balance" and row["unit"] in above_feeders and row["due_at"] and other["due_at"]:
                apart = datetime.fromisoformat(row["due_at"]) - datetime.fromisoformat(other["due_at"])
                assert abs(apart) < timedelta(minutes=1)
                assert row | {"due_at": None} == other | {"due_at": None}
            else:
                assert row == other, table


def as_received(sent: list[Sent], watch: Watch) -> list[Sent]:
    """Messages with the instants at which the bridge received them, in that order."""
    times = {key: sorted(received_us) for key, received_us in watch.times.items()}
    log = []
    for message in sent:
        at_us = times[message.topic.rsplit("/", 1)[-1], json.loads(message.payload)["sequence"]].pop(0)
        log.append(replace(message, received_at=datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at_us)))
    assert not any(times.values())
    return sorted(log, key=lambda message: message.received_at)


def as_reported(connection: Connection, changes: list[dict[str, Any]], after: int) -> list[dict[str, Any]]:
    """The changes with the instants at which they were recorded, of those after a number of the outbox."""
    rows = connection.execute(
        "select payload, recorded_at from grid.outbox where id > %s and aggregatetype <> 'resettle'", [after]
    )
    recorded = {_named(payload): recorded_at.isoformat() for payload, recorded_at in rows}
    assert len(recorded) == len(changes)
    return [{**change, "reported_at": recorded[_named(change)]} for change in changes]


def _named(change: dict[str, Any]) -> tuple[Any, ...]:
    """What tells a change from the others, in a request and in the word of it."""
    names = ("switch", "position", "meter", "new_meter", "multiplier")
    return (*map(change.get, names), datetime.fromisoformat(change["valid_from"]))


@pytest.mark.timeout(600)
def test_what_meters_report_goes_the_whole_way_once(
    stack: StackSpec, services: Settings, config_path: Path, tmp_path: Path
) -> None:
    begin = datetime.now(UTC).date() - timedelta(days=1)
    events = "outage=5,theft_scaling=6,phase_lost=1,ct_reversed=2"
    city = make_city(
        "demonstration",
        areas=3,
        seed=5,
        events=events,
        begin=datetime(begin.year, begin.month, begin.day, tzinfo=UTC),
    )
    accounts = sorted({unit.gateway for unit in city.units})
    set_gateways(stack, accounts)
    command = ["simulate", "--city", "demonstration", "--areas", "3", "--seed", "5", "--events", events]
    command += ["--begin", begin.isoformat(), "--load", "--json"]
    command += ["--speed", "3600", "--for", "45", "--rate", "3000", "--config", str(config_path)]
    # The same city says what was sent, and what of it came to the broker before the run ended.
    reported: list[Any] = []
    certain: list[Any] = []
    made = (m for m in CityPlay(city).made(city.plan.begin_s, 96) if m.kind is MessageKind.EVENT)
    messages = list(in_order_of_sending(made))

    def most_is_sent() -> bool:
        done = CliRunner().invoke(app, [*command, "--ledger", str(tmp_path / f"ledger-{len(runs)}")])
        assert done.exit_code == 0, done.output
        runs.append(json.loads(done.stdout))
        assert runs[-1]["acked"] == runs[-1]["published"]
        if runs[-1]["observed_at"] is None:
            return False
        until_us = microseconds(datetime.fromisoformat(runs[-1]["observed_at"])) - 900 * 1_000_000
        for message in messages:
            fields = json.loads(message.payload)
            rows = zip(fields["meter"], fields["kind"], map(datetime.fromisoformat, fields["observed_at"]), strict=True)
            told = [(city.units[message.made.unit].code, *row) for row in rows]
            reported.extend(told)
            certain.extend(told if message.send_at_us < until_us and not message.again else [])
        return len(set(certain)) > 20

    # A run ends at the clock: on a busy machine before it comes to that, and then the next one does.
    runs: list[dict[str, Any]] = []
    until(most_is_sent, "most of the day is sent", 240)
    with opener(services, "test")() as connection:
        connection.autocommit = True
        query = (
            "select u.code, e.meter, e.kind, e.observed_at from telemetry.event e join grid.unit u using (unit_id)"
            " where u.code = any(%s) and e.observed_at >= %s"
        )
        arguments = [[unit.code for unit in city.units], datetime.fromtimestamp(city.plan.begin_s, UTC)]

        def stored() -> list[Any]:
            return connection.execute(query, arguments).fetchall()

        until(lambda: set(stored()) >= set(certain), "what was certainly sent is stored")
        time.sleep(2)
        found = stored()
        assert not connection.execute("select 1 from telemetry.rejected where topic like '%%/event/%%'").fetchall()
    assert {kind for _, _, kind, _ in certain} >= {"last_gasp", "power_restored"}
    assert len(set(found)) == len(found)
    assert set(certain) <= set(found) <= set(reported)
