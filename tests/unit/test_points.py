"""Points as they are loaded, the words for their state, and the table that workers hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from grid.arrow import InvalidBlockError
from grid.point_table import KnownPoint, PointTable
from grid.points import Point, PointBatch, PointCause, PointKind, decode_points, encode_points
from meterline.cli_points import state_of
from meterline.points_file import PointsFileError, read_points
from store.points import LastValue
from streams import points as module
from streams.points import TableCache

P = PointKind.ACTIVE_POWER


@pytest.mark.parametrize(
    "wrong",
    [
        {"code": "a/b"},
        {"code": ""},
        {"unit": "#"},
        {"meter": " "},
        {"unit_of_measure": "GW"},
        {"unit_of_measure": "\x1b"},
        {"dead_band": -1.0},
        {"dead_band": float("nan")},
        {"cycle_s": 0},
        {"cycle_s": 3_601},
        {"sign": 0},
        {"kind": PointKind.VOLTAGE, "meter": "m"},
        {"switch": "s"},
    ],
)
def test_a_point_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"code": "p", "unit": "F1", "kind": P, "unit_of_measure": "kW", "dead_band": 1.0}
    Point(**fields)
    with pytest.raises(ValueError, match=r"."):
        Point(**{**fields, **wrong})


def test_reads_points_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "points.json"
    file.write_text(json.dumps([{"code": "a", "unit": "F1", "kind": "P", "unit_of_measure": "MW", "sign": -1}]))
    assert read_points(file) == [Point("a", "F1", P, "MW", sign=-1)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "truncated"),
        ('[{"code": "a"}]', "unit"),
        ('[{"code": "a", "unit": "F1", "kind": "Z"}]', "kind"),
        ('[{"code": "a", "unit": "F1", "kind": "U", "deadband": 1}]', "deadband"),
        ('[{"code": "a", "unit": "F1", "kind": "U", "cycle_s": 0}]', "cycle"),
        ('[{"code": "a", "unit": "F1", "kind": "U"}, {"code": "a", "unit": "F1", "kind": "U"}]', "twice"),
    ],
)
def test_a_file_that_can_t_be_used_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "points.json"
    file.write_text(text)
    with pytest.raises(PointsFileError, match=says):
        read_points(file)


def test_a_file_that_isn_t_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PointsFileError, match="No such file"):
        read_points(tmp_path / "nothing.json")


@pytest.mark.parametrize(
    ("age_s", "quality", "state"),
    [
        (None, None, "silent"),
        (119.0, 0, "good"),
        (121.0, 0, "stale"),
        (1.0, 32, "substituted"),
        (1.0, 128 + 32, "invalid"),
        (1.0, 64, "old"),
        (1.0, 16, "blocked"),
        (1.0, 1, "overflow"),
    ],
)
def test_a_state_is_one_word(age_s: float | None, quality: int | None, state: str) -> None:
    value = LastValue("F1", "p", "P", "kW", 1.0, quality, None, None, age_s, 60, None, None)
    assert state_of(value, 2) == state


def table() -> PointTable:
    return PointTable(
        [
            KnownPoint(5, 1, "rtu", Point("a", "F1", P, "kW", dead_band=2, sign=-1, meter="m", cycle_s=30)),
            KnownPoint(7, 2, "rtu", Point("b", "F2", PointKind.SWITCH, switch="s")),
            KnownPoint(9, 1, "rtu", Point("c", "F1", P, "MW", meter="m")),
        ]
    )


def test_the_table_finds_points_in_their_own_unit_only() -> None:
    codes = pa.array(["c", "b", "x", "a", "a"], pa.string())
    assert table().find(codes, np.array([1, 1, 1, 1, 2], np.int32)).tolist() == [2, -1, -1, 0, -1]
    assert PointTable([]).find(codes, np.zeros(5, np.int32)).tolist() == [-1] * 5


def test_the_table_knows_watts_holds_and_groups() -> None:
    made = table()
    assert made.factor_w[[0, 2]].tolist() == [-1e3, 1e6]
    assert made.dead_band_w[0] == 2_000
    assert made.hold_us[0] == 60_000_000
    assert [(g.unit, g.meter, g.members) for g in made.groups] == [("F1", "m", (0, 2))]
    assert made.group.tolist() == [0, -1, 0]


def encoded(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "unit": "F1",
        "gateway": "rtu",
        "received_at_us": 1,
        "sequence": 1,
        "cause": PointCause.CYCLIC,
        "digest": -5,
        "codes": pa.array(["a"], pa.string()),
        "observed_at_us": np.array([1]),
        "value": np.array([1.0]),
        "quality": np.zeros(1, np.uint8),
    }
    return encode_points(PointBatch(**{**fields, **changes}))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        encoded(unit="a\nb"),
        encoded(cause=2),
        encoded(codes=pa.array([None], pa.string())),
        encoded(observed_at_us=np.array([-1])),
        encoded(observed_at_us=np.array([2**62])),
    ],
)
def test_what_is_no_message_of_points_is_refused(data: bytes) -> None:
    decode_points(encoded())
    with pytest.raises(InvalidBlockError):
        decode_points(data)


def test_the_table_is_read_again_when_it_may_be_out_of_date(monkeypatch: pytest.MonkeyPatch) -> None:
    readings: list[float] = []
    now = [100.0]

    def load(_connection: object) -> PointTable:
        readings.append(now[0])
        return table()

    monkeypatch.setattr(module, "load_table", load)
    cache = TableCache(lambda: now[0])
    connection: Any = None
    cache.get(connection)
    cache.drop("A1")  # a unit without points: what is held of the others is right
    cache.get(connection)
    assert len(readings) == 1
    assert cache.miss()  # and yet it may have points by now
    cache.get(connection)
    assert not cache.miss()  # just read
    cache.get(connection)
    assert len(readings) == 2
    now[0] += 6
    assert cache.miss()
    cache.get(connection)
    cache.drop("F1")
    cache.get(connection)
    cache.clear()
    cache.get(connection)
    assert len(readings) == 5


def test_a_table_that_was_read_before_a_change_isn_t_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = TableCache()
    readings: list[None] = []

    def load(_connection: object) -> PointTable:
        readings.append(None)
        if len(readings) == 1:
            cache.drop("F1")
        return table()

    monkeypatch.setattr(module, "load_table", load)
    connection: Any = None
    for _ in range(3):
        cache.get(connection)
    assert len(readings) == 2
