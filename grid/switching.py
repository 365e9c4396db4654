"""What a report of a switch's position changes: the position over time, the feeder of each area, its memberships.

Reports may come in any order: each is an instant from which a position holds, until the next instant of which there
is a report. A report that repeats the position before it is kept too, since an older one may still come in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from grid.network import SwitchPosition
from grid.topology import END_US, Indices, Instants, Mask, Wiring, taps_at, trace


class PositionPeriod(NamedTuple):
    """A switch's position over [from, to); `from_us` is the instant of its report."""

    position: SwitchPosition
    from_us: int
    to_us: int


class Move(NamedTuple):
    """An area that belongs to another feeder over [from, to) than was believed; None for no feeder."""

    area: str
    from_us: int
    to_us: int
    before: str | None
    after: str | None


class ParentPeriod(NamedTuple):
    """A feeder of which an area is a member over [from, to)."""

    feeder: str
    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True, eq=False)
class Positions:
    """Reported positions over time, of the switches of a `Wiring`: a row a report. Without one, the normal position.

    All arrays have shape (reports,).
    """

    switch: Indices
    from_us: Instants
    to_us: Instants
    closed: Mask

    def closed_at(self, normal: Mask, at_us: int) -> Mask:
        """Which switches are closed at an instant; shape (switches,)."""
        closed = normal.copy()
        holds = (self.from_us <= at_us) & (at_us < self.to_us)
        closed[self.switch[holds]] = self.closed[holds]
        return closed

    def replaced(self, switch: int, periods: Sequence[PositionPeriod]) -> Positions:
        """The same, but for one switch."""
        others = self.switch != switch
        return Positions(
            np.append(self.switch[others], np.full(len(periods), switch, np.int32)),
            np.append(self.from_us[others], np.array([p.from_us for p in periods], np.int64)),
            np.append(self.to_us[others], np.array([p.to_us for p in periods], np.int64)),
            np.append(self.closed[others], np.array([p.position is SwitchPosition.CLOSED for p in periods], np.bool_)),
        )


#: Every switch in its normal position.
NO_REPORTS = Positions(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.bool_))


def report_position(
    periods: Sequence[PositionPeriod], position: SwitchPosition, at_us: int
) -> tuple[PositionPeriod | None, list[PositionPeriod]]:
    """What a report does to what is known of one switch.

    Parameters
    ----------
    periods
        Of that switch, apart from each other, in order of time.

    Returns
    -------
    given_up
        The period that isn't believed any more, or None.
    recorded
        Those that are believed in its place; empty when nothing changes.
    """
    for period in periods:
        if period.from_us <= at_us < period.to_us:
            if period.from_us == at_us:
                if period.position is position:
                    return None, []
                return period, [period._replace(position=position)]
            return period, [period._replace(to_us=at_us), PositionPeriod(position, at_us, period.to_us)]
    following = min((p.from_us for p in periods if p.from_us > at_us), default=END_US)
    return None, [PositionPeriod(position, at_us, following)]


def find_moves(
    wiring: Wiring, before: Positions, after: Positions, since_us: int, until_us: int, feeder: Indices
) -> list[Move]:
    """Areas that belong to other feeders under `after` than under `before`, from `since_us` on.

    Parameters
    ----------
    since_us, until_us
        Positions differ within [since, until) only. An area in parallel supply keeps the feeder that it came from, so
        what differs may last longer.
    feeder
        Shape (areas,): the feeder of each just before `since_us`, −1 for none.
    """
    old = new = feeder
    differing: list[tuple[int, int, Indices, Indices]] = []
    instants = _instants(wiring, [before, after], since_us)
    for at_us, to_us in zip(instants, [*instants[1:], END_US], strict=True):
        if at_us >= until_us and np.array_equal(old, new):
            break
        taps = taps_at(wiring, at_us)
        old = trace(wiring, before.closed_at(wiring.normal, at_us), at_us).assign(taps, old)
        new = trace(wiring, after.closed_at(wiring.normal, at_us), at_us).assign(taps, new)
        differing.append((at_us, to_us, old, new))
    moves: dict[int, list[Move]] = {}
    for at_us, to_us, was, now in differing:
        for area in np.flatnonzero(was != now).tolist():
            was_code, now_code = _code(wiring, was[area]), _code(wiring, now[area])
            earlier = moves.setdefault(area, [])
            last = earlier[-1] if earlier else None
            if last is not None and (last.to_us, last.before, last.after) == (at_us, was_code, now_code):
                earlier[-1] = last._replace(to_us=to_us)
            else:
                earlier.append(Move(wiring.areas[area], at_us, to_us, was_code, now_code))
    return [move for area in sorted(moves) for move in moves[area]]


def move_memberships(periods: Iterable[ParentPeriod], moves: Iterable[Move]) -> list[ParentPeriod]:
    """Memberships of one area after its moves, in order of time; periods that meet are one."""
    pieces = list(periods)
    for move in moves:
        kept = []
        for piece in pieces:
            if piece.from_us < min(piece.to_us, move.from_us):
                kept.append(piece._replace(to_us=min(piece.to_us, move.from_us)))
            if max(piece.from_us, move.to_us) < piece.to_us:
                kept.append(piece._replace(from_us=max(piece.from_us, move.to_us)))
        pieces = kept
        if move.after is not None:
            pieces.append(ParentPeriod(move.after, move.from_us, move.to_us))
    joined: list[ParentPeriod] = []
    for piece in sorted(pieces, key=lambda p: (p.from_us, p.feeder)):
        if joined and joined[-1].feeder == piece.feeder and joined[-1].to_us == piece.from_us:
            joined[-1] = joined[-1]._replace(to_us=piece.to_us)
        else:
            joined.append(piece)
    return joined


def _instants(wiring: Wiring, positions: Sequence[Positions], since_us: int) -> list[int]:
    """Every instant from `since_us` on at which something changes."""
    arrays = [wiring.edge_valid_us, wiring.head_valid_us, wiring.tap_valid_us]
    arrays += [a for p in positions for a in (p.from_us, p.to_us)]
    found = np.unique(np.concatenate([np.ravel(a) for a in arrays]))
    return [since_us, *found[(found > since_us) & (found < END_US)].tolist()]


def _code(wiring: Wiring, feeder: np.int32) -> str | None:
    return None if feeder < 0 else wiring.feeders[feeder]
