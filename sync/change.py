"""Changes of the grid model: each is one transaction with the outbox rows that tell of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from store.connection import Connection
from store.grid_writer import (
    read_account_status,
    read_memberships,
    read_unit_name,
    replace_membership,
    to_text,
    write_account_status,
    write_unit_name,
)
from store.outbox import add_change, begin_change
from store.topology import SwitchError, apply_switch_position
from sync.messages import AccountStatusChange, Change, MeterMultiplier, SwitchPositionChange, UnitName
from sync.plan import NotInstalledError, plan_multiplier


class ChangeError(ValueError):
    """A change that can't be made; nothing was written."""


class InvalidChangeError(ChangeError):
    """The change doesn't say what it must."""


class UnknownMeterError(ChangeError):
    """No such meter."""


class UnknownAccountError(ChangeError):
    """No such account."""


class UnknownUnitError(ChangeError):
    """No such unit."""


class MeterNotInstalledError(ChangeError):
    """The meter belongs to no unit at the time from which the change is to hold."""


class SwitchChangeError(ChangeError):
    """No such switch, or it is connected to nothing at the time from which the change is to hold."""


@dataclass(frozen=True, slots=True)
class AppliedChange:
    """What a change came to.

    Attributes
    ----------
    outbox_id
        Row that tells of it; None when the model said so already, and nothing was written.
    units
        Codes of the units concerned.
    """

    outbox_id: int | None
    units: tuple[str, ...]
    recorded_at: datetime | None


_UNCHANGED = AppliedChange(None, (), None)


def read_change(data: bytes) -> Change:
    """A change from its JSON, such as ``{"kind": "unit_name", "unit": "A1", "name": "North yard"}``.

    Raises
    ------
    InvalidChangeError
        With the place and what is wrong there.
    """
    try:
        change: Change = msgspec.json.decode(data, type=Change)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidChangeError(str(error)) from None
    return change


def apply_change(connection: Connection, change: Change) -> AppliedChange:
    """Write a change and the outbox row that tells of it, in one transaction. The same again changes nothing.

    Raises
    ------
    ChangeError
        Of the kind that says why; nothing is written.
    """
    with connection.transaction():
        recorded_at = begin_change(connection)
        if isinstance(change, MeterMultiplier):
            return _meter_multiplier(connection, change, recorded_at)
        if isinstance(change, AccountStatusChange):
            return _account_status(connection, change, recorded_at)
        if isinstance(change, SwitchPositionChange):
            return _switch_position(connection, change)
        return _unit_name(connection, change, recorded_at)


def _meter_multiplier(connection: Connection, change: MeterMultiplier, recorded_at: datetime) -> AppliedChange:
    periods = read_memberships(connection, change.meter)
    if periods is None:
        raise UnknownMeterError(f"no meter {change.meter}")
    try:
        rewrites = plan_multiplier(periods, change.multiplier, change.valid_from)
    except NotInstalledError as error:
        raise MeterNotInstalledError(f"meter {change.meter}: {error}") from None
    if not rewrites:
        return _UNCHANGED
    for rewrite in rewrites:
        replace_membership(connection, change.meter, rewrite.old, rewrite.new, recorded_at)
    units = sorted({rewrite.old.unit for rewrite in rewrites})
    payload = {
        "meter": change.meter,
        "multiplier": change.multiplier,
        "before": rewrites[0].old.multiplier,
        "valid_from": to_text(change.valid_from),
        "valid_to": None if rewrites[0].old.valid_to is None else to_text(rewrites[0].old.valid_to),
    }
    return _tell(connection, ("meter", change.meter, "meter.multiplier"), payload, units, recorded_at)


def _account_status(connection: Connection, change: AccountStatusChange, recorded_at: datetime) -> AppliedChange:
    before = read_account_status(connection, change.account)
    if before is None:
        raise UnknownAccountError(f"no account {change.account}")
    if before == change.status.value:
        return _UNCHANGED
    units = write_account_status(connection, change.account, change.status.value)
    payload = {"account": change.account, "status": change.status.value, "before": before}
    return _tell(connection, ("account", change.account, "account.status"), payload, units, recorded_at)


def _unit_name(connection: Connection, change: UnitName, recorded_at: datetime) -> AppliedChange:
    before = read_unit_name(connection, change.unit)
    if before is None:
        raise UnknownUnitError(f"no unit {change.unit}")
    if before == change.name:
        return _UNCHANGED
    write_unit_name(connection, change.unit, change.name)
    payload = {"name": change.name, "before": before}
    return _tell(connection, ("unit", change.unit, "unit.name"), payload, [change.unit], recorded_at)


def _switch_position(connection: Connection, change: SwitchPositionChange) -> AppliedChange:
    try:
        applied = apply_switch_position(connection, change.switch, change.position, change.at)
    except SwitchError as error:
        raise SwitchChangeError(str(error)) from None
    return AppliedChange(applied.outbox_id, applied.units, applied.recorded_at)


def _tell(
    connection: Connection, what: tuple[str, str, str], payload: dict[str, Any], units: list[str], recorded_at: datetime
) -> AppliedChange:
    payload["units"] = units
    if len(units) == 1:
        payload["unit"] = units[0]
    outbox_id = add_change(connection, *what, payload, recorded_at)
    return AppliedChange(outbox_id, tuple(units), recorded_at)
