"""Metrics of `meterline ingest readings`, read from what it counts anyway when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from grid.topics import TELEMETRY_READING
from ingest.sources.kafka import ReadingGatherer


class ReadingMetrics(Collector):
    """Metrics of the gatherer of single readings."""

    def __init__(self, gatherer: ReadingGatherer) -> None:
        self._gatherer = gatherer

    def collect(self) -> Iterable[Metric]:
        """Called by the registry at each scrape."""
        gatherer = self._gatherer
        counters = {
            "taken": ("Records of single readings taken from Kafka", gatherer.taken),
            "uncommon": ("Those of them that had another form than the common one", gatherer.uncommon),
            "forwarded": ("Blocks handed to Kafka", gatherer.forwarded),
            "backfilled": (
                "Blocks of those forwarded that were old and went to the backfill's lane",
                gatherer.backfilled,
            ),
        }
        for name, (text, value) in counters.items():
            yield CounterMetricFamily(f"meterline_readings_{name}", text, value=value)
        rejected = CounterMetricFamily("meterline_readings_rejected", "Readings refused", labels=["reason"])
        for reason, count in dict(gatherer.reasons).items():
            rejected.add_metric([reason], count)
        yield rejected
        yield GaugeMetricFamily("meterline_readings_held", "Readings that wait for others", value=gatherer.held)
        lag = GaugeMetricFamily(
            "meterline_readings_lag_records", "Records of a partition not committed", labels=["topic", "partition"]
        )
        for partition, records in dict(gatherer.lag).items():
            lag.add_metric([TELEMETRY_READING, str(partition)], records)
        dropped = CounterMetricFamily(
            "meterline_readings_dropped_records",
            "Records that Kafka removed for their age before they were taken",
            labels=["topic", "partition"],
        )
        for partition, records in dict(gatherer.dropped).items():
            dropped.add_metric([TELEMETRY_READING, str(partition)], records)
        yield from (lag, dropped)
