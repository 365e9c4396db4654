"""Changes of who is a member of which unit: multiplier, replacement, move, and parent of a unit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from grid.membership import MemberPeriod, StatePeriod
from grid.model import GREATER_KINDS, Role, UnitKind, check_code
from grid.timeline import run_from, set_values
from store.beliefs import INSTALLATION, INSTALLED_METER, METER_STATE, add_belief, read_beliefs, replace_beliefs
from store.connection import Connection
from store.grid_change import (
    RegisterValues,
    UnitRow,
    add_meter,
    find_meter,
    find_unit,
    is_part_of,
    levels_above,
    read_memberships,
    read_parents,
    refresh_present,
    replace_members,
    units_above,
    was_replaced,
    write_registers,
)
from store.grid_writer import BEGINNING
from store.sql import to_text
from sync.messages import MeterMove, MeterMultiplier, MeterReplace, Registers, UnitParentChange
from sync.plan import NotInstalledError, PlanError, Rewrite, plan_move, plan_multiplier, plan_parent, plan_replacement
from sync.tell import (
    UNCHANGED,
    AppliedChange,
    ContradictionError,
    InvalidChangeError,
    MeterNotInstalledError,
    UnknownMeterError,
    UnknownUnitError,
    tell,
)

T = TypeVar("T")


def apply_meter_multiplier(connection: Connection, change: MeterMultiplier, recorded_at: datetime) -> AppliedChange:
    """Give a meter another multiplier, and say what its registers showed then."""
    meter_id = known_meter(connection, change.meter)
    periods = read_memberships(connection, change.meter)
    rewrite = _plan(change.meter, lambda: plan_multiplier(periods, change.multiplier, change.valid_from))
    replace_members(connection, rewrite.old, rewrite.new, recorded_at)
    news = write_registers(connection, meter_id, change.valid_from, _values(change.registers), recorded_at)
    if not (rewrite.new or news):
        return UNCHANGED
    here = [p for p in periods if p.contains(change.valid_from)]
    touched = rewrite if rewrite.new else Rewrite(tuple(here), ())
    last = max((p.valid_to for p in rewrite.new if p.valid_to is not None), default=None)
    payload = {
        "meter": change.meter,
        "multiplier": change.multiplier,
        "before": here[0].multiplier,
        "valid_from": to_text(change.valid_from),
        "valid_to": None if last is None or any(p.valid_to is None for p in rewrite.new) else to_text(last),
    }
    return _told(
        connection, ("meter", change.meter, "meter.multiplier"), payload, touched, change.valid_from, recorded_at
    )


def apply_meter_move(connection: Connection, change: MeterMove, recorded_at: datetime) -> AppliedChange:
    """Take a meter from one unit to another."""
    meter_id = known_meter(connection, change.meter)
    unit = known_unit(connection, change.unit)
    periods = read_memberships(connection, change.meter)
    rewrite = _plan(
        change.meter, lambda: plan_move(periods, (unit.unit_id, unit.code), change.valid_from, change.leaving)
    )
    replace_members(connection, rewrite.old, rewrite.new, recorded_at)
    news = write_registers(connection, meter_id, change.valid_from, _values(change.registers), recorded_at)
    if not (rewrite.new or news):
        return UNCHANGED
    left = sorted({p.unit for p in rewrite.old})
    payload = {
        "meter": change.meter,
        "unit_before": left[0] if left else unit.code,
        "unit_after": unit.code,
        "valid_from": to_text(change.valid_from),
    }
    here = tuple(p for p in periods if p.contains(change.valid_from))
    touched = rewrite if rewrite.new else Rewrite(here, ())
    return _told(connection, ("meter", change.meter, "meter.move"), payload, touched, change.valid_from, recorded_at)


def apply_meter_replace(connection: Connection, change: MeterReplace, recorded_at: datetime) -> AppliedChange:
    """Put another meter in the place of one, with what both registers showed."""
    if change.new_meter == change.meter:
        raise InvalidChangeError(f"meter {change.meter} can't take its own place")
    old_id = known_meter(connection, change.meter)
    new_id = find_meter(connection, change.new_meter)
    mine = [] if new_id is None else read_memberships(connection, change.new_meter)
    periods = read_memberships(connection, change.meter)
    done = new_id is not None and _is_done(connection, change, periods, mine, new_id)
    if done:
        rewrite = Rewrite((), ())
    else:
        rewrite = _plan(
            change.meter, lambda: plan_replacement(periods, change.new_meter, change.multiplier, change.valid_from)
        )
        if any(p.valid_to is None or p.valid_to > change.valid_from for p in mine):
            raise ContradictionError(f"meter {change.new_meter} stands elsewhere at that time, or later")
        new_id = _ensure_meter(connection, change, old_id, new_id, recorded_at)
        replace_members(connection, rewrite.old, rewrite.new, recorded_at)
        _install(connection, old_id, new_id, change.valid_from, recorded_at)
        refresh_present(connection, recorded_at, meter_ids=[old_id, new_id])
    assert new_id is not None  # noqa: S101  # known, or made above
    news = write_registers(connection, old_id, change.valid_from, _values(change.removed), recorded_at)
    news |= write_registers(connection, new_id, change.valid_from, _values(change.installed), recorded_at)
    if not (rewrite.new or news):
        return UNCHANGED
    payload = {"meter": change.meter, "new_meter": change.new_meter, "valid_from": to_text(change.valid_from)}
    touched = rewrite if rewrite.new else Rewrite(tuple(p for p in mine if p.contains(change.valid_from)), ())
    return _told(connection, ("meter", change.meter, "meter.replace"), payload, touched, change.valid_from, recorded_at)


def apply_unit_parent(connection: Connection, change: UnitParentChange, recorded_at: datetime) -> AppliedChange:
    """Make a unit part of another unit of a kind, or of none."""
    unit = known_unit(connection, change.unit)
    parent = None if change.parent is None else known_unit(connection, change.parent)
    kind = _parent_kind(change, parent)
    if parent is not None and is_part_of(connection, parent.code, unit.code):
        raise ContradictionError(f"unit {parent.code} is itself part of {unit.code}")
    periods = read_parents(connection, unit.unit_id, kind)
    to = None if parent is None else (parent.unit_id, parent.code)
    rewrite = plan_parent(periods, unit.unit_id, to, change.valid_from)
    if not (rewrite.old or rewrite.new):
        return UNCHANGED
    replace_members(connection, rewrite.old, rewrite.new, recorded_at)
    before = next((p.unit for p in periods if p.contains(change.valid_from)), None)
    payload = {
        "parent": change.parent,
        "parent_kind": kind.value,
        "before": before,
        "valid_from": to_text(change.valid_from),
    }
    spans = {code: rewrite.span(code, change.valid_from) for code in rewrite.units}
    spans[unit.code] = (change.valid_from, _latest([to for _, to in spans.values()]))
    # A level takes what a member within another member has taken as come in already.
    for level in levels_above(connection, unit.code, *spans[unit.code]):
        spans.setdefault(level, spans[unit.code])
    return tell(connection, ("unit", unit.code, "unit.parent"), payload, spans, recorded_at, spans)


def known_meter(connection: Connection, code: str) -> int:
    """Number of a meter.

    Raises
    ------
    UnknownMeterError
    """
    meter_id = find_meter(connection, code)
    if meter_id is None:
        raise UnknownMeterError(f"no meter {code}")
    return meter_id


def known_unit(connection: Connection, code: str) -> UnitRow:
    """A unit.

    Raises
    ------
    UnknownUnitError
    """
    unit = find_unit(connection, code)
    if unit is None:
        raise UnknownUnitError(f"no unit {code}")
    return unit


def spans_of_meter(
    connection: Connection, periods: tuple[MemberPeriod, ...], spans: dict[str, tuple[datetime, datetime | None]]
) -> dict[str, tuple[datetime, datetime | None]]:
    """The spans of units, with those of the units above where the meter is a gateway: they read its class."""
    above = dict(spans)
    for unit in {p.unit for p in periods if p.role & Role.GATEWAY}:
        for code in units_above(connection, [unit], *spans[unit]):
            start, end = spans[unit]
            before = above.get(code)
            above[code] = (start, end if before is None else _latest([before[1], end]))
    return above


def _told(
    connection: Connection,
    what: tuple[str, str, str],
    payload: dict[str, Any],
    rewrite: Rewrite,
    valid_from: datetime,
    recorded_at: datetime,
) -> AppliedChange:
    spans = {code: rewrite.span(code, valid_from) for code in rewrite.units}
    resettle = spans_of_meter(connection, (*rewrite.old, *rewrite.new), spans)
    return tell(connection, what, payload, rewrite.units, recorded_at, resettle)


def _plan(meter: str, plan: Callable[[], T]) -> T:
    try:
        return plan()
    except NotInstalledError as error:
        raise MeterNotInstalledError(f"meter {meter}: {error}") from None
    except PlanError as error:
        raise ContradictionError(f"meter {meter}: {error}") from None


def _parent_kind(change: UnitParentChange, parent: UnitRow | None) -> UnitKind:
    if parent is None:
        if change.parent_kind is None:
            raise InvalidChangeError("parent_kind must say of which kind of unit it is no longer part")
        return UnitKind(change.parent_kind)
    if parent.kind not in GREATER_KINDS:
        raise ContradictionError(f"unit {parent.code} is of kind {parent.kind}: no unit is part of it")
    if change.parent_kind is not None and parent.kind != change.parent_kind:
        raise ContradictionError(f"unit {parent.code} is of kind {parent.kind}, and not {change.parent_kind}")
    return parent.kind


def _is_done(
    connection: Connection,
    change: MeterReplace,
    periods: list[MemberPeriod],
    mine: list[MemberPeriod],
    new_id: int,
) -> bool:
    """Whether this very replacement was made before, and what it said of the new meter is still believed."""
    begun = [p for p in mine if p.valid_from == change.valid_from]
    if not begun or any(p.contains(change.valid_from) for p in periods):
        return False
    known = next((s for s in read_beliefs(connection, METER_STATE, new_id) if s.contains(change.valid_from)), None)
    said = {
        "accuracy_class": change.accuracy_class,
        "register_modulus_wh": change.register_modulus_wh,
        "ct_class": change.ct_class,
        "pt_class": change.pt_class,
    }
    return (
        was_replaced(connection, change.meter, change.new_meter, change.valid_from)
        and all(change.multiplier in {None, p.multiplier} for p in begun)
        and known is not None
        and all(value in {None, known.values[name]} for name, value in said.items())
    )


def _ensure_meter(
    connection: Connection, change: MeterReplace, old_id: int, new_id: int | None, recorded_at: datetime
) -> int:
    """The new meter with its class and register, from its installation on; as the old one's where nobody says."""
    states = [] if new_id is None else read_beliefs(connection, METER_STATE, new_id)
    known = next((s for s in states if s.contains(change.valid_from)), None)
    old = read_beliefs(connection, METER_STATE, old_id)
    before = next((s for s in old if s.contains(change.valid_from)), old[-1] if old else None)
    if known is None:
        known = before
    accuracy = change.accuracy_class or (1.0 if known is None else known.values["accuracy_class"])
    modulus = change.register_modulus_wh or (None if known is None else known.values["register_modulus_wh"])
    values = {"accuracy_class": accuracy, "register_modulus_wh": modulus}
    # The transformers stay where they are, unless they are replaced as well.
    for name, said in (("ct_class", change.ct_class), ("pt_class", change.pt_class)):
        values[name] = said or (None if before is None else before.values[name])
    if new_id is None:
        check_new_code(change.new_meter)
        new_id = add_meter(connection, change.new_meter, float(str(accuracy)), change.register_modulus_wh)
        add_belief(connection, METER_STATE, new_id, StatePeriod(None, values, BEGINNING, None), recorded_at)
    else:
        old_states, new_states = set_values(states, StatePeriod(None, values, change.valid_from, None))
        replace_beliefs(connection, METER_STATE, new_id, old_states, new_states, recorded_at)
    return new_id


