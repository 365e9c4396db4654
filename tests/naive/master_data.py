"""An oracle for changes of master data: one value a day, in plain Python; imports nothing of the package.

A change holds from its day until the value that it changes is another anyway. What was believed after each change is
kept whole, so that any belief can be read again.
"""

from __future__ import annotations

import copy

DAYS = 12


class RefusedError(Exception):
    """The change contradicts what is believed."""


class Beliefs:
    """Where each meter is, under which multiplier and class, and of which feeder each area is part, day by day."""

    def __init__(self, meters: dict[str, tuple[str, int, float]], parents: dict[str, str]) -> None:
        self.unit: dict[str, list[str | None]] = {m: [u] * DAYS for m, (u, _, _) in meters.items()}
        self.multiplier = {m: [k] * DAYS for m, (_, k, _) in meters.items()}
        self.accuracy = {m: [c] * DAYS for m, (_, _, c) in meters.items()}
        self.replaced: set[tuple[str, str, int]] = set()
        self.parent: dict[str, list[str | None]] = {u: [p] * DAYS for u, p in parents.items()}

    def copy(self) -> Beliefs:
        return copy.deepcopy(self)

    def members(self, unit: str, day: int) -> dict[str, tuple[int, float]]:
        """Meter → multiplier and class."""
        return {
            m: (self.multiplier[m][day], self.accuracy[m][day]) for m, units in self.unit.items() if units[day] == unit
        }

    def change_multiplier(self, meter: str, multiplier: int, day: int) -> None:
        before = self._here(meter, day)
        for d in self._while(meter, day, before):
            self.multiplier[meter][d] = multiplier

    def move(self, meter: str, unit: str, day: int) -> None:
        self._here(meter, day)
        left = self.unit[meter][day]
        for d in range(day, DAYS):
            if self.unit[meter][d] != left:
                break
            self.unit[meter][d] = unit

    def change_class(self, meter: str, accuracy: float, day: int) -> None:
        if meter not in self.unit:
            raise RefusedError
        before = self.accuracy[meter][day]
        for d in range(day, DAYS):
            if self.accuracy[meter][d] != before:
                break
            self.accuracy[meter][d] = accuracy

    def replace(self, meter: str, new: str, multiplier: int, accuracy: float, day: int) -> None:
        if (meter, new, day) in self.replaced and self.unit[meter][day] is None:
            began = self.unit[new][day] is not None and (day == 0 or self.unit[new][day - 1] is None)
            if began and (self.multiplier[new][day], self.accuracy[new][day]) == (multiplier, accuracy):
                return
        before = self._here(meter, day)
        if new in self.unit:
            raise RefusedError
        self.replaced.add((meter, new, day))
        same = list(self._while(meter, day, before))
        self.unit[new] = [None] * DAYS
        self.multiplier[new] = [0] * DAYS
        self.accuracy[new] = [accuracy] * DAYS
        for d in range(day, DAYS):
            if self.unit[meter][d] is None:
                break
            self.unit[new][d] = self.unit[meter][d]
            self.multiplier[new][d] = multiplier if d in same else self.multiplier[meter][d]
            self.unit[meter][d] = None

    def change_parent(self, unit: str, parent: str | None, day: int) -> None:
        before = self.parent[unit][day]
        for d in range(day, DAYS):
            if self.parent[unit][d] != before:
                break
            self.parent[unit][d] = parent

    def _here(self, meter: str, day: int) -> int:
        if meter not in self.unit or self.unit[meter][day] is None:
            raise RefusedError
        return self.multiplier[meter][day]

    def _while(self, meter: str, day: int, multiplier: int) -> range:
        end = day
        while end < DAYS and self.unit[meter][end] is not None and self.multiplier[meter][end] == multiplier:
            end += 1
        return range(day, end)
