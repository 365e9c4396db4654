"""A table of another PostgreSQL database: a row an entity, its document as ``jsonb``, and a row a delivery taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from grid.document import Document, Key
from store.deliveries import Attempt, Outcome
from sync.targets.contract import Parcel, TargetError, digest_of

_TIMEOUT_S = 10
_PAGE = 5_000

_MAKE = sql.SQL("""
create table if not exists {entity} (
  kind text not null,
  code text not null,
  body jsonb,
  number bigint not null,
  delivery_id uuid not null,
  received_at timestamptz not null default now(),
  primary key (kind, code)
);
create table if not exists {taken} (delivery_id uuid primary key, received_at timestamptz not null default now())
""")
_TAKE = sql.SQL("insert into {taken} (delivery_id) values (%s) on conflict do nothing")
_PUT = sql.SQL("""
insert into {entity} as e (kind, code, body, number, delivery_id) values (%s, %s, %s, %s, %s)
on conflict (kind, code) do update
set body = excluded.body, number = excluded.number, delivery_id = excluded.delivery_id, received_at = now()
where e.number <= excluded.number
""")
_READ = sql.SQL("""
select e.kind, e.code, e.body
from unnest(%s::text[], %s::text[]) k(kind, code)
join {entity} e using (kind, code)
where e.body is not null
""")
_KEYS = sql.SQL("select kind, code from {entity} where body is not null order by kind, code")


class PostgresTable:
    """A `Carrier`; the tables are made when they aren't there and it may do so.

    Parameters
    ----------
    conninfo
        Of libpq; never shown.
    table
        Of entities, with a schema before a dot if need be; the deliveries' is named the same with ``_taken``.
    """

    def __init__(self, conninfo: str, table: str) -> None:
        parts = table.split(".")
        self._conninfo = conninfo
        self._names = {
            "entity": sql.Identifier(*parts),
            "taken": sql.Identifier(*parts[:-1], f"{parts[-1]}_taken"),
        }
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def send(self, parcels: Sequence[Parcel]) -> list[Attempt]:
        """All parcels in one transaction: all are there, or none."""
        try:
            connection = self._connected()
            with connection.transaction():
                for parcel in parcels:
                    self._take(connection, parcel)
        except (psycopg.Error, TargetError) as error:
            self._drop()
            return [Attempt(Outcome.FAILED, f"{type(error).__name__}: {error}".strip())] * len(parcels)
        return [Attempt(Outcome.DELIVERED)] * len(parcels)

    def _take(self, connection: psycopg.Connection[tuple[Any, ...]], parcel: Parcel) -> None:
        connection.execute(_TAKE.format(**self._names), [parcel.delivery_id])
        rows: list[tuple[object, ...]] = [
            (*document.key, Jsonb(dict(document.body)), parcel.number, parcel.delivery_id)
            for document in parcel.documents
        ]
        # A row without a body stands for what was removed: a late parcel must not bring it back.
        rows += [(*key, None, parcel.number, parcel.delivery_id) for key in parcel.removed]
        with connection.cursor() as cursor:
            cursor.executemany(_PUT.format(**self._names), rows)

    def expected(self, document: Document) -> bytes | None:
        """The whole document."""
        return digest_of(document.body)

    def read(self, keys: Sequence[Key]) -> Mapping[Key, bytes]:
        """From the bodies as they stand in the table, whoever wrote them."""
        try:
            arguments = [[key.kind for key in keys], [key.code for key in keys]]
            rows = self._connected().execute(_READ.format(**self._names), arguments).fetchall()
        except psycopg.Error as error:
            self._drop()
            raise TargetError(f"{type(error).__name__}: {error}".strip()) from None
        return {Key(kind, code): digest_of(body) for kind, code, body in rows}

    def keys(self) -> Iterable[Key]:
        """By kind and code."""
        try:
            with self._connected().transaction(), self._connected().cursor("meterline_keys") as cursor:
                cursor.itersize = _PAGE
                for row in cursor.execute(_KEYS.format(**self._names)):
                    yield Key(*row)
        except psycopg.Error as error:
            self._drop()
            raise TargetError(f"{type(error).__name__}: {error}".strip()) from None

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._conninfo,
                autocommit=True,
                connect_timeout=_TIMEOUT_S,
                application_name="meterline-sync-target",
                options=f"-c timezone=UTC -c statement_timeout={_TIMEOUT_S * 1000} -c lock_timeout={_TIMEOUT_S * 1000}",
            )
            self._make(self._connection)
        return self._connection

    def _make(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        row = connection.execute(
            "select to_regclass(%s) is null", [self._names["entity"].as_string(connection)]
        ).fetchone()
        if row is not None and row[0]:
            connection.execute(_MAKE.format(**self._names))

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
