"""Live rules of usage on stored intervals: what begins is a finding, and ends; meter events with their neighbours."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from psycopg.pq import TransactionStatus

from grid.device_events import EventBatch
from grid.model import AccountStatus, GridModel
from meterline.bootstrap import opener
from meterline.config import load_settings
from meterline.metrics_usage import UsageMetrics
from meterline.usage import rules_of, run_usage_service
from store.connection import Connection, connect
from store.events import write_events
from store.usage_findings import FindingQuery, list_usage_findings
from store.usage_live import begin_live, end_live
from store.views import load_views
from streams import usage_live
from streams.usage_live import LiveSettings, LiveWatch
from sync.load import load_grid
from tests.integration.conftest import Database
from tests.integration.test_usage import CLOSED, CODES, METERS, model
from tests.usage_area import store_readings
from tests.waiting import PATIENCE_S, until

BEGIN = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=4)
QUARTER_S = 900
OVER, BACK, STOPPED, LOST = 1, 2, 4, 6


def grid() -> GridModel:
    base = model()
    closed = replace(base.accounts[CLOSED], status=AccountStatus.CLOSED)
    accounts = tuple(closed if a.code == closed.code else a for a in base.accounts)
    meters = tuple(replace(m, phases="ABC" if m.code == CODES[1 + LOST] else m.phases) for m in base.meters)
    areas = tuple(replace(a, rating_va=30_000) for a in base.areas)
    return replace(base, accounts=accounts, meters=meters, areas=areas)


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, grid())
        yield opened


def put(connection: Connection, first: int, import_wh: NDArray[np.int64], **more: Any) -> None:
    ends = int(BEGIN.timestamp()) + QUARTER_S * (first + 1 + np.arange(len(import_wh)))
    view = load_views(connection, ["A1"])["A1"]
    store_readings(connection, view, CODES, ends, QUARTER_S, import_wh, **more)
    connection.execute("update loss.balance set recorded_at = now() - interval '2 s'")


def quiet(intervals: int) -> NDArray[np.int64]:
    """Everybody takes 100 Wh a quarter, but for whose account is closed; the master meter has ten times less digits."""
    wh = np.full((intervals, 1 + METERS), 100, np.int64)
    wh[:, 1 + CLOSED] = 0
    wh[:, 0] = wh[:, 1:].sum(axis=1) // 10
    return wh


def held(connection: Connection) -> set[tuple[str | None, str]]:
    return set(connection.execute("select meter, kind from usage.finding where ended_at is null").fetchall())


def look(watch: LiveWatch, connection: Connection, hours: int = 4) -> None:
    while watch.look(connection, BEGIN + timedelta(hours=hours)):
        pass


def test_rules_begin_and_end_findings(connection: Connection) -> None:
    intervals, watch = 6, LiveWatch(LiveSettings())
    wh = quiet(intervals)
    wh[:, 1 + CLOSED] = 60
    wh[:, 1 + OVER] = 4_000  # of 8 kW a quarter is 2 kWh
    wh[:, 1 + STOPPED] = 0
    wh[:, 0] = 900  # 36 kW through 30 kVA
    export = np.zeros_like(wh)
    export[:, 1 + BACK] = 50
    voltage = {f"voltage_{p}_dv": np.full(wh.shape, 2_300, np.int16) for p in "abc"}
    voltage["voltage_b_dv"][:, 1 + LOST] = 10
    current = {"current_a_ca": np.full(wh.shape, 100, np.int16)}
    current["current_a_ca"][:, 1 + CLOSED] = 0
    put(connection, 0, wh, export_wh=export, channels={**voltage, **current})
    look(watch, connection)
    names = {CLOSED: "no_contract", OVER: "over_capacity", BACK: "reverse_energy", STOPPED: "zero_with_current"}
    names[LOST] = "phase_missing"
    wanted = {(CODES[1 + n], kind) for n, kind in names.items()} | {(None, "overload")}
    assert held(connection) == wanted
    alerted = connection.execute("select kind from alerts.finding where ended_at is null").fetchall()
    assert {row[0] for row in alerted} == {
        "uncontracted_use", "over_capacity", "meter_reverse_energy", "meter_zero_with_current", "phase_missing",
        "transformer_overload",
    }  # fmt: skip
    # The same again, and another process, say nothing new.
    connection.execute("update usage.progress set live_through = '1970-01-01 00:00:00+00'")
    look(LiveWatch(LiveSettings()), connection)
    assert connection.execute("select count(*) from usage.finding").fetchone() == (len(wanted),)

    calm = {**{k: np.full_like(v, 2_300) for k, v in voltage.items()}, "current_a_ca": current["current_a_ca"]}
    put(connection, intervals, quiet(intervals), channels=calm)
    look(watch, connection)
    assert held(connection) == set()
    assert connection.execute("select count(*) from alerts.finding where ended_at is null").fetchone() == (0,)


def test_what_rules_of_another_version_said_ends_by_these(connection: Connection) -> None:
    wh = quiet(6)
    wh[:, 1 + OVER] = 4_000
    put(connection, 0, wh)
    look(LiveWatch(LiveSettings()), connection)
    assert (CODES[1 + OVER], "over_capacity") in held(connection)
    connection.execute("update usage.live_state set version = version + 1")
    put(connection, 6, quiet(6))
    look(LiveWatch(LiveSettings()), connection)
    assert (CODES[1 + OVER], "over_capacity") not in held(connection)


def test_what_begins_and_ends_within_one_look_is_stored_as_over(connection: Connection) -> None:
    wh = quiet(16)
    wh[[*range(5), *range(11, 16)], 1 + OVER] = 4_000
    put(connection, 0, wh)
    watch = LiveWatch(LiveSettings())
    look(watch, connection)
    rows = connection.execute(
        "select opened_at, ended_at, alert_finding_id is not null from usage.finding"
        " where meter = %s and kind = 'over_capacity' order by finding_id",
        [CODES[1 + OVER]],
    ).fetchall()
    quarter = timedelta(seconds=QUARTER_S)
    # Said after four in a row, over after four others.
    assert rows == [(BEGIN + 4 * quarter, BEGIN + 9 * quarter, False), (BEGIN + 15 * quarter, None, True)]
    assert (watch.counts.begun, watch.counts.ended) == (2, 1)


def test_a_finding_of_every_meter_at_once(connection: Connection) -> None:
    wh = quiet(6)
    wh[:, 1:] = 4_000
    wh[:, 0] = wh[:, 1:].sum(axis=1) // 10
    put(connection, 0, wh)
    look(LiveWatch(LiveSettings()), connection)
    said = {meter for meter, kind in held(connection) if kind in {"over_capacity", "no_contract"}}
    assert said == set(CODES[1:])
    unlinked = "select count(*) from usage.finding where meter is not null and alert_finding_id is null"
    assert connection.execute(unlinked).fetchone() == (0,)


def test_who_has_no_turn_does_nothing(connection: Connection, database: Database) -> None:
    put(connection, 0, quiet(6))
    watch = LiveWatch(LiveSettings())
    with connect(database.conninfo("app"), "other") as other:
        assert begin_live(other) is not None
        look(watch, connection)
        assert watch.counts.intervals == 0
        end_live(other)
    look(watch, connection)
    assert watch.counts.intervals == 6


def test_a_short_one_is_nothing_and_a_voltage_is_the_areas(connection: Connection) -> None:
    watch, wh = LiveWatch(LiveSettings()), quiet(8)
    wh[:3, 1 + OVER] = 4_000
    low = np.full(wh.shape, 2_300, np.int16)
    low[4:, 3:8] = 1_900
    put(connection, 0, wh, channels={"voltage_a_dv": low})
    look(watch, connection)
    assert held(connection) == {(None, "voltage")}


def test_what_meters_report_is_joined_with_their_neighbours(connection: Connection) -> None:
    def report(kind: str, meters: list[int], minutes: int) -> None:
        at_us = round((BEGIN + timedelta(minutes=minutes)).timestamp() * 1e6)
        codes = pa.array([CODES[1 + n] for n in meters], pa.string())
        kinds = pa.array([kind] * len(meters), pa.string())
        batch = EventBatch("A1", "headend", at_us, minutes, codes, kinds, np.full(len(meters), at_us))
        with connection.transaction():
            write_events(connection, [batch])

    watch = LiveWatch(LiveSettings())
    report("cover_open", [3], 10)
    report("magnetic_field", [3], 11)
    report("last_gasp", [8], 12)
    look(watch, connection)
    assert held(connection) == {(CODES[4], "tampering"), (CODES[9], "single_outage")}
    report("power_restored", [8], 30)
    # A crew that opens the covers of half an area, and an area that is out, are nobody's tampering.
    report("cover_open", [0, 1, 2, 5, 6], 120)
    report("last_gasp", [0, 1, 2, 5, 6], 121)
    look(watch, connection)
    assert held(connection) == {(CODES[4], "tampering")}
    look(watch, connection, hours=24 * 8)
    assert held(connection) == set()
    assert connection.execute("select kind from alerts.finding").fetchall() == [("suspected_tampering",)]


def test_the_service_judges_counts_and_stops(connection: Connection, database: Database, config_path: Path) -> None:
    wh = quiet(6)
    wh[:, 1 + CLOSED] = 60
    put(connection, 0, wh)
    loaded = load_settings(config_path)
    settings = loaded.model_copy(update={"database": database.section})
    metrics = UsageMetrics(opener(settings, "test"), rules_of(settings))
    assert metrics.idle_reason() is not None
    stop = threading.Event()
    service = threading.Thread(target=run_usage_service, args=(settings, stop, metrics.counts))
    service.start()
    until(lambda: (CODES[1 + CLOSED], "no_contract") in held(connection), "the account without a contract is found")
    stop.set()
    service.join(PATIENCE_S)
    assert not service.is_alive()
    assert metrics.idle_reason() is None
    values = {sample.name: sample.value for metric in metrics.collect() for sample in metric.samples}
    assert values["meterline_usage_findings"] == 1.0
    assert values["meterline_usage_live_intervals_total"] == 6.0


def test_minutes_are_judged_for_hours(connection: Connection) -> None:
    """Four hours of minutes are more rows than are read at once."""
    minutes, watch = 360, LiveWatch(LiveSettings())
    begin = int(BEGIN.timestamp()) - 2 * 3_600
    ends = begin + 60 * (1 + np.arange(minutes))
    wh = quiet(minutes)
    wh[300:, 1 + CLOSED] = 60
    view = load_views(connection, ["A1"])["A1"]
    for part in np.array_split(np.arange(minutes), 4):
        store_readings(connection, view, CODES, ends[part], 60, wh[part])
        # Written as they came, a part after the other.
        connection.execute(
            "update loss.balance set recorded_at = now() - interval '2 s' where observed_at > to_timestamp(%s)",
            [int(ends[part[0]]) - 1],
        )
        connection.execute("update usage.progress set live_through = now() - interval '3 s'")
        while watch.look(connection, datetime.fromtimestamp(int(ends[part[-1]]) + 10, UTC)):
            pass
    assert watch.counts.intervals == minutes
    assert (CODES[1 + CLOSED], "no_contract") in held(connection)


def test_who_looks_rests_between_transactions(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_live, "_ROWS", 6)
    put(connection, 0, quiet(6))
    rests: list[tuple[float, TransactionStatus]] = []

    def rest(worked_s: float) -> None:
        rests.append((worked_s, connection.info.transaction_status))

    watch, now = LiveWatch(LiveSettings()), BEGIN + timedelta(hours=4)
    assert watch.look(connection, now, rest)
    assert watch.counts.intervals == 6
    assert not watch.look(connection, now, rest)
    ((worked_s, status),) = rests
    assert 0 < worked_s < PATIENCE_S
    assert status is TransactionStatus.IDLE


def test_what_holds_is_still_seen_and_ends_with_the_meter(connection: Connection) -> None:
    wh = quiet(6)
    wh[:, 1 + OVER] = 4_000
    put(connection, 0, wh)
    watch = LiveWatch(LiveSettings())
    look(watch, connection)

    def seen_since(hours: float) -> list[str | None]:
        wanted = FindingQuery(since=BEGIN + timedelta(hours=hours), everything=True)
        return [finding.meter for finding in list_usage_findings(connection, wanted, 10)]

    # Of the first hour, and it holds.
    assert seen_since(3) == [CODES[1 + OVER]]
    gone = BEGIN + timedelta(hours=1, minutes=30)
    meters = tuple(m for m in grid().meters if m.code != CODES[1 + OVER])
    load_grid(connection, replace(grid(), meters=meters), gone)
    view = load_views(connection, ["A1"])["A1"]
    codes = [m.code for m in meters if m.code in CODES]
    ends = int(BEGIN.timestamp()) + QUARTER_S * (7 + np.arange(4))
    store_readings(connection, view, codes, ends, QUARTER_S, np.delete(quiet(4), 1 + OVER, axis=1))
    connection.execute("update loss.balance set recorded_at = now() - interval '2 s'")
    look(watch, connection)
    assert held(connection) == set()
    assert connection.execute("select count(*) from alerts.finding where ended_at is null").fetchone() == (0,)
    assert seen_since(3) == [CODES[1 + OVER]]
    assert seen_since(5) == []
