"""A city against real servers: what a replay of its files stores agrees with its truth, and it plays to a broker."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from alerts.routing import Routing
from alerts.rules import AlertPolicy
from alerts.service import AlertSettings
from meterline.bootstrap import opener, prepare
from meterline.city import load, make_city, publish
from meterline.city_files import write_city
from meterline.cli import app
from meterline.config import Settings
from meterline.failures import explain
from meterline.model_file import write_model
from meterline.points_file import read_points
from meterline.replay_moments import ChangesFileError
from meterline.replaying import ReplayOptions, ReplayReport, provide_model, provide_points, replay
from meterline.score.reading import score_truth
from meterline.settings.section import ConfigError
from store.connection import Connection, connect
from store.points import load_points
from tests.integration.conftest import Database
from twin.city import City, CityPlan
from twin.city_live import play_city
from twin.delivery_faults import DeliveryFaults
from twin.event_text import parse_plan
from twin.ledger import read_ledger
from twin.metering import MeterErrors
from twin.sending import Summary
from twin.truth_files import read_unit_rows

BEGIN_S = 1_774_306_800  # 2026-03-24, midnight in Berlin


_SUMS = """
select
  sum(b.loss_wh + b.members_loss_wh) filter (where u.kind = 'region'),
  sum(b.members_loss_wh) filter (where u.kind = 'voltage_level'),
  sum(b.loss_wh)
from loss.balance b
join grid.unit u using (unit_id)
where b.interval_s = 900
group by b.observed_at
having bool_and(b.computable)
"""


def city(*, exact: bool, events: str) -> City:
    return City(
        CityPlan(
            BEGIN_S,
            1,
            ZoneInfo("Europe/Berlin"),
            areas=10,
            seed=4,
            counts=parse_plan(events),
            errors=MeterErrors.none() if exact else None,
            faults=DeliveryFaults.none() if exact else None,
        )
    )


def replayed(folder: Path, database: Database) -> Connection:
    """A connection to a database that has taken a city's files."""
    open_target = partial(connect, database.conninfo("owner"), "test")
    with open_target() as connection:
        provide_model(open_target, folder / "grid.json", None)
        load_points(connection, read_points(folder / "points.json"))
        connection.commit()
    report = replay(ReplayOptions(files=(folder / "messages.parquet",)), open_target)
    assert report.complete
    assert report.rejected == 0
    return connect(database.conninfo("owner"), "test")


def test_what_is_stored_of_a_city_without_errors_is_its_truth(
    tmp_path: Path, make_database: Callable[[], Database]
) -> None:
    write_city(city(exact=True, events="theft_hook=1,theft_scaling=2"), tmp_path / "city")
    with replayed(tmp_path / "city", make_database()) as connection:
        score = score_truth(connection, tmp_path / "city" / "truth")
        sums = connection.execute(_SUMS).fetchall()
    # The region is the sum of its levels, and of its units' own losses, to the watt-hour.
    assert len(sums) == 96
    assert all(region == levels == own > 0 for region, levels, own in sums)
    areas = score.loss["area"]
    assert areas.mean_abs_wh is not None
    assert areas.bias_wh is not None
    assert areas.intervals == 10 * 96
    assert areas.completeness == 1.0
    # Registers round to whole watt-hours: some 90 members of an area are off by a few together.
    assert areas.mean_abs_wh < 5.0
    assert abs(areas.bias_wh) < 0.5
    assert score.loss["feeder"].completeness == 1.0


