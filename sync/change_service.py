"""Services that are opened and closed: a meter where none was, and one that is taken off for good."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from grid.membership import MemberPeriod, StatePeriod
from grid.model import Role
from grid.timeline import begins, end_at, ends, set_values
from store.beliefs import (
    INSTALLATION,
    INSTALLED_METER,
    METER_STATE,
    SERVICE,
    add_belief,
    read_beliefs,
    replace_beliefs,
)
from store.connection import Connection
from store.grid_change import (
    RegisterValues,
    account_code,
    add_meter,
    find_account,
    find_meter,
    read_memberships,
    refresh_present,
    replace_members,
    write_registers,
)
from store.grid_entities import ensure_usage_point
from store.grid_writer import BEGINNING
from store.sql import to_text
from sync.change_members import check_new_code, known_meter, known_unit, spans_of_meter
from sync.messages import MeterInstall, MeterRemove, Registers
from sync.plan import Rewrite
from sync.tell import UNCHANGED, AppliedChange, ContradictionError, MeterNotInstalledError, UnknownAccountError, tell

_ROLES = {"gateway": Role.GATEWAY, "customer": Role.CUSTOMER, "gateway_customer": Role.GATEWAY | Role.CUSTOMER}


def apply_meter_install(connection: Connection, change: MeterInstall, recorded_at: datetime) -> AppliedChange:
    """Let a meter stand in a unit from an instant on, and serve an account where the change names one."""
    unit, at = known_unit(connection, change.unit), change.valid_from
    account_id = None if change.account is None else find_account(connection, change.account)
    if change.account is not None and account_id is None:
        raise UnknownAccountError(f"no account {change.account}")
    meter_id = find_meter(connection, change.meter)
    mine = [] if meter_id is None else read_memberships(connection, change.meter)
    stated = MemberPeriod(
        unit.unit_id, unit.code, None, int(_ROLES[change.role]), change.multiplier, at, None, meter=change.meter,
        phases=change.phases,
    )  # fmt: skip
    done = any(_same(period, stated) for period in mine)
    if not done and any(ends(period) > at for period in mine):
        raise ContradictionError(f"meter {change.meter} stands elsewhere at that time, or later")
    if not done:
        meter_id = _ensure_meter(connection, change, meter_id, recorded_at)
        replace_members(connection, [], [stated], recorded_at)
    assert meter_id is not None  # noqa: S101  # known, or made above
    served = account_id is not None and _serve(connection, change, meter_id, account_id, recorded_at)
    news = write_registers(connection, meter_id, at, _values(change.registers), recorded_at)
    if done and not served and not news:
        return UNCHANGED
    refresh_present(connection, recorded_at, meter_ids=[meter_id])
    payload: dict[str, Any] = {
        "meter": change.meter, "account": change.account, "role": change.role, "multiplier": change.multiplier,
        "valid_from": to_text(at),
    }  # fmt: skip
    return _told(connection, "meter.install", change.meter, [stated], payload, at, recorded_at)


def apply_meter_remove(connection: Connection, change: MeterRemove, recorded_at: datetime) -> AppliedChange:
    """Take a meter off wherever it stands, and end the service where it stood."""
    meter_id, at = known_meter(connection, change.meter), change.valid_from
    periods = read_memberships(connection, change.meter)
    old, new = end_at(periods, at)
    ended_before = [p for p in periods if p.valid_to == at]
    if not old and not ended_before:
        raise MeterNotInstalledError(f"meter {change.meter}: not a member of any unit at {at.isoformat()}")
    replace_members(connection, old, new, recorded_at)
    accounts = end_service(connection, change.meter, at, recorded_at)
    news = write_registers(connection, meter_id, at, _values(change.registers), recorded_at)
    if not (old or accounts or news):
        return UNCHANGED
    refresh_present(connection, recorded_at, meter_ids=[meter_id])
    payload: dict[str, Any] = {
        "meter": change.meter, "valid_from": to_text(at), "entities": [["account", code] for code in accounts],
    }  # fmt: skip
    return _told(connection, "meter.remove", change.meter, old or ended_before, payload, at, recorded_at)


def end_service(connection: Connection, meter: str, at: datetime, recorded_at: datetime) -> list[str]:
    """Let a meter stand at no usage point from an instant on, nor an account be served there; returns the accounts."""
    meter_id = known_meter(connection, meter)
    accounts: list[str] = []
    for installed in end_at(read_beliefs(connection, INSTALLED_METER, meter_id), at)[0]:
        point = int(str(installed.values["usage_point_id"]))
        old, new = end_at(read_beliefs(connection, SERVICE, point), at)
        replace_beliefs(connection, SERVICE, point, old, new, recorded_at)
        accounts += [account_code(connection, int(str(p.values["account_id"]))) for p in old]
    old, new = end_at(read_beliefs(connection, INSTALLED_METER, meter_id), at)
    replace_beliefs(connection, INSTALLED_METER, meter_id, old, new, recorded_at)
    return sorted(set(accounts))


def _ensure_meter(connection: Connection, change: MeterInstall, meter_id: int | None, recorded_at: datetime) -> int:
    values: dict[str, object] = {
        "accuracy_class": change.accuracy_class, "register_modulus_wh": change.register_modulus_wh,
        "ct_class": change.ct_class, "pt_class": change.pt_class,
    }  # fmt: skip
    if meter_id is None:
        check_new_code(change.meter)
        meter_id = add_meter(connection, change.meter, change.accuracy_class, change.register_modulus_wh)
        add_belief(connection, METER_STATE, meter_id, StatePeriod(None, values, BEGINNING, None), recorded_at)
    else:
        states = read_beliefs(connection, METER_STATE, meter_id)
        old, new = set_values(states, StatePeriod(None, values, change.valid_from, None))
        replace_beliefs(connection, METER_STATE, meter_id, old, new, recorded_at)
    return meter_id


def _serve(connection: Connection, change: MeterInstall, meter_id: int, account_id: int, recorded_at: datetime) -> bool:
    """Let the meter stand at its usage point, where the account is served; whether that is news."""
    point = ensure_usage_point(connection, change.usage_point or change.meter)
    news = False
    for relation, said in ((INSTALLATION, {"meter_id": meter_id}), (SERVICE, {"account_id": account_id})):
        periods = read_beliefs(connection, relation, point)
        later = [p for p in periods if ends(p) > change.valid_from and dict(p.values) != said]
        if later:
            raise ContradictionError(
                f"usage point {change.usage_point or change.meter} is taken at that time, or later"
            )
        old, new = set_values(periods, StatePeriod(None, said, change.valid_from, None))
        replace_beliefs(connection, relation, point, old, new, recorded_at)
        news |= bool(new)
    return news


def _same(period: MemberPeriod, stated: MemberPeriod) -> bool:
    return (period.unit_id, period.role, period.multiplier, begins(period), ends(period)) == (
        stated.unit_id, stated.role, stated.multiplier, begins(stated), ends(stated),
    )  # fmt: skip


def _told(
    connection: Connection,
    what: str,
    meter: str,
    periods: list[MemberPeriod],
    payload: dict[str, Any],
    at: datetime,
    recorded_at: datetime,
) -> AppliedChange:
    rewrite = Rewrite(tuple(periods), ())
    spans = dict.fromkeys(rewrite.units, (at, None))
    resettle = spans_of_meter(connection, rewrite.old, {**spans})
    return tell(connection, ("meter", meter, what), payload, rewrite.units, recorded_at, resettle)


def _values(registers: Registers | None) -> RegisterValues:
    return RegisterValues() if registers is None else RegisterValues(registers.import_wh, registers.export_wh)
