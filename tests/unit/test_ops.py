from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from grid.errors import Reason, Rejection
from meterline.metrics import WorkerMetrics
from meterline.metrics_bridge import BridgeMetrics
from meterline.ops import serve_ops
from streams.counters import AGE_EDGES_S, DELAY_EDGES_S, Counters, Histogram, Vitals
from streams.view_cache import CacheFigures
from tests.prometheus import prometheus_samples
from tests.waiting import PATIENCE_S, Promise


class Rows(Collector):
    def collect(self) -> Iterable[CounterMetricFamily]:
        family = CounterMetricFamily("meterline_rows", "Rows written", labels=["units"])
        family.add_metric(["areas"], 7)
        yield family


def test_health_readiness_and_metrics() -> None:
    reasons: list[str | None] = [None]
    with serve_ops("127.0.0.1", 0, Rows(), lambda: reasons[0]) as port:
        base = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{base}/healthz").status_code == 200
        assert httpx.get(f"{base}/readyz").status_code == 200
        reasons[0] = "nothing was committed for 60 s"
        answer = httpx.get(f"{base}/readyz")
        assert (answer.status_code, answer.text) == (503, "nothing was committed for 60 s\n")
        metrics = httpx.get(f"{base}/metrics").text
        assert 'meterline_rows_total{units="areas"} 7.0' in metrics
        assert "process_resident_memory_bytes" in metrics
        assert httpx.get(f"{base}/other").status_code == 404


def test_a_silent_client_doesn_t_stop_the_probes(promise: Promise) -> None:
    with (
        serve_ops("127.0.0.1", 0, Rows(), lambda: None) as port,
        socket.create_connection(("127.0.0.1", port)),
    ):
        started = time.monotonic()
        assert httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE_S).status_code == 200
        promise("a probe beside a silent client", time.monotonic() - started, 10)


def test_a_batch_that_hangs_makes_a_worker_not_ready() -> None:
    vitals = Vitals()
    assert vitals.stalled(30) is None
    vitals.areas.busy_since = time.monotonic() - 5
    assert vitals.stalled(30) is None
    vitals.areas.busy_since = time.monotonic() - 40
    assert vitals.stalled(30) == "nothing was committed for areas for 40 s"


def test_a_refusal_that_hangs_makes_a_worker_not_ready() -> None:
    vitals = Vitals()
    vitals.refusals.busy_since = time.monotonic() - 40
    assert vitals.stalled(30) == "nothing was committed for refusals for 40 s"


def test_delays_are_counted_by_bucket() -> None:
    counters = Counters()
    counters.committed([], 100.0)
    counters.committed([100_000_000, 99_900_000, 97_000_000, 0, 200_000_000], 100.0, [40_000_000, -(10**15)])
    received = dict(zip((*DELAY_EDGES_S, "more"), counters.received_delay.counts.tolist(), strict=True))
    assert {edge: count for edge, count in received.items() if count} == {0.25: 3, 5.0: 1, 600.0: 1}
    assert counters.received_delay.total == pytest.approx(103.1)
    observed = dict(zip((*AGE_EDGES_S, "more"), counters.observed_delay.counts.tolist(), strict=True))
    assert {edge: count for edge, count in observed.items() if count} == {60.0: 1, "more": 1}


@given(st.lists(st.floats(-1e6, 1e6), max_size=50), st.lists(st.floats(0, 1e5), min_size=1, max_size=8, unique=True))
def test_a_histogram_counts_like_a_loop(values: list[float], edges: list[float]) -> None:
    edges.sort()
    histogram = Histogram(edges)
    histogram.add(values[:10])
    histogram.add(values[10:])
    expected = [0] * (len(edges) + 1)
    for value in values:
        expected[sum(1 for edge in edges if edge < max(value, 0.0))] += 1
    assert histogram.counts.tolist() == expected
    assert histogram.total == pytest.approx(sum(max(value, 0.0) for value in values))


def test_a_worker_s_metrics_are_prometheus_text() -> None:
    vitals = Vitals(lag={("telemetry.area", 3): 17})
    vitals.cache = lambda: CacheFigures(units=2, members=30, hits=5, misses=2)
    vitals.areas.committed([99_000_000], 100.0, [10_000_000])
    vitals.areas.flushed(400, 0.2)
    vitals.areas.conflicts = 3
    vitals.areas.refused(
        [Rejection(Reason.UNKNOWN_METER, "d", "t", b""), Rejection(Reason.INVALID_BLOCK, "d", "t", b"")]
    )
    with serve_ops("127.0.0.1", 0, WorkerMetrics(vitals), lambda: None) as port:
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics")
    samples = prometheus_samples(answer)
    assert samples["meterline_worker_lag_records", "3", "telemetry.area"] == 17
    assert samples["meterline_worker_conflicts_total", "areas"] == 3
    assert samples["meterline_worker_rejected_total", "areas"] == 2
    assert samples["meterline_worker_rejected_by_reason_total", "unknown_meter", "areas"] == 1
    assert samples["meterline_worker_cache_requests_total", "hit"] == 5
    assert samples["meterline_worker_cache_units",] == 2
    assert samples["meterline_worker_delay_seconds_bucket", "areas", "0.5"] == 0
    assert samples["meterline_worker_delay_seconds_bucket", "areas", "1.0"] == 1
    assert samples["meterline_worker_age_seconds_sum", "areas"] == pytest.approx(90)
    assert samples["meterline_worker_flush_seconds_count", "areas"] == 1
    assert samples["meterline_worker_batch_records_sum", "areas"] == 400


def test_a_bridge_s_metrics_are_prometheus_text() -> None:
    bridge = SimpleNamespace(
        forwarded=5, gathered=3, backfilled=1, reasons={"invalid_topic": 2}, held_bytes=100, gap_figures=dict
    )
    with serve_ops("127.0.0.1", 0, BridgeMetrics(bridge), lambda: None) as port:  # type: ignore[arg-type]
        samples = prometheus_samples(httpx.get(f"http://127.0.0.1:{port}/metrics"))
    assert samples["meterline_bridge_forwarded_total",] == 5
    assert samples["meterline_bridge_rejected_total", "invalid_topic"] == 2
    assert samples["meterline_bridge_held_bytes",] == 100
    assert samples["meterline_bridge_gathered_total",] == 3
    assert samples["meterline_bridge_backfilled_total",] == 1
