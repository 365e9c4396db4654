"""How the city's grid stands at a time: what is switched off, what is switched over, who belongs to whom then."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.network import Network

Pair = tuple[int, int]


class NoSolutionError(ArithmeticError):
    """A grid has no power flow: it is asked for more than it can carry."""


@dataclass(frozen=True, slots=True)
class Topology:
    """Differences from the normal state, by position; of nodes, lines, areas and feeders of the network.

    Attributes
    ----------
    open_lines
        Lines that are open at the end nearer to their busbar.
    closed_ties
        Numbers of ties that are closed.
    dark_areas, dark_feeders
        Areas whose transformer, and feeders whose breaker, is open.
    taps
        Steps of `twin.components.TAP_STEP` by which an area's voltage is raised, by area.
    """

    open_lines: frozenset[int] = frozenset()
    closed_ties: frozenset[int] = frozenset()
    dark_areas: frozenset[int] = frozenset()
    dark_feeders: frozenset[int] = frozenset()
    taps: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Owners:
    """The feeder of each area, point and medium-voltage line; -1 for what has none: what is dark or on a busbar.

    A line of an area has -1 too.
    """

    of_area: NDArray[np.int64]
    of_point: NDArray[np.int64]
    of_line: NDArray[np.int64]


def owners(network: Network, topology: Topology, ties: NDArray[np.int64]) -> Owners:
    """Who supplies what: walked to from each feeder's head.

    Parameters
    ----------
    ties
        Nodes that each tie joins, shape (ties, 2).

    Raises
    ------
    ValueError
        When a node is reached twice: the grid is not radial.
    """
    lines = network.lines
    adjacent: dict[int, list[tuple[int, int]]] = defaultdict(list)
    heads = {f.head: i for i, f in enumerate(network.feeders)}
    for line in np.flatnonzero(lines.feeder >= 0).tolist():
        if line not in topology.open_lines and line not in heads:
            _join(adjacent, int(lines.start[line]), int(lines.end[line]), line)
    for tie in topology.closed_ties:
        _join(adjacent, int(ties[tie, 0]), int(ties[tie, 1]), -1)
    of_line = np.full(len(lines.start), -1, np.int64)
    of_node = np.full(len(network.nodes), -1, np.int64)
    for feeder, head in enumerate(network.feeders):
        of_line[head.head] = feeder
        if feeder in topology.dark_feeders or head.head in topology.open_lines:
            continue
        stack = [(int(lines.end[head.head]), head.head)]
        while stack:
            node, came_by = stack.pop()
            if of_node[node] >= 0:
                raise ValueError(f"the grid is not radial: {network.nodes[node]} is reached twice")
            of_node[node] = feeder
            for far, line in adjacent[node]:
                if (line == came_by and line >= 0) or (line < 0 and came_by < 0):
                    continue
                if line >= 0:
                    of_line[line] = feeder
                stack.append((far, line))
    of_area = of_node[[a.high_node for a in network.areas]]
    of_point = np.array([of_node[p.node] if p.area < 0 and p.feeder >= 0 else -1 for p in network.points], np.int64)
    return Owners(of_area, of_point, of_line)


def _join(adjacent: dict[int, list[Pair]], a: int, b: int, line: int) -> None:
    adjacent[a].append((b, line))
    adjacent[b].append((a, line))
