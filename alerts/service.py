"""The service `meterline alert deliver`: evaluates again and again, and sends what is owed to targets."""

from __future__ import annotations

import functools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from alerts.evaluate import AnothersTurnError, evaluate
from alerts.look import BATCH
from alerts.outage_watch import OutageWatch
from alerts.routing import Routing
from alerts.rules import AlertPolicy
from alerts.sense import SenseRules
from alerts.units_due import UnitsDue
from grid.thresholds import DEFAULTS, Threshold
from store.breaker import Breaker
from store.connection import Connection
from store.deliveries import Noting, Queue, Send, Target, deliver_due
from store.loop import keep_running, run_together

log = structlog.get_logger("alerts.service")

_DELIVER_EVERY_S = 0.25


@dataclass(slots=True)
class AlertCounts:
    """What the service has done since it began, for its metrics."""

    events: Counter[str] = field(default_factory=Counter)
    deliveries: Counter[tuple[str, str]] = field(default_factory=Counter)
    evaluations: int = 0
    evaluation_s: float = 0.0
    last_at: float = 0.0
    """When an evaluation last ended, seconds since 1970."""


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """By what the service judges and whom it tells.

    Attributes
    ----------
    read_routing
        Reads who is told, with the calendars as they are now; called once an evaluation.
    """

    policy: AlertPolicy
    read_routing: Callable[[Connection], Routing]
    rules: SenseRules = field(default_factory=SenseRules)
    thresholds: Sequence[Threshold] = DEFAULTS


class _Judge:
    """One look after another at outages, new results and whatever was found."""

    def __init__(self, settings: AlertSettings, counts: AlertCounts) -> None:
        self._settings, self._counts = settings, counts
        self._watch = OutageWatch()
        self._due = UnitsDue()

    def __call__(self, connection: Connection) -> bool:
        """Returns whether more is due."""
        started, now = time.monotonic(), datetime.now(UTC)
        self._watch.look(connection, now)
        try:
            events = evaluate(
                connection,
                self._settings.policy,
                self._settings.read_routing(connection),
                now,
                rules=self._settings.rules,
                defaults=self._settings.thresholds,
                due=self._due,
            )
        except AnothersTurnError:
            # Not counted: a service that never has its turn must not look as if it worked.
            return False
        if events:
            log.info("evaluated", **Counter(event.event for event in events))
        self._counts.events.update(event.event for event in events)
        self._counts.evaluations += 1
        self._counts.evaluation_s += time.monotonic() - started
        self._counts.last_at = time.time()
        return self._due.more() or len(events) >= BATCH


def run_alerts(
    open_connection: Callable[[], Connection],
    settings: AlertSettings,
    targets: Sequence[Target],
    send: Send,
    stop: threading.Event,
    every_s: float = 1.0,
    counts: AlertCounts | None = None,
) -> None:
    """Evaluate and deliver until `stop` is set.

    Parameters
    ----------
    send
        Sends to targets, and gives up at once when `stop` is set.
    every_s
        Pause between evaluations.
    counts
        Where to count.
    """
    counted = counts or AlertCounts()
    judge = _Judge(settings, counted)

    def deliver(connection: Connection, target: Target, breaker: Breaker, unnoted: list[Noting]) -> bool:
        clock = functools.partial(datetime.now, UTC)
        sent = deliver_due(connection, Queue.ALERTS, [target], send, clock, random.random, breaker, unnoted)
        if sent.claimed:
            log.info("delivered", target=target.name, sent=sent.delivered, failed=sent.failed, gone=sent.gone)
            for outcome in ("delivered", "failed", "gone"):
                counted.deliveries[target.name, outcome] += getattr(sent, outcome)
        return sent.claimed > 0 and sent.failed < sent.claimed

    loops: dict[str, Callable[[], None]] = {
        "alerts": functools.partial(keep_running, "alerts", open_connection, judge, stop, every_s)
    }
    for target in targets:
        # A slow receiver doesn't hold up the others.
        name = f"alert deliveries to {target.name}"
        step = functools.partial(deliver, target=target, breaker=Breaker(), unnoted=[])
        loops[name] = functools.partial(keep_running, name, open_connection, step, stop, _DELIVER_EVERY_S)
    run_together(loops, stop)
