"""Which feeder energises which node (拓扑着色), given the positions of the switches.

Everything is dense integer arrays; nothing is traced by Python loops. Nodes that closed edges join are one component,
found by hooking each root to its smallest neighbour and halving the paths (after Shiloach and Vishkin, "An O(log n)
parallel connectivity algorithm", 1982): a chain of 5,000 nodes takes a dozen passes, where a breadth-first search
would take 5,000. A component belongs to the feeder whose head lies in it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grid.network import Network, SwitchPosition

#: Ends of an open period, microseconds since 1970.
BEGINNING_US = int(np.iinfo(np.int64).min)
END_US = int(np.iinfo(np.int64).max)

Indices = NDArray[np.int32]
Instants = NDArray[np.int64]
Mask = NDArray[np.bool_]


class SupplyStatus(IntEnum):
    """How a node is supplied."""

    DEAD = 0  # by no feeder: an island (孤岛)
    RADIAL = 1  # by one feeder, on one way
    LOOP = 2  # by one feeder whose closed switches form a ring (环网)
    PARALLEL = 3  # by more than one feeder (合环): none of them can be told apart


class Span(NamedTuple):
    """A valid period [from, to), microseconds since 1970."""

    from_us: int = BEGINNING_US
    to_us: int = END_US


class EdgeRow(NamedTuple):
    """A segment or switch between two nodes over a period."""

    code: str
    is_switch: bool
    from_node: str
    to_node: str
    valid: Span = Span()


class HeadRow(NamedTuple):
    """A feeder's beginning over a period."""

    feeder: str
    node: str
    breaker: str | None = None
    valid: Span = Span()


class TapRow(NamedTuple):
    """The node of an area over a period."""

    area: str
    node: str
    valid: Span = Span()


@dataclass(frozen=True, slots=True, eq=False)
class Wiring:
    """A network over time as dense arrays; everything refers to positions in the tuples of codes.

    Feeders are in the order of their codes. A feeder's own breaker is no edge: what lies before it isn't traced.
    """

    nodes: tuple[str, ...]
    feeders: tuple[str, ...]
    areas: tuple[str, ...]
    switches: tuple[str, ...]
    normal: Mask
    """Shape (switches,): closed in normal state."""
    edges: tuple[EdgeRow, ...]
    edge_nodes: Indices
    """Shape (edges, 2)."""
    edge_switch: Indices
    """−1 for a segment."""
    edge_valid_us: Instants
    """Shape (edges, 2), as those of heads and taps."""
    head_feeder: Indices
    head_node: Indices
    head_breaker: Indices
    """−1 where none is known."""
    head_valid_us: Instants
    tap_area: Indices
    tap_node: Indices
    tap_valid_us: Instants


@dataclass(frozen=True, slots=True, eq=False)
class Supply:
    """How the nodes are supplied at one instant.

    Attributes
    ----------
    component
        Shape (nodes,): number of the component that a node belongs to.
    feeder
        Shape (nodes,): the feeder, the first by code where there are more; −1 for none.
    status
        Shape (nodes,): `SupplyStatus`.
    reach
        Shape (feeders,): component that a feeder energises; −1 for a feeder whose breaker is open.
    """

    component: Indices
    feeder: Indices
    status: NDArray[np.uint8]
    reach: Indices

    def feeders_of(self, node: int) -> list[int]:
        """All feeders that energise a node."""
        return [int(f) for f in np.flatnonzero(self.reach == self.component[node])]

    def assign(self, taps: Indices, previous: Indices) -> Indices:
        """Feeder of each area.

        An area keeps the feeder that it had as long as that one reaches it: while two feeders are in parallel, an
        area belongs to the one it came from. Else it gets the first that does.

        Parameters
        ----------
        taps
            Shape (areas,): its node, −1 for an area that isn't connected then and stays where it was.
        previous
            Shape (areas,): its feeder until then; −1 for none.
        """
        component = self.component[taps]
        kept = (previous >= 0) & (self.reach[previous] == component) if len(self.reach) else np.zeros(len(taps), bool)
        return np.where((taps < 0) | kept, previous, self.feeder[taps]).astype(np.int32)


def wire(
    nodes: Sequence[str],
    switches: Mapping[str, bool],
    edges: Sequence[EdgeRow],
    heads: Sequence[HeadRow],
    taps: Sequence[TapRow],
    feeders: Collection[str] = (),
) -> Wiring:
    """Dense arrays of a network.

    Parameters
    ----------
    switches
        Whether each switch is closed in normal state.
    edges
        Those to nodes that aren't named lead nowhere and are left out.
    feeders
        Further feeders, without a head.
    """
    node_at = {code: i for i, code in enumerate(nodes)}
    switch_at = {code: i for i, code in enumerate(switches)}
    feeder_codes = sorted({h.feeder for h in heads} | set(feeders))
    feeder_at = {code: i for i, code in enumerate(feeder_codes)}
    areas = tuple(dict.fromkeys(t.area for t in taps))
    area_at = {code: i for i, code in enumerate(areas)}
    breakers = {h.breaker for h in heads}
    kept = tuple(
        e for e in edges if e.from_node in node_at and e.to_node in node_at and not (e.is_switch and e.code in breakers)
    )
    return Wiring(
        nodes=tuple(nodes),
        feeders=tuple(feeder_codes),
        areas=areas,
        switches=tuple(switches),
        normal=np.array(list(switches.values()), dtype=np.bool_),
        edges=kept,
        edge_nodes=np.array([(node_at[e.from_node], node_at[e.to_node]) for e in kept], np.int32).reshape(-1, 2),
        edge_switch=np.array([switch_at[e.code] if e.is_switch else -1 for e in kept], np.int32),
        edge_valid_us=_spans([e.valid for e in kept]),
        head_feeder=np.array([feeder_at[h.feeder] for h in heads], np.int32),
        head_node=np.array([node_at[h.node] for h in heads], np.int32),
        head_breaker=np.array([-1 if h.breaker is None else switch_at[h.breaker] for h in heads], np.int32),
        head_valid_us=_spans([h.valid for h in heads]),
        tap_area=np.array([area_at[t.area] for t in taps], np.int32),
        tap_node=np.array([node_at[t.node] for t in taps], np.int32),
        tap_valid_us=_spans([t.valid for t in taps]),
    )


