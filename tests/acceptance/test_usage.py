"""Abnormal usage on the twin, from its meters through settling and the store to the list of suspects.

Three areas of farms over ten weeks. In the sixth a customer begins to have nothing metered at night, another moves
out without telling anybody, and the account of a third ends while it goes on. Readings have the meters' errors. Farms
follow one profile: who counts a part of everything can't be named among them, as its neighbours' use explains the loss
as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from benchmarks.loss_city import BEGIN, make_month, plan_city
from grid.model import AccountStatus, Role
from meterline import cli
from store.connection import connect
from store.views import load_views
from sync.load import load_grid

# What the integration tests start.
from tests.integration.conftest import Database, config_path, database, make_database, settings, stack, template  # noqa: F401
from tests.usage_area import store_readings
from twin.city import City
from twin.events import Event, EventKind
from twin.metering import MeterErrors

pytestmark = [pytest.mark.timeout(600)]

_AREAS, _DAYS, _SINCE, _SEED = 3, 70, 40, 4_711
_DAY_S = 86_400


@dataclass(frozen=True)
class Scene:
    """The city, and who does what in it."""

    city: City
    thief: str
    vacant: str
    closed: str


@pytest.fixture(scope="module")
def scene() -> Scene:
    honest = plan_city(_AREAS, 2, _SEED, "none")
    meters = honest.recorded.meters
    use = make_month(honest, [(MeterErrors.none(), 1)]).parks[0].import_wh.mean(axis=0)

    def users(unit: str) -> list[str]:
        """Customers of an area, whoever takes most first; only those that are metered directly."""
        at = [n for n, m in enumerate(meters) if m.unit == unit and m.role == Role.CUSTOMER and m.multiplier == 1]
        return [meters[n].code for n in sorted(at, key=lambda n: -use[n])]

    first, second = (area.code for area in honest.network.areas[:2])
    vacant, thief, *_ = users(first)
    plan = replace(plan_city(_AREAS, _DAYS, _SEED, "none").plan, per_interval=1)
    begin_s = plan.begin_s + _SINCE * _DAY_S
    events = (
        Event(begin_s, 1, EventKind.THEFT_NIGHT, thief, None, 1.0),
        Event(begin_s, 2, EventKind.VACANCY, vacant, None, 0.04),
    )
    return Scene(City(replace(plan, events=events, counts=None)), thief, vacant, users(second)[0])


@pytest.fixture
def filled(scene: Scene, database: Database) -> Database:  # noqa: F811
    city = scene.city
    month = make_month(city, [(MeterErrors(), 5)])
    (park,) = month.parks
    model = city.recorded
    account = next(m.account for m in model.meters if m.code == scene.closed)
    ended = tuple(replace(a, status=AccountStatus.CLOSED) if a.code == account else a for a in model.accounts)
    with connect(database.conninfo("app"), "test") as connection:
        connection.autocommit = True
        load_grid(connection, model)
        load_grid(connection, replace(model, accounts=ended), BEGIN + timedelta(days=_SINCE))
        views = load_views(connection, [area.code for area in city.network.areas])
        for unit in city.units:
            if unit.code in views:
                codes = [m.code for m in model.meters[unit.first : unit.last]]
                part: list[NDArray[np.int64]] = [x[:, unit.first : unit.last] for x in (park.import_wh, park.export_wh)]
                store_readings(
                    connection, views[unit.code], codes, month.ends_s, city.plan.interval_s, part[0], export_wh=part[1]
                )
        connection.execute("update loss.balance set recorded_at = now() - interval '2 s'")
    return database


def test_theft_and_use_without_a_contract_are_found_and_nothing_else(
    scene: Scene,
    filled: Database,
    config_path: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("METERLINE_CONFIG", str(config_path))
    monkeypatch.setenv("METERLINE_DATABASE__NAME", filled.section.name)
    monkeypatch.setenv("METERLINE_SETTLING__TIME_ZONE", "Europe/Berlin")

    def run(*arguments: str) -> Any:
        result = CliRunner().invoke(cli.app, ["usage", *arguments, "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout.splitlines()[-1])

    last = date(BEGIN.year, BEGIN.month, BEGIN.day) + timedelta(days=_DAYS - 1)
    done = run("run", "--day", last.isoformat(), "--once")
    assert done["area_days"] == _AREAS * _DAYS
    found = run("list", "--all")
    kinds = {f["meter"]: f["kind"] for f in found}
    assert kinds[scene.thief] == "theft"
    assert kinds[scene.closed] == "no_contract"
    assert scene.vacant not in kinds
    # Accounts that were closed from the beginning and still take something are the twin's own.
    closed = {a.code for a in scene.city.recorded.accounts if a.status is AccountStatus.CLOSED}
    of_meter = {m.code: m.account for m in scene.city.recorded.meters}
    others = {m: k for m, k in kinds.items() if m not in (scene.thief, scene.closed)}
    assert {m: k for m, k in others.items() if not (k == "no_contract" and of_meter[m] in closed)} == {}
    (theft,) = (f for f in found if f["meter"] == scene.thief)
    begun = BEGIN + timedelta(days=_SINCE)
    assert timedelta(0) < datetime.fromisoformat(theft["opened_at"]) - begun <= timedelta(days=14)
    assert run("run", "--day", last.isoformat(), "--once")["area_days"] == 0
    assert "Nothing was found" in " ".join(run("explain", scene.vacant)["story"])
