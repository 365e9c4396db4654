"""Where the nodes of the medium-voltage network are, from what stands at some of them."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np

from grid.network import SwitchPosition
from twin.sources.scene import Scene
from twin.sources.table import Position, draws

_METRES_A_DEGREE = 111_320.0
#: Distance of a line's ends, as a share of its length: the median of SimBench's medium-voltage lines.
_STRAIGHT = 0.37


def node_positions(scene: Scene) -> dict[str, Position]:
    """Position of each node from which something with a position can be reached over lines.

    An area or dedicated customer gives its node's position, customers on a busbar the busbar's; what closed switches
    join lies together. The other nodes are estimated: each lies in the mean of its neighbours, weighted by the inverse
    of the lines' lengths (so a node halfway along a line lies halfway). Where that puts a node upon the one it is
    reached from, as at a dead end, it is moved away by `_STRAIGHT` of the line's length.
    """
    group = _groups(scene)
    known = _known(scene, group)
    near: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for segment in scene.switched.segments:
        ends = group[segment.from_node], group[segment.to_node]
        if ends[0] != ends[1]:
            near[ends[0]].append((ends[1], max(segment.length_m, 1.0)))
            near[ends[1]].append((ends[0], max(segment.length_m, 1.0)))
    order = _reached(known, near)
    mean = _weighted_means(known, near, [name for name, _, _ in order])
    found = dict(known)
    angle = draws(scene.seed, "gis/direction", [name for name, _, _ in order])[:, 0] / 2.0**64 * 2 * np.pi
    for (name, parent, length_m), turn in zip(order, angle.tolist(), strict=True):
        if _apart_m(mean[name], mean[parent]) > 1:
            found[name] = mean[name]
        else:
            x, y = found[parent]
            away = _STRAIGHT * length_m / _METRES_A_DEGREE
            found[name] = (x + away * math.cos(turn) / math.cos(math.radians(y)), y + away * math.sin(turn))
    rounded = {name: (round(x, 6), round(y, 6)) for name, (x, y) in found.items()}
    return {node: rounded[name] for node, name in group.items() if name in rounded}


def _known(scene: Scene, group: dict[str, str]) -> dict[str, Position]:
    place = {a.code: (a.longitude_deg, a.latitude_deg) for a in scene.model.areas}
    known: dict[str, list[Position]] = defaultdict(list)
    for connection in scene.switched.connections:
        longitude, latitude = place[connection.area]
        if longitude is not None and latitude is not None:
            known[group[connection.node]].append((longitude, latitude))
    busbar = {p.grid: (p.longitude_deg, p.latitude_deg) for p in scene.network.points if p.feeder < 0}
    for head in scene.switched.heads:
        substation = scene.substation_of[head.feeder]
        if substation in busbar:
            known[group[head.node]] = [busbar[substation]]
    return {name: _middle(positions) for name, positions in known.items()}


def _reached(known: dict[str, Position], near: dict[str, list[tuple[str, float]]]) -> list[tuple[str, str, float]]:
    """What is reached from the known ones, nearest in lines first: itself, from where, over which length."""
    seen, ring, order = set(known), list(known), []
    while ring:
        further = []
        for parent in ring:
            for name, length_m in near[parent]:
                if name not in seen:
                    seen.add(name)
                    further.append(name)
                    order.append((name, parent, length_m))
        ring = further
    return order


def _weighted_means(
    known: dict[str, Position], near: dict[str, list[tuple[str, float]]], unknown: list[str]
) -> dict[str, Position]:
    """Positions at which every unknown one lies in the weighted mean of its neighbours, and the known ones."""
    found = dict(known)
    for start in unknown:
        if start not in found:
            members, stack = {start}, [start]
            while stack:
                fresh = [o for o, _ in near[stack.pop()] if o not in known and o not in members]
                members.update(fresh)
                stack += fresh
            found |= _solved(known, near, sorted(members))
    return found


def _solved(
    known: dict[str, Position], near: dict[str, list[tuple[str, float]]], together: list[str]
) -> dict[str, Position]:
    """The same for nodes that are connected without passing a known one: so the equations stay few."""
    at = {name: i for i, name in enumerate(together)}
    matrix, right = np.zeros((len(together), len(together))), np.zeros((len(together), 2))
    for name, i in at.items():
        for other, length_m in near[name]:
            matrix[i, i] += 1 / length_m
            if other in at:
                matrix[i, at[other]] -= 1 / length_m
            else:
                right[i] += np.array(known[other]) / length_m
    return {name: (x, y) for name, (x, y) in zip(together, np.linalg.solve(matrix, right).tolist(), strict=True)}


def _apart_m(a: Position, b: Position) -> float:
    east = (a[0] - b[0]) * math.cos(math.radians(a[1]))
    return math.hypot(east, a[1] - b[1]) * _METRES_A_DEGREE


def _middle(positions: list[Position]) -> Position:
    count = len(positions)
    return sum(p[0] for p in positions) / count, sum(p[1] for p in positions) / count


def _groups(scene: Scene) -> dict[str, str]:
    """For each node the one that stands for all that closed switches join to it."""
    parent = {node.code: node.code for node in scene.switched.nodes}

    def root(node: str) -> str:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for switch in scene.switched.switches:
        if switch.normal is SwitchPosition.CLOSED:
            first, second = sorted((root(switch.from_node), root(switch.to_node)))
            parent[second] = first
    return {node: root(node) for node in parent}
