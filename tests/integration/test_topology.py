"""Switch positions drive the topology, on a real database."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from psycopg.types.range import Range

from grid.topology import END_US
from store.connection import Connection, connect
from store.grid_writer import BEGINNING
from store.outbox import START, read_outbox
from store.parents import read_parents
from store.topology import (
    AppliedSwitch,
    SwitchNotConnectedError,
    UnknownSwitchError,
    apply_switch_position,
)
from store.views import load_views
from store.wiring import joined_substations, to_us
from sync.change import ChangeError, InvalidChangeError, apply_change, read_change
from sync.load import load_grid
from sync.relay import _change
from tests.naive.topology import feeders_over_time
from tests.small_network import small_network, switched_model
from tests.switched_database import (
    ALWAYS,
    CLOSED,
    HOUR,
    NOON,
    OPEN,
    children,
    cut_over,
    everything,
    memberships,
    outbox,
    positions,
)


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, switched_model())
        yield opened


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
        at = [to_us(NOON + timedelta(minutes=m)) for m in (0, 5, 15, 75)]
        assert [[p.parent for p in view.parents_over(t, 900)] for t in at] == [["F1"], ["F1"], [], ["F2"]]

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
        version = _version(connection)
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
        apply_switch_position(connection, "F1-Q", OPEN, NOON)
        assert outbox(connection, "unit.resettle")[-1] == {
            "unit": "F1-D",
            "from": "2026-06-01T12:00:00Z",
            "to": "2026-06-01T14:00:00Z",
            "model_version": _version(connection),
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
    BODY = b'{"kind":"switch_position","switch":"F1-Q","position":"open","valid_from":"2026-06-01T14:00:00+02:00"}'

    def test_a_change_is_a_report(self, connection: Connection) -> None:
        applied = apply_change(connection, read_change(self.BODY))
        assert applied.units == ("F1", "F1-C", "F1-D")
        assert positions(connection, "F1-Q") == [("open", Range(NOON, None))]
        assert apply_change(connection, read_change(self.BODY)).outbox_id is None

    def test_a_switch_has_the_last_word_on_what_it_concerns(self, connection: Connection) -> None:
        """A change may name another feeder than the switches do, until a switch between the area and its head moves."""
        named = b'{"kind":"unit_parent","unit":"F1-D","parent":"F3","valid_from":"2026-06-01T10:00:00Z"}'
        apply_change(connection, read_change(named))
        apply_switch_position(connection, "F2-Q", OPEN, NOON - HOUR)
        assert memberships(connection, "F1-D")[-1] == ("F3", 4, Range(NOON - 2 * HOUR, None))
        applied = apply_change(connection, read_change(self.BODY))
        assert memberships(connection, "F1-D") == [
            ("F1", 3, Range(BEGINNING, NOON - 2 * HOUR)),
            ("F3", 4, Range(NOON - 2 * HOUR, NOON)),
        ]
        assert applied.resettled == ("F1", "F1-C", "F1-D", "F3")

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


def _version(connection: Connection) -> int:
    row = connection.execute("select version from grid.model_version").fetchone()
    assert row is not None
    return int(row[0])
