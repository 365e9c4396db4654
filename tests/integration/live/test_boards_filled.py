"""Every panel of every board on a database that the twin has filled: rows, places from the region down, no error.

Three days are replayed, the end of them comes over MQTT to running programs: what these tell of themselves, what they
refuse, what they miss and what comes when its day was final already is the boards' too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg.rows import dict_row

from deploy.boards.feeder import FEEDER
from deploy.boards.macros import bind
from deploy.boards.model import Board, Source, Variable
from deploy.boards.panels import feeder
from deploy.boards.registry import BOARDS
from deploy.stack import StackSpec, set_gateways, start_programs, stop_programs
from grid.limits import Limits
from grid.thresholds import Thresholds
from meterline.city_files import write_city
from meterline.config import Settings
from meterline.day_changes import explain_days
from meterline.points_file import read_points
from meterline.ready import wait_until_ready
from meterline.replaying import ReplayOptions, provide_model, replay
from store.connection import Connection, connect
from store.points import load_points
from streams.periods import refresh_periods
from streams.steps.periods import PeriodRules
from tests.integration.boards.twin_findings import find
from tests.integration.conftest import Database
from tests.integration.live.test_pipeline import Gateway
from tests.replay_day import Sent, write_log
from tests.waiting import until
from twin.city import City, CityPlan
from twin.event_text import parse_plan

ZONE = ZoneInfo("Europe/Berlin")
#: The usual mixture of so few areas; and a meter that was replaced before the records know.
EVENTS = (
    "theft_scaling=1,theft_bypass=1,vacancy=1,seasonal=2,appliance=2,electric_vehicle=2,meter_replaced=1,"
    "outage=1,account_opened=1"
)
#: What is received from then on, before midnight, comes over MQTT.
LIVE = timedelta(hours=1.5)
#: Beyond them nothing is looked for.
MOST_PLACES = 500

Ask = Callable[[str, Mapping[str, str]], list[dict[str, Any]]]


@pytest.fixture
def filled(stack: StackSpec, settings: Settings, tmp_path: Path) -> Database:
    """Three days of six areas up to last midnight, with thieves and errors, as the twin sent them."""
    midnight = datetime.now(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    begin = (midnight - timedelta(hours=60)).replace(hour=0)
    city = City(CityPlan(round(begin.timestamp()), 3, ZONE, areas=6, seed=4, counts=parse_plan(EVENTS)))
    write_city(city, tmp_path / "city")
    database = Database(settings.database)
    open_target = partial(connect, database.conninfo("owner"), "test")
    with open_target() as connection:
        provide_model(open_target, tmp_path / "city" / "grid.json", None)
        load_points(connection, read_points(tmp_path / "city" / "points.json"))
        connection.commit()
    messages = [Sent(**row) for row in pq.read_table(tmp_path / "city" / "messages.parquet").to_pylist()]
    late = next(m for m in messages if is_of_area(m) and m.received_at > begin + timedelta(hours=12))
    live = [m for m in messages if midnight - LIVE <= m.received_at and observed_at(m) > midnight - LIVE]
    kept = [m for m in messages if m.received_at < midnight - LIVE and m.payload != late.payload]
    write_log(tmp_path / "before.parquet", kept)
    options = ReplayOptions(files=(tmp_path / "before.parquet",), until=midnight - LIVE)
    assert replay(options, open_target).complete
    with connect(database.conninfo("app"), "test") as connection:
        # As the services do, without their owner's rights.
        connection.autocommit = True
        with running(stack, settings, city) as gateways:
            # One is lost on the way, with its repeat if it has one.
            of_areas = [m for m in live if is_of_area(m)]
            lost = of_areas[len(of_areas) // 2]
            live = [m for m in live if m.payload != lost.payload]
            for message in live:
                gateways[message.topic.split("/")[2]].client.publish(message.topic, message.payload, qos=1)
            until(lambda: told(connection), "the programs tell of themselves, and of what they miss and refuse")
            until(lambda: has_come(connection, live), "what was sent is settled")
            until(lambda: summed_up(connection), "all is summed up")
            # Days after it was read, when its day was published for good.
            gateways[late.topic.split("/")[2]].send(late.topic, late.payload)
            until(lambda: restated(connection), "the day is published anew")
        assert explain_days(connection, ZONE, midnight.date()) > 0
        find(connection, city, tmp_path, midnight, ZONE)
    return database


def is_of_area(message: Sent) -> bool:
    """Whether it is a block of a transformer area."""
    return "/block/LV" in message.topic


def observed_at(message: Sent) -> datetime:
    """The end of what it is about, or when it was received."""
    said = json.loads(message.payload).get("observed_at")
    return datetime.fromisoformat(said) if isinstance(said, str) else message.received_at


@contextmanager
def running(stack: StackSpec, settings: Settings, city: City) -> Iterator[dict[str, Gateway]]:
    """The bridge and a worker, and the accounts of a city's gateways."""
    programs = ["bridge", "worker"]
    accounts = sorted({unit.gateway for unit in city.units})
    set_gateways(stack, accounts)
    start_programs(stack, programs)
    gateways: dict[str, Gateway] = {}
    try:
        wait_until_ready(settings, 1)
        gateways |= {name: Gateway(settings, name) for name in accounts}
        yield gateways
    finally:
        for gateway in gateways.values():
            gateway.close()
        stop_programs(stack, programs)


