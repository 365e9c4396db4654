"""A board in the terminal: a screen that it fits, what failed, and what stays when the database is away."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console
from rich.text import Text

from console.asking import Answer, Asker, AskError
from console.payload import Shown
from console.reading import Look, as_json
from console.terminal import render
from deploy.boards.model import Board
from meterline.top import LiveView
from tests.console_boards import REGION_BOARD

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")


def answer(columns: str, *rows: tuple[Any, ...]) -> Shown:
    found = Answer(tuple(columns.split()), rows, more=False, took_s=0.0)
    return Shown(found, None, NOW.timestamp() - 86_400, NOW.timestamp(), 300.0)


def look_at(areas: int = 3) -> Look:
    hours = [(NOW - timedelta(hours=h), 0.1 / (h + 1), 0, 1, 1) for h in range(24)]
    shown: dict[str, Shown | AskError] = {
        "figures": answer("units rate", (85, 0.0234)),
        "loading": answer("feeder part", ("F1", 0.42), ("F2", 0.97)),
        "voltages": answer("band a b", ("215 V", 1, 2)),
        "change": answer("part from_wh to_wh kind", ("last month", 0.0, 1200.0, "total")),
        "areas": answer("area rate class", *((f"A{n}", n / 100, "high" if n > 10 else "normal") for n in range(areas))),
        "loss": answer("time loss low high most", *hours),
        "supply": answer("time metric power_w", (NOW, "F\x1b[31m1", 5_000.0), (NOW, "F2", 6_000.0)),
        "map": answer("area name class rate", ("A1", "A1", "high", 0.2)),
        "network": answer("id title subtitle state area", ("S", "Node S", "", "normal", "S")),
        "nothing": answer("one"),
        "broken": AskError("the database refused the query (division by zero)"),
    }
    return Look(REGION_BOARD, NOW, {"region": "north"}, shown)


def lines(found: Look, width: int = 80, height: int | None = None) -> list[str]:
    console = Console(width=width, height=height or 400, force_terminal=False)
    with console.capture() as captured:
        console.print(render(found, Text("Board"), ZONE, width, height))
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.mark.parametrize("width", [80, 200])
def test_every_panel_is_there_with_its_figures(width: int) -> None:
    said = "\n".join(lines(look_at(), width))
    for place in REGION_BOARD.places:
        assert place.panel.title in said
    for text in ("85", "2.34 %", "97.0 %", "1.2 kWh", "high", "division by zero", "Nothing was rejected", "10.0 %"):
        assert text in said
    assert "█" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(("width", "height"), [(73, 24), (80, 24), (120, 40), (200, 60), (240, 30), (40, 10)])
def test_a_screen_is_never_overfull_and_rows_do_not_wrap(width: int, height: int) -> None:
    said = lines(look_at(200), width, height)
    assert len(said) <= height
    assert max(map(len, said)) <= width
    assert said[0] == "Board"


def test_rows_that_do_not_fit_are_counted() -> None:
    said = lines(look_at(200), 200)
    assert sum(bool(re.match(r"A\d+ +\d+\.\d %  ", line)) for line in said) == 39
    assert any("and 161 more" in line for line in said)


def test_json_has_the_rows_and_why_there_are_none() -> None:
    found = as_json(look_at())
    assert found["panels"]["figures"] == {"columns": ("units", "rate"), "rows": ((85, 0.0234),), "more": False}
    assert found["panels"]["broken"] == {"trouble": "the database refused the query (division by zero)"}
    assert found["values"] == {"region": "north"}


class Away:
    """Stands for a database that answers, goes away, and comes back."""

    def __init__(self) -> None:
        self.is_away = False

    def ask(self, *_: Any) -> Answer:
        if self.is_away:
            raise AskError("no answer from the database")
        return Answer(("units",), ((7,),), more=False, took_s=0.0)


def test_the_last_figures_stay_while_the_database_is_away() -> None:
    board = Board("test-board", "Test board", "", (replace(REGION_BOARD.places[0]),))
    asker = Away()
    view = LiveView(cast("Asker", asker), board, ZONE, "Ctrl-C ends")
    console = Console(width=200, height=20)
    asker.is_away = True
    assert "no answer" in view.draw(console).plain
    asker.is_away = False
    assert "no answer" not in view.draw(console).plain
    asker.is_away = True
    drawn = view.draw(console).plain
    assert "no answer from the database, last figures" in drawn
    assert "Units 7" in drawn
    asker.is_away = False
    assert "no answer" not in view.draw(console).plain
