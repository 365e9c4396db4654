"""Outages from switches and from last gasps, in a real database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.evaluate import evaluate
from alerts.formats import events_of
from alerts.lifecycle import Action
from alerts.operate import operate
from alerts.outage_watch import OutageWatch
from alerts.routing import Routing
from alerts.rules import AlertPolicy
from grid.finding import Finding, Severity
from store.alert_desk import add_maintenance, end_maintenance
from store.alerts import AlertFilter, list_alerts
from store.benefit import keep_outages, read_interruptions
from store.connection import Connection, connect
from store.findings import FindingFilter, add_findings, list_findings
from store.outages import find_meter_outage
from store.topology import apply_switch_position
from sync.load import load_grid
from tests.small_network import switched_model
from tests.switched_database import CLOSED, OPEN

NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
ROUTING = Routing.to_all(["control-room"])


def s(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, switched_model())
        yield opened


class Desk:
    """The service's look, at instants of the test's own."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.watch = OutageWatch()

    def look(self, at: datetime) -> list[tuple[str, str]]:
        self.watch.look(self.connection, at)
        return [(e.event, e.fingerprint) for e in evaluate(self.connection, AlertPolicy(), ROUTING, at)]

    def alerts(self) -> list[tuple[str, str, dict[str, Any]]]:
        found = list_alerts(self.connection, AlertFilter(), 0, 100)
        return [(a.fingerprint, a.state, a.figures) for a in reversed(found)]

    def told(self) -> list[tuple[str, str]]:
        rows = self.connection.execute("select payload from alerts.delivery order by created_at").fetchall()
        return [(event["type"], event["data"]["code"]) for (payload,) in rows for event in events_of(payload)]


@pytest.fixture
def desk(connection: Connection) -> Desk:
    desk = Desk(connection)
    desk.look(NOW - timedelta(hours=1))
    return desk


def test_a_breaker_that_opens_is_one_alert_with_its_areas(desk: Desk) -> None:
    apply_switch_position(desk.connection, "F1-B", OPEN, NOW)
    # A breaker that recloses by itself within seconds would be nothing.
    assert desk.look(s(1)) == []
    assert desk.look(s(3)) == [("opened", "outage:F1")]
    ((code, state, figures),) = desk.alerts()
    assert (code, state) == ("outage:F1", "open")
    assert figures == {"areas": 3, "meters": 0, "source": "switch", "switch": "F1-B"}
    assert desk.told() == [("alert.opened", "outage:F1")]
    assert desk.look(s(4)) == []
    (finding,) = list_findings(desk.connection, FindingFilter(kind="outage"), 0, 10)
    assert (finding.unit, finding.begin_at) == ("F1", NOW)

    apply_switch_position(desk.connection, "F1-B", CLOSED, s(600))
    assert desk.look(s(601)) == []
    assert desk.look(s(606)) == [("resolved", "outage:F1")]
    assert desk.alerts()[0][1] == "resolved"


def test_a_breaker_that_recloses_at_once_alarms_nobody(desk: Desk) -> None:
    apply_switch_position(desk.connection, "F1-B", OPEN, NOW)
    assert desk.look(s(0.5)) == []
    apply_switch_position(desk.connection, "F1-B", CLOSED, s(1))
    assert desk.look(s(1.5)) == []
    assert desk.look(s(60)) == []
    assert desk.alerts() == []
    assert desk.told() == []


def test_an_outage_ends_although_the_clock_was_set_back(desk: Desk) -> None:
    apply_switch_position(desk.connection, "F1-B", OPEN, NOW)
    assert desk.look(s(600)) == [("opened", "outage:F1")]
    apply_switch_position(desk.connection, "F1-B", CLOSED, s(5))
    desk.look(s(10))
    desk.look(s(700))
    assert [state for _, state, _ in desk.alerts()] == ["resolved"]