def check_new_code(code: str) -> None:
    """Raise InvalidChangeError unless a code may name a new entity."""
    try:
        check_code(code)
    except ValueError as error:
        raise InvalidChangeError(str(error)) from None


def _install(connection: Connection, old_id: int, new_id: int, at: datetime, recorded_at: datetime) -> None:
    """Let the new meter stand at the usage point of the old one, for as long as that one would have stood there."""
    installed = read_beliefs(connection, INSTALLED_METER, old_id)
    here = next((p for p in installed if p.contains(at)), None)
    if here is None:
        return
    run = run_from(installed, at, lambda p: p.values == here.values)
    usage_point = int(str(here.values["usage_point_id"]))
    at_point = read_beliefs(connection, INSTALLATION, usage_point)
    stated = StatePeriod(None, {"meter_id": new_id}, at, run[-1].valid_to)
    replace_beliefs(connection, INSTALLATION, usage_point, *set_values(at_point, stated), recorded_at)


def _values(registers: Registers | None) -> RegisterValues:
    return RegisterValues() if registers is None else RegisterValues(registers.import_wh, registers.export_wh)


def _latest(ends: list[datetime | None]) -> datetime | None:
    """Latest of some ends, of which None is later than any."""
    return None if None in ends else max(end for end in ends if end is not None)
