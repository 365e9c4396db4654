"""Deliveries that are owed to other systems: claimed when due, sent by what the caller passes in, tried again.

At least once: a delivery keeps its id over all attempts, so that a receiver can tell a repeat. What is sent and how
is not known here; see `meterline.webhook`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from psycopg import sql
from psycopg.types.json import Jsonb

from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("deliveries")

#: A claimed row is another sender's again after this time; longer than a batch may take.
LEASE_S = 60.0
#: Delays between attempts double up to this one.
MAX_DELAY_S = 3_600.0
#: Rows claimed at once.
BATCH = 32
_MAX_ERROR = 500
#: Ids of deliveries are made from what is told, and to whom.
_NAMESPACE = UUID("5f1d6f43-2f0c-5a51-9a0e-6d1b7f0f2c6e")


@dataclass(frozen=True, slots=True)
class Target:
    """A receiver of webhooks."""

    name: str
    url: str
    secret: bytes
    """Key of the signature; never shown."""
    allow_private: bool = False
    """Whether it may be on a private network or this machine."""

    def __repr__(self) -> str:
        return f"Target(name={self.name!r}, url={self.url!r})"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One delivery to send now."""

    delivery_id: UUID
    target: Target
    body: bytes
    attempt: int


class Outcome(StrEnum):
    """What came of one attempt."""

    DELIVERED = "delivered"
    FAILED = "failed"  # to be tried again
    GONE = "gone"  # the receiver wants no more
    NOT_SENT = "not_sent"  # the service stops; the attempt doesn't count


@dataclass(frozen=True, slots=True)
class Attempt:
    """Result of sending one delivery.

    Attributes
    ----------
    detail
        What went wrong, for people.
    retry_after_s
        The receiver's own wish, if it has one.
    """

    outcome: Outcome
    detail: str = ""
    retry_after_s: float = 0.0


#: Sends a batch; returns one attempt for each, in order, within less than `LEASE_S`.
Send = Callable[[Sequence[Outgoing]], Sequence[Attempt]]


class Queue(StrEnum):
    """Who owes."""

    ALERTS = "alerts"
    SYNC = "sync"


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """What came of a batch."""

    claimed: int = 0
    delivered: int = 0
    failed: int = 0
    gone: int = 0


@dataclass(frozen=True, slots=True)
class Backlog:
    """State of one target's deliveries."""

    target: str
    waiting: int
    delivered: int
    oldest_waiting: datetime | None
    disabled: bool


def owe_change(connection: Connection, outbox_id: int, target: str, payload: dict[str, Any]) -> None:
    """Owe a target the telling of a change, inside the caller's transaction; once, however often it is called."""
    delivery_id = uuid5(_NAMESPACE, f"sync/{outbox_id}/{target}")
    connection.execute(
        _SQL["owe_change"],
        {"id": delivery_id, "outbox_id": outbox_id, "target": target, "payload": Jsonb(payload)},
    )


def owe_alert(connection: Connection, alert_id: int, event: str, target: str, payload: dict[str, Any]) -> None:
    """Owe a target the telling of what became of an alert, inside the caller's transaction; once an event."""
    delivery_id = uuid5(_NAMESPACE, f"alerts/{alert_id}/{event}/{target}")
    connection.execute(
        _SQL["owe_alert"],
        {"id": delivery_id, "alert_id": alert_id, "target": target, "payload": Jsonb(payload)},
    )


def retry_delay_s(attempts: int, jitter: float, retry_after_s: float = 0.0) -> float:
    """Seconds until the next attempt: 2, 4, 8 … up to an hour, of which a random half is left out.

    Parameters
    ----------
    attempts
        Made so far, at least 1.
    jitter
        Uniform in [0, 1).
    retry_after_s
        Not sooner than the receiver wishes, up to an hour.
    """
    backoff = min(MAX_DELAY_S, 2.0 ** min(attempts, 20)) * (1 - jitter / 2)
    return max(backoff, min(retry_after_s, MAX_DELAY_S))


def deliver_due(
    connection: Connection,
    queue: Queue,
    targets: Sequence[Target],
    send: Send,
    now: Callable[[], datetime],
    jitter: Callable[[], float],
) -> DeliveryCounts:
    """Claim up to `BATCH` due deliveries of the known targets, send them, and note what came of each.

    No transaction is open while they are sent. A delivery of a target that isn't configured waits.
    """
    by_name = {target.name: target for target in targets}
    if not by_name:
        return DeliveryCounts()
    with connection.transaction():
        rows = connection.execute(
            _SQL[f"claim_{queue.value}"],
            {"now": now(), "lease_s": LEASE_S, "targets": list(by_name), "limit": BATCH},
        ).fetchall()
    if not rows:
        return DeliveryCounts()
    batch = [Outgoing(row[0], by_name[row[1]], _body(row[2]), row[3]) for row in rows]
    attempts = send(batch)
    with connection.transaction():
        for outgoing, attempt in zip(batch, attempts, strict=True):
            delay_s = retry_delay_s(outgoing.attempt, jitter(), attempt.retry_after_s)
            connection.execute(
                _of(queue, attempt.outcome.value),
                {"id": outgoing.delivery_id, "now": now(), "delay_s": delay_s, "error": attempt.detail[:_MAX_ERROR]},
            )
    outcomes = [attempt.outcome for attempt in attempts]
    return DeliveryCounts(
        claimed=len(batch),
        delivered=outcomes.count(Outcome.DELIVERED),
        failed=outcomes.count(Outcome.FAILED),
        gone=outcomes.count(Outcome.GONE),
    )


def resume_target(connection: Connection, queue: Queue, target: str, now: datetime) -> int:
    """Send to a target again that had said it was gone; returns how many deliveries were given up for that."""
    with connection.transaction():
        return connection.execute(_of(queue, "resume"), {"target": target, "now": now}).rowcount


def read_backlog(connection: Connection, queue: Queue) -> list[Backlog]:
    """What each target is owed and has received."""
    return [Backlog(*row) for row in connection.execute(_of(queue, "backlog"))]


def _of(queue: Queue, name: str) -> sql.Composed:
    return sql.SQL(_SQL[name]).format(table=sql.Identifier(queue.value, "delivery"))


def _body(payload: object) -> bytes:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
