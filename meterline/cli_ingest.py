"""Commands around what gateways number: gaps and how they are filled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from meterline.cli_common import ConfigOption, JsonOption, print_json, printable, read_settings

if TYPE_CHECKING:
    from store.gaps import GapRow

gaps_app = typer.Typer(
    no_args_is_help=True, help="Messages that gateways numbered and nobody saw. Example: meterline gaps list --open"
)


@gaps_app.command("list")
def gaps_list(
    config: ConfigOption = None,
    gateway: Annotated[str | None, typer.Option(help="Only of this gateway")] = None,
    only_open: Annotated[bool, typer.Option("--open", help="Only those where something is still missing")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    as_json: JsonOption = False,
) -> None:
    """List gaps in the gateways' numbers, the newest first. Example: meterline gaps list --open --json"""
    from dataclasses import asdict

    from meterline.bootstrap import opener
    from store.gaps import list_gaps

    settings = read_settings(config, quiet=True)
    with opener(settings, "meterline-cli")() as connection:
        rows = list_gaps(connection, gateway, only_open, limit)
    if as_json:
        print_json([asdict(row) | {"state": _state(row, settings.ingest.gap_tries)} for row in rows])
        return
    for row in rows:
        size = row.last_sequence - row.first_sequence + 1
        state = _state(row, settings.ingest.gap_tries)
        print(
            f"{printable(row.gateway)}  {row.first_sequence}…{row.last_sequence}  {row.missing} of {size} missing"
            f"  since {row.noticed_at:%Y-%m-%d %H:%M:%S} UTC  {state}, {row.requests} requests"
        )
    if not rows:
        print("no gap is open" if only_open else "no gap is known")


def _state(row: GapRow, tries: int) -> str:
    if row.filled_at is not None:
        return "filled"
    if row.out_of_reach:
        return "out of reach"
    return "given up" if row.fruitless >= tries else "asked" if row.requests else "waiting"
