from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path

import pytest

from tests.unit.twin_grid import one_feeder
from twin.gateway import BrokerError
from twin.publisher import schedule, simulate
from twin.scenario import Interval
from twin.sending import ScenarioClock

NOW = datetime(2026, 11, 22, 2, 22, 31, tzinfo=UTC)


def test_a_day_is_filled_and_then_it_goes_on_by_minutes() -> None:
    intervals = list(islice(schedule(NOW.timestamp()), 96 + 8))
    fill, live = intervals[:96], intervals[96:]
    assert fill[0].observed_at == datetime(2026, 11, 21, 2, 30, tzinfo=UTC)
    assert fill[-1].observed_at == datetime(2026, 11, 22, 2, 15, tzinfo=UTC)
    assert {i.length_s for i in fill} == {900}
    assert live[0].observed_at == datetime(2026, 11, 22, 2, 16, tzinfo=UTC)
    assert {i.length_s for i in live} == {60}
    starts = [i.end_s - i.length_s for i in intervals]
    assert starts[1:] == [i.end_s for i in intervals[:-1]]


def test_a_live_interval_divides_a_quarter_hour() -> None:
    with pytest.raises(ValueError, match="not 3600"):
        schedule(0.0, live_interval_s=3600)


def test_takes_up_where_an_earlier_run_has_left_off() -> None:
    quarter = int(NOW.timestamp()) // 900 * 900
    # The earlier run went live and ended 7 minutes into a quarter-hour, two hours ago.
    since = quarter - 7_200 + 420
    intervals = list(islice(schedule(NOW.timestamp(), since_s=since), 8 + 7 + 3))
    assert intervals[0] == Interval(since + 60, 60)
    assert [i.length_s for i in intervals] == [60] * 8 + [900] * 7 + [60] * 3
    assert all(b.end_s - b.length_s == a.end_s for a, b in pairwise(intervals))
    assert intervals[14].end_s == quarter
    # Nothing to fill when it ended within this quarter-hour, and all of the day when it is long ago.
    assert next(iter(schedule(NOW.timestamp(), since_s=quarter + 60))) == Interval(quarter + 120, 60)
    assert next(iter(schedule(NOW.timestamp(), since_s=quarter - 400_000))) == Interval(quarter - 86_400 + 900, 900)


def test_a_faster_scenario_never_passes_the_wall_clock() -> None:
    wall = [NOW]
    start_s = NOW.timestamp()
    clock = ScenarioClock(lambda: wall[0], start_s, start_s - 9 * 60, speed=10.0)
    assert clock() == start_s - 540
    wall[0] = NOW + timedelta(seconds=30)
    assert clock() == start_s - 240
    wall[0] = NOW + timedelta(seconds=60)
    assert clock() == start_s + 60
    wall[0] = NOW + timedelta(seconds=90)
    assert clock() == start_s + 90


def test_a_missing_password_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"rtu-MV1\.101"):
        simulate(one_feeder(), host="127.0.0.1", port=1, credentials={"headend-MV1.101": "x"}, ledger_dir=tmp_path)


def test_no_broker_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    accounts = {unit.gateway: "x" for unit in one_feeder().units}
    with pytest.raises(BrokerError, match=f"no broker at 127.0.0.1:{port}"):
        simulate(one_feeder(), host="127.0.0.1", port=port, credentials=accounts, ledger_dir=tmp_path)
