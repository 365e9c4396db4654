"""What panels say of what programs told: workers of themselves, sync of the source systems' records."""

from collections import Counter as CountOf
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from deploy.boards.panels import pipeline, quality, records, workers
from grid.topics import ENERGY_UNIT, TELEMETRY_AREA, TELEMETRY_BACKFILL
from store.connection import connect
from streams.counters import Vitals
from streams.worker_state import StateTeller
from tests.integration.boards.conftest import Connection, ask, conflict, consistent, doubt, held, work


@pytest.fixture
def teller(database: Any) -> Callable[[Vitals], StateTeller]:
    return lambda vitals: StateTeller(partial(connect, database.conninfo("app"), "test"), "1", vitals)


def test_a_worker_tells_what_it_did_since_it_told_last(
    app: Connection, board: Connection, teller: Callable[[Vitals], StateTeller]
) -> None:
    vitals = Vitals()
    told = teller(vitals)
    told.tell()
    rows = app.execute("select part, lag_records, batches, flush_s from telemetry.worker_state").fetchall()
    assert {row["part"] for row in rows} == set(vitals.by_name())
    # Kafka hasn't answered, and nothing was written.
    assert {(row["lag_records"], row["batches"], row["flush_s"]) for row in rows} == {(None, 0, None)}
    app.execute("delete from telemetry.worker_state")
    vitals.areas.records, vitals.areas.readings = 500, 200_000
    vitals.areas.rejected, vitals.refusals.rejected, vitals.points.rejected = 2, 7, 3
    for seconds in (0.1, 0.5):
        vitals.areas.flushed(250, seconds)
    vitals.dropped = CountOf({(TELEMETRY_AREA, 2): 5, (TELEMETRY_BACKFILL, 1): 6})
    vitals.lag = {(TELEMETRY_AREA, 0): 7, (TELEMETRY_AREA, 1): 4, (ENERGY_UNIT, 0): 2}
    told.tell()
    told_of = app.execute("select part, rejected from telemetry.worker_state where rejected > 0").fetchall()
    assert {row["part"]: row["rejected"] for row in told_of} == {"areas": 2, "refusals": 7, "scada": 3}
    (stall,) = ask(board, pipeline.STALL)
    assert (stall["rejected"], stall["dropped"]) == (12, 11)
    (worker,) = ask(board, workers.WORKERS)
    assert (worker["worker"], worker["lag"], worker["slowest_flush_s"]) == ("1", 13, 0.5)
    assert worker["flush_s"] == pytest.approx(0.3)
    assert worker["readings_per_s"] == pytest.approx(400 * worker["records_per_s"])
    assert {row["metric"]: row["lag"] for row in ask(board, workers.LAG)}["areas"] == 11
    assert [(row["metric"], row["flush"]) for row in ask(board, workers.FLUSH)] == [("areas", 0.5)]
    # What was told isn't told again.
    app.execute("delete from telemetry.worker_state")
    told.tell()
    (worker,) = ask(board, workers.WORKERS)
    assert (worker["records_per_s"], worker["flush_s"], worker["lag"]) == (0, None, 13)


def test_what_a_worker_told_is_forgotten_after_a_day(app: Connection, teller: Callable[[Vitals], StateTeller]) -> None:
    work(app, "1", timedelta(hours=25))
    work(app, "2", timedelta(hours=25))
    work(app, "2", timedelta(hours=23))
    teller(Vitals()).tell()
    ages = app.execute("select worker, at < now() - interval '1 day' as old from telemetry.worker_state").fetchall()
    assert {(row["worker"], row["old"]) for row in ages} == {("1", False), ("2", False)}


def test_lag_is_that_of_all_workers_and_who_fell_silent_is_seen(app: Connection, board: Connection) -> None:
    with app.transaction():  # one instant for all
        for worker, age_s, lag in (("1", 5, 10), ("1", 15, 900), ("2", 700, 20)):
            work(app, worker, timedelta(seconds=age_s), lag=lag)
            work(app, worker, timedelta(seconds=age_s), "greater", lag=1, flush_s=None, slowest_s=None, batches=0)
    first, second = ask(board, workers.WORKERS)
    assert (first["worker"], first["lag"]) == ("1", 11)
    assert first["age_s"] < 60 < second["age_s"]
    assert max(row["lag"] for row in ask(board, workers.LAG) if row["metric"] == "areas") == 900


def test_conflicts_are_counted_by_kind_department_and_age(app: Connection, board: Connection) -> None:
    for hours, kind, department, entity in (
        (1, "missing", "marketing", "meter"), (30, "missing", "marketing", "account"), (200, "missing", "gis", "area"),
        (2_000, "orphan", "gis", "meter"), (2_000, "orphan", "gis", "meter"),
    ):  # fmt: skip
        conflict(app, kind, timedelta(hours=hours), department, entity)
    app.execute(
        "update sync.conflict set closed_at = now() where conflict_id = (select max(conflict_id) from sync.conflict)"
    )
    rows = ask(board, records.CONFLICTS)
    found = {(row["kind"], row["department"]): (row["open"], row["added"], row["age_s"]) for row in rows}
    assert {key: value[:2] for key, value in found.items()} == {
        ("missing", "marketing"): (2, 1), ("missing", "gis"): (1, 0), ("orphan", "gis"): (1, 0)
    }  # fmt: skip
    assert found["missing", "marketing"][2] == pytest.approx(30 * 3_600, abs=60)
    ages = [tuple(row.values()) for row in ask(board, records.CONFLICT_AGE)]
    assert ages == [("0-1", 1, 0, 0), ("1-7", 0, 1, 0), ("7-30", 0, 0, 1), ("30+", 1, 0, 0)]


