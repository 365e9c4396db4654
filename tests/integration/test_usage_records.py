"""Records of transformer and phase against stored voltages, energies and losses: finding, conflict and proposal."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from typer.testing import CliRunner

from grid.model import Meter, Role
from meterline import cli
from meterline.city import make_city
from meterline.usage import run_through
from store.connection import Connection, connect
from store.sync_conflicts import list_conflicts
from store.views import load_views
from streams.usage import RecordCounts, RecordRules, UsageRules
from streams.usage_association import compare_due
from sync.load import load_grid
from sync.mapping import SourceMapping
from sync.proposals.lifecycle import ReviewRules
from sync.proposals.review import propose
from tests.integration.conftest import Database
from tests.integration.test_sync_sources import NOW, SINCE, extracts, mapping, matched, take_all
from tests.usage_area import store_readings
from twin.city import City

__all__ = ["mapping"]
DAYS, HOUR_S = 14, 3_600
BEGIN = datetime(2026, 5, 18, tzinfo=UTC)
TARGET = (BEGIN + timedelta(days=DAYS - 1)).date()
RULES = UsageRules(ZoneInfo("UTC"))
AREAS = 3
MISSING_DV = np.iinfo(np.int16).min


@dataclass(frozen=True)
class Place:
    """Areas of one feeder, and customers on one phase of the first: one hangs on the second, one on another phase."""

    areas: tuple[str, ...]
    elsewhere: str
    other_phase: str


@pytest.fixture(scope="module")
def city() -> City:
    return make_city("demonstration", areas=12, seed=5, events="none")


@pytest.fixture(scope="module")
def place(city: City) -> Place:
    by_feeder: dict[str, list[str]] = {}
    for area in city.recorded.areas:
        if area.kind == "area" and area.feeder is not None:
            by_feeder.setdefault(area.feeder, []).append(area.code)
    # The largest ones, so that each phase has some customers.
    size = Counter(m.unit for m in city.recorded.meters)
    most = max(by_feeder.values(), key=len)
    areas = sorted(most, key=lambda code: (-size[code], code))[:AREAS]
    single = [m.code for m in city.recorded.meters if m.unit == areas[0] and m.phases == "A" and m.role & Role.CUSTOMER]
    return Place(tuple(areas), single[1], single[2])


@pytest.fixture
def connection(database: Database, city: City) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, city.recorded)
        yield opened


def put(
    connection: Connection,
    city: City,
    place: Place,
    *,
    wrong: bool,
    voltages: bool,
    mute: bool = False,
    currents: bool = False,
) -> None:
    """Hours of all areas; where records are wrong, the voltages and the gateways say so; with currents, by phase.

    `mute`: the meter on another phase shows no voltages.
    """
    random = np.random.default_rng(8)
    hours = DAYS * 24
    ends = int(BEGIN.timestamp()) + HOUR_S * (1 + np.arange(hours))
    medium = random.normal(0, 1.5, (hours, 1))
    volts = 230 + medium[:, :, None] - random.gamma(1.0, 1.0, (hours, AREAS, 3))
    meters = {code: [m for m in city.recorded.meters if m.unit == code] for code in place.areas}
    use = {
        m.code: random.lognormal(0, 0.6, hours) * random.uniform(100, 900)
        for code in place.areas
        for m in meters[code]
        if m.role & Role.CUSTOMER
    }
    # Large enough to be seen in both areas' losses.
    use[place.elsewhere] *= 20
    true = {m.code: n for n, code in enumerate(place.areas) for m in meters[code]}
    if wrong:
        true[place.elsewhere] = 1
    for n, code in enumerate(place.areas):
        of = meters[code]
        # Nothing is lost but what the wrong record moves.
        total = sum(use[m] for m in use if true[m] == n)
        wh = [np.rint(use[m.code] if m.code in use else total / m.multiplier) for m in of]
        channels = {}
        if voltages:
            three = np.full((3, hours, len(of)), MISSING_DV, np.int16)
            for k, m in enumerate(of):
                phases = "ABC".index(m.phases) if m.phases in ("A", "B", "C") else None
                if m.code == place.other_phase and wrong:
                    phases = 2
                far = random.uniform(0.6, 1.0)
                seen = 230 + medium + (volts[:, true[m.code]] - 230 - medium) * far
                seen = np.rint(10 * (seen + random.normal(0, 0.3, seen.shape))).astype(np.int16)
                if phases is None:
                    three[:, :, k] = seen.T
                else:
                    three[0, :, k] = seen[:, phases]
            three[random.random(three.shape) < 0.05] = MISSING_DV
            if mute:
                three[:, :, [m.code == place.other_phase for m in of]] = MISSING_DV
            channels = {f"voltage_{p}_dv": three[i] for i, p in enumerate("abc")}
        if currents:
            channels |= shown_currents(of, {m: use[m] for m in use if true[m] == n}, phase_of(city, place, wrong=wrong))
        view = load_views(connection, [code])[code]
        import_wh = np.stack(wh, axis=1).astype(np.int64)
        store_readings(connection, view, [m.code for m in of], ends, HOUR_S, import_wh, channels=channels)
    # The areas' lines lose nothing here; what was written within a second isn't looked at yet.
    connection.execute("update loss.balance set technical_wh = 0, recorded_at = now() - interval '2 s'")
    run_through(connection, RULES, TARGET)


def phase_of(city: City, place: Place, *, wrong: bool) -> dict[str, str]:
    """Phases as they are, by meter."""
    phases = {m.code: m.phases or "ABC" for m in city.recorded.meters}
    return phases | ({place.other_phase: "C"} if wrong else {})


def shown_currents(
    meters: Sequence[Meter], use: dict[str, np.ndarray], phases: dict[str, str]
) -> dict[str, np.ndarray]:
    """Currents by phase at 230 V and power factor 1: those of an area's gateway are what its customers take."""
    hours = DAYS * 24
    current = np.full((3, hours, len(meters)), np.nan)
    for k, m in enumerate(meters):
        inside = use if m.role & Role.GATEWAY else {m.code: use[m.code]} if m.code in use else {}
        if m.role & Role.GATEWAY:
            current[:, :, k] = 0.0
        for code, wh in inside.items():
            for phase in phases[code]:
                channel = 0 if m.code == code and len(phases[code]) == 1 else "ABC".index(phase)
                current[channel, :, k] = np.nan_to_num(current[channel, :, k]) + wh / len(phases[code]) / 230
    shown = np.where(np.isnan(current), MISSING_DV, np.rint(100 * np.nan_to_num(current))).astype(np.int16)
    factor = np.full((hours, len(meters)), 1_000, np.int16)
    return {f"current_{p}_ca": shown[i] for i, p in enumerate("abc")} | {"power_factor_permille": factor}


