"""Oracle of units within units in plain Python; imports nothing of the package."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Node:
    """A unit: readings in watt-hours as (import, export), None where one has not come."""

    gateways: list[tuple[int, int] | None] = field(default_factory=list)
    customers: list[tuple[int, int] | None] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)


@dataclass
class Figures:
    """Of one unit; None where not known."""

    taken: int | None
    returned: int | None
    own: int | None
    total: int | None


def figures(tree: dict[str, Node], name: str) -> Figures:
    """A unit's energies and losses, by recursion. One without gateways is the sum of its parts."""
    node = tree[name]
    below = [figures(tree, part) for part in node.parts]
    parts_known = all(b.total is not None for b in below)
    if not node.gateways:
        if any(b.taken is None for b in below):
            return Figures(None, None, None, None)
        taken, returned = sum(b.taken or 0 for b in below), sum(b.returned or 0 for b in below)
        own = 0 if parts_known else None
        return Figures(taken, returned, own, sum(b.total or 0 for b in below) if parts_known else None)
    if any(g is None for g in node.gateways):
        return Figures(None, None, None, None)
    taken = sum(g[0] for g in node.gateways if g)
    returned = sum(g[1] for g in node.gateways if g)
    if any(c is None for c in node.customers) or any(b.taken is None for b in below):
        return Figures(taken, returned, None, None)
    sold = sum(c[0] for c in node.customers if c) + sum(b.taken or 0 for b in below)
    fed_in = sum(c[1] for c in node.customers if c) + sum(b.returned or 0 for b in below)
    own = taken + fed_in - returned - sold
    return Figures(taken, returned, own, own + sum(b.total or 0 for b in below) if parts_known else None)


def level(tree: dict[str, Node], members: list[str]) -> int | None:
    """Loss of a voltage level: what its members lose themselves."""
    own = [figures(tree, name).own for name in members]
    return None if None in own else sum(o or 0 for o in own)


def level_inflow(tree: dict[str, Node], members: list[str]) -> int | None:
    """What came into a level: what members took that are part of no other member."""
    inside = {part for name in members for part in tree[name].parts}
    taken = [figures(tree, name) for name in members if name not in inside]
    known = all(figures(tree, name).taken is not None for name in members)
    return sum((f.taken or 0) + (f.returned or 0) for f in taken) if known else None
