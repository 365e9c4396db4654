"""Switch positions drive the topology, on a real database."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.range import Range
from typer.testing import CliRunner

from deploy.boards.panels import SWITCHES_OFF_NORMAL, UNSUPPLIED_AREAS
from grid.model import GridModel
from grid.network import Segment, SwitchPosition
from grid.topology import END_US
from meterline.cli import app
from store.connection import Connection, connect
from store.grid_writer import BEGINNING
from store.outbox import START, read_outbox
from store.parents import read_parents
from store.topology import (
    AppliedSwitch,
    SwitchNotConnectedError,
    UnknownSwitchError,
    apply_switch_position,
    model_version,
)
from store.trace import TraceError, trace_code
from store.views import load_views
from store.wiring import joined_substations, read_wiring, to_us
from sync.change import ChangeError, InvalidChangeError, apply_change, read_change
from sync.load import load_grid
from sync.relay import _change
from tests.naive.topology import feeders_over_time
from tests.small_network import small_network, switched_model

OPEN, CLOSED = SwitchPosition.OPEN, SwitchPosition.CLOSED
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ALWAYS = Range(BEGINNING, None)


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, switched_model())
        yield opened


def children(connection: Connection, feeder: str, believed: bool = True) -> list[tuple[Any, ...]]:
    return connection.execute(
        """
        select m.position, c.code, m.valid
        from grid.member m
        join grid.unit u using (unit_id)
        join grid.unit c on c.unit_id = m.child_id
        where u.code = %s and upper_inf(m.recorded) = %s
        order by m.position, lower(m.valid)
        """,
        [feeder, believed],
    ).fetchall()


def memberships(connection: Connection, area: str) -> list[tuple[Any, ...]]:
    rows = [(f, *row) for f in ("F1", "F2", "F3") for row in children(connection, f)]
    found = [(feeder, position, valid) for feeder, position, child, valid in rows if child == area]
    return sorted(found, key=lambda row: row[2].lower)


def outbox(connection: Connection, kind: str) -> list[dict[str, Any]]:
    rows = connection.execute("select payload from grid.outbox where type = %s order by id", [kind]).fetchall()
    return [row[0] for row in rows]


def positions(connection: Connection, switch: str) -> list[tuple[Any, ...]]:
    return connection.execute(
        """
        select p.position, p.valid
        from grid.switch_position p
        join grid.switch s using (switch_id)
        where s.code = %s and upper_inf(p.recorded)
        order by lower(p.valid)
        """,
        [switch],
    ).fetchall()


def everything(connection: Connection) -> list[Any]:
    return [
        connection.execute(f"select t::text from {table} t order by 1").fetchall()
        for table in ("grid.member", "grid.switch_position", "grid.connection", "grid.outbox")
    ]


def cut_over(connection: Connection, at: datetime = NOON) -> AppliedSwitch:
    """F1's outer part goes to F2: open before close."""
    apply_switch_position(connection, "F1-Q", OPEN, at)
    return apply_switch_position(connection, "T12", CLOSED, at + HOUR)


