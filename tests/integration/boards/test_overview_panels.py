"""What panels of the whole grid say."""

from datetime import UTC, datetime, time, timedelta

import pytest

from deploy.boards.annotations import SWITCHING, switching_of
from deploy.boards.macros import expand
from deploy.boards.model import Annotation
from deploy.boards.panels import alerts, overview, pipeline, points, ranking, switching
from tests.integration.boards.conftest import PLACE, Connection, ask, day, report, settle

DAY = timedelta(days=1)


@pytest.mark.usefixtures("grid")
def test_points_show_their_state_and_age_with_what_is_wrong_first(app: Connection, board: Connection) -> None:
    for number, (age, quality) in enumerate(
        [(5, 0), (90, 0), (121, 0), (7_200, 0), (5, 32), (5, 128), (5, 64), (5, 16), (5, 1), (None, 0)]
    ):
        report(app, f"p{number}", None if age is None else timedelta(seconds=age), quality)
    report(app, "p-none", timedelta(seconds=5), 128, float("nan"))
    rows = {row["point"]: row for row in ask(board, points.POINTS)}
    assert {point: row["state"] for point, row in rows.items()} == {
        "p0": "good",
        "p1": "good",
        "p2": "stale",
        "p3": "stale",
        "p4": "substituted",
        "p5": "invalid",
        "p6": "old",
        "p7": "blocked",
        "p8": "overflow",
        "p9": "silent",
        "p-none": "invalid",
    }
    assert rows["p3"]["age_s"] == pytest.approx(7_200, abs=60)
    assert rows["p0"]["value"] == 7.5
    assert rows["p-none"]["value"] is None
    assert next(iter(rows)) == "p9"
    assert set(list(rows)[-3:]) == {"p0", "p1", "p4"}
    assert ask(board, points.POINTS_BY_STATE) == [{"good": 2, "substituted": 1, "bad": 5, "stale": 2, "silent": 1}]


@pytest.mark.usefixtures("measured")
def test_feeders_show_their_loss_with_band_and_class(board: Connection) -> None:
    worst, other = ask(board, ranking.FEEDERS)
    assert (worst["feeder"], worst["class"], worst["status"]) == ("Unit F2", "high", "live")
    assert worst["loss_rate"] == pytest.approx(0.2)
    assert worst["band"] == pytest.approx(1.96 * 10 / 5_000)
    assert worst["technical_rate"] == pytest.approx(0.03)
    assert other["technical_rate"] is None
    assert (other["class"], other["supply_wh"], other["loss_wh"]) == ("normal", 10_000, 200)
    assert other["total_rate"] == pytest.approx(0.05)
    assert 55 < other["age_s"] < 180


def test_worst_areas_are_those_of_the_day_so_far(app: Connection, board: Connection, grid: None) -> None:
    day(app, "A1", 1, loss_wh=5_000, **{"class": "high"})
    day(app, "A2", 1, loss_wh=-300, **{"class": "negative"})
    rows = ask(board, ranking.WORST_AREAS)
    assert [(row["code"], row["class"], row["feeder_code"]) for row in rows] == [
        ("A1", "high", "F1"),
        ("A2", "negative", "F1"),
    ]
    assert rows[0]["loss_rate"] == pytest.approx(0.25)
    assert rows[0]["band"] == pytest.approx(1.96 * 10 / 20_000)
    assert ask(board, ranking.AREAS_BY_CLASS) == [{"qualified": 0.0, "high": 1, "negative": 1, "not_computable": 1}]


def test_what_cannot_be_computed_has_no_rate(app: Connection, board: Connection, grid: None) -> None:
    settle(app, "F1", timedelta(minutes=1), inflow_wh=0, loss_wh=0, computable=False, loss_class="not_computable")
    row = next(row for row in ask(board, ranking.FEEDERS) if row["feeder"] == "Unit F1")
    assert (row["class"], row["loss_rate"], row["band"]) == ("not_computable", None, None)


