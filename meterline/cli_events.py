"""Commands for device events: `meterline event`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from grid.device_events import DeviceEventKind
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

event_app = typer.Typer(
    no_args_is_help=True, help="What meters report of themselves. Example: meterline event list --kind last_gasp"
)


@event_app.command("list")
def event_list(
    config: ConfigOption = None,
    unit: Annotated[str | None, typer.Option(metavar="UNIT", help="Only meters of this unit")] = None,
    kind: Annotated[DeviceEventKind | None, typer.Option(help="Only this kind")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="What happened then or later, ISO 8601; default a day ago")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, the latest")] = 1_000,
    as_json: JsonOption = False,
) -> None:
    """Device events (last gasps, opened covers, …), the latest first.

    Example: meterline event list --unit LV3.101 --kind last_gasp --since 2026-06-01T00:00:00Z --json
    """
    from dataclasses import asdict
    from datetime import UTC, datetime, timedelta

    from meterline.bootstrap import opener
    from store.directory import StoredDirectory
    from store.events import list_events

    start = read_instant(since, "--since") or datetime.now(UTC) - timedelta(days=1)
    open_connection = opener(read_settings(config, quiet=True), "meterline-cli")
    with open_connection() as connection:
        events = list_events(connection, start, unit, None if kind is None else kind.value, limit)
    if unit is not None and not events and StoredDirectory(open_connection).unit_kind(unit) is None:
        fail(f"no unit {printable(unit)!r} in the grid model")
    if as_json:
        print_json([asdict(event) for event in events])
        return
    table = Table(box=None, header_style="bold")
    for title in ("happened (UTC)", "unit", "meter", "kind", "received after"):
        table.add_column(title, justify="right" if title == "received after" else "left")
    for event in events:
        table.add_row(
            f"{event.observed_at:%Y-%m-%d %H:%M:%S}",
            Text(printable(event.unit)),
            Text(printable(event.meter)),
            event.kind,
            str(timedelta(seconds=round((event.received_at - event.observed_at).total_seconds()))),
        )
    text_console().print(table if events else f"no device event since {start:%Y-%m-%d %H:%M} UTC")
