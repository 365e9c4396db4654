"""Metrics of `meterline usage run`: what it counts, how far it is, and the findings that hold."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import psycopg
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from store.connection import Connection
from store.usage import count_behind
from store.usage_findings import count_findings
from streams.usage import UsageCounts, UsageRules

#: After so long without a round the service is of no use.
_STALLED_S = 3_600.0


class UsageMetrics(Collector):
    """Counters of the service, and what the store says, read when somebody asks."""

    def __init__(self, open_connection: Callable[[], Connection], rules: UsageRules) -> None:
        self.counts = UsageCounts()
        self._rules = rules
        self._open_connection = open_connection
        self._lock = threading.Lock()

    def idle_reason(self) -> str | None:
        """Why the service is of no use now; None when it is."""
        if not self.counts.last_at:
            return "no round has ended yet"
        if time.time() - self.counts.last_at > _STALLED_S:
            return f"no round has ended for {_STALLED_S:g} s"
        return None

    def collect(self) -> Iterable[Metric]:
        """Called by the registry at each scrape."""
        c = self.counts
        for name, text, value in (
            ("area_days", "Days of areas that were folded", c.area_days),
            ("meter_days", "Days of customers' meters that were folded", c.meter_days),
            ("folded_again", "Times that an area went back for late data", c.folded_again),
            ("conclusions", "What was concluded of a meter on a day", c.conclusions),
            ("seconds", "Time spent on days", c.seconds),
            ("processor_seconds", "Processor time of it, without the database's", c.processor_s),
            ("areas_compared", "Areas whose records were compared with voltages, energies and losses", c.records.areas),
            ("records_doubted", "Times that such a comparison contradicted a meter's record", c.records.doubted),
            ("live_intervals", "Intervals that the live rules judged", c.live.intervals),
            ("live_begun", "Findings of live rules and device events that began", c.live.begun),
            ("live_ended", "Those that ended", c.live.ended),
        ):
            yield CounterMetricFamily(f"meterline_usage_{name}", text, value=value)
        try:
            with self._lock, self._open_connection() as connection:
                behind, _ = count_behind(connection, self._rules.last_closed(datetime.now(UTC)))
                holding, _ = count_findings(connection)
        except psycopg.OperationalError:
            return
        yield GaugeMetricFamily(
            "meterline_usage_areas_behind", "Areas whose last closed day isn't folded", value=behind
        )
        yield GaugeMetricFamily("meterline_usage_findings", "Findings that hold", value=holding)
