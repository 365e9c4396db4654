"""Commands that look at the grid model: `meterline grid`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from meterline.cli_common import (
    ConfigOption,
    JsonOption,
    fail,
    print_json,
    printable,
    read_instant,
    read_settings,
    text_console,
)
from meterline.cli_trace import grid_trace

grid_app = typer.Typer(
    no_args_is_help=True,
    help="The grid model as it was, as it was known, and as it is supplied. Example: meterline grid show LV3.101",
)
grid_app.command("trace")(grid_trace)


@grid_app.command("show")
def grid_show(
    code: Annotated[str, typer.Argument(help="Code of a unit, a meter or an account")],
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="As valid at this instant, ISO 8601; default now")
    ] = None,
    known_at: Annotated[
        str | None, typer.Option("--known-at", metavar="TIME", help="As known at this instant; default now")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a unit, a meter or an account as it was valid at one instant and known at another.

    Example: meterline grid show LV3.101 --at 2026-06-01T00:00:00+08:00 --known-at 2026-06-15
    """
    from meterline.bootstrap import opener
    from store.grid_reader import read_entities

    valid, known = read_instant(at, "--at"), read_instant(known_at, "--known-at")
    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        found = read_entities(connection, code, valid, known)
    if not found:
        fail(f"no unit, meter or account {printable(code)} is known{_as_of(valid, known)}")
    if as_json:
        print_json({"at": valid, "known_at": known, "found": found})
        return
    console = text_console()
    for entity in found:
        _show(console, entity)


def _as_of(at: datetime | None, known_at: datetime | None) -> str:
    valid = "" if at is None else f" at {at.isoformat()}"
    return valid + ("" if known_at is None else f", as known at {known_at.isoformat()}")


def _show(console: Console, entity: dict[str, Any]) -> None:
    lists = {name: value for name, value in entity.items() if isinstance(value, list)}
    console.print(Text(f"{entity['entity']} {entity['code']}", style="bold"))
    for name, value in entity.items():
        if name not in {*lists, "entity", "code"} and value is not None:
            console.print(Text(f"  {name}: {_plain(value)}"))
    for name, rows in lists.items():
        if not rows:
            continue
        columns = [column for column in rows[0] if any(row[column] is not None for row in rows)]
        table = Table(*columns, title=name, title_justify="left")
        for row in rows:
            table.add_row(*(Text("" if row[column] is None else _plain(row[column])) for column in columns))
        console.print(table)


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
    return printable("+".join(value) if isinstance(value, list) else str(value))
