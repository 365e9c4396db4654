"""What targets hold: what is to be read back from them, and since when they disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from grid.document import Key
from grid.topics import GRID_CHANGE
from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("sync_targets")


@dataclass(frozen=True, slots=True)
class Arrived:
    """A delivery that has arrived, and isn't read back yet."""

    delivery_id: UUID
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Compared:
    """Digests of what a target should hold of an entity, and of what it holds; None: nothing."""

    key: Key
    expected: bytes | None
    seen: bytes | None

    @property
    def agrees(self) -> bool:
        """Whether they are the same."""
        return self.expected == self.seen


def read_arrived(connection: Connection, target: str, limit: int) -> list[Arrived]:
    """Deliveries that are to be read back, the oldest first."""
    return [Arrived(*row) for row in connection.execute(_SQL["to_read"], {"target": target, "limit": limit})]


def read_pending(
    connection: Connection, target: str, codes: Sequence[str], but: Sequence[UUID], limit: int
) -> tuple[int, list[dict[str, Any]]]:
    """How many notices are on their way to a target (owed, arrived and not read back, or not relayed yet), and those
    of them that may concern some entities.

    Parameters
    ----------
    codes
        Of the entities.
    but
        Deliveries that are just being read back.
    limit
        Of each of the three, as many as are looked at.
    """
    arguments = {"target": target, "codes": list(codes), "but": list(but), "limit": limit, "topic": GRID_CHANGE}
    row = connection.execute(_SQL["pending"], arguments).fetchone()
    assert row is not None  # noqa: S101  # a count
    return row[0], row[1]


def count_owed(connection: Connection, target: str) -> int:
    """Deliveries of a target that haven't arrived or aren't read back yet."""
    row = connection.execute(_SQL["owed"], {"target": target}).fetchone()
    return 0 if row is None else int(row[0])


def write_compared(
    connection: Connection, target: str, compared: Sequence[Compared], read: Sequence[UUID], at: datetime
) -> None:
    """Note what was seen of a target, in one transaction with the deliveries that this settles."""
    by_kind: dict[str, list[Compared]] = {}
    for each in compared:
        by_kind.setdefault(each.key.kind, []).append(each)
    with connection.transaction():
        # In one order, so that two who compare one target never wait for each other's counts.
        for kind, some in sorted(by_kind.items()):
            arguments = {
                "target": target,
                "kind": kind,
                "codes": [each.key.code for each in some],
                "expected": [each.expected for each in some],
                "seen": [each.seen for each in some],
                "at": at,
            }
            for name in ("end_drift", "write_states", "forget_states"):
                connection.execute(_SQL[name], arguments)
        if read:
            connection.execute(_SQL["was_read"], {"ids": list(read)})


def known_codes(connection: Connection, target: str, kind: str, before: datetime, after: str, limit: int) -> list[str]:
    """Codes of entities that a target was seen with and that weren't looked at since an instant, in their order."""
    arguments = {"target": target, "kind": kind, "before": before, "after": after, "limit": limit}
    return [row[0] for row in connection.execute(_SQL["known"], arguments)]


def list_drift(
    connection: Connection, target: str | None, limit: int, after: tuple[str, str, str] = ("", "", "")
) -> list[dict[str, Any]]:
    """Entities of which a target says otherwise than the model, by target, kind and code."""
    arguments = {
        "target": target, "limit": limit, "after_target": after[0], "after_kind": after[1], "after_code": after[2],
    }  # fmt: skip
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["drifted"], arguments).fetchall()


def count_drift(connection: Connection) -> list[dict[str, Any]]:
    """Entities known of each target, those that disagree, and the oldest disagreement."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["drift_counts"]).fetchall()


def drift_minutes(connection: Connection, begin: datetime, end: datetime) -> list[Mapping[str, Any]]:
    """Minutes of disagreement within [begin, end) by target and kind of entity, added over entities."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return [*cursor.execute(_SQL["drift_minutes"], {"from": begin, "to": end})]
