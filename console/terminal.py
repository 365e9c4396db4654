"""A board in a terminal, from the same panels as the pages. Pure: it draws what was asked already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from console.asking import Answer, AskError
from console.format import cell, fitting, shown_columns, write
from console.payload import Shown
from console.reading import Look
from console.shapes import lines_of
from deploy.boards.model import Colour, Panel, Picture, Place

_STYLES: Final = {
    Colour.GOOD: "green",
    Colour.WARNING: "yellow",
    Colour.BAD: "bold red",
    Colour.MUTED: "dim",
    Colour.PLAIN: "",
}
_BARS: Final = "▁▂▃▄▅▆▇█"
_SPARK: Final = 24
_LEAST_ROWS: Final = 2
_MOST_ROWS: Final = 40
_CELL: Final = 28
#: From this width on panels that stand side by side on the board do so here.
_WIDE: Final = 150
_GAP: Final = 3


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A panel's lines: `fixed` ones, with its title first, and `rows`, of which the last may be left out."""

    fixed: tuple[Text, ...]
    rows: tuple[Text, ...] = ()

    def lines(self, most: int) -> list[Text]:
        if len(self.rows) <= most:
            return [*self.fixed, *self.rows]
        left = len(self.rows) - most + 1
        return [*self.fixed, *self.rows[: most - 1], Text(f"and {left:,} more", "dim")]


def render(look: Look, head: Text, zone: ZoneInfo, width: int = 80, height: int | None = None) -> Text:
    """Draw a board in `width` columns and at most `height` lines; without a height as many as it takes.

    Parameters
    ----------
    head
        First line.
    zone
        In which times are written.
    """
    places = sorted(look.board.places, key=lambda place: (place.y, place.x))
    bands = _bands(places) if width >= _WIDE else [[place] for place in places]
    drawn = []
    for band in bands:
        room, total = width - _GAP * (len(band) - 1), sum(place.width for place in band)
        shares = [room * place.width // total for place in band]
        panels = [
            _panel(place.panel, look.shown[place.panel.key], zone, share)
            for place, share in zip(band, shares, strict=True)
        ]
        drawn.append(list(zip(shares, panels, strict=True)))
    most = _MOST_ROWS
    lines = _lay_out(drawn, most)
    while height is not None and len(lines) > height - 1 and most > _LEAST_ROWS:
        most -= 1
        lines = _lay_out(drawn, most)
    lines = [_cut(head, width), *lines]
    return Text("\n").join(lines if height is None else lines[:height])


def _bands(places: Sequence[Place]) -> list[list[Place]]:
    """Panels that begin in the same row of the board, in its order."""
    bands: list[list[Place]] = []
    for place in places:
        if bands and bands[-1][0].y == place.y:
            bands[-1].append(place)
        else:
            bands.append([place])
    return bands


def _lay_out(bands: Sequence[Sequence[tuple[int, _Drawn]]], most: int) -> list[Text]:
    """Lines of the screen: of each band its panels, with their widths, side by side."""
    lines: list[Text] = []
    for band in bands:
        columns = [(share, each.lines(most)) for share, each in band]
        for number in range(max(len(column) for _, column in columns)):
            parts = [
                _cut(column[number] if number < len(column) else Text(), share, pad=len(band) > 1)
                for share, column in columns
            ]
            lines.append(Text(" " * _GAP).join(parts))
    return lines


def _cut(line: Text, width: int, *, pad: bool = False) -> Text:
    cut = line.copy()
    cut.truncate(width, overflow="ellipsis", pad=pad)
    return cut


def _panel(panel: Panel, shown: Shown | AskError, zone: ZoneInfo, width: int) -> _Drawn:
    title = Text(panel.title, "bold cyan")
    if isinstance(shown, AskError):
        return _Drawn((title, Text(str(shown), "bold red")))
    answer = shown.answer
    if not answer.rows:
        return _Drawn((Text.assemble(title, "  ", (panel.nothing, "dim")),))
    if panel.picture is Picture.FIGURES:
        return _Drawn((title, _figures(panel, answer, zone)))
    if panel.picture is Picture.LINES:
        return _Drawn((title,), tuple(_lines(panel, shown)))
    head, *rows = _table(panel, answer, zone, width)
    return _Drawn((title, head), tuple(rows))


def _figures(panel: Panel, answer: Answer, zone: ZoneInfo) -> Text:
    line = Text()
    for place, column in shown_columns(panel, answer.columns):
        text, colour = cell(answer.rows[0][place], column, zone)
        line.append("   " if line else "").append(f"{column.title} ", "dim").append(text, f"bold {_STYLES[colour]}")
    return line


def _lines(panel: Panel, shown: Shown) -> list[Text]:
    described = {column.name: column for column in panel.columns}
    drawn = lines_of(shown.answer, shown.step_s)
    found = []
    for name, values in zip(drawn.names, drawn.values, strict=True):
        if name in (panel.band or ()) or (name in described and described[name].hidden):
            continue
        newest = values[np.isfinite(values)][-1:].tolist()
        title = described[name].title if name in described else _plain(name)
        text = write(newest[0] if newest else None, panel.unit)
        found.append(Text.assemble((_spark(values), "blue"), "  ", text, "  ", (title, "dim")))
    return found


def _spark(values: NDArray[np.float64]) -> str:
    """The line in a few characters, each the mean of its part; a part without values is empty."""
    parts = [part[np.isfinite(part)] for part in np.array_split(values, min(_SPARK, len(values)))]
    means = [float(part.mean()) if part.size else None for part in parts]
    known = [mean for mean in means if mean is not None]
    if not known:
        return " " * len(means)
    low, high = min(0.0, *known), max(known)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(" " if mean is None else _BARS[round((mean - low) * scale)] for mean in means)


def _table(panel: Panel, answer: Answer, zone: ZoneInfo, width: int) -> list[Text]:
    """The head and the rows, columns one below the other, numbers to the right; columns that don't fit are left out."""
    columns = shown_columns(panel, answer.columns)
    cells = [[cell(row[place], column, zone) for place, column in columns] for row in answer.rows]
    texts = [[_cut(Text(_plain(text), _STYLES[colour]), _CELL) for text, colour in row] for row in cells]
    heads = [Text(column.title, "dim") for _, column in columns]
    is_number = [any(isinstance(row[place], int | float) for row in answer.rows) for place, _ in columns]
    widths = [max(line[i].cell_len for line in (heads, *texts)) for i in range(len(columns))]
    kept = fitting(widths, [bool(column.words) for _, column in columns], width)
    lines = []
    for line in (heads, *texts):
        for i in kept:
            room = widths[i] - line[i].cell_len
            if is_number[i]:
                line[i].pad_left(room)
            else:
                line[i].pad_right(room)
        lines.append(Text("  ").join(line[i] for i in kept))
    return lines


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
