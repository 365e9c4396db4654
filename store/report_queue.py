"""Reports that are owed to the targets of alerts: each once, whoever asks how often."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from psycopg.types.json import Jsonb

from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("rollout_reports")
_NAMESPACE = UUID("c0a3a4f7-26f5-5e0b-9df1-52f1de4b7a55")


def unsent_targets(
    connection: Connection, span: str, level: str, unit: str | None, until: datetime, targets: list[str]
) -> list[str]:
    """Those of some targets to which a report was not owed yet."""
    key = {"span": span, "level": level, "unit": unit or "", "until": until, "targets": targets}
    return [row[0] for row in connection.execute(_SQL["unsent"], key)]


def owe_report(
    connection: Connection,
    span: str,
    level: str,
    unit: str | None,
    until: datetime,
    target: str,
    payload: dict[str, Any],
    now: datetime,
) -> bool:
    """Owe a report to a target, in one transaction with the note that it is owed; False where it was already.

    The delivery's id is made of what is told to whom, so that a receiver can tell a repeat.
    """
    name = f"{span}/{level}/{unit or ''}/{until.timestamp():.0f}/{target}"
    row = connection.execute(
        _SQL["owe"],
        {
            "span": span, "level": level, "unit": unit or "", "until": until, "target": target, "now": now,
            "delivery_id": uuid5(_NAMESPACE, name), "group_key": f"report:{span}:{level}:{unit or ''}",
            "payload": Jsonb(payload),
        },
    ).fetchone()  # fmt: skip
    return row is not None
