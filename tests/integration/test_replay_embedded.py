"""Replay into the embedded database: no other server is needed."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from grid.loss_rules import LossRules
from grid.model import UnitKind
from grid.points import Point, PointKind
from grid.quality import COUNTED, NO_PRECEDENCE
from grid.rows import NEVER_US
from grid.thresholds import Threshold
from meterline.embedded import embedded_database
from meterline.model_file import write_model
from meterline.replaying import ReplayOptions, Span, provide_model, replay, target_database
from store.connection import Connection, connect
from store.points import load_points
from store.thresholds import add_threshold, newest_threshold, read_thresholds
from sync.change import apply_change, read_change
from tests.replay_day import Sent, a_day, microseconds, readings_of, results, write_log
from tests.small_grid import small_model
from tests.truth_folder import write_truth

START = datetime(2026, 6, 1, tzinfo=UTC)
UNTIL = START + timedelta(days=5)
DAY = a_day(START, 24)

Open = Callable[[], Connection]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below pytest's own folder: a server that root starts runs as another user, who can't pass there."""
    with tempfile.TemporaryDirectory(prefix="meterline-test-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="meterline-test-") as name, embedded_database(Path(name) / "data") as it:
        yield it


@pytest.fixture(scope="module")
def template(server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a database with our tables and the small grid."""
    with connect(server, "test") as admin:
        admin.autocommit = True
        admin.execute("create database template_small")
    model = tmp_path_factory.mktemp("model") / "model.json"
    write_model(model, small_model())
    with target_database(f"{server} dbname=template_small", None, lambda: "") as open_target:
        assert provide_model(open_target, model, None) == "file"
    return "template_small"


@pytest.fixture
def make_target(server: str, template: str) -> Iterator[Callable[[], Open]]:
    """Makes databases with the small grid."""
    made: list[str] = []

    def make() -> Open:
        made.append(f"test_{len(made)}")
        with connect(server, "test") as admin:
            admin.autocommit = True
            admin.execute(f"create database {made[-1]} template {template}")
        return partial(connect, f"{server} dbname={made[-1]}", "test")

    yield make
    with connect(server, "test") as admin:
        admin.autocommit = True
        for name in made:
            admin.execute(f"drop database {name} with (force)")


def all_of(open_one: Open) -> dict[str, list[Any]]:
    with open_one() as connection:
        return results(connection)


def rejected(open_one: Open) -> list[tuple[str, str]]:
    with open_one() as connection:
        return connection.execute("select reason, detail from telemetry.rejected order by 1, 2").fetchall()


def test_every_form_of_the_same_messages_gives_the_same_rows(make_target: Callable[[], Open], tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.parquet", DAY)
    readings = readings_of(DAY)
    pq.write_table(readings, tmp_path / "readings.parquet", row_group_size=50)
    pyarrow.csv.write_csv(readings, tmp_path / "readings.csv")
    backwards = write_log(tmp_path / "backwards.parquet", reversed(DAY))
    targets = []
    for number, (path, sort) in enumerate(
        [
            (log, False),
            (tmp_path / "readings.parquet", False),
            (tmp_path / "readings.csv", False),
            (backwards, True),
            (backwards, False),
        ]
    ):
        targets.append(make_target())
        options = ReplayOptions(files=(path,), sort=sort, until=UNTIL, batch=(7, 1, 50, 11, 1_000)[number])
        report = replay(options, targets[-1])
        assert report.complete
        assert (report.messages, report.readings, report.rejected) == (len(DAY), len(readings), 0)
    first, *others = map(all_of, targets)
    assert {table: len(rows) for table, rows in first.items()} == {
        "telemetry.block": 96,
        "loss.balance": 96,
        "loss.superseded": len(first["loss.superseded"]),
    }
    assert len(first["loss.superseded"]) > 20
    for other in others:
        assert other == first


def test_the_same_again_writes_nothing(make_target: Callable[[], Open], tmp_path: Path) -> None:
    target = make_target()
    options = ReplayOptions(files=(write_log(tmp_path / "log.parquet", DAY),), until=UNTIL)
    first = replay(options, target)
    once = all_of(target)
    again = replay(options, target)
    assert (first.rows > 96, again.rows, again.revisions) == (True, 0, 0)
    assert all_of(target) == once


def test_one_that_was_stopped_goes_on(make_target: Callable[[], Open], tmp_path: Path) -> None:
    whole, stopped = make_target(), make_target()
    options = ReplayOptions(files=(write_log(tmp_path / "log.parquet", DAY),), until=UNTIL, batch=10)
    replay(options, whole)
    asked = iter(range(100))
    report = replay(options, stopped, stopped=lambda: next(asked) == 4)
    assert (report.complete, report.messages, report.until) == (False, 40, None)
    assert replay(options, stopped).complete
    assert all_of(stopped) == all_of(whole)


def said_by(precedence: list[int], received_us: list[int]) -> list[tuple[int, int]]:
    """By what values stand: an energy from registers that took the place of an estimate is like one that didn't."""
    pairs = zip(precedence, received_us, strict=True)
    return [(NO_PRECEDENCE, NEVER_US) if p == COUNTED else (p, at) for p, at in pairs]


def test_stored_blocks_say_again_what_they_hold(make_target: Callable[[], Open], tmp_path: Path) -> None:
    source, target = make_target(), make_target()
    replay(ReplayOptions(files=(write_log(tmp_path / "log.parquet", DAY),), until=UNTIL), source)
    span = Span(START, START + timedelta(hours=6))
    assert replay(ReplayOptions(span=span, until=UNTIL), target, source).complete
    # What was published of values that were corrected later can't be told from what is stored.
    later = {"version", "received_at", "revision", "status", "published_at", "due_at", "precedence", "received_us"}
    for table in ("telemetry.block", "loss.balance"):
        told, again = (
            [{k: v for k, v in row.items() if k not in later} for row in all_of(one)[table]] for one in (source, target)
        )
        assert [without_final(row) for row in told] == [without_final(row) for row in again]
    areas = "select precedence, received_us from telemetry.block where unit_id > 2 order by unit_id, observed_at"
    with source() as one, target() as other:
        told_rows, again_rows = ([said_by(*row) for row in c.execute(areas).fetchall()] for c in (one, other))
        assert told_rows == again_rows


def without_final(row: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in row.items() if k != "final_us"}


def test_a_part_of_a_span_has_its_first_energies(make_target: Callable[[], Open], tmp_path: Path) -> None:
    source, target = make_target(), make_target()
    replay(ReplayOptions(files=(write_log(tmp_path / "log.parquet", DAY),), until=UNTIL), source)
    span = Span(START + timedelta(hours=2), START + timedelta(hours=3), ("A2",))
    replay(ReplayOptions(span=span, until=UNTIL), target, source)
    query = (
        "select observed_at, inflow_wh, outflow_wh from loss.balance join grid.unit using (unit_id)"
        " where code = 'A2' and observed_at > %s and observed_at <= %s order by 1"
    )
    with source() as one, target() as other:
        expected = one.execute(query, [span.from_, span.to]).fetchall()
        assert len(expected) == 4
        assert other.execute(query, [span.from_, span.to]).fetchall() == expected


def test_bad_rows_are_rejected_alone_with_their_reason(make_target: Callable[[], Open], tmp_path: Path) -> None:
    good = "headend,A1,{},2026-06-01T00:15:00Z,900,{},2026-06-01T00:15:05Z,{}\n"
    text = "gateway,unit,meter,observed_at,interval_s,sequence,received_at,import_wh\n"
    text += good.format("A1-master", 1, 100) + good.format("A1-m1", 1, "x") + good.format("A1-m1", 1, 2_900)
    text += good.format("A1-m2", 1, -5) + "too,few\n"
    text += good.format("A1-m2", 2, 3_000).replace("15:05Z", "15:06Z")
    text += good.format("A1-m2", 2, 3_000).replace("headend", "rtu")
    text += good.format("A1-m2", 2, 3_000).replace("00:15:00Z", "00:16:00Z")
    text += good.format("stranger", 3, 1).replace("15:05Z", "15:07Z")
    (tmp_path / "bad.csv").write_text(text)
    target = make_target()
    report = replay(ReplayOptions(files=(tmp_path / "bad.csv",), until=UNTIL), target)
    assert report.rejected == 6
    assert [reason for reason, _ in rejected(target)] == [
        "invalid_field",
        "invalid_field",
        "negative_energy",
        "not_senders_unit",
        "time_not_aligned",
        "unknown_meter",
    ]
    with target() as connection:
        query = (
            "select inflow_wh, outflow_wh, loss_wh from loss.balance join grid.unit using (unit_id) where code = 'A1'"
        )
        assert connection.execute(query).fetchall() == [(6_000, 5_900, 100)]


def test_a_day_between_local_midnights_is_taken_as_live(make_target: Callable[[], Open], tmp_path: Path) -> None:
    text = "gateway,unit,meter,observed_at,interval_s,sequence,received_at,register_import_wh\n"
    for day, (master, first, second) in enumerate([(100, 1_000, 2_000), (200, 3_900, 5_000)], 1):
        for meter, register in (("A1-master", master), ("A1-m1", first), ("A1-m2", second)):
            at = f"2026-06-0{day}T00:00:00+08:00,86400,{day},2026-06-0{day}T00:10:00+08:00"
            text += f"headend,A1,{meter},{at},{register}\n"
    (tmp_path / "days.csv").write_text(text)
    here, elsewhere = make_target(), make_target()
    options = ReplayOptions(files=(tmp_path / "days.csv",), until=UNTIL)
    local = replace(options, rules=LossRules(zone=ZoneInfo("Asia/Shanghai")))
    assert (replay(local, here).rejected, replay(options, elsewhere).rejected) == (0, 2)
    assert [reason for reason, _ in rejected(elsewhere)] == ["time_not_aligned"] * 2
    with here() as connection:
        days = "select observed_at, loss_wh from loss.balance join grid.unit using (unit_id) where computable"
        assert connection.execute(days).fetchall() == [(datetime(2026, 6, 1, 16, tzinfo=UTC), 100)]


def test_points_of_a_log_go_the_way_of_points(make_target: Callable[[], Open], tmp_path: Path) -> None:
    fields = {"sequence": 1, "observed_at": [START.isoformat()], "point": ["nowhere"], "value": [1.0]}
    sent = [Sent("meterline/v1/rtu/points/F1", json.dumps(fields).encode(), START), Sent("a/b", b"{}", START)]
    target = make_target()
    report = replay(ReplayOptions(files=(write_log(tmp_path / "log.parquet", sent),), until=UNTIL), target)
    assert report.rejected == 2
    assert [reason for reason, _ in rejected(target)] == ["bad_topic", "unknown_point"]


def test_the_model_as_it_was_known(make_target: Callable[[], Open], tmp_path: Path) -> None:
    now, then = make_target(), make_target()
    known_at = None
    for one in (now, then):
        with one() as connection:
            known_at = connection.execute("select now()").fetchone()
            connection.commit()
            # Later it is found that the master's multiplier was 50 and not 60.
            connection.execute(
                "with gone as (update grid.member set recorded = tstzrange(lower(recorded), now())"
                " where meter = 'A1-master' returning *)"
                " insert into grid.member (unit_id, position, meter, role, multiplier, valid)"
                " select unit_id, position, meter, role, 50, valid from gone"
            )
    assert known_at is not None
    log = write_log(tmp_path / "log.parquet", DAY)
    for one, at in ((now, None), (then, known_at[0] - timedelta(microseconds=1))):
        replay(ReplayOptions(files=(log,), until=UNTIL, known_at=at), one)
    query = "select sum(inflow_wh) from loss.balance join grid.unit using (unit_id) where code = 'A1' and computable"
    with now() as of_now, then() as of_then:
        ((fifty,),), ((sixty,),) = of_now.execute(query).fetchall(), of_then.execute(query).fetchall()
    assert fifty * 60 == sixty * 50


def test_a_copied_model_brings_the_recorded_thresholds(
    make_target: Callable[[], Open], server: str, tmp_path: Path
) -> None:
    source = make_target()
    with source() as connection:
        for low_rate, high_rate in ((-0.3, 0.3), (-0.01, 0.002)):
            threshold = Threshold(UnitKind.AREA, low_rate, high_rate, 0.0, microseconds(START))
            add_threshold(connection, threshold, "Li", "trial")
    with connect(server, "test") as admin:
        admin.autocommit = True
        admin.execute("create database test_bare")
    try:
        with target_database(f"{server} dbname=test_bare", None, lambda: "") as target:
            assert provide_model(target, None, source) == "source"
            options = ReplayOptions(files=(write_log(tmp_path / "log.parquet", a_day(START, 4)),), until=UNTIL)
            for one in (source, target):
                replay(options, one)
            with source() as connection, target() as other:
                assert read_thresholds(other) == read_thresholds(connection)
                # The numbers go on, so that what is recorded next is newer than these.
                add_threshold(other, Threshold(UnitKind.AREA, -0.1, 0.1, 0.0, microseconds(START)), "Li", "trial")
                assert newest_threshold(other) == 3
            assert all_of(source) == all_of(target)
            assert "high" in {row["class"] for row in all_of(target)["loss.balance"]}
    finally:
        with connect(server, "test") as admin:
            admin.autocommit = True
            admin.execute("drop database test_bare with (force)")


def test_stand_ins_are_as_long_as_the_settings_say(make_target: Callable[[], Open], tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.parquet", power(range(-5, 31, 5), 100.0))
    query = "select interval_s, count(*) from telemetry.block group by 1"
    for options, rows in (
        (ReplayOptions(files=(log,), until=UNTIL), [(900, 2)]),
        (ReplayOptions(files=(log,), until=UNTIL, stand_in_interval_s=300), [(300, 7)]),
    ):
        target = make_target()
        know_power(target)
        replay(options, target)
        with target() as connection:
            assert connection.execute(query).fetchall() == rows


def power(minutes: Iterable[int], kilowatts: float) -> Iterator[Sent]:
    """Messages of the point at F1's head, by minutes after the beginning."""
    for n, minute in enumerate(minutes):
        at = START + timedelta(minutes=minute)
        fields = {"sequence": n, "observed_at": [at.isoformat()], "point": ["F1-P"], "value": [kilowatts]}
        yield Sent("meterline/v1/rtu/points/F1", json.dumps(fields).encode(), at + timedelta(seconds=1))


def know_power(open_one: Open) -> None:
    with open_one() as connection:
        load_points(connection, [Point("F1-P", "F1", PointKind.ACTIVE_POWER, "kW", cycle_s=300, meter="F1-head")])


def report(open_one: Open, **change: Any) -> None:
    with open_one() as connection:
        connection.autocommit = True
        change["valid_from"] = change["valid_from"].isoformat()
        assert apply_change(connection, read_change(json.dumps(change).encode())).outbox_id is not None


def test_who_else_had_a_meter_and_what_power_comes_to_are_as_they_were_known(
    make_target: Callable[[], Open], tmp_path: Path
) -> None:
    as_then, of_then = make_target(), make_target()
    for one in (of_then, as_then):
        know_power(one)
        report(one, kind="meter_move", meter="A1-m1", unit="A2", valid_from=START + timedelta(minutes=20))
    with as_then() as connection:
        known = connection.execute("select clock_timestamp()").fetchone()
    assert known is not None
    # Later it is found that the meter never left its area, and that the head's multiplier is another.
    report(as_then, kind="meter_move", meter="A1-m1", unit="A1", valid_from=START + timedelta(minutes=20))
    report(as_then, kind="meter_multiplier", meter="F1-head", multiplier=80, valid_from=START - timedelta(days=1))
    day = [sent for sent in a_day(START, 4) if not sent.topic.endswith("/F1")]
    day = sorted([*day, *power(range(-5, 66, 5), 100.0)], key=lambda s: s.received_at)
    options = ReplayOptions(files=(write_log(tmp_path / "log.parquet", day),), until=UNTIL)
    replay(replace(options, known_at=known[0]), as_then)
    replay(options, of_then)
    heads = "select outflow_wh from loss.balance join grid.unit using (unit_id) where code = 'F1' and computable"
    with of_then() as connection:
        assert len(connection.execute(heads).fetchall()) >= 3
    assert all_of(as_then) == all_of(of_then)


def meterline(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "meterline", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=100,
        check=False,
    )


def test_the_command_needs_no_configuration(folder: Path) -> None:
    write_model(folder / "grid.json", small_model())
    write_log(folder / "june.parquet", DAY)
    arguments = ("replay", "june.parquet", "--model", "grid.json", "--embedded", "june-db", "--json")
    first, again = (meterline(*arguments, cwd=folder) for _ in range(2))
    assert (first.returncode, again.returncode) == (0, 0), first.stderr
    report = json.loads(first.stdout)
    assert (report["complete"], report["messages"], report["rejected"]) == (True, len(DAY), 0)
    assert json.loads(again.stdout)["rows"] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 2, "name either files or a span"),
        (["a.csv", "--from", "2026-06-01T00:00:00Z"], 2, "name either files or a span"),
        (["--from", "2026-06-01"], 2, "must say its time zone"),
        (["missing.parquet", "--embedded", "db", "--model", "grid.json"], 1, "missing.parquet"),
        (["text.csv", "--embedded", "db", "--model", "grid.json"], 1, "it has no column gateway"),
        (["text.csv", "--embedded", "db"], 1, "name one with --model"),
        (["text.csv", "--embedded", ".", "--model", "grid.json"], 1, "holds something else"),
        (["text.csv", "--embedded", "db", "--model", "text.csv"], 1, "holds no grid model"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(folder: Path, arguments: list[str], code: int, text: str) -> None:
    write_model(folder / "grid.json", small_model())
    (folder / "text.csv").write_text("a,b\n1,2\n")
    done = meterline("replay", *arguments, cwd=folder)
    assert (done.returncode, text in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_what_a_replay_wrote_is_scored_there(folder: Path) -> None:
    truth = write_truth(folder / "truth")
    with target_database(None, folder / "data", lambda: "") as open_target:
        model = folder / "model.json"
        write_model(model, small_model())
        assert provide_model(open_target, model, None) == "file"
    command = [sys.executable, "-m", "meterline", "score", "--truth", str(truth), "--json"]
    done = subprocess.run(
        [*command, "--embedded", str(folder / "data")], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["loss"]["kinds"]["area"]["intervals"] == 384
