"""Metrics of our own programs, read from what they count anyway when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable

import faust
import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ingest.sources.mqtt import Bridge
from streams.counters import DELAY_EDGES_S, Vitals

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
_WORKER = {
    "batches": "Batches made durable",
    "records": "Kafka records taken",
    "readings": "Readings merged, repeats included",
    "rows_written": "Interval rows written",
    "rejected": "Inputs and readings put into the rejected store",
    "conflicts": "Batches computed again because another writer was faster",
    "seconds": "Time spent on batches",
}


class WorkerMetrics(Collector):
    """Metrics of a worker: its counters, its delay, and how far it is behind in Kafka."""

    def __init__(self, vitals: Vitals, app: faust.App) -> None:
        self._vitals = vitals
        self._app = app

    def collect(self) -> Iterable[Metric]:
        """Called by the registry at each scrape."""
        by_name = self._vitals.by_name()
        for name, text in _WORKER.items():
            family = CounterMetricFamily(f"meterline_worker_{name}", text, labels=["units"])
            for units, counters in by_name.items():
                family.add_metric([units], counters.figures()[name])
            yield family
        for name, text in _POINTS.items():
            value = self._vitals.points.figures()[name]
            yield CounterMetricFamily(f"meterline_points_{name}", text, value=value)
        delay = HistogramMetricFamily(
            "meterline_worker_delay_seconds", "Time from receipt by ingest to a committed row", labels=["units"]
        )
        for units, counters in by_name.items():
            edges = [*map(str, DELAY_EDGES_S), "+Inf"]
            cumulative = np.cumsum(counters.delay_counts).tolist()
            delay.add_metric([units], list(zip(edges, cumulative, strict=True)), counters.delay_sum_s)
        yield delay
        lag = GaugeMetricFamily(
            "meterline_worker_lag_records",
            "Records of a partition that are not acknowledged",
            labels=["topic", "partition"],
        )
        monitor = self._app.monitor
        for tp, end in dict(monitor.tp_end_offsets).items():
            lag.add_metric([tp.topic, str(tp.partition)], max(0, end - monitor.tp_committed_offsets.get(tp, 0)))
        yield lag


class BridgeMetrics(Collector):
    """Metrics of the MQTT bridge."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def collect(self) -> Iterable[Metric]:
        """Called by the registry at each scrape."""
        yield CounterMetricFamily("meterline_bridge_forwarded", "Blocks handed to Kafka", value=self._bridge.forwarded)
        yield CounterMetricFamily("meterline_bridge_rejected", "Inputs refused", value=self._bridge.rejected)
