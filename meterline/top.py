"""The live view in a terminal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from store.connection import Connection
from store.overview import AreaLoss, FeederLoss, Overview, read_overview

REFRESH_S = 2.0
#: Half the width of a band in standard deviations, as on the board: 95 % of a normal distribution.
BAND = 1.96
#: A value is stale when older than three of its own intervals or this, whichever is more, as on the board.
STALE_S = 300.0
#: Rows that come while their intervals are long past: the past is being filled.
_FRESH_ROW_S = 15.0
#: From this width on the two tables stand side by side.
_WIDE = 150
_CODE_WIDTH = 24
_LEAST_ROWS = 3
_MOST_NOTICES = 4


class LiveView:
    """Draws the overview again and again; while the database is away the last figures stay, and their age grows.

    Parameters
    ----------
    open_connection
        Opens a connection; tried again at each picture while there is none.
    note
        Shown in the head, such as how to end.
    """

    def __init__(self, open_connection: Callable[[], Connection], note: str) -> None:
        self._open = open_connection
        self._note = note
        self._connection: Connection | None = None
        self._overview: Overview | None = None
        self._is_away = False

    def draw(self, console: Console) -> RenderableType:
        """Ask for the figures and draw them in the console's size."""
        self._read()
        if self._overview is None:
            return Text(f"no answer from the database  {self._note}")
        now = datetime.now(UTC)
        return render(
            self._overview, now, self._note, is_away=self._is_away, width=console.width, height=console.height
        )

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read(self) -> None:
        try:
            if self._connection is None:
                self._connection = self._open()
            self._overview = read_overview(self._connection)
            self._is_away = False
        except psycopg.OperationalError:
            self.close()
            self._is_away = True


def show_live(view: LiveView, stop: threading.Event, console: Console, keep_on: Callable[[], bool]) -> None:
    """Draw `view` on the whole screen until `stop` is set or `keep_on` says no."""
    try:
        with Live(view.draw(console), console=console, screen=True, auto_refresh=False) as live:
            while keep_on() and not stop.wait(REFRESH_S):
                live.update(view.draw(console), refresh=True)
    finally:
        view.close()


@dataclass(frozen=True, slots=True)
class _Room:
    """Rows that fit for feeders, for areas, and lines for notices."""

    feeders: int
    areas: int
    notices: int


def render(
    overview: Overview,
    now: datetime,
    note: str = "",
    *,
    is_away: bool = False,
    width: int = 80,
    height: int | None = None,
) -> Group:
    """Draw the overview; each value has its age, and one that has stopped is marked stale.

    Parameters
    ----------
    note
        Shown in the head.
    is_away
        Whether the database no longer answers, so that these are its last figures.
    width, height
        Columns and lines of the screen; without a height as many lines as it takes.
    """
    notices = _notices(overview)
    room = _room(overview, len(notices), width, height)
    feeders = _feeder_table(overview.feeders[: room.feeders], now)
    areas = _area_table(overview.areas[: room.areas], now)
    if width >= _WIDE:
        columns = Table.grid(padding=(0, 4))
        columns.add_row(feeders, areas)
        tables: list[RenderableType] = [columns]
    else:
        tables = [feeders, Text(), areas]
    shown = notices[: room.notices]
    if len(shown) < len(notices):
        shown[-1:] = [Text(f"and {len(notices) - len(shown) + 1} more")]
    return Group(_head(overview, now, note, is_away=is_away), Text(), *tables, Text(), *shown)