def test_an_interval_that_still_gathers_its_members_is_waited_for(
    app: Connection, board: Connection, grid: None
) -> None:
    settle(app, "F1", timedelta(seconds=80), loss_wh=70)
    settle(app, "F1", timedelta(seconds=20), loss_wh=900, computable=False, coverage=0.1)
    row = next(row for row in ask(board, ranking.FEEDERS) if row["feeder"] == "Unit F1")
    assert (row["loss_wh"], row["status"], row["coverage"]) == (70, "live", 1.0)


@pytest.mark.parametrize(
    ("interval_s", "minutes", "status"),
    [(60, 4.5, "live"), (60, 5.01, "stale"), (900, 44.5, "live"), (900, 45.01, "stale"), (60, 60 * 24 * 8, "silent")],
)
def test_a_value_that_stopped_is_stale(
    app: Connection, board: Connection, grid: None, interval_s: int, minutes: float, status: str
) -> None:
    settle(app, "F1", timedelta(minutes=minutes), interval_s)
    feeder = next(row for row in ask(board, ranking.FEEDERS) if row["feeder"] == "Unit F1")
    unit = next(row for row in ask(board, pipeline.FRESHNESS) if row["unit"] == "Unit F1")
    assert (feeder["status"], unit["status"]) == (status, status)
    (counts,) = ask(board, pipeline.UNITS_BY_STATUS)
    assert counts == {"live": 0, "stale": 0, "silent": 7} | {status: 8 if status == "silent" else 1}
    (now,) = ask(board, overview.NOW)
    assert (now["supply_w"] is None) == (status != "live")


@pytest.mark.usefixtures("measured")
def test_figures_of_the_whole_grid(app: Connection, board: Connection) -> None:
    (now,) = ask(board, overview.NOW)
    assert now["supply_w"] == pytest.approx(15_000 * 60)
    assert now["line_rate"] == pytest.approx(1_200 / 15_000)
    assert now["total_rate"] == pytest.approx(1_500 / 15_000)
    assert now["feeders"] == 2
    assert ask(board, pipeline.SETTLED) == [{"settled": 3, "known": 4}]
    assert ask(board, pipeline.UNITS_BY_STATUS) == [{"live": 7, "stale": 0, "silent": 1}]
    assert ask(board, alerts.ALERTS_BY_STATE) == [{"open": 1, "untouched": 1}]
    # A new interval moves them.
    settle(app, "F2", timedelta(seconds=5), inflow_wh=2_000, loss_wh=0)
    (now,) = ask(board, overview.NOW)
    assert now["supply_w"] == pytest.approx(12_000 * 60)


def test_supply_is_power_whatever_the_interval(app: Connection, board: Connection, grid: None) -> None:
    settle(app, "B", timedelta(hours=2), 900, inflow_wh=2_500)
    settle(app, "B", timedelta(hours=1), 60, inflow_wh=100)
    rows = ask(board, overview.SUPPLY)
    assert [row["power_w"] for row in rows] == pytest.approx([10_000, 6_000])
    assert {row["metric"] for row in rows} == {"Unit B"}


@pytest.mark.usefixtures("measured")
def test_readings_and_delay(board: Connection) -> None:
    # Two areas of two meters, and half of a dedicated customer's one.
    assert {row["readings"] for row in ask(board, pipeline.READINGS)} == {4.5}
    assert {(row["p50"], row["p99"]) for row in ask(board, pipeline.DELAY)} == {(2.0, 2.0)}


