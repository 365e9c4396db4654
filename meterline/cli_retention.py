"""Commands about how long rows are kept: `meterline retention`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from meterline.cli_common import ConfigOption, JsonOption, fail, print_json, read_settings, text_console

retention_app = typer.Typer(
    no_args_is_help=True, help="How long rows are kept. Example: meterline retention run --dry-run"
)


@retention_app.command("run")
def retention_run(
    config: ConfigOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be removed, and remove nothing")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove what is older than it has to be kept; `meterline sync deliver` does it daily. Safe to repeat.

    Example: meterline retention run --dry-run
    """
    from datetime import UTC, datetime

    from meterline.bootstrap import opener
    from meterline.deliver import rules_of
    from store.retention import run_retention

    settings = read_settings(config, quiet=True)
    with opener(settings, "meterline-retention")() as connection:
        connection.autocommit = True
        outcome = run_retention(connection, rules_of(settings), datetime.now(UTC), dry_run=dry_run)
    if outcome is None:
        fail("another process removes old rows just now; nothing was done")
    if as_json:
        print_json([asdict(removed) for removed in outcome])
        return
    verb = "would go" if dry_run else "gone"
    for removed in outcome:
        amount = f"{len(removed.chunks)} chunks" if removed.chunks else f"{removed.rows:,} rows"
        print(f"{removed.table}: {amount} from before {removed.before:%Y-%m-%d %H:%M} UTC {verb}")


@retention_app.command("show")
def retention_show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show how long each table's rows are kept, and what it holds now. Example: meterline retention show --json"""
    from meterline.bootstrap import opener
    from meterline.deliver import rules_of
    from store.retention import read_kept

    settings = read_settings(config, quiet=True)
    with opener(settings, "meterline-retention")() as connection:
        rows = read_kept(connection, rules_of(settings))
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    table = Table("table", "kept for days", "oldest (UTC)", "chunks", "MiB")
    for row in rows:
        oldest = "" if row.oldest is None else f"{row.oldest:%Y-%m-%d %H:%M}"
        chunks = "" if row.chunks is None else str(row.chunks)
        table.add_row(row.table, str(row.days), oldest, chunks, f"{row.size_bytes / 2**20:,.1f}")
    text_console().print(table)
