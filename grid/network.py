"""The medium-voltage network: where line segments, switches, feeders and areas are connected.

Terms are those of IEC 61970: a connectivity node is what has one potential, a switch joins two of them while closed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from grid.model import check_code, unique

#: Nodes, segments, switches of one network. A substation has some thousands.
MAX_ELEMENTS = 2_000_000


class SwitchPosition(StrEnum):
    """Whether a switch conducts."""

    OPEN = "open"
    CLOSED = "closed"


class SwitchKind(StrEnum):
    """What a switch can do. A tie (联络开关) is a switch of any kind that is open in normal state."""

    BREAKER = "breaker"  # 断路器: breaks a short circuit
    LOAD_BREAK = "load_break"  # 负荷开关: breaks the load
    DISCONNECTOR = "disconnector"  # 隔离开关: isolates what carries no current


@dataclass(frozen=True, slots=True)
class Node:
    """A connectivity node (连接点) in the supply area of a substation."""

    code: str
    substation: str

    def __post_init__(self) -> None:
        check_code(self.code)


@dataclass(frozen=True, slots=True)
class Segment:
    """A line segment (线段) between two nodes, with the impedance of its whole length."""

    code: str
    from_node: str
    to_node: str
    length_m: float = 0.0
    resistance_ohm: float = 0.0
    reactance_ohm: float = 0.0

    def __post_init__(self) -> None:
        check_code(self.code)
        _check_ends(self.code, self.from_node, self.to_node)
        for name in ("length_m", "resistance_ohm", "reactance_ohm"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"segment {self.code}: {name} of {value}")


@dataclass(frozen=True, slots=True)
class Switch:
    """A switch between two nodes."""

    code: str
    kind: SwitchKind
    from_node: str
    to_node: str
    normal: SwitchPosition = SwitchPosition.CLOSED
    """Position while nothing else is reported."""

    def __post_init__(self) -> None:
        check_code(self.code)
        _check_ends(self.code, self.from_node, self.to_node)

    @property
    def is_tie(self) -> bool:
        """Whether it is a tie switch (联络开关), open in normal state."""
        return self.normal is SwitchPosition.OPEN


@dataclass(frozen=True, slots=True)
class FeederHead:
    """Where a feeder begins: the node that its breaker feeds from the busbar.

    The breaker is never traced through: the busbar behind it is taken as energised, and joins no feeders.
    """

    feeder: str
    node: str
    breaker: str | None = None
    """The feeder is dead while it is open; None when the feeder's breaker isn't known, and counts as closed."""


@dataclass(frozen=True, slots=True)
class AreaConnection:
    """The node that a transformer area or dedicated customer hangs on."""

    area: str
    node: str


@dataclass(frozen=True, slots=True)
class Network:
    """The network of one or more substations; codes are unique within each tuple and references to nodes and
    breakers resolve. Feeders and areas are those of the `GridModel` that carries it.
    """

    nodes: tuple[Node, ...]
    segments: tuple[Segment, ...]
    switches: tuple[Switch, ...]
    heads: tuple[FeederHead, ...]
    connections: tuple[AreaConnection, ...]

    def __post_init__(self) -> None:
        size = len(self.nodes) + len(self.segments) + len(self.switches)
        if size > MAX_ELEMENTS:
            raise ValueError(f"a network of {size} elements, of at most {MAX_ELEMENTS}")
        nodes = unique("node", (n.code for n in self.nodes))
        unique("segment", (s.code for s in self.segments))
        switches = unique("switch", (s.code for s in self.switches))
        unique("head of feeder", (h.feeder for h in self.heads))
        unique("connection of area", (c.area for c in self.connections))
        edges: tuple[Segment | Switch, ...] = (*self.segments, *self.switches)
        for edge in edges:
            for node in (edge.from_node, edge.to_node):
                if node not in nodes:
                    raise ValueError(f"{edge.code} names an unknown node: {node}")
        for head in self.heads:
            if head.node not in nodes:
                raise ValueError(f"feeder {head.feeder} begins at an unknown node: {head.node}")
            if head.breaker is not None and head.breaker not in switches:
                raise ValueError(f"feeder {head.feeder} names an unknown breaker: {head.breaker}")
        unique("breaker", (h.breaker for h in self.heads if h.breaker is not None))
        for connection in self.connections:
            if connection.node not in nodes:
                raise ValueError(f"area {connection.area} hangs on an unknown node: {connection.node}")


def _check_ends(code: str, from_node: str, to_node: str) -> None:
    if from_node == to_node:
        raise ValueError(f"{code} joins node {from_node} to itself")
