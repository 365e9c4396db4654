"""The live view: ages, what has stopped, what can't be computed, and a screen that it fits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import psycopg
import pytest
from rich.console import Console

from meterline import top
from meterline.top import LiveView, render
from store.connection import Connection
from store.overview import AreaLoss, FeederLoss, Overview

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def feeder(code: str = "F1", age_s: float = 20, interval_s: int = 60, inflow_wh: int = 1_000_000) -> FeederLoss:
    return FeederLoss(code, inflow_wh, 30_000, 40_000, 5_000.0, 96, ago(age_s), interval_s)


def area(code: str = "A1", age_s: float = 20, interval_s: int = 60) -> AreaLoss:
    return AreaLoss(code, 500_000, 110_000, 2_000.0, ago(age_s), interval_s)


OVERVIEW = Overview(
    area_intervals_settled=1_200,
    feeder_intervals_settled=100,
    areas_settled=12,
    feeders_settled=1,
    newest=ago(20),
    recorded_at=ago(18),
    readings_per_s=594.6,
    delay_s=1.44,
    units={"area": 12, "dedicated": 3, "feeder": 1},
    feeders=(feeder(),),
    areas=(area(),),
    alerts=(),
    rejected={},
)


def lines(overview: Overview, width: int = 80, height: int | None = None, **options: Any) -> list[str]:
    console = Console(width=width, height=height or 200, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(render(overview, NOW, width=width, height=height, **options))
    return [line.rstrip() for line in captured.get().splitlines()]


def row(said: list[str], code: str) -> list[str]:
    return next(line for line in said if line.startswith(code)).split()


def test_head_and_rows_show_figures_with_their_age() -> None:
    said = lines(OVERVIEW, note="Ctrl-C ends")
    assert said[0] == "Meterline  2026-11-22 04:00:00 UTC  newest value 20 s old  Ctrl-C ends"
    assert said[1] == "settled in 2 days: 12 of 12 areas (1,200 intervals), 1 of 1 feeders (100)"
    assert said[2] == "last minute: 595 readings/s, settled within 1.4 s"
    assert row(said, "F1") == ["F1", "1,000", "3.00", "0.98", "4.00", "20", "s"]
    assert row(said, "A1") == ["A1", "500", "22.00", "0.78", "20", "s"]
    assert said[-1] == "no open alert, no rejected input"


@pytest.mark.parametrize(
    ("age_s", "interval_s", "shown"),
    [
        (119, 60, "119 s"),
        (299, 60, "5 min"),
        (301, 60, "stale, 5 min"),
        (2_699, 900, "45 min"),
        (2_701, 900, "stale, 45 min"),
        (90_000, 60, "stale, 25.0 h"),
    ],
)
def test_a_value_is_stale_after_three_intervals_and_at_least_five_minutes(
    age_s: float, interval_s: int, shown: str
) -> None:
    feeders, areas = (feeder("F1", age_s, interval_s),), (area("A1", age_s, interval_s),)
    said = lines(replace(OVERVIEW, feeders=feeders, areas=areas))
    assert row(said, "F1")[5:] == shown.split()
    assert row(said, "A1")[4:] == shown.split()


def test_what_cannot_be_computed_shows_no_rate() -> None:
    partial = FeederLoss("F2", 0, 0, 0, 0.0, 96, None, None)
    silent = FeederLoss("F3", 0, 0, 0, 0.0, 0, None, None)
    said = lines(replace(OVERVIEW, feeders=(feeder(), partial, silent)))
    assert row(said, "F2") == ["F2", "not", "computable"]
    assert row(said, "F3") == ["F3", "no", "data"]


def test_a_feeder_without_supply_shows_no_rate() -> None:
    assert row(lines(replace(OVERVIEW, feeders=(feeder("F2", inflow_wh=0),))), "F2") == ["F2", "not", "computable"]


def test_head_tells_a_standstill_from_a_past_that_is_filled() -> None:
    old = replace(OVERVIEW, newest=ago(7_200), recorded_at=ago(7_190), delay_s=None, readings_per_s=0.0)
    said = lines(old)
    assert "stale: newest value 2.0 h old" in said[0]
    assert said[2] == "last minute: nothing was settled"
    assert "filling the past, 2.0 h behind" in lines(replace(old, recorded_at=ago(3)))[0]
    assert "no value yet" in lines(replace(old, newest=None, recorded_at=None))[0]


def test_alerts_and_rejected_input_are_told() -> None:
    said = lines(
        replace(OVERVIEW, alerts=(("A1", "high_loss", "warning", ago(60)),), rejected={"unknown_meter": 1_234})
    )
    assert said[-2:] == [
        "alert: high_loss at A1, warning, since 2026-11-22 03:59 UTC",
        "not taken: unknown_meter, 1,234 times",
    ]


FULL = replace(
    OVERVIEW,
    feeders=tuple(feeder(f"MV{i}.101_Feeder{i}", 90_000) for i in range(40)),
    areas=tuple(area(f"LV{i}.101", 90_000) for i in range(40)),
    alerts=tuple((f"LV{i}.101", "high_loss", "warning", ago(60)) for i in range(40)),
    rejected={"unknown_meter": 3, "bad_topic": 1},
)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 50)])
@pytest.mark.parametrize("overview", [FULL, OVERVIEW, replace(FULL, areas=()), replace(FULL, alerts=())])
def test_a_screen_is_never_overfull_and_rows_do_not_wrap(width: int, height: int, overview: Overview) -> None:
    said = lines(overview, width, height, note="Ctrl-C stops")
    assert len(said) <= height
    assert max(map(len, said)) <= width
    assert not any("stale, 25…" in line for line in said)
    codes = {feeder.code for feeder in overview.feeders} & {line.split(" ")[0] for line in said}
    assert len(codes) >= min(5, len(overview.feeders))
    assert said[-1].startswith(("alert", "not taken", "and ", "no open"))


def test_without_a_height_everything_is_shown() -> None:
    said = lines(FULL)
    assert sum("Feeder" in line for line in said) == 40
    assert said[-1].startswith("not taken")


def test_codes_are_shown_as_they_are_and_cut() -> None:
    said = lines(replace(OVERVIEW, feeders=(feeder("[red]x[/]"), feeder("é" * 64)), areas=(area("a\x1b[31m"),)))
    assert row(said, "[red]x[/]")
    assert row(said, "é" * 23 + "…")
    assert row(said, "a?[31m")


class FakeConnection:
    def close(self) -> None:
        pass


def test_while_the_database_is_away_the_last_figures_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Overview | Exception] = []

    def read(_connection: Connection) -> Overview:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(top, "read_overview", read)
    opened: list[int] = []

    def open_connection() -> Connection:
        opened.append(1)
        return cast("Connection", FakeConnection())

    view = LiveView(open_connection, "Ctrl-C ends")
    console = Console(width=80, height=24)

    def head() -> str:
        with console.capture() as captured:
            console.print(view.draw(console))
        return captured.get()

    answers += [psycopg.OperationalError("down"), OVERVIEW, psycopg.OperationalError("down"), OVERVIEW, OVERVIEW]
    assert head().startswith("no answer from the database")
    assert "no answer" not in head()
    away = head()
    assert "no answer from the database, last figures" in away
    assert "F1" in away
    assert "stale" in away  # the figures are of 2026-11-22, and their age is that of today
    assert "no answer" not in head()
    assert "no answer" not in head()
    assert len(opened) == 3
    view.close()
