"""The service `meterline alert deliver`: evaluates again and again, and sends what is owed to webhook targets."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog

from alerts.evaluate import evaluate
from alerts.rules import AlertPolicy
from store.connection import Connection
from store.deliveries import Queue, Send, Target, deliver_due
from store.loop import keep_running, run_together

log = structlog.get_logger("alerts.service")

_DELIVER_EVERY_S = 0.5
#: Evaluating takes at most one part in this of one core's time, however long the window and however many the units.
_SPARE = 10


def run_alerts(
    open_connection: Callable[[], Connection],
    policy: AlertPolicy,
    targets: Sequence[Target],
    send: Send,
    stop: threading.Event,
    every_s: float = 10.0,
) -> None:
    """Evaluate and deliver until `stop` is set.

    Parameters
    ----------
    send
        Sends webhooks, and gives up at once when `stop` is set.
    every_s
        Pause between evaluations.
    """
    names = [target.name for target in targets]

    def judge(connection: Connection) -> bool:
        started = time.monotonic()
        events = evaluate(connection, policy, names, datetime.now(UTC))
        if events:
            log.info("evaluated", **Counter(event.event.value for event in events))
        stop.wait(_SPARE * (time.monotonic() - started) - every_s)
        return False

    def deliver(connection: Connection) -> bool:
        counts = deliver_due(connection, Queue.ALERTS, targets, send, lambda: datetime.now(UTC), random.random)
        if counts.claimed:
            log.info("delivered", sent=counts.delivered, failed=counts.failed, gone=counts.gone)
        return counts.claimed > 0

    run_together(
        {
            "alerts": lambda: keep_running("alerts", open_connection, judge, stop, every_s),
            "alert deliveries": lambda: keep_running(
                "alert deliveries", open_connection, deliver, stop, _DELIVER_EVERY_S
            ),
        },
        stop,
    )
