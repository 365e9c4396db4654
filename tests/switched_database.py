"""What the tests of switching ask the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.types.range import Range

from grid.network import SwitchPosition
from store.connection import Connection
from store.grid_writer import BEGINNING
from store.topology import AppliedSwitch, apply_switch_position

OPEN, CLOSED = SwitchPosition.OPEN, SwitchPosition.CLOSED
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ALWAYS = Range(BEGINNING, None)


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