@pytest.mark.usefixtures("measured")
def test_the_control_room_shows_the_chosen_place_alone(app: Connection, board: Connection) -> None:
    app.execute("insert into grid.substation values ('N', 'North', 110000, 20000)")
    app.execute("insert into grid.unit (code, kind, name, substation) values ('F9', 'feeder', 'Unit F9', 'N')")
    app.execute(
        """
        insert into alerts.alert (fingerprint, kind, severity, unit_id, evidence)
        select 'of ' || code, 'high_loss', 'warning', unit_id, '{}' from grid.unit where code in ('A1', 'F9', 'R')
        """
    )

    def units(**place: str) -> tuple[set[str], int]:
        (counts,) = ask(board, alerts.ALERTS_BY_STATE, DAY, **place)
        rows = ask(board, alerts.OPEN_ALERTS, DAY, **place)
        return {row["unit"].removeprefix("Unit ") for row in rows}, counts["open"]

    assert units() == ({"F2", "A1", "F9", "R"}, 4)
    assert units(substation="S") == ({"F2", "A1"}, 2)
    assert units(substation="N") == ({"F9"}, 1)
    assert units(region="R") == ({"F2", "A1", "R"}, 3)
    # A3 hangs on no feeder now, behind a switch of South that is open.
    assert ask(board, switching.OUTAGES) == ask(board, switching.OUTAGES, substation="S")
    assert ask(board, switching.OUTAGES, substation="S") == [{"unsupplied": 1, "off_normal": 1}]
    assert ask(board, switching.OUTAGES, substation="N") == [{"unsupplied": 0, "off_normal": 0}]
    assert {row["unit"] for row in ask(board, pipeline.FRESHNESS_HERE, substation="N")} == {"Unit F9"}
    assert {row["unit"] for row in ask(board, pipeline.FRESHNESS_HERE, region="R")} == {
        f"Unit {code}" for code in ("R", "B", "F1", "F2", "A1", "A2", "A3")
    }
    assert ask(board, pipeline.UNITS_BY_STATUS, substation="N") == [{"live": 0, "stale": 0, "silent": 1}]
    assert len(ask(board, pipeline.FRESHNESS)) == 9


@pytest.mark.usefixtures("switched")
def test_switching_is_marked_where_it_is_looked_at(board: Connection) -> None:
    def marked(annotation: Annotation, **place: str) -> list[str]:
        now = datetime.now(UTC)
        values = {**PLACE, **place}
        sql = expand(annotation.sql, now - timedelta(days=1), now, timedelta(minutes=1), values)
        return [row["text"] for row in board.execute(sql.encode()).fetchall()]

    assert marked(SWITCHING) == marked(SWITCHING, substation="S") == marked(SWITCHING, region="R") == ["Q1 open"]
    assert marked(SWITCHING, region="elsewhere") == []
    assert marked(switching_of("feeder")) == ["Q1 open"]
    assert marked(switching_of("feeder"), feeder="B9") == []


@pytest.mark.usefixtures("grid")
def test_alerts_are_counted_by_the_day_of_the_utility(app: Connection, board: Connection) -> None:
    # Two hours before and after a midnight in Shanghai, which is 16:00 UTC.
    midnight = datetime.combine(datetime.now(UTC).date() - timedelta(days=3), time(16), UTC)
    for hours in (-2, 2):
        app.execute(
            """
            insert into alerts.alert (fingerprint, kind, severity, unit_id, opened_at, evidence)
            select %s::text, 'high_loss', 'warning', unit_id, %s, '{}' from grid.unit where code = 'F1'
            """,
            (hours, midnight + timedelta(hours=hours)),
        )
    days = [(row["time"], row["alerts"]) for row in ask(board, alerts.ALERTS_OVER_TIME, timedelta(days=9))]
    assert days == [(midnight + timedelta(hours=8), 2)]
    local = ask(board, alerts.ALERTS_OVER_TIME, timedelta(days=9), zone="Asia/Shanghai")
    assert [(row["time"], row["alerts"]) for row in local] == [(midnight, 1), (midnight + timedelta(days=1), 1)]


@pytest.mark.usefixtures("measured")
def test_a_part_leads_to_itself(board: Connection) -> None:
    rows = {row["part"]: (row["region"], row["substation"]) for row in ask(board, overview.PARTS)}
    assert rows == {"Unit R": ("R", "*"), "Unit B": ("*", "S")}
    assert {row["part"]: row["region"] for row in ask(board, overview.PARTS, region="R")}["Unit B"] == "R"
