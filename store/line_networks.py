"""Reads what feeders consist of at a time, and keeps it until something changes."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from grid.line_network import LineNetwork
from grid.topology import BEGINNING_US, END_US, Supply, SupplyStatus, Wiring, conducting, holds, taps_at, trace
from store.connection import Connection
from store.sql import load_queries
from store.wiring import joined_substations, read_wiring, to_instant, to_us

_SQL = load_queries("line_networks")
#: How long before an interval the network is read from, so that neighbouring intervals find it read.
_BEFORE = timedelta(days=1)
#: Periods that are kept; a period of a feeder of 500 nodes takes some 50 kB.
_MAX_KEPT = 4_096


class LineNetworks:
    """Networks of feeders by time; one that isn't known or isn't radial then is None.

    A network holds from one change of a switch, a connection or a transformer to the next.
    """

    def __init__(self) -> None:
        self._held: dict[str, list[tuple[int, int, LineNetwork | None]]] = defaultdict(list)
        self._kept = 0

    def clear(self) -> None:
        """Forget all: something has changed."""
        self._held.clear()
        self._kept = 0

    def get(self, connection: Connection, feeder: str, at_us: int) -> LineNetwork | None:
        """The network of a feeder at an instant, microseconds since 1970."""
        for from_us, to_us_, network in self._held[feeder]:
            if from_us <= at_us < to_us_:
                return network
        if self._kept >= _MAX_KEPT:
            self.clear()
        self._read(connection, feeder, at_us)
        return next((n for a, b, n in self._held[feeder] if a <= at_us < b), None)

    def _read(self, connection: Connection, feeder: str, at_us: int) -> None:
        """Read all feeders that are joined to one, as they are at an instant."""
        at = to_instant(at_us)
        row = None
        if at is not None:
            row = connection.execute(_SQL["substation"], {"feeder": feeder, "at": at}).fetchone()
        if row is None or at is None:
            self._keep(feeder, at_us, at_us + 3_600_000_000, None)
            return
        since = at - _BEFORE
        wiring, positions = read_wiring(connection, joined_substations(connection, [row[0]], since), since)
        plated_us = [us for (us,) in connection.execute(_SQL["plate_instants"], {"codes": list(wiring.areas)})]
        other_us = np.concatenate((positions.from_us, positions.to_us, np.array(plated_us, np.int64)))
        from_us, until_us = _period(wiring, other_us, to_us(since), at_us)
        closed = positions.closed_at(wiring.normal, at_us)
        supply = trace(wiring, closed, at_us)
        edges = np.flatnonzero(conducting(wiring, closed, at_us))
        segments = {wiring.edges[e].code for e in edges.tolist() if not wiring.edges[e].is_switch}
        impedance = {
            code: (resistance, reactance)
            for code, resistance, reactance in connection.execute(_SQL["segments"], {"codes": sorted(segments)})
        }
        plates = {
            code: plate for code, *plate in connection.execute(_SQL["plates"], {"codes": list(wiring.areas), "at": at})
        }
        span = (from_us, until_us)
        for number, code in enumerate(wiring.feeders):
            network = _network(wiring, supply, edges, number, at_us, impedance, plates, float(row[1]), span)
            self._keep(code, from_us, until_us, network)
        if feeder not in wiring.feeders:
            self._keep(feeder, from_us, until_us, None)

    def _keep(self, feeder: str, from_us: int, until_us: int, network: LineNetwork | None) -> None:
        self._held[feeder].append((from_us, until_us, network))
        self._kept += 1


def _period(wiring: Wiring, other_us: NDArray[np.int64], since_us: int, at_us: int) -> tuple[int, int]:
    """Between which instants nothing changes around one."""
    edges = [wiring.edge_valid_us, wiring.head_valid_us, wiring.tap_valid_us]
    instants = np.concatenate([other_us, *(valid.ravel() for valid in edges)])
    instants = instants[(instants != BEGINNING_US) & (instants != END_US)]
    before, after = instants[instants <= at_us], instants[instants > at_us]
    from_us = max(since_us, int(before.max())) if len(before) else since_us
    return from_us, int(after.min()) if len(after) else END_US


def _network(
    wiring: Wiring,
    supply: Supply,
    edges: NDArray[np.intp],
    feeder: int,
    at_us: int,
    impedance: dict[str, tuple[float, float]],
    plates: dict[str, list[object]],
    voltage_v: float,
    span: tuple[int, int],
) -> LineNetwork | None:
    heads = wiring.head_node[(wiring.head_feeder == feeder) & holds(wiring.head_valid_us, at_us)]
    if len(heads) != 1 or supply.reach[feeder] < 0 or supply.status[heads[0]] != SupplyStatus.RADIAL:
        return None
    own = np.flatnonzero(supply.component == supply.reach[feeder])
    own = np.concatenate(([heads[0]], own[own != heads[0]]))
    at = {node: i for i, node in enumerate(own.tolist())}
    mine = [e for e in edges.tolist() if int(wiring.edge_nodes[e, 0]) in at]
    ends = wiring.edge_nodes[mine].reshape(-1, 2)
    ohms = [(0.0, 0.0) if wiring.edges[e].is_switch else impedance[wiring.edges[e].code] for e in mine]
    taps = taps_at(wiring, at_us)
    child_node: dict[int, int] = {}
    rating: dict[int, float] = {}
    no_load: dict[int, float] = {}
    load: dict[int, float] = {}
    for area, node in zip(wiring.areas, taps.tolist(), strict=True):
        if node not in at or area not in plates:
            continue
        unit_id, is_of_line, rating_va, no_load_loss_w, load_loss_w = plates[area]
        child = int(unit_id)  # type: ignore[call-overload]
        child_node[child] = at[node]
        if is_of_line and rating_va:
            rating[child] = float(rating_va)  # type: ignore[arg-type]
            no_load[child] = float(no_load_loss_w or 0.0)  # type: ignore[arg-type]
            load[child] = float(load_loss_w or 0.0)  # type: ignore[arg-type]
    return LineNetwork(
        from_node=np.array([at[int(node)] for node in ends[:, 0]], np.int64),
        to_node=np.array([at[int(node)] for node in ends[:, 1]], np.int64),
        resistance_ohm=np.array([r for r, _ in ohms], np.float64),
        reactance_ohm=np.array([x for _, x in ohms], np.float64),
        nodes=len(own),
        voltage_v=voltage_v,
        child_node=child_node,
        rating_va=rating,
        no_load_loss_w=no_load,
        load_loss_w=load,
        valid_from_us=span[0],
        valid_to_us=span[1],
    )