def test_part_of_a_feeder_grows_and_shrinks_as_one_alert(desk: Desk) -> None:
    apply_switch_position(desk.connection, "F1-Q", OPEN, NOW)
    assert desk.look(s(3)) == [("opened", "outage:F1")]
    assert desk.alerts()[0][2] == {"areas": 2, "meters": 0, "source": "switch", "switch": "F1-Q"}
    apply_switch_position(desk.connection, "F1-B", OPEN, s(60))
    assert desk.look(s(61)) == [("updated", "outage:F1")]
    assert desk.alerts()[0][2]["areas"] == 3
    # Both ends of the ring are closed from the neighbour: all but F1-A come back.
    apply_switch_position(desk.connection, "T12", CLOSED, s(120))
    assert desk.look(s(121)) == [("updated", "outage:F1")]
    assert desk.alerts()[0][2]["areas"] == 1
    apply_switch_position(desk.connection, "F1-B", CLOSED, s(180))
    desk.look(s(181))
    assert desk.look(s(190)) == [("resolved", "outage:F1")]
    assert len(desk.alerts()) == 1


def test_an_outage_while_the_service_was_away_is_seen_when_it_starts(connection: Connection) -> None:
    apply_switch_position(connection, "F1-B", OPEN, NOW)
    desk = Desk(connection)
    assert desk.look(s(60)) == [("opened", "outage:F1")]
    apply_switch_position(connection, "F1-B", CLOSED, s(100))
    again = Desk(connection)
    again.look(s(110))
    assert again.look(s(120)) == [("resolved", "outage:F1")]


def test_a_report_for_an_instant_ahead_is_looked_at_then(desk: Desk) -> None:
    apply_switch_position(desk.connection, "F1-B", OPEN, s(20))
    assert desk.look(s(1)) == []
    assert desk.look(s(19)) == []
    assert desk.look(s(23)) == [("opened", "outage:F1")]


def test_a_late_report_of_what_is_over_alarms_nobody(desk: Desk) -> None:
    apply_switch_position(desk.connection, "F1-B", CLOSED, s(-60))
    apply_switch_position(desk.connection, "F1-B", OPEN, s(-120))
    assert desk.look(s(10)) == []
    assert desk.alerts() == []


def finding(unit: str, kind: str = "theft_bypass", at: datetime = NOW, holds: bool = True) -> Finding:
    return Finding(kind, Severity.WARNING, unit, f"{kind}:{unit}", min(NOW, at), at, holds)


def test_no_loss_alert_while_the_feeder_is_out(desk: Desk) -> None:
    apply_switch_position(desk.connection, "F1-B", OPEN, NOW)
    desk.look(s(3))
    add_findings(desk.connection, [finding("F1-C", "high_loss"), finding("F2-C", "high_loss")])
    assert desk.look(s(4)) == [("opened", "high_loss:F2-C")]
    (held,) = list_findings(desk.connection, FindingFilter(unit="F1-C"), 0, 10)
    assert held.held_by == "outage"
    apply_switch_position(desk.connection, "F1-B", CLOSED, s(60))
    assert desk.look(s(61)) == [("opened", "high_loss:F1-C")]


def test_maintenance_keeps_back_what_is_below_the_unit(desk: Desk) -> None:
    number = add_maintenance(desk.connection, "F1", s(-60), s(3_600), "cable", "zhao", ["outage"])
    assert number is not None
    apply_switch_position(desk.connection, "F1-B", OPEN, NOW)
    assert desk.look(s(5)) == []
    (held,) = list_findings(desk.connection, FindingFilter(kind="outage"), 0, 10)
    assert held.held_by == "maintenance"
    # Another feeder isn't in the window, and nor is another kind.
    apply_switch_position(desk.connection, "F2-B", OPEN, NOW)
    assert desk.look(s(9)) == [("opened", "outage:F2")]
    # It lasts longer than planned: then it alarms.
    assert end_maintenance(desk.connection, number, s(600))
    assert ("opened", "outage:F1") in desk.look(s(660))