@pytest.mark.usefixtures("grid")
def test_consistency_is_told_beside_that_of_a_week_and_a_month_before(app: Connection, board: Connection) -> None:
    for unit, days, right in (("A1", 1, 78), ("A2", 1, 80), ("A1", 8, 60), ("A1", 31, 40), ("A1", 2, 0)):
        consistent(app, unit, "transformer_customer", days, 80, right)
    consistent(app, "F1", "line_transformer", 1, 2, 1)
    first, second = ask(board, records.RELATIONS)
    assert (first["relation"], first["rate"], first["week_rate"]) == ("line_transformer", 0.5, None)
    assert second["rate"] == pytest.approx(158 / 160)
    assert (second["week_rate"], second["month_rate"], second["contradicted"]) == (0.75, 0.5, 2)
    assert ask(board, records.RELATIONS, substation="elsewhere") == []


def test_the_time_to_resolve_is_of_what_was_closed_in_thirty_days(app: Connection, board: Connection) -> None:
    for hours, department, open_h in (
        (2, "marketing", 1),
        (50, "marketing", 3),
        (24 * 20, "gis", 8),
        (24 * 40, "gis", 9),
    ):
        conflict(app, "missing", timedelta(hours=hours + open_h), department, "meter")
        app.execute("update sync.conflict set closed_at = now() - %s where closed_at is null", [timedelta(hours=hours)])
    conflict(app, "missing", timedelta(hours=1), "gis", "meter")
    marketing, gis = ask(board, records.RESOLVED)
    assert [marketing[name] for name in ("department", "day", "week", "month")] == ["marketing", 1, 2, 2]
    assert [gis[name] for name in ("department", "day", "week", "month")] == ["gis", 0, 0, 1]
    assert marketing["mean_s"] == pytest.approx(2 * 3_600, abs=60)
    assert marketing["median_s"] == pytest.approx(2 * 3_600, abs=60)
    assert marketing["age_s"] == pytest.approx(2 * 3_600, abs=60)


def test_completeness_is_told_beside_that_of_a_week_and_a_month_before(app: Connection, board: Connection) -> None:
    for days, there, lacking in ((1, 90, 10), (8, 80, 20), (31, 50, 50), (3, 0, 100)):
        app.execute(
            "insert into sync.completeness values ('gis', 'meter', current_date - %s, %s, %s)", [days, there, lacking]
        )
    app.execute("insert into sync.completeness values ('pms', 'area', current_date - 1, 5, 0)")
    gis, pms = ask(board, records.COMPLETENESS)
    assert [gis[name] for name in ("system", "kind", "rate", "missing")] == ["gis", "meter", 0.9, 10]
    assert (gis["week_rate"], gis["month_rate"]) == (0.8, 0.5)
    assert (pms["rate"], pms["week_rate"]) == (1, None)


def test_the_drift_clock_counts_what_is_over_and_what_is_not(app: Connection, board: Connection) -> None:
    held(app, "gis", "A1", timedelta(hours=30))
    held(app, "gis", "A2")
    held(app, "scada", "A1")
    app.execute(
        """
        insert into sync.drift values
          ('gis', 'unit', 'A2', now() - interval '3 hours', now() - interval '1 hour'),
          ('gis', 'unit', 'A2', now() - interval '9 days', now() - interval '8 days')
        """
    )
    gis, scada = ask(board, records.DRIFT)
    assert (gis["target"], gis["entities"], gis["drifted"]) == ("gis", 2, 1)
    assert gis["oldest_s"] == pytest.approx(30 * 3_600, abs=60)
    assert gis["day_s"] == pytest.approx(26 * 3_600, abs=60)
    assert (scada["entities"], scada["drifted"], scada["oldest_s"], scada["day_s"]) == (1, 0, None, 0)
    # What is counted follows what is held, however it is written.
    app.execute("update sync.target_state set checked_at = now() - interval '1 hour'")
    app.execute("update sync.target_state set checked_at = now() + interval '5 minutes' where code = 'A2'")
    app.execute("delete from sync.target_state where target = 'scada' or code = 'A1'")
    (gis,) = ask(board, records.DRIFT)
    assert (gis["entities"], gis["drifted"]) == (1, 0)
    assert gis["age_s"] == pytest.approx(-300, abs=60)
    app.execute("delete from sync.target_state")
    assert ask(board, records.DRIFT) == []


@pytest.mark.usefixtures("grid")
def test_doubts_are_counted_by_rule_and_day(app: Connection, board: Connection) -> None:
    doubt(app, "A1", "spike", 3)
    doubt(app, "A2", "spike", 4)
    doubt(app, "A2", "flat_run", 4)
    rows = [(row["rule"], row["units"], row["meters"], row["doubts"]) for row in ask(board, quality.DOUBTS)]
    assert rows == [("spike", 2, 2, 2), ("flat_run", 1, 1, 1)]
    assert ask(board, quality.DOUBTS, substation="elsewhere") == []
    # A day is a day, and its age that of the utility's midnight.
    (day,) = app.execute("select current_date - 1 as day, now() at time zone 'Asia/Shanghai' as now").fetchall()
    local = ask(board, quality.DOUBTS, zone="Asia/Shanghai")
    assert {row["day"] for row in local} == {f"{day['day']:%Y-%m-%d}"}
    since_midnight = day["now"] - datetime.combine(day["day"], datetime.min.time())
    assert local[0]["age_s"] == pytest.approx(since_midnight.total_seconds(), abs=60)
