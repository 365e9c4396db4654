"""The relay: what the outbox holds goes to Kafka in commit order, and each change is owed to each target.

Orders to settle a unit again go out on a topic of their own, and to no target.

At least once: the position moves after Kafka has acknowledged, in one transaction with the deliveries that are owed.
A relay that dies in between sends the same changes again, with the same ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

import msgspec

from grid.topics import GRID_CHANGE, GRID_RESETTLE
from store.connection import Connection
from store.deliveries import Told, owe_changes
from store.outbox import RESETTLE, OutboxRow, lock_relay, move_relay, read_outbox, relay_position
from sync.delivery import Subscriber
from sync.messages import GridChange, GridChangeWebhook, ResettleOrder

TOPIC = GRID_CHANGE
BATCH = 500
_ACKNOWLEDGED_WITHIN_S = 30.0


class Acknowledgement(Protocol):
    """What Kafka will have answered to one record."""

    def get(self, timeout: float | None = None) -> object:
        """Wait for the answer; raises when the record wasn't taken."""


class Producer(Protocol):
    """A Kafka producer with ``acks='all'``, as `kafka.KafkaProducer`."""

    def send(self, topic: str, value: bytes | None = None, key: bytes | None = None) -> Acknowledgement:
        """Hand over one record."""

    def flush(self, timeout: float | None = None) -> object:
        """Send what was handed over."""


def relay_batch(
    connection: Connection, producer: Producer, targets: Sequence[Subscriber], topic: str = TOPIC, limit: int = BATCH
) -> int | None:
    """Relay up to `limit` changes; returns how many, or None while another relay is at work.

    Parameters
    ----------
    connection
        In autocommit; kept for as long as this relay lives, since the lock is bound to it.

    Raises
    ------
    store.outbox.RelayMovedError
        When the lock was lost to another relay.
    Exception
        The producer's own, when Kafka doesn't acknowledge; nothing has moved.
    """
    if not lock_relay(connection, topic):
        return None
    read_at = relay_position(connection, topic)
    rows = read_outbox(connection, read_at, limit)
    if not rows:
        return 0
    changes = [_change(row) for row in rows if row.aggregatetype != RESETTLE]
    sent = [_send(producer, topic, row) for row in rows]
    producer.flush(timeout=_ACKNOWLEDGED_WITHIN_S)
    for acknowledgement in sent:
        acknowledgement.get(timeout=_ACKNOWLEDGED_WITHIN_S)
    with connection.transaction():
        owe_changes(connection, [_told(change, targets) for change in changes])
        move_relay(connection, topic, read_at, rows[-1].position)
    return len(rows)


def _told(change: GridChange, targets: Sequence[Subscriber]) -> Told:
    notice = GridChangeWebhook(type="grid.change", timestamp=change.recorded_at, data=change)
    payload = cast("dict[str, Any]", msgspec.to_builtins(notice))
    entity = f"{change.aggregatetype}:{change.aggregateid}"
    return Told(change.id, entity, payload, {target.name: target.to_read for target in targets if target.grid})


def _send(producer: Producer, topic: str, row: OutboxRow) -> Acknowledgement:
    """Hand over a row; an order to settle a unit again has the key that the unit's readings have."""
    if row.aggregatetype == RESETTLE:
        order = msgspec.convert(_plain(row), ResettleOrder)
        return producer.send(GRID_RESETTLE, key=row.aggregateid.encode(), value=msgspec.json.encode(order))
    change = _change(row)
    key = f"{change.aggregatetype}:{change.aggregateid}"
    return producer.send(topic, key=key.encode(), value=msgspec.json.encode(change))


def _change(row: OutboxRow) -> GridChange:
    return msgspec.convert(_plain(row), GridChange)


def _plain(row: OutboxRow) -> dict[str, object]:
    return {
        "id": row.position.outbox_id,
        "aggregatetype": row.aggregatetype,
        "aggregateid": row.aggregateid,
        "type": row.type,
        "payload": row.payload,
        "recorded_at": row.recorded_at,
    }