def test_theft_waits_for_data(desk: Desk) -> None:
    add_findings(desk.connection, [finding("F1-C"), finding("F2-C")])
    desk.connection.execute(
        """
        insert into loss.balance (
          unit_id, observed_at, interval_s, inflow_wh, outflow_wh, loss_wh, members_loss_wh, sigma_wh, coverage,
          status, computable, revision, received_at
        )
        select unit_id, %s, 900, 100, 90, 10, 0, 1, case code when 'F1-C' then 1.0 else 0.4 end, 'final', true, 1, %s
        from grid.unit where code in ('F1-C', 'F2-C')
        """,
        [NOW, NOW],
    )
    assert desk.look(s(1)) == [("opened", "theft_bypass:F1-C")]
    (held,) = list_findings(desk.connection, FindingFilter(unit="F2-C"), 0, 10)
    assert held.held_by == "missing_data"


def test_whether_a_customer_is_out_and_until_when(connection: Connection) -> None:
    connection.execute("insert into grid.meter (code, accuracy_class) values ('m-1', 2)")
    connection.execute(
        "insert into grid.member (unit_id, position, meter, role, valid)"
        " select unit_id, 7, 'm-1', 2, tstzrange('2020-01-01 00:00+00', null) from grid.unit where code = 'F1-C'"
    )
    desk = Desk(connection)
    (before,) = find_meter_outage(connection, "m-1", s(0))
    assert (before.area, before.since) == ("F1-C", None)
    apply_switch_position(connection, "F1-Q", OPEN, NOW)
    desk.look(s(3))
    alert = list_alerts(connection, AlertFilter(), 0, 1)[0]
    assert alert.figures["meters"] == 1
    operate(connection, alert.alert_id, Action.ACKNOWLEDGE, "zhao", "crew is out", s(60), expected_at=s(7_200))
    (found,) = find_meter_outage(connection, "m-1", s(61))
    assert (found.since, found.expected_at, found.state, found.cause) == (NOW, s(7_200), "acknowledged", "F1-Q")
    assert find_meter_outage(connection, "unknown", s(61)) == []