def told(connection: Connection) -> bool:
    row = connection.execute(
        """
        select
          exists (select from telemetry.worker_state where slowest_flush_s is not null and lag_records is not null)
          and exists (select from telemetry.gap where filled_at is null)
          and exists (select from telemetry.rejected where reason = 'unknown_meter')
        """
    ).fetchone()
    return row is not None and bool(row[0])


def has_come(connection: Connection, live: Sequence[Sent]) -> bool:
    """Whether each block is stored, and its unit settled."""
    sent = {(m.topic.rsplit("/", 1)[-1], observed_at(m)) for m in live if "/block/" in m.topic}
    rows = connection.execute(
        "select code, observed_at from telemetry.block join loss.balance using (unit_id, observed_at)"
        " join grid.unit using (unit_id) where observed_at >= %s",
        [min(at for _, at in sent)],
    )
    return sent <= set(rows)


def restated(connection: Connection) -> bool:
    """Whether a day of an area and of a feeder was published anew after it was final."""
    if not summed_up(connection):
        return False
    rows = connection.execute(
        "select distinct kind from loss.period_revision join grid.unit using (unit_id)"
        " where period = 'day' and status = 'restated'"
    ).fetchall()
    return {("area",), ("feeder",)} <= set(rows)


def summed_up(connection: Connection) -> bool:
    """Sum up what is there. What was written just now, or while another transaction runs, is left for the next look."""
    # What is due is asked for as of a little later, when all of it is closed.
    rules, at = PeriodRules(Limits(), Thresholds()), datetime.now(UTC) + timedelta(seconds=5)
    while (done := refresh_periods(connection, rules, ZONE, until=at)) is not None and done.more:
        pass
    row = connection.execute(
        "select (select max(recorded_at) from loss.balance) <= (select through from loss.period_progress)"
    ).fetchone()
    return row is not None and bool(row[0])


def asker(database: Database, source: Source) -> tuple[psycopg.Connection[dict[str, Any]], Ask]:
    role = "board" if source is Source.OPERATIONS else "revenue"
    connection = psycopg.connect(database.conninfo(role), autocommit=True, row_factory=dict_row)

    def ask(sql: str, values: Mapping[str, str]) -> list[dict[str, Any]]:
        now = datetime.now(UTC)
        text, parameters = bind(sql, now - timedelta(hours=40), now, timedelta(minutes=15), values)
        return connection.execute(text.encode(), parameters).fetchall()

    return connection, ask


def choose(board: Board, ask: Ask) -> dict[str, str]:
    """What is chosen when the board opens."""
    return next(choices(board, ask))