def compared(connection: Connection, day: timedelta = timedelta()) -> RecordCounts:
    counts = RecordCounts()
    while compare_due(connection, RULES, RecordRules(days=DAYS, neighbours=12), TARGET + day, counts):
        pass
    return counts


def findings(connection: Connection) -> dict[str, dict[str, Any]]:
    rows = connection.execute(
        "select meter, kind, confidence, reasons, evidence from usage.finding where source = 'records'"
        " and ended_at is null"
    ).fetchall()
    assert {row[1] for row in rows} <= {"wrong_record"}
    return {meter: {"confidence": c, "reasons": r, **e} for meter, _, c, r, e in rows}


def measured(connection: Connection) -> list[tuple[str, str, float]]:
    return connection.execute("select meter, area, confidence from sync.measured_area").fetchall()


def test_a_wrong_record_becomes_a_finding_a_conflict_and_a_proposal(
    connection: Connection, city: City, place: Place, mapping: SourceMapping, tmp_path: Path
) -> None:
    put(connection, city, place, wrong=True, voltages=True)
    counts = compared(connection)
    assert (counts.areas, counts.doubted) == (AREAS, 2)
    found = findings(connection)
    assert set(found) == {place.elsewhere, place.other_phase}
    moved, turned = found[place.elsewhere], found[place.other_phase]
    said = moved["voltage"]
    assert (said["recorded_area"], said["found_area"], said["found_phase"]) == (*place.areas[:2], "A")
    assert said["correlation_found"] > said["correlation_recorded"] + 0.2
    assert said["readings"] > 0.9 * DAYS * 24
    assert moved["reasons"] == ["voltage_follows_another", "energy_flows_in_another", "mends_two_areas"]
    assert moved["energy"]["share_found"] == pytest.approx(1.0, abs=0.2)
    assert moved["repair"]["left"] < 0.5
    assert turned["reasons"] == ["voltage_follows_another_phase"]
    assert (turned["voltage"]["recorded_phase"], turned["voltage"]["found_phase"]) == ("A", "C")
    # Only another area is something that the model's relations could say.
    ((meter, area, confidence),) = measured(connection)
    assert (meter, area) == (place.elsewhere, place.areas[1])
    assert confidence >= 0.9
    alerted = connection.execute("select kind, meter from alerts.finding where kind = 'wrong_record'").fetchall()
    assert set(alerted) == {("wrong_record", place.elsewhere), ("wrong_record", place.other_phase)}

    extracts(city, tmp_path, 0.0)
    take_all(connection, tmp_path, mapping)
    matched(connection, mapping)
    (conflict,) = list_conflicts(connection, None, None, None, None, False, 10)
    assert (conflict["kind"], conflict["code"]) == ("impossible", place.elsewhere)
    (proposed,) = propose(connection, [conflict["conflict_id"]], "li", "seen", ReviewRules(), NOW, SINCE)
    assert proposed.target == "model"

    # The same again, before its turn and after a week, says nothing new.
    assert compared(connection).areas == 0
    assert compared(connection, timedelta(days=7)).areas == AREAS
    assert set(findings(connection)) == set(found)
    assert connection.execute("select count(*) from usage.finding where source = 'records'").fetchone() == (2,)


