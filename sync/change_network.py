"""Segments and switches that are new, changed or removed, and where units are connected."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from store.connection import Connection
from store.grid_entities import (
    add_node,
    add_segment,
    add_switch,
    connect_element,
    element_of,
    end_connection,
    find_node,
    find_segment,
    find_substation,
    find_switch,
    lines_near,
    read_connections,
    set_normal,
)
from store.sql import to_text
from sync.change_members import check_new_code, known_unit
from sync.messages import EquipmentEnd, SegmentNew, SwitchNew, SwitchNormal, UnitConnection
from sync.tell import UNCHANGED, AppliedChange, ContradictionError, SwitchChangeError, tell

#: Node, breaker, and the substation of a node that isn't known yet.
Where = tuple[str, str | None, str | None]


def apply_segment_new(connection: Connection, change: SegmentNew, recorded_at: datetime) -> AppliedChange:
    """Make a line segment known, connected from an instant on."""

    def add() -> int:
        return add_segment(connection, change.segment, change.length_m, change.resistance_ohm, change.reactance_ohm)

    known = find_segment(connection, change.segment)
    return _new(connection, change, ("segment", change.segment), known, add, recorded_at)


def apply_switch_new(connection: Connection, change: SwitchNew, recorded_at: datetime) -> AppliedChange:
    """Make a switch known, connected from an instant on."""

    def add() -> int:
        return add_switch(connection, change.switch, change.switch_kind.value, change.normal.value)

    known = find_switch(connection, change.switch)
    return _new(connection, change, ("switch", change.switch), known, add, recorded_at)


def _new(
    connection: Connection,
    change: SegmentNew | SwitchNew,
    what: tuple[str, str],
    known: int | None,
    add: Callable[[], int],
    recorded_at: datetime,
) -> AppliedChange:
    if change.from_node == change.to_node:
        raise ContradictionError(f"{what[0]} {what[1]} joins node {change.from_node} to itself")
    nodes = tuple(_node(connection, code, change.substation) for code in (change.from_node, change.to_node))
    if known is not None:
        connected = read_connections(connection, _element(what[0], known), change.valid_from)
        if [(*row[:2], row[3], row[4]) for row in connected] == [(*nodes, change.valid_from, None)]:
            return UNCHANGED
        if connected:
            raise ContradictionError(f"{what[0]} {what[1]} is connected already at that time, or later")
    else:
        check_new_code(what[1])
        known = add()
    connect_element(connection, change.valid_from, recorded_at, (nodes[0], nodes[1]), **{f"{what[0]}_id": known})
    return _told(connection, what, f"{what[0]}.new", _element(what[0], known), change.valid_from, {}, recorded_at)


def apply_switch_normal(connection: Connection, change: SwitchNormal, recorded_at: datetime) -> AppliedChange:
    """Say how a switch stands while nothing is reported of it."""
    switch_id = find_switch(connection, change.switch)
    if switch_id is None:
        raise SwitchChangeError(f"no switch {change.switch}")
    if not set_normal(connection, change.switch, change.normal.value):
        return UNCHANGED
    at = change.valid_from or recorded_at
    payload = {"normal": change.normal.value}
    element = element_of(switch_id=switch_id)
    return _told(connection, ("switch", change.switch), "switch.normal", element, at, payload, recorded_at)


def apply_equipment_end(connection: Connection, change: EquipmentEnd, recorded_at: datetime) -> AppliedChange:
    """Let a segment or a switch be connected to nothing from an instant on."""
    find = find_segment if change.equipment == "segment" else find_switch
    known = find(connection, change.code)
    if known is None:
        raise ContradictionError(f"no {change.equipment} {change.code}")
    element = _element(change.equipment, known)
    if not end_connection(connection, element, change.valid_from, recorded_at):
        return UNCHANGED
    what = (change.equipment, change.code)
    return _told(connection, what, f"{change.equipment}.end", element, change.valid_from, {}, recorded_at)


def apply_unit_connection(connection: Connection, change: UnitConnection, recorded_at: datetime) -> AppliedChange:
    """Connect a unit to a node from an instant on, or to none."""
    unit = known_unit(connection, change.unit)
    element = element_of(unit_id=unit.unit_id)
    before = lines_near(connection, element, change.valid_from)
    if change.node is None:
        if not end_connection(connection, element, change.valid_from, recorded_at):
            return UNCHANGED
    else:
        where = (change.node, change.breaker, change.substation)
        if not connect_unit(connection, unit.unit_id, where, change.valid_from, recorded_at):
            return UNCHANGED
    lines = {*before, *lines_near(connection, element, change.valid_from)}
    spans = dict.fromkeys(sorted(lines), (change.valid_from, None))
    payload: dict[str, Any] = {"node": change.node, "valid_from": to_text(change.valid_from)}
    units = [unit.code, *spans]
    return tell(connection, ("unit", unit.code, "unit.connection"), payload, units, recorded_at, spans)


def connect_unit(connection: Connection, unit_id: int, where: Where, at: datetime, recorded_at: datetime) -> bool:
    """Connect a unit to a node and nothing else from an instant on; whether that is news."""
    node = _node(connection, where[0], where[2])
    breaker = None if where[1] is None else find_switch(connection, where[1])
    if where[1] is not None and breaker is None:
        raise SwitchChangeError(f"no switch {where[1]}")
    element = element_of(unit_id=unit_id)
    connected = read_connections(connection, element, at)
    if len(connected) == 1 and connected[0][:3] == (node, None, breaker) and connected[0][4] is None:
        start = connected[0][3]
        if start is None or start <= at:
            return False
    end_connection(connection, element, at, recorded_at)
    connect_element(connection, at, recorded_at, (node, None), unit_id=unit_id, breaker=breaker)
    return True


def _node(connection: Connection, code: str, substation: str | None) -> int:
    known = find_node(connection, code)
    if known is not None:
        return known
    if substation is None:
        raise ContradictionError(f"no node {code}; a new one needs its substation")
    if find_substation(connection, substation) is None:
        raise ContradictionError(f"no substation {substation}")
    check_new_code(code)
    return add_node(connection, code, substation)


def _element(kind: str, number: int) -> int:
    return element_of(segment_id=number) if kind == "segment" else element_of(switch_id=number)


def _told(
    connection: Connection,
    what: tuple[str, str],
    kind: str,
    element: int,
    at: datetime,
    payload: dict[str, Any],
    recorded_at: datetime,
) -> AppliedChange:
    """Tell of it; the lines near it have another flow, and so another technical loss."""
    spans = dict.fromkeys(lines_near(connection, element, at), (at, None))
    told = {**payload, "valid_from": to_text(at)}
    return tell(connection, (*what, kind), told, spans, recorded_at, spans)
