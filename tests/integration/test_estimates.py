"""Missing readings on the real database: estimates at the limits, bands, late readings, live and replayed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from grid.topics import ENERGY_UNIT
from meterline.replaying import ReplayOptions, provide_model, replay
from store.connection import Connection, connect
from streams.join import Record
from streams.sweep import Sweeper
from sync.load import load_grid
from tests.integration.conftest import Database
from tests.integration.live.test_replay import LivePath
from tests.replay_day import TABLES, Sent, microseconds, results, write_log
from tests.small_grid import small_model

Open = Callable[[], Connection]
START = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=9)
HOUR_S = 3_600
DAYS = 4

Missing = set[tuple[int, str]]


@pytest.fixture
def live(database: Database) -> Open:
    open_live = partial(connect, database.conninfo("app"), "test")
    with open_live() as connection:
        load_grid(connection, small_model())
    return open_live


class AreasApart(LivePath):
    """Orders for areas go to the processor of areas, those for hours long past too."""

    def sweep(self, until_at: datetime) -> None:
        orders = Sweeper(self._open).orders(microseconds(until_at) + 5_000_000)
        area = [Record(o.topic, o.value) for o in orders if o.topic != ENERGY_UNIT]
        self._process(area, [Record(o.topic, o.value) for o in orders if o.topic == ENERGY_UNIT])


@pytest.fixture
def path(live: Open) -> Iterator[LivePath]:
    made = AreasApart(live)
    yield made
    made.close()


def true_wh(unit: str, hour: int) -> dict[str, int]:
    """What meters counted in an hour: a day's shape with some noise; 4 % are lost in an area, 1 % on the line."""
    chance = random.Random(f"{unit} {hour}")  # noqa: S311  # the same at each run
    shape = 600 + 300 * ((hour % 24) in range(7, 22)) + 500 * ((hour % 24) in range(17, 21))
    if unit.startswith("F"):
        masters = sum(60 * true_wh(area, hour)[f"{area}-master"] for area in ("A1", "A2")) if unit == "F1" else 0
        return {f"{unit}-head": round(masters * 1.01 / 40)}
    sold = {f"{unit}-m{n}": round(10 * shape * chance.uniform(0.8, 1.2)) for n in (1, 2)}
    return {f"{unit}-master": round(sum(sold.values()) * 1.04 / 60), **sold}


def sent(unit: str, hour: int, meters: Sequence[str], after_s: float, channel: str = "import_wh") -> Sent:
    at = START + timedelta(hours=hour + 1)
    values = true_wh(unit, hour)
    fields: dict[str, Any] = {
        "sequence": hour,
        "observed_at": at.isoformat(),
        "interval_s": HOUR_S,
        "meter": list(meters),
        channel: [values[meter] for meter in meters],
    }
    gateway = "rtu" if unit.startswith("F") else "headend"
    payload = json.dumps(fields).encode()
    return Sent(f"meterline/v1/{gateway}/block/{unit}", payload, at + timedelta(seconds=after_s))


def hours_of(missing: Missing, hours: int = DAYS * 24) -> list[Sent]:
    """All messages of all units, without some meters in some hours, in order of receipt."""
    messages = []
    for hour in range(hours):
        for number, unit in enumerate(("A1", "A2", "F1", "F2")):
            meters = [meter for meter in true_wh(unit, hour) if (hour, meter) not in missing]
            if meters:
                messages.append(sent(unit, hour, meters, 10 + number))
    return sorted(messages, key=lambda s: s.received_at)


