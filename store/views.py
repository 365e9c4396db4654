"""What workers and ingest hold of the grid model, read from the store."""

from __future__ import annotations

from collections import defaultdict

from grid.model import UnitKind
from grid.roster import BEGINNING_US, END_US, Membership, Parentage, UnitView
from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("views")


def load_views(connection: Connection, codes: list[str]) -> dict[str, UnitView]:
    """Views of the units with these codes, as now known; codes that no unit has are left out."""
    units = connection.execute(_SQL["units"], {"codes": codes}).fetchall()
    arguments = {"unit_ids": [row[0] for row in units]}
    members: dict[int, list[Membership]] = defaultdict(list)
    for unit_id, position, meter, child_id, role, multiplier, accuracy, start, end in connection.execute(
        _SQL["members"], arguments
    ):
        members[unit_id].append(
            Membership(position, meter, child_id, role, multiplier, accuracy, _start(start), _end(end))
        )
    parents: dict[int, list[Parentage]] = defaultdict(list)
    for child_id, parent_id, parent, start, end in connection.execute(_SQL["parents"], arguments):
        parents[child_id].append(Parentage(parent_id, parent, _start(start), _end(end)))
    return {
        code: UnitView(unit_id, code, UnitKind(kind), tuple(members[unit_id]), tuple(parents[unit_id]))
        for unit_id, code, kind in units
    }


def load_directory(connection: Connection) -> dict[str, tuple[UnitKind, str | None]]:
    """Kind and sender's account of every unit by its code."""
    return {code: (UnitKind(kind), gateway) for code, kind, gateway in connection.execute(_SQL["directory"])}


def _start(microseconds: int | None) -> int:
    return BEGINNING_US if microseconds is None else microseconds


def _end(microseconds: int | None) -> int:
    return END_US if microseconds is None else microseconds
