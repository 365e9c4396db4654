"""`meterline boards snapshot`: boards and panels as PNG for reports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.boards.language import Language
from meterline.cli_common import ConfigOption, JsonOption, fail, print_json, read_settings


def snapshot(
    board: Annotated[str, typer.Argument(help="Name of the board, such as control-room")],
    out: Annotated[Path, typer.Option(help="Folder for the pictures; made when it isn't there")] = Path(),
    panel: Annotated[list[str] | None, typer.Option(help="Only this panel, by its key; may be repeated")] = None,
    var: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Choose a variable; may be repeated")
    ] = None,
    since: Annotated[str | None, typer.Option("--from", help="now-7d, or a time after ISO 8601")] = None,
    until: Annotated[str, typer.Option("--to", help="now, or a time after ISO 8601")] = "now",
    language: Annotated[Language, typer.Option(help="Language of titles")] = Language.ENGLISH,
    revenue: Annotated[
        bool, typer.Option("--revenue", help="Boards of revenue protection too: only for those who may see them")
    ] = False,
    dark: Annotated[bool, typer.Option("--dark", help="Light on dark, as on the page")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a board, or panels of it, to PNG files. Example: meterline boards snapshot control-room --out report"""
    from meterline.cli_console import find_board
    from meterline.snapshot import Wanted, take_snapshot

    settings = read_settings(config, quiet=True)
    values = {}
    for each in var or []:
        name, sign, value = each.partition("=")
        if not sign:
            fail(f"--var {each!r}: write NAME=VALUE", code=2)
        values[name] = value
    wanted = Wanted(find_board(board, revenue=revenue), tuple(panel or ()), values, since, until, language, dark)
    files = take_snapshot(settings, wanted, out)
    if as_json:
        print_json({"files": [str(file) for file in files]})
    else:
        for file in files:
            print(file)