def test_right_records_are_left_alone(connection: Connection, city: City, place: Place) -> None:
    put(connection, city, place, wrong=False, voltages=True)
    counts = compared(connection)
    assert (counts.areas, counts.doubted) == (AREAS, 0)
    assert counts.meters > 30
    assert findings(connection) == {}
    assert measured(connection) == []


@pytest.mark.parametrize("currents", [True, False])
def test_currents_of_the_areas_meter_tell_a_phase_that_voltages_do_not(
    connection: Connection, city: City, place: Place, *, currents: bool
) -> None:
    put(connection, city, place, wrong=True, voltages=True, mute=True, currents=currents)
    assert compared(connection).areas == AREAS
    found = findings(connection)
    assert found[place.elsewhere]["energy"]["share_found"] == pytest.approx(1.0, abs=0.2)
    assert set(found) == {place.elsewhere, *([place.other_phase] if currents else [])}
    if currents:
        turned = found[place.other_phase]
        assert turned["reasons"] == ["energy_flows_in_another_phase"]
        said = turned["voltage"]
        assert (said["recorded_phase"], said["found_phase"], said["readings"]) == ("A", "C", 0)
        assert (said["correlation_recorded"], said["correlation_found"]) == (None, None)
        shares = turned["energy"]
        assert shares["share_found"] == pytest.approx(1.0, abs=0.2)
        # The area as a whole counts it in either phase.
        assert 0.0 < shares["share_recorded"] < shares["share_found"] - 5 * shares["deviation_recorded"]


# With 28 days, there is nothing yet of the first half.
@pytest.mark.parametrize("days", [DAYS, 28])
def test_losses_alone_tell_a_meter_of_another_area(
    days: int,
    connection: Connection,
    city: City,
    place: Place,
    config_path: Path,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(connection, city, place, wrong=True, voltages=False)
    monkeypatch.setenv("METERLINE_CONFIG", str(config_path))
    monkeypatch.setenv("METERLINE_DATABASE__NAME", database.section.name)
    monkeypatch.setenv("METERLINE_SETTLING__TIME_ZONE", "UTC")
    monkeypatch.setenv("METERLINE_USAGE__NEIGHBOURS", "12")
    monkeypatch.setenv("METERLINE_USAGE__RECORDS_D", str(days))
    ask = ["usage", "associate", "--area", place.areas[0], "--day", TARGET.isoformat(), "--json"]
    result = CliRunner().invoke(cli.app, ask, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert (said["areas"], said["doubted"]) == (1, 1)
    assert {m: f["reasons"] for m, f in findings(connection).items()} == {place.elsewhere: ["mends_two_areas"]}
    assert [row[:2] for row in measured(connection)] == [(place.elsewhere, place.areas[1])]
