"""The medium-voltage network with its switches, uncontracted, as the utility's records have it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from grid.network import AreaConnection, FeederHead, Network, Node, Segment, Switch, SwitchKind, SwitchPosition

_KIND = {"CB": SwitchKind.BREAKER, "LBS": SwitchKind.LOAD_BREAK, "DS": SwitchKind.DISCONNECTOR}
_MEDIUM_VOLTAGE = "5"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FeederHeadLine:
    """A feeder, and the end of its first line that is at the busbar: behind its breaker."""

    feeder: str
    node: str


def code_of(name: str) -> str:
    """A code that is usable everywhere, from a SimBench name."""
    return name.replace(" ", "-")


def read_switching(
    feeder_of: Mapping[str, str],
    lines: Iterable[tuple[Row, str]],
    line_types: Iterable[Row],
    switches: Iterable[Row],
    heads: Iterable[FeederHeadLine],
    connections: Iterable[tuple[str, str]],
) -> Network:
    """Nodes, line segments and switches of feeders, open tie points included.

    Parameters
    ----------
    feeder_of
        Feeder that energises a node, by name, of all medium-voltage nodes away from the busbars.
    lines
        Rows of the feeders' medium-voltage lines, with the feeder.
    switches
        Rows of all switches. Taken are the breakers at the feeders' heads, and those between two nodes of feeders:
        what leads to a line that supplies nothing isn't part of the grid.
    connections
        Code and node of each area and dedicated customer on a feeder.
    """
    kinds = {row["id"]: row for row in line_types}
    head_of = {head.node: head for head in heads}
    nodes: dict[str, str] = {}
    segments = []
    for row, feeder in lines:
        nodes |= dict.fromkeys((row["nodeA"], row["nodeB"]), feeder)
        segments.append(_segment(row, kinds[row["type"]]))
    taken: list[Row] = []
    breaker_of: dict[str, str] = {}
    for row in switches:
        ends = (row["nodeA"], row["nodeB"])
        head = next((head_of[end] for end in ends if end in head_of), None)
        if row["voltLvl"] != _MEDIUM_VOLTAGE or not (head or all(end in feeder_of for end in ends)):
            continue
        taken.append(row)
        if head is not None:
            breaker_of[head.feeder] = code_of(row["id"])
            nodes |= dict.fromkeys(ends, head.feeder)
        else:
            nodes |= {end: feeder_of[end] for end in ends}
    taps = list(connections)
    nodes |= {node: feeder_of[node] for _, node in taps}
    return Network(
        nodes=tuple(Node(code_of(name), feeder.split("_")[0]) for name, feeder in nodes.items()),
        segments=tuple(segments),
        switches=tuple(_switch(row) for row in taken),
        heads=tuple(FeederHead(h.feeder, code_of(h.node), breaker_of.get(h.feeder)) for h in head_of.values()),
        connections=tuple(AreaConnection(area, code_of(node)) for area, node in taps),
    )


def _segment(row: Row, kind: Row) -> Segment:
    return Segment(
        code_of(row["id"]),
        code_of(row["nodeA"]),
        code_of(row["nodeB"]),
        length_m=round(row["length"] * 1e3, 3),
        resistance_ohm=kind["r"] * row["length"],
        reactance_ohm=kind["x"] * row["length"],
    )


def _switch(row: Row) -> Switch:
    return Switch(
        code_of(row["id"]),
        _KIND[row["type"]],
        code_of(row["nodeA"]),
        code_of(row["nodeB"]),
        SwitchPosition.CLOSED if row["cond"] == "1" else SwitchPosition.OPEN,
    )
