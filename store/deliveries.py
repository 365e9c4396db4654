"""Deliveries that are owed to other systems: claimed when due, sent by what the caller passes in, tried again.

At least once: a delivery keeps its id over all attempts, so that a receiver can tell a repeat. What is sent and how
is not known here; see `meterline.webhook`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4, uuid5

from psycopg import sql
from psycopg.types.json import Jsonb

from store.breaker import Breaker
from store.connection import Connection
from store.sql import load_queries, rows_of

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
    """A receiver."""

    name: str
    url: str
    """Where it is; for channels whose address is a secret, empty."""
    secret: bytes = b""
    """Key of the signature, token or secret address; never shown."""
    allow_private: bool = False
    """Whether it may be on a private network or this machine."""
    old_secrets: tuple[bytes, ...] = ()
    """Keys that receivers may still know, while secrets change."""
    channel: str = "webhook"
    """By what means it is told."""

    def __repr__(self) -> str:
        return f"Target(name={self.name!r}, url={self.url!r}, channel={self.channel!r})"


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


@dataclass(frozen=True, slots=True)
class Noting:
    """What came of a delivery, as it is to be noted."""

    delivery_id: UUID
    outcome: Outcome
    at: datetime
    delay_s: float
    """Until the next attempt, where there is one."""
    error: str


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


@dataclass(frozen=True, slots=True)
class Told:
    """A change of the model as targets are told of it.

    Attributes
    ----------
    entity
        What concerns one entity goes out in the order of the outbox.
    targets
        Their names, and whether each is to be read back after it.
    """

    outbox_id: int
    entity: str
    payload: dict[str, Any]
    targets: Mapping[str, bool]


def owe_changes(connection: Connection, changes: Sequence[Told]) -> None:
    """Owe targets the telling of changes, inside the caller's transaction; once, however often it is called."""
    with connection.cursor() as cursor:
        cursor.executemany(
            _SQL["owe_changes"],
            [
                {
                    "ids": [uuid5(_NAMESPACE, f"sync/{each.outbox_id}/{target}") for target in each.targets],
                    "targets": list(each.targets),
                    "to_read": list(each.targets.values()),
                    "outbox_id": each.outbox_id,
                    "entity": each.entity,
                    "payload": Jsonb(each.payload),
                }
                for each in changes
                if each.targets
            ],
        )


