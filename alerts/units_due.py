"""Which units' losses a look sums: with new results, those that lose or gain most first, and some of the others."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from store.alerts import read_recorded, units_after
from store.connection import Connection
from store.horizon import read_horizon

#: Units summed in a look, so that what is found first doesn't wait for all the others.
SLICE = 1_000
#: Of them those that have waited longest, and those whose turn it is in a round: they wait, but not for ever.
_OLDEST, _OTHERS = 200, 200
#: What a transaction of more than this records is seen when all units are gone through.
_HORIZON_S = 600.0
#: Figures also leave the window: all units are gone through, this often at most.
ROUND_S = 60.0
#: For new results a unit is summed twice in this time at most: when intervals of hours come within seconds, once a look
#: would take the database from those who write them.
TWICE_S = 10.0


@dataclass(frozen=True, slots=True)
class _Progress:
    """What was summed so far.

    Attributes
    ----------
    recorded
        Results (unit, time of recording) that are known and may be read once more.
    horizon
        Whatever is recorded with an earlier time was committed: the database's time. None: nothing was read.
    waiting
        Units with new results that aren't summed yet, by age, with the share that they lost or gained.
    after
        The unit that the round has come to; None: the round is over.
    summed
        When a unit was summed last for new results, and the time before.
    is_due
        Units wait that may be summed at once.
    """

    horizon: datetime | None
    recorded: frozenset[tuple[int, datetime]]
    waiting: Mapping[int, float]
    after: int | None
    round_at: float
    first_round: bool
    summed: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    is_due: bool = False


class UnitsDue:
    """Goes on from one look to the next: first through all units, then by what is recorded."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._progress: _Progress | None = None
        self._picked: _Progress | None = None

    def pick(self, connection: Connection) -> list[int]:
        """Units to sum, in order, inside the caller's transaction."""
        now = self._clock()
        last = self._progress or _Progress(None, frozenset(), {}, 0, now, first_round=True)
        # Before what is recorded is read: what commits in between is read once more.
        horizon = read_horizon(connection, _HORIZON_S)
        rows = read_recorded(connection, last.horizon or horizon)
        waiting = dict(last.waiting)
        for unit_id, recorded_at, share in rows:
            if (unit_id, recorded_at) not in last.recorded:
                waiting[unit_id] = max(share, waiting.get(unit_id, 0.0))
        after, round_at = last.after, last.round_at
        if after is None and now >= round_at + ROUND_S:
            after, round_at = 0, now

        summed = {unit_id: times for unit_id, times in last.summed.items() if times[0] > now - TWICE_S}
        held_up = {unit_id for unit_id, times in summed.items() if times[1] > now - TWICE_S}
        ready = {unit_id: share for unit_id, share in waiting.items() if unit_id not in held_up}
        units = set(islice(ready, _OLDEST))
        if after is not None:
            room = max(_OTHERS, SLICE - len(ready))
            others = units_after(connection, after, room)
            units.update(others)
            after = others[-1] if len(others) == room else None
        rest = ready.keys() - units
        units.update(heapq.nlargest(SLICE - len(units), rest, key=ready.__getitem__))
        waiting = {unit_id: share for unit_id, share in waiting.items() if unit_id not in units}

        recorded = frozenset((unit_id, recorded_at) for unit_id, recorded_at, _ in rows)
        for unit_id in units & ready.keys():
            before_s, _ = summed.get(unit_id, (-math.inf, -math.inf))
            summed[unit_id] = now, before_s
        self._picked = _Progress(
            horizon=horizon,
            recorded=recorded,
            waiting=waiting,
            after=after,
            round_at=round_at,
            first_round=last.first_round and after is not None,
            summed=summed,
            is_due=not rest <= units,
        )
        return sorted(units)

    def done(self) -> None:
        """What came of the units picked last is committed; until then they are picked again."""
        self._progress = self._picked

    def more(self) -> bool:
        """Whether there are units to sum at once."""
        return self._progress is not None and (self._progress.first_round or self._progress.is_due)
