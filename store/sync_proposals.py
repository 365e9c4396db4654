"""Proposals, and who did what with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("sync_proposals")


@dataclass(frozen=True, slots=True)
class LockedProposal:
    """A proposal whose row is locked until the transaction ends."""

    state: str
    proposed_by: str
    approvals_needed: int
    target: str
    change: dict[str, Any] | None
    inverse: dict[str, Any] | None
    approved_by: list[str]
    version: int
    corrected_by: str | None
    before: dict[str, Any]
    after: dict[str, Any]


def find_to_propose(
    connection: Connection, kind: str | None, system: str | None, confidence: float, limit: int
) -> list[int]:
    """Open conflicts about which nothing is proposed, nor was refused since they opened."""
    arguments = {"kind": kind, "system": system, "confidence": confidence, "limit": limit}
    return [row[0] for row in connection.execute(_SQL["ids_to_propose"], arguments)]


def read_to_propose(connection: Connection, ids: list[int]) -> list[dict[str, Any]]:
    """Open conflicts of these numbers."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["to_propose"], {"ids": ids}).fetchall()


def write_proposal(
    connection: Connection,
    conflict_id: int,
    target: str,
    before: dict[str, Any],
    after: dict[str, Any],
    change: dict[str, Any] | None,
    inverse: dict[str, Any] | None,
    approvals_needed: int,
    by: str,
    reason: str,
    at: datetime,
    due_at: datetime,
) -> int | None:
    """Record a proposal; None where one about the conflict stands already."""
    row = connection.execute(
        _SQL["propose"],
        {
            "conflict_id": conflict_id, "target": target, "before": Jsonb(before), "after": Jsonb(after),
            "change": None if change is None else Jsonb(change),
            "inverse": None if inverse is None else Jsonb(inverse),
            "approvals_needed": approvals_needed, "by": by, "reason": reason, "at": at, "due_at": due_at,
        },
    ).fetchone()  # fmt: skip
    return None if row is None else int(row[0])


def lock_proposal(connection: Connection, proposal_id: int) -> LockedProposal | None:
    """The proposal, kept from others until the transaction ends; None where there is none."""
    row = connection.execute(_SQL["locked"], {"proposal_id": proposal_id}).fetchone()
    return None if row is None else LockedProposal(*row)


def write_event(
    connection: Connection, proposal_id: int, action: str, by: str, department: str, reason: str | None, at: datetime
) -> None:
    """Record who did what."""
    connection.execute(
        _SQL["event"],
        {"proposal_id": proposal_id, "action": action, "by": by, "department": department, "reason": reason, "at": at},
    )


def correct_proposal(
    connection: Connection,
    proposal_id: int,
    after: dict[str, Any],
    change: dict[str, Any],
    inverse: dict[str, Any],
    by: str,
) -> None:
    """Put another change into a locked proposal; approvals of the former one don't count any more."""
    connection.execute(
        _SQL["correct"],
        {
            "proposal_id": proposal_id, "after": Jsonb(after), "change": Jsonb(change), "inverse": Jsonb(inverse),
            "by": by,
        },
    )  # fmt: skip


def read_about(connection: Connection, proposal_id: int) -> tuple[str, str | None, str] | None:
    """Kind of entity, its code and the field that a proposal is about; None where it isn't about a conflict."""
    row = connection.execute(_SQL["about"], {"proposal_id": proposal_id}).fetchone()
    return None if row is None else (row[0], row[1], row[2])


def settle_proposal(connection: Connection, proposal_id: int, state: str, outbox_id: int | None) -> None:
    """Put a locked proposal into a state."""
    connection.execute(_SQL["settle"], {"proposal_id": proposal_id, "state": state, "outbox_id": outbox_id})


def list_proposals(
    connection: Connection, state: str | None, target: str | None, limit: int, after: int = 0
) -> list[dict[str, Any]]:
    """Proposals, the newest first; `after`: of lower numbers than that one."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            _SQL["listed"], {"state": state, "target": target, "limit": limit, "after": after}
        ).fetchall()


def read_proposal(connection: Connection, proposal_id: int) -> dict[str, Any] | None:
    """A proposal with all that was done with it; None where there is none."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["shown"], {"proposal_id": proposal_id}).fetchone()


def count_proposals(connection: Connection) -> list[tuple[str, int]]:
    """How many proposals are in each state."""
    return [(row[0], int(row[1])) for row in connection.execute(_SQL["counts"])]
