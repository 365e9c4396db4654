"""Conflicts as they come and go, rules of authority, and the consistency of relations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg.rows import dict_row

from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("sync_conflicts")


@dataclass(frozen=True, slots=True)
class ConflictRow:
    """A contradiction that was found."""

    fingerprint: bytes
    kind: str
    entity_kind: str
    entity_id: int | None
    field: str
    system: str
    dataset: str
    key: str | None
    department: str
    believed: str | None
    given: str | None
    said: Mapping[str, str | None]
    confidence: float


@dataclass(frozen=True, slots=True)
class ConflictCounts:
    """What a comparison came to."""

    found: int
    opened: int
    closed: int


def write_conflicts(connection: Connection, rows: Iterable[ConflictRow], at: datetime) -> ConflictCounts:
    """Open what is new, close what was not found again, with the proposals about it."""
    connection.execute(_SQL["stage"])
    found = 0
    with connection.cursor() as cursor, cursor.copy(_SQL["copy"]) as copy:
        for row in rows:
            found += 1
            copy.write_row(
                (row.fingerprint, row.kind, row.entity_kind, row.entity_id, row.field, row.system, row.dataset,
                 row.key, row.department, row.believed, row.given, json.dumps(row.said), row.confidence)
            )  # fmt: skip
    connection.execute("analyze pg_temp.stage_conflict")
    reopened = connection.execute(_SQL["reopen"], {"at": at}).rowcount
    connection.execute(_SQL["refresh"], {"at": at})
    opened = connection.execute(_SQL["open"], {"at": at}).rowcount
    closed = connection.execute(_SQL["close"], {"at": at}).rowcount
    connection.execute(_SQL["end_proposals"], {"at": at})
    return ConflictCounts(found, opened + reopened, closed)


def list_conflicts(
    connection: Connection,
    kind: str | None,
    system: str | None,
    department: str | None,
    code: str | None,
    closed: bool,
    limit: int,
    after: int = 0,
) -> list[dict[str, Any]]:
    """Conflicts, the newest first; `after`: of lower numbers than that one."""
    arguments = {
        "kind": kind, "system": system, "department": department, "code": code, "closed": closed, "limit": limit,
        "after": after,
    }  # fmt: skip
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["listed"], arguments).fetchall()


def count_conflicts(connection: Connection) -> list[dict[str, Any]]:
    """Open conflicts by kind, system and department."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["counts"]).fetchall()


def read_conflict(connection: Connection, conflict_id: int) -> dict[str, Any] | None:
    """A conflict with what each system says of the thing; None where there is none."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["shown"], {"conflict_id": conflict_id}).fetchone()


def is_matched(connection: Connection) -> bool:
    """Whether records were ever compared."""
    row = connection.execute("select exists (select from sync.crosswalk)").fetchone()
    return row is not None and bool(row[0])


def read_found(connection: Connection) -> list[tuple[str, str, str, str | None, list[str]]]:
    """Kind, system, dataset and key of each open conflict, and the records that speak of it."""
    return [(k, s, d, key, said or []) for k, s, d, key, said in connection.execute(_SQL["found"])]


def read_authority(connection: Connection) -> list[tuple[str, str, tuple[str, ...], datetime, datetime]]:
    """Recorded rules: entity, field, systems, valid from, recorded at."""
    return [(e, f, tuple(s), v, r) for e, f, s, v, r in connection.execute(_SQL["authority"])]


def add_authority(
    connection: Connection, entity: str, field: str, systems: list[str], valid_from: datetime, by: str, reason: str
) -> int:
    """Record a rule; returns its number."""
    arguments = {
        "entity": entity, "field": field, "systems": systems, "valid_from": valid_from, "by": by, "reason": reason,
    }  # fmt: skip
    row = connection.execute(_SQL["add_authority"], arguments).fetchone()
    assert row is not None  # noqa: S101  # returning
    return int(row[0])


def write_consistency(connection: Connection, day: date, at: datetime) -> None:
    """Write the share of right relations of every unit for a day."""
    connection.execute(_SQL["consistency"], {"day": day, "at": at})


def read_rates(connection: Connection, day: date, unit: str | None, limit: int) -> list[dict[str, Any]]:
    """Rates of units, the worst first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["rates"], {"day": day, "unit": unit, "limit": limit}).fetchall()


def read_rate_totals(connection: Connection, day: date) -> list[dict[str, Any]]:
    """Rates of all units together."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["rate_totals"], {"day": day}).fetchall()
