"""Switch positions drive the topology: a report moves the areas that it concerns from feeder to feeder.

`sync` and the SCADA processor write positions through the same function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from grid.network import SwitchPosition
from grid.switching import Move, PositionPeriod, find_moves, report_position
from grid.topology import Mask, SupplyStatus, Wiring, taps_at, trace
from store.connection import Connection
from store.outbox import add_change, add_resettle, begin_change, next_model_version
from store.parents import Parents, move_areas, read_parents
from store.sql import load_queries, to_text
from store.wiring import joined_substations, read_wiring, span, to_instant, to_us

_SQL = load_queries("topology")


class SwitchError(ValueError):
    """A position that can't be recorded; nothing was written."""


class UnknownSwitchError(SwitchError):
    """No such switch."""


class SwitchNotConnectedError(SwitchError):
    """The switch is connected to nothing at that time."""


@dataclass(frozen=True, slots=True)
class AppliedSwitch:
    """What a report of a switch's position came to.

    Attributes
    ----------
    outbox_id
        Row that tells of it; None when the switch stood like that already, and nobody is told.
    units
        Codes of the units concerned: the areas that moved, and the feeders that they left or came to.
    recorded_at
        None when nothing was written.
    moves
        Areas that belong to another feeder than was believed, and over which period.
    dead, parallel
        Areas that from the instant on have no supply, or are reached by two feeders, and weren't before. What is in
        parallel stays with the feeder that it came from.
    """

    outbox_id: int | None = None
    units: tuple[str, ...] = ()
    recorded_at: datetime | None = None
    moves: tuple[Move, ...] = ()
    dead: tuple[str, ...] = ()
    parallel: tuple[str, ...] = ()


def apply_switch_position(connection: Connection, switch: str, position: SwitchPosition, at: datetime) -> AppliedSwitch:
    """Record that a switch stood at `position` from `at` on, and move the areas that it concerns.

    One transaction. The position holds until the next instant of which there is a report, whichever came first: a late
    report corrects history in between. The same report again changes nothing; another position for an instant that was
    reported replaces it. Areas move exactly from `at`; see `grid.switching.find_moves`.

    Parameters
    ----------
    at
        Aware.

    Raises
    ------
    UnknownSwitchError, SwitchNotConnectedError
        Nothing was written.
    store.grid_change.RosterFullError
        When a feeder would have too many members; nothing was written.
    """
    if at.tzinfo is None:
        raise ValueError(f"the instant must say its time zone: {at}")
    with connection.transaction():
        known = connection.execute(_SQL["switch"], {"switch": switch}).fetchone()
        if known is None:
            raise UnknownSwitchError(f"no switch {switch}")
        switch_id, normal = int(known[0]), SwitchPosition(known[1])
        arguments = {"switch_id": switch_id, "position": position.value, "at": at}
        # A repeat doesn't wait for its turn to write.
        if connection.execute(_SQL["reported"], arguments).fetchone() is not None:
            return AppliedSwitch()
        instant = begin_change(connection)
        rows = connection.execute(_SQL["periods"], arguments).fetchall()
        periods = [PositionPeriod(SwitchPosition(row[0]), *span(row[1], row[2])) for row in rows]
        given_up, recorded = report_position(periods, position, to_us(at))
        if not recorded:
            return AppliedSwitch()
        substations = [row[0] for row in connection.execute(_SQL["substations_of_switch"], arguments)]
        if not substations:
            raise SwitchNotConnectedError(f"switch {switch} is connected to nothing at {to_text(at)}")
        # Reports that change nothing have no row in the outbox, from which instants get their order.
        instant = max([instant, *(row[3] + timedelta(microseconds=1) for row in rows)])
        _write_position(connection, switch_id, given_up, recorded, instant)
        before = normal if given_up is None else given_up.position
        if before is position:
            return AppliedSwitch(recorded_at=instant)
        return _retrace(connection, switch, (before, recorded[-1]), substations, instant)


