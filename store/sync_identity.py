"""Entities and which record of which system is which: written as sets, nothing of it overwritten."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import dict_row

from store.connection import Connection, stream
from store.sql import load_queries

_SQL = load_queries("sync_identity")

#: System and dataset (``system.dataset``), and key.
RecordPlace = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody decided about a record."""

    decision_id: int
    action: str
    title: str
    key: str
    entity_id: int


@dataclass(frozen=True, slots=True)
class CrosswalkRow:
    """Which entity a record is."""

    title: str
    key: str
    entity_id: int
    method: str
    confidence: float
    state: str
    decision_id: int | None = None


class DecisionError(ValueError):
    """A decision that can't be made; the message says why, and nothing was written."""


def read_crosswalk(connection: Connection) -> dict[RecordPlace, int]:
    """Entity of each record, as it stands."""
    return {(title, key): entity for title, key, entity in connection.execute(_SQL["crosswalk"])}


def stream_crosswalk(connection: Connection) -> Iterator[tuple[str, str, int]]:
    """Title, key and entity of each record, as it stands, of the open transaction."""
    return stream(connection, _SQL["crosswalk"])


def read_decisions(connection: Connection) -> list[Decision]:
    """Decisions that stand, the oldest first."""
    return [Decision(*row) for row in connection.execute(_SQL["decisions"])]


def new_numbers(connection: Connection, count: int) -> list[int]:
    """Numbers of entities that are new."""
    return [row[0] for row in connection.execute(_SQL["numbers"], {"count": count})] if count else []


def write_identity(
    connection: Connection,
    entities: Iterable[tuple[int, str, str | None]],
    rows: Iterable[CrosswalkRow],
    at: datetime,
) -> int:
    """Make the crosswalk say this and no more; returns how many records changed their entity or are new.

    Parameters
    ----------
    entities
        Id, kind and the grid model's code.
    """
    connection.execute(_SQL["stage"])
    with connection.cursor() as cursor:
        with cursor.copy(_SQL["copy_entities"]) as copy:
            for entity in entities:
                copy.write_row(entity)
        with cursor.copy(_SQL["copy_crosswalk"]) as copy:
            for row in rows:
                system, _, dataset = row.title.partition(".")
                copy.write_row(
                    (system, dataset, row.key, row.entity_id, row.method, row.confidence, row.state, row.decision_id)
                )
    connection.execute("analyze pg_temp.stage_entity; analyze pg_temp.stage_crosswalk")
    for name in ("free_codes", "free_taken", "entities_write"):
        connection.execute(_SQL[name])
    connection.execute(_SQL["end_crosswalk"], {"at": at})
    return connection.execute(_SQL["add_crosswalk"], {"at": at}).rowcount


def read_unsure(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """Records of which it isn't sure what they are, the least sure first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["unsure"], {"limit": limit}).fetchall()


def decide_merge(
    connection: Connection, title: str, key: str, entity_id: int, by: str, reason: str, at: datetime
) -> int | None:
    """Record that a record is a known entity; None where either isn't known.

    Raises
    ------
    DecisionError
        They are of different kinds, or another decision about the record stands.
    """
    known = _kind_of(connection, entity_id)
    former = _entity_of(connection, title, key)
    if known is None or former is None:
        return None
    if (kind := _kind_of(connection, former)) != known:
        raise DecisionError(f"the record is of kind {kind}, and entity {entity_id} of kind {known}")
    return _decide(connection, "merge", title, key, entity_id, former, by, reason, at)


def decide_split(connection: Connection, title: str, key: str, by: str, reason: str, at: datetime) -> int | None:
    """Record that a record is something of its own; None where it isn't known.

    Raises
    ------
    DecisionError
        Another decision about the record stands.
    """
    former = _entity_of(connection, title, key)
    if former is None:
        return None
    row = connection.execute(_SQL["add_entity"], {"entity_id": former}).fetchone()
    assert row is not None  # noqa: S101  # returning
    return _decide(connection, "split", title, key, int(row[0]), former, by, reason, at)


def undo_decision(connection: Connection, decision_id: int, by: str, at: datetime) -> bool:
    """Take a decision back: the record is what it was before; False where there is no such decision."""
    row = connection.execute(_SQL["undo"], {"decision_id": decision_id, "by": by, "at": at}).fetchone()
    if row is None:
        return False
    system, dataset, key, former = row
    where = {"system": system, "dataset": dataset, "key": key, "at": at}
    connection.execute(_SQL["end_record"], where)
    more = {"entity_id": former, "method": "decision undone", "decision_id": None}
    connection.execute(_SQL["add_record"], where | more)
    return True


def _kind_of(connection: Connection, entity_id: int) -> str | None:
    row = connection.execute(_SQL["known_entity"], {"entity_id": entity_id}).fetchone()
    return None if row is None else str(row[0])


def _entity_of(connection: Connection, title: str, key: str) -> int | None:
    system, _, dataset = title.partition(".")
    row = connection.execute(_SQL["of_record"], {"system": system, "dataset": dataset, "key": key}).fetchone()
    return None if row is None else int(row[0])


def _decide(
    connection: Connection,
    action: str,
    title: str,
    key: str,
    entity: int,
    former: int,
    by: str,
    reason: str,
    at: datetime,
) -> int:
    system, _, dataset = title.partition(".")
    where: dict[str, Any] = {"system": system, "dataset": dataset, "key": key, "at": at, "entity_id": entity}
    said = {"action": action, "former_id": former, "by": by, "reason": reason}
    row = connection.execute(_SQL["decide"], where | said).fetchone()
    if row is None:
        raise DecisionError(f"a decision about {title}/{key} stands: undo it first")
    connection.execute(_SQL["end_record"], where)
    connection.execute(_SQL["add_record"], where | {"method": f"decided: {action}", "decision_id": row[0]})
    return int(row[0])