def test_what_meters_report_is_stored_once(tmp_path: Path, make_database: Callable[[], Database]) -> None:
    write_city(city(exact=False, events="outage=6,theft_scaling=8,phase_lost=3"), tmp_path / "city")
    with replayed(tmp_path / "city", make_database()) as connection:
        events = score_truth(connection, tmp_path / "city" / "truth").device_events
        span = (datetime.fromtimestamp(BEGIN_S, UTC), datetime.fromtimestamp(BEGIN_S + 12 * 3_600, UTC))
        half = score_truth(connection, tmp_path / "city" / "truth", *span).device_events
    assert events.all is not None
    assert events.all.said > events.all.sent == events.all.stored > 50
    assert events.all.unexpected == 0
    assert {"last_gasp", "power_restored", "cover_open", "phase_missing"} <= set(events.by_kind)
    assert events.outages is not None
    assert events.known is not None
    assert 6 >= events.outages >= events.known > 0
    assert events.delay_p90_s is not None
    assert 0 < events.delay_p90_s < 20
    assert half.all is not None
    assert half.all.sent == half.all.stored < events.all.sent
    assert half.all.unexpected == 0


def moving_city(folder: Path) -> City:
    """Meters that are replaced, accounts that open and close, and thefts to be found."""
    events = "meter_replaced=2,account_opened=1,account_closed=1,tariff_changed=1,theft_hook=2"
    grid = make_city("demonstration", areas=4, seed=6, events=events)
    write_city(grid, folder)
    return grid


@pytest.mark.timeout(600)
def test_a_replay_makes_the_changes_of_the_model_and_looks_for_alerts_in_the_citys_time(
    tmp_path: Path, make_database: Callable[[], Database]
) -> None:
    folder = tmp_path / "city"
    grid = moving_city(folder)
    open_target = partial(connect, make_database().conninfo("owner"), "test")

    def replayed_with(target: Callable[[], Connection], **more: Any) -> ReplayReport:
        provide_model(target, folder / "grid.json", None)
        provide_points(target, folder / "points.json")
        return replay(ReplayOptions(files=(folder / "messages.parquet",), **more), target)

    report = replayed_with(
        open_target, changes=folder / "changes.jsonl", alerts=AlertSettings(AlertPolicy(), lambda _: Routing())
    )
    lines = (folder / "changes.jsonl").read_text().splitlines()
    # Every change is made, and no meter is unknown.
    assert (report.rejected, report.changes) == (0, len(lines))
    with open_target() as connection:
        score = score_truth(connection, folder / "truth")
        stored = stored_readings(connection)
        opened = connection.execute("select min(opened_at), max(opened_at) from alerts.alert").fetchone()
    # Alerts open in the city's time, so that delay and recall say something.
    assert opened is not None
    assert report.alerts > 0
    begin = datetime.fromtimestamp(grid.plan.begin_s, UTC)
    assert begin < opened[0] <= opened[1] <= begin + timedelta(days=9)
    assert score.detection.alerts > 0
    recall = score.detection.area.recall
    assert recall.found is not None
    assert recall.found > 0
    assert recall.delay_median_s is not None
    assert recall.delay_median_s < 2 * 86_400

    # Without the changes a replaced meter is unknown: its readings wait in quarantine.
    other = partial(connect, make_database().conninfo("owner"), "test")
    without = replayed_with(other)
    assert without.rejected > 0
    assert without.changes == without.alerts == 0
    with other() as connection:
        assert score_truth(connection, folder / "truth").detection.alerts == 0
        assert stored_readings(connection) < stored


