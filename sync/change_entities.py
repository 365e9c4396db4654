"""Substations, units and accounts that are new, changed or removed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from grid.membership import MemberPeriod, StatePeriod
from grid.model import GREATER_KINDS, Role, UnitKind
from grid.timeline import change_values, end_at
from store.beliefs import ACCOUNT_STATE, UNIT_STATE, add_belief, read_beliefs, replace_beliefs
from store.connection import Connection
from store.grid_change import find_account, find_unit, refresh_present, replace_members, units_above
from store.grid_entities import (
    add_account,
    add_substation,
    add_unit,
    element_of,
    end_connection,
    find_substation,
    read_members,
    read_parents_of,
)
from store.sql import to_text
from sync.change_members import check_new_code, known_unit
from sync.change_network import connect_unit
from sync.change_service import end_service
from sync.messages import AccountNew, SubstationNew, UnitEnd, UnitNew, UnitRating
from sync.tell import UNCHANGED, AppliedChange, ContradictionError, InvalidChangeError, Spans, tell


def apply_substation_new(connection: Connection, change: SubstationNew, recorded_at: datetime) -> AppliedChange:
    """Make a substation known."""
    said = (change.name, change.high_voltage_v, change.medium_voltage_v)
    known = find_substation(connection, change.substation)
    if known == said:
        return UNCHANGED
    if known is not None:
        raise ContradictionError(f"substation {change.substation} is there already, and is another")
    check_new_code(change.substation)
    add_substation(connection, change.substation, *said)
    return tell(connection, ("substation", change.substation, "substation.new"), {"name": change.name}, [], recorded_at)


def apply_unit_new(connection: Connection, change: UnitNew, recorded_at: datetime) -> AppliedChange:
    """Make a unit known from an instant on, as part of another and connected where the change says so."""
    values = _unit_values(change)
    parent = None if change.parent is None else known_unit(connection, change.parent)
    if parent is not None and parent.kind not in GREATER_KINDS:
        raise ContradictionError(f"unit {parent.code} is of kind {parent.kind}: no unit is part of it")
    if change.unit_kind == "feeder" and change.substation is None:
        raise InvalidChangeError("a feeder begins at a substation")
    if change.substation is not None and find_substation(connection, change.substation) is None:
        raise ContradictionError(f"no substation {change.substation}")
    unit = find_unit(connection, change.unit)
    if unit is not None:
        _check_same(connection, change, unit.unit_id, unit.kind, values)
        return UNCHANGED
    check_new_code(change.unit)
    unit_id = add_unit(connection, change.unit, change.unit_kind, values)
    add_belief(connection, UNIT_STATE, unit_id, StatePeriod(None, values, change.valid_from, None), recorded_at)
    if parent is not None:
        member = MemberPeriod(
            parent.unit_id, parent.code, None, int(Role.UNIT), 1, change.valid_from, None, child_id=unit_id
        )
        replace_members(connection, [], [member], recorded_at)
    if change.node is not None:
        at, where = change.valid_from, (change.node, change.breaker, change.substation)
        connect_unit(connection, unit_id, where, at, recorded_at)
    above = [] if parent is None else [parent.code, *units_above(connection, [parent.code], change.valid_from, None)]
    spans: Spans = dict.fromkeys(above, (change.valid_from, None))
    payload: dict[str, Any] = {"name": change.name, "parent": change.parent, "valid_from": to_text(change.valid_from)}
    units = [change.unit, *spans]
    return tell(connection, ("unit", change.unit, "unit.new"), payload, units, recorded_at, spans)


def _unit_values(change: UnitNew) -> dict[str, object]:
    return {
        "name": change.name,
        "substation": change.substation,
        "gateway": change.gateway,
        "owner": None if change.owner is None else change.owner.value,
        "rating_va": None if change.unit_kind == "feeder" else change.rating_va,
        "no_load_loss_w": None if change.unit_kind == "feeder" else change.no_load_loss_w,
        "load_loss_w": None if change.unit_kind == "feeder" else change.load_loss_w,
        "longitude_deg": change.longitude_deg,
        "latitude_deg": change.latitude_deg,
        "metered_side": None if change.metered_side is None else change.metered_side.value,
    }


def _check_same(
    connection: Connection, change: UnitNew, unit_id: int, kind: UnitKind, values: dict[str, object]
) -> None:
    """Raise unless the unit was made known by the very same change."""
    states = read_beliefs(connection, UNIT_STATE, unit_id)
    first = states[0] if states else None
    same = first is not None and first.valid_from == change.valid_from and dict(first.values) == values
    if not same or kind != change.unit_kind:
        raise ContradictionError(f"unit {change.unit} is there already, and is another")


def apply_unit_end(connection: Connection, change: UnitEnd, recorded_at: datetime) -> AppliedChange:
    """Remove a unit from an instant on; what it was before stays known."""
    unit, at = known_unit(connection, change.unit), change.valid_from
    old, new = end_at(read_beliefs(connection, UNIT_STATE, unit.unit_id), at)
    if not old:
        return UNCHANGED
    members = read_members(connection, unit.code, at)
    smaller = sorted({m.child_id for m in members if m.child_id is not None})
    if smaller or (members and not change.with_members):
        raise ContradictionError(f"unit {unit.code} still has {len(members)} members from {to_text(at)} on")
    above = units_above(connection, [unit.code], at, None)
    replace_beliefs(connection, UNIT_STATE, unit.unit_id, old, new, recorded_at)
    for some in (members, read_parents_of(connection, unit.unit_id, at)):
        ended = end_at(some, at)
        replace_members(connection, *ended, recorded_at)
    meters = sorted({m.meter for m in members if m.meter is not None})
    accounts = [code for meter in meters for code in end_service(connection, meter, at, recorded_at)]
    end_connection(connection, element_of(unit_id=unit.unit_id), at, recorded_at)
    spans: Spans = dict.fromkeys([unit.code, *above], (at, None))
    payload: dict[str, Any] = {
        "valid_from": to_text(at),
        "entities": [["meter", m] for m in meters] + [["account", a] for a in accounts],
    }
    return tell(connection, ("unit", unit.code, "unit.end"), payload, spans, recorded_at, spans)


def apply_unit_rating(connection: Connection, change: UnitRating, recorded_at: datetime) -> AppliedChange:
    """Give a unit's transformer other values: its technical loss is another."""
    unit = known_unit(connection, change.unit)
    if unit.kind not in (UnitKind.AREA, UnitKind.DEDICATED, UnitKind.ELEMENT):
        raise ContradictionError(f"unit {unit.code} is of kind {unit.kind}: it has no transformer")
    names = ("rating_va", "no_load_loss_w", "load_loss_w")
    values: dict[str, object] = {n: getattr(change, n) for n in names if getattr(change, n) is not None}
    if not values:
        raise InvalidChangeError("none of rating_va, no_load_loss_w and load_loss_w is given")
    try:
        old, new = change_values(read_beliefs(connection, UNIT_STATE, unit.unit_id), values, change.valid_from)
    except LookupError as error:
        raise ContradictionError(str(error)) from None
    if not new:
        return UNCHANGED
    replace_beliefs(connection, UNIT_STATE, unit.unit_id, old, new, recorded_at)
    refresh_present(connection, recorded_at, unit_id=unit.unit_id)
    above = units_above(connection, [unit.code], change.valid_from, None)
    spans: Spans = dict.fromkeys([unit.code, *above], (change.valid_from, None))
    payload: dict[str, Any] = {
        **values, "before": {n: old[0].values[n] for n in values}, "valid_from": to_text(change.valid_from),
    }  # fmt: skip
    return tell(connection, ("unit", unit.code, "unit.rating"), payload, spans, recorded_at, spans)


def apply_account_new(connection: Connection, change: AccountNew, recorded_at: datetime) -> AppliedChange:
    """Make an account known from an instant on."""
    values: dict[str, object] = {
        "tariff_class": change.tariff_class, "contract_w": change.contract_w, "status": "active",
    }  # fmt: skip
    account_id = find_account(connection, change.account)
    if account_id is not None:
        states = read_beliefs(connection, ACCOUNT_STATE, account_id)
        if states and states[0].valid_from == change.valid_from and dict(states[0].values) == values:
            return UNCHANGED
        raise ContradictionError(f"account {change.account} is there already, and is another")
    check_new_code(change.account)
    account_id = add_account(connection, change.account, values)
    add_belief(connection, ACCOUNT_STATE, account_id, StatePeriod(None, values, change.valid_from, None), recorded_at)
    payload: dict[str, Any] = {"account": change.account, **values, "valid_from": to_text(change.valid_from)}
    return tell(connection, ("account", change.account, "account.new"), payload, [], recorded_at)
