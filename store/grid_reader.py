"""The grid model as it was valid at one instant and known at another."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg.rows import dict_row

from grid.model import Duty, Role
from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("grid_reader")

#: A row by the names of its columns, as the command line shows it.
Row = dict[str, Any]


def read_entities(
    connection: Connection, code: str, at: datetime | None = None, known_at: datetime | None = None
) -> list[Row]:
    """What is known of the unit, the meter and the account with this code; empty when there is none of them.

    Parameters
    ----------
    at
        Instant at which it holds; None = now.
    known_at
        Instant at which it was believed; None = now.

    Returns
    -------
    list
        Each with `entity` (``unit``, ``meter`` or ``account``), `code` and its attributes and relations, as lists of
        rows with `valid_from` and `valid_to` (None = without end). See docs/reference/command-line.md.
    """
    found = (
        read_unit(connection, code, at, known_at),
        read_meter(connection, code, at, known_at),
        read_account(connection, code, at, known_at),
    )
    return [entity for entity in found if entity is not None]


def read_unit(
    connection: Connection, code: str, at: datetime | None = None, known_at: datetime | None = None
) -> Row | None:
    """A unit with its members, its parents and who answers for it; None when it wasn't known to exist then."""
    arguments = _arguments(code, at, known_at)
    units = _rows(connection, "unit", arguments)
    if not units:
        return None
    arguments["unit_id"] = units[0].pop("unit_id")
    members = _rows(connection, "members", arguments)
    for member in members:
        member["role"] = _role(member["role"])
    responsible = _rows(connection, "responsible", arguments)
    for held in responsible:
        held["duty"] = Duty(held["duty"]).name.lower()
    return {
        "entity": "unit",
        **units[0],
        "members": members,
        "parents": _rows(connection, "parents", arguments),
        "responsible": responsible,
    }


def read_meter(
    connection: Connection, code: str, at: datetime | None = None, known_at: datetime | None = None
) -> Row | None:
    """A meter with its usage point, account and all its memberships and installations; None when it wasn't known."""
    arguments = _arguments(code, at, known_at)
    meters = _rows(connection, "meter", arguments)
    if not meters:
        return None
    arguments["meter_id"] = meters[0].pop("meter_id")
    units = _rows(connection, "meter_units", arguments)
    for unit in units:
        unit["role"] = _role(unit["role"])
    return {
        "entity": "meter",
        **meters[0],
        "units": units,
        "installations": _rows(connection, "meter_installations", arguments),
    }


def read_account(
    connection: Connection, code: str, at: datetime | None = None, known_at: datetime | None = None
) -> Row | None:
    """An account with where it is served and its history; None when it wasn't known."""
    arguments = _arguments(code, at, known_at)
    accounts = _rows(connection, "account", arguments)
    if not accounts:
        return None
    arguments["account_id"] = accounts[0].pop("account_id")
    return {
        "entity": "account",
        **accounts[0],
        "served_at": _rows(connection, "account_places", arguments),
        "history": _rows(connection, "account_history", arguments),
    }


def _arguments(code: str, at: datetime | None, known_at: datetime | None) -> dict[str, object]:
    # The server's clock writes recorded periods; a belief that is still held is known at infinity.
    return {"code": code, "at": at or "now", "known_at": known_at or "infinity"}


def _rows(connection: Connection, name: str, arguments: dict[str, object]) -> list[Row]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL[name], arguments).fetchall()


def _role(role: int) -> list[str]:
    return [str(part.name).lower() for part in Role if part & role]
