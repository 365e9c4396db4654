"""Changes of what is known of one entity: accounts, names, meter classes, and who answers for a unit."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from grid.membership import StatePeriod
from grid.model import Duty, UnitKind
from grid.timeline import change_values, set_values, until_next
from store.beliefs import (
    ACCOUNT_STATE,
    METER_STATE,
    RESPONSIBILITY,
    UNIT_STATE,
    Relation,
    read_beliefs,
    replace_beliefs,
)
from store.connection import Connection
from store.grid_change import account_units, find_account, read_memberships, refresh_present, units_above
from store.organisation_writer import find_id
from store.sql import to_text
from sync.change_members import known_meter, known_unit, spans_of_meter
from sync.messages import (
    AccountContract,
    AccountStatusChange,
    MeterClass,
    ResponsibilityChange,
    UnitMetering,
    UnitName,
)
from sync.plan import Rewrite
from sync.tell import (
    UNCHANGED,
    AppliedChange,
    ContradictionError,
    InvalidChangeError,
    UnknownAccountError,
    UnknownOrganisationError,
    tell,
)


def apply_account_status(connection: Connection, change: AccountStatusChange, recorded_at: datetime) -> AppliedChange:
    """Open or close an account."""
    return _account(
        connection, change.account, {"status": change.status.value}, "account.status", change.valid_from, recorded_at
    )


def apply_account_contract(connection: Connection, change: AccountContract, recorded_at: datetime) -> AppliedChange:
    """Give an account another tariff class or contract capacity."""
    values: dict[str, object] = {}
    if change.tariff_class is not None:
        values["tariff_class"] = change.tariff_class
    if change.contract_w is not None:
        values["contract_w"] = change.contract_w
    if not values:
        raise InvalidChangeError("neither tariff_class nor contract_w is given")
    return _account(connection, change.account, values, "account.contract", change.valid_from, recorded_at)


def apply_unit_name(connection: Connection, change: UnitName, recorded_at: datetime) -> AppliedChange:
    """Give a unit another name."""
    unit = known_unit(connection, change.unit)
    valid_from = change.valid_from or recorded_at
    before = _change(connection, UNIT_STATE, unit.unit_id, {"name": change.name}, valid_from, recorded_at)
    if before is None:
        return UNCHANGED
    refresh_present(connection, recorded_at, unit_id=unit.unit_id)
    payload = {"name": change.name, "before": before["name"], "valid_from": to_text(valid_from)}
    return tell(connection, ("unit", unit.code, "unit.name"), payload, [unit.code], recorded_at)


def apply_unit_metering(connection: Connection, change: UnitMetering, recorded_at: datetime) -> AppliedChange:
    """Say at which side of its transformer a unit is metered: whose loss the transformer's is."""
    unit = known_unit(connection, change.unit)
    if unit.kind not in (UnitKind.AREA, UnitKind.DEDICATED):
        raise ContradictionError(f"unit {unit.code} is of kind {unit.kind}: it has no transformer of its own")
    values: dict[str, object] = {"metered_side": change.metered_side.value}
    before = _change(connection, UNIT_STATE, unit.unit_id, values, change.valid_from, recorded_at)
    if before is None:
        return UNCHANGED
    refresh_present(connection, recorded_at, unit_id=unit.unit_id)
    payload = {**values, "before": before["metered_side"], "valid_from": to_text(change.valid_from)}
    spans = dict.fromkeys(
        [unit.code, *units_above(connection, [unit.code], change.valid_from, None)], (change.valid_from, None)
    )
    return tell(connection, ("unit", unit.code, "unit.metering"), payload, spans, recorded_at, spans)