def wire_network(network: Network) -> Wiring:
    """Dense arrays of a network that doesn't change but for its switches."""
    edges = [EdgeRow(s.code, False, s.from_node, s.to_node) for s in network.segments]
    edges += [EdgeRow(s.code, True, s.from_node, s.to_node) for s in network.switches]
    return wire(
        [n.code for n in network.nodes],
        {s.code: s.normal is SwitchPosition.CLOSED for s in network.switches},
        edges,
        [HeadRow(h.feeder, h.node, h.breaker) for h in network.heads],
        [TapRow(c.area, c.node) for c in network.connections],
    )


def trace(wiring: Wiring, closed: Mask, at_us: int = 0) -> Supply:
    """How every node is supplied at an instant.

    Parameters
    ----------
    closed
        Shape (switches,).
    at_us
        Microseconds since 1970; what isn't valid then isn't there.
    """
    start, end = wiring.edge_nodes[conducting(wiring, closed, at_us)].T
    count = len(wiring.nodes)
    component = _components(count, start, end)
    live = holds(wiring.head_valid_us, at_us)
    live &= (wiring.head_breaker < 0) | _at(closed, wiring.head_breaker)
    feeders, heads = wiring.head_feeder[live], component[wiring.head_node[live]]
    reach = np.full(len(wiring.feeders), -1, np.int32)
    reach[feeders] = heads
    none = len(wiring.feeders)
    first = np.full(count, none, np.int32)
    np.minimum.at(first, heads, feeders)
    feeder = first[component]
    # A tree has one edge less than nodes.
    closes = np.bincount(component[start], minlength=count) >= np.bincount(component, minlength=count)
    status = np.where(closes, SupplyStatus.LOOP, SupplyStatus.RADIAL)
    status[np.bincount(heads, minlength=count) > 1] = SupplyStatus.PARALLEL
    status[first == none] = SupplyStatus.DEAD
    return Supply(
        component, np.where(feeder == none, -1, feeder).astype(np.int32), status[component].astype(np.uint8), reach
    )


def conducting(wiring: Wiring, closed: Mask, at_us: int = 0) -> Mask:
    """Which edges join their nodes at an instant; shape (edges,)."""
    there = holds(wiring.edge_valid_us, at_us)
    return there & ((wiring.edge_switch < 0) | _at(closed, wiring.edge_switch))


def taps_at(wiring: Wiring, at_us: int = 0) -> Indices:
    """Node of each area at an instant, −1 where it isn't connected then; shape (areas,)."""
    taps = np.full(len(wiring.areas), -1, np.int32)
    there = holds(wiring.tap_valid_us, at_us)
    taps[wiring.tap_area[there]] = wiring.tap_node[there]
    return taps


def find_paths(wiring: Wiring, closed: Mask, start: int, at_us: int = 0) -> dict[int, tuple[int, int] | None]:
    """Every node that is reached from `start` over conducting edges, in the order of its distance: the edge and the
    node by which it is reached first, None for `start` itself. For showing, not for settling: this one is a loop.
    """
    neighbours: dict[int, list[tuple[int, int]]] = {}
    for edge in np.flatnonzero(conducting(wiring, closed, at_us)).tolist():
        a, b = wiring.edge_nodes[edge].tolist()
        neighbours.setdefault(a, []).append((edge, b))
        neighbours.setdefault(b, []).append((edge, a))
    reached: dict[int, tuple[int, int] | None] = {start: None}
    queue = [start]
    for node in queue:
        for edge, far in neighbours.get(node, ()):
            if far not in reached:
                reached[far] = (edge, node)
                queue.append(far)
    return reached


def _components(count: int, start: Indices, end: Indices) -> Indices:
    """Smallest node of the component of each node, where edges join `start` and `end`."""
    root = np.arange(count, dtype=np.int32)
    while True:
        a, b = root[start], root[end]
        apart = a != b
        if not apart.any():
            return root
        start, end, a, b = start[apart], end[apart], a[apart], b[apart]
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while True:
            above = root[root]
            if np.array_equal(above, root):
                break
            root = above


def _spans(spans: Sequence[Span]) -> Instants:
    return np.array(spans, np.int64).reshape(-1, 2)


def holds(valid_us: Instants, at_us: int) -> Mask:
    """Which periods, of shape (n, 2), contain an instant."""
    held: Mask = (valid_us[:, 0] <= at_us) & (at_us < valid_us[:, 1])
    return held


def _at(closed: Mask, switch: Indices) -> Mask:
    """Positions of switches, whatever for −1."""
    if not len(closed):
        return np.zeros(len(switch), np.bool_)
    taken: Mask = closed[switch]
    return taken
