"""One look at a board for those who draw it once: the terminal, a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from console.asking import Answer, Asker, AskError
from console.payload import Shown
from console.window import Range, span_before
from deploy.boards.model import Board, Panel, Variable


class ChoiceError(ValueError):
    """A variable was given a value that it hasn't got, or there is no such variable."""


class SnapshotError(ValueError):
    """There is no such panel."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a board showed at an instant: of each panel its answer, or why there is none."""

    board: Board
    at: datetime
    values: Mapping[str, str]
    shown: Mapping[str, Shown | AskError]


def choose(
    asker: Asker,
    variables: Sequence[Variable],
    given: Mapping[str, str],
    asked: Range,
    now: datetime,
    longest: timedelta,
) -> dict[str, str]:
    """What holds of each variable: what was given, or its first choice.

    Raises
    ------
    ChoiceError
        When a given value isn't among the choices, or no variable has its name.
    AskError
        When the choices can't be read.
    """
    if unknown := sorted(set(given) - {variable.name for variable in variables}):
        raise ChoiceError(f"no such variable: {', '.join(unknown)}; there are: {', '.join(v.name for v in variables)}")
    chosen: dict[str, str] = {}
    for variable in variables:
        answer = asker.ask(variable.sql, asked.at(now, longest), chosen)
        place = answer.columns.index("__value")
        values = [str(row[place]) for row in answer.rows]
        wanted = given.get(variable.name)
        if wanted is not None and wanted not in values:
            raise ChoiceError(f"{variable.name} can't be {wanted!r}; it can be {', '.join(values[:10]) or 'nothing'}")
        chosen[variable.name] = wanted if wanted is not None else (values[0] if values else "")
    return chosen


def look(
    asker: Asker, board: Board, values: Mapping[str, str], asked: Range, now: datetime, longest: timedelta
) -> Look:
    """Ask for every panel of `board` as it is at `now`."""
    shown: dict[str, Shown | AskError] = {}
    for place in board.places:
        try:
            shown[place.panel.key] = ask_panel(asker, place.panel, values, asked, now, longest)
        except AskError as error:
            shown[place.panel.key] = error
    return Look(board, now, dict(values), shown)


def ask_panel(
    asker: Asker, panel: Panel, values: Mapping[str, str], asked: Range, now: datetime, longest: timedelta
) -> Shown:
    """Ask for one panel; raises AskError."""
    window = asked.at(now, longest) if panel.span is None else span_before(panel.span, now)
    answer = asker.ask(panel.sql, window, values)
    edges = None if panel.edges is None else asker.ask(panel.edges, window, values)
    return Shown(answer, edges, window.since.timestamp(), window.until.timestamp(), window.step.total_seconds())


def as_json(found: Look) -> dict[str, Any]:
    """The rows of each panel under its key, times as they are; a panel without an answer says why."""
    panels: dict[str, Any] = {}
    for key, shown in found.shown.items():
        if isinstance(shown, AskError):
            panels[key] = {"trouble": str(shown)}
            continue
        panels[key] = _rows(shown.answer)
        if shown.edges is not None:
            panels[key]["edges"] = _rows(shown.edges)
    return {"board": found.board.uid, "at": found.at, "values": dict(found.values), "panels": panels}


def _rows(answer: Answer) -> dict[str, Any]:
    return {"columns": answer.columns, "rows": answer.rows, "more": answer.more}
