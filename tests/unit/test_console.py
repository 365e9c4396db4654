"""The console's pure parts: ranges, shapes of pictures, numbers in words, what a page is sent."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.asking import Answer
from console.format import cell, colour_of, fitting, write
from console.payload import Shown, describe, payload
from console.shapes import lines_of, plane, tree
from console.window import POINTS, Range, RangeError, span_before, span_of, step_of
from deploy.boards.language import Language, in_language
from deploy.boards.model import Colour, Column, Link, Step, Unit, Word
from deploy.boards.registry import BOARDS
from tests.console_boards import LINES, MAP, NETWORK, REGION_BOARD

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LONGEST = timedelta(days=400)


@pytest.mark.parametrize(
    ("since", "until", "hours"),
    [("now-6h", "now", 6), ("now-2d", "now-1d", 24), ("now-1w", "now", 168), ("2026-11-22T08:00:00+08:00", "now", 12)],
)
def test_a_range_is_read(since: str, until: str, hours: int) -> None:
    window = Range(since, until).at(NOW, LONGEST)
    assert window.until - window.since == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("since", "until", "says"),
    [
        ("now", "now-1h", "before"),
        ("now-1h", "now-1h", "before"),
        ("now-401d", "now", "400 days"),
        ("2026-11-22T08:00:00", "now", "offset"),
        ("0001-01-01T00:00:00+00:00", "now", "offset"),
        ("yesterday", "now", "not a time"),
        ("now-1y", "now", "not a time"),
        ("now-1h; select 1", "now", "not a time"),
        ("now-9999999h", "now", "not a time"),
        ("now-999999w", "now", "too far"),
        ("9999-12-31T23:59:59-14:00", "now", "offset"),
    ],
)
def test_a_range_that_cannot_be_shown_says_why(since: str, until: str, says: str) -> None:
    with pytest.raises(RangeError, match=says):
        Range(since, until).at(NOW, LONGEST)


@given(st.integers(1, 400 * 86_400))
def test_a_picture_has_a_bounded_number_of_points(seconds: int) -> None:
    step = step_of(timedelta(seconds=seconds))
    assert step >= timedelta(minutes=1)
    assert seconds / step.total_seconds() <= POINTS


def test_a_panel_with_a_span_of_its_own() -> None:
    window = span_before("1h", NOW)
    assert (window.since, window.until, window.step) == (NOW - timedelta(hours=1), NOW, timedelta(minutes=1))
    with pytest.raises(RangeError):
        span_of("1 hour")


def answer(columns: str, *rows: tuple[Any, ...]) -> Answer:
    return Answer(tuple(columns.split()), rows, more=False, took_s=0.0)


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def test_lines_by_column_and_by_metric_are_the_same() -> None:
    wide = lines_of(answer("time a b", (at(0), 1.0, 2), (at(1), None, 4)), 60)
    long = lines_of(
        answer("time metric v", (at(0), "a", 1.0), (at(0), "b", 2), (at(1), "b", 4)),
        60,
    )
    assert wide.names == long.names == ("a", "b")
    np.testing.assert_array_equal(wide.values, [[1, np.nan], [2, 4]])
    np.testing.assert_array_equal(wide.values, long.values)
    np.testing.assert_array_equal(wide.times_s, long.times_s)


@pytest.mark.parametrize(("gap_min", "step_s", "is_broken"), [(29, 60, False), (31, 60, True), (150, 3600, False)])
def test_what_stopped_looks_stopped(gap_min: float, step_s: float, is_broken: bool) -> None:
    lines = lines_of(answer("time a", (at(0), 1.0), (at(gap_min), 2.0)), step_s)
    assert bool(np.isnan(lines.values).any()) is is_broken
    assert list(lines.times_s) == sorted(lines.times_s)


def test_lines_need_a_time() -> None:
    with pytest.raises(ValueError, match="time"):
        lines_of(answer("a", (1,)), 60)


def test_a_map_is_true_to_scale_with_north_above() -> None:
    # 1 degree of latitude is as long as 2 of longitude at 60 degrees north.
    plan = plane([10.0, 12.0, None], [60.5, 59.5, 60.0])
    assert plan.x[:2] == (0.0, 1.0)
    assert plan.y[:2] == (0.0, 1.0)
    assert plan.width / plan.height == pytest.approx(1.0, abs=1e-3)
    # What has no place stands in the middle, and nothing at all is no division by zero.
    assert plan.x[2] == pytest.approx(0.5)
    assert plane([], []).x == ()
    assert plane([None], [None]).x == (0.5,)
    assert all(math.isfinite(v) for v in plane([5.0], [5.0]).x)


def test_a_feeder_is_a_straight_line_with_branches_below() -> None:
    plan = tree(["head", "a", "b", "c", "a1", "c1"], [("head", "a"), ("b", "a"), ("b", "c"), ("a", "a1"), ("c", "c1")])
    assert (plan.width, plan.height) == (5, 2)  # head, a, b, c, c1
    assert list(plan.x) == [0, 0.25, 0.5, 0.75, 0.5, 1]
    assert list(plan.y) == [0.25, 0.25, 0.25, 0.25, 0.75, 0.25]


@st.composite
def networks(draw: st.DrawFn) -> tuple[list[str], list[tuple[str, str]]]:
    count = draw(st.integers(0, 30))
    ids = [str(n) for n in range(count)]
    end = st.sampled_from([*ids, "elsewhere"])
    return ids, draw(st.lists(st.tuples(end, end), max_size=60))


@given(networks())
def test_no_two_nodes_of_a_network_stand_in_one_place(network: tuple[list[str], list[tuple[str, str]]]) -> None:
    ids, edges = network
    plan = tree(ids, edges)
    places = list(zip(plan.x, plan.y, strict=True))
    assert len(set(places)) == len(ids)
    assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in places)


def test_a_network_of_a_long_feeder_is_no_recursion() -> None:
    ids = [str(n) for n in range(5_000)]
    assert tree(ids, list(itertools.pairwise(ids))).width == 5_000


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "text"),
    [
        (None, Unit.COUNT, None, "–"),
        (float("nan"), Unit.COUNT, None, "–"),
        (1_234_567, Unit.COUNT, None, "1,234,567"),
        (0.0234, Unit.FRACTION, 2, "2.34 %"),
        (-0.0, Unit.FRACTION, 1, "0.0 %"),
        (-0.0001, Unit.FRACTION, 1, "0.0 %"),
        (-0.05, Unit.FRACTION, 1, "−5.0 %"),
        (950, Unit.ENERGY_WH, None, "950 Wh"),
        (2_468_820.0, Unit.POWER_W, 1, "2.5 MW"),
        (45.2, Unit.SECONDS, None, "45 s"),
        (0.4, Unit.SECONDS, None, "0.4 s"),
        (7_300, Unit.SECONDS, 0, "2 h"),
        (200_000, Unit.SECONDS, 0, "2 d"),
        (2048, Unit.BYTES, None, "2.0 kB"),
        (230.04, Unit.VOLTS, None, "230.0 V"),
        (3_886.4, Unit.PER_MINUTE, None, "3,886 /min"),
        (True, Unit.NONE, None, "yes"),
        (1e300, Unit.NONE, 0, f"{1e300:,.0f}"),
    ],
)
def test_numbers_in_words(value: Any, unit: Unit, decimals: int | None, text: str) -> None:
    assert write(value, unit, decimals) == text


def test_a_cell_has_its_word_its_time_in_the_zone_and_its_colour() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    named = Column("class", "Class", words=(Word("high", "高损", Colour.BAD),))
    assert cell("high", named, zone) == ("高损", Colour.BAD)
    assert cell("else", named, zone) == ("else", Colour.PLAIN)
    assert cell(NOW, named, zone) == ("2026-11-22 20:00", Colour.PLAIN)
    stepped = Column("n", "N", below=Colour.GOOD, steps=(Step(1, Colour.WARNING), Step(5, Colour.BAD)))
    assert [colour_of(v, stepped) for v in (0, 1, 4.9, 5, None)] == [
        Colour.GOOD,
        Colour.WARNING,
        Colour.WARNING,
        Colour.BAD,
        Colour.PLAIN,
    ]


def test_columns_that_say_a_state_are_kept_when_room_is_short() -> None:
    assert fitting([10, 10, 10, 6], [False, False, False, True], 80) == [0, 1, 2, 3]
    assert fitting([10, 10, 10, 6], [False, False, False, True], 30) == [0, 1, 3]
    assert fitting([10, 10], [False, False], 5) == [0]


def shown(found: Answer, edges: Answer | None = None) -> Shown:
    return Shown(found, edges, 0.0, 100.0, 60.0)


def test_a_page_is_sent_numbers_that_json_has() -> None:
    lines = payload(LINES, shown(answer("time loss", (at(0), 0.1), (at(1), None))))
    assert lines["series"] == [{"name": "loss", "values": [0.1, None]}]
    assert lines["times_s"] == [at(0).timestamp(), at(1).timestamp()]
    points = payload(MAP, shown(answer("longitude_deg latitude_deg name", (1.0, 2.0, "a"), (2.0, 3.0, "b"))))
    assert list(points["plan"]["x"]) == [0.0, 1.0]
    ends = answer("id source target", ("e", "S", "F"))
    network = payload(NETWORK, shown(answer("id title", ("S", "s"), ("F", "f")), ends))
    assert list(network["plan"]["x"]) == [0.0, 1.0]
    assert network["edges"]["rows"] == [["e", "S", "F"]]
    for each in (lines, points, network):
        assert "NaN" not in json.dumps(each)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
@pytest.mark.parametrize("language", Language)
def test_a_definition_never_tells_its_sql(board: Any, language: Language) -> None:
    text = json.dumps(describe(in_language(board, language), lambda _: True)).lower()
    assert "select " not in text
    assert "loss.balance" not in text


def test_links_that_lead_nowhere_are_left_out() -> None:
    board = replace(REGION_BOARD, links=(Link("Up", board="test-area"), Link("Alert", path="/alerts/{alert_id}")))
    kept = describe(board, lambda link: link.path is None)
    assert [link["title"] for link in kept["links"]] == ["Up"]
    gone = describe(board, lambda link: link.board != "test-area")
    (table,) = [p["panel"] for p in gone["places"] if p["panel"]["key"] == "areas"]
    assert [column["link"] for column in table["columns"]] == [None, None, None]
