"""The network in a real database: its load, its tracing, its board."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.range import Range
from typer.testing import CliRunner

from deploy.boards.panels.switching import SWITCHES_OFF_NORMAL, UNSUPPLIED_AREAS
from deploy.stack import StackSpec
from deploy.stack.postgres import superuser_dsn
from grid.model import GridModel
from grid.network import Segment
from meterline.cli import app
from meterline.config import load_settings
from store.connection import Connection, connect
from store.grid_writer import BEGINNING
from store.migrate import migrate
from store.topology import (
    apply_switch_position,
)
from store.trace import TraceError, trace_code
from store.wiring import read_wiring, to_us
from sync.load import load_grid
from tests.small_network import small_network, switched_model
from tests.switched_database import CLOSED, HOUR, NOON, OPEN, cut_over, everything, memberships, outbox


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, switched_model())
        yield opened


class TestLoad:
    def test_the_network_is_stored_as_it_is(self, connection: Connection) -> None:
        wiring, reported = read_wiring(connection, ["S", "T"], NOON)
        network = small_network()
        assert set(wiring.nodes) == {n.code for n in network.nodes}
        assert {e.code for e in wiring.edges} == (
            {s.code for s in network.segments} | {s.code for s in network.switches}
        ) - {"F1-B", "F2-B", "F3-B"}
        assert wiring.feeders == ("F1", "F2", "F3")
        assert {wiring.areas[a]: wiring.nodes[n] for a, n in zip(wiring.tap_area, wiring.tap_node, strict=True)} == {
            c.area: c.node for c in network.connections
        }
        assert dict(zip(wiring.switches, wiring.normal.tolist(), strict=True)) == {
            s.code: not s.is_tie for s in network.switches
        }
        assert len(reported.switch) == 0

    def test_the_same_again_changes_nothing(self, connection: Connection) -> None:
        before = everything(connection)
        assert not load_grid(connection, switched_model()).changed
        assert everything(connection) == before

    def test_a_load_doesnt_take_back_what_is_switched(self, connection: Connection) -> None:
        cut_over(connection)
        before = everything(connection)
        assert not load_grid(connection, switched_model()).changed
        assert not load_grid(connection, switched_model(), valid_from=NOON + 2 * HOUR).changed
        assert everything(connection) == before

    def test_a_load_moves_what_it_connects_behind_a_switch_that_has_moved(self, connection: Connection) -> None:
        cut_over(connection)
        later = NOON + 2 * HOUR
        rebuilt = _with_area_at(switched_model(), "F1-A", "F1-3")
        told = len(outbox(connection, "unit.resettle"))
        report = load_grid(connection, rebuilt, valid_from=later)
        assert memberships(connection, "F1-A") == [("F1", 1, Range(BEGINNING, later)), ("F2", 6, Range(later, None))]
        assert report.units_resettled == 4  # every feeder of a network that has changed, and the area
        orders = outbox(connection, "unit.resettle")[told:]
        assert {(o["unit"], o["from"]) for o in orders} == {
            (u, "2026-06-01T14:00:00Z") for u in ("F1", "F1-A", "F2", "F3")
        }
        assert len({o["model_version"] for o in orders}) == 1
        before = everything(connection)
        assert not load_grid(connection, rebuilt, valid_from=later).changed
        assert everything(connection) == before

    def test_a_segment_that_is_removed_is_no_longer_there(self, connection: Connection) -> None:
        rebuilt = _with_segments(switched_model(), without="F3-L2")
        report = load_grid(connection, rebuilt, valid_from=NOON)
        assert report.connections == 2  # one belief closed, one kept of the time before
        wiring, _ = read_wiring(connection, ["T"], NOON - HOUR)
        assert [e.valid.to_us for e in wiring.edges if e.code == "F3-L2"] == [to_us(NOON)]
        wiring, _ = read_wiring(connection, ["T"], NOON)
        assert "F3-L2" not in {e.code for e in wiring.edges}

    def test_nothing_is_in_two_places(self, connection: Connection) -> None:
        with pytest.raises(psycopg.errors.ExclusionViolation):
            connection.execute(
                """
                insert into grid.connection (switch_id, from_node_id, to_node_id, valid, recorded)
                select switch_id, to_node_id, from_node_id, tstzrange(now(), null), tstzrange(now(), null)
                from grid.connection where switch_id is not null limit 1
                """
            )
        with pytest.raises(psycopg.errors.ExclusionViolation):
            connection.execute(
                """
                insert into grid.switch_position (switch_id, position, valid)
                select switch_id, 'open', tstzrange(now() - days * interval '1 day', null)
                from (select switch_id from grid.switch limit 1) s, generate_series(1, 2) days
                """
            )


class TestTrace:
    def test_an_area_with_the_way_to_it(self, connection: Connection) -> None:
        traced = trace_code(connection, "F1-D", NOON)
        assert (traced.kind, traced.status, traced.feeders) == ("area", "radial", ("F1",))
        assert [(s.kind, s.code, s.node) for s in traced.path] == [
            ("breaker", "F1-B", "F1-1"),
            ("segment", "F1-L1", "F1-1b"),
            ("load_break", "F1-Q", "F1-2"),
            ("segment", "F1-L2", "F1-3"),
        ]
        assert [s.length_m for s in traced.path] == [0, 800, 0, 500]
        assert sum(s.resistance_ohm for s in traced.path) == pytest.approx(0.3)

    def test_as_it_was_before_and_after(self, connection: Connection) -> None:
        cut_over(connection)
        minute = timedelta(minutes=1)
        at = [NOON - minute, NOON, NOON + HOUR]
        assert [trace_code(connection, "F1-D", t).feeders for t in at] == [("F1",), (), ("F2",)]
        assert [trace_code(connection, "F1-D", t).status for t in at] == ["radial", "dead", "radial"]
        after = trace_code(connection, "F1-D", NOON + HOUR).path
        assert [s.code for s in after] == ["F2-B", "F2-L1", "F2-Q", "F2-L2", "T12"]

    def test_a_feeder_with_its_areas_and_ties(self, connection: Connection) -> None:
        traced = trace_code(connection, "F2", NOON)
        assert traced.areas == ("F2-A", "F2-C", "F2-D")
        assert {(t.code, t.feeders) for t in traced.ties} == {("T12", ("F1",)), ("T23", ("F3",))}
        cut_over(connection)
        traced = trace_code(connection, "F2", NOON + HOUR)
        assert traced.areas == ("F1-C", "F1-D", "F2-A", "F2-C", "F2-D")
        assert {(t.code, t.feeders) for t in traced.ties} == {("F1-Q", ("F1",)), ("T23", ("F3",)), ("T13", ("F3",))}
        apply_switch_position(connection, "F3-B", OPEN, NOON)
        dead = trace_code(connection, "F3", NOON)
        assert (dead.status, dead.feeders, dead.areas) == ("dead", (), ())

    def test_a_switch_with_what_hangs_on_it(self, connection: Connection) -> None:
        traced = trace_code(connection, "F1-Q", NOON)
        assert (traced.position, traced.since, traced.areas) == ("closed", None, ("F1-C", "F1-D"))
        assert [s.code for s in traced.path] == ["F1-B", "F1-L1"]
        apply_switch_position(connection, "F1-Q", OPEN, NOON)
        traced = trace_code(connection, "F1-Q", NOON + HOUR)
        assert (traced.position, traced.since, traced.areas) == ("open", NOON, ())
        assert (traced.status, traced.feeders) == ("radial", ("F1",))
        breaker = trace_code(connection, "F3-B", NOON)
        assert (breaker.position, breaker.feeders, breaker.areas) == ("closed", ("F3",), ("F3-A", "F3-C", "F3-D"))

    def test_a_tie_between_substations(self, connection: Connection) -> None:
        tie = trace_code(connection, "T23", NOON)
        assert (tie.position, tie.status, tie.feeders) == ("open", "radial", ("F2", "F3"))
        apply_switch_position(connection, "T23", CLOSED, NOON)
        tie = trace_code(connection, "T23", NOON)
        assert (tie.position, tie.status, tie.feeders, tie.areas) == ("closed", "parallel", ("F2", "F3"), ())

    def test_what_cannot_be_traced_is_said(self, connection: Connection) -> None:
        with pytest.raises(TraceError, match="no feeder, area or switch is named F9"):
            trace_code(connection, "F9", NOON)
        with pytest.raises(TraceError, match="area F1-D is not connected to the network at 1999"):
            trace_code(connection, "F1-D", NOON.replace(year=1999))

    def test_the_command(self, connection: Connection, database: Any, config_path: Path, tmp_path: Path) -> None:
        settings = config_path.read_text().replace('name = "meterline"', f'name = "{database.section.name}"')
        path = config_path.with_name(f"{database.section.name}.toml")
        path.write_text(settings)
        run = CliRunner()
        done = run.invoke(app, ["grid", "trace", "F1-D", "--config", str(path), "--json"])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["feeders"] == ["F1"]
        done = run.invoke(app, ["grid", "trace", "F1", "--config", str(path), "--at", "2026-06-01T12:00:00+08:00"])
        assert done.stdout.splitlines() == [
            "feeder F1 at 2026-06-01 04:00:00 UTC: supplied by F1",
            "areas (3): F1-A, F1-C, F1-D",
            "  open to F2: T12",
            "  open to F3: T13",
        ]
        done = run.invoke(app, ["grid", "trace", "F1-Q", "--config", str(path)])
        assert "closed, in normal state" in done.stdout
        assert "  segment      F1-L1                                           800 m" in done.stdout
        assert run.invoke(app, ["grid", "trace", "F1", "--at", "noon", "--config", str(path)]).exit_code == 2
        assert run.invoke(app, ["grid", "trace", "none", "--config", str(path)]).exit_code == 1


class TestBoard:
    def test_what_is_off_normal_and_who_has_no_supply(self, connection: Connection, database: Any) -> None:
        with psycopg.connect(database.conninfo("board"), autocommit=True) as board:
            assert board.execute(SWITCHES_OFF_NORMAL.sql.encode()).fetchall() == []
            assert board.execute(UNSUPPLIED_AREAS.sql.encode()).fetchall() == []
            now = datetime.now(UTC)
            apply_switch_position(connection, "T12", CLOSED, now - 3 * HOUR)
            apply_switch_position(connection, "F1-Q", OPEN, now - 2 * HOUR)
            apply_switch_position(connection, "F3-Q", OPEN, now - HOUR)
            rows = board.execute(SWITCHES_OFF_NORMAL.sql.encode()).fetchall()
            assert [row[:4] for row in rows] == [
                ("F3-Q", "load_break", "open", "T"),
                ("F1-Q", "load_break", "open", "S"),
                ("T12", "load_break", "closed", "S"),
            ]
            assert [row[4] for row in rows] == pytest.approx([3_600, 7_200, 10_800], abs=60)
            rows = board.execute(UNSUPPLIED_AREAS.sql.encode()).fetchall()
            assert [row[:2] for row in rows] == [("F3-C", "F3"), ("F3-D", "F3")]
            apply_switch_position(connection, "T23", CLOSED, now - HOUR / 2)
            assert board.execute(UNSUPPLIED_AREAS.sql.encode()).fetchall() == []


def test_it_works_on_plain_postgresql(stack: StackSpec, config_path: Path, template: str) -> None:
    """Without TimescaleDB and without btree_gist."""
    section = load_settings(config_path).database.model_copy(update={"name": "plain"})
    with psycopg.connect(superuser_dsn(stack), autocommit=True) as connection:
        connection.execute(f"create database plain template template0 owner {section.owner}")
        try:
            secret = section.owner_password_file.read_text().strip()
            migrate(section.host, section.port, "plain", section.owner, secret)
            with connect(section.conninfo("owner"), "test") as plain:
                plain.autocommit = True
                assert plain.execute("select extname from pg_extension").fetchall() == [("plpgsql",)]
                load_grid(plain, switched_model())
                cut_over(plain)
                assert trace_code(plain, "F1-D", NOON + HOUR).feeders == ("F2",)
        finally:
            connection.execute("drop database plain with (force)")


def _with_area_at(model: GridModel, area: str, node: str) -> GridModel:
    assert model.network is not None
    connections = tuple(dataclasses.replace(c, node=node) if c.area == area else c for c in model.network.connections)
    return dataclasses.replace(model, network=dataclasses.replace(model.network, connections=connections))


def _with_segments(model: GridModel, without: str) -> GridModel:
    assert model.network is not None
    kept: tuple[Segment, ...] = tuple(s for s in model.network.segments if s.code != without)
    return dataclasses.replace(model, network=dataclasses.replace(model.network, segments=kept))
