"""The service `meterline sync deliver`: relays changes to Kafka and sends them to webhook targets."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog
from kafka.errors import KafkaError

from store.connection import Connection
from store.deliveries import Queue, Send, Target, deliver_due
from store.loop import keep_running, run_together
from store.outbox import RelayMovedError
from sync.relay import BATCH, Producer, relay_batch

log = structlog.get_logger("sync.service")

_RELAY_EVERY_S = 0.2
_DELIVER_EVERY_S = 0.5


def run_sync(
    open_connection: Callable[[], Connection],
    producer: Producer,
    targets: Sequence[Target],
    send: Send,
    stop: threading.Event,
) -> None:
    """Relay and deliver until `stop` is set; a slow receiver doesn't hold up the relay.

    Parameters
    ----------
    producer
        Acknowledged by all replicas; the caller closes it.
    send
        Sends webhooks, and gives up at once when `stop` is set.
    """

    def relay(connection: Connection) -> bool:
        relayed = relay_batch(connection, producer, targets)
        if relayed:
            log.info("relayed", changes=relayed)
        return relayed == BATCH

    def deliver(connection: Connection) -> bool:
        counts = deliver_due(connection, Queue.SYNC, targets, send, lambda: datetime.now(UTC), random.random)
        if counts.claimed:
            log.info("delivered", sent=counts.delivered, failed=counts.failed, gone=counts.gone)
        return counts.claimed > 0

    run_together(
        {
            "relay": lambda: keep_running(
                "relay", open_connection, relay, stop, _RELAY_EVERY_S, (KafkaError, RelayMovedError)
            ),
            "sync deliveries": lambda: keep_running(
                "sync deliveries", open_connection, deliver, stop, _DELIVER_EVERY_S
            ),
        },
        stop,
    )