def drive(path: LivePath, messages: Sequence[Sent], until: datetime) -> None:
    """Batches of what comes within 20 s, each after the orders due before them; later hours by orders alone."""
    at = START
    for _, group in groupby(messages, key=lambda s: int(s.received_at.timestamp()) // 20):
        batch = list(group)
        at = batch[0].received_at
        path.sweep(at)
        path.take(batch)
    while (at := at + timedelta(minutes=30)) < until:
        path.sweep(at)
    path.sweep(until)


def rows(open_one: Open, hour: int) -> dict[str, dict[str, Any]]:
    at = START + timedelta(hours=hour + 1)
    with open_one() as connection:
        found = connection.execute(
            "select u.code, to_jsonb(b) || jsonb_build_object('names', loss.reason_names(b.reasons))"
            " from loss.balance b join grid.unit u using (unit_id) where b.observed_at = %s",
            [at],
        ).fetchall()
    return dict(found)


def true_loss(hour: int) -> int:
    values = true_wh("A1", hour)
    return 60 * values["A1-master"] - values["A1-m1"] - values["A1-m2"]


def test_three_missing_intervals_are_estimated_with_a_band_and_give_way_to_readings(live: Open, path: LivePath) -> None:
    last = DAYS * 24 - 6
    gap = (last - 3, last - 2, last - 1)
    messages = hours_of({(hour, "A1-m1") for hour in gap})
    # At the provisional limits of the gap, before anything of the next hour is there.
    end = START + timedelta(hours=last)
    drive(path, [m for m in messages if m.received_at < end + timedelta(minutes=5)], end + timedelta(minutes=30))
    for hour in gap:
        found = rows(live, hour)
        area, feeder = found["A1"], found["F1"]
        assert (area["computable"], area["status"], area["revision"]) == (True, "provisional", 1)
        assert area["coverage"] == pytest.approx(2 / 3)
        assert "estimated" in area["names"]
        assert "missing_members" not in area["names"]
        assert area["estimated_wh"] > 0
        assert 0 < area["sigma_wh"] < area["inflow_wh"]
        assert abs(area["loss_wh"] - true_loss(hour)) < 4 * area["sigma_wh"]  # the hour is that of the run
        assert (feeder["computable"], feeder["status"]) == (True, "provisional")
        assert abs(feeder["members_loss_wh"] - area["loss_wh"] - found["A2"]["loss_wh"]) == 0
    online = {hour: rows(live, hour)["A1"] for hour in gap}
    rest = [m for m in messages if m.received_at >= end + timedelta(minutes=5)]
    # A day later both sides are known.
    drive(path, rest, START + timedelta(hours=last + 40))
    for hour in gap:
        area = rows(live, hour)["A1"]
        assert (area["computable"], area["status"], area["revision"]) == (True, "final", 2)
        assert area["loss_wh"] != online[hour]["loss_wh"]
        assert abs(area["loss_wh"] - true_loss(hour)) < 4 * area["sigma_wh"]  # the hour is that of the run
    # The reading itself takes the place of its estimate, up to the feeder.
    path.take([sent("A1", gap[1], ["A1-m1"], 30 * HOUR_S)])
    found = rows(live, gap[1])
    assert (found["A1"]["loss_wh"], found["A1"]["coverage"]) == (true_loss(gap[1]), 1.0)
    assert (found["A1"]["status"], found["A1"]["estimated_wh"]) == ("restated", 0)
    assert found["F1"]["members_loss_wh"] == found["A1"]["loss_wh"] + found["A2"]["loss_wh"]
    assert found["F1"]["status"] == "restated"


def test_a_missing_gateway_is_estimated_but_no_class_is_told(live: Open, path: LivePath) -> None:
    last = DAYS * 24 - 6
    messages = [
        m for m in hours_of({(last - 1, "A1-master")}) if m.received_at < START + timedelta(hours=last, minutes=5)
    ]
    drive(path, messages, START + timedelta(hours=last, minutes=30))
    found = rows(live, last - 1)
    assert found["A1"]["computable"]
    assert found["F1"]["computable"]
    assert {"estimated", "missing_gateway"} <= set(found["A1"]["names"])
    assert found["A1"]["class"] == "not_computable"


def test_a_meter_without_history_stays_missing(live: Open, path: LivePath) -> None:
    messages = hours_of({(h, "A1-m1") for h in range(60)}, 60)
    drive(path, messages, START + timedelta(hours=90))
    assert [rows(live, hour)["A1"]["computable"] for hour in (30, 55)] == [False, False]


def test_gaps_give_the_same_rows_live_and_replayed(
    live: Open, path: LivePath, database: Database, make_database: Callable[[], Database], tmp_path: Path
) -> None:
    chance = random.Random(5)  # noqa: S311
    every = [(hour, meter) for hour in range(DAYS * 24) for unit in ("A1", "A2") for meter in true_wh(unit, hour)]
    missing = {one for one in every if chance.random() < 0.15}
    messages = hours_of(missing)
    # Some come late: after the provisional limit, or after the final one.
    for hour, meter in chance.sample(sorted(missing), 15):
        messages.append(sent(meter[:2], hour, [meter], chance.choice([400, 3_000, 30_000, 91_000])))
    messages.sort(key=lambda s: s.received_at)
    until = START + timedelta(days=7)
    drive(path, messages, until)
    target = partial(connect, make_database().conninfo("owner"), "test")
    assert provide_model(target, None, live) == "source"
    report = replay(ReplayOptions(files=(write_log(tmp_path / "log.parquet", messages),), until=until), target)
    assert report.rejected == 0
    with live() as one, target() as other:
        expected, found = results(one), results(other)
    estimated = [row for row in expected["loss.balance"] if row["estimated_wh"] > 0]
    assert len(estimated) > 30
    for table in TABLES:
        assert found[table] == expected[table], table


def test_daily_registers_make_the_sum_exact(live: Open, path: LivePath) -> None:
    day = DAYS - 1
    missing = {(day * 24 + hour, "A1-m1") for hour in (2, 9, 10, 11, 12, 18, 23)}
    messages = hours_of(missing)
    # The total is not what the hours would give: the meter's last day was other than its history.
    total = 3 * sum(true_wh("A1", hour)["A1-m1"] for hour in range(day * 24, day * 24 + 24))
    at = START + timedelta(days=DAYS)
    fields = {"sequence": 1, "observed_at": at.isoformat(), "interval_s": 86_400, "meter": ["A1-m1"]}
    payload = json.dumps(fields | {"import_wh": [total]}).encode()
    messages.append(Sent("meterline/v1/headend/block/A1", payload, at + timedelta(minutes=1)))
    drive(path, messages, at + timedelta(hours=30))
    with live() as connection:
        hours = connection.execute(
            "select b.import_wh[m.position + 1], b.sigma_wh[m.position + 1]"
            " from telemetry.block b join grid.member m using (unit_id)"
            " where m.meter = 'A1-m1' and b.interval_s = 3600 and b.observed_at > %s order by b.observed_at",
            [at - timedelta(days=1)],
        ).fetchall()
    assert len(hours) == 24
    assert sum(wh for wh, _ in hours) == total
    assert [sigma or 0 for _, sigma in hours][-1] == 1
