"""Tables of another PostgreSQL database: a whole table, or what a change column says is new."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.types.datetime import DateLoader, TimestampLoader, TimestamptzLoader

from sync.sources.contract import KEPT, RawRecord, Refusal, SourceError, Taken, checked_key, number_text

_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class TableSource:
    """A table to read.

    Attributes
    ----------
    table
        May name a schema before a dot.
    key
        Column of the key.
    changed
        Column that rises with each change of a row; with `since` only rows beyond are read.
    """

    dataset: str
    table: str
    key: str
    changed: str | None = None
    since: str | None = None


def read_table(conninfo: str, source: TableSource) -> Taken:
    """Rows of a table, streamed with a cursor on the server in a transaction that reads only.

    Raises
    ------
    SourceError
        The database, the table or a column can't be read.
    """
    try:
        with psycopg.connect(conninfo, connect_timeout=10, application_name="meterline-sync") as connection:
            for name, loader in _LOADERS.items():
                connection.adapters.register_loader(name, loader)
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            yield from _rows(connection, source)
    except psycopg.Error as error:
        raise SourceError(f"table {source.table}: {str(error).strip().splitlines()[0]}") from None


def _rows(connection: psycopg.Connection[Any], source: TableSource) -> Iterator[RawRecord | Refusal]:
    table = sql.Identifier(*source.table.split("."))
    order = sql.Identifier(source.changed or source.key)
    statement = sql.SQL("select * from {}").format(table)
    arguments: list[object] = []
    if source.changed is not None and source.since is not None:
        # Equal ones as well: two rows of one instant may have been committed one after the other.
        statement += sql.SQL(" where {} >= {}").format(order, sql.Literal(source.since))
    statement += sql.SQL(" order by {}").format(order)
    with connection.cursor(name="meterline_sync") as cursor:
        cursor.itersize = _BATCH
        cursor.execute(statement, arguments)
        names = [column.name for column in cursor.description or ()]
        if source.key not in names:
            raise SourceError(f"table {source.table}: no column {source.key}")
        at = names.index(source.key)
        for line, row in enumerate(cursor, start=1):
            key = checked_key(row[at], line, at + 1, str(row)[:KEPT])
            if isinstance(key, Refusal):
                yield key
                continue
            yield RawRecord(
                source.dataset, key, {n: _text(v) for n, v in zip(names, row, strict=True)}, line,
                at_us=_changed_us(row[names.index(source.changed)] if source.changed in names else None),
            )  # fmt: skip


def _or_text(load: Callable[[Buffer], Any], data: Buffer) -> Any:
    """A time; as text where Python has none such, as of infinity or of a year before Christ."""
    try:
        return load(data)
    except psycopg.DataError:
        return bytes(data).decode()


class _Timestamptz(TimestamptzLoader):
    def load(self, data: Buffer) -> Any:
        return _or_text(super().load, data)


class _Timestamp(TimestampLoader):
    def load(self, data: Buffer) -> Any:
        return _or_text(super().load, data)


class _Date(DateLoader):
    def load(self, data: Buffer) -> Any:
        return _or_text(super().load, data)


_LOADERS: dict[str, type[Loader]] = {"timestamptz": _Timestamptz, "timestamp": _Timestamp, "date": _Date}


def _changed_us(value: Any) -> int | None:
    if isinstance(value, datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return int(aware.timestamp() * 1e6)
    return None


def _text(value: Any) -> str | None:
    """A value as an extract of the same table in CSV would have it."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return number_text(value) if isinstance(value, float) else str(value)
