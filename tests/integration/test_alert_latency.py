"""The service as it runs: how soon who is told, and a feeder of 3,000 meters that is one alert."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from alerts.formats import events_of
from alerts.routing import Routing
from alerts.rules import AlertPolicy
from alerts.service import AlertSettings, run_alerts
from benchmarks.alerts_storm import storm, storm_model
from grid.model import Feeder, GridModel, Meter, Role, Substation, TransformerArea, UnitKind
from grid.network import AreaConnection, FeederHead, Network, Node, Segment, Switch, SwitchKind
from meterline.webhook import WebhookSender
from store.connection import Connection, connect
from store.deliveries import Target
from store.findings import FindingFilter, list_findings
from store.topology import apply_switch_position
from sync.load import load_grid
from tests.switched_database import CLOSED, OPEN
from tests.waiting import PATIENCE_S, Promise
from tests.waiting import until as wait_until
from tests.webhook_receiver import SECRET, Receiver, receive

AREAS, METERS = 20, 150
FEEDERS = 60


def model() -> GridModel:
    """F0 with a breaker, 20 areas of 150 meters; and sixty feeders without any."""
    areas = [f"A{n}" for n in range(AREAS)]
    meters = [Meter(f"F{n}-head", f"F{n}", Role.GATEWAY, 40, 0.2) for n in range(FEEDERS + 1)]
    meters += [Meter(f"{a}-{n}", a, Role.CUSTOMER) for a in areas for n in range(METERS)]
    network = Network(
        (Node("bus", "S"), *(Node(f"n{n}", "S") for n in range(AREAS))),
        tuple(Segment(f"s{n}", f"n{n}", f"n{n + 1}", 100.0, 0.1, 0.1) for n in range(AREAS - 1)),
        (Switch("F0-B", SwitchKind.BREAKER, "bus", "n0"),),
        (FeederHead("F0", "n0", "F0-B"),),
        tuple(AreaConnection(a, f"n{n}") for n, a in enumerate(areas)),
    )
    return GridModel(
        substations=(Substation("S", "S", 110_000, 20_000),),
        feeders=tuple(Feeder(f"F{n}", f"F{n}", "S") for n in range(FEEDERS + 1)),
        areas=tuple(TransformerArea(a, a, UnitKind.AREA, "headend", "F0", 400_000) for a in areas),
        meters=tuple(meters),
        feeder_gateways={f"F{n}": "rtu" for n in range(FEEDERS + 1)},
        network=network,
    )


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, model())
        yield opened


@contextmanager
def service(database: Any) -> Iterator[Receiver]:
    """The service, and its receiver, with the intervals that are the default."""
    stop = threading.Event()
    with receive() as receiver:
        target = Target("m", receiver.url, SECRET, allow_private=True)
        policy = dataclasses.replace(AlertPolicy(), min_hours=4)
        judged_by = AlertSettings(policy, lambda _: Routing.to_all(["m"]))
        arguments = (
            lambda: connect(database.conninfo("app"), "alerts"),
            judged_by,
            [target],
            WebhookSender(stop),
            stop,
        )
        thread = threading.Thread(target=run_alerts, args=arguments, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            stop.set()
            thread.join(PATIENCE_S)


def told(receiver: Receiver) -> dict[tuple[str, str], dict[str, Any]]:
    events = [event for body in list(receiver.bodies) for event in events_of(body)]
    return {(event["type"], event["data"]["code"]): event["data"] for event in events}


def wait(receiver: Receiver, what: tuple[str, str]) -> float:
    """Seconds until it was told."""
    began = time.monotonic()
    wait_until(lambda: what in told(receiver), f"{what} is told")
    return time.monotonic() - began


def settle(connection: Connection, unit: str) -> None:
    """A day of high loss of one unit, as one transaction of a worker."""
    until = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    connection.execute(
        """
        insert into loss.balance (
          unit_id, observed_at, interval_s, inflow_wh, outflow_wh, loss_wh, members_loss_wh, sigma_wh, coverage,
          status, computable, revision, received_at
        )
        select unit_id, %s - n * interval '15 minutes', 900, 10000, 8000, 2000, 0, 50, 1, 'final', true, 1, now()
        from grid.unit cross join generate_series(0, 95) n
        where code = %s
        """,
        [until, unit],
    )


def test_from_the_settled_interval_to_the_receiver(connection: Connection, database: Any, promise: Promise) -> None:
    """p99 under 3 s, each feeder a group of its own, settled at all times between two looks."""
    settled_at: dict[str, float] = {}
    with service(database) as receiver:
        settle(connection, "F0")
        wait(receiver, ("alert.opened", "high_loss:F0"))
        for n in range(1, FEEDERS + 1):
            settle(connection, f"F{n}")
            settled_at[f"high_loss:F{n}"] = time.monotonic()
            time.sleep(0.08 + 0.013 * (n % 7))
        for code in settled_at:
            wait(receiver, ("alert.opened", code))
    told_at = {
        event["data"]["code"]: at_s
        for at_s, body in zip(receiver.at_s, receiver.bodies, strict=True)
        for event in events_of(body)
    }
    seconds = [told_at[code] - at_s for code, at_s in settled_at.items()]
    p50, p99, worst = np.percentile(seconds, [50, 99, 100])
    promise(f"settled → delivered: p50 {p50:.2f} s, at most {worst:.2f} s of {len(seconds)}; p99", p99, 3)
    assert set(receiver.accepted.values()) == {1}


def test_a_feeder_of_3000_meters_is_one_alert(connection: Connection, database: Any, promise: Promise) -> None:
    """Within 10 s of the breaker's point, with its areas and meters in it; and its end."""
    with service(database) as receiver:
        time.sleep(1.5)
        began = datetime.now(UTC)
        apply_switch_position(connection, "F0-B", OPEN, datetime.now(UTC))
        seconds = wait(receiver, ("alert.opened", "outage:F0"))
        promise("breaker of 3,000 meters → delivered", seconds, 10)
        notice = told(receiver)["alert.opened", "outage:F0"]
        assert notice["figures"] == {
            "areas": AREAS, "meters": AREAS * METERS, "source": "switch", "switch": "F0-B",
        }  # fmt: skip
        time.sleep(3)
        assert connection.execute("select count(*) from alerts.alert").fetchone() == (1,)
        (found,) = list_findings(connection, FindingFilter(), 0, 10)
        apply_switch_position(connection, "F0-B", CLOSED, datetime.now(UTC))
        state = "select state from alerts.alert"
        wait_until(lambda: connection.execute(state).fetchone() == ("resolved",), "the alert is resolved")
    assert found.begin_at >= began
    # Its end is told with the group's next notice, a minute later.
    assert all(at_s > receiver.at_s[0] + 59 for at_s in receiver.at_s[1:])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_storm_of_a_hundred_thousand(database: Any) -> None:
    """As many findings in a minute: at most one notice a group and minute, all stored, all counted, and in time."""
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, storm_model(100, 20))
        seen = storm(opened, 100_000, 100, 20)
    print(seen)  # noqa: T201  # seen with -s
    assert (seen.stored, seen.listed, seen.alerts, seen.told) == (100_000,) * 4
    assert seen.most == 1
