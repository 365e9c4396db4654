"""The grid model's load and its changes on a real database."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.types.range import Range

from grid.model import Feeder, GridModel, Meter, Role, Substation, TransformerArea, UnitKind
from store import grid_writer
from store.connection import Connection, connect
from store.grid_writer import BEGINNING
from store.views import load_views, read_model_version
from sync.change import (
    MeterNotInstalledError,
    UnknownAccountError,
    UnknownMeterError,
    UnknownUnitError,
    apply_change,
    read_change,
)
from sync.load import InvalidModelError, load_grid
from tests.small_grid import JUNE, small_model
from tests.waiting import Promise


def with_multiplier(model: GridModel, meter: str, multiplier: int) -> GridModel:
    meters = tuple(dataclasses.replace(m, multiplier=multiplier) if m.code == meter else m for m in model.meters)
    return dataclasses.replace(model, meters=meters)


@pytest.fixture
def conninfo(database: Any) -> str:
    return str(database.conninfo("app"))


@pytest.fixture
def connection(conninfo: str) -> Iterator[Connection]:
    with connect(conninfo, "test") as opened:
        opened.autocommit = True
        yield opened


def members(connection: Connection, unit: str, believed: bool = True) -> list[tuple[Any, ...]]:
    return connection.execute(
        """
        select m.position, coalesce(m.meter, c.code), m.role, m.multiplier, m.valid
        from grid.member m
        join grid.unit u using (unit_id)
        left join grid.unit c on c.unit_id = m.child_id
        where u.code = %s and upper_inf(m.recorded) = %s
        order by m.position, lower(m.valid)
        """,
        [unit, believed],
    ).fetchall()


def outbox(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute("select aggregateid, type, payload from grid.outbox order by id").fetchall()


ALWAYS = Range(BEGINNING, None)


@pytest.mark.parametrize("many", [0, 1_000])
def test_after_a_large_load_the_planner_knows_the_tables(
    connection: Connection, database: Any, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(grid_writer, "_MANY", many)
    load_grid(connection, small_model())
    with connect(database.conninfo("owner"), "test") as owner:
        known = {
            table for (table,) in owner.execute("select distinct tablename from pg_stats where schemaname = 'grid'")
        }
    assert ({"member", "meter_state", "unit_state"} <= known) is (many == 0)


class TestLoad:
    def test_a_model_becomes_rosters(self, connection: Connection) -> None:
        report = load_grid(connection, small_model())
        assert (report.substations, report.units, report.accounts, report.meters) == (1, 4, 4, 8)
        assert report.members_written == 8 + 2
        assert members(connection, "F1") == [
            (0, "F1-head", 1, 40, ALWAYS),
            (1, "A1", 4, 1, ALWAYS),
            (2, "A2", 4, 1, ALWAYS),
        ]
        assert members(connection, "A1") == [
            (0, "A1-master", 1, 60, ALWAYS),
            (1, "A1-m1", 2, 1, ALWAYS),
            (2, "A1-m2", 2, 1, ALWAYS),
        ]
        assert [row[0] for row in outbox(connection)] == ["F1", "F2", "A1", "A2"]
        gateways: dict[str, str] = dict(connection.execute("select code, gateway from grid.unit").fetchall())
        assert gateways == {"F1": "rtu", "F2": "rtu", "A1": "headend", "A2": "headend"}
        view = load_views(connection, ["A1"])["A1"]
        assert [p.parent for p in view.parents] == ["F1"]
        assert view.roster(1_780_000_000_000_000, 900).multiplier.tolist() == [60, 1, 1]
        assert view.medium_voltage_v == 20_000

    def test_the_same_again_changes_and_tells_nothing(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        before = connection.execute("select m.* from grid.member m").fetchall()
        told = len(outbox(connection))
        report = load_grid(connection, small_model())
        assert not report.changed
        assert report.units_announced == 0
        assert connection.execute("select m.* from grid.member m").fetchall() == before
        assert len(outbox(connection)) == told

    def test_a_correction_closes_what_was_believed(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        told = len(outbox(connection))
        report = load_grid(connection, with_multiplier(small_model(), "A1-master", 80))
        assert (report.members_closed, report.members_written, report.units_announced) == (1, 1, 1)
        assert members(connection, "A1")[-1] == (3, "A1-master", 1, 80, ALWAYS)
        assert members(connection, "A1", believed=False) == [(0, "A1-master", 1, 60, ALWAYS)]
        assert [row[:2] for row in outbox(connection)[told:]] == [("A1", "unit.loaded"), ("A1", "unit.resettle")]
        load_grid(connection, small_model())
        assert members(connection, "A1")[0] == (0, "A1-master", 1, 60, ALWAYS)

    def test_a_load_from_a_later_instant_keeps_the_time_before(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        load_grid(connection, with_multiplier(small_model(), "A1-master", 80), valid_from=JUNE)
        assert members(connection, "A1")[0] == (0, "A1-master", 1, 60, Range(BEGINNING, JUNE))
        assert members(connection, "A1")[3] == (3, "A1-master", 1, 80, Range(JUNE, None))

    def test_an_area_that_moves_keeps_its_positions_and_tells_three_units(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        told = len(outbox(connection))
        load_grid(connection, small_model(A1="F2"), valid_from=JUNE)
        assert members(connection, "F1")[1:] == [
            (1, "A1", 4, 1, Range(BEGINNING, JUNE)),
            (2, "A2", 4, 1, ALWAYS),
        ]
        assert members(connection, "F2")[1:] == [(1, "A1", 4, 1, Range(JUNE, None))]
        rows = outbox(connection)[told:]
        assert sorted(row[0] for row in rows if row[1] == "unit.loaded") == ["A1", "F1", "F2"]
        orders = [row[2] for row in rows if row[1] == "unit.resettle"]
        assert sorted(order["unit"] for order in orders) == ["A1", "F1", "F2"]
        assert {(order["from"], order["to"]) for order in orders} == {("2026-06-01T00:00:00Z", None)}
        july = JUNE + timedelta(days=30)
        load_grid(connection, small_model(), valid_from=july)
        assert members(connection, "F1")[1:] == [
            (1, "A1", 4, 1, Range(BEGINNING, JUNE)),
            (1, "A1", 4, 1, Range(july, None)),
            (2, "A2", 4, 1, ALWAYS),
        ]
        assert members(connection, "F2")[1:] == [(1, "A1", 4, 1, Range(JUNE, july))]

    def test_a_new_meter_is_appended_after_one_that_has_left(self, connection: Connection) -> None:
        model = small_model()
        load_grid(connection, model)
        left = dataclasses.replace(model, meters=tuple(m for m in model.meters if m.code != "A1-m2"))
        load_grid(connection, left, valid_from=JUNE)
        swapped = dataclasses.replace(left, meters=(*left.meters, Meter("A1-m3", "A1", Role.CUSTOMER)))
        load_grid(connection, swapped, valid_from=JUNE)
        assert members(connection, "A1")[2:] == [
            (2, "A1-m2", 2, 1, Range(BEGINNING, JUNE)),
            (3, "A1-m3", 2, 1, Range(JUNE, None)),
        ]

    def test_a_gateways_class_concerns_the_unit_above(self, connection: Connection) -> None:
        model = small_model()
        load_grid(connection, model)
        told = len(outbox(connection))
        meters = tuple(dataclasses.replace(m, accuracy_class=0.2) if m.code == "A1-master" else m for m in model.meters)
        load_grid(connection, dataclasses.replace(model, meters=meters))
        assert sorted(row[:2] for row in outbox(connection)[told:]) == [
            ("A1", "unit.loaded"),
            ("A1", "unit.resettle"),
            ("F1", "unit.loaded"),
            ("F1", "unit.resettle"),
        ]

    def test_a_model_that_contradicts_itself_is_refused_whole(self, connection: Connection) -> None:
        model = dataclasses.replace(small_model(), feeder_gateways={"F1": "rtu"})
        with pytest.raises(InvalidModelError, match="feeder F2 names no account"):
            load_grid(connection, model)
        assert connection.execute("select count(*) from grid.unit").fetchone() == (0,)

    def test_33000_meters_load_within_seconds(self, connection: Connection, promise: Promise) -> None:
        areas = tuple(TransformerArea(f"A{i}", f"A{i}", UnitKind.AREA, "g", f"F{i % 30}") for i in range(412))
        meters = [Meter(f"{a.code}-m{i}", a.code, Role.CUSTOMER) for a in areas for i in range(80)]
        feeders = tuple(Feeder(f"F{i}", f"F{i}", "S") for i in range(30))
        model = GridModel(
            (Substation("S", "S", 110_000, 20_000),),
            feeders,
            areas,
            tuple(meters),
            feeder_gateways={f.code: "rtu" for f in feeders},
        )
        started = time.perf_counter()
        report = load_grid(connection, model)
        first = time.perf_counter() - started
        assert report.meters == 32_960
        assert not load_grid(connection, model).changed
        promise("32,960 meters are loaded", first, 10)


class TestChange:
    def test_a_multiplier_splits_the_valid_period(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        told = len(outbox(connection))
        body = (
            b'{"kind":"meter_multiplier","meter":"A1-master","multiplier":80,"valid_from":"2026-06-01T02:00:00+02:00"}'
        )
        applied = apply_change(connection, read_change(body))
        assert applied.units == ("A1",)
        assert members(connection, "A1")[0] == (0, "A1-master", 1, 60, Range(BEGINNING, JUNE))
        assert members(connection, "A1")[3] == (3, "A1-master", 1, 80, Range(JUNE, None))
        assert members(connection, "A1", believed=False) == [(0, "A1-master", 1, 60, ALWAYS)]
        assert applied.resettled == ("A1", "F1")
        (entity, kind, payload), *orders = outbox(connection)[told:]
        assert [row[0] for row in orders] == ["A1", "F1"]
        assert orders[0][2] == {
            "unit": "A1",
            "from": "2026-06-01T00:00:00Z",
            "to": None,
            "model_version": read_model_version(connection),
        }
        assert (entity, kind) == ("A1-master", "meter.multiplier")
        assert payload == {
            "meter": "A1-master",
            "multiplier": 80,
            "before": 60,
            "valid_from": "2026-06-01T00:00:00Z",
            "valid_to": None,
            "unit": "A1",
            "units": ["A1"],
        }
        recorded = connection.execute(
            "select distinct upper(recorded) from grid.member where not upper_inf(recorded)"
        ).fetchall()
        assert recorded == [(applied.recorded_at,)]

    def test_the_same_again_changes_nothing(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        body = b'{"kind":"meter_multiplier","meter":"A1-master","multiplier":80,"valid_from":"2026-06-01T00:00:00Z"}'
        apply_change(connection, read_change(body))
        before, told = members(connection, "A1"), outbox(connection)
        assert apply_change(connection, read_change(body)).outbox_id is None
        assert (members(connection, "A1"), outbox(connection)) == (before, told)

    def test_an_earlier_change_holds_until_the_next_that_is_known(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        for multiplier, month in ((80, 6), (70, 3)):
            body = {
                "kind": "meter_multiplier",
                "meter": "A1-master",
                "multiplier": multiplier,
                "valid_from": f"2026-{month:02}-01T00:00:00Z",
            }
            apply_change(connection, read_change(json.dumps(body).encode()))
        march = datetime(2026, 3, 1, tzinfo=UTC)
        assert [(row[0], row[3], row[4]) for row in members(connection, "A1") if row[1] == "A1-master"] == [
            (0, 60, Range(BEGINNING, march)),
            (3, 80, Range(JUNE, None)),
            (4, 70, Range(march, JUNE)),
        ]

    def test_two_changes_in_one_transaction(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        with connection.transaction():
            for multiplier in (80, 90):
                body = {
                    "kind": "meter_multiplier",
                    "meter": "A1-master",
                    "multiplier": multiplier,
                    "valid_from": "2026-06-01T00:00:00Z",
                }
                apply_change(connection, read_change(json.dumps(body).encode()))
        assert [row[3] for row in members(connection, "A1") if row[1] == "A1-master"] == [60, 90]

    def test_account_and_name(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        told = len(outbox(connection))
        closed = read_change(b'{"kind":"account_status","account":"A1-account1","status":"closed"}')
        assert apply_change(connection, closed).units == ("A1",)
        assert apply_change(connection, closed).outbox_id is None
        named = read_change('{"kind":"unit_name","unit":"A2","name":"北院 2"}'.encode())
        assert apply_change(connection, named).units == ("A2",)
        assert [(row[1], row[2].get("before")) for row in outbox(connection)[told:]] == [
            ("account.status", "active"),
            ("unit.resettle", None),
            ("unit.name", "Area A2"),
        ]
        assert connection.execute("select name from grid.unit where code = 'A2'").fetchone() == ("北院 2",)

    @pytest.mark.parametrize(
        ("body", "error"),
        [
            (
                '{"kind":"meter_multiplier","meter":"no","multiplier":2,"valid_from":"2026-06-01T00:00:00Z"}',
                UnknownMeterError,
            ),
            (
                '{"kind":"meter_multiplier","meter":"A1-master","multiplier":2,"valid_from":"1999-06-01T00:00:00Z"}',
                MeterNotInstalledError,
            ),
            ('{"kind":"account_status","account":"no","status":"closed"}', UnknownAccountError),
            ('{"kind":"unit_name","unit":"no","name":"x"}', UnknownUnitError),
        ],
    )
    def test_what_is_not_known_is_said(self, connection: Connection, body: str, error: type[Exception]) -> None:
        load_grid(connection, small_model())
        told = outbox(connection)
        with pytest.raises(error):
            apply_change(connection, read_change(body.encode()))
        assert outbox(connection) == told

    def test_a_change_that_fails_leaves_no_trace(self, connection: Connection, database: Any) -> None:
        load_grid(connection, small_model())
        before, told = members(connection, "A1"), outbox(connection)
        with connect(database.conninfo("owner"), "owner") as owner:
            owner.execute("alter table grid.outbox add check (type <> 'meter.multiplier')")
        body = b'{"kind":"meter_multiplier","meter":"A1-master","multiplier":80,"valid_from":"2026-06-01T00:00:00Z"}'
        with pytest.raises(psycopg.errors.CheckViolation):
            apply_change(connection, read_change(body))
        assert (members(connection, "A1"), outbox(connection)) == (before, told)
