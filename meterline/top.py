"""A board as a live view in the terminal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.live import Live
from rich.text import Text

from console.asking import Asker, AskError
from console.reading import Look, choose, look
from console.terminal import render
from console.window import Range
from deploy.boards.model import ALL, Board

REFRESH_S = 3.0
#: As far back as the console shows at once.
LONGEST = timedelta(days=400)


class LiveView:
    """Draws a board again and again; what can't be asked keeps its last figures, and the head says so.

    Parameters
    ----------
    asker
        Asks as the boards' role.
    board
        What to show.
    zone
        In which times are written.
    note
        Shown in the head, such as how to end.
    """

    def __init__(self, asker: Asker, board: Board, zone: ZoneInfo, note: str) -> None:
        self._asker = asker
        self._board = board
        self._zone = zone
        self._note = note
        self._last: Look | None = None
        self._trouble: str | None = None

    def draw(self, console: Console) -> Text:
        """Ask for the figures and draw them in the console's size."""
        self._read()
        if self._last is None:
            return Text(f"{self._trouble}  {self._note}")
        head = head_of(self._last, self._zone)
        if self._trouble is not None:
            head.append(f"  {self._trouble}, last figures", "bold red")
        head.append(f"  {self._note}", "dim")
        return render(self._last, head, self._zone, console.width, console.height)

    def _read(self) -> None:
        try:
            found = read_board(self._asker, self._board)
        except AskError as error:
            self._trouble = str(error)
            return
        failed = [answer for answer in found.shown.values() if isinstance(answer, AskError)]
        # One panel that failed is shown as failed; with all of them the figures before say more.
        if failed and len(failed) == len(found.shown) and self._last is not None:
            self._trouble = str(failed[0])
        else:
            self._last, self._trouble = found, None


def read_board(asker: Asker, board: Board) -> Look:
    """A board as it is now, with the first choice of each variable.

    Raises
    ------
    console.asking.AskError
        When its choices can't be read.
    """
    now, asked = datetime.now(UTC), Range(board.since)
    values = choose(asker, board.variables, {}, asked, now, LONGEST)
    return look(asker, board, values, asked, now, LONGEST)


def head_of(found: Look, zone: ZoneInfo) -> Text:
    """The first line: the board, when it was asked, and what was chosen."""
    line = Text.assemble((found.board.title, "bold"), f"  {found.at.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}")
    for name, value in found.values.items():
        if value != ALL:
            line.append(f"  {name} {value}", "cyan")
    return line


def show_live(view: LiveView, stop: threading.Event, console: Console, keep_on: Callable[[], bool]) -> None:
    """Draw `view` on the whole screen until `stop` is set or `keep_on` says no."""
    with Live(view.draw(console), console=console, screen=True, auto_refresh=False) as live:
        while keep_on() and not stop.wait(REFRESH_S):
            live.update(view.draw(console), refresh=True)
