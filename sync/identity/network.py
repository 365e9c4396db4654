"""Which element of a network model is which of the grid's: by what is connected to what; pure.

What closed switches join is taken as one place first. Lines whose length and impedance no other line has are the
anchors, and places where lines end as at no other: they are the same. From a place that is known, a line whose values
no other line there has leads to the next one. So it goes on until nothing new is found. What is then known of lines
gives the nodes at their ends, and those the switches in between.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Edge(NamedTuple):
    """An element between two nodes.

    Attributes
    ----------
    label
        What a line can be told by; None of a switch.
    joins
        A switch that is closed in normal state.
    """

    key: str
    first: str
    second: str
    label: Hashable | None
    joins: bool = False


@dataclass(frozen=True, slots=True)
class Matched:
    """A network model as the grid's.

    Attributes
    ----------
    edges
        Of ours, by key of theirs.
    places
        Nodes of ours that a node of theirs may be: all of the place.
    """

    edges: Mapping[str, str]
    places: Mapping[str, frozenset[str]]


def match_networks(theirs: Sequence[Edge], ours: Sequence[Edge]) -> Matched:
    """Match two networks; a line has its ends in the same order in both, or not."""
    their_group, our_group = join_nodes(theirs), join_nodes(ours)
    groups, lines = _match_lines(
        [_at_groups(e, their_group) for e in theirs if e.label is not None],
        [_at_groups(e, our_group) for e in ours if e.label is not None],
    )
    edges = dict(lines)
    edges |= _match_switches(theirs, ours, lines)
    members: dict[str, set[str]] = defaultdict(set)
    for node, group in our_group.items():
        members[group].add(node)
    places = {node: frozenset(members[groups[group]]) for node, group in their_group.items() if group in groups}
    return Matched(edges, places)


def join_nodes(edges: Sequence[Edge]) -> dict[str, str]:
    """For each node the one that stands for all that closed switches join to it."""
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for edge in edges:
        first, second = root(edge.first), root(edge.second)
        if edge.joins and first != second:
            parent[max(first, second)] = min(first, second)
    return {node: root(node) for node in list(parent)}


def _at_groups(edge: Edge, group: Mapping[str, str]) -> Edge:
    return edge._replace(first=group[edge.first], second=group[edge.second])


def _match_lines(theirs: Sequence[Edge], ours: Sequence[Edge]) -> tuple[dict[str, str], dict[str, str]]:
    """Places and lines that belong together."""
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    unique = _unique(ours)
    for label, edge in _unique(theirs).items():
        if label in unique:
            votes[edge.first][unique[label].first] += 1
            votes[edge.second][unique[label].second] += 1
    their_ends, our_ends = _incident(theirs), _incident(ours)
    their_look = {place: _look(ends) for place, ends in their_ends.items()}
    our_look = {place: _look(ends) for place, ends in our_ends.items()}
    for place, other in _same_look(their_look, our_look):
        votes[place][other] += 1
    groups = _settled(votes)
    waiting = sorted(groups)
    taken = set(groups.values())
    while waiting:
        place = waiting.pop()
        here, there = _by_label(their_ends[place]), _by_label(our_ends[groups[place]])
        for label, ends in here.items():
            # Those whose far ends are known already leave the rest to each other.
            far = {end: their_look[end] for _, end in ends if end not in groups}
            yours = {end: our_look[end] for _, end in there.get(label, ()) if end not in taken}
            alone = len(far) == 1 and len(yours) == 1
            for mine, other in [(*far, *yours)] if alone else _same_look(far, yours):
                groups[mine] = other
                taken.add(other)
                waiting.append(mine)
    return groups, _lines_between(theirs, ours, groups)


_Look = tuple[Hashable, ...]


def _look(ends: Iterable[tuple[Edge, str]]) -> _Look:
    """What a place looks like: the lines that end there."""
    return tuple(sorted((edge.label for edge, _ in ends), key=str))


def _same_look(first: Mapping[str, _Look], second: Mapping[str, _Look]) -> list[tuple[str, str]]:
    """Places that alone look so, here and there; one where a single line ends tells little."""
    found: list[tuple[str, str]] = []
    counts = Counter(first.values()), Counter(second.values())
    by_look = {look: place for place, look in second.items()}
    for place, look in sorted(first.items()):
        if len(look) > 1 and counts[0][look] == 1 and counts[1][look] == 1:
            found.append((place, by_look[look]))
    return found


def _lines_between(theirs: Sequence[Edge], ours: Sequence[Edge], groups: Mapping[str, str]) -> dict[str, str]:
    between: dict[tuple[frozenset[str], Hashable], list[str]] = defaultdict(list)
    for edge in ours:
        between[frozenset((edge.first, edge.second)), edge.label].append(edge.key)
    unique = _unique(ours)
    found: dict[str, str] = {}
    for edge in theirs:
        ends = frozenset(groups.get(node, "?") for node in (edge.first, edge.second))
        there = between.get((ends, edge.label), [])
        if len(there) == 1:
            found[edge.key] = there[0]
    for label, edge in _unique(theirs).items():
        if label in unique:
            found.setdefault(edge.key, unique[label].key)
    return _each_once(found)


def _match_switches(theirs: Sequence[Edge], ours: Sequence[Edge], lines: Mapping[str, str]) -> dict[str, str]:
    """Switches between nodes that are known, from the ends of known lines on."""
    by_key = {edge.key: edge for edge in ours}
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for edge in theirs:
        if edge.key in lines:
            other = by_key[lines[edge.key]]
            votes[edge.first][other.first] += 1
            votes[edge.second][other.second] += 1
    nodes = _settled(votes)
    taken = set(nodes.values())
    their_ends = _incident([e for e in theirs if e.label is None])
    our_ends = _incident([e for e in ours if e.label is None])
    waiting = sorted(nodes)
    while waiting:
        node = waiting.pop()
        far = sorted({end for _, end in their_ends.get(node, ()) if end not in nodes})
        beside = sorted({end for _, end in our_ends.get(nodes[node], ()) if end not in taken})
        if len(far) == 1 and len(beside) == 1:
            nodes[far[0]] = beside[0]
            taken.add(beside[0])
            waiting.append(far[0])
            # Whoever waits beside it has one stranger less.
            waiting += [end for _, end in their_ends.get(far[0], ()) if end in nodes]
    between: dict[frozenset[str], list[str]] = defaultdict(list)
    for edge in ours:
        if edge.label is None:
            between[frozenset((edge.first, edge.second))].append(edge.key)
    found: dict[str, str] = {}
    for edge in theirs:
        if edge.label is None and edge.first in nodes and edge.second in nodes:
            switches = between.get(frozenset((nodes[edge.first], nodes[edge.second])), [])
            if len(switches) == 1:
                found[edge.key] = switches[0]
    return _each_once(found)


def _each_once(found: Mapping[str, str]) -> dict[str, str]:
    """Of several that claim to be the same, none is."""
    claims = Counter(found.values())
    return {key: value for key, value in found.items() if claims[value] == 1}


def _unique(edges: Iterable[Edge]) -> dict[Hashable, Edge]:
    listed = list(edges)
    counted = Counter(edge.label for edge in listed)
    return {edge.label: edge for edge in listed if counted[edge.label] == 1}


def _incident(edges: Iterable[Edge]) -> dict[str, list[tuple[Edge, str]]]:
    found: dict[str, list[tuple[Edge, str]]] = defaultdict(list)
    for edge in edges:
        found[edge.first].append((edge, edge.second))
        found[edge.second].append((edge, edge.first))
    return found


def _by_label(ends: Iterable[tuple[Edge, str]]) -> dict[Hashable, list[tuple[Edge, str]]]:
    found: dict[Hashable, list[tuple[Edge, str]]] = defaultdict(list)
    for edge, far in ends:
        found[edge.label].append((edge, far))
    return found


def _settled(votes: Mapping[str, Counter[str]]) -> dict[str, str]:
    """Of each the one that most say, each once."""
    listed = sorted(
        ((count, node, other) for node, counted in votes.items() for other, count in counted.items()),
        key=lambda vote: (-vote[0], vote[1], vote[2]),
    )
    found: dict[str, str] = {}
    taken: set[str] = set()
    for _, node, other in listed:
        if node not in found and other not in taken:
            found[node] = other
            taken.add(other)
    return found
