"""Writes the network of a grid model: nodes, segments, switches, and where everything is connected.

A model says how the grid is in normal state. Where switches are reported in other positions, areas belong elsewhere,
and a load must not take that back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, LiteralString

import numpy as np
import psycopg

from grid.model import GridModel
from grid.network import Network
from grid.switching import NO_REPORTS, Move, ParentPeriod, find_moves, move_memberships
from grid.topology import END_US
from store.connection import Connection
from store.parents import Parents, read_parents
from store.sql import load_queries
from store.wiring import joined_substations, read_wiring, to_us

_SQL = load_queries("network")

_COPY: tuple[LiteralString, ...] = (
    "copy pg_temp.stage_node from stdin",
    "copy pg_temp.stage_segment from stdin",
    "copy pg_temp.stage_switch from stdin",
    "copy pg_temp.stage_tap from stdin",
)


def load_network(cursor: psycopg.ClientCursor[Any], network: Network, arguments: Mapping[str, object]) -> int:
    """Make the store say what `network` says of the time from ``valid_from`` on; returns what has changed.

    Inside the transaction of `store.grid_writer.load_model`, after the substations and units. The network describes its
    substations wholly: what is connected there and isn't named has been removed at ``valid_from``. Reported positions
    of switches stay.

    Parameters
    ----------
    arguments
        ``valid_from`` and ``instant``, that of recording.
    """

    def run(name: str) -> int:
        cursor.execute(_SQL[name], arguments)
        return max(cursor.rowcount, 0)

    run("stage")
    for statement, rows in zip(_COPY, _staged(network), strict=True):
        with cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    changed = run("nodes") + run("segments") + run("switches")
    for name in ("wanted", "believed", "differing"):
        run(name)
    return changed + run("close") + run("keep_before") + run("write")


def _staged(network: Network) -> tuple[Iterable[tuple[object, ...]], ...]:
    return (
        ((n.code, n.substation) for n in network.nodes),
        ((s.code, s.from_node, s.to_node, s.length_m, s.resistance_ohm, s.reactance_ohm) for s in network.segments),
        ((s.code, s.from_node, s.to_node, s.kind.value, s.normal.value) for s in network.switches),
        (
            *((h.feeder, h.node, h.breaker) for h in network.heads),
            *((c.area, c.node, None) for c in network.connections),
        ),
    )


def find_switched(
    connection: Connection, model: GridModel, valid_from: datetime
) -> tuple[Parents, dict[str, list[ParentPeriod]]]:
    """Areas of a model that reported switch positions place on other feeders than it says, at some time from
    `valid_from` on; after `load_network`, in its transaction.

    Returns
    -------
    parents
        What is believed of all its areas.
    wanted
        Memberships of those that are switched, over all time.
    """
    found = connection.execute(_SQL["any_reported"], {"valid_from": valid_from}).fetchone()
    if model.network is None or found is None or not found[0]:
        return Parents(), {}
    since_us = to_us(valid_from)
    named = sorted({node.substation for node in model.network.nodes})
    wiring, reported = read_wiring(connection, joined_substations(connection, named, valid_from), valid_from)
    parents = read_parents(connection, wiring.areas)
    feeder_of = {area.code: area.feeder for area in model.areas}
    known = {code: i for i, code in enumerate(wiring.feeders)}
    modelled = np.array([known.get(feeder_of.get(area) or "", -1) for area in wiring.areas], np.int32)
    before = parents.before(wiring, since_us)
    start = np.where(before >= 0, before, modelled).astype(np.int32)
    moves: dict[str, list[Move]] = {}
    for move in find_moves(wiring, NO_REPORTS, reported, since_us, END_US, start):
        if move.area in feeder_of:
            moves.setdefault(move.area, []).append(move)
    wanted = {}
    for area, some in moves.items():
        earlier = [p._replace(to_us=min(p.to_us, since_us)) for p in parents.periods(area) if p.from_us < since_us]
        feeder = feeder_of[area]
        modelled_period = [] if feeder is None else [ParentPeriod(feeder, since_us, END_US)]
        wanted[area] = move_memberships([*earlier, *modelled_period], some)
    return parents, wanted
