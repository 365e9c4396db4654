"""Asks the database what a panel shows, as the boards' role: read only, with a time limit and a limit of rows."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from console.window import Window
from deploy.boards.macros import bind
from store.connection import LOST

#: Of a row: numbers are finite floats or whole, times are aware, the rest is text.
Value = float | int | str | bool | datetime | None


class AskError(RuntimeError):
    """A question without an answer; the message is for who looks at the board."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of a panel."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    more: bool
    """Whether rows were left out."""
    took_s: float


@dataclass(frozen=True, slots=True)
class AskLimits:
    """What one question may cost."""

    timeout_s: float = 5.0
    rows: int = 5_000
    connections: int = 3

    def __post_init__(self) -> None:
        if not (0 < self.timeout_s <= 60 and 1 <= self.rows <= 100_000 and 1 <= self.connections <= 32):
            raise ValueError(f"limits out of range: {self}")


class Asker:
    """A pool of connections of the boards' role. Safe to use from several threads.

    Parameters
    ----------
    conninfo
        libpq connection string of the boards' role.
    limits
        What one question may cost.
    application
        What the server shows as the connections' owner.
    records
        Whether a question may be recorded by the database: that a meter's series was read. All else only reads.
    zone
        In which statements count days, an IANA name.
    """

    def __init__(
        self,
        conninfo: str,
        limits: AskLimits,
        application: str = "meterline-console",
        *,
        records: bool = False,
        zone: str = "UTC",
    ) -> None:
        self.limits = limits
        self._zone = zone
        self._conninfo = conninfo
        options = (
            f"-c timezone=UTC -c default_transaction_read_only={'off' if records else 'on'} -c jit=off"
            f" -c statement_timeout={round(limits.timeout_s * 1e3)}"
        )
        self._pool = ConnectionPool[psycopg.Connection[tuple[Any, ...]]](
            conninfo,
            # A prepared statement would be planned without the range that it is asked for.
            kwargs={
                "application_name": application,
                "options": options,
                "connect_timeout": 5,
                "autocommit": True,
                "prepare_threshold": None,
            },
            min_size=1,
            max_size=limits.connections,
            timeout=limits.timeout_s,
            max_idle=60,
            open=False,
            check=ConnectionPool.check_connection,
        )

    def __enter__(self) -> Self:
        self._pool.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close(timeout=2)

    def ask(self, sql: str, window: Window, values: Mapping[str, str]) -> Answer:
        """Rows of a statement with Grafana's macros; what was chosen is bound, never pasted.

        Parameters
        ----------
        sql
            Of a panel, a variable or an annotation.
        window
            The range that is shown.
        values
            Of the board's variables.

        Raises
        ------
        AskError
            When the database is away, doesn't answer in time, or refuses the statement.
        """
        text, parameters = bind(sql, window.since, window.until, window.step, values, self._zone)
        rows = self.limits.rows
        # The server stops after one row more than is shown.
        limited = f"select * from (\n{text}\n) as panel limit {rows + 1}"  # noqa: S608 - the board's own text
        started = time.monotonic()
        try:
            with self._pool.connection() as connection:
                cursor = connection.execute(limited.encode(), parameters)
                found = cursor.fetchall()
                names = tuple(column.name for column in cursor.description or ())
        except PoolTimeout:
            raise AskError("no answer from the database") from None
        except psycopg.errors.QueryCanceled:
            raise AskError(f"the query took longer than {self.limits.timeout_s:g} s and was stopped") from None
        except LOST as error:
            raise AskError(f"no answer from the database ({_first_line(error)})") from error
        except psycopg.Error as error:
            raise AskError(f"the database refused the query ({_first_line(error)})") from error
        kept = tuple(tuple(map(_plain, row)) for row in found[:rows])
        return Answer(names, kept, len(found) > rows, time.monotonic() - started)

    def require(self) -> None:
        """Raise psycopg.OperationalError at once when the database can't be reached, with its own reason."""
        psycopg.connect(self._conninfo, connect_timeout=5).close()

    def is_there(self) -> bool:
        """Whether the database answers."""
        try:
            with self._pool.connection(timeout=2) as connection:
                connection.execute("select 1")
        except (psycopg.Error, PoolTimeout):
            return False
        return True


def _plain(value: Any) -> Value:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str | datetime):
        return value
    if isinstance(value, Decimal):
        return float(value) if value.is_finite() else None
    return str(value)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