def _room(overview: Overview, notices: int, width: int, height: int | None) -> _Room:
    if height is None:
        return _Room(len(overview.feeders), len(overview.areas), notices)
    notices = min(notices, _MOST_NOTICES)
    # The head takes three lines, an empty one follows it and the tables; a table's own head takes two.
    free = height - 5 - notices
    if width >= _WIDE:
        rows = max(_LEAST_ROWS, free - 2)
        return _Room(rows, rows, notices)
    free = max(2 * _LEAST_ROWS, free - 5)
    feeders = min(len(overview.feeders), max(free // 2, free - len(overview.areas)))
    return _Room(feeders, free - feeders, notices)


def _head(overview: Overview, now: datetime, note: str, *, is_away: bool) -> RenderableType:
    away = Text("no answer from the database, last figures", style="bold red")
    newest = away if is_away else Text.assemble(_newest(overview, now), "  ", (note, "dim"))
    first = Text.assemble(("Meterline", "bold"), f"  {now:%Y-%m-%d %H:%M:%S} UTC  ", newest)
    settled = Text(
        f"settled in 2 days: {overview.areas_settled:,} of {overview.units.get('area', 0):,} areas"
        f" ({overview.area_intervals_settled:,} intervals),"
        f" {overview.feeders_settled:,} of {overview.units.get('feeder', 0):,} feeders"
        f" ({overview.feeder_intervals_settled:,})"
    )
    if overview.delay_s is None:
        last = Text("last minute: nothing was settled", style="yellow")
    else:
        last = Text(f"last minute: {overview.readings_per_s:,.0f} readings/s, settled within {overview.delay_s:.1f} s")
    lines = (first, settled, last)
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Group(*lines)


def _newest(overview: Overview, now: datetime) -> Text:
    if overview.newest is None or overview.recorded_at is None:
        return Text("no value yet", style="yellow")
    age_s = (now - overview.newest).total_seconds()
    if age_s <= STALE_S:
        return Text(f"newest value {_duration(age_s)} old", style="green")
    if (now - overview.recorded_at).total_seconds() <= _FRESH_ROW_S:
        return Text(f"filling the past, {_duration(age_s)} behind", style="yellow")
    return Text(f"stale: newest value {_duration(age_s)} old", style="bold red")


def _feeder_table(rows: Iterable[FeederLoss], now: datetime) -> Table:
    table = _table("feeder, last 24 h", "supply kWh", "loss %", "±", "with areas %", "age")
    for row in rows:
        if row.observed_at is None or row.interval_s is None or row.inflow_wh <= 0:
            why = "not computable" if row.intervals else "no data"
            table.add_row(_code(row.code), "", "", "", "", Text(why, style="yellow"))
            continue
        table.add_row(
            _code(row.code),
            f"{row.inflow_wh / 1e3:,.0f}",
            _percent(row.own_loss_wh, row.inflow_wh),
            _percent(BAND * row.sigma_wh, row.inflow_wh),
            _percent(row.loss_with_areas_wh, row.inflow_wh),
            _age(row.observed_at, row.interval_s, now),
        )
    return table


def _area_table(rows: Iterable[AreaLoss], now: datetime) -> Table:
    table = _table("area, worst first", "supply kWh", "loss %", "±", "age")
    for row in rows:
        table.add_row(
            _code(row.code),
            f"{row.inflow_wh / 1e3:,.0f}",
            _percent(row.loss_wh, row.inflow_wh),
            _percent(BAND * row.sigma_wh, row.inflow_wh),
            _age(row.observed_at, row.interval_s, now),
        )
    return table


def _table(name: str, *figures: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    table.add_column(name, no_wrap=True, min_width=len(name))
    for figure in figures:
        table.add_column(figure, no_wrap=True, justify="left" if figure == "age" else "right")
    return table


def _notices(overview: Overview) -> list[Text]:
    lines = [
        Text(f"alert: {kind} at {_plain(code)}, {severity}, since {since:%Y-%m-%d %H:%M} UTC", style="bold red")
        for code, kind, severity, since in overview.alerts
    ]
    lines += [Text(f"not taken: {reason}, {count:,} times") for reason, count in overview.rejected.items()]
    lines = lines or [Text("no open alert, no rejected input", style="dim")]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return lines


def _code(code: str) -> Text:
    text = Text(_plain(code))
    text.truncate(_CODE_WIDTH, overflow="ellipsis")
    return text


def _plain(code: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in code)


def _percent(part: float, whole: int) -> str:
    return f"{100 * part / whole:.2f}"


def _age(at: datetime, interval_s: int, now: datetime) -> Text:
    age_s = max(0.0, (now - at).total_seconds())
    if age_s > max(STALE_S, 3 * interval_s):
        return Text(f"stale, {_duration(age_s)}", style="bold red")
    return Text(_duration(age_s), style="green")


def _duration(seconds: float) -> str:
    seconds = max(0.0, seconds)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
