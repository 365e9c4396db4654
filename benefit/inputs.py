"""What a measurement depends on, as a hash: a repair of which nothing is another isn't measured again; pure."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta

import msgspec

from benefit.effect import EffectError
from benefit.ledger import Repair, Source
from benefit.parameters import Windows

#: Of a kind of unit on a day: how many figures are published, the sum of their revisions, when the newest was recorded.
DayStates = Mapping[tuple[str, date], str]


def last_day(repair: Repair, windows: Windows, today: date) -> date:
    """Last day that a repair's effect is measured over: twice in all, once early and once when all days are over.

    Raises
    ------
    EffectError
        Not yet: too few days are over.
    """
    so_far = (today - repair.last).days - 1
    if so_far < windows.least_days_after:
        raise EffectError(f"{max(so_far, 0)} of {windows.least_days_after} days after are over")
    whole = so_far >= windows.days_after
    return repair.last + timedelta(days=windows.days_after if whole else windows.least_days_after)


def first_day(repair: Repair, windows: Windows) -> date:
    """First day that is compared."""
    return repair.first - timedelta(days=windows.days_before)


class Inputs:
    """What all measurements of an update depend on."""

    def __init__(self, method: str, windows: Windows, sources: Sequence[Source], states: DayStates) -> None:
        # At a busy unit something was done: it is no control in the days around.
        self._busy = sorted({(s.changed_on, unit) for s in sources for unit in s.treated})
        self._by_day: dict[date, list[int]] = defaultdict(list)
        for day, unit in self._busy:
            self._by_day[day].append(unit)
        self._states = states
        self._head = f"{method} {msgspec.json.encode(windows).decode()}"
        self._days: dict[tuple[str, date], bytes] = {}

    def barred(self, first: date, last: date) -> frozenset[int]:
        """Units that are no controls, since something was done at them within [first, last]."""
        begin = bisect_left(self._busy, first, key=lambda row: row[0])
        end = bisect_right(self._busy, last, key=lambda row: row[0])
        return frozenset(unit for _, unit in self._busy[begin:end])

    def hash_of(self, repair: Repair, kinds: Collection[str], first: date, last: date) -> bytes:
        """BLAKE2b of all that the measurement of a repair over [first, last] depends on."""
        said = hashlib.blake2b(digest_size=32)
        said.update(f"{self._head} {repair.units} {repair.first} {repair.last} {first} {last}".encode())
        for kind in sorted(kinds):
            for n in range((last - first).days + 1):
                said.update(self._day(kind, first + timedelta(days=n)))
        return said.digest()

    def _day(self, kind: str, day: date) -> bytes:
        known = self._days.get((kind, day))
        if known is None:
            text = f"{kind} {day} {self._states.get((kind, day), '')} {self._by_day.get(day, [])}"
            known = self._days[kind, day] = hashlib.blake2b(text.encode(), digest_size=16).digest()
        return known
