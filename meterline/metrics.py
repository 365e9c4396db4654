"""Metrics of a worker, read from what it counts anyway when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.counters import Counters, Histogram, Vitals
from streams.steps.estimate import KINDS

_POINTS = {
    "messages": "Messages of SCADA points taken",
    "reports": "Reports of known points taken, repeats included",
    "rows_written": "Rows of the history sent to the store",
    "rejected": "Messages or points put into the rejected store",
    "stand_ins": "Intervals for which power stood in for a gateway meter, each time it was computed",
    "stand_ins_without_meter": "The same that had no gateway meter in the unit then",
    "switch_changes": "Changes of switches seen",
    "switch_changes_unwritten": "The same that the topology hasn't taken",
    "seconds": "Time spent on points",
}
_COUNTS = {
    "batches": "Batches made durable",
    "records": "Kafka records taken",
    "readings": "Readings merged, repeats included",
    "rows_written": "Interval rows written",
    "rejected": "Inputs and readings put into the rejected store",
    "conflicts": "Batches computed again because another writer was faster",
    "seconds": "Time spent on batches",
}
_HISTOGRAMS: dict[str, tuple[str, Callable[[Counters], Histogram]]] = {
    "delay_seconds": ("Time from receipt by ingest to a committed row", lambda counters: counters.received_delay),
    "age_seconds": ("Time from the end of the interval to a committed row", lambda counters: counters.observed_delay),
    "flush_seconds": (
        "Time from taking a batch to its commit, waits for the store included",
        lambda counters: counters.flush,
    ),
    "batch_records": ("Kafka records in a batch", lambda counters: counters.batch_records),
}


class WorkerMetrics(Collector):
    """Metrics of a worker: its counters, its delays, what it holds, and how far it is behind in Kafka."""

    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals

    def collect(self) -> Iterable[Metric]:
        """Called by the registry at each scrape."""
        by_name = self._vitals.by_name()
        for name, text in _COUNTS.items():
            family = CounterMetricFamily(f"meterline_worker_{name}", text, labels=["units"])
            for units, counters in by_name.items():
                family.add_metric([units], counters.figures()[name])
            yield family
        for name, text in _POINTS.items():
            value = self._vitals.points.figures()[name]
            yield CounterMetricFamily(f"meterline_points_{name}", text, value=value)
        rejected = CounterMetricFamily(
            "meterline_worker_rejected_by_reason",
            "Inputs and readings put into the rejected store, by reason",
            labels=["units", "reason"],
        )
        for units, counters in by_name.items():
            for reason, count in dict(counters.reasons).items():
                rejected.add_metric([units, reason], count)
        yield rejected
        estimates = CounterMetricFamily(
            "meterline_worker_estimates",
            "Readings that were missing when a limit passed: estimated online, offline, or with nothing known of them",
            labels=["units", "kind"],
        )
        seconds = CounterMetricFamily(
            "meterline_worker_estimate_seconds", "Time spent on estimates, part of that on batches", labels=["units"]
        )
        for units, counters in by_name.items():
            for kind in KINDS:
                estimates.add_metric([units, kind], counters.estimates[kind])
            seconds.add_metric([units], counters.estimate_seconds)
        yield from (estimates, seconds)
        for name, (text, of) in _HISTOGRAMS.items():
            histogram = HistogramMetricFamily(f"meterline_worker_{name}", text, labels=["units"])
            for units, counters in by_name.items():
                histogram.add_metric([units], *_buckets(of(counters)))
            yield histogram
        yield from self._cache()
        lag = GaugeMetricFamily(
            "meterline_worker_lag_records",
            "Records of a partition that are not acknowledged",
            labels=["topic", "partition"],
        )
        for (topic, partition), records in (*self._vitals.lag.items(), *self._vitals.backfill_lag.items()):
            lag.add_metric([topic, str(partition)], records)
        dropped = CounterMetricFamily(
            "meterline_worker_dropped_records",
            "Records that Kafka removed for their age before they were acknowledged",
            labels=["topic", "partition"],
        )
        for (topic, partition), records in dict(self._vitals.dropped).items():
            dropped.add_metric([topic, str(partition)], records)
        yield from (lag, dropped)

    def _cache(self) -> Iterable[Metric]:
        now = self._vitals.cache()
        yield GaugeMetricFamily("meterline_worker_cache_units", "Units whose model is held", value=now.units)
        yield GaugeMetricFamily("meterline_worker_cache_members", "Members of those units", value=now.members)
        asked = CounterMetricFamily(
            "meterline_worker_cache_requests",
            "Units asked for: held (hit) or loaded from the store (miss)",
            labels=["result"],
        )
        asked.add_metric(["hit"], now.hits)
        asked.add_metric(["miss"], now.misses)
        yield asked


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    edges = [*map(str, map(float, histogram.edges)), "+Inf"]
    cumulative = np.cumsum(histogram.counts).tolist()
    return list(zip(edges, cumulative, strict=True)), histogram.total
