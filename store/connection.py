"""Connections to the database."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.adapt import Buffer, Loader
from psycopg.pq import Format

from store.pgbinary import parse_array

Connection = psycopg.Connection[tuple[Any, ...]]

#: Failures of the store and not of what is written: it is away, or not yet what this release needs. To be tried again.
STORE_ERRORS: tuple[type[psycopg.Error], ...] = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
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