def choices(board: Board, ask: Ask) -> Iterator[dict[str, str]]:
    """All that can be chosen on a board, beginning with what is when it opens."""

    def further(values: dict[str, str], variables: Sequence[Variable]) -> Iterator[dict[str, str]]:
        if not variables:
            yield values
            return
        for row in ask(variables[0].sql, values):
            yield from further({**values, variables[0].name: row["__value"]}, variables[1:])

    return further({}, board.variables)


@pytest.mark.timeout(600)
def test_every_panel_shows_what_the_twin_sent(filled: Database, subtests: pytest.Subtests) -> None:
    for board in BOARDS:
        connection, ask = asker(filled, board.source)
        with connection:
            places = list(islice(choices(board, ask), MOST_PLACES))
            statements = {place.panel.key: (place.panel.sql, place.panel.edges) for place in board.places}
            statements |= {each.key: (each.sql, None) for each in board.annotations}
            for key, pair in statements.items():
                for sql in filter(None, pair):
                    with subtests.test(msg=f"{board.uid} {key}"):
                        assert any(ask(sql, values) for values in places), (board.uid, key)
    with subtests.test(msg="the change adds up to what was published"):
        check_the_change(filled)
    with subtests.test(msg="from the region to the meter"):
        check_the_way_down(filled)


def check_the_change(filled: Database) -> None:
    connection, ask = asker(filled, Source.OPERATIONS)
    with connection:
        values = choose(FEEDER, ask)
        rows = {row["part"]: row for row in ask(feeder.CHANGE.sql, values)}
        days = "select first_day, loss_wh from loss.period p join grid.unit u using (unit_id) where period = 'day' "
        published = ask(days + "and u.code = ${feeder:sqlstring} and revision > 0 order by first_day", values)
    assert [rows["before"]["to_wh"], rows["after"]["to_wh"]] == [day["loss_wh"] for day in published[-2:]]
    assert rows["unexplained"]["to_wh"] == rows["after"]["to_wh"]


def check_the_way_down(filled: Database) -> None:
    """By the links alone: each row of a table leads to a board on which the chosen place has rows."""
    boards = {board.uid: board for board in BOARDS}

    def follow(uid: str, key: str, values: Mapping[str, str]) -> dict[str, str]:
        board = boards[uid]
        connection, ask = asker(filled, board.source)
        (panel,) = (place.panel for place in board.places if place.panel.key == key)
        (link,) = {column.link for column in panel.columns if column.link is not None and column.link.board is not None}
        with connection:
            row = ask(panel.sql, values)[0]
        there = {variable: row[column] for variable, column in link.values} | {n: values[n] for n in link.keep}
        assert link.board is not None
        return {"board": link.board, **there}

    place = follow("meterline-control-room", "parts", {"region": "*", "substation": "*"})
    assert place.pop("board") == "meterline-control-room"
    place = follow("meterline-control-room", "feeders", place)
    assert place.pop("board") == "meterline-feeder"
    place = follow("meterline-feeder", "feeder_areas", place)
    assert place.pop("board") == "meterline-area"
    area = boards["meterline-area"]
    (down,) = (link for link in area.links if link.board == "meterline-usage")
    values = {name: place[name] for name in down.keep}
    usage = boards["meterline-usage"]
    panels = {place.panel.key: place.panel for place in usage.places}
    connection, ask = asker(filled, Source.REVENUE)
    with connection:
        values = choose(usage, lambda sql, chosen: ask(sql, {**chosen, **values}))
        meters = ask(panels["area_meters"].sql, {**values, **place})
        assert len(meters) > 5
    place = follow("meterline-usage", "area_meters", {**values, **place})
    assert place.pop("board") == "meterline-usage"
    assert place["meter"] == meters[0]["meter"]
    for uid in ("meterline-area", "meterline-usage"):
        (up,) = (link for link in usage.links if link.board == uid)
        assert set(up.keep) == {"region", "substation", "feeder", "area"}
