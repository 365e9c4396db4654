"""`meterline console`: the boards as live web pages; `meterline top`: one of them in the terminal."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from meterline.cli_common import ConfigOption, JsonOption, OpsPortOption, fail, print_json, printable, read_settings

if TYPE_CHECKING:
    from deploy.boards.model import Board


def console(
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen at; default console.host, 127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="Default console.port, 8080")] = None,
    ops_port: OpsPortOption = None,
) -> None:
    """Serve the boards as live web pages until stopped. Example: meterline console --port 8088"""
    from meterline.console import serve_console

    settings = read_settings(config)
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    section = settings.console.model_copy(update=given)
    serve_console(settings.model_copy(update={"console": section}), ops_port)


def top(
    config: ConfigOption = None,
    board: Annotated[str | None, typer.Option(help="Another board than the control room, such as pipeline")] = None,
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end")] = False,
    as_json: JsonOption = False,
) -> None:
    """Live view of a board in the terminal: the control room's panels. Example: meterline top --once"""
    from rich.console import Console

    from console.reading import as_json as plain
    from console.terminal import render
    from meterline.bootstrap import stop_on_signals
    from meterline.console import make_asker
    from meterline.top import LiveView, head_of, read_board, show_live

    settings = read_settings(config, quiet=True)
    wanted = find_board(board)
    zone = settings.settling.zone()
    # While the database is away the head of the view says so; lines between its own would tear it.
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    asker = make_asker(settings, "meterline-top")
    asker.require()  # what is wrong from the start ends in one line; what comes later is shown
    screen = Console()
    with asker:
        if not (as_json or once) and screen.is_terminal:
            show_live(LiveView(asker, wanted, zone, "Ctrl-C ends"), stop_on_signals(), screen, lambda: True)
            return
        found = read_board(asker, wanted)
    if as_json:
        print_json(plain(found))
    else:
        screen.print(render(found, head_of(found, zone), zone, screen.width), soft_wrap=True)


def find_board(name: str | None, *, revenue: bool = False) -> Board:
    """A board by its uid, with or without `meterline-`; the first one without a name.

    Parameters
    ----------
    revenue
        Whether boards of revenue protection may be found; where False, those of operations alone.
    """
    from deploy.boards.model import Source
    from deploy.boards.registry import BOARDS

    shown = [board for board in BOARDS if revenue or board.source is Source.OPERATIONS]
    known = {board.uid.removeprefix("meterline-"): board for board in shown}
    if name is None:
        return shown[0]
    found = known.get(name.removeprefix("meterline-"))
    if found is None:
        fail(f"no board is called {printable(name)!r}; there are {', '.join(known)}", code=2)
    return found
