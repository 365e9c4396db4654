"""An outage with the processes as they run: MQTT, bridge, Kafka, worker, alert service, webhook."""

from __future__ import annotations

import pytest

from benchmarks.alerts_outage import BREAKER, GASPS, Outage, time_outages
from deploy.stack import StackSpec
from meterline.config import Settings

AREAS, METERS = 12, 25


@pytest.fixture(scope="module")
def outages(stack: StackSpec, settings: Settings) -> dict[str, Outage]:
    return time_outages(stack, settings, AREAS, METERS)


@pytest.mark.parametrize(("feeder", "limit_s"), [(BREAKER, 10.0), (GASPS, 30.0)])
def test_an_outage_is_one_alert_in_time(outages: dict[str, Outage], feeder: str, limit_s: float) -> None:
    """By the breaker's point, and by the last gasps that get through alone."""
    seen = outages[feeder]
    print(seen)  # noqa: T201  # seen with -s
    assert (seen.alerts, seen.areas, seen.meters) == (1, AREAS, AREAS * METERS)
    assert 0 < seen.alert_s < limit_s
    assert 0 < seen.notice_s < limit_s
