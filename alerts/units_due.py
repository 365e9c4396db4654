"""Which units' losses a look has to sum: those with new results, and a slice of the others."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from store.alerts import read_recorded, units_after
from store.connection import Connection

#: Figures also leave the window: all units are gone through, this often at most, by so many a look.
ROUND_S = 60.0
SLICE = 500
#: A result bears the time at which its transaction began. One whose transaction takes longer is seen with its slice.
_OVERLAP = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class _Progress:
    """What was summed so far.

    Attributes
    ----------
    recorded
        Results (unit, time of recording) that were summed and may be read once more.
    after
        The unit with which the last slice of a round ended; 0: the round is over.
    """

    until: datetime
    recorded: frozenset[tuple[int, datetime]]
    after: int
    round_at: float


class UnitsDue:
    """Goes on from one look to the next.

    The first look takes all units. Later ones take those of which something was recorded since, once for each record,
    and some of the others in turn, so that no look is held up by all units, however many they are.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._progress: _Progress | None = None
        self._picked: _Progress | None = None

    def pick(self, connection: Connection, now: datetime) -> list[int] | None:
        """Units to sum, in order, inside the caller's transaction; None: all."""
        last = self._progress
        recorded = frozenset(read_recorded(connection, (last.until if last else now) - _OVERLAP))
        if last is None:
            self._picked = _Progress(now, recorded, 0, self._clock())
            return None
        units = {unit_id for unit_id, _ in recorded - last.recorded}
        after, round_at = last.after, last.round_at
        if not after and self._clock() >= round_at + ROUND_S:
            round_at = self._clock()
        if after or round_at != last.round_at:
            others = units_after(connection, after, SLICE)
            units.update(others)
            after = others[-1] if len(others) == SLICE else 0
        self._picked = _Progress(now, recorded, after, round_at)
        return sorted(units)

    def done(self) -> None:
        """What came of the units picked last is committed; until then they are picked again."""
        self._progress = self._picked
