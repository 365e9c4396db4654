"""An outage with the processes as they run: MQTT, bridge, Kafka, worker, alert service, webhook."""

from __future__ import annotations

import pytest

from benchmarks.alerts_outage import BREAKER, GASPS, Outage, time_outages
from deploy.stack import StackSpec
from meterline.config import Settings
from tests.waiting import Promise

AREAS, METERS = 12, 25


@pytest.fixture(scope="module")
def outages(stack: StackSpec, settings: Settings) -> dict[str, Outage]:
    return time_outages(stack, settings, AREAS, METERS)


@pytest.mark.parametrize(("feeder", "limit_s"), [(BREAKER, 10.0), (GASPS, 30.0)])
def test_an_outage_is_one_alert_in_time(
    outages: dict[str, Outage], feeder: str, limit_s: float, promise: Promise
) -> None:
    """By the breaker's point, and by the last gasps that get through alone."""
    seen = outages[feeder]
    assert (seen.alerts, seen.areas, seen.meters) == (1, AREAS, AREAS * METERS)
    assert seen.alert_s > 0
    assert seen.notice_s > 0
    promise(f"an outage of {feeder} is an alert", seen.alert_s, limit_s)
    promise(f"an outage of {feeder} is told", seen.notice_s, limit_s)
