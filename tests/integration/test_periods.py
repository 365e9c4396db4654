"""Days and months in a real database: batching, days of 23 and 25 hours, registers, thresholds, commands."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from typer.testing import CliRunner

from grid.limits import Limits
from grid.model import UnitKind
from grid.period import PeriodKind
from grid.thresholds import Threshold, Thresholds
from meterline import cli
from store.connection import Connection, connect
from store.periods import read_periods, read_rates
from store.thresholds import add_threshold, load_thresholds
from streams.periods import Refreshed, refresh_periods
from streams.steps.periods import PeriodRules
from sync.load import load_grid
from tests.small_grid import small_model

BERLIN = ZoneInfo("Europe/Berlin")
RULES = PeriodRules(Limits(), Thresholds())
LONG_AFTER = datetime(2026, 11, 1, tzinfo=UTC)
EVERYTHING = "select * from loss.period_revision order by unit_id, period, first_day, revision"


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, small_model())
        yield opened


def publish(
    connection: Connection,
    unit: str,
    end: datetime,
    interval_s: int = 3_600,
    *,
    inflow_wh: int = 10_000,
    loss_wh: int = 400,
    computable: bool = True,
    status: str = "final",
    published_at: datetime | None = None,
    sigma_wh: float = 50.0,
    systematic_sigma_wh: float = 40.0,
    ends_sigma_wh: float = 20.0,
    gap_sigma_wh: float = 0.0,
    technical_wh: float | None = 100.0,
    recorded_s: float = -2.0,
) -> None:
    """Publish a revision of an interval as settling does: what stood before goes to `loss.superseded`.

    It is recorded two seconds ago, so that nobody has to wait until no other can have been recorded before it.
    """
    key = {"unit": unit, "end": end, "interval_s": interval_s}
    columns = (
        "unit_id, observed_at, interval_s, revision, inflow_wh, outflow_wh, loss_wh, members_loss_wh, uncontracted_wh,"
        "sigma_wh, coverage, computable, status, published_at, generation_wh, estimated_wh, technical_wh, averaging_wh,"
        "technical_sigma_wh, systematic_sigma_wh, ends_sigma_wh, gap_sigma_wh, class, reasons"
    )
    this = "unit_id = (select unit_id from grid.unit where code = %(unit)s) and observed_at = %(end)s"
    this += " and interval_s = %(interval_s)s"
    with connection.transaction():
        connection.execute(
            f"insert into loss.superseded ({columns}) select {columns} from loss.balance where {this}".encode(), key
        )
        row = connection.execute(f"select max(revision) from loss.balance where {this}".encode(), key).fetchone()
        connection.execute(f"delete from loss.balance where {this}".encode(), key)
        connection.execute(
            f"""
            insert into loss.balance ({columns}, received_at, recorded_at)
            select unit_id, %(end)s, %(interval_s)s, %(revision)s, %(inflow)s, %(outflow)s, %(loss)s, 7, 0, %(sigma)s,
              1, %(computable)s, %(status)s, %(published)s, 0, 0, %(technical)s, %(technical)s, %(technical)s,
              %(shared)s, %(ends)s, %(of_gap)s, 'normal', 0, %(published)s, now() + %(recorded_s)s * interval '1 second'
            from grid.unit where code = %(unit)s
            """.encode(),
            {
                **key,
                "revision": 1 + ((row and row[0]) or 0),
                "inflow": inflow_wh,
                "outflow": inflow_wh - loss_wh,
                "loss": loss_wh,
                "sigma": sigma_wh,
                "computable": computable,
                "status": status,
                "published": published_at or end + timedelta(minutes=1),
                "technical": technical_wh,
                "shared": systematic_sigma_wh,
                "ends": ends_sigma_wh,
                "of_gap": gap_sigma_wh,
                "recorded_s": recorded_s,
            },
        )


def fill(connection: Connection, unit: str, day: date, hours: range = range(24), **figures: Any) -> None:
    midnight = datetime(day.year, day.month, day.day, tzinfo=BERLIN).astimezone(UTC)
    for hour in hours:
        publish(connection, unit, midnight + timedelta(hours=hour + 1), **figures)


def refresh(
    connection: Connection, until: datetime = LONG_AFTER, rules: PeriodRules = RULES, **options: Any
) -> Refreshed:
    done = refresh_periods(connection, rules, BERLIN, until=until, **options)
    assert done is not None
    return done


def plain(connection: Connection) -> list[tuple[Any, ...]]:
    """All revisions but for when they were written."""
    cursor = connection.execute(EVERYTHING)
    written = [column.name for column in cursor.description or ()].index("recorded_at")
    return [(*row[:written], *row[written + 1 :]) for row in cursor.fetchall()]


def standing(connection: Connection, unit: str = "A1", period: str = "day") -> dict[str, Any]:
    """The newest period of a unit."""
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        row = cursor.execute(
            "select p.* from loss.period p join grid.unit using (unit_id) where code = %s and period = %s "
            "order by first_day desc limit 1",
            [unit, period],
        ).fetchone()
    assert row is not None
    return row


@pytest.mark.parametrize(("seed", "batch"), [(1, 7), (2, 40), (3, 100_000)])
def test_batches_make_no_difference(connection: Connection, seed: int, batch: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # a repeatable history
    begin = datetime(2026, 3, 27, 23, tzinfo=UTC)
    events: list[tuple[datetime, str, datetime, dict[str, Any]]] = []
    for unit in ("A1", "A2", "F1"):
        for hour in range(1, 71):
            if chance.random() < 0.05:
                continue
            end = begin + timedelta(hours=hour)
            at = end
            for _ in range(chance.choice([1, 1, 1, 2, 3])):
                at += timedelta(hours=chance.choice([0, 1, 30, 100]), minutes=1)
                figures: dict[str, Any] = {
                    "loss_wh": chance.randint(-500, 2_000),
                    "computable": chance.random() < 0.9,
                    "status": "final" if at - end > timedelta(hours=20) or chance.random() < 0.5 else "provisional",
                }
                events.append((at, unit, end, figures))
    events.sort(key=lambda event: event[0])
    last = events[-1][0]
    for number, (at, unit, end, figures) in enumerate(events):
        publish(connection, unit, end, published_at=at, **figures)
        if number % (len(events) // 4) == 7:
            refresh(connection, at, batch=batch)
    while refresh(connection, last, batch=batch).more and batch > 1:
        pass
    while (done := refresh_periods(connection, RULES, BERLIN, until=last, batch=batch)) and done.intervals:
        pass
    in_parts = plain(connection)
    connection.execute("delete from loss.period_revision")
    connection.execute("update loss.period_progress set through = '1970-01-01'")
    while refresh(connection, last).more:
        pass
    assert plain(connection) == in_parts
    assert {row[1] for row in in_parts} == {"day", "month"}
    assert max(row[3] for row in in_parts) > 2
    # A day is the sum of its intervals, a month of its days, to the watt-hour.
    sums = connection.execute(
        """
        select unit_id, ((observed_at - interval '1 microsecond') at time zone 'Europe/Berlin')::date,
          sum(inflow_wh)::bigint, sum(loss_wh)::bigint, sum(members_loss_wh)::bigint, sum(interval_s)
        from loss.balance where computable group by 1, 2 order by 1, 2
        """
    ).fetchall()
    days = "select unit_id, first_day, inflow_wh, loss_wh, members_loss_wh, covered_s from loss.period"
    assert connection.execute(f"{days} where period = 'day' order by 1, 2".encode()).fetchall() == sums
    months = """
        select unit_id, date_trunc('month', first_day)::date, sum(inflow_wh)::bigint, sum(loss_wh)::bigint,
          sum(members_loss_wh)::bigint, sum(covered_s)::bigint
        from loss.period where period = 'day' group by 1, 2 order by 1, 2
    """
    assert (
        connection.execute(f"{days} where period = 'month' order by 1, 2".encode()).fetchall()
        == connection.execute(months.encode()).fetchall()
    )
    # The same again changes nothing.
    written = connection.execute(EVERYTHING).fetchall()
    connection.execute("update loss.period_progress set through = '1970-01-01'")
    assert refresh(connection, last).rows == 0
    assert connection.execute(EVERYTHING).fetchall() == written


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 6, 1), 24)], ids=str
)
def test_days_of_23_and_25_hours(connection: Connection, day: date, hours: int) -> None:
    fill(connection, "A1", day, range(hours))
    fill(connection, "A2", day, range(hours - 1))
    refresh(connection)
    row = standing(connection)
    assert (row["expected_s"], row["covered_s"], row["first_day"]) == (hours * 3_600, hours * 3_600, day)
    assert (row["loss_wh"], row["inflow_wh"], row["class"], row["status"]) == (
        400 * hours,
        10_000 * hours,
        "normal",
        "final",
    )
    assert row["published_at"] == row["ends_at"] + timedelta(minutes=1)
    # Classes of meters add up; the step of a register remains at the two ends.
    assert row["systematic_sigma_wh"] == pytest.approx(40 * hours)
    assert row["ends_sigma_wh"] == pytest.approx(20)
    assert row["sigma_wh"] == pytest.approx(((40 * hours) ** 2 + 500 * hours + 400) ** 0.5)
    # An hour is missing: its limit has to pass, and what is there is summed, never more.
    row = standing(connection, "A2")
    assert (row["covered_s"], row["loss_wh"]) == ((hours - 1) * 3_600, 400 * (hours - 1))
    assert row["published_at"] == row["ends_at"] + timedelta(days=1)


def test_what_gaps_add_counts_in_a_day_and_in_its_month_once(connection: Connection) -> None:
    day = date(2026, 6, 1)
    fill(connection, "A1", day)
    # Two hours of an estimate whose errors hang together, the second published anew.
    for hour, gap_wh, revisions in ((8, 30.0, 1), (9, 40.0, 2)):
        end = datetime(2026, 6, 1, hour, tzinfo=BERLIN).astimezone(UTC)
        for again in range(revisions):
            published_at = end + timedelta(minutes=2 + again)
            publish(connection, "A1", end, gap_sigma_wh=gap_wh, published_at=published_at)
    refresh(connection)
    expected_wh = ((40 * 24) ** 2 + 500 * 24 + 400 + 30**2 + 40**2) ** 0.5
    assert standing(connection)["sigma_wh"] == pytest.approx(expected_wh)
    assert standing(connection, period="month")["sigma_wh"] == pytest.approx(expected_wh)


def test_a_day_from_its_registers(connection: Connection) -> None:
    day = date(2026, 3, 29)
    fill(connection, "A1", day, range(12))
    midnight = datetime(2026, 3, 30, tzinfo=BERLIN)
    refresh(connection)
    assert standing(connection)["computable"] is False
    publish(
        connection,
        "A1",
        midnight,
        82_800,
        loss_wh=9_000,
        inflow_wh=240_000,
        published_at=midnight + timedelta(hours=30),
    )
    refresh(connection)
    row = standing(connection)
    assert (row["covered_s"], row["loss_wh"], row["intervals"], row["computable"]) == (82_800, 9_000, 1, True)
    assert (row["status"], row["revision"], row["reasons"] & 32_768) == ("restated", 3, 32_768)
    # Late quarter-hours complete the day: then it is they that count, and not both.
    fill(connection, "A1", day, range(12, 23), published_at=midnight + timedelta(hours=40))
    refresh(connection)
    assert (standing(connection)["loss_wh"], standing(connection)["reasons"]) == (400 * 23, 0)
    assert standing(connection, period="month")["loss_wh"] == 400 * 23
    # What was published can still be read.
    seen = connection.execute(
        "select revision, status, loss_wh from loss.periods_as_published(%s) where period = 'day'",
        [midnight + timedelta(hours=35)],
    ).fetchall()
    assert seen == [(3, "restated", 9_000)]


def test_from_sums_so_far_to_a_final_day(connection: Connection) -> None:
    day = date(2026, 6, 1)
    midnight = datetime(2026, 6, 2, tzinfo=BERLIN)
    fill(connection, "A1", day, range(20))
    refresh(connection, midnight - timedelta(hours=3))
    row = standing(connection)
    assert (row["revision"], row["status"], row["published_at"], row["covered_s"]) == (0, "provisional", None, 72_000)
    fill(connection, "A1", day, range(20, 23))
    refresh(connection, midnight + timedelta(minutes=10))
    row = standing(connection)
    assert (row["revision"], row["status"], row["computable"]) == (1, "provisional", True)
    assert row["published_at"] == midnight + timedelta(minutes=5)
    fill(connection, "A1", day, range(23, 24), published_at=midnight + timedelta(hours=2))
    refresh(connection, midnight + timedelta(hours=3))
    row = standing(connection)
    assert (row["revision"], row["status"], row["due_at"]) == (2, "final", None)
    # The month goes on.
    row = standing(connection, period="month")
    assert (row["revision"], row["loss_wh"], row["computable"]) == (0, 24 * 400, False)


def test_a_limit_passes_without_any_reading(connection: Connection) -> None:
    fill(connection, "A1", date(2026, 6, 1), range(23))
    midnight = datetime(2026, 6, 2, tzinfo=BERLIN)
    refresh(connection, midnight)
    assert standing(connection)["revision"] == 0
    refresh(connection, midnight + timedelta(minutes=6))
    assert standing(connection)["status"] == "provisional"
    assert standing(connection)["revision"] == 1
    refresh(connection, midnight + timedelta(days=1, minutes=1))
    assert standing(connection)["status"] == "final"


def test_what_a_slow_writer_commits_late_is_not_passed_over(connection: Connection, database: Any) -> None:
    with connect(database.conninfo("app"), "slow") as slow:
        slow.execute("select now()")
        fill(connection, "A2", date(2026, 6, 1), recorded_s=0)
        connection.execute("select pg_sleep(1.1)")
        refresh(connection)
        assert connection.execute("select count(*) from loss.period").fetchone() == (0,)  # not yet, nor past it
        publish(slow, "A1", datetime(2026, 6, 1, 12, tzinfo=UTC), recorded_s=0)
        slow.commit()
    refresh(connection)
    assert standing(connection, "A1")["covered_s"] == 3_600
    assert standing(connection, "A2")["covered_s"] == 86_400


def test_one_refresh_at_a_time(connection: Connection, database: Any) -> None:
    with connect(database.conninfo("app"), "other") as other:
        other.execute("select * from loss.period_progress for update")
        assert refresh_periods(connection, RULES, BERLIN) is None


def test_days_whose_intervals_may_be_gone_are_left(connection: Connection) -> None:
    fill(connection, "A1", date(2020, 6, 1))
    refresh(connection, kept_days=1_826)
    assert connection.execute("select count(*) from loss.period where period = 'day'").fetchone() == (0,)


def test_thresholds_are_only_added_to(connection: Connection) -> None:
    fill(connection, "A1", date(2026, 6, 1), loss_wh=900, systematic_sigma_wh=10)
    fill(connection, "A2", date(2026, 6, 1), loss_wh=300, systematic_sigma_wh=10)
    refresh(connection)
    assert (standing(connection)["class"], standing(connection)["revision"]) == ("normal", 1)
    june = datetime(2026, 5, 31, 22, tzinfo=UTC)
    june_us = round(june.timestamp() * 1e6)
    first = add_threshold(connection, Threshold(UnitKind.AREA, 0.0, 0.07, 100.0, june_us), "Li Na", "target of June")
    add_threshold(connection, Threshold(UnitKind.AREA, 0.05, 0.12, 100.0, june_us, 10_000), "Li Na", "10 kV")
    add_threshold(connection, Threshold(UnitKind.FEEDER, 0.0, 0.01, 100.0, june_us), "Li Na", "another kind")
    thresholds = load_thresholds(connection, [Threshold(UnitKind.ELEMENT, 0.0, 0.2)])
    assert thresholds.at(UnitKind.AREA, june_us - 1).high_rate == 0.10
    assert thresholds.at(UnitKind.AREA, june_us).high_rate == 0.07
    assert thresholds.at(UnitKind.AREA, june_us, 10_000).high_rate == 0.12
    assert thresholds.at(UnitKind.AREA, june_us, 20_000).high_rate == 0.07
    assert thresholds.at(UnitKind.ELEMENT, june_us).high_rate == 0.2
    # Judged again, as of when the threshold was recorded; what was said before stays readable.
    refresh(connection, datetime.now(UTC) + timedelta(minutes=1), PeriodRules(Limits(), thresholds))
    row = standing(connection)
    assert (row["class"], row["revision"], row["status"], row["loss_wh"]) == ("high", 2, "restated", 900 * 24)
    assert standing(connection, "A2")["revision"] == 1
    assert connection.execute(
        "select class from loss.period_revision join grid.unit using (unit_id) "
        "where code = 'A1' and period = 'day' order by revision"
    ).fetchall() == [("normal",), ("high",)]
    assert refresh(connection, datetime.now(UTC) + timedelta(minutes=1), PeriodRules(Limits(), thresholds)).days == 0
    for statement in ("update loss.threshold set high_rate = 1", "delete from loss.threshold"):
        with pytest.raises(psycopg.Error):
            connection.execute(statement.encode())
    with pytest.raises(ValueError, match="why"):
        add_threshold(connection, Threshold(UnitKind.AREA, 0.0, 0.1), "Li Na", " ")
    assert first == 1


def test_rates_count_units_that_nothing_came_of(connection: Connection) -> None:
    fill(connection, "A1", date(2026, 6, 1), loss_wh=2_000)
    fill(connection, "F1", date(2026, 6, 1))
    refresh(connection)
    connection.execute("insert into grid.organisation (code, kind) values ('south', 'unit')")
    connection.execute(
        """
        insert into grid.responsibility (unit_id, duty, organisation_id, valid, recorded)
        select unit_id, 1, organisation_id, tstzrange('2020-01-01Z', null), tstzrange('2020-01-01Z', null)
        from grid.unit, grid.organisation where grid.unit.code = 'A1'
        """
    )
    day = date(2026, 6, 1)
    rates = {(r.unit_kind, r.member): r for r in read_rates(connection, PeriodKind.DAY, day, day, "all")}
    area, line = rates["area", ""], rates["feeder", ""]
    assert (area.assessed, area.computable, area.qualified, area.high, area.negative) == (2, 1, 0, 1, 0)
    assert (area.qualified_rate, area.computable_rate, area.abnormal_rate) == (0.0, 0.5, 1.0)
    assert (line.assessed, line.computable, line.qualified) == (2, 1, 1)
    by = {(r.unit_kind, r.member): r.assessed for r in read_rates(connection, PeriodKind.DAY, day, day, "organisation")}
    assert by == {("area", "south"): 1, ("area", ""): 1, ("feeder", ""): 2}
    by_station = read_rates(connection, PeriodKind.DAY, day, day, "substation", UnitKind.FEEDER)
    assert [(r.member, r.assessed) for r in by_station] == [("S", 2)]
    assert [p.unit for p in read_periods(connection, PeriodKind.DAY, day, day, UnitKind.AREA)] == ["A1"]
    assert [p.unit for p in read_periods(connection, PeriodKind.MONTH, day, day, units=["F1"])] == ["F1"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, database: Any, config_path: Path) -> Callable[..., Any]:
    """Runs a command on the test's own database; returns what it printed, as JSON."""
    monkeypatch.setenv("METERLINE_DATABASE__NAME", database.section.name)
    monkeypatch.setenv("METERLINE_CONFIG", str(config_path))
    monkeypatch.setenv("METERLINE_SETTLING__TIME_ZONE", "Europe/Berlin")

    def entry(*arguments: str) -> Any:
        result = CliRunner().invoke(cli.app, [*arguments, "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return entry


def test_commands(connection: Connection, run: Callable[..., Any]) -> None:
    for n, loss_wh in enumerate((300, 800, 1_500)):
        fill(connection, "A1", date(2026, 6, 1 + n), loss_wh=loss_wh, systematic_sigma_wh=10)
    span = ("--from", "2026-06-01", "--to", "2026-06-03")
    rows = run("loss", *span, "--refresh", "--kind", "area")
    assert [(r["unit"], r["first_day"], r["loss_wh"], r["class"]) for r in rows] == [
        ("A1", "2026-06-01", 7_200, "normal"),
        ("A1", "2026-06-02", 19_200, "normal"),
        ("A1", "2026-06-03", 36_000, "high"),
    ]
    assert (rows[0]["hours"], rows[0]["expected_hours"], rows[0]["loss_rate"], rows[0]["reasons"]) == (24, 24, 0.03, [])
    (month,) = run("loss", "--period", "month", *span, "--unit", "A1")
    assert (month["loss_wh"], month["hours"], month["class"]) == (62_400, 72, "not_computable")
    rates = run("loss", *span, "--rates", "--kind", "area")
    assert [(r["assessed"], r["qualified_rate"]) for r in rates] == [(2, 0.5), (2, 0.5), (2, 0.0)]

    trial = run("threshold", "try", "--kind", "area", "--high", "0.05", *span)
    assert trial["now"] == {"not_computable": 0, "normal": 2, "high": 1, "negative": 0}
    assert trial["proposed"] == {"not_computable": 0, "normal": 1, "high": 2, "negative": 0}
    assert [(c["unit"], c["first_day"], c["proposed"]) for c in trial["changes"]] == [("A1", "2026-06-02", "high")]
    assert run("threshold", "try", "--kind", "area", *span)["changed"] == 0

    run("threshold", "set", "--kind", "area", "--low", "0", "--high", "0.05", "--by", "Li Na", "--reason", "target",
        "--valid-from", "2026-05-31T22:00Z")  # fmt: skip
    listed = run("threshold", "list")
    assert [row["recorded_by"] for row in listed] == ["configuration"] * 6 + ["Li Na"]
    assert (listed[-1]["high_rate"], listed[-1]["min_inflow_wh_per_h"]) == (0.05, 100.0)
    refused = CliRunner().invoke(
        cli.app,
        ["threshold", "set", "--kind", "area", "--low", "0", "--high", "0.5", "--by", "x", "--reason", "y"],
        catch_exceptions=False,
    )
    assert refused.exit_code == 2


def test_a_trial_leaves_out_what_a_voltage_has_its_own_limits_for(
    connection: Connection, run: Callable[..., Any]
) -> None:
    fill(connection, "A1", date(2026, 6, 1), loss_wh=800, systematic_sigma_wh=10)
    span = ("--from", "2026-06-01", "--to", "2026-06-01")
    run("loss", *span, "--refresh")
    tried = ("threshold", "try", "--kind", "area", "--high", "0.05", *span)
    assert run(*tried)["changed"] == 1
    run("threshold", "set", "--kind", "area", "--low", "0", "--high", "0.1", "--by", "Li Na", "--reason", "20 kV",
        "--voltage", "20000", "--valid-from", "2026-05-31T22:00Z")  # fmt: skip
    trial = run(*tried)
    assert (trial["changed"], sum(trial["now"].values())) == (0, 0)
    assert run(*tried, "--voltage", "20000")["changed"] == 1
    # As recording it does.
    run("threshold", "set", "--kind", "area", "--low", "0", "--high", "0.05", "--by", "Li Na", "--reason", "target",
        "--valid-from", "2026-05-31T22:00Z")  # fmt: skip
    assert run("loss", *span, "--refresh", "--unit", "A1")[0]["class"] == "normal"
