"""The service `meterline sync deliver`: relays changes to Kafka and sends them to webhook targets."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import structlog
from kafka.errors import KafkaError

from store.connection import Connection
from store.deliveries import Queue, Send, Target, deliver_due
from store.grid_change import refresh_present
from store.loop import keep_running, run_together
from store.outbox import RelayMovedError, begin_change
from sync.relay import BATCH, Producer, relay_batch

log = structlog.get_logger("sync.service")

_RELAY_EVERY_S = 0.2
_DELIVER_EVERY_S = 0.5
#: Changes that were written ahead come into force by themselves; only the present columns must be told.
_PRESENT_EVERY_S = 10.0
_LOOK_BACK = timedelta(days=1)
_EVER = datetime(1900, 1, 1, tzinfo=UTC)


def run_sync(
    open_connection: Callable[[], Connection],
    producer: Producer,
    targets: Sequence[Target],
    send: Send,
    stop: threading.Event,
) -> None:
    """Relay, deliver and bring the present columns of the model forward until `stop` is set.

    A slow receiver doesn't hold up the relay.

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

    begun = False

    def bring_forward(connection: Connection) -> bool:
        nonlocal begun
        with connection.transaction():
            instant = begin_change(connection)
            if changed := refresh_present(connection, instant, since=instant - _LOOK_BACK if begun else _EVER):
                log.info("came into force", entities=changed)
        begun = True
        return False

    run_together(
        {
            "present": lambda: keep_running("present", open_connection, bring_forward, stop, _PRESENT_EVERY_S),
            "relay": lambda: keep_running(
                "relay", open_connection, relay, stop, _RELAY_EVERY_S, (KafkaError, RelayMovedError)
            ),
            "sync deliveries": lambda: keep_running(
                "sync deliveries", open_connection, deliver, stop, _DELIVER_EVERY_S
            ),
        },
        stop,
    )
