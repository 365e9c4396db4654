"""Where meters are, as ingest holds it: read once, then by what changes, whether the store is there or not."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import psycopg
import pytest

from grid.model import UnitKind
from grid.roster import END_US
from store.connection import Connection, connect
from store.places import StoredPlaces
from sync.load import load_grid
from tests.integration.conftest import Database
from tests.small_grid import JUNE, small_model

#: What is loaded holds from 2000 on.
LOADED_US = 946_684_800_000_000
JUNE_US = int(JUNE.timestamp()) * 1_000_000


class Clock:
    """Stands still until it is moved."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Store:
    """Opens connections, unless it is away."""

    def __init__(self, database: Database) -> None:
        self._open = partial(connect, database.conninfo("app"), "test-places")
        self.away = False
        self.opened: list[Connection] = []

    def __call__(self) -> Connection:
        if self.away:
            raise psycopg.OperationalError("connection refused")
        self.opened.append(self._open())
        return self.opened[-1]


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as connection:
        connection.autocommit = True
        load_grid(connection, small_model())
        yield connection


def stays(places: StoredPlaces, unit: str) -> list[tuple[Any, ...]]:
    found = places.units[unit]
    return list(zip(found.meters.to_pylist(), found.from_us.tolist(), found.to_us.tolist(), strict=True))


def refresh(places: StoredPlaces, clock: Clock) -> bool:
    clock.now_s += 10
    return places.refresh()


def move(connection: Connection, *units: str) -> None:
    """A2-m1 is A1's from June on, as the outbox tells of `units`."""
    connection.execute("update grid.member set valid = tstzrange(lower(valid), %s) where meter = 'A2-m1'", [JUNE])
    connection.execute(
        "insert into grid.member (unit_id, position, meter, role, valid)"
        " select unit_id, 3, 'A2-m1', 2, tstzrange(%s, null) from grid.unit where code = 'A1'",
        [JUNE],
    )
    connection.execute(
        "insert into grid.outbox (aggregatetype, aggregateid, type, payload)"
        " values ('meter', 'A2-m1', 'member.moved', jsonb_build_object('units', %s::text[]))",
        [list(units)],
    )


def move_back(connection: Connection) -> None:
    connection.execute("delete from grid.member where meter = 'A2-m1' and lower(valid) = %s", [JUNE])
    connection.execute(
        "insert into grid.outbox (aggregatetype, aggregateid, type, payload)"
        """ values ('meter', 'A2-m1', 'member.moved', '{"units": ["A1"]}')"""
    )


def test_units_that_changed_are_read_again(database: Database, connection: Connection) -> None:
    clock = Clock()
    places = StoredPlaces(Store(database), clock=clock)
    assert {code: unit.kind for code, unit in places.units.items()} == {
        "A1": UnitKind.AREA, "A2": UnitKind.AREA, "F1": UnitKind.FEEDER, "F2": UnitKind.FEEDER,
    }  # fmt: skip
    ever = LOADED_US, END_US
    assert stays(places, "A2") == [("A2-master", *ever), ("A2-m1", *ever), ("A2-m2", *ever)]
    assert not refresh(places, clock)
    move(connection, "A1", "A2")
    assert refresh(places, clock)
    assert stays(places, "A2")[1] == ("A2-m1", LOADED_US, JUNE_US)
    assert stays(places, "A1")[3] == ("A2-m1", JUNE_US, END_US)
    move_back(connection)
    assert not places.refresh()  # not asked yet
    assert refresh(places, clock)
    assert len(stays(places, "A1")) == 3
    assert not refresh(places, clock)
    places.close()


def test_while_the_store_is_away_the_last_places_serve(database: Database, connection: Connection) -> None:
    store = Store(database)
    clock = Clock()
    places = StoredPlaces(store, clock=clock)
    store.away = True
    store.opened[0].close()
    move(connection, "A1")
    assert not refresh(places, clock)
    assert not refresh(places, clock)
    assert len(stays(places, "A1")) == 3
    store.away = False
    assert refresh(places, clock)
    assert len(stays(places, "A1")) == 4
    places.close()
