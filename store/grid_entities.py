"""Entities that come and go: substations, units, accounts, usage points, and the equipment of the network."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import LiteralString

from grid.membership import MemberPeriod
from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("grid_entities")


def find_substation(connection: Connection, code: str) -> tuple[str, int, int] | None:
    """Name, high and medium voltage of a substation; None when there is none."""
    row = connection.execute(_SQL["substation"], {"code": code}).fetchone()
    return None if row is None else (row[0], row[1], row[2])


def add_substation(connection: Connection, code: str, name: str, high_voltage_v: int, medium_voltage_v: int) -> None:
    """Make a substation known."""
    arguments = {"code": code, "name": name, "high_voltage_v": high_voltage_v, "medium_voltage_v": medium_voltage_v}
    connection.execute(_SQL["add_substation"], arguments)


def add_unit(connection: Connection, code: str, kind: str, values: Mapping[str, object]) -> int:
    """Make a unit known; returns its number."""
    return _number(connection, "add_unit", {"code": code, "kind": kind, **values})


def add_account(connection: Connection, code: str, values: Mapping[str, object]) -> int:
    """Make an account known; returns its number."""
    return _number(connection, "add_account", {"code": code, **values})


def ensure_usage_point(connection: Connection, code: str) -> int:
    """Number of a usage point, which is made where it isn't known."""
    return _number(connection, "usage_point", {"code": code})


def read_members(connection: Connection, unit: str, at: datetime) -> list[MemberPeriod]:
    """Members of a unit from an instant on, as now believed."""
    return [MemberPeriod(*row) for row in connection.execute(_SQL["members"], {"unit": unit, "at": at})]


def read_parents_of(connection: Connection, child_id: int, at: datetime) -> list[MemberPeriod]:
    """Memberships of a unit in units of all kinds from an instant on, as now believed."""
    arguments = {"child_id": child_id, "at": at}
    return [MemberPeriod(*row) for row in connection.execute(_SQL["memberships_of_child"], arguments)]


def find_node(connection: Connection, code: str) -> int | None:
    """Number of a connectivity node; None when there is none."""
    return _found(connection, "node", code)


def add_node(connection: Connection, code: str, substation: str) -> int:
    """Make a connectivity node known; returns its number."""
    return _number(connection, "add_node", {"code": code, "substation": substation})


def find_segment(connection: Connection, code: str) -> int | None:
    """Number of a line segment; None when there is none."""
    return _found(connection, "segment", code)


def add_segment(connection: Connection, code: str, length_m: float, resistance_ohm: float, reactance_ohm: float) -> int:
    """Make a line segment known; returns its number."""
    arguments = {"code": code, "length_m": length_m, "resistance_ohm": resistance_ohm, "reactance_ohm": reactance_ohm}
    return _number(connection, "add_segment", arguments)


def find_switch(connection: Connection, code: str) -> int | None:
    """Number of a switch; None when there is none."""
    return _found(connection, "switch", code)


def add_switch(connection: Connection, code: str, kind: str, normal: str) -> int:
    """Make a switch known; returns its number."""
    return _number(connection, "add_switch", {"code": code, "kind": kind, "normal": normal})


def set_normal(connection: Connection, code: str, normal: str) -> bool:
    """Say how a switch stands while nothing is reported; whether that is another position than before."""
    return connection.execute(_SQL["set_normal"], {"code": code, "normal": normal}).rowcount > 0


def element_of(*, segment_id: int | None = None, switch_id: int | None = None, unit_id: int | None = None) -> int:
    """Number of a piece of equipment among all that is connected."""
    if segment_id is not None:
        return segment_id * 3
    if switch_id is not None:
        return switch_id * 3 + 1
    assert unit_id is not None  # noqa: S101  # one of the three
    return unit_id * 3 + 2


def read_connections(
    connection: Connection, element: int, at: datetime
) -> list[tuple[int, int | None, int | None, datetime | None, datetime | None]]:
    """Nodes, breaker and period of a piece of equipment from an instant on."""
    rows = connection.execute(_SQL["connections"], {"element": element, "at": at})
    return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]


def end_connection(connection: Connection, element: int, at: datetime, instant: datetime) -> bool:
    """Let a piece of equipment be connected to nothing from an instant on; whether that is news."""
    arguments = {"element": element, "at": at, "instant": instant}
    if not connection.execute(_SQL["close_connections"], arguments).rowcount:
        return False
    connection.execute(_SQL["keep_connection"], arguments)
    return True


def connect_element(
    connection: Connection,
    at: datetime,
    instant: datetime,
    nodes: tuple[int, int | None],
    *,
    segment_id: int | None = None,
    switch_id: int | None = None,
    unit_id: int | None = None,
    breaker: int | None = None,
) -> None:
    """Connect a piece of equipment that is connected to nothing from an instant on."""
    arguments = {
        "segment_id": segment_id, "switch_id": switch_id, "unit_id": unit_id, "node": nodes[0], "to_node": nodes[1],
        "breaker": breaker, "at": at, "instant": instant,
    }  # fmt: skip
    connection.execute(_SQL["connect"], arguments)


def lines_near(connection: Connection, element: int, at: datetime) -> list[str]:
    """Codes of the feeders whose flow a piece of equipment may change from an instant on."""
    return [row[0] for row in connection.execute(_SQL["lines_near"], {"element": element, "at": at})]


def _found(connection: Connection, name: str, code: str) -> int | None:
    row = connection.execute(_SQL[name], {"code": code}).fetchone()
    return None if row is None else int(row[0])


def _number(connection: Connection, name: LiteralString, arguments: Mapping[str, object]) -> int:
    row = connection.execute(_SQL[name], arguments).fetchone()
    assert row is not None  # noqa: S101  # insert … returning
    return int(row[0])