class TestApply:
    def test_areas_move_exactly_then(self, connection: Connection) -> None:
        opened = apply_switch_position(connection, "F1-Q", OPEN, NOON)
        assert opened.dead == ("F1-C", "F1-D")
        assert opened.units == ("F1", "F1-C", "F1-D")
        assert [(m.area, m.before, m.after) for m in opened.moves] == [("F1-C", "F1", None), ("F1-D", "F1", None)]
        closed = apply_switch_position(connection, "T12", CLOSED, NOON + HOUR)
        assert closed.units == ("F1-C", "F1-D", "F2")
        assert children(connection, "F1") == [
            (1, "F1-A", ALWAYS),
            (2, "F1-C", Range(BEGINNING, NOON)),
            (3, "F1-D", Range(BEGINNING, NOON)),
        ]
        assert children(connection, "F2")[3:] == [
            (4, "F1-C", Range(NOON + HOUR, None)),
            (5, "F1-D", Range(NOON + HOUR, None)),
        ]
        view = load_views(connection, ["F1-D"])["F1-D"]
        at = [to_us(NOON + timedelta(minutes=m)) for m in (0, 15, 61)]
        assert [[p.parent for p in view.parents_at(t)] for t in at] == [["F1"], [], ["F2"]]

    def test_what_is_told(self, connection: Connection) -> None:
        applied = apply_switch_position(connection, "F1-Q", OPEN, NOON)
        assert applied.recorded_at is not None
        assert outbox(connection, "switch.position") == [
            {
                "switch": "F1-Q",
                "position": "open",
                "before": "closed",
                "valid_from": "2026-06-01T12:00:00Z",
                "valid_to": None,
                "dead": ["F1-C", "F1-D"],
                "parallel": [],
                "units": ["F1", "F1-C", "F1-D"],
            }
        ]
        version = model_version(applied.recorded_at)
        assert outbox(connection, "unit.resettle") == [
            {"unit": unit, "from": "2026-06-01T12:00:00Z", "to": None, "model_version": version}
            for unit in ("F1", "F1-C", "F1-D")
        ]
        rows = connection.execute(
            "select id, aggregatetype, aggregateid, recorded_at from grid.outbox where type = 'switch.position'"
        ).fetchall()
        assert rows == [(applied.outbox_id, "switch", "F1-Q", applied.recorded_at)]

    def test_the_same_again_changes_nothing(self, connection: Connection) -> None:
        cut_over(connection)
        before = everything(connection)
        assert apply_switch_position(connection, "F1-Q", OPEN, NOON) == AppliedSwitch()
        assert apply_switch_position(connection, "T12", CLOSED, NOON + HOUR) == AppliedSwitch()
        assert everything(connection) == before

    def test_a_member_that_comes_back_has_its_old_position(self, connection: Connection) -> None:
        cut_over(connection)
        later = NOON + 3 * HOUR
        apply_switch_position(connection, "T12", OPEN, later)
        apply_switch_position(connection, "F1-Q", CLOSED, later)
        assert children(connection, "F1")[1:3] == [
            (2, "F1-C", Range(BEGINNING, NOON)),
            (2, "F1-C", Range(later, None)),
        ]
        assert children(connection, "F2")[3:] == [
            (4, "F1-C", Range(NOON + HOUR, later)),
            (5, "F1-D", Range(NOON + HOUR, later)),
        ]

    def test_in_parallel_areas_stay_until_the_switch_between_them_opens(self, connection: Connection) -> None:
        """Close before open, so that nobody is cut off."""
        tied = apply_switch_position(connection, "T12", CLOSED, NOON)
        assert tied.moves == ()
        assert tied.units == ()
        assert tied.parallel == ("F1-A", "F1-C", "F1-D", "F2-A", "F2-C", "F2-D")
        assert outbox(connection, "switch.position")[-1]["parallel"] == list(tied.parallel)
        apply_switch_position(connection, "F1-Q", OPEN, NOON + HOUR)
        assert memberships(connection, "F1-D") == [
            ("F1", 3, Range(BEGINNING, NOON + HOUR)),
            ("F2", 5, Range(NOON + HOUR, None)),
        ]

    def test_a_late_report_corrects_up_to_the_next_known_one(self, connection: Connection) -> None:
        apply_switch_position(connection, "F1-Q", OPEN, NOON)
        apply_switch_position(connection, "T12", CLOSED, NOON + 4 * HOUR)
        recorded = connection.execute("select max(lower(recorded)) from grid.member").fetchone()
        late = apply_switch_position(connection, "F1-Q", CLOSED, NOON + HOUR)
        # When the tie is closed it is in parallel, so from then on it stays with F1.
        assert memberships(connection, "F1-D") == [
            ("F1", 3, Range(BEGINNING, NOON)),
            ("F1", 3, Range(NOON + HOUR, None)),
        ]
        assert [(m.from_us, m.to_us, m.before, m.after) for m in late.moves if m.area == "F1-D"] == [
            (to_us(NOON + HOUR), to_us(NOON + 4 * HOUR), None, "F1"),
            (to_us(NOON + 4 * HOUR), END_US, "F2", "F1"),
        ]
        apply_switch_position(connection, "F1-Q", OPEN, NOON + 2 * HOUR)
        assert positions(connection, "F1-Q") == [
            ("open", Range(NOON, NOON + HOUR)),
            ("closed", Range(NOON + HOUR, NOON + 2 * HOUR)),
            ("open", Range(NOON + 2 * HOUR, None)),
        ]
        assert memberships(connection, "F1-D") == [
            ("F1", 3, Range(BEGINNING, NOON)),
            ("F1", 3, Range(NOON + HOUR, NOON + 2 * HOUR)),
            ("F2", 5, Range(NOON + 4 * HOUR, None)),
        ]
        # What was believed before can still be read.
        was = connection.execute(
            """
            select u.code, m.valid from grid.member m
            join grid.unit u using (unit_id) join grid.unit c on c.unit_id = m.child_id
            where c.code = 'F1-D' and m.recorded @> %s::timestamptz order by lower(m.valid)
            """,
            [recorded[0] if recorded else None],
        ).fetchall()
        assert was == [("F1", Range(BEGINNING, NOON)), ("F2", Range(NOON + 4 * HOUR, None))]

    def test_a_resettlement_ends_where_the_correction_does(self, connection: Connection) -> None:
        apply_switch_position(connection, "F1-Q", CLOSED, NOON + 2 * HOUR)  # as it was: kept, nobody is told
        assert outbox(connection, "switch.position") == []
        late = apply_switch_position(connection, "F1-Q", OPEN, NOON)
        assert outbox(connection, "unit.resettle")[-1] == {
            "unit": "F1-D",
            "from": "2026-06-01T12:00:00Z",
            "to": "2026-06-01T14:00:00Z",
            "model_version": model_version(late.recorded_at or NOON),
        }
        assert outbox(connection, "switch.position")[-1]["valid_to"] == "2026-06-01T14:00:00Z"
        assert memberships(connection, "F1-D") == [
            ("F1", 3, Range(BEGINNING, NOON)),
            ("F1", 3, Range(NOON + 2 * HOUR, None)),
        ]

    def test_another_position_for_the_same_instant_replaces_it(self, connection: Connection) -> None:
        before = children(connection, "F1")
        apply_switch_position(connection, "F1-Q", OPEN, NOON)
        apply_switch_position(connection, "F1-Q", CLOSED, NOON)
        assert positions(connection, "F1-Q") == [("closed", Range(NOON, None))]
        assert children(connection, "F1") == before

    def test_a_breaker_that_opens_leaves_its_feeder_dead(self, connection: Connection) -> None:
        applied = apply_switch_position(connection, "F3-B", OPEN, NOON)
        assert applied.dead == ("F3-A", "F3-C", "F3-D")
        assert applied.units == ("F3", "F3-A", "F3-C", "F3-D")

    def test_a_tie_to_another_substation(self, connection: Connection) -> None:
        assert joined_substations(connection, ["S"], NOON) == ["S"]
        apply_switch_position(connection, "F2-Q", OPEN, NOON)
        applied = apply_switch_position(connection, "T23", CLOSED, NOON)
        assert applied.units == ("F2-C", "F2-D", "F3")
        assert joined_substations(connection, ["S"], NOON) == ["S", "T"]
        # From the other side: what F3 loses, F2's areas lose too.
        lost = apply_switch_position(connection, "F3-B", OPEN, NOON + HOUR)
        assert set(lost.dead) == {"F2-C", "F2-D", "F3-A", "F3-C", "F3-D"}

    def test_what_is_not_known_is_said(self, connection: Connection) -> None:
        before = everything(connection)
        with pytest.raises(UnknownSwitchError, match="no switch Q9"):
            apply_switch_position(connection, "Q9", OPEN, NOON)
        with pytest.raises(SwitchNotConnectedError, match="connected to nothing at 1999"):
            apply_switch_position(connection, "F1-Q", OPEN, NOON.replace(year=1999))
        with pytest.raises(ValueError, match="time zone"):
            apply_switch_position(connection, "F1-Q", OPEN, NOON.replace(tzinfo=None))
        assert everything(connection) == before

    @pytest.mark.parametrize("seed", range(4))
    def test_any_order_gives_what_the_oracle_says(self, connection: Connection, seed: int) -> None:
        rng = random.Random(seed)  # noqa: S311  # not for secrets
        network = small_network()
        reports = {(rng.choice(network.switches).code, rng.randrange(10)): rng.random() < 0.5 for _ in range(14)}
        arriving = [(switch, at, closed) for (switch, at), closed in reports.items()]
        rng.shuffle(arriving)
        for switch, at, closed in arriving * 2:
            apply_switch_position(connection, switch, CLOSED if closed else OPEN, NOON + at * HOUR)
        wanted = feeders_over_time(
            [(s.code, s.from_node, s.to_node) for s in network.segments],
            {s.code: (s.from_node, s.to_node, not s.is_tie) for s in network.switches},
            {h.feeder: (h.node, str(h.breaker)) for h in network.heads},
            {c.area: c.node for c in network.connections},
            reports,
            12,
        )
        parents = read_parents(connection, list(wanted))
        found = {area: [parents.at(area, to_us(NOON + t * HOUR)) for t in range(12)] for area in wanted}
        assert found == wanted
        assert {parents.at(area, to_us(NOON - HOUR)) == area[:2] for area in wanted} == {True}
        load_grid(connection, switched_model())
        parents = read_parents(connection, list(wanted))
        assert found == {area: [parents.at(area, to_us(NOON + t * HOUR)) for t in range(12)] for area in wanted}