def apply_meter_class(connection: Connection, change: MeterClass, recorded_at: datetime) -> AppliedChange:
    """Give a meter another accuracy class or register; it keeps its position."""
    meter_id = known_meter(connection, change.meter)
    values: dict[str, object] = {"accuracy_class": change.accuracy_class}
    for name in ("register_modulus_wh", "ct_class", "pt_class"):
        if (said := getattr(change, name)) is not None:
            values[name] = said
    before = _change(connection, METER_STATE, meter_id, values, change.valid_from, recorded_at)
    if before is None:
        return UNCHANGED
    refresh_present(connection, recorded_at, meter_ids=[meter_id])
    periods = tuple(
        p for p in read_memberships(connection, change.meter) if p.valid_to is None or p.valid_to > change.valid_from
    )
    rewrite = Rewrite(periods, ())
    spans = {code: rewrite.span(code, change.valid_from) for code in rewrite.units}
    resettle = spans_of_meter(connection, periods, spans)
    payload = {"meter": change.meter, **values, "valid_from": to_text(change.valid_from)}
    return tell(connection, ("meter", change.meter, "meter.class"), payload, resettle, recorded_at, resettle)


def apply_responsibility(connection: Connection, change: ResponsibilityChange, recorded_at: datetime) -> AppliedChange:
    """Say who answers for a unit, until the next that is already known."""
    unit = known_unit(connection, change.unit)
    duty = Duty[change.duty.upper()]
    organisation = _known(connection, "organisation_id", change.organisation)
    person = _known(connection, "person_id", change.person)
    valid_from = change.valid_from or recorded_at
    periods = [p for p in read_beliefs(connection, RESPONSIBILITY, unit.unit_id) if p.values["duty"] == duty]
    stated = StatePeriod(
        None,
        {"duty": int(duty), "organisation_id": organisation, "person_id": person},
        valid_from,
        until_next(periods, valid_from),
    )
    old, new = set_values(periods, stated)
    if organisation is None and person is None:
        new = [p for p in new if p is not stated]
        if not old:
            return UNCHANGED
    if not (old or new):
        return UNCHANGED
    replace_beliefs(connection, RESPONSIBILITY, unit.unit_id, old, new, recorded_at)
    payload = {
        "duty": change.duty,
        "organisation": change.organisation,
        "person": change.person,
        "valid_from": to_text(valid_from),
    }
    return tell(connection, ("unit", unit.code, "unit.responsibility"), payload, [unit.code], recorded_at)


def _account(
    connection: Connection,
    account: str,
    values: dict[str, object],
    kind: str,
    valid_from: datetime | None,
    recorded_at: datetime,
) -> AppliedChange:
    account_id = find_account(connection, account)
    if account_id is None:
        raise UnknownAccountError(f"no account {account}")
    since = valid_from or recorded_at
    before = _change(connection, ACCOUNT_STATE, account_id, values, since, recorded_at)
    if before is None:
        return UNCHANGED
    refresh_present(connection, recorded_at, account_id=account_id)
    payload: dict[str, Any] = {"account": account, **values, "valid_from": to_text(since)}
    payload["before"] = before["status"] if "status" in values else before
    units = account_units(connection, account_id)
    # What is taken without an active account is a figure of the unit's.
    resettle = dict.fromkeys(units, (since, None)) if "status" in values else None
    return tell(connection, ("account", account, kind), payload, units, recorded_at, resettle)


def _change(
    connection: Connection,
    relation: Relation,
    key: int,
    values: dict[str, object],
    valid_from: datetime,
    recorded_at: datetime,
) -> dict[str, object] | None:
    """Change some values from an instant on; returns what they were, or None when they are so already."""
    periods = read_beliefs(connection, relation, key)
    try:
        old, new = change_values(periods, values, valid_from)
    except LookupError as error:
        raise ContradictionError(str(error)) from None
    if not new:
        return None
    replace_beliefs(connection, relation, key, old, new, recorded_at)
    return {name: old[0].values[name] for name in values}


def _known(connection: Connection, what: str, code: str | None) -> int | None:
    if code is None:
        return None
    found = find_id(connection, what, code)
    if found is None:
        raise UnknownOrganisationError(f"no {what.removesuffix('_id')} {code}")
    return found
