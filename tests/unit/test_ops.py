from __future__ import annotations

import socket
import time
from collections.abc import Iterable

import httpx
import pytest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from meterline.ops import serve_ops
from streams.counters import DELAY_EDGES_S, Counters, Vitals


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


def test_a_silent_client_doesn_t_stop_the_probes() -> None:
    with (
        serve_ops("127.0.0.1", 0, Rows(), lambda: None) as port,
        socket.create_connection(("127.0.0.1", port)),
    ):
        started = time.monotonic()
        assert httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=15).status_code == 200
        assert time.monotonic() - started < 10


def test_a_batch_that_hangs_makes_a_worker_not_ready() -> None:
    vitals = Vitals()
    assert vitals.stalled(30) is None
    vitals.areas.busy_since = time.monotonic() - 5
    assert vitals.stalled(30) is None
    vitals.areas.busy_since = time.monotonic() - 40
    assert vitals.stalled(30) == "nothing was committed for areas for 40 s"


def test_delays_are_counted_by_bucket() -> None:
    counters = Counters()
    counters.committed([], 100.0)
    counters.committed([100_000_000, 99_900_000, 97_000_000, 0, 200_000_000], 100.0)
    assert dict(zip((*DELAY_EDGES_S, "more"), counters.delay_counts.tolist(), strict=True)) == {
        0.25: 3,
        0.5: 0,
        1.0: 0,
        2.0: 0,
        5.0: 1,
        10.0: 0,
        30.0: 0,
        60.0: 0,
        600.0: 1,
        "more": 0,
    }
    assert counters.delay_sum_s == pytest.approx(103.1)
