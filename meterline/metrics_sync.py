"""Metrics of `meterline sync deliver`: what it counts, and what the store says of targets, conflicts and proposals."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import psycopg
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from store.benefit import read_last_run
from store.connection import Connection
from store.deliveries import read_waiting
from store.sync_conflicts import count_conflicts, read_rate_totals
from store.sync_proposals import count_proposals
from store.sync_targets import count_drift
from sync.service import SyncCounts

#: After so long without a look at the outbox the service is of no use.
_STALLED_S = 60.0


class SyncMetrics(Collector):
    """Counters of the service, and what the store says, read when somebody asks."""

    def __init__(self, open_connection: Callable[[], Connection]) -> None:
        self.counts = SyncCounts()
        self._open_connection = open_connection
        self._lock = threading.Lock()

    def idle_reason(self) -> str | None:
        """Why the service is of no use now; None when it is."""
        if not self.counts.last_at:
            return "the outbox wasn't looked at yet"
        if time.time() - self.counts.last_at > _STALLED_S:
            return f"the outbox wasn't looked at for {_STALLED_S:g} s"
        return None

    def collect(self) -> Iterable[Metric]:
        """Called by the registry at each scrape."""
        counts = self.counts
        yield CounterMetricFamily("meterline_sync_relayed", "Changes sent to Kafka", value=counts.relayed)
        deliveries = CounterMetricFamily("meterline_sync_deliveries", "Attempts to send", labels=["target", "outcome"])
        for labels, count in sorted(counts.deliveries.items()):
            deliveries.add_metric(labels, count)
        compared = CounterMetricFamily(
            "meterline_sync_read_back", "Entities read back and compared", labels=["target", "result"]
        )
        for labels, count in sorted(counts.read_back.items()):
            compared.add_metric(labels, count)
        unreadable = CounterMetricFamily("meterline_sync_unreadable", "Attempts to read that failed", labels=["target"])
        for target, count in sorted(counts.unreadable.items()):
            unreadable.add_metric([target], count)
        yield from (deliveries, compared, unreadable)
        # Without its store the service still says what it has counted.
        try:
            with self._lock, self._open_connection() as connection:
                yield from _stored(connection)
        except psycopg.OperationalError:
            return


def _stored(connection: Connection) -> Iterable[Metric]:
    now = datetime.now(UTC)
    run = read_last_run(connection)
    if run is not None:
        yield GaugeMetricFamily(
            "meterline_benefit_updated_timestamp_seconds", "When the ledger of benefits was last brought up to date",
            value=run["recorded_at"].timestamp(),
        )  # fmt: skip
        yield GaugeMetricFamily(
            "meterline_benefit_waiting", "Repairs of which nothing can be said, or not yet", value=run["waiting"]
        )
    waiting = GaugeMetricFamily("meterline_sync_waiting", "Deliveries that wait", labels=["target"])
    age = GaugeMetricFamily("meterline_sync_oldest_seconds", "Age of the oldest that waits", labels=["target"])
    for target, deliveries, since in read_waiting(connection):
        waiting.add_metric([target], deliveries)
        age.add_metric([target], _age(since, now))
    drifted = GaugeMetricFamily("meterline_sync_drifted", "Entities that a target has otherwise", labels=["target"])
    clock = GaugeMetricFamily(
        "meterline_sync_drift_seconds", "Since when a target disagrees: its oldest disagreement", labels=["target"]
    )
    for row in count_drift(connection):
        drifted.add_metric([row["target"]], row["drifted"])
        clock.add_metric([row["target"]], _age(row["since"], now))
    conflicts = GaugeMetricFamily("meterline_sync_conflicts", "Open conflicts", labels=["kind", "system", "department"])
    oldest = GaugeMetricFamily(
        "meterline_sync_conflict_oldest_seconds",
        "Age of the oldest open conflict",
        labels=["kind", "system", "department"],
    )
    for row in count_conflicts(connection):
        labels = [row["kind"], row["system"], row["department"]]
        conflicts.add_metric(labels, row["open"])
        oldest.add_metric(labels, _age(row["oldest"], now))
    proposals = GaugeMetricFamily("meterline_sync_proposals", "Proposals", labels=["state"])
    for state, number in count_proposals(connection):
        proposals.add_metric([state], number)
    rates = GaugeMetricFamily("meterline_sync_consistency", "Share of right relations", labels=["relation"])
    for row in read_rate_totals(connection, now.date()):
        if row["rate"] is not None:
            rates.add_metric([row["relation"]], row["rate"])
    yield from (waiting, age, drifted, clock, conflicts, oldest, proposals, rates)


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())
