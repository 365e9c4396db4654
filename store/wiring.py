"""Reads the network of some substations over time, as dense arrays for tracing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import numpy as np

from grid.model import UnitKind
from grid.network import SwitchPosition
from grid.switching import Positions
from grid.topology import BEGINNING_US, END_US, EdgeRow, HeadRow, Span, TapRow, Wiring, wire
from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("topology")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def joined_substations(connection: Connection, substations: Iterable[str], since: datetime) -> list[str]:
    """The given substations and those that something joins to them at any time from `since` on.

    A tie that is and stays open leads nowhere, so a utility's whole network isn't read for one switch.
    """
    found = sorted(set(substations))
    while True:
        more = _neighbours(connection, found, since, open_too=False)
        if not more:
            return found
        found = sorted([*found, *more])


def substations_around(connection: Connection, substations: Iterable[str], since: datetime) -> list[str]:
    """Those of `joined_substations`, and those to which an open tie leads."""
    joined = joined_substations(connection, substations, since)
    around = _neighbours(connection, joined, since, open_too=True)
    return joined_substations(connection, [*joined, *around], since)


def _neighbours(connection: Connection, substations: list[str], since: datetime, *, open_too: bool) -> list[str]:
    arguments = {"substations": substations, "at": since, "open_too": open_too}
    return [row[0] for row in connection.execute(_SQL["neighbours"], arguments)]


def read_wiring(connection: Connection, substations: list[str], since: datetime) -> tuple[Wiring, Positions]:
    """Network of the substations from `since` on, as now believed, and the reported positions of its switches."""
    arguments = {"substations": substations, "at": since}
    nodes = [row[0] for row in connection.execute(_SQL["nodes"], arguments)]
    switches: dict[str, bool] = {}
    edges, heads, taps = [], [], []
    for row in connection.execute(_SQL["connections"], arguments):
        segment, switch, normal, unit, kind, node, far, breaker, breaker_normal, start, end = row
        valid = span(start, end)
        if segment is not None:
            edges.append(EdgeRow(segment, False, node, far, valid))
        elif switch is not None:
            switches[switch] = normal == SwitchPosition.CLOSED
            edges.append(EdgeRow(switch, True, node, far, valid))
        elif kind == UnitKind.FEEDER:
            if breaker is not None:
                switches[breaker] = breaker_normal == SwitchPosition.CLOSED
            heads.append(HeadRow(unit, node, breaker, valid))
        else:
            taps.append(TapRow(unit, node, valid))
    wiring = wire(nodes, switches, edges, heads, taps)
    return wiring, _positions(connection, wiring, since)


def _positions(connection: Connection, wiring: Wiring, since: datetime) -> Positions:
    at = {code: i for i, code in enumerate(wiring.switches)}
    rows = connection.execute(_SQL["positions"], {"switches": list(wiring.switches), "at": since}).fetchall()
    spans = np.array([span(row[2], row[3]) for row in rows], np.int64).reshape(-1, 2)
    return Positions(
        np.array([at[row[0]] for row in rows], np.int32),
        spans[:, 0],
        spans[:, 1],
        np.array([row[1] for row in rows], np.bool_),
    )


def span(from_us: int | None, to_us: int | None) -> Span:
    """A period of the store, whose open ends are NULL."""
    return Span(BEGINNING_US if from_us is None else from_us, END_US if to_us is None else to_us)


def to_span(valid_from: datetime | None, valid_to: datetime | None) -> Span:
    """The same of instants."""
    return span(*(None if at is None else to_us(at) for at in (valid_from, valid_to)))


def to_us(at: datetime) -> int:
    """An aware instant as microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def to_instant(at_us: int) -> datetime | None:
    """The reverse; None for an open end."""
    return None if at_us in (BEGINNING_US, END_US) else _EPOCH + at_us * _MICROSECOND
