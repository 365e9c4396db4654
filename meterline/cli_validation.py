"""Commands for readings that rules find doubtful: `meterline validation`."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from grid.doubt import DoubtRule
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

validation_app = typer.Typer(
    no_args_is_help=True, help="Readings that rules find doubtful. Example: meterline validation list --rule spike"
)
_MOST_DAYS = 400


@validation_app.command("list")
def validation_list(
    config: ConfigOption = None,
    unit: Annotated[str | None, typer.Option(metavar="UNIT", help="Only meters of this unit")] = None,
    rule: Annotated[DoubtRule | None, typer.Option(help="Only what this rule found")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Of readings then or later, ISO 8601; default a week ago")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, the latest")] = 1_000,
    as_json: JsonOption = False,
) -> None:
    """Readings that validation rules doubt, the latest first.

    Example: meterline validation list --unit LV3.101 --rule spike --since 2026-06-01T00:00:00Z --json
    """
    from dataclasses import asdict

    from meterline.bootstrap import opener
    from store.directory import StoredDirectory
    from store.validation import list_doubts

    start = read_instant(since, "--since") or datetime.now(UTC) - timedelta(days=7)
    open_connection = opener(read_settings(config, quiet=True), "meterline-cli")
    with open_connection() as connection:
        doubts = list_doubts(connection, start, unit, None if rule is None else rule.value, limit)
    if unit is not None and not doubts and StoredDirectory(open_connection).unit_kind(unit) is None:
        fail(f"no unit {printable(unit)!r} in the grid model")
    if as_json:
        print_json([asdict(doubt) for doubt in doubts])
        return
    table = Table(box=None, header_style="bold")
    for title in ("after (UTC)", "up to (UTC)", "unit", "meter", "rule", "Wh", "limit Wh"):
        table.add_column(title, justify="right" if "Wh" in title else "left")
    for d in doubts:
        table.add_row(
            f"{d.begins_at:%Y-%m-%d %H:%M}",
            f"{d.ends_at:%Y-%m-%d %H:%M}",
            Text(printable(d.unit)),
            Text(printable(d.meter or f"position {d.position}")),
            d.rule,
            f"{d.value_wh:,}",
            f"{d.limit_wh:,}",
        )
    text_console().print(table if doubts else f"nothing doubtful since {start:%Y-%m-%d %H:%M} UTC")


@validation_app.command("run")
def validation_run(
    config: ConfigOption = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="Look at this local day and later ones, also again")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last day; default: as --from")] = None,
    unit: Annotated[list[str] | None, typer.Option("--unit", metavar="CODE", help="Only this unit; repeatable")] = None,
    as_json: JsonOption = False,
) -> None:
    """Look at closed days now, as the service does by itself: without --from those that nobody has looked at.

    Example: meterline validation run --from 2026-06-01 --to 2026-06-07
    """
    from meterline.bootstrap import opener
    from meterline.validation import run

    days = None if from_ is None else _days(from_, from_ if to is None else to)
    if days is None and to is not None:
        fail("--to needs --from")
    settings = read_settings(config, quiet=True)
    with opener(settings, "meterline-cli")() as connection:
        connection.autocommit = True
        done = run(connection, settings, days, unit)
    if done is None:
        fail("another process is looking at the days now")
    if as_json:
        print_json({"units": done.units, "doubts": done.doubts})
    else:
        print(f"{done.units} days of units looked at, {done.doubts} doubts")


def _days(first: str, last: str) -> list[date]:
    try:
        begin, end = date.fromisoformat(first), date.fromisoformat(last)
    except ValueError:
        fail(f"a day is YYYY-MM-DD, not {printable(first)} or {printable(last)}")
    if not 0 <= (end - begin).days < _MOST_DAYS:
        fail(f"--to lies before --from, or {_MOST_DAYS} days or more after it")
    return [begin + timedelta(days=n) for n in range((end - begin).days + 1)]
