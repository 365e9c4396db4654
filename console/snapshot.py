"""Boards and panels as pictures for reports: PNG, drawn by matplotlib from what was asked already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.ticker import FuncFormatter, MaxNLocator

from console.asking import AskError
from console.format import cell, colour_of, fitting, shown_columns, write
from console.payload import Shown, edge_ends, values_of
from console.reading import Look
from console.shapes import lines_of, numbers, plane, tree
from deploy.boards.model import ALL, WIDTH, Colour, Column, Panel, Picture

#: Names in Chinese need a font that has them; the first of these that the machine has is used beside the usual one.
FONTS: Final = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "PingFang SC",
)
_DPI: Final = 100
_COLUMN_PX: Final = 80
_ROW_PX: Final = 38
_ROW_OF_TABLE_PX: Final = 19
#: About as wide as a letter of the text is.
_CHARACTER_PX: Final = 6.9
#: Room for the name of a node.
_LABEL_PX: Final = 100
#: matplotlib counts days since 1970.
_DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Paint:
    """Colours of a picture."""

    ground: str
    panel: str
    rule: str
    text: str
    tones: dict[Colour, str]
    lines: tuple[str, ...]


LIGHT: Final = Paint(
    ground="#ffffff",
    panel="#ffffff",
    rule="#d5dbe1",
    text="#1c2733",
    tones={
        Colour.GOOD: "#18794e",
        Colour.WARNING: "#a15c00",
        Colour.BAD: "#c62a21",
        Colour.MUTED: "#5f6b78",
        Colour.PLAIN: "#1c2733",
    },
    lines=("#1f6fbf", "#b86e00", "#1c8a55", "#7d4fc4", "#8a7a00", "#0b8791", "#c0466a", "#66717d"),
)
DARK: Final = Paint(
    ground="#0f1419",
    panel="#171d24",
    rule="#262f39",
    text="#d8dee6",
    tones={
        Colour.GOOD: "#5fc98b",
        Colour.WARNING: "#f2b155",
        Colour.BAD: "#ff7b72",
        Colour.MUTED: "#93a1b0",
        Colour.PLAIN: "#d8dee6",
    },
    lines=("#6cb6ff", "#f2b155", "#5fc98b", "#d2a8ff", "#e2d36b", "#56d4dd", "#ff9bb3", "#b4bfca"),
)


def save_board(target: IO[bytes], found: Look, zone: ZoneInfo, paint: Paint = LIGHT) -> None:
    """Write a board as one PNG, 1920 pixels wide, its panels where they stand on the page."""
    board = found.board
    rows = max(place.y + place.height for place in board.places)
    width, height = WIDTH * _COLUMN_PX, (rows + 1) * _ROW_PX
    with rc_context(_settings(paint)):
        figure = Figure((width / _DPI, height / _DPI), dpi=_DPI, facecolor=paint.ground)
        chosen = "".join(f"   {name} {value}" for name, value in found.values.items() if value != ALL)
        figure.text(14 / width, 1 - 24 / height, board.title, fontsize=13, fontweight="bold")
        when = f"{found.at.astimezone(zone):%Y-%m-%d %H:%M %Z}{chosen}"
        figure.text(1 - 14 / width, 1 - 24 / height, when, fontsize=9, ha="right", color=paint.tones[Colour.MUTED])
        for place in board.places:
            left, top = place.x * _COLUMN_PX + 8, (place.y + 1) * _ROW_PX + 4
            box = (left, top, place.width * _COLUMN_PX - 16, place.height * _ROW_PX - 8)
            _Sheet(figure, box, zone, paint).panel(place.panel, found.shown[place.panel.key])
        _write(figure, target)


def save_panel(target: IO[bytes], panel: Panel, shown: Shown | AskError, zone: ZoneInfo, paint: Paint = LIGHT) -> None:
    """Write one panel as a PNG of 1000 × 500 pixels."""
    with rc_context(_settings(paint)):
        figure = Figure((10, 5), dpi=_DPI, facecolor=paint.ground)
        _Sheet(figure, (8, 8, 984, 484), zone, paint).panel(panel, shown)
        _write(figure, target)


def _write(figure: Figure, target: IO[bytes]) -> None:
    FigureCanvasAgg(figure)
    figure.savefig(target, format="png", dpi=_DPI, facecolor=figure.get_facecolor())


def _settings(paint: Paint) -> Any:
    there = set(fontManager.get_font_names())
    return {
        "font.family": [name for name in FONTS if name in there],
        "font.size": 9,
        "text.color": paint.text,
        "axes.edgecolor": paint.rule,
        "axes.labelcolor": paint.text,
        "axes.facecolor": paint.panel,
        "xtick.color": paint.tones[Colour.MUTED],
        "ytick.color": paint.tones[Colour.MUTED],
        "grid.color": paint.rule,
        "axes.unicode_minus": False,
        "text.parse_math": False,
    }


class _Sheet:
    """Where one panel is drawn: `box` is left, top, width and height in pixels from the figure's top left."""

    def __init__(self, figure: Figure, box: tuple[float, float, float, float], zone: ZoneInfo, paint: Paint) -> None:
        self._figure, self._box, self._zone, self._paint = figure, box, zone, paint

    def panel(self, panel: Panel, shown: Shown | AskError) -> None:
        """Draw the frame, the title, and what the panel shows."""
        frame = self._axes(0, 0, 0, 0)
        frame.set(xticks=[], yticks=[])
        _, _, width, height = self._box
        room = max(10, round((width - 20) / 7.2))
        frame.text(10 / width, 1 - 16 / height, _cut(panel.title, room), fontweight="bold", va="center")
        if isinstance(shown, AskError) or not shown.answer.rows:
            text = str(shown) if isinstance(shown, AskError) else panel.nothing
            frame.text(0.5, 0.45, _cut(text, room), ha="center", color=self._paint.tones[Colour.MUTED])
            return
        self._pictures()[panel.picture](panel, shown)

    def _pictures(self) -> dict[Picture, Callable[[Panel, Shown], None]]:
        return {
            Picture.FIGURES: self._figures,
            Picture.TABLE: self._table,
            Picture.LINES: self._lines,
            Picture.BARS: self._bars,
            Picture.GAUGES: self._bars,
            Picture.WATERFALL: self._waterfall,
            Picture.MAP: self._map,
            Picture.NETWORK: self._network,
        }

    def _axes(self, left: float, top: float, right: float, bottom: float, *, is_bare: bool = False) -> Axes:
        """Axes inside the box, with margins in pixels."""
        x, y, width, height = self._box
        across, down = self._figure.get_size_inches() * _DPI
        place = (
            (x + left) / across,
            1 - (y + height - bottom) / down,
            max(1.0, width - left - right) / across,
            max(1.0, height - top - bottom) / down,
        )
        axes = self._figure.add_axes(place)
        if is_bare:
            axes.set_axis_off()
        return axes

    def _figures(self, panel: Panel, shown: Shown) -> None:
        axes = self._axes(6, 30, 6, 6, is_bare=True)
        columns = shown_columns(panel, shown.answer.columns)
        room = self._box[2] / max(1, len(columns))
        for number, (place, column) in enumerate(columns):
            text, colour = cell(shown.answer.rows[0][place], column, self._zone)
            x = (number + 0.5) / len(columns)
            size = min(24.0, 0.95 * room / max(3, len(text)))
            grey, small = self._paint.tones[Colour.MUTED], min(9.0, 1.35 * room / max(8, len(column.title)))
            axes.text(x, 0.75, column.title, ha="center", fontsize=max(6.0, small), color=grey)
            tint = self._paint.tones[colour]
            axes.text(x, 0.3, text, ha="center", va="center", fontsize=size, fontweight="bold", color=tint)

    def _table(self, panel: Panel, shown: Shown) -> None:
        width, height = self._box[2] - 20, self._box[3] - 38
        axes = self._axes(10, 30, 10, 8, is_bare=True)
        axes.set(xlim=(0, width), ylim=(height, 0))
        columns = shown_columns(panel, shown.answer.columns)
        fits = max(1, int(height // _ROW_OF_TABLE_PX) - 1)
        rows = shown.answer.rows[:fits]
        cells = [[cell(row[place], column, self._zone) for place, column in columns] for row in rows]
        widths = [_wide(column.title, [row[i][0] for row in cells]) for i, (_, column) in enumerate(columns)]
        whole = [round(each * _CHARACTER_PX) for each in widths]
        kept = fitting(whole, [bool(column.words) for _, column in columns], round(width))
        columns, widths = [columns[i] for i in kept], [widths[i] for i in kept]
        cells = [[row[i] for i in kept] for row in cells]
        scale = width / sum(widths)
        ends = np.cumsum(widths) * scale
        for i, (place, column) in enumerate(columns):
            is_number = any(isinstance(row[place], int | float) for row in rows)
            x = ends[i] - 8 if is_number else ends[i] - widths[i] * scale
            side = "right" if is_number else "left"
            room = max(3, int((widths[i] * scale - 6) / 6.2))
            axes.text(x, 8, _cut(column.title, room), ha=side, va="center", color=self._paint.tones[Colour.MUTED])
            for number, row in enumerate(cells, start=1):
                text, colour = row[i]
                y = number * _ROW_OF_TABLE_PX + 8
                axes.text(x, y, _cut(text, room), ha=side, va="center", color=self._paint.tones[colour])
        axes.axhline(_ROW_OF_TABLE_PX - 2, color=self._paint.rule, linewidth=1)

    def _lines(self, panel: Panel, shown: Shown) -> None:
        axes = self._axes(74, 34, 14, 48)
        described = {column.name: column for column in panel.columns}
        drawn = lines_of(shown.answer, shown.step_s)
        at = drawn.times_s / _DAY_S
        base = np.zeros(len(at))
        edges = dict(zip(drawn.names, drawn.values, strict=True))
        number = 0
        for name, values in zip(drawn.names, drawn.values, strict=True):
            column = described.get(name) or Column("line", name)
            if column.hidden or name in (panel.band or ()):
                continue
            tint = self._paint.lines[number % len(self._paint.lines)]
            if column.limit:
                axes.plot(
                    at, values, color=self._paint.tones[Colour.BAD], linestyle="--", linewidth=1, label=column.title
                )
                continue
            number += 1
            top = base + np.nan_to_num(values) if panel.stacked else values
            if panel.stacked:
                axes.fill_between(at, base, top, color=tint, alpha=0.3, linewidth=0)
                base = top
            axes.plot(at, top, color=tint, linewidth=1.3, label=column.title)
        if panel.band is not None:
            low, high = (edges[name] for name in panel.band)
            axes.fill_between(at, low, high, color=self._paint.lines[0], alpha=0.2, linewidth=0)
        for step in panel.steps:
            axes.axhline(step.start, color=self._paint.tones[step.colour], linestyle="--", linewidth=1)
        self._time_axis(axes, panel, shown)
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(0, -26 / max(1.0, self._box[3] - 82)),
            ncols=6,
            frameon=False,
            fontsize=8,
            labelcolor="linecolor",
            handlelength=1,
            borderaxespad=0,
        )

    def _time_axis(self, axes: Axes, panel: Panel, shown: Shown) -> None:
        most = max(3, int(self._box[2] // 90))
        locator = AutoDateLocator(tz=self._zone, minticks=2, maxticks=most)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        short = ConciseDateFormatter(locator, tz=self._zone, show_offset=False)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_formatter(short)
        axes.set_xlim(shown.since_s / _DAY_S, shown.until_s / _DAY_S)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: write(float(value), panel.unit)))
        axes.grid(visible=True, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)

    def _bars(self, panel: Panel, shown: Shown) -> None:
        (first, label), *others = shown_columns(panel, shown.answer.columns)
        rows = shown.answer.rows[: max(1, int((self._box[3] - 40) // 16))]
        measured = [(i, c) for i, c in others if any(isinstance(row[i], int | float) for row in rows)]
        if panel.picture is Picture.GAUGES:
            measured = measured[:1]
        names = [cell(row[first], label, self._zone)[0] for row in rows]
        axes = self._rows_axes(names)
        base = np.zeros(len(rows))
        thick = 0.7 if panel.stacked else 0.7 / max(1, len(measured))
        for number, (place, column) in enumerate(measured):
            values = np.nan_to_num(numbers(row[place] for row in rows))
            tint: Any = self._paint.lines[number % len(self._paint.lines)]
            if column.steps:
                tint = [self._paint.tones[colour_of(row[place], column)] for row in rows]
            y = np.arange(len(rows)) + (0 if panel.stacked else (number - (len(measured) - 1) / 2) * thick)
            bars = axes.barh(y, values, thick, base if panel.stacked else None, color=tint, label=column.title)
            if not panel.stacked:
                texts = [write(row[place], column.unit, column.decimals) for row in rows]
                axes.bar_label(bars, texts, padding=3, fontsize=8)
            base += values
        if panel.picture is Picture.GAUGES and measured and measured[0][1].most:
            axes.set_xlim(0, measured[0][1].most)
        if len(measured) > 1:
            axes.legend(loc="lower right", frameon=False, fontsize=8)
        unit = measured[0][1].unit if measured else panel.unit
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: write(float(value), unit)))

    def _waterfall(self, panel: Panel, shown: Shown) -> None:
        answer = shown.answer
        described = {column.name: column for column in panel.columns}
        part = described.get("part") or Column("part", "part")
        names = [cell(value, part, self._zone)[0] for value in values_of(answer, "part")]
        axes = self._rows_axes(names)
        low = np.nan_to_num(numbers(values_of(answer, "from_wh")))
        high = np.nan_to_num(numbers(values_of(answer, "to_wh")))
        tones = {"rise": self._paint.tones[Colour.BAD], "fall": self._paint.tones[Colour.GOOD]}
        tints = [tones.get(str(kind), self._paint.lines[0]) for kind in values_of(answer, "kind")]
        unit = described["to_wh"].unit if "to_wh" in described else panel.unit
        bars = axes.barh(np.arange(len(names)), high - low, 0.6, low, color=tints)
        axes.bar_label(bars, [write(float(by), unit, 1) for by in high - low], padding=3, fontsize=8)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: write(float(value), unit)))
        axes.margins(x=0.15)

    def _rows_axes(self, names: list[str]) -> Axes:
        axes = self._axes(min(190, self._box[2] * 0.35), 32, 30, 26)
        axes.set_yticks(range(len(names)), [_cut(name, 26) for name in names])
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0, labelcolor=self._paint.text)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(max(2, int(self._box[2] // 110))))
        return axes

    def _map(self, panel: Panel, shown: Shown) -> None:
        answer = shown.answer
        places = plane(values_of(answer, "longitude_deg"), values_of(answer, "latitude_deg"))
        axes = self._axes(10, 32, 10, 10, is_bare=True)
        tints = [self._paint.tones[self._tone(panel, answer.columns, row)] for row in answer.rows]
        axes.scatter(np.array(places.x) * places.width, -np.array(places.y) * places.height, s=14, c=tints, alpha=0.85)
        axes.set_aspect("equal")
        axes.margins(0.05)

    def _network(self, panel: Panel, shown: Shown) -> None:
        answer = shown.answer
        ids = [str(value) for value in values_of(answer, "id")]
        edges = [] if shown.edges is None else edge_ends(shown.edges)
        places = tree(ids, edges)
        axes = self._axes(20, 32, 120, 10, is_bare=True)
        axes.set(xlim=(-0.02, 1.02), ylim=(1, 0))
        where = {each: (places.x[i], places.y[i]) for i, each in enumerate(ids)}
        for source, target in edges:
            if source in where and target in where:
                axes.plot(
                    *zip(where[source], where[target], strict=True), color=self._paint.rule, linewidth=1, zorder=1
                )
        tints = [self._paint.tones[self._tone(panel, answer.columns, row)] for row in answer.rows]
        axes.scatter(places.x, places.y, s=18, c=tints, zorder=2)
        has_room = places.height * 9 <= self._box[3] and places.width * _LABEL_PX <= self._box[2]
        if has_room:
            for each, title in zip(ids, values_of(answer, "title"), strict=True):
                axes.annotate(
                    _cut(str(title), 24), where[each], (5, 0), textcoords="offset points", va="center", fontsize=7
                )

    def _tone(self, panel: Panel, names: tuple[str, ...], row: tuple[Any, ...]) -> Colour:
        """What colours a row: the first described column with words."""
        for column in panel.columns:
            if column.words and column.name in names:
                return cell(row[names.index(column.name)], column, self._zone)[1]
        return Colour.PLAIN


def _wide(title: str, texts: list[str]) -> float:
    return max(4, *(sum(1 if ord(c) < 0x2E80 else 1.8 for c in text) for text in (title, *texts))) + 2


def _cut(text: str, length: int) -> str:
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return plain if len(plain) <= length else plain[: max(1, length - 1)] + "…"
