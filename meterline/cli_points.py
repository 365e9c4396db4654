"""Commands for SCADA points."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from meterline.cli_common import ConfigOption, JsonOption, fail, print_json, printable, read_settings, text_console

if TYPE_CHECKING:
    from store.points import LastValue


def points(
    unit: Annotated[str | None, typer.Argument(metavar="[UNIT]", help="Only the points of this unit")] = None,
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 1_000,
    as_json: JsonOption = False,
) -> None:
    """Last known values of SCADA points with their age and quality. Example: meterline points F1 --json"""
    from dataclasses import asdict

    from grid.points import CYCLES_HELD
    from meterline.bootstrap import opener
    from store.points import list_points

    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        values = list_points(connection, unit, limit)
    if unit is not None and not values:
        fail(f"no point is known of unit {printable(unit)!r}")
    if as_json:
        states = [state_of(value, CYCLES_HELD) for value in values]
        print_json([asdict(value) | {"state": state} for value, state in zip(values, states, strict=True)])
        return
    table = Table(box=None, header_style="bold")
    for title in ("unit", "point", "value", "", "state", "age"):
        table.add_column(title, justify="right" if title in {"value", "age"} else "left")
    for value in values:
        table.add_row(
            Text(printable(value.unit)),
            Text(printable(value.point)),
            "–" if value.value is None else f"{value.value:,.6g}",
            Text(value.unit_of_measure),
            state_of(value, CYCLES_HELD),
            "–" if value.age_s is None else str(timedelta(seconds=round(value.age_s))),
        )
    text_console().print(table if values else "no point is known")


def load_points_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON: a list of points")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load SCADA points from a file. Points that aren't named stay; the same again changes nothing.

    Example: meterline load points points.json
    """
    from meterline.bootstrap import opener
    from meterline.points_file import read_points
    from store.points import load_points

    loaded = read_points(file)
    with opener(read_settings(config, quiet=True), "meterline-load")() as connection:
        units = load_points(connection, loaded)
    if as_json:
        print_json({"points": len(loaded), "units_changed": units})
    else:
        print(f"{len(loaded):,} points; changed in {len(units)} units")


def state_of(value: LastValue, cycles_held: int) -> str:
    """In one word: silent, stale, or what the quality says."""
    if value.age_s is None or value.quality is None:
        return "silent"
    if value.age_s > cycles_held * value.cycle_s:
        return "stale"
    for flag, word in ((0x80, "invalid"), (0x40, "old"), (0x10, "blocked"), (0x01, "overflow"), (0x20, "substituted")):
        if value.quality & flag:
            return word
    return "good"
