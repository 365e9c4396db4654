"""Copies the grid model from one database into another that has none, with its ids, and recorded thresholds with it."""

from __future__ import annotations

from graphlib import TopologicalSorter

from psycopg import IsolationLevel, sql
from psycopg.abc import Query

from store.connection import Connection
from store.sql import load_queries
from store.thresholds import newest_threshold

_SQL = load_queries("model_copy")


class ModelCopyError(RuntimeError):
    """The model can't be copied; the message says why."""


def has_model(connection: Connection) -> bool:
    """Whether a database has units."""
    return bool(_one(connection, "has_units"))


def is_migrated(connection: Connection) -> bool:
    """Whether a database has our tables."""
    return bool(_one(connection, "is_migrated"))


def copy_model(source: Connection, target: Connection) -> int:
    """Copy what was ever believed of the grid, as of one instant; returns the number of rows.

    Units are known by their ids in all results, so these stay as they are. What was recorded of thresholds comes too,
    where the target has none of its own.

    Parameters
    ----------
    source, target
        Neither in a transaction; the target may write to schema ``grid`` and has no model.

    Raises
    ------
    ModelCopyError
        When the two are of different releases; nothing is written.
    """
    source.isolation_level = IsolationLevel.REPEATABLE_READ
    rows = 0
    with source.transaction(), target.transaction():
        tables, identities = _tables(source)
        if tables != _tables(target)[0]:
            raise ModelCopyError("the two databases aren't of the same release: run `meterline migrate` on both")
        ordered = _in_order(source, tables)
        # What a migration has put into tables of a grid without units gives way.
        for table in reversed(ordered):
            target.execute(sql.SQL("delete from {}").format(sql.Identifier("grid", table)))
        for table in ordered:
            rows += _copy(source, target, table, tables[table])
        for table, column in identities:
            _go_on(target, table, column)
        if not newest_threshold(target):
            rows += _pipe(source, target, _SQL["read_thresholds"], _SQL["write_thresholds"])
            target.execute(_SQL["number_thresholds"])
    return rows


def _go_on(target: Connection, table: str, column: str) -> None:
    """Let the next id be the one after those that were copied."""
    query = sql.SQL(
        "select setval(pg_get_serial_sequence({name}, {text}), greatest(max({column}), 1), count(*) > 0) from {table}"
    )
    names = {
        "name": sql.Literal(f"grid.{table}"),
        "text": sql.Literal(column),
        "column": sql.Identifier(column),
        "table": sql.Identifier("grid", table),
    }
    target.execute(query.format(**names))


def _tables(connection: Connection) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    found = connection.execute(_SQL["tables"]).fetchall()
    columns = {table: sorted(names) for table, names, _ in found}
    return columns, [(table, name) for table, _, names in found for name in names or ()]


def _in_order(connection: Connection, tables: dict[str, list[str]]) -> list[str]:
    """Tables, each after those that it refers to."""
    order: TopologicalSorter[str] = TopologicalSorter({table: set() for table in tables})
    for table, other in connection.execute(_SQL["references"]):
        table_name, other_name = table.split(".")[-1].strip('"'), other.split(".")[-1].strip('"')
        if {table_name, other_name} <= tables.keys():
            order.add(table_name, other_name)
    return list(order.static_order())


def _copy(source: Connection, target: Connection, table: str, columns: list[str]) -> int:
    names = {
        "table": sql.Identifier("grid", table),
        "columns": sql.SQL(", ").join(map(sql.Identifier, columns)),
    }
    out = sql.SQL("copy {table} ({columns}) to stdout").format(**names)
    into = sql.SQL("copy {table} ({columns}) from stdin").format(**names)
    return _pipe(source, target, out, into)


def _pipe(source: Connection, target: Connection, out: Query, into: Query) -> int:
    with source.cursor() as read, target.cursor() as write:
        with read.copy(out) as given, write.copy(into) as taken:
            for data in given:
                taken.write(data)
        return max(write.rowcount, 0)


def _one(connection: Connection, query: str) -> object:
    row = connection.execute(_SQL[query]).fetchone()
    return None if row is None else row[0]
