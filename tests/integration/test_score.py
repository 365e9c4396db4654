"""The score of a real database against a truth folder, with figures computed by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alerts.evaluate import evaluate
from alerts.routing import Routing
from alerts.rules import AlertPolicy
from meterline.score.reading import ScoreError, score_truth
from store.alerts import NewAlert, open_alerts
from store.connection import Connection, connect
from store.score import read_alerts
from store.usage_findings import FindingValues, add_finding
from sync.load import load_grid
from tests.small_grid import small_model
from tests.truth_folder import BEGIN_S, END_S, ENDS_S, write_truth
from tests.waiting import PATIENCE_S
from twin.events import Event, EventKind

HOUR = 3_600
EVENTS = (
    Event(BEGIN_S + 3 * HOUR, 1, EventKind.THEFT_HOOK, "A1", None, 6_000.0),
    Event(BEGIN_S + 40 * HOUR, 2, EventKind.THEFT_BYPASS, "A2-m2", None, 500.0),
    Event(BEGIN_S + 20 * HOUR, 3, EventKind.VACANCY, "A2-m1", END_S, 0.1),
    Event(BEGIN_S + 10 * HOUR, 4, EventKind.ACCOUNT_CLOSED, "A1-account1", None, 0.0),
)


@pytest.fixture
def conninfo(database: Any) -> str:
    return str(database.conninfo("app"))


@pytest.fixture
def connection(conninfo: str) -> Iterator[Connection]:
    with connect(conninfo, "test") as opened:
        opened.autocommit = True
        load_grid(opened, small_model())
        yield opened


def settle(
    connection: Connection, unit: str, intervals: int, loss_wh: int, sigma_wh: float, interval_s: int = 900
) -> None:
    """Store the first so many intervals of a unit; the very first isn't computable."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            insert into loss.balance (
              unit_id, observed_at, interval_s, inflow_wh, outflow_wh, loss_wh, members_loss_wh, sigma_wh, coverage,
              status, computable, revision, received_at
            )
            select unit_id, to_timestamp(%s), %s, 10000, 10000 - %s, %s, 0, %s, 1, 'final', %s, 1, now()
            from grid.unit
            where code = %s
            """,
            [
                (int(end_s), interval_s, loss_wh, loss_wh, sigma_wh, i > 0, unit)
                for i, end_s in enumerate(ENDS_S[:intervals])
            ],
        )


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(BEGIN_S, UTC) + timedelta(seconds=seconds)


@pytest.fixture
def city(connection: Connection, tmp_path: Path) -> Path:
    """A1 is stored 10 Wh beside the truth, of A2 one day 50 Wh beside it, of F1 other intervals."""
    settle(connection, "A1", 192, 2_010, 50.0)
    settle(connection, "A2", 96, 350, 10.0)
    settle(connection, "F1", 192, 200, 10.0, interval_s=60)
    evaluate(connection, AlertPolicy(), Routing(), at(24 * HOUR))  # A1 at 20 %
    ids: dict[str, int] = dict(connection.execute("select code, unit_id from grid.unit").fetchall())
    open_alerts(
        connection,
        [NewAlert("negative_loss:A2", "negative_loss", "critical", ids["A2"], at(30 * HOUR), {"loss_wh": -9})],
        "a test",
    )
    open_alerts(connection, [NewAlert("high_loss:F2", "high_loss", "warning", ids["F2"], at(30 * HOUR), {})], "a test")
    open_alerts(connection, [NewAlert("high_loss:F1", "high_loss", "warning", ids["F1"], at(-HOUR), {})], "a test")
    return write_truth(tmp_path / "truth", EVENTS, loss_wh=(2_000.0, 300.0, 200.0))


def meterline(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "meterline", "score", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_the_command_gives_the_figures_of_hand(city: Path, conninfo: str) -> None:
    done = meterline("--truth", str(city), "--database", conninfo, "--json", "--k", "1,2")
    assert done.returncode == 0, done.stderr
    score = json.loads(done.stdout)
    assert score["truth"] == {
        "city": "small", "seed": 7, "from": "2026-11-20T00:00:00Z", "to": "2026-11-22T00:00:00Z", "interval_s": 900,
        "units": 3, "meters": 4, "events": 4,
    }  # fmt: skip

    a1, a2, f1 = score["loss"]["units"]
    assert (a1["unit"], a1["kind"], a1["intervals"], a1["stored"], a1["computable"]) == ("A1", "area", 192, 192, 191)
    assert (a1["mean_abs_wh"], a1["p95_abs_wh"], a1["bias_wh"], a1["band_coverage"]) == (10, 10, 10, 1)
    assert (a1["mean_abs_rate"], a1["bias_rate"]) == pytest.approx((0.001, 0.001))
    assert (a2["stored"], a2["computable"], a2["mean_abs_wh"], a2["band_coverage"]) == (96, 95, 50, 0)
    assert (f1["kind"], f1["completeness"], f1["mean_abs_wh"]) == ("feeder", 0, None)
    assert f1["reason"] == "no result is stored of the same unit, end and length"
    area = score["loss"]["kinds"]["area"]
    assert (area["intervals"], area["computable"], area["completeness"]) == (384, 286, 286 / 384)
    assert area["mean_abs_wh"] == pytest.approx((191 * 10 + 95 * 50) / 286)
    assert (area["median_abs_wh"], area["p95_abs_wh"]) == (10, 50)
    assert area["band_coverage"] == pytest.approx(191 / 286)

    found = score["detection"]
    assert (found["alerts"], found["alerts_elsewhere"], found["alerts_outside"]) == (2, 1, 1)
    recall = found["area"]["recall"]
    assert (recall["events"], recall["found"], recall["recall"]) == (2, 1, 0.5)
    assert recall["delay_median_s"] == 21 * HOUR
    assert found["area"]["by_kind"]["theft_bypass"]["found"] == 0
    # By name: a hook's entity is a unit, a bypass's is a meter, which no alert can name.
    entity = found["entity"]["recall"]
    assert (entity["events"], entity["left_out"], entity["found"]) == (1, 1, 1)
    # The critical alert of A2 ranks first and was there before the bypass.
    assert [(p["of"], p["right"], p["precision"]) for p in found["area"]["precision_at"]] == [(1, 0, 0), (2, 1, 0.5)]
    false = found["false_alarms"]
    assert (false["alarms"], false["during_innocent"], false["per_1000_meter_days"]) == (1, 1, 125)
    # The account's area had an alert, which the hook explains.
    kinds = {"account_closed": {"events": 1, "alarmed": 0}, "vacancy": {"events": 1, "alarmed": 1}}
    assert false["by_kind"] == kinds

    assert score["association"]["unit"]["recorded_accuracy"] == 0.75
    assert score["association"]["unit"]["concluded_accuracy"] is None
    assert score["conflicts"]["reason"] == "the truth has no inconsistencies.parquet"


def test_tables_are_for_people(city: Path, conninfo: str) -> None:
    done = meterline("--truth", str(city), "--database", conninfo)
    assert done.returncode == 0, done.stderr
    assert "small, seed 7" in done.stdout
    assert "theft_hook" in done.stdout


def test_a_span_takes_its_intervals_events_and_alerts(city: Path, connection: Connection) -> None:
    score = score_truth(connection, city, at(36 * HOUR), at(48 * HOUR))
    assert (score.truth.from_, score.truth.to) == ("2026-11-21T12:00:00Z", "2026-11-22T00:00:00Z")
    assert [u.error.intervals for u in score.units] == [48, 48, 48]
    assert [u.error.computable for u in score.units] == [48, 0, 0]
    assert score.detection.alerts == 0
    assert score.detection.area.recall.events == 1
    with pytest.raises(ScoreError, match="the truth goes from 2026-11-20T00:00:00Z to 2026-11-22T00:00:00Z"):
        score_truth(connection, city, at(72 * HOUR))


def test_accounts_and_meters_are_placed_by_the_database_without_associations(
    connection: Connection, tmp_path: Path
) -> None:
    events = [
        Event(BEGIN_S, 1, EventKind.METER_STOPPED, "A2-m1", None, 1.0),
        Event(BEGIN_S, 2, EventKind.ACCOUNT_CLOSED, "A1-account2", None, 1.0),
    ]
    ((a1,), (a2,)) = connection.execute("select unit_id from grid.unit where code in ('A1', 'A2') order by code")
    for number, unit in enumerate((a1, a2)):
        open_alerts(connection, [NewAlert(f"x:{number}", "high_loss", "warning", unit, at(HOUR), {})], "a test")
    score = score_truth(connection, write_truth(tmp_path / "t", events, with_associations=False))
    assert score.detection.area.by_kind["meter_stopped"].found == 1
    false = score.detection.false_alarms
    assert (false.alarms, false.during_operation, false.by_kind["account_closed"]["alarmed"]) == (1, 1, 1)
    assert score.association.unit.reason == "the truth has no associations.parquet"


def test_it_reads_in_pieces_and_changes_nothing(
    city: Path, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = score_truth(connection, city)
    monkeypatch.setattr("twin.truth_files.GROUP", 50)
    pieces = write_truth(tmp_path / "pieces", EVENTS, loss_wh=(2_000.0, 300.0, 200.0))
    assert score_truth(connection, pieces) == whole


def test_what_is_wrong_is_one_line(city: Path, conninfo: str, connection: Connection, tmp_path: Path) -> None:
    foreign = write_truth(tmp_path / "foreign", units=("X1", "X2", "X3"))
    for arguments, code, text in (
        (("--truth", str(foreign), "--database", conninfo), 1, "knows none of the 3 units of the truth, such as X1"),
        (("--truth", str(tmp_path), "--database", conninfo), 1, "is no truth folder"),
        (("--truth", str(tmp_path / "nowhere"), "--database", conninfo), 1, "there is no folder"),
        (("--truth", str(city), "--database", conninfo, "--k", "none"), 2, "--k: not numbers"),
        (
            ("--truth", str(city), "--database", conninfo, "--from", "2026-11-21", "--to", "2026-11-20"),
            2,
            "isn't before",
        ),
        (("--truth", str(city), "--database", "host=127.0.0.1 port=1"), 1, "the database can't be used"),
        (("--truth", str(city), "--config", "nowhere.toml"), 1, "no configuration"),
        (("--truth", str(city), "--database", "./city-db"), 2, "--database: no connection string"),
        (("--truth", str(city), "--embedded", str(tmp_path)), 1, "is no embedded database"),
        (("--truth", str(city), "--embedded", "a", "--database", conninfo), 2, "exclude each other"),
    ):
        done = meterline(*arguments)
        assert (done.returncode, done.stdout, text in done.stderr) == (code, "", True), done.stderr
        assert done.stderr.count("\n") == 1


def test_some_units_may_be_unknown(connection: Connection, tmp_path: Path) -> None:
    score = score_truth(connection, write_truth(tmp_path / "t", units=("A1", "X2", "F1")))
    assert list(score.loss) == ["area", "feeder", "unknown"]
    assert [u.kind for u in score.units] == ["area", "feeder", None]


def test_an_alert_of_a_meter_finds_its_event_by_name(city: Path, connection: Connection) -> None:
    ((a2,),) = connection.execute("select unit_id from grid.unit where code = 'A2'").fetchall()
    assert score_truth(connection, city).detection.entity.recall.left_out == 1
    theft = NewAlert("u", "theft", "warning", a2, at(41 * HOUR), {"expected_wh": 70}, meter="A2-m2")
    open_alerts(connection, [theft], "a test")
    entity = score_truth(connection, city).detection.entity
    assert (entity.recall.events, entity.recall.left_out, entity.recall.found) == (2, 0, 2)
    assert entity.by_kind["theft_bypass"].delay_median_s == HOUR
    # Of three alerts two are of the entity itself: the hook's area and the bypass's meter.
    assert [(p.of, p.right, p.reason) for p in entity.precision_at] == [(3, 2, None), (3, 2, None)]


def test_doubted_records_are_what_the_system_concluded(city: Path, connection: Connection) -> None:
    reason = "no record was compared, see meterline usage associate"
    assert score_truth(connection, city).association.unit.reason == reason
    ids: dict[str, int] = dict(connection.execute("select code, unit_id from grid.unit").fetchall())
    connection.execute(
        "insert into usage.association (unit_id, through, meters, doubted) values (%s, '2026-11-21', 2, 2)", [ids["A2"]]
    )
    compared = score_truth(connection, city).association
    assert (compared.unit.concluded, compared.unit.reason) == (0, "nothing was concluded")

    def doubt(meter: str, opened: int, evidence: dict[str, Any], ended: datetime | None = None) -> None:
        values = FindingValues(0.95, at(0), at(opened), at(opened), ended, 0, None, ["x"], evidence)
        add_finding(connection, ids["A2"], meter, "wrong_record", "records", values)

    doubt("A1-m2", 20 * HOUR, {"voltage": {"found_area": "A2", "found_phase": "C"}}, at(25 * HOUR))
    doubt("A1-m2", 30 * HOUR, {"voltage": {"found_area": "A1", "found_phase": "B"}, "repair": {"left": 0.1}})
    doubt("A2-m1", 30 * HOUR, {"repair": {"found_area": "A1"}})
    doubt("A1-m1", 80 * HOUR, {"voltage": {"found_area": "A2", "found_phase": "C"}})  # of another time
    found = score_truth(connection, city).association
    unit, phase = found.unit, found.phase
    assert (unit.concluded, unit.concluded_right, unit.corrected, unit.spoilt) == (2, 1, 1, 1)
    assert (phase.concluded, phase.corrected, phase.spoilt) == (1, 1, 0)
    assert found.multiplier.reason == "nothing was concluded"


def test_alerts_say_which_meter_and_how_much(connection: Connection) -> None:
    ids: dict[str, int] = dict(connection.execute("select code, unit_id from grid.unit").fetchall())
    alerts = [
        NewAlert("a", "theft_bypass", "warning", ids["A1"], at(0), {"expected_wh": 70}, meter="A1-m1"),
        NewAlert("b", "high_loss", "critical", ids["A2"], at(1), {"loss_wh": -9}),
    ]
    open_alerts(connection, alerts, "a test")
    found = [(a.unit, a.meter, a.severity, a.size_wh) for a in read_alerts(connection, at(0), at(1))]
    assert found == [("A1", "A1-m1", "warning", 70), ("A2", None, "critical", 9)]
