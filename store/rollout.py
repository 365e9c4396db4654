"""What is kept of the roll-out, by named statements. All functions work inside the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from store.connection import Connection
from store.sql import load_queries

Room = Literal["plan", "desk", "council", "assessment", "watch", "site"]
Row = dict[str, Any]

_INDICATORS = load_queries("indicators")
#: Names of all indicators, as `store/queries/indicators.sql` has them.
INDICATORS: tuple[str, ...] = tuple(_INDICATORS)


class UnknownCodeError(ValueError):
    """A row names an organisation, release, norm or number that isn't there; nothing was written."""


class TakenNumberError(ValueError):
    """The row is there already; nothing was written."""


@dataclass(frozen=True, slots=True)
class Figure:
    """An indicator of an organisation, with what is needed to compute it again.

    Attributes
    ----------
    name
        Of the statement in `store/queries/indicators.sql`.
    unit
        Code of the organisation; None: everything.
    since, at
        From when to when it counts, and as of when it was known.
    value
        None where it can't be told.
    part, whole
        What the value is the quotient of; None where it isn't one.
    day
        The last day that it rests on, where it is of days that are measured or published later than they end.
    """

    name: str
    unit: str | None
    since: datetime
    at: datetime
    value: float | None
    part: float | None
    whole: float | None
    day: date | None = None


def read_figure(
    connection: Connection, name: str, unit: str | None, at: datetime, zone: str, since: datetime | None = None
) -> Figure:
    """Compute an indicator.

    Parameters
    ----------
    zone
        IANA name of the utility's zone: whose days they are.
    since
        None: a day before `at`.
    """
    begin = at - timedelta(days=1) if since is None else since
    arguments = {"unit": unit, "at": at, "since": begin, "zone": zone}
    row = connection.execute(_INDICATORS[name], arguments).fetchone()
    return Figure(name, unit, begin, at, *((None, None, None) if row is None else row))


def statement_of(name: str) -> str:
    """The statement that computes an indicator, as it is asked."""
    return _INDICATORS[name]


def read_rows(connection: Connection, room: Room, name: str, /, **arguments: object) -> list[Row]:
    """Rows of a named statement of `store/queries/rollout_<room>.sql`, by the names of its columns."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(load_queries(f"rollout_{room}")[name], arguments).fetchall()


def add_row(connection: Connection, room: Room, name: str, /, **values: object) -> int:
    """Add a row by a named statement; returns its number.

    Raises
    ------
    UnknownCodeError, TakenNumberError
        Nothing was written, and the caller's transaction goes on.
    """
    given = {key: Jsonb(value) if isinstance(value, dict) else value for key, value in values.items()}
    try:
        with connection.transaction():
            row = connection.execute(load_queries(f"rollout_{room}")[name], given).fetchone()
    except psycopg.errors.ForeignKeyViolation as error:
        raise UnknownCodeError(error.diag.message_detail or str(error)) from None
    except psycopg.errors.UniqueViolation as error:
        raise TakenNumberError(error.diag.message_detail or str(error)) from None
    assert row is not None  # noqa: S101  # every statement that adds returns the number
    return int(row[0])
