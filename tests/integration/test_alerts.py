"""Loss alerts from balances in a real database to a real receiver."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest

from alerts.evaluate import AnothersTurnError, evaluate
from alerts.formats import events_of
from alerts.look import AlertEvent
from alerts.messages import schema_files
from alerts.routing import Routing
from alerts.rules import AlertPolicy
from alerts.service import AlertSettings, run_alerts
from meterline.webhook import WebhookSender
from store.connection import Connection, connect
from store.deliveries import LEASE_S, Attempt, Outgoing, Queue, Target, deliver_due, read_backlog
from sync.load import load_grid
from tests.small_grid import small_model
from tests.waiting import PATIENCE_S, Promise
from tests.waiting import until as wait_until
from tests.webhook_receiver import SECRET, receive

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
POLICY = AlertPolicy()
#: Ends the service's connections.
CUT = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'alert-service'"
TARGETS = Routing.to_all(("marketing", "control-room"))


@pytest.fixture
def conninfo(database: Any) -> str:
    return str(database.conninfo("app"))


@pytest.fixture
def connection(conninfo: str) -> Iterator[Connection]:
    with connect(conninfo, "test") as opened:
        opened.autocommit = True
        load_grid(opened, small_model())
        yield opened


def settle(
    connection: Connection,
    unit: str,
    until: datetime = NOW,
    intervals: int = 96,
    inflow_wh: int = 10_000,
    loss_wh: int = 400,
    sigma_wh: float = 50.0,
    coverage: float = 1.0,
    computable: bool = True,
) -> None:
    """Store balances of the quarter-hours that end at `until` and before."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            insert into loss.balance (
              unit_id, observed_at, interval_s, inflow_wh, outflow_wh, loss_wh, members_loss_wh, sigma_wh, coverage,
              status, computable, revision, received_at
            )
            select unit_id, %s, 900, %s, %s, %s, 0, %s, %s, 'final', %s, 1, now()
            from grid.unit
            where code = %s
            on conflict (unit_id, observed_at, interval_s) do update set loss_wh = excluded.loss_wh, recorded_at = now()
            """,
            [
                (
                    until - n * QUARTER,
                    inflow_wh,
                    inflow_wh - loss_wh,
                    loss_wh,
                    sigma_wh,
                    coverage,
                    computable,
                    unit,
                )
                for n in range(intervals)
            ],
        )


def alerts(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute("select fingerprint, state, severity from alerts.alert order by alert_id").fetchall()


def owed(connection: Connection) -> list[tuple[Any, ...]]:
    """Every event that is or was owed, with its target, whether it shares its notice with others or not."""
    rows = connection.execute("select target, payload from alerts.delivery order by created_at, target").fetchall()
    return [(target, event["type"]) for target, payload in rows for event in events_of(payload)]


def events(found: list[AlertEvent]) -> list[tuple[str, str]]:
    return [(event.event, event.fingerprint) for event in found]


def test_from_high_loss_to_normal_again(connection: Connection) -> None:
    settle(connection, "A1", loss_wh=2_000)
    settle(connection, "A2")
    assert events(evaluate(connection, POLICY, TARGETS, NOW)) == [("opened", "high_loss:A1")]
    assert owed(connection) == [("control-room", "alert.opened"), ("marketing", "alert.opened")]

    # The same figures again: no second alert, no second notice, no write.
    assert evaluate(connection, POLICY, TARGETS, NOW) == []

    # Half a day at a normal rate: the sum is still over the threshold.
    later = NOW + timedelta(hours=12)
    settle(connection, "A1", until=later, intervals=48)
    assert events(evaluate(connection, POLICY, TARGETS, later)) == [("updated", "high_loss:A1")]
    assert len(owed(connection)) == 2

    later = NOW + timedelta(hours=24)
    settle(connection, "A1", until=later, intervals=48)
    assert events(evaluate(connection, POLICY, TARGETS, later)) == [("resolved", "high_loss:A1")]
    assert alerts(connection) == [("high_loss:A1", "resolved", "warning")]
    # Nothing was sent yet, so one notice tells of both.
    assert owed(connection) == [
        (target, event) for target in ("control-room", "marketing") for event in ("alert.opened", "alert.resolved")
    ]

    # It comes back: another alert, with ids of its own.
    later = NOW + timedelta(hours=48)
    settle(connection, "A1", until=later, loss_wh=5_000)
    assert events(evaluate(connection, POLICY, TARGETS, later)) == [("opened", "high_loss:A1")]
    assert [row[1] for row in alerts(connection)] == ["resolved", "open"]
    assert alerts(connection)[1][2] == "critical"


def test_figures_are_sums_with_a_linear_band(connection: Connection) -> None:
    settle(connection, "A1", loss_wh=2_000, sigma_wh=50.0)
    # Not computable, or not covered: left out of the sums.
    settle(connection, "A2", loss_wh=2_000, intervals=48)
    settle(connection, "A2", until=NOW - 48 * QUARTER, intervals=24, loss_wh=9_000, coverage=0.5)
    settle(connection, "A2", until=NOW - 72 * QUARTER, intervals=24, loss_wh=9_000, computable=False)
    evaluate(connection, POLICY, TARGETS, NOW)
    figures = [row[0] for row in connection.execute("select evidence from alerts.alert order by fingerprint")]
    assert figures[0] == {
        "supply_wh": 960_000,
        "loss_wh": 192_000,
        "sigma_wh": 4_800.0,
        "z": 2.0,
        "loss_rate": 0.2,
        "low_rate": 0.19,
        "high_rate": 0.21,
        "threshold_rate": 0.1,
        "window_from": "2026-11-21T12:00:00Z",
        "window_to": "2026-11-22T12:00:00Z",
        "settled_h": 24.0,
        "intervals": 96,
    }
    assert (figures[1]["intervals"], figures[1]["loss_wh"]) == (48, 96_000)


def test_notices_say_what_their_schema_says_and_no_series(connection: Connection) -> None:
    settle(connection, "A1", loss_wh=2_000)
    evaluate(connection, POLICY, TARGETS, NOW)
    ((payload,),) = connection.execute("select distinct payload from alerts.delivery").fetchall()
    schema = json.loads(schema_files()["alert-webhook.schema.json"])
    jsonschema.Draft202012Validator(schema).validate(payload)
    assert payload["data"]["code"] == "high_loss:A1"
    assert payload["data"]["unit_name"] == "Area A1"
    assert not any(isinstance(value, list) for value in payload["data"]["figures"].values())


@pytest.mark.parametrize(
    "figures",
    [
        {"loss_wh": 1_050},  # the band reaches into the threshold
        {"loss_wh": 2_000, "intervals": 23},  # less than six hours
        {"loss_wh": 2_000, "coverage": 0.9},
        {"loss_wh": 2_000, "coverage": float("nan")},
        {"loss_wh": 2_000, "computable": False},
        {"loss_wh": 20, "inflow_wh": 100},  # 9.6 kWh in a day
        {"loss_wh": -90},  # within the band of zero
        {"loss_wh": 2_000, "until": NOW - timedelta(hours=19)},  # too little of it in the window
        {"loss_wh": 2_000, "until": NOW + timedelta(hours=24)},  # not yet
    ],
)
def test_what_opens_nothing(connection: Connection, figures: dict[str, Any]) -> None:
    settle(connection, "A1", **figures)
    assert evaluate(connection, POLICY, TARGETS, NOW) == []
    assert owed(connection) == []


def test_negative_loss_is_an_alert_of_its_own(connection: Connection) -> None:
    settle(connection, "F1", loss_wh=-500)
    assert events(evaluate(connection, POLICY, TARGETS, NOW)) == [("opened", "negative_loss:F1")]


def test_without_data_an_alert_stays(connection: Connection) -> None:
    settle(connection, "A1", loss_wh=2_000)
    evaluate(connection, POLICY, TARGETS, NOW)
    assert evaluate(connection, POLICY, TARGETS, NOW + timedelta(days=3)) == []
    assert alerts(connection) == [("high_loss:A1", "open", "warning")]


def test_a_suppressed_alert_ends_without_a_notice(connection: Connection) -> None:
    settle(connection, "A1", loss_wh=2_000)
    evaluate(connection, POLICY, TARGETS, NOW)
    connection.execute("update alerts.alert set state = 'suppressed'")
    settle(connection, "A1", loss_wh=0)
    assert events(evaluate(connection, POLICY, TARGETS, NOW)) == [("resolved", "high_loss:A1")]
    assert [kind for _, kind in owed(connection)] == ["alert.opened", "alert.opened"]


def test_alert_and_notice_are_one_transaction(connection: Connection, database: Any) -> None:
    settle(connection, "A1", loss_wh=2_000)
    with connect(database.conninfo("owner"), "owner") as owner:
        owner.execute("alter table alerts.delivery add constraint broken check (target <> 'marketing')")
    with pytest.raises(Exception, match="broken"):
        evaluate(connection, POLICY, TARGETS, NOW)
    assert alerts(connection) == []
    assert owed(connection) == []


def test_two_evaluators_open_one_alert(connection: Connection, conninfo: str) -> None:
    settle(connection, "A1", loss_wh=2_000)
    together = threading.Barrier(3)

    def judge(_: int) -> list[AlertEvent]:
        with connect(conninfo, "evaluator") as own:
            own.autocommit = True
            together.wait(PATIENCE_S)
            found = []
            for _ in range(5):
                with contextlib.suppress(AnothersTurnError):
                    found += evaluate(own, POLICY, TARGETS, NOW)
            return found

    with ThreadPoolExecutor(3) as pool:
        found = [event for own in pool.map(judge, range(3)) for event in own]
    assert events(found) == [("opened", "high_loss:A1")]


def test_a_receiver_that_fails_half_the_time_gets_each_notice_once_by_id(connection: Connection) -> None:
    for unit in ("A1", "A2", "F1", "F2"):
        settle(connection, unit, loss_wh=2_000)
    clock = datetime.now(UTC) + timedelta(seconds=1)
    with receive(lambda n: 500 if n % 2 else 200) as receiver:
        target = Target("marketing", receiver.url, SECRET, allow_private=True)
        evaluate(connection, POLICY, Routing.to_all([target.name]), NOW)
        for unit in ("A1", "A2", "F1", "F2"):
            settle(connection, unit, loss_wh=0)
        evaluate(connection, POLICY, Routing.to_all([target.name]), NOW)
        sender = WebhookSender(threading.Event())
        for minute in range(10):
            at = clock + timedelta(minutes=minute)
            deliver_due(connection, Queue.ALERTS, [target], sender, lambda now=at: now, lambda: 0.5)  # type: ignore[misc]
    # A notice a feeder and cause.
    assert len(receiver.accepted) == 2
    assert set(receiver.accepted.values()) == {1}
    assert set(receiver.seen.values()) == {2}
    by_code: dict[str, list[str]] = {}
    for body in receiver.bodies:
        for event in events_of(body):
            by_code.setdefault(event["data"]["code"], []).append(event["type"])
    assert sorted(by_code) == [f"high_loss:{unit}" for unit in ("A1", "A2", "F1", "F2")]
    assert set(map(tuple, by_code.values())) == {("alert.opened", "alert.resolved")}


def test_the_service_tells_and_stops(connection: Connection, conninfo: str, promise: Promise) -> None:
    """It outlives the loss of its connections, and stops within 2 s."""
    until = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    settle(connection, "A1", until=until, loss_wh=2_000)
    stop = threading.Event()
    with receive(lambda n: 503 if n == 1 else 200) as receiver:
        targets = [Target("marketing", receiver.url, SECRET, allow_private=True)]
        policy = dataclasses.replace(POLICY, min_hours=4)
        judged_by = AlertSettings(policy, lambda _: Routing.to_all(["marketing"], interval_s=0.5))
        service = threading.Thread(
            target=run_alerts,
            args=(lambda: connect(conninfo, "alert-service"), judged_by, targets, WebhookSender(stop), stop, 0.2),
            daemon=True,
        )
        service.start()
        wait_until(lambda: receiver.accepted)
        connection.execute(CUT)
        settle(connection, "A1", until=until, loss_wh=0)
        wait_until(lambda: len(receiver.accepted) == 2)
        started = time.monotonic()
        stop.set()
        service.join(PATIENCE_S)
        promise("the alert service stops", time.monotonic() - started, 2)
    assert [body["type"] for body in receiver.bodies] == ["alert.opened", "alert.resolved"]
    assert set(receiver.accepted.values()) == {1}


def test_a_connection_lost_between_sent_and_noted_repeats_nothing(connection: Connection, conninfo: str) -> None:
    """What came of the batch is noted by the next connection, long before the lease is over."""
    until = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for unit in ("A1", "F2"):
        settle(connection, unit, until=until, loss_wh=2_000)
    stop, cut = threading.Event(), 0
    # One is taken, the other is refused at first.
    with receive(lambda n: 204 if n == 2 or not receiver.accepted else 503) as receiver:
        sender = WebhookSender(stop)

        def send(batch: Sequence[Outgoing]) -> Sequence[Attempt]:
            nonlocal cut
            attempts = sender(batch)
            if cut < 3:
                cut += 1
                with connect(conninfo, "killer") as killer:
                    killer.execute(CUT)
            return attempts

        judged_by = AlertSettings(
            dataclasses.replace(POLICY, min_hours=4), lambda _: Routing.to_all(["marketing"], interval_s=0)
        )
        target = Target("marketing", receiver.url, SECRET, allow_private=True)
        service = threading.Thread(
            target=run_alerts,
            args=(lambda: connect(conninfo, "alert-service"), judged_by, [target], send, stop, 0.2),
            daemon=True,
        )
        service.start()
        # When the lease is over it would be sent again: that is counted below.
        wait_until(
            lambda: sum(x.delivered for x in read_backlog(connection, Queue.ALERTS)) == 2, "both are noted", LEASE_S
        )
        time.sleep(1.0)
        stop.set()
        service.join(PATIENCE_S)
    assert cut >= 2
    assert sorted(receiver.seen.values()) == [1, 2]
    assert list(receiver.accepted.values()) == [1, 1]
    assert connection.execute("select attempts from alerts.delivery order by 1").fetchall() == [(1,), (2,)]
