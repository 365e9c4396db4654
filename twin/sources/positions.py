"""Where the nodes of the medium-voltage network are, from what stands at some of them."""

from __future__ import annotations

from collections import defaultdict

from grid.network import SwitchPosition
from twin.sources.scene import Scene
from twin.sources.table import Position


def node_positions(scene: Scene) -> dict[str, Position]:
    """Position of each node from which something with a position can be reached over lines.

    An area or dedicated customer gives its node's position; what closed switches join to it lies there as well.
    Other nodes lie in the middle of their neighbours, those that are nearest to a known one first. A busbar with
    customers of its own is where these are.
    """
    group = _groups(scene)
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
    found = {name: _middle(positions) for name, positions in known.items()}
    near: dict[str, list[str]] = defaultdict(list)
    for segment in scene.switched.segments:
        near[group[segment.from_node]].append(group[segment.to_node])
        near[group[segment.to_node]].append(group[segment.from_node])
    while True:
        ring = {
            name: _middle([found[other] for other in others if other in found])
            for name, others in near.items()
            if name not in found and any(other in found for other in others)
        }
        if not ring:
            break
        found |= ring
    return {node: found[name] for node, name in group.items() if name in found}


def _middle(positions: list[Position]) -> Position:
    count = len(positions)
    return round(sum(p[0] for p in positions) / count, 6), round(sum(p[1] for p in positions) / count, 6)


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