class TestLastGasps:
    """Outages from what meters say last."""

    @pytest.fixture
    def desk(self, connection: Connection, database: Any) -> Desk:
        with connect(database.conninfo("owner"), "owner") as owner:
            for area in ("F1-A", "F1-C", "F1-D", "F2-A"):
                for number in range(10):
                    owner.execute("insert into grid.meter (code, accuracy_class) values (%s, 2)", [f"{area}-{number}"])
                    owner.execute(
                        "insert into grid.member (unit_id, position, meter, role, valid)"
                        " select unit_id, %s, %s, 2, tstzrange('2020-01-01 00:00+00', null)"
                        " from grid.unit where code = %s",
                        [100 + number, f"{area}-{number}", area],
                    )
        desk = Desk(connection)
        desk.look(NOW - timedelta(hours=1))
        return desk

    def send(self, desk: Desk, area: str, meters: range, at: datetime, kind: str = "last_gasp") -> None:
        for number in meters:
            desk.connection.execute(
                "insert into telemetry.event (unit_id, meter, observed_at, kind, sequence, received_at)"
                " select unit_id, %s, %s, %s, 1, %s from grid.unit where code = %s",
                [f"{area}-{number}", at, kind, at, area],
            )

    def test_a_feeder_from_last_gasps_alone(self, desk: Desk) -> None:
        for area in ("F1-A", "F1-C", "F1-D"):
            self.send(desk, area, range(5), NOW)
        self.send(desk, "F2-A", range(2), NOW)  # two of ten are no outage
        assert desk.look(s(3)) == [("opened", "outage:F1")]
        ((_, _, figures),) = desk.alerts()
        assert figures == {"areas": 3, "meters": 30, "source": "last_gasps", "last_gasps": 15}
        assert desk.look(s(30)) == []
        assert desk.look(s(400)) == []  # its gasps are out of the window; it is still out
        for area in ("F1-A", "F1-C", "F1-D"):
            self.send(desk, area, range(5), s(500), "power_restored")
        desk.look(s(501))
        assert desk.look(s(510)) == [("resolved", "outage:F1")]

    def test_gasps_that_are_stored_late_are_an_outage(self, desk: Desk) -> None:
        assert desk.look(s(600)) == []
        for area in ("F1-A", "F1-C", "F1-D"):
            self.send(desk, area, range(5), NOW)
        desk.look(s(610))
        assert [(code, figures["areas"]) for code, _, figures in desk.alerts()] == [("outage:F1", 3)]
        (finding,) = list_findings(desk.connection, FindingFilter(kind="outage"), 0, 10)
        assert finding.begin_at == NOW

    def test_gasps_that_are_stored_late_and_over_alarm_nobody(self, desk: Desk) -> None:
        assert desk.look(s(600)) == []
        for area in ("F1-A", "F1-C", "F1-D"):
            self.send(desk, area, range(5), NOW)
            self.send(desk, area, range(5), s(120), "power_restored")
        assert desk.look(s(610)) == desk.look(s(660)) == []
        assert desk.alerts() == []

    def test_gasps_while_nobody_looked_are_an_outage(self, desk: Desk) -> None:
        for area in ("F1-A", "F1-C", "F1-D"):
            self.send(desk, area, range(5), NOW)
        self.send(desk, "F2-A", range(5), NOW)
        self.send(desk, "F2-A", range(5), s(300), "power_restored")
        desk.watch = OutageWatch()
        desk.look(s(1_200))
        assert [code for code, _, _ in desk.alerts()] == ["outage:F1"]

    def test_one_area_is_an_outage_of_its_own(self, desk: Desk) -> None:
        self.send(desk, "F1-C", range(3), NOW)
        # Its neighbours' gasps may still be on their way.
        assert desk.look(s(19)) == []
        assert desk.look(s(20)) == [("opened", "outage:F1-C")]

    def test_areas_whose_gateways_send_one_after_another_are_one_alert(self, desk: Desk) -> None:
        for area, second in (("F1-C", 3), ("F1-D", 8), ("F1-A", 17)):
            self.send(desk, area, range(8), NOW)
            desk.look(s(second))
        desk.look(s(40))
        ((code, _, figures),) = desk.alerts()
        assert (code, figures["areas"], figures["meters"]) == ("outage:F1", 3, 30)
        assert desk.told() == [("alert.opened", "outage:F1")]

    def test_the_breakers_point_takes_the_gasps_over(self, desk: Desk) -> None:
        for area in ("F1-A", "F1-C"):
            self.send(desk, area, range(5), NOW)
        assert desk.look(s(3)) == [("opened", "outage:F1")]
        apply_switch_position(desk.connection, "F1-B", OPEN, NOW)
        assert desk.look(s(4)) == [("updated", "outage:F1")]
        assert desk.alerts()[0][2]["source"] == "switch"
        self.send(desk, "F1-D", range(5), s(5))
        desk.look(s(10))
        assert len(desk.alerts()) == 1
        assert desk.told() == [("alert.opened", "outage:F1")]

    def test_gasps_after_the_breaker_add_nothing(self, desk: Desk) -> None:
        apply_switch_position(desk.connection, "F1-B", OPEN, NOW)
        self.send(desk, "F1-C", range(5), NOW)
        assert desk.look(s(3)) == [("opened", "outage:F1")]
        assert desk.look(s(10)) == []
        assert len(desk.alerts()) == 1

    def test_gasps_of_areas_that_a_tie_has_supplied_since_are_no_outage_of_its_feeder(self, desk: Desk) -> None:
        apply_switch_position(desk.connection, "F1-B", OPEN, NOW)
        apply_switch_position(desk.connection, "F1-Q", OPEN, NOW)
        for area in ("F1-C", "F1-D"):
            self.send(desk, area, range(8), s(1))
        assert desk.look(s(3)) == [("opened", "outage:F1")]
        apply_switch_position(desk.connection, "T12", CLOSED, s(90))
        assert desk.look(s(91)) == [("updated", "outage:F1")]
        for second in (95, 100, 150, 300):
            assert desk.look(s(second)) == []
        assert [code for code, _, _ in desk.alerts()] == ["outage:F1"]
        # Their new feeder's own gasps count.
        for area in ("F1-C", "F1-D"):
            self.send(desk, area, range(8), s(310))
        assert desk.look(s(313)) == [("opened", "outage:F2")]

    def test_a_breaker_that_recloses_at_once_leaves_gasps_that_alarm_nobody(self, desk: Desk) -> None:
        apply_switch_position(desk.connection, "F1-B", OPEN, NOW)
        apply_switch_position(desk.connection, "F1-B", CLOSED, s(1))
        for area in ("F1-A", "F1-C", "F1-D"):
            self.send(desk, area, range(3), s(0.2))
            # The slowest of them come after the supply is back.
            self.send(desk, area, range(3, 8), s(2))
        for second in (2.5, 5, 25, 120):
            assert desk.look(s(second)) == []
        assert desk.alerts() == []

    def test_gasps_that_came_before_the_reclosing_breakers_points_are_over_with_them(self, desk: Desk) -> None:
        for area in ("F1-A", "F1-C", "F1-D"):
            self.send(desk, area, range(5), s(0.2))
        assert desk.look(s(1)) == []
        apply_switch_position(desk.connection, "F1-B", OPEN, NOW)
        apply_switch_position(desk.connection, "F1-B", CLOSED, s(1))
        for second in (1.5, 3, 25, 120):
            assert desk.look(s(second)) == []
        assert desk.alerts() == []

    def test_what_spreads_after_an_area_was_told_becomes_its_feeders_alert(self, desk: Desk) -> None:
        self.send(desk, "F1-C", range(5), NOW)
        assert desk.look(s(20)) == [("opened", "outage:F1-C")]
        self.send(desk, "F1-D", range(5), s(25))
        desk.look(s(26))
        desk.look(s(40))
        live = [(code, state) for code, state, _ in desk.alerts() if state == "open"]
        assert live == [("outage:F1", "open")]
        # The area's goes on as its feeder's: kept, and counted, is one, from the first on, with all its customers.
        taken = list_findings(desk.connection, FindingFilter(kind="outage", unit="F1-C"), 0, 10)
        assert [f.figures.get("taken_over_by") for f in taken] == ["F1"]
        for area in ("F1-C", "F1-D"):
            self.send(desk, area, range(5), s(1_200), "power_restored")
        desk.look(s(1_201))
        assert keep_outages(desk.connection, s(2_000)) == 1
        assert read_interruptions(desk.connection, s(-1), s(2_000), None) == [(NOW, s(1_201), 20, False, [[0.0, 20]])]

    def test_what_the_breaker_takes_over_from_an_area_is_one_outage(self, desk: Desk) -> None:
        self.send(desk, "F1-C", range(5), NOW)
        assert desk.look(s(20)) == [("opened", "outage:F1-C")]
        apply_switch_position(desk.connection, "F1-B", OPEN, NOW)
        desk.look(s(25))
        taken = list_findings(desk.connection, FindingFilter(kind="outage", unit="F1-C"), 0, 10)
        assert [(f.ended_at, f.figures.get("taken_over_by")) for f in taken] == [(s(25), "F1")]
        assert keep_outages(desk.connection, s(2_000)) == 0

    def test_an_outage_that_spreads_much_later_grows(self, desk: Desk) -> None:
        for area in ("F1-C", "F1-D"):
            self.send(desk, area, range(5), NOW)
        assert desk.look(s(3)) == [("opened", "outage:F1")]
        self.send(desk, "F1-A", range(5), s(600))
        assert desk.look(s(601)) == [("updated", "outage:F1")]
        desk.look(s(700))
        ((code, _, figures),) = desk.alerts()
        assert (code, figures["areas"], figures["meters"], figures["last_gasps"]) == ("outage:F1", 3, 30, 15)
