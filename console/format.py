"""Numbers with their units for reports and terminals, as `static/format.js` writes them on the page. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, assert_never
from zoneinfo import ZoneInfo

from console.asking import Value
from deploy.boards.model import Colour, Column, Panel, Unit

MISSING: Final = "–"
_EXACT: Final = 1e15
_PREFIXES: Final = ("", "k", "M", "G", "T")
_SPANS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))


def write(value: Value, unit: Unit = Unit.NONE, decimals: int | None = None) -> str:
    """`value` in words of `unit`; what is missing is a dash, times are left to `cell`."""
    if value is None or value == "":
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str | datetime):
        return str(value)
    return _number(value, unit, decimals) if math.isfinite(value) else MISSING


def _number(value: float, unit: Unit, decimals: int | None) -> str:
    match unit:
        case Unit.FRACTION:
            return f"{_fixed(100 * value, 1 if decimals is None else decimals)} %"
        case Unit.SECONDS:
            return _span(value, decimals)
        case Unit.BYTES:
            return _scaled(value, "B", decimals, 1024)
        case Unit.PER_MINUTE | Unit.PER_SECOND:
            return f"{_fixed(value, decimals or 0)} {'/min' if unit is Unit.PER_MINUTE else '/s'}"
        case Unit.VOLTS | Unit.AMPERES:
            return f"{_fixed(value, 1 if decimals is None else decimals)} {'V' if unit is Unit.VOLTS else 'A'}"
        case Unit.ENERGY_WH | Unit.POWER_W:
            return _scaled(value, "Wh" if unit is Unit.ENERGY_WH else "W", decimals, 1000)
        case Unit.NONE | Unit.COUNT:
            least = 0 if float(value).is_integer() else 2
            return _fixed(value, least if decimals is None else decimals)
        case _:
            assert_never(unit)


def cell(value: Value, column: Column, zone: ZoneInfo) -> tuple[str, Colour]:
    """Text and colour of a cell."""
    for word in column.words:
        if word.value == str(value):
            return word.text, word.colour
    if isinstance(value, datetime):
        return f"{value.astimezone(zone):%Y-%m-%d %H:%M}", Colour.PLAIN
    return write(value, column.unit, column.decimals), colour_of(value, column)


def colour_of(value: Value, column: Column) -> Colour:
    """The colour of a number by its steps: that of the last step at or below it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Colour.PLAIN
    passed = [step.colour for step in column.steps if value >= step.start]
    return passed[-1] if passed else column.below


def shown_columns(panel: Panel, names: tuple[str, ...]) -> list[tuple[int, Column]]:
    """Columns that are shown with their place in a row: described ones as described, others as they come."""
    described = {column.name: column for column in panel.columns}
    found = [(place, described.get(name) or Column(_key(name), name)) for place, name in enumerate(names)]
    return [(place, column) for place, column in found if not column.hidden]


def fitting(widths: Sequence[int], says_state: Sequence[bool], width: int) -> list[int]:
    """Columns that fit, in order: the first one, then those that say a state, then the others from the left."""
    first = [0, *(i for i in range(1, len(widths)) if says_state[i])]
    kept: list[int] = []
    left = width
    for i in [*first, *(i for i in range(len(widths)) if i not in first)]:
        if not kept or widths[i] + 2 <= left:
            kept.append(i)
            left -= widths[i] + (2 if len(kept) > 1 else 0)
    return sorted(kept)


def _key(name: str) -> str:
    return "".join(c if c.isascii() and (c.islower() or c.isdigit()) else "_" for c in f"c{name}")


def _scaled(value: float, symbol: str, decimals: int | None, base: int) -> str:
    size = 0
    while abs(value) >= base and size < len(_PREFIXES) - 1:
        value /= base
        size += 1
    return f"{_fixed(value, (1 if size else 0) if decimals is None else decimals)} {_PREFIXES[size]}{symbol}"


def _span(value: float, decimals: int | None) -> str:
    for length, symbol in _SPANS:
        if abs(value) >= 2 * length:
            return f"{_fixed(value / length, 1 if decimals is None else decimals)} {symbol}"
    return f"{_fixed(value, (1 if abs(value) < 10 else 0) if decimals is None else decimals)} s"


def _fixed(value: float, decimals: int) -> str:
    # Half a unit goes up, as browsers have it; beyond what a float tells apart there is nothing to round.
    size = abs(value)
    exact = Decimal(size).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP) if size < _EXACT else size
    text = f"{exact:,.{decimals}f}"
    is_zero = not text.strip("0.,")
    return text if value >= 0 or is_zero else f"−{text}"
