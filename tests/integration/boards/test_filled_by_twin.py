"""Every panel of every board on a database that the twin has filled: rows, places from the region down, no error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg.rows import dict_row

from deploy.boards.feeder import FEEDER
from deploy.boards.macros import bind
from deploy.boards.model import Board, Source, Variable
from deploy.boards.panels import feeder
from deploy.boards.registry import BOARDS
from grid.limits import Limits
from grid.thresholds import Thresholds
from meterline.city_files import write_city
from meterline.day_changes import explain_days
from meterline.points_file import read_points
from meterline.replaying import ReplayOptions, provide_model, replay
from store.connection import Connection, connect
from store.points import load_points
from streams.periods import refresh_periods
from streams.steps.periods import PeriodRules
from tests.integration.boards.twin_findings import find
from tests.integration.conftest import Database
from twin.city import City, CityPlan
from twin.event_text import parse_plan

ZONE = ZoneInfo("Europe/Berlin")
#: What has nothing to show where this is all that happened.
NOTHING_WRONG = {
    # Nothing is late enough to restate a day, and no time has passed that a repair could bring anything in.
    "restatements", "benefit_entries", "benefit_items",
    # Everything came and was taken, by no worker.
    "gaps", "rejected", "workers", "lag", "flush",
}  # fmt: skip
#: Beyond them nothing is looked for.
MOST_PLACES = 500

Ask = Callable[[str, Mapping[str, str]], list[dict[str, Any]]]


@pytest.fixture
def filled(tmp_path: Path, make_database: Callable[[], Database]) -> Database:
    """Two days of six areas up to last midnight, with thieves and errors, as the twin sent them."""
    midnight = datetime.now(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    begin = (midnight - timedelta(hours=36)).replace(hour=0)
    plan = CityPlan(round(begin.timestamp()), 2, ZONE, areas=6, seed=4, counts=parse_plan("default"))
    city = City(plan)
    write_city(city, tmp_path / "city")
    database = make_database()
    open_target = partial(connect, database.conninfo("owner"), "test")
    with open_target() as connection:
        provide_model(open_target, tmp_path / "city" / "grid.json", None)
        load_points(connection, read_points(tmp_path / "city" / "points.json"))
        connection.commit()
    assert replay(ReplayOptions(files=(tmp_path / "city" / "messages.parquet",)), open_target).complete
    with open_target() as connection:
        connection.autocommit = True
        # What is due is asked for as of a little later, when all of it is closed.
        until, done = datetime.now(UTC) + timedelta(seconds=5), None
        while not summed_up(connection) or (done is not None and done.more):
            done = refresh_periods(connection, PeriodRules(Limits(), Thresholds()), ZONE, until=until)
        assert explain_days(connection, ZONE, midnight.date()) == 1
    # As the services do, without their owner's rights.
    with connect(database.conninfo("app"), "test") as connection:
        connection.autocommit = True
        find(connection, city, tmp_path, midnight, ZONE)
    return database


def summed_up(connection: Connection) -> bool:
    """What was written just now, or while another transaction runs, is left for the next look."""
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
                        assert any(ask(sql, values) for values in places) or key in NOTHING_WRONG, (board.uid, key)
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
    assert [rows["before"]["to_wh"], rows["after"]["to_wh"]] == [day["loss_wh"] for day in published]
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
