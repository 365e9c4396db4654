"""What panels of one feeder, one area and of revenue protection say."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from deploy.boards.macros import expand
from deploy.boards.panels import area, feeder, usage
from deploy.boards.panels import map as map_panels
from meterline.config import Settings
from meterline.day_changes import explain_days
from meterline.periods import keep_up
from store.connection import connect
from tests.integration.boards.conftest import Connection, ask, block, changed, day, settle


def test_a_long_range_is_drawn_from_days(app: Connection, board: Connection, grid: None) -> None:
    settle(app, "F1", timedelta(hours=1), 900, inflow_wh=2_500, loss_wh=250)
    for days in (1, 2, 20):
        day(app, "F1", days, inflow_wh=24_000, loss_wh=1_200)
    short = ask(board, feeder.FEEDER_LOSS, timedelta(days=7))
    assert [row["loss"] for row in short] == pytest.approx([0.1])
    long = ask(board, feeder.FEEDER_LOSS, timedelta(days=30))
    assert [row["loss"] for row in long] == pytest.approx([0.05] * 3)
    assert {row["supply_w"] for row in ask(board, feeder.FEEDER_POWER, timedelta(days=30))} == {1_000.0}


def test_limits_are_those_that_hold(app: Connection, board: Connection, grid: None) -> None:
    settle(app, "F1", timedelta(minutes=5))
    assert ask(board, feeder.FEEDER_LOSS)[0]["high_rate"] is None
    for number, (voltage, rate, since) in enumerate(
        [
            (None, 0.06, "2020-01-01Z"),
            (None, 0.08, "2021-01-01Z"),
            (None, 0.2, "2999-01-01Z"),
            (10_000, 0.3, "2020-01-01Z"),
        ]
    ):
        app.execute(
            """
            insert into loss.threshold (
              unit_kind, medium_voltage_v, low_rate, high_rate, min_inflow_wh_per_h, valid_from, recorded_by, reason
            )
            values ('feeder', %s, -0.01, %s, 0, %s, 'test', %s)
            """,
            (voltage, rate, since, str(number)),
        )
    assert ask(board, feeder.FEEDER_LOSS)[0]["high_rate"] == 0.08
    app.execute("update grid.substation set medium_voltage_v = 10000")
    assert ask(board, feeder.FEEDER_LOSS)[0]["high_rate"] == 0.3


def test_a_change_is_told_in_parts_that_add_up(app: Connection, board: Connection, grid: None) -> None:
    day(app, "F1", 2, loss_wh=1_000)
    # Published, and not explained yet: nothing of an older day is shown in its place.
    changed(app, "F1", 2, before_wh=900, unexplained=100)
    day(app, "F1", 1, loss_wh=1_700)
    assert ask(board, feeder.CHANGE) == []
    changed(app, "F1", 1, before_wh=1_000, topology=900, data_quality=-120, meter=7, technical=-50, unexplained=-37)
    rows = {row["part"]: row for row in ask(board, feeder.CHANGE)}
    by = {part: row["to_wh"] - row["from_wh"] for part, row in rows.items()}
    assert list(by.items()) == [
        ("before", 1_000), ("topology", 900), ("data_quality", -120), ("meter", 7), ("generation", 0),
        ("technical", -50), ("unexplained", -37), ("after", 1_700),
    ]  # fmt: skip
    assert rows["unexplained"]["to_wh"] == rows["after"]["to_wh"]
    assert [row["kind"] for row in rows.values()] == ["total", "rise", "fall", "rise", "rise", "fall", "fall", "total"]
    # An hour that one of the days lacks is shown where there is one.
    app.execute("update loss.day_change set length_wh = 40")
    assert ask(board, feeder.CHANGE)[1]["part"] == "length"


def test_what_cannot_be_compared_is_looked_at_once_for_each_publication(
    app: Connection, board: Connection, database: Any, settings: Settings, grid: None
) -> None:
    for days in (1, 2, 3):
        day(app, "F1", days)
    today = app.execute("select current_date as today").fetchall()[0]["today"]
    with connect(database.conninfo("app"), "test") as connection:
        connection.autocommit = True
        # Days without the intervals that they were summed up from.
        assert explain_days(connection, ZoneInfo("UTC"), today, most=1) == 1
        assert explain_days(connection, ZoneInfo("UTC"), today) == 1
        assert explain_days(connection, ZoneInfo("UTC"), today) == 0
        assert ask(board, feeder.CHANGE) == []
        app.execute("update loss.period_revision set revision = 2 where first_day = current_date - 1")
        assert explain_days(connection, ZoneInfo("UTC"), today) == 1
        # The service that keeps days up to date does it by itself.
        app.execute("update loss.period_revision set revision = 3 where first_day = current_date - 1")
        stop = threading.Event()
        stop.set()
        assert not keep_up(connection, settings, stop)
        (newest,) = app.execute("select max(revision) as revision from loss.day_change").fetchall()
        assert newest["revision"] == 3


def test_an_area_shows_its_meters_together_but_not_fewer_than_five(
    app: Connection, board: Connection, grid: None
) -> None:
    block(app, "A1", 18, timedelta(minutes=2))
    # Positions 10, 13, … are on phase B, 11, 14, … on C, 12, 15, … on A.
    assert {row["phase"]: row["power_w"] for row in ask(board, area.PHASES)} == {
        "A": 60 * (3 + 6 + 9 + 12 + 15 + 18),
        "B": 60 * (1 + 4 + 7 + 10 + 13 + 16),
        "C": 60 * (2 + 5 + 8 + 11 + 14 + 17),
    }
    voltages = {row["metric"]: row["voltage_v"] for row in ask(board, area.VOLTAGES)}
    assert voltages == pytest.approx({"A": 229.5, "B": 227.5, "C": 228.5})
    bands = {row["band"]: row["meters"] for row in ask(board, area.METERS_BY_VOLTAGE)}
    assert bands == {f"{low}–{low + 2} V": 2 for low in range(220, 238, 2)}
    assert sum(row["meters"] for row in ask(board, area.METERS_BY_USE)) == 18
    block(app, "A2", 2, timedelta(minutes=2))
    for panel in (area.PHASES, area.VOLTAGES, area.METERS_BY_VOLTAGE, area.METERS_BY_USE):
        assert ask(board, panel, area="A2") == []


def test_revenue_protection_sees_what_a_meter_showed_last_and_no_more(
    app: Connection, board: Connection, revenue: Connection, grid: None
) -> None:
    block(app, "A1", 6, timedelta(minutes=2))
    rows = {row["meter"]: row for row in ask(revenue, usage.AREA_METERS)}
    assert rows["A1-m15"]["power_w"] == 360
    assert rows["A1-m15"]["voltage_v"] == 225.0
    for role in (board, revenue):
        role.execute("set default_transaction_read_only = off")
    for sql in (
        "select import_wh from telemetry.block",
        "select * from telemetry.reading",
        "select * from grid.account",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            revenue.execute(sql.encode())
    for sql in (
        "select * from telemetry.newest_readings(1)",
        "select * from alerts.meter_series(1, 'm', now(), now())",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            board.execute(sql.encode())
    assert revenue.execute("show statement_timeout").fetchone() == {"statement_timeout": "5s"}


def test_a_finding_s_series_is_shown_to_whom_it_is_assigned_and_recorded(
    app: Connection, revenue: Connection, grid: None
) -> None:
    block(app, "A1", 6, timedelta(minutes=2))
    for assignee in ("somebody", "meterline_revenue"):
        app.execute(
            """
            with opened as (
              insert into alerts.alert (fingerprint, kind, severity, unit_id, evidence, assignee)
              select %(who)s, 'stopped', 'warning', unit_id, '{}', %(who)s from grid.unit where code = 'A1'
              returning alert_id, unit_id
            )
            insert into alerts.finding (
              fingerprint, kind, severity, unit_id, meter, begin_at, seen_at, figures, evidence, alert_id
            )
            select %(who)s, 'stopped', 'warning', unit_id, 'A1-m15', now(), now(), '{}', '{}', alert_id from opened
            """,
            {"who": assignee},
        )
    findings = ask(revenue, usage.FINDINGS)
    assert {row["meter"] for row in findings} == {"A1-m15"}
    mine = next(row["finding"] for row in findings if row["assignee"] == "meterline_revenue")
    other = next(row["finding"] for row in findings if row["assignee"] == "somebody")
    assert [row["import_w"] for row in ask(revenue, usage.SERIES_OF_FINDING, finding=mine)] == [360.0]
    assert ask(revenue, usage.SERIES_OF_FINDING, finding=other) == []
    rows = app.execute("select reader, meter from alerts.series_read").fetchall()
    assert rows == [{"reader": "meterline_revenue", "meter": "A1-m15"}]
    # By the meter: its findings, its newest reading, and its series once, however many findings of mine it has.
    app.execute(
        """
        insert into alerts.finding (
          fingerprint, kind, severity, unit_id, meter, begin_at, seen_at, figures, evidence, alert_id
        )
        select 'again', kind, severity, unit_id, meter, begin_at, seen_at, figures, evidence, alert_id
        from alerts.finding where finding_id = %s::bigint
        """,
        [mine],
    )
    assert len(ask(revenue, usage.FINDINGS, meter="A1-m15")) == 3
    assert [row["meter"] for row in ask(revenue, usage.AREA_METERS, meter="A1-m15")] == ["A1-m15"]
    assert [row["import_w"] for row in ask(revenue, usage.SERIES_OF_FINDING, meter="A1-m15")] == [360.0]
    for meter in ("A1-m14", "*"):
        assert ask(revenue, usage.SERIES_OF_FINDING, meter=meter) == []
    assert ask(revenue, usage.FINDINGS, meter="A1-m14") == []
    (reads,) = app.execute("select count(*) as reads from alerts.series_read").fetchall()
    assert reads["reads"] == 2


@pytest.mark.usefixtures("measured", "switched")
def test_the_network_of_a_feeder_is_what_its_breaker_feeds_now(app: Connection, board: Connection) -> None:
    app.execute(
        """
        insert into grid.connection (unit_id, from_node_id, valid)
        select u.unit_id, n.node_id, tstzrange('2020-01-01Z', null)
        from grid.unit u, grid.node n where u.code = 'F2' and n.code = 'n1'
        """
    )
    now = datetime.now(UTC)

    def drawn() -> tuple[set[str], int]:
        nodes = ask(board, map_panels.NETWORK, feeder="F2")
        sql = expand(
            map_panels.NETWORK.edges or "", now - timedelta(days=1), now, timedelta(minutes=1), {"feeder": "F2"}
        )
        edges = board.execute(sql.encode()).fetchall()
        known = {node["id"] for node in nodes}
        assert all({edge["source"], edge["target"]} <= known for edge in edges)
        return {node["title"] for node in nodes}, len(edges)

    assert drawn() == ({"n1"}, 0)
    app.execute("update grid.switch_position set position = 'closed'")
    assert drawn() == ({"n1", "n2"}, 1)
