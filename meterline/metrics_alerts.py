"""Metrics of `meterline alert deliver`: what it counts, and what the store says waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import psycopg
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from alerts.service import AlertCounts
from store.connection import Connection
from store.deliveries import Backlog, Queue, read_backlog

#: After so long without an evaluation the service is of no use.
_STALLED_S = 120.0


class AlertMetrics(Collector):
    """Counters of the service, and the backlog of each target, read when somebody asks."""

    def __init__(self, open_connection: Callable[[], Connection]) -> None:
        self.counts = AlertCounts()
        self._open_connection = open_connection
        self._lock = threading.Lock()

    def idle_reason(self) -> str | None:
        """Why the service is of no use now; None when it is."""
        if not self.counts.evaluations:
            return "nothing was evaluated yet"
        if time.time() - self.counts.last_at > _STALLED_S:
            return f"nothing was evaluated for {_STALLED_S:g} s"
        return None

    def collect(self) -> Iterable[Metric]:
        """Called by the registry at each scrape."""
        counts = self.counts
        events = CounterMetricFamily("meterline_alerts_events", "What became of alerts", labels=["event"])
        for event, count in sorted(counts.events.items()):
            events.add_metric([event], count)
        yield events
        deliveries = CounterMetricFamily(
            "meterline_alerts_deliveries",
            "Attempts to tell a target",
            labels=["target", "outcome"],
        )
        for (target, outcome), count in sorted(counts.deliveries.items()):
            deliveries.add_metric([target, outcome], count)
        yield deliveries
        yield CounterMetricFamily("meterline_alerts_evaluations", "Evaluations", value=counts.evaluations)
        yield CounterMetricFamily(
            "meterline_alerts_evaluation_seconds", "Time spent on evaluations", value=counts.evaluation_s
        )
        yield from self._backlog()

    def _backlog(self) -> Iterable[Metric]:
        waiting = GaugeMetricFamily("meterline_alerts_waiting", "Notices that wait", labels=["target"])
        age = GaugeMetricFamily("meterline_alerts_oldest_seconds", "Age of the oldest that waits", labels=["target"])
        now = datetime.now(UTC)
        for row in self._read():
            waiting.add_metric([row.target], row.waiting)
            since = row.oldest_waiting
            age.add_metric([row.target], 0.0 if since is None else (now - since).total_seconds())
        yield waiting
        yield age

    def _read(self) -> list[Backlog]:
        # Without its store the service still says what it has counted.
        try:
            with self._lock, self._open_connection() as connection:
                return read_backlog(connection, Queue.ALERTS)
        except psycopg.OperationalError:
            return []
