"""What scoring compares with a truth: stored losses, alerts, and where meters hang. Reads only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from store.connection import ArrayLoader, Connection
from store.sql import load_queries

_SQL = load_queries("score")


@dataclass(frozen=True, slots=True, eq=False)
class BalanceArrays:
    """Stored results; arrays of shape (rows,)."""

    unit_id: NDArray[np.int64]
    observed_us: NDArray[np.int64]
    interval_s: NDArray[np.int64]
    loss_wh: NDArray[np.int64]
    sigma_wh: NDArray[np.float64]
    computable: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RaisedAlert:
    """An alert about a unit, or a meter in it."""

    alert_id: int
    severity: str
    unit: str
    meter: str | None
    opened_s: float
    """Seconds since 1970 UTC."""
    size_wh: float
    """Size of the loss in its evidence; 0 where it has none."""


def start_reading(connection: Connection) -> None:
    """Make the transaction one snapshot that changes nothing."""
    connection.execute("set transaction isolation level repeatable read, read only")


def read_units(connection: Connection) -> dict[str, tuple[int, str]]:
    """Id and kind of every unit, by code."""
    return {code: (unit_id, kind) for code, unit_id, kind in connection.execute(_SQL["units"])}


def read_balances(connection: Connection, unit_ids: Sequence[int], first: datetime, last: datetime) -> BalanceArrays:
    """Results of these units whose intervals end from `first` to `last`, both included; in no order."""
    arguments = {"unit_ids": list(unit_ids), "first": first, "last": last}
    with connection.cursor(binary=True) as cursor:
        cursor.adapters.register_loader(cursor.adapters.types["float8"].array_oid, ArrayLoader)
        row = cursor.execute(_SQL["balances"], arguments).fetchone()
    if row is None or row[0] is None:
        none = np.empty(0, np.int64)
        return BalanceArrays(none, none, none, none, none.astype(np.float64), none.astype(np.bool_))
    unit_id, observed_us, interval_s, loss_wh, sigma_wh, computable = row
    return BalanceArrays(unit_id, observed_us, interval_s, loss_wh, sigma_wh, computable.astype(np.bool_))


def read_alerts(connection: Connection, first: datetime, last: datetime) -> list[RaisedAlert]:
    """Alerts that opened from `first` to `last`, both included, by id."""
    return [RaisedAlert(*row) for row in connection.execute(_SQL["alerts"], {"first": first, "last": last})]


def count_alerts_outside(connection: Connection, first: datetime, last: datetime) -> int:
    """Alerts that opened before `first` or after `last`."""
    row = connection.execute(_SQL["alerts_outside"], {"first": first, "last": last}).fetchone()
    return 0 if row is None else int(row[0])


def can_name_meters(connection: Connection) -> bool:
    """Whether alerts can be about a meter: where its use was never looked at none can."""
    row = connection.execute(_SQL["names_meters"]).fetchone()
    return row is not None and bool(row[0])


def read_doubted(
    connection: Connection, first: datetime, last: datetime
) -> dict[str, tuple[str | None, str | None]] | None:
    """Area and phase where each meter seems to be whose record was doubted after `first`, until `last`.

    None where no record was ever compared.
    """
    row = connection.execute(_SQL["is_compared"]).fetchone()
    if row is None or not row[0]:
        return None
    arguments = {"first": first, "last": last}
    return {meter: (area, phase) for meter, area, phase in connection.execute(_SQL["concluded"], arguments)}


def read_device_events(
    connection: Connection, unit_ids: Sequence[int], first: datetime, last: datetime
) -> dict[tuple[str, str, str, int], int]:
    """When each device event of these units within [first, last) was received, by unit, meter, kind and instant.

    Instants are microseconds since 1970 UTC.
    """
    arguments = {"unit_ids": list(unit_ids), "first": first, "last": last}
    return {(row[0], row[1], row[2], row[3]): row[4] for row in connection.execute(_SQL["device_events"], arguments)}


def read_units_of_meters(connection: Connection, meters: Sequence[str]) -> dict[str, set[str]]:
    """Codes of the units that each of these meters ever hung on."""
    return _sets(connection, "units_of_meters", {"meters": list(meters)})


def read_meters_of_accounts(connection: Connection, accounts: Sequence[str]) -> dict[str, set[str]]:
    """Codes of the meters that stood where each of these accounts is or was served."""
    return _sets(connection, "meters_of_accounts", {"accounts": list(accounts)})


def _sets(connection: Connection, statement: str, arguments: dict[str, object]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for key, value in connection.execute(_SQL[statement], arguments):
        found[key].add(value)
    return dict(found)
