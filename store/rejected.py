"""Inputs that were not taken, with their original bytes and reason."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from grid.errors import Rejection
from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("rejected")


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """One entry of the rejected store, without its original bytes."""

    id: int
    reason: str
    detail: str
    quarantined: bool
    topic: str
    meters: list[str]
    original_size: int
    first_at: datetime
    seen: int
    replayed_at: datetime | None


def add_rejections(connection: Connection, rejections: Iterable[Rejection], at: datetime) -> None:
    """Store rejections inside the caller's transaction; the same input again is counted, not stored again."""
    # In one order, so that two workers can't wait for each other.
    ordered = sorted(((_fingerprint(rejection), rejection) for rejection in rejections), key=lambda each: each[0])
    with connection.cursor() as cursor:
        # One after the other: a rejection may name thousands of meters, and have megabytes.
        cursor.executemany(_SQL["add"], (_row(fingerprint, rejection, at) for fingerprint, rejection in ordered))


def _fingerprint(rejection: Rejection) -> bytes:
    digest = hashlib.sha256()
    for part in (rejection.reason.value.encode(), _storable(rejection.topic).encode(), rejection.original):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def _row(fingerprint: bytes, rejection: Rejection, at: datetime) -> dict[str, Any]:
    return {
        "fingerprint": fingerprint,
        "reason": rejection.reason.value,
        "detail": _storable(rejection.detail),
        "quarantined": rejection.quarantined,
        "topic": _storable(rejection.topic),
        "meters": [_storable(meter) for meter in rejection.meters],
        "original": rejection.original,
        "original_size": len(rejection.original),
        "at": at,
    }


def list_rejected(
    connection: Connection, reason: str | None = None, everything: bool = False, limit: int = 50
) -> list[RejectedRow]:
    """Entries, newest first; without `everything` only those that were not replayed."""
    arguments = {"reason": reason, "everything": everything, "limit": limit}
    return [RejectedRow(*row) for row in connection.execute(_SQL["list"], arguments)]


def read_original(connection: Connection, entry: int) -> bytes | None:
    """Original bytes of one entry; None when there is no such entry."""
    row = connection.execute(_SQL["one"], {"id": entry}).fetchone()
    return None if row is None else bytes(row[0])


def open_originals(
    connection: Connection, ids: list[int] | None, reason: str | None, limit: int, after: int = 0
) -> list[tuple[int, str, bytes]]:
    """(id, topic, original) of entries to replay by rising id above `after`: the named ones, or all in quarantine."""
    arguments = {"ids": ids, "reason": reason, "limit": limit, "after": after}
    return [(row[0], row[1], bytes(row[2])) for row in connection.execute(_SQL["originals"], arguments)]


def mark_replayed(connection: Connection, ids: list[int]) -> None:
    """Note that entries were given back to the pipeline."""
    connection.execute(_SQL["replayed"], {"ids": ids})


def _storable(text: str) -> str:
    # PostgreSQL's text holds no NUL, and UTF-8 no lone surrogate, which JSON can name: a rejection must never fail.
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