class TestChange:
    BODY = b'{"kind":"switch_position","switch":"F1-Q","position":"open","at":"2026-06-01T14:00:00+02:00"}'

    def test_a_change_is_a_report(self, connection: Connection) -> None:
        applied = apply_change(connection, read_change(self.BODY))
        assert applied.units == ("F1", "F1-C", "F1-D")
        assert positions(connection, "F1-Q") == [("open", Range(NOON, None))]
        assert apply_change(connection, read_change(self.BODY)).outbox_id is None

    def test_it_can_be_told(self, connection: Connection) -> None:
        told = len(read_outbox(connection, START, 1_000))
        apply_change(connection, read_change(self.BODY))
        change = _change(read_outbox(connection, START, 1_000)[told])
        assert (change.aggregatetype, change.aggregateid, change.type) == ("switch", "F1-Q", "switch.position")
        assert change.payload["units"] == ["F1", "F1-C", "F1-D"]

    def test_what_cannot_be_done_is_said(self, connection: Connection) -> None:
        with pytest.raises(ChangeError, match="no switch none"):
            apply_change(connection, read_change(self.BODY.replace(b"F1-Q", b"none")))
        with pytest.raises(InvalidChangeError, match=r"position"):
            read_change(self.BODY.replace(b'"open"', b'"ajar"'))


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
        assert run.invoke(app, ["grid", "trace", "F1", "--at", "2026-06-01", "--config", str(path)]).exit_code == 2
        assert run.invoke(app, ["grid", "trace", "none", "--config", str(path)]).exit_code == 1


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


def _with_segments(model: GridModel, without: str) -> GridModel:
    assert model.network is not None
    kept: tuple[Segment, ...] = tuple(s for s in model.network.segments if s.code != without)
    return dataclasses.replace(model, network=dataclasses.replace(model.network, segments=kept))
