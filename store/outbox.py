"""The outbox of the grid model: written with each change, read in commit order by one relay."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from grid.resettle import Resettle, decode_resettle
from store.connection import Connection
from store.sql import load_queries, to_text

_SQL = load_queries("outbox")


class Position(NamedTuple):
    """How far the outbox was relayed: rows are ordered by transaction, then id."""

    transaction_id: int
    outbox_id: int


START = Position(0, 0)

#: Aggregate type of orders to settle a unit again, which go out on a topic of their own.
RESETTLE = "resettle"


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One committed change, with Debezium's names."""

    position: Position
    aggregatetype: str
    aggregateid: str
    type: str
    payload: dict[str, Any]
    recorded_at: datetime


class RelayMovedError(RuntimeError):
    """Another relay has moved the position since it was read."""


def begin_change(connection: Connection) -> datetime:
    """Wait for the turn to write the model, inside the caller's transaction; returns the instant of recording.

    Instants rise in the order of commits. All that one transaction writes is recorded at its one instant.
    """
    connection.execute(_SQL["begin_change"])
    row = connection.execute(_SQL["instant"]).fetchone()
    assert row is not None  # noqa: S101  # an aggregate of one row
    instant: datetime = row[0]
    return instant


def next_model_version(connection: Connection) -> int:
    """Raise the version of the model, inside the caller's transaction and its turn to write; returns the new one."""
    row = connection.execute(_SQL["next_model_version"]).fetchone()
    assert row is not None  # noqa: S101  # the one row that the migration made
    return int(row[0])


def add_change(
    connection: Connection,
    aggregatetype: str,
    aggregateid: str,
    kind: str,
    payload: Mapping[str, Any],
    recorded_at: datetime,
) -> int:
    """Put a change in the outbox, inside the caller's transaction; returns its id."""
    row = connection.execute(
        _SQL["add"],
        {
            "aggregatetype": aggregatetype,
            "aggregateid": aggregateid,
            "type": kind,
            "payload": Jsonb(payload),
            "recorded_at": recorded_at,
        },
    ).fetchone()
    assert row is not None  # noqa: S101  # insert … returning
    return int(row[0])


def lock_relay(connection: Connection, topic: str) -> bool:
    """Become the one relay of `topic` for as long as the connection lives; False when another one is."""
    row = connection.execute(_SQL["lock_relay"], {"topic": topic}).fetchone()
    return row is not None and bool(row[0])


def relay_position(connection: Connection, topic: str) -> Position:
    """Position of the last row that was relayed to `topic`."""
    row = connection.execute(_SQL["position"], {"topic": topic}).fetchone()
    return START if row is None else Position(int(row[0]), row[1])


def read_outbox(connection: Connection, after: Position, limit: int) -> list[OutboxRow]:
    """Committed rows after a position, in commit order of their writers' beginnings."""
    arguments = {"transaction_id": str(after.transaction_id), "outbox_id": after.outbox_id, "limit": limit}
    return [OutboxRow(Position(int(row[0]), row[1]), *row[2:]) for row in connection.execute(_SQL["read"], arguments)]


def move_relay(connection: Connection, topic: str, read_at: Position, to: Position) -> None:
    """Move the position, inside the caller's transaction.

    Raises
    ------
    RelayMovedError
        When it isn't `read_at` any more; the caller rolls back.
    """
    arguments = {
        "topic": topic,
        "transaction_id": str(to.transaction_id),
        "outbox_id": to.outbox_id,
        "read_transaction_id": str(read_at.transaction_id),
        "read_outbox_id": read_at.outbox_id,
    }
    if connection.execute(_SQL["move"], arguments).rowcount != 1:
        raise RelayMovedError(f"another relay of {topic} is at work")


def add_resettle(
    connection: Connection,
    unit: str,
    valid_from: datetime,
    valid_to: datetime | None,
    model_version: int,
    recorded_at: datetime,
) -> int:
    """Order that a unit's results of [from, to) be settled again, inside the caller's transaction; returns its id."""
    payload = {
        "unit": unit,
        "from": to_text(valid_from),
        "to": None if valid_to is None else to_text(valid_to),
        "model_version": model_version,
    }
    return add_change(connection, RESETTLE, unit, "unit.resettle", payload, recorded_at)


def lock_model(connection: Connection) -> None:
    """Keep the model as it is until the transaction ends; changes that are being written wait, or are waited for."""
    connection.execute(_SQL["lock_model"])


def last_change(connection: Connection) -> int:
    """Number of the last change that is committed; 0 when there is none."""
    row = connection.execute(_SQL["last_change"]).fetchone()
    return 0 if row is None else int(row[0])


def resettles_since(connection: Connection, outbox_id: int, recorded_us: int) -> list[Resettle]:
    """Orders to settle again that were written after a change, as if they had been recorded at `recorded_us`."""
    recorded_at = to_text(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=recorded_us))
    return [
        decode_resettle(json.dumps({"payload": row[0], "recorded_at": recorded_at}).encode())
        for row in connection.execute(_SQL["resettles_since"], {"after": outbox_id})
    ]


def changes_since(connection: Connection, outbox_id: int) -> tuple[int, set[str]]:
    """The number of the last change, and codes of the units that changes after `outbox_id` name.

    Writers of the model take turns, so numbers rise in the order of commits.
    """
    last, units = outbox_id, set()
    for number, named in connection.execute(_SQL["changes_since"], {"after": outbox_id}):
        last = max(last, int(number))
        units.update(named)
    return last, units
