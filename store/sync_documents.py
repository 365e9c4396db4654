"""Documents of entities as targets receive them: by their keys, or all of a kind in order of their codes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from psycopg import sql

from grid.document import MODEL_KINDS, Document, Key
from store.connection import Connection
from store.deliveries import owe_item
from store.sql import load_queries

_SQL = load_queries("sync_documents")
_NAMED = sql.SQL("s.code = any(%(codes)s)")
_PAGED = sql.SQL("s.code > %(after)s")

#: Subjects that a target can subscribe to beside the grid model, with the kind of their documents.
SUBJECTS = {"loss": "loss_day", "findings": "finding", "work_orders": "work_order"}
_FEED_BATCH = 500


def read_documents(connection: Connection, keys: Iterable[Key]) -> dict[Key, Document]:
    """What is believed of some entities; those that nobody knows are left out."""
    by_kind: dict[str, list[str]] = {}
    for key in keys:
        by_kind.setdefault(key.kind, []).append(key.code)
    found: dict[Key, Document] = {}
    for kind, codes in by_kind.items():
        statement: Any = _SQL[kind]
        if kind in MODEL_KINDS:
            statement = sql.SQL(_SQL[kind]).format(these=_NAMED)
        arguments = {"codes": codes, "limit": None}
        for code, body in connection.execute(statement, arguments):
            found[Key(kind, code)] = Document(Key(kind, code), body)
    return found


def pages_of(connection: Connection, kind: str, size: int) -> Iterator[list[Document]]:
    """All documents of a kind of the grid model, in order of their codes."""
    statement = sql.SQL(_SQL[kind]).format(these=_PAGED)
    after = ""
    while rows := connection.execute(statement, {"after": after, "limit": size}).fetchall():
        yield [Document(Key(kind, code), body) for code, body in rows]
        after = rows[-1][0]


def members_of(connection: Connection, units: Sequence[str]) -> list[Key]:
    """What is loaded with units: their substations, meters and the meters' accounts."""
    return [Key(*row) for row in connection.execute(_SQL["members_of"], {"units": list(units)})]


def owe_fresh(connection: Connection, target: str, subject: str, at: datetime) -> int:
    """Owe a target what is new of a subject since it subscribed; returns how much, in one transaction."""
    with connection.transaction():
        who = {"target": target, "subject": subject}
        connection.execute(_SQL["begin_feed"], {**who, "at": at})
        row = connection.execute(_SQL["feed"], who).fetchone()
        assert row is not None  # noqa: S101  # begun above
        kind = SUBJECTS[subject]
        arguments = {"target": target, "at": row[0], "number": row[1], "limit": _FEED_BATCH}
        fresh = connection.execute(_SQL[f"fresh_{subject}"], arguments).fetchall()
        for code, sequence, happened_at, _ in fresh:
            notice = {
                "type": f"{subject}.changed",
                "timestamp": happened_at.isoformat(),
                "data": {"entities": [[kind, code]]},
            }
            owe_item(connection, target, f"{kind}:{code}", sequence, notice)
        if fresh:
            moved = {"at": max(f[2] for f in fresh), "number": max(f[3] for f in fresh)}
            connection.execute(_SQL["move_feed"], {**who, **moved})
    return len(fresh)
