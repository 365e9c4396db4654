"""Metrics of the MQTT bridge, read from what it counts anyway when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ingest.sources.mqtt import Bridge

_GAP_COUNTERS = {
    "noticed": "Gaps noticed in gateways' numbers",
    "filled": "Gaps filled",
    "requested": "Requests to send again",
    "restarts": "Gateways' counters that started anew",
    "untracked": "Messages of gateways beyond the number that is followed",
}
_GAP_GAUGES = {
    "open": "Gaps that are open",
    "open_messages": "Messages missing in open gaps",
    "given_up": "Open gaps that are no longer asked for",
}


class BridgeMetrics(Collector):
    """Metrics of the MQTT bridge."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def collect(self) -> Iterable[Metric]:
        """Called by the registry at each scrape."""
        bridge = self._bridge
        counters = {
            "forwarded": ("Blocks handed to Kafka", bridge.forwarded),
            "gathered": ("Messages that went into blocks together with others", bridge.gathered),
            "backfilled": (
                "Blocks of those forwarded that were old and went to the backfill's lane",
                bridge.backfilled,
            ),
        }
        gaps = bridge.gap_figures()
        counters |= {f"gap_{name}": (text, gaps[name]) for name, text in _GAP_COUNTERS.items() if name in gaps}
        for name, (text, value) in counters.items():
            yield CounterMetricFamily(f"meterline_bridge_{name}", text, value=value)
        for name, text in _GAP_GAUGES.items():
            if name in gaps:
                yield GaugeMetricFamily(f"meterline_bridge_gaps_{name}", text, value=gaps[name])
        rejected = CounterMetricFamily("meterline_bridge_rejected", "Inputs refused", labels=["reason"])
        for reason, count in dict(bridge.reasons).items():
            rejected.add_metric([reason], count)
        yield rejected
        yield GaugeMetricFamily(
            "meterline_bridge_held_bytes", "Bytes of messages that wait for Kafka", value=bridge.held_bytes
        )
