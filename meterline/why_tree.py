"""What lies below a unit, for the change of its loss with that of its members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from grid.membership import MemberPeriod
from grid.recorded_change import ChangeKind, RecordedChange
from store.change import Lengths, TreePart, read_tree, read_tree_losses, read_tree_technical
from store.connection import Connection

_Instants = tuple[datetime, datetime]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Tree:
    """Units below another over both periods and what lies between.

    Attributes
    ----------
    stays
        Ids of those that are there all the time, each as often as it counts.
    moves
        Those that come or go, by the instant at which they first do.
    """

    stays: tuple[int, ...]
    moves: dict[datetime, tuple[TreePart, ...]]


def find_tree(connection: Connection, unit_id: int, whole: _Instants) -> Tree:
    """What lies below a unit at any time of a span."""
    parts = read_tree(connection, unit_id, whole)
    by_unit: dict[int, list[TreePart]] = {}
    for part in parts:
        by_unit.setdefault(part.unit_id, []).append(part)
    stays: list[int] = []
    moves: dict[datetime, list[TreePart]] = {}
    for unit, of_unit in by_unit.items():
        # One that goes from unit to unit below is there all the time.
        edges = _edges(of_unit, whole)
        if not edges:
            stays += [unit] * sum(part.valid_from == whole[0] for part in of_unit)
        else:
            moves.setdefault(edges[0], []).extend(of_unit)
    return Tree(tuple(stays), {at: tuple(of) for at, of in moves.items()})


def _edges(parts: Sequence[TreePart], whole: _Instants) -> list[datetime]:
    """Instants at which it is below the unit once more or less than before."""
    counts: dict[datetime, int] = {}
    for part in parts:
        counts[part.valid_from] = counts.get(part.valid_from, 0) + 1
        counts[part.valid_to] = counts.get(part.valid_to, 0) - 1
    return sorted(at for at, count in counts.items() if count and whole[0] < at < whole[1])


def recorded_moves(moves: Sequence[TreePart], at: datetime) -> list[RecordedChange]:
    """The changes behind moves at an instant: of those that were moved themselves, not with what is above them."""
    found = []
    for part in moves:
        period = MemberPeriod(0, "", None, 0, 1, part.own_from, part.own_to, child_id=part.unit_id)
        if part.own_from == at:
            found.append(RecordedChange(ChangeKind.CAME, part.code, at, None, period))
        elif part.own_to == at:
            found.append(RecordedChange(ChangeKind.WENT, part.code, at, period, None))
    return found


def moved_losses(
    connection: Connection, moves: Sequence[TreePart], lengths_s: Lengths, span: _Instants
) -> dict[int, float]:
    """Own losses of units while they are below, by the ends of intervals; shares of an interval by time."""
    found: dict[int, float] = {}
    ids = sorted({part.unit_id for part in moves})
    for unit_id, end_us, interval_s, loss_wh in read_tree_losses(connection, ids, lengths_s, span):
        length_us = interval_s * 1_000_000
        begin_us = end_us - length_us
        for part in moves:
            if part.unit_id != unit_id:
                continue
            first = min(max(_us(part.valid_from) - begin_us, 0), length_us)
            last = min(max(_us(part.valid_to) - begin_us, 0), length_us)
            share = loss_wh * last // length_us - loss_wh * first // length_us
            found[end_us] = found.get(end_us, 0) + share
    return found


def _us(at: datetime) -> int:
    return int((at - _EPOCH).total_seconds()) * 1_000_000 + at.microsecond


def tree_figures(
    connection: Connection,
    tree: Tree,
    lengths_s: Lengths,
    span: _Instants,
    spread: Callable[[dict[int, float], float], NDArray[np.float64]],
) -> tuple[NDArray[np.float64], ...]:
    """Technical loss, its deviation, and those of the losses, of all that stays; arrays of shape (intervals,)."""
    if not tree.stays:
        return tuple(spread({}, 0.0) for _ in range(4))
    rows = read_tree_technical(connection, tree.stays, lengths_s, span)
    return tuple(spread({at: row[n] for at, row in rows.items()}, np.nan) for n in range(4))
