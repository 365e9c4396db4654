"""Draws boards to files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from console.reading import SnapshotError, ask_panel, choose, look
from console.snapshot import DARK, LIGHT, save_board, save_panel
from console.window import Range
from deploy.boards.language import Language, in_language
from deploy.boards.model import Board
from meterline.config import Settings
from meterline.console import make_asker


@dataclass(frozen=True, slots=True)
class Wanted:
    """A board, or some panels of it by key, with what is chosen."""

    board: Board
    panels: tuple[str, ...]
    values: Mapping[str, str]
    since: str | None
    until: str
    language: Language
    is_dark: bool


def take_snapshot(settings: Settings, wanted: Wanted, folder: Path) -> list[Path]:
    """Write one PNG of the board, or one for each panel that is named; returns the files.

    Raises
    ------
    SnapshotError
        When there is no such panel.
    console.reading.ChoiceError, console.window.RangeError
        When a variable or the range can't be as it was asked for.
    console.asking.AskError
        When the database doesn't answer.
    """
    board = in_language(wanted.board, wanted.language)
    panels = {place.panel.key: place.panel for place in board.places}
    if unknown := sorted(set(wanted.panels) - set(panels)):
        raise SnapshotError(f"no such panel: {', '.join(unknown)}; there are {', '.join(panels)}")
    now, zone = datetime.now(UTC), settings.settling.zone()
    longest = timedelta(days=settings.console.longest_d)
    asked = Range(wanted.since or board.since, wanted.until)
    asked.at(now, longest)
    name = board.uid.removeprefix("meterline-")
    paint = DARK if wanted.is_dark else LIGHT
    folder.mkdir(parents=True, exist_ok=True)
    asker = make_asker(settings, "meterline-snapshot", wanted.board.source)
    asker.require()
    files = []
    with asker:
        values = choose(asker, board.variables, wanted.values, asked, now, longest)
        if not wanted.panels:
            found = look(asker, board, values, asked, now, longest)
            files.append(folder / f"{name}.png")
            with files[-1].open("wb") as target:
                save_board(target, found, zone, paint)
        for key in wanted.panels:
            shown = ask_panel(asker, panels[key], values, asked, now, longest)
            files.append(folder / f"{name}-{key}.png")
            with files[-1].open("wb") as target:
                save_panel(target, panels[key], shown, zone, paint)
    return files
