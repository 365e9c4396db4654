"""Connections to the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, LiteralString

import psycopg
from psycopg.adapt import Buffer, Loader
from psycopg.pq import Format

from store.pgbinary import parse_array

Connection = psycopg.Connection[tuple[Any, ...]]
_ROWS_AT_A_TIME = 20_000

#: The connection is lost. The server ends one whose transaction waits for too long for its client, as after a sleep of
#: either, and psycopg has that for an internal error.
LOST: tuple[type[psycopg.Error], ...] = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,
)

#: Failures of the store and not of what is written: it is away, or not yet what this release needs. To be tried again.
STORE_ERRORS: tuple[type[psycopg.Error], ...] = (
    *LOST,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
)


class ArrayLoader(Loader):
    """Arrays of numbers as NumPy arrays, without a Python object per element."""

    format = Format.BINARY

    def load(self, data: Buffer) -> Any:
        return parse_array(data)  # type: ignore[arg-type]  # bytes, bytearray and memoryview alike


def allow_long(connection: Connection) -> None:
    """Let the transaction that is open take its time: what the role is limited to holds for the others."""
    connection.execute("set local statement_timeout = 0")
    connection.execute("set local idle_in_transaction_session_timeout = 0")


def read_whole_tables(connection: Connection) -> None:
    """Tell the planner that the open transaction reads tables whole.

    Right after a load it doesn't know yet how many rows there are, and would look each of a million up by itself.
    """
    connection.execute("set local enable_nestloop = off")
    connection.execute("set local cursor_tuple_fraction = 1")
    # A statement joins five such tables: each hash of them has no more than a sort.
    connection.execute("set local work_mem = '64MB'")
    connection.execute("set local hash_mem_multiplier = 1")
    connection.execute("set local jit = off")


def stream(connection: Connection, query: LiteralString, arguments: Mapping[str, Any] | None = None) -> Iterator[Any]:
    """Rows of a query of the open transaction, some thousands at a time; neither side holds them all."""
    with connection.cursor(name="stream") as cursor:
        cursor.itersize = _ROWS_AT_A_TIME
        yield from cursor.execute(query, arguments)


def connect(conninfo: str, application: str) -> Connection:
    """Open a connection that reads integer arrays as NumPy arrays (when asked for in binary) and works in UTC.

    Parameters
    ----------
    conninfo
        libpq connection string.
    application
        What the server shows as the connection's owner.
    """
    connection = psycopg.connect(
        conninfo, application_name=application, options="-c timezone=UTC", connect_timeout=10, keepalives_idle=30
    )
    for name in ("int8", "int2"):
        connection.adapters.register_loader(connection.adapters.types[name].array_oid, ArrayLoader)
    return connection