def test_a_replay_makes_a_cut_over_within_an_interval(tmp_path: Path, make_database: Callable[[], Database]) -> None:
    folder = tmp_path / "city"
    of = CityPlan(BEGIN_S, 1, ZoneInfo("Europe/Berlin"), areas=40, seed=4, counts=parse_plan("cut_over=1"))
    (planned,) = City(of).events
    event = replace(planned, begin_s=BEGIN_S + 3 * 900 + 420, end_s=BEGIN_S + 6 * 900 + 420)
    exact = replace(of, counts=None, events=(event,), errors=MeterErrors.none(), faults=DeliveryFaults.none())
    write_city(City(exact), folder, rounds=9)
    errors = []
    for changes in (folder / "changes.jsonl", None):
        target = partial(connect, make_database().conninfo("owner"), "test")
        provide_model(target, folder / "grid.json", None)
        provide_points(target, folder / "points.json")
        report = replay(ReplayOptions(files=(folder / "messages.parquet",), changes=changes), target)
        assert (report.rejected, report.changes) == (0, 4 if changes else 0)
        with target() as connection:
            errors.append(feeder_errors(connection, folder, {event.entity, event.other}))
            moves = {at for (at,) in connection.execute(_MOVES, [datetime.fromtimestamp(BEGIN_S, UTC)])}
        ends = {datetime.fromtimestamp(at_s, UTC) for at_s in (event.begin_s, event.end_s or 0)}
        assert moves == (ends if changes else set())
    told, untold = errors
    # From minute 7 of the fourth interval to minute 7 of the seventh the records would be wrong. Registers round.
    for number in (0, 1, 2, 7, 8):
        assert told[number] == untold[number] < 100
    for number in (4, 5):
        assert told[number] < 100
        assert untold[number] > 5_000
    # Within an interval energy is divided by time, which isn't quite how it flowed.
    for number in (3, 6):
        assert told[number] < 300
        assert untold[number] > 4_000


#: When areas came to other feeders.
_MOVES = """
select distinct lower(m.valid)
from grid.member m
join grid.unit f using (unit_id)
where m.child_id is not null and f.kind = 'feeder' and upper_inf(m.recorded) and lower(m.valid) > %s
"""


def feeder_errors(connection: Connection, folder: Path, feeders: set[str]) -> list[float]:
    """Largest difference between stored loss, with members, and the truth by interval, of some feeders; Wh."""
    stored = {
        (code, observed_at): loss_wh
        for code, observed_at, loss_wh in connection.execute(
            "select u.code, b.observed_at, b.loss_wh from loss.balance b join grid.unit u using (unit_id)"
            " where u.code = any(%s) and b.interval_s = 900",
            [sorted(feeders)],
        )
    }
    worst: dict[int, float] = {}
    for rows in read_unit_rows(folder / "truth"):
        true_wh = rows.energies.technical_wh + rows.energies.unmetered_wh
        for at, end_s, loss_wh in zip(rows.unit.tolist(), rows.end_s.tolist(), true_wh.tolist(), strict=True):
            if (unit := rows.units[at]) in feeders:
                error = abs(stored[unit, datetime.fromtimestamp(end_s, UTC)] - loss_wh)
                worst[end_s] = max(worst.get(end_s, 0.0), error)
    return [worst[end_s] for end_s in sorted(worst)]


def stored_readings(connection: Connection) -> int:
    row = connection.execute("select count(*) from telemetry.reading where interval_s = 900").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"no", "changes.jsonl line 2: "),
        (b'{"kind": "meter_move", "meter": "M", "unit": "A"}', "line 2: "),
        (b'{"kind": "unit_name", "unit": "A1", "name": "x"}', "line 2: it doesn't say from when"),
        (
            b'{"kind": "meter_multiplier", "meter": "no-such", "multiplier": 2, "valid_from": "2026-03-24T01:00:00Z"}',
            "line 2: the change was not made: ",
        ),
    ],
)
def test_a_change_that_cannot_be_made_ends_the_replay_with_its_line(
    tmp_path: Path, make_database: Callable[[], Database], line: bytes, text: str
) -> None:
    write_city(make_city("1-LV-rural1--0-sw", seed=2, events="none"), tmp_path / "city")
    (tmp_path / "city" / "changes.jsonl").write_bytes(b"\n" + line + b"\n")
    command = ["replay", "--city", str(tmp_path / "city"), "--database", make_database().conninfo("owner"), "--json"]
    done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, ChangesFileError)
    assert text in (explain(done.exception) or "")


