"""The walk from the busbars: which feeder and which area each node and line belongs to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from itertools import count

from twin.switching import code_of
from twin.tables import Tables


@dataclass(slots=True)
class Edge:
    """A line or transformer between contracted nodes, before numbering."""

    kind: str
    row: int
    ends: tuple[str, str]
    feeder: str = ""
    area: str = ""


@dataclass(frozen=True, slots=True)
class Walk:
    """What is energised. Nodes are contracted ones, by name."""

    owner: dict[str, tuple[str, str]]
    """Feeder and area of each node; empty at a busbar, and the area at medium voltage."""
    edges: list[Edge]
    """From the busbars on."""
    heads: dict[str, Edge]
    """A feeder's first line."""


def walk(tables: Tables, sources: dict[str, str], low: Collection[str] | None = None) -> Walk:
    """Walk from the busbars; of low-voltage grids, only into those in `low` (all by default).

    Raises
    ------
    ValueError
        When the grid is not radial.
    """
    adjacent: dict[str, list[Edge]] = defaultdict(list)
    for kind, table, columns, levels in (
        ("line", tables.line, ("nodeA", "nodeB"), "57"),
        ("transformer", tables.transformer, ("nodeHV", "nodeLV"), "6"),
    ):
        for i, row in enumerate(table):
            if row["voltLvl"] in levels and (kind == "line" or low is None or row["subnet"] in low):
                edge = Edge(kind, i, (tables.root(row[columns[0]]), tables.root(row[columns[1]])))
                adjacent[edge.ends[0]].append(edge)
                adjacent[edge.ends[1]].append(edge)
    owner: dict[str, tuple[str, str]] = dict.fromkeys(sources, ("", ""))
    edges: list[Edge] = []
    heads: dict[str, Edge] = {}
    stack: list[tuple[str, int | None]] = [(name, None) for name in sources]
    while stack:
        node, came_by = stack.pop()
        feeder, area = owner[node]
        for edge in adjacent[node]:
            if id(edge) == came_by:
                continue
            far = edge.ends[1] if edge.ends[0] == node else edge.ends[0]
            if far in owner:
                raise ValueError(f"the grid is not radial: {far} is reached twice")
            edge.ends = (node, far)
            edge.feeder, edge.area = feeder, area
            if edge.kind == "transformer":
                edge.area = code_of(tables.transformer[edge.row]["subnet"])
            elif not feeder:
                edge.feeder = _free(code_of(tables.line[edge.row]["subnet"]), heads)
                heads[edge.feeder] = edge
            owner[far] = (edge.feeder, edge.area)
            edges.append(edge)
            stack.append((far, id(edge)))
    return Walk(owner, edges, heads)


def _free(code: str, taken: Collection[str]) -> str:
    """The code, or for the second line and those after it that leave a busbar under one name, with a number."""
    numbered = (code if number == 1 else f"{code}-{number}" for number in count(1))
    return next(name for name in numbered if name not in taken)
