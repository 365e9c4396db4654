"""Changes of the grid model: each is one transaction with the outbox rows that tell of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from store.connection import Connection
from store.grid_change import RosterFullError
from store.outbox import begin_change
from sync.change_attributes import (
    apply_account_contract,
    apply_account_status,
    apply_meter_class,
    apply_responsibility,
    apply_unit_metering,
    apply_unit_name,
)
from sync.change_entities import (
    apply_account_new,
    apply_substation_new,
    apply_unit_end,
    apply_unit_new,
    apply_unit_rating,
)
from sync.change_members import apply_meter_move, apply_meter_multiplier, apply_meter_replace, apply_unit_parent
from sync.change_network import (
    apply_equipment_end,
    apply_segment_new,
    apply_switch_new,
    apply_switch_normal,
    apply_unit_connection,
)
from sync.change_service import apply_meter_install, apply_meter_remove
from sync.change_switch import apply_switch
from sync.messages import (
    AccountContract,
    AccountNew,
    AccountStatusChange,
    Change,
    EquipmentEnd,
    MeterClass,
    MeterInstall,
    MeterMove,
    MeterMultiplier,
    MeterRemove,
    MeterReplace,
    ResponsibilityChange,
    SegmentNew,
    SubstationNew,
    SwitchNew,
    SwitchNormal,
    SwitchPositionChange,
    UnitConnection,
    UnitEnd,
    UnitMetering,
    UnitName,
    UnitNew,
    UnitParentChange,
    UnitRating,
)
from sync.tell import (
    AppliedChange,
    ChangeError,
    ContradictionError,
    InvalidChangeError,
    MeterNotInstalledError,
    SwitchChangeError,
    UnknownAccountError,
    UnknownMeterError,
    UnknownOrganisationError,
    UnknownUnitError,
)

__all__ = [
    "AppliedChange",
    "ChangeError",
    "ContradictionError",
    "InvalidChangeError",
    "MeterNotInstalledError",
    "SwitchChangeError",
    "UnknownAccountError",
    "UnknownMeterError",
    "UnknownOrganisationError",
    "UnknownUnitError",
    "apply_change",
    "read_change",
]

#: No relation of a grid is older, and none is known for longer ahead.
_FIRST, _LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

_APPLY: dict[type[Any], Callable[[Connection, Any, datetime], AppliedChange]] = {
    MeterMultiplier: apply_meter_multiplier,
    MeterReplace: apply_meter_replace,
    MeterMove: apply_meter_move,
    MeterClass: apply_meter_class,
    AccountStatusChange: apply_account_status,
    AccountContract: apply_account_contract,
    UnitName: apply_unit_name,
    UnitMetering: apply_unit_metering,
    UnitParentChange: apply_unit_parent,
    ResponsibilityChange: apply_responsibility,
    SwitchPositionChange: apply_switch,
    SubstationNew: apply_substation_new,
    UnitNew: apply_unit_new,
    UnitEnd: apply_unit_end,
    UnitRating: apply_unit_rating,
    UnitConnection: apply_unit_connection,
    AccountNew: apply_account_new,
    MeterInstall: apply_meter_install,
    MeterRemove: apply_meter_remove,
    SegmentNew: apply_segment_new,
    SwitchNew: apply_switch_new,
    SwitchNormal: apply_switch_normal,
    EquipmentEnd: apply_equipment_end,
}


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
    if change.valid_from is not None and not _FIRST <= change.valid_from <= _LAST:
        raise InvalidChangeError(f"no change holds from {change.valid_from.isoformat()} - at `$.valid_from`")
    return change


def apply_change(connection: Connection, change: Change) -> AppliedChange:
    """Write a change and the outbox rows that tell of it, in one transaction. The same again changes nothing.

    Raises
    ------
    ChangeError
        Of the kind that says why; nothing is written.
    """
    with connection.transaction():
        recorded_at = begin_change(connection)
        try:
            return _APPLY[type(change)](connection, change, recorded_at)
        except RosterFullError as error:
            raise ContradictionError(str(error)) from None
