"""Shows how a feeder, an area or a switch is supplied: the way from the head to it, and what hangs on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from grid.network import SwitchPosition
from grid.topology import Mask, Supply, SupplyStatus, Wiring, find_paths, taps_at, trace
from store.connection import Connection
from store.sql import load_queries
from store.wiring import read_wiring, substations_around, to_us

_SQL = load_queries("trace")


class TraceError(ValueError):
    """There is nothing of that name, or nothing is known of its connection."""


@dataclass(frozen=True, slots=True)
class Step:
    """One piece of equipment on the way from a feeder's head.

    Attributes
    ----------
    kind
        ``segment``, or a switch's kind.
    node
        Code of the node behind it.
    length_m, resistance_ohm, reactance_ohm
        0 for a switch.
    """

    code: str
    kind: str
    node: str
    length_m: float = 0.0
    resistance_ohm: float = 0.0
    reactance_ohm: float = 0.0


@dataclass(frozen=True, slots=True)
class Tie:
    """An open switch at the end of what is energised; `feeders` are those on its other side."""

    code: str
    feeders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Traced:
    """How something is supplied at an instant.

    Attributes
    ----------
    kind
        ``feeder``, ``area`` or ``switch``.
    status
        Name of a `SupplyStatus` in small letters.
    feeders
        Those that energise it: one, or none of what is dead, or all that are in parallel.
    position, since
        Of a switch, with the instant of the report; None where there is none and the normal position holds.
    path
        From the first of `feeders` that there is.
    areas
        What hangs on it: areas that a feeder energises, or that lose their supply when the switch opens.
    ties
        Of a feeder.
    """

    code: str
    kind: str
    at: datetime
    status: str
    feeders: tuple[str, ...]
    position: str | None = None
    since: datetime | None = None
    path: tuple[Step, ...] = ()
    areas: tuple[str, ...] = ()
    ties: tuple[Tie, ...] = ()


@dataclass(frozen=True, slots=True)
class _State:
    """A network at one instant."""

    wiring: Wiring
    closed: Mask
    supply: Supply
    at_us: int

    def feeders_of(self, node: int) -> tuple[str, ...]:
        return tuple(self.wiring.feeders[f] for f in self.supply.feeders_of(node))

    def status_of(self, node: int) -> str:
        return SupplyStatus(int(self.supply.status[node])).name.lower()


def trace_code(connection: Connection, code: str, at: datetime) -> Traced:
    """Trace the unit or switch with this code, as the network and its switches were at an instant, as now believed.

    Raises
    ------
    TraceError
        With what is lacking.
    """
    arguments = {"code": code, "at": at}
    row = connection.execute(_SQL["unit"], arguments).fetchone()
    row = row or connection.execute(_SQL["switch"], arguments).fetchone()
    if row is None:
        raise TraceError(f"no feeder, area or switch is named {code}")
    kind, substation = row
    if substation is None:
        raise TraceError(f"{kind} {code} is not connected to the network at {at.isoformat()}")
    wiring, reported = read_wiring(connection, substations_around(connection, [substation], at), at)
    at_us = to_us(at)
    closed = reported.closed_at(wiring.normal, at_us)
    state = _State(wiring, closed, trace(wiring, closed, at_us), at_us)
    if kind == "switch":
        since = connection.execute(_SQL["reported"], arguments).fetchone()
        return _trace_switch(connection, state, code, at, None if since is None else since[0])
    if kind == "feeder":
        return _trace_feeder(state, code, at)
    return _trace_area(connection, state, code, at)


def _trace_area(connection: Connection, state: _State, code: str, at: datetime) -> Traced:
    node = int(taps_at(state.wiring, state.at_us)[state.wiring.areas.index(code)])
    return Traced(
        code, "area", at, state.status_of(node), state.feeders_of(node), path=_path(connection, state, [node])
    )


def _trace_feeder(state: _State, code: str, at: datetime) -> Traced:
    wiring = state.wiring
    head = _head(state, code)
    component = state.supply.reach[wiring.feeders.index(code)]
    if component < 0:  # its breaker is open, though another feeder may feed it from behind
        return Traced(code, "feeder", at, state.status_of(head), state.feeders_of(head))
    ties = []
    there = (wiring.edge_valid_us[:, 0] <= state.at_us) & (state.at_us < wiring.edge_valid_us[:, 1])
    for edge in np.flatnonzero(there & (wiring.edge_switch >= 0)).tolist():
        inside = state.supply.component[wiring.edge_nodes[edge]] == component
        if inside.sum() == 1:
            far = int(wiring.edge_nodes[edge][int(np.flatnonzero(~inside)[0])])
            ties.append(Tie(wiring.edges[edge].code, state.feeders_of(far)))
    taps = taps_at(wiring, state.at_us)
    areas = [wiring.areas[i] for i in np.flatnonzero((taps >= 0) & (state.supply.component[taps] == component))]
    return Traced(
        code,
        "feeder",
        at,
        state.status_of(head),
        state.feeders_of(head),
        areas=tuple(sorted(areas)),
        ties=tuple(ties),
    )


def _trace_switch(connection: Connection, state: _State, code: str, at: datetime, since: datetime | None) -> Traced:
    wiring = state.wiring
    index = wiring.switches.index(code)
    position = SwitchPosition.CLOSED if state.closed[index] else SwitchPosition.OPEN
    opened = state.closed.copy()
    opened[index] = False
    without = trace(wiring, opened, state.at_us)
    taps = taps_at(wiring, state.at_us)
    lost = (state.supply.status[taps] != SupplyStatus.DEAD) & (without.status[taps] == SupplyStatus.DEAD) & (taps >= 0)
    areas = tuple(sorted(wiring.areas[i] for i in np.flatnonzero(lost)))
    ends = [wiring.edge_nodes[e].tolist() for e in np.flatnonzero(wiring.edge_switch == index)]
    if ends:
        fed = [node for node in ends[-1] if state.feeders_of(node)]
        node, path = (fed or ends[-1])[0], _path(connection, state, fed)
        status = state.status_of(node)
        feeders = tuple(dict.fromkeys(f for n in ends[-1] for f in state.feeders_of(n)))
    else:  # a feeder's breaker, with nothing before it; or a switch whose other end isn't joined to anything here
        node = next((int(n) for b, n in zip(wiring.head_breaker, wiring.head_node, strict=True) if b == index), -1)
        status = SupplyStatus.DEAD.name.lower() if node < 0 else state.status_of(node)
        feeders, path = () if node < 0 else state.feeders_of(node), ()
    return Traced(code, "switch", at, status, feeders, position.value, since, path, areas)


def _path(connection: Connection, state: _State, nodes: Sequence[int]) -> tuple[Step, ...]:
    """The way to the nearest of some nodes from the first feeder that reaches one."""
    wiring = state.wiring
    feeder = next((f for node in nodes for f in state.feeders_of(node)), None)
    if feeder is None:
        return ()
    head = _head(state, feeder)
    ways = find_paths(wiring, state.closed, head, state.at_us)
    node = next(n for n in ways if n in nodes)
    taken: list[tuple[int, int]] = []
    while (way := ways[node]) is not None:
        taken.append((way[0], node))
        node = way[1]
    edges = [(wiring.edges[edge], wiring.nodes[to]) for edge, to in reversed(taken)]
    breaker = next(wiring.head_breaker[h] for h in _heads(state, feeder))
    codes = [edge.code for edge, _ in edges] + ([] if breaker < 0 else [wiring.switches[breaker]])
    kinds: dict[str, str] = dict(connection.execute(_SQL["kinds"], {"codes": codes}).fetchall())
    segments = {row[0]: row[1:] for row in connection.execute(_SQL["segments"], {"codes": codes})}
    steps = [] if breaker < 0 else [Step(codes[-1], kinds[codes[-1]], wiring.nodes[head])]
    for edge, to in edges:
        if edge.is_switch:
            steps.append(Step(edge.code, kinds[edge.code], to))
        else:
            steps.append(Step(edge.code, "segment", to, *segments[edge.code]))
    return tuple(steps)


def _head(state: _State, feeder: str) -> int:
    return int(state.wiring.head_node[_heads(state, feeder)[0]])


def _heads(state: _State, feeder: str) -> list[int]:
    """Rows of a feeder's head at the instant: one."""
    wiring = state.wiring
    valid = (wiring.head_valid_us[:, 0] <= state.at_us) & (state.at_us < wiring.head_valid_us[:, 1])
    found: list[int] = np.flatnonzero(valid & (wiring.head_feeder == wiring.feeders.index(feeder))).tolist()
    return found