def test_errors_and_faults_of_a_city_show_in_what_is_stored(
    tmp_path: Path, make_database: Callable[[], Database]
) -> None:
    write_city(city(exact=False, events="default"), tmp_path / "city")
    with replayed(tmp_path / "city", make_database()) as connection:
        score = score_truth(connection, tmp_path / "city" / "truth")
        quality = connection.execute("select count(distinct point_id) from telemetry.point_last").fetchone()
    areas = score.loss["area"]
    assert areas.completeness is not None
    assert areas.mean_abs_wh is not None
    assert 0.3 < areas.completeness < 1.0
    assert 5.0 < areas.mean_abs_wh < 1_000.0
    assert quality is not None
    assert quality[0] >= 4


def test_a_city_plays_to_a_broker_that_is_killed(tmp_path: Path, broker: tuple[int, Callable[[], None]]) -> None:
    port, restart = broker
    grid = make_city("demonstration", areas=10, seed=2, begin=datetime.now(UTC) - timedelta(days=3))
    killed: list[bool] = []

    def progress(summary: Summary) -> None:
        if summary.published > 300 and not killed:
            killed.append(True)
            restart()

    summary = play_city(
        grid,
        host="127.0.0.1",
        port=port,
        credentials={unit.gateway: "any" for unit in grid.units},
        ledger_dir=tmp_path / "ledger",
        stop=Event(),
        duration_s=120.0,
        speed=None,
        rate=2_000.0,
        progress=progress,
    )
    assert killed
    assert summary.refused == 0
    assert summary.acked == summary.published > 96 * len(grid.units)
    assert summary.intervals == 96
    ledger = read_ledger(tmp_path / "ledger")
    assert len(ledger.published) == len(ledger.acked) <= 96 * len(grid.units)
    assert len(ledger.published) > 0.97 * 96 * len(grid.units)


def test_a_city_goes_on_live_until_it_is_stopped(tmp_path: Path, broker: tuple[int, Callable[[], None]]) -> None:
    port, _ = broker
    grid = make_city("1-LV-rural1--0-sw", seed=2, live=True)
    stop = Event()

    def progress(summary: Summary) -> None:
        if summary.intervals >= 95:
            stop.set()

    summary = play_city(
        grid,
        host="127.0.0.1",
        port=port,
        credentials={unit.gateway: "any" for unit in grid.units},
        ledger_dir=tmp_path / "ledger",
        stop=stop,
        duration_s=60.0,
        rate=5_000.0,
        progress=progress,
    )
    assert stop.is_set()
    assert summary.observed_at is not None
    assert timedelta(0) < datetime.now(UTC) - summary.observed_at < timedelta(minutes=40)
    with pytest.raises(ValueError, match="no password"):
        play_city(grid, host="127.0.0.1", port=port, credentials={}, ledger_dir=tmp_path / "other", stop=stop)


def test_a_citys_grid_and_points_are_loaded_and_its_gateways_must_have_accounts(
    settings: Settings, config_path: Path, tmp_path: Path
) -> None:
    prepare(settings)
    grid = make_city("1-LV-rural1--0-sw", seed=2, copy=9, events="none")
    write_model(tmp_path / "grid.json", grid.recorded)
    run = CliRunner()
    loaded = run.invoke(app, ["load", "grid", str(tmp_path / "grid.json"), "--json", "--config", str(config_path)])
    assert loaded.exit_code == 0, loaded.output
    assert json.loads(loaded.stdout) == {"units": 2, "meters": len(grid.recorded.meters)}
    load(settings, grid)
    with opener(settings, "test")() as connection:
        query = "select count(*) from grid.meter where code like 'C9-%'"
        assert connection.execute(query).fetchone() == (len(grid.recorded.meters),)
        points = connection.execute("select count(*) from grid.point where code like 'C9-%'").fetchone()
    assert points == (5,)
    with pytest.raises(ConfigError, match="meterline stack gateways headend-C9"):
        publish(settings, grid, tmp_path / "ledger", stop=Event(), duration_s=1.0, rate=100.0, speed=1.0)