def _write_position(
    connection: Connection,
    switch_id: int,
    given_up: PositionPeriod | None,
    recorded: Sequence[PositionPeriod],
    instant: datetime,
) -> None:
    def bound(period: PositionPeriod) -> dict[str, object]:
        return {
            "switch_id": switch_id,
            "position": period.position.value,
            "valid_from": to_instant(period.from_us),
            "valid_to": to_instant(period.to_us),
            "instant": instant,
        }

    if given_up is not None and connection.execute(_SQL["close_position"], bound(given_up)).rowcount != 1:
        raise RuntimeError(f"no row, or more than one, says what switch {switch_id} did from {given_up.from_us} on")
    for period in recorded:
        connection.execute(_SQL["add_position"], bound(period))


def _retrace(
    connection: Connection,
    switch: str,
    change: tuple[SwitchPosition, PositionPeriod],
    substations: Sequence[str],
    instant: datetime,
) -> AppliedSwitch:
    """Move what a position that has just been written moves, and tell of it."""
    position_before, period = change
    at_us, until_us = period.from_us, period.to_us
    at = to_instant(at_us)
    assert at is not None  # noqa: S101  # a report has an instant
    wiring, after = read_wiring(connection, joined_substations(connection, substations, at), at)
    index = wiring.switches.index(switch)
    before = after.replaced(
        index,
        [
            PositionPeriod(position_before if start == at_us else _position(closed), start, end)
            for start, end, closed in zip(
                after.from_us[after.switch == index].tolist(),
                after.to_us[after.switch == index].tolist(),
                after.closed[after.switch == index].tolist(),
                strict=True,
            )
        ],
    )
    parents = read_parents(connection, wiring.areas)
    moves = find_moves(wiring, before, after, at_us, until_us, parents.before(wiring, at_us))
    move_areas(connection, parents, moves, instant)
    told = _concerned(moves, parents)
    was, now = (_areas_by_status(wiring, p.closed_at(wiring.normal, at_us), at_us) for p in (before, after))
    dead = sorted(now[SupplyStatus.DEAD] - was[SupplyStatus.DEAD])
    parallel = sorted(now[SupplyStatus.PARALLEL] - was[SupplyStatus.PARALLEL])
    payload = {
        "switch": switch,
        "position": period.position.value,
        "before": position_before.value,
        "valid_from": to_text(at),
        "valid_to": _text(until_us),
        "dead": dead,
        "parallel": parallel,
        "units": sorted(told),
    }
    version = next_model_version(connection)
    outbox_id = add_change(connection, "switch", switch, "switch.position", payload, instant)
    for unit, (from_us, to) in sorted(told.items()):
        add_resettle(connection, unit, to_instant(from_us) or at, to_instant(to), version, instant)
    return AppliedSwitch(outbox_id, tuple(sorted(told)), instant, tuple(moves), tuple(dead), tuple(parallel))


def _concerned(moves: Sequence[Move], parents: Parents) -> dict[str, tuple[int, int]]:
    """Units that moves concern, each with the period from the first to the last.

    An area leaves the feeder that it was believed to be part of, which a change may have named against the switches.
    """
    told: dict[str, tuple[int, int]] = {}
    for move in moves:
        spans = [(move.area, move.from_us, move.to_us)]
        if move.after is not None:
            spans.append((move.after, move.from_us, move.to_us))
        spans += [
            (period.feeder, max(period.from_us, move.from_us), min(period.to_us, move.to_us))
            for period in parents.periods(move.area)
            if period.from_us < move.to_us and move.from_us < period.to_us
        ]
        for unit, start, end in spans:
            first, last = told.get(unit, (start, end))
            told[unit] = (min(first, start), max(last, end))
    return told


def _areas_by_status(wiring: Wiring, closed: Mask, at_us: int) -> dict[SupplyStatus, set[str]]:
    taps = taps_at(wiring, at_us)
    status = trace(wiring, closed, at_us).status[taps]
    return {
        wanted: {wiring.areas[i] for i in np.flatnonzero((status == wanted) & (taps >= 0)).tolist()}
        for wanted in (SupplyStatus.DEAD, SupplyStatus.PARALLEL)
    }


def _position(closed: bool) -> SwitchPosition:
    return SwitchPosition.CLOSED if closed else SwitchPosition.OPEN


def _text(at_us: int) -> str | None:
    at = to_instant(at_us)
    return None if at is None else to_text(at)
