"""Replay: the steps of the live path over records in order of receipt, with no broker.

Time advances with the records. Units of one level are settled before those above them, and what falls due is published
before anything that was received later is looked at, so that every result has the history that the live path would
have given it.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from grid.due import Due, encode_due
from grid.resettle import Resettle
from grid.topics import ENERGY_UNIT
from grid.unit_energy import UnitEnergies, encode_unit_energies
from store.replaying import Hierarchy
from streams.join import Record

#: Rows that are published in one transaction since their limits have passed.
_PAGE = 2_000


@dataclass(frozen=True, slots=True)
class Received:
    """A record, the unit that it is for, when it was received (microseconds since 1970 UTC), and how many readings."""

    received_at_us: int
    unit: str
    record: Record
    readings: int = 0


class Settles(Protocol):
    """Makes the effects of records durable: `streams.processor.Processor`."""

    def process(self, records: Sequence[Record]) -> list[UnitEnergies]:
        """See there."""
        ...

    def settle_again(self, order: Resettle) -> Iterator[list[UnitEnergies]]:
        """See there."""
        ...


class Dues(Protocol):
    """Knows which limits pass: `store.replaying.StoredDues`."""

    def between(self, unit_ids: Sequence[int], from_us: int, until_us: int, limit: int) -> list[tuple[str, int, int]]:
        """See there."""
        ...

    def horizon(self, from_us: int, until_us: int, n: int) -> int | None:
        """See there."""
        ...


class Replay:
    """Settles records in order of receipt.

    Parameters
    ----------
    processor
        What settles them.
    dues
        Which limits pass in what it has settled.
    hierarchy
        Which units there are, and which are above which.
    page
        Rows that are published at once since their limits have passed.
    """

    def __init__(self, processor: Settles, dues: Dues, hierarchy: Hierarchy, page: int = _PAGE) -> None:
        self._processor = processor
        self._dues = dues
        self._page = page
        self._passed_us = 0
        self.regard(hierarchy)

    def take(self, records: Sequence[Received]) -> None:
        """Settle records, and publish what falls due before the last of them.

        Parameters
        ----------
        records
            In order of receipt, none received before one that was taken already.

        Raises
        ------
        ValueError
            When they are not in order.
        psycopg.Error
            When the store can't be used; the same records may be taken again.
        """
        times = [r.received_at_us for r in records]
        if times and (times[0] < self._passed_us or any(a > b for a, b in pairwise(times))):
            raise ValueError("records must come in order of receipt")
        start = 0
        while start < len(records):
            until_us = self._horizon(times[-1])
            end = bisect.bisect_right(times, until_us, start)
            self._step(records[start:end], until_us)
            start = end

    def regard(self, hierarchy: Hierarchy) -> None:
        """From now on these are the units, and who is above whom."""
        self._levels = levels_of(hierarchy)
        self._level = {code: n for n, units in enumerate(self._levels) for code in units.values()}

    def settle_again(self, order: Resettle) -> None:
        """Settle what a unit has again, and what is above it, after a change of the model."""
        waiting: dict[int, list[Record]] = defaultdict(list)
        for page in self._processor.settle_again(order):
            self._tell(page, waiting)
        while waiting:
            self._process(waiting.pop(min(waiting)), waiting)

    def publish_until(self, until_us: int) -> None:
        """Publish what falls due before `until_us`, as the live path's sweeps would have."""
        while self._passed_us < until_us:
            self._step((), self._horizon(until_us))

    def _horizon(self, until_us: int) -> int:
        """How far to go at once, so that the limits that pass on the way are few."""
        due_us = self._dues.horizon(self._passed_us, until_us, self._page)
        return until_us if due_us is None else min(until_us, due_us + 1)

    def _step(self, records: Sequence[Received], until_us: int) -> None:
        """Settle records received until `until_us`, and the limits before it, level by level."""
        waiting: dict[int, list[Record]] = defaultdict(list)
        for received in records:
            waiting[self._level.get(received.unit, 0)].append(received.record)
        for level in range(len(self._levels)):
            self._process(waiting.pop(level, []), waiting)
            done: list[Record] = []
            while (orders := self._due(level, until_us)) and orders != done:
                self._process(orders, waiting)
                done = orders
        while waiting:  # units that were above each other at different times
            self._process(waiting.pop(min(waiting)), waiting)
        self._passed_us = max(self._passed_us, until_us)

    def _process(self, records: Sequence[Record], waiting: dict[int, list[Record]]) -> None:
        if not records:
            return
        self._tell(self._processor.process(records), waiting)

    def _tell(self, told: Sequence[UnitEnergies], waiting: dict[int, list[Record]]) -> None:
        for energies in told:
            waiting[self._level.get(energies.parent, 0)].append(Record(ENERGY_UNIT, encode_unit_energies([energies])))

    def _due(self, level: int, until_us: int) -> list[Record]:
        by_unit: dict[str, list[tuple[int, int]]] = {}
        units = list(self._levels[level])
        for unit, *interval in self._dues.between(units, self._passed_us, until_us, self._page):
            by_unit.setdefault(unit, []).append((interval[0], interval[1]))
        return [
            Record(ENERGY_UNIT, encode_due(Due(unit, until_us, tuple(intervals))))
            for unit, intervals in by_unit.items()
        ]


def levels_of(hierarchy: Hierarchy) -> list[dict[int, str]]:
    """Units by their height over the meters: each lies above all that were ever its members.

    Units that were above each other at different times share the last level.
    """
    children: dict[int, set[int]] = defaultdict(set)
    parents: dict[int, set[int]] = defaultdict(set)
    for child, parent in hierarchy.edges:
        if child != parent:
            children[parent].add(child)
            parents[child].add(parent)
    left = dict(hierarchy.units)
    ready = [unit for unit in left if not children[unit]]
    levels = []
    while ready:
        levels.append({unit: left.pop(unit) for unit in ready})
        above = {parent for unit in ready for parent in parents[unit]}
        for unit in ready:
            for parent in parents[unit]:
                children[parent].discard(unit)
        ready = sorted(unit for unit in above if unit in left and not children[unit])
    if left:
        levels.append(left)
    return levels
