"""What the page is sent: a board's definition without its SQL, and a panel's answer as its picture needs it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
import numpy as np

from console.asking import Answer, Value
from console.shapes import lines_of, plane, tree
from deploy.boards.model import Board, Column, Link, Panel, Picture


@dataclass(frozen=True, slots=True)
class Shown:
    """What a panel's statements returned, and how wide a point of it is."""

    answer: Answer
    edges: Answer | None
    since_s: float
    until_s: float
    step_s: float


def describe(board: Board, leads: Callable[[Link], bool]) -> dict[str, Any]:
    """The definition of a board, in its language; the SQL stays here, and links that lead nowhere are left out.

    Parameters
    ----------
    leads
        Whether there is what a link leads to.
    """

    def kept(links: tuple[Link, ...]) -> tuple[Link, ...]:
        return tuple(link for link in links if leads(link))

    def column(each: Column) -> Column:
        return each if each.link is None or leads(each.link) else replace(each, link=None)

    def panel(each: Panel) -> Panel:
        return replace(each, links=kept(each.links), columns=tuple(map(column, each.columns)))

    places = tuple(replace(place, panel=panel(place.panel)) for place in board.places)
    text = msgspec.to_builtins(replace(board, links=kept(board.links), places=places))
    for variable in text["variables"]:
        del variable["sql"], variable["says"]
    for annotation in text["annotations"]:
        del annotation["sql"]
    for place in text["places"]:
        del place["panel"]["sql"], place["panel"]["edges"]
    return dict(text)


def payload(panel: Panel, shown: Shown) -> dict[str, Any]:
    """A panel's answer.

    Every picture has `columns`, `rows` and `more`, with times in seconds since 1970 in the columns that `times` names.
    Lines have `times_s` and `series` instead, a map and a network `plan` besides, with a place for each row.
    """
    answer = shown.answer
    common: dict[str, Any] = {"panel": panel.key, "more": answer.more}
    if panel.picture is Picture.LINES:
        return common | _lines(shown)
    common |= _table(answer)
    if panel.picture is Picture.MAP:
        common["plan"] = msgspec.to_builtins(
            plane(values_of(answer, "longitude_deg"), values_of(answer, "latitude_deg"))
        )
    elif panel.picture is Picture.NETWORK and shown.edges is not None:
        common["edges"] = _table(shown.edges)
        common["plan"] = msgspec.to_builtins(tree([str(v) for v in values_of(answer, "id")], edge_ends(shown.edges)))
    return common


def edge_ends(edges: Answer) -> list[tuple[str, str]]:
    """Source and target of each edge of a network."""
    ends = zip(values_of(edges, "source"), values_of(edges, "target"), strict=True)
    return [(str(source), str(target)) for source, target in ends]


def _lines(shown: Shown) -> dict[str, Any]:
    lines = lines_of(shown.answer, shown.step_s)
    return {
        "since_s": shown.since_s,
        "until_s": shown.until_s,
        "times_s": lines.times_s.tolist(),
        "series": [
            {"name": name, "values": [None if np.isnan(v) else v for v in values.tolist()]}
            for name, values in zip(lines.names, lines.values, strict=True)
        ],
    }


def _table(answer: Answer) -> dict[str, Any]:
    times = {name for name in answer.columns if any(isinstance(v, datetime) for v in values_of(answer, name))}
    return {
        "columns": answer.columns,
        "times": sorted(times),
        "rows": [[_sent(value) for value in row] for row in answer.rows],
    }


def values_of(answer: Answer, name: str) -> Sequence[Value]:
    """One column; empty where the answer hasn't got it."""
    if name not in answer.columns:
        return ()
    place = answer.columns.index(name)
    return [row[place] for row in answer.rows]


def _sent(value: Value) -> Value:
    return value.timestamp() if isinstance(value, datetime) else value


def event(kind: str, content: Mapping[str, Any]) -> bytes:
    """A server-sent event with JSON."""
    return b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(content) + b"\n\n"
