"""A city against real servers: what a replay of its files stores agrees with its truth, and it plays to a broker."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Event
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from meterline.bootstrap import opener, prepare
from meterline.city import load, make_city, publish
from meterline.city_files import write_city
from meterline.cli import app
from meterline.config import ConfigError, Settings
from meterline.model_file import write_model
from meterline.points_file import read_points
from meterline.replaying import ReplayOptions, provide_model, replay
from meterline.score.reading import score_truth
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
