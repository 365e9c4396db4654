"""What a line cut-over (线路割接) needs: normally open ties, and the switches that cut a medium-voltage line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from twin.switching import Row, code_of
from twin.tables import Tables
from twin.walk import Edge

_MEDIUM_VOLTAGE = "5"


@dataclass(frozen=True, slots=True)
class Tie:
    """A normally open switch (联络开关) between two contracted nodes, referred to by position.

    A loop line hangs as a stub on the feeder that energises it; then the node at its open end is `start` or `end`.
    """

    switch: str
    start: int
    end: int
    start_feeder: int
    end_feeder: int
    """The same as `start_feeder` for a tie within a feeder."""


@dataclass(frozen=True, slots=True)
class Section:
    """A closed switch whose opening is the opening of one end of a line, by position."""

    switch: str
    line: int
    at_start: bool
    """At the line's `start`, else at its `end`."""


def find_ties(
    tables: Tables,
    taken: Collection[str],
    numbers: Mapping[str, int],
    owner: Mapping[str, tuple[str, str]],
    feeders: Mapping[str, int],
) -> tuple[Tie, ...]:
    """Open switches among `taken` (codes) between two nodes of feeders, in the order of the tables."""
    ties = []
    for row in tables.switch:
        if row["cond"] == "1" or code_of(row["id"]) not in taken:
            continue
        start, end = tables.root(row["nodeA"]), tables.root(row["nodeB"])
        if start != end and start in numbers and end in numbers:
            of = (feeders[owner[start][0]], feeders[owner[end][0]])
            ties.append(Tie(code_of(row["id"]), numbers[start], numbers[end], *of))
    return tuple(ties)


def find_sections(tables: Tables, lines: Sequence[Edge]) -> dict[str, Section]:
    """Switch code → the line end that it opens, for the medium-voltage ones among `lines`.

    A switch opens a line's end when nothing else is connected between the two: neither another line or switch, nor
    a load, generator, storage or transformer. Several in a row each have an entry.
    """
    switches, others = _connected(tables)
    sections: dict[str, Section] = {}
    for position, edge in enumerate(lines):
        row = tables.line[edge.row]
        if row["voltLvl"] != _MEDIUM_VOLTAGE:
            continue
        for node in (row["nodeA"], row["nodeB"]):
            at_start = tables.root(node) == edge.ends[0]
            for code in _in_a_row(node, switches, others):
                sections.setdefault(code, Section(code, position, at_start))
    return sections


def _connected(tables: Tables) -> tuple[dict[str, list[Row]], dict[str, int]]:
    """By medium-voltage node: its switches, and the number of everything else."""
    switches: dict[str, list[Row]] = defaultdict(list)
    others: dict[str, int] = defaultdict(int)
    for row in tables.switch:
        switches[row["nodeA"]].append(row)
        switches[row["nodeB"]].append(row)
    for row in tables.line:
        others[row["nodeA"]] += 1
        others[row["nodeB"]] += 1
    for row in tables.transformer:
        others[row["nodeHV"]] += 1
        others[row["nodeLV"]] += 1
    for row in (*tables.load, *tables.generation, *tables.storage):
        others[row["node"]] += 1
    return switches, others


def _in_a_row(node: str, switches: Mapping[str, Sequence[Row]], others: Mapping[str, int]) -> list[str]:
    """Codes of the closed switches that follow each other from a line's end with nothing between."""
    codes: list[str] = []
    allowed, came_by = 1, ""  # The line itself ends at the first node.
    while others.get(node, 0) == allowed:
        onwards = [row for row in switches.get(node, ()) if row["id"] != came_by]
        if len(onwards) != 1 or onwards[0]["cond"] != "1":
            break
        (row,) = onwards
        codes.append(code_of(row["id"]))
        node = row["nodeB"] if row["nodeA"] == node else row["nodeA"]
        allowed, came_by = 0, row["id"]
    return codes