def owe_item(
    connection: Connection,
    target: str,
    entity: str,
    sequence: int,
    payload: dict[str, Any],
    to_read: bool = True,
    occasion: str = "",
) -> None:
    """Owe a target something that isn't a change of the model: once for each entity, sequence and occasion."""
    connection.execute(
        _SQL["owe_item"],
        {
            "id": uuid5(_NAMESPACE, f"sync/{entity}/{sequence}/{occasion}/{target}"), "target": target,
            "entity": entity, "sequence": sequence, "payload": Jsonb(payload), "to_read": to_read,
        },
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Owing:
    """What came to a group of alerts and is to be told to a target.

    Attributes
    ----------
    alert_id
        The first alert that a new notice tells of.
    events
        How many they are.
    due_at
        Not before; a notice that is owed already is never put off for it.
    room
        A notice that tells of so many events takes no more one by one: they are counted.
    compose
        Makes the payload from the one that was owed, None when the notice is new.
    """

    target: str
    group_key: str
    alert_id: int
    events: int
    due_at: datetime
    room: int
    compose: Callable[[dict[str, Any] | None], dict[str, Any]]


def owe_notices(connection: Connection, owing: Sequence[Owing], interval_s: float) -> None:
    """Owe targets their notices, inside the caller's transaction; no two of one target and group.

    A group has at most one notice an interval: while its newest one has never been sent, what comes is added to it.

    Parameters
    ----------
    interval_s
        Between the times at which two notices of a group are due.
    """
    keys = {"targets": [each.target for each in owing], "group_keys": [each.group_key for each in owing]}
    newest = {(row[0], row[1]): row[2:] for row in connection.execute(_SQL["newest_notices"], keys)}
    rooms = {newest[key][0]: each.room for each in owing if (key := (each.target, each.group_key)) in newest}
    asked = {"ids": list(rooms), "rooms": list(rooms.values())}
    unsent = {row[0]: row[1:] for row in connection.execute(_SQL["unsent_notices"], asked)}
    added, owed = [], []
    for each in owing:
        delivery_id, last_due_at, not_before = newest.get((each.target, each.group_key), (None, None, None))
        if delivery_id in unsent:
            due_at, told, payload = unsent[delivery_id]
            more = {"payload": each.compose(payload)} if told < each.room else {}
            sooner = min(due_at, max(each.due_at, not_before))
            added.append({"delivery_id": delivery_id, "due_at": sooner, "told": each.events, **more})
            continue
        first_at = each.due_at if last_due_at is None else last_due_at + timedelta(seconds=interval_s)
        owed.append(
            {
                "delivery_id": uuid4(),
                "alert_id": each.alert_id,
                "target": each.target,
                "group_key": each.group_key,
                "due_at": max(each.due_at, first_at),
                "not_before": first_at,
                "told": each.events,
                "payload": each.compose(None),
            }
        )
    for name, rows in (("add_to_notices", added), ("owe_notices", owed)):
        if rows:
            connection.execute(_SQL[name], {"rows": rows_of(rows)})


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
    breaker: Breaker | None = None,
    unnoted: list[Noting] | None = None,
) -> DeliveryCounts:
    """Claim up to `BATCH` due deliveries of the known targets, send them, and note what came of each.

    No transaction is open while they are sent. A delivery of a target that isn't configured waits.

    Parameters
    ----------
    breaker
        While it is open nothing is claimed, and when it might close again one delivery tries.
    unnoted
        The caller's, for all its calls with this queue: keeps what came of a batch while the database can't be told,
        so that a lost connection repeats no delivery. It is noted before anything else is claimed.
    """
    kept = [] if unnoted is None else unnoted
    # An attempt that wasn't made mustn't be taken back twice; its lease will do.
    kept[:] = [each for each in kept if each.outcome is not Outcome.NOT_SENT]
    _note(connection, queue, kept)
    by_name = {target.name: target for target in targets}
    limit = BATCH if breaker is None else breaker.allowed(now(), BATCH)
    if not by_name or limit == 0:
        return DeliveryCounts()
    with connection.transaction():
        rows = connection.execute(
            _SQL[f"claim_{queue.value}"],
            {"now": now(), "lease_s": LEASE_S, "targets": list(by_name), "limit": limit},
        ).fetchall()
    if not rows:
        return DeliveryCounts()
    batch = [Outgoing(row[0], by_name[row[1]], _body(row[2]), row[3]) for row in rows]
    attempts = send(batch)
    for outgoing, attempt in zip(batch, attempts, strict=True):
        delay_s = retry_delay_s(outgoing.attempt, jitter(), attempt.retry_after_s)
        kept.append(Noting(outgoing.delivery_id, attempt.outcome, now(), delay_s, attempt.detail[:_MAX_ERROR]))
    outcomes = [attempt.outcome for attempt in attempts]
    if breaker is not None:
        breaker.note(outcomes.count(Outcome.DELIVERED), outcomes.count(Outcome.FAILED), now())
    _note(connection, queue, kept)
    return DeliveryCounts(
        claimed=len(batch),
        delivered=outcomes.count(Outcome.DELIVERED),
        failed=outcomes.count(Outcome.FAILED),
        gone=outcomes.count(Outcome.GONE),
    )


def _note(connection: Connection, queue: Queue, kept: list[Noting]) -> None:
    if not kept:
        return
    with connection.transaction():
        for outcome in Outcome:
            if some := [each for each in kept if each.outcome is outcome]:
                connection.execute(
                    _of(queue, outcome.value),
                    {
                        "ids": [each.delivery_id for each in some],
                        "ats": [each.at for each in some],
                        "delays_s": [each.delay_s for each in some],
                        "errors": [each.error for each in some],
                    },
                )
    kept.clear()


def replay_target(connection: Connection, target: str, since: datetime, now: datetime) -> int:
    """Send a target's notices of alerts again that it took since an instant, with their ids; returns how many."""
    with connection.transaction():
        return connection.execute(_SQL["replay"], {"target": target, "since": since, "now": now}).rowcount


def resume_target(connection: Connection, queue: Queue, target: str, now: datetime) -> int:
    """Send to a target again that had said it was gone; returns how many deliveries were given up for that."""
    with connection.transaction():
        return connection.execute(_of(queue, "resume"), {"target": target, "now": now}).rowcount


def read_backlog(connection: Connection, queue: Queue) -> list[Backlog]:
    """What each target is owed and has received."""
    return [Backlog(*row) for row in connection.execute(_of(queue, "backlog"))]


def read_waiting(connection: Connection) -> list[tuple[str, int, datetime | None]]:
    """Each target of sync, how many deliveries it is owed, and since when the oldest of them."""
    return [(row[0], row[1], row[2]) for row in connection.execute(_SQL["waiting"])]


def _of(queue: Queue, name: str) -> sql.Composed:
    return sql.SQL(_SQL[name]).format(table=sql.Identifier(queue.value, "delivery"))


def _body(payload: object) -> bytes:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
