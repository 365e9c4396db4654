"""Estimates of missing readings for a batch: reads what they rest on, a bounded number of rows at a time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import tzinfo
from itertools import islice

from grid.doubt import DoubtRule
from grid.history import Past, past_of
from grid.loss_rules import LossRules
from grid.rows import BlockRows
from store.connection import Connection
from store.history import read_history
from store.validation import doubts_between
from streams.counters import Counters
from streams.steps.contribution import Contribution, Key
from streams.steps.estimate import Made, estimate, rows_for
from streams.steps.estimate_registers import day_key, fresh_of, has_registers, rows_of_day, to_registers
from streams.steps.gap import ESTIMATE_PRECEDENCE, OFFLINE, Gap
from streams.steps.settle import Settled
from streams.validation import with_doubts

#: Gaps that are estimated together: each rests on about sixty rows.
_PAGE = 64


def estimates_for(connection: Connection, settled: Settled, rules: LossRules, counters: Counters) -> list[Contribution]:
    """Estimates for the gaps of a batch, from stored rows and those of the batch itself.

    Raises
    ------
    psycopg.Error
        When the store can't be read.
    """
    started = time.perf_counter()
    made = estimates(settled.gaps, Reader(connection, rows_of_batch(settled.rows), rules.kept_out), rules.zone)
    counters.estimates.update(made.counts)
    counters.estimate_seconds += time.perf_counter() - started
    return made.contributions


def estimates(gaps: Sequence[Gap], read: Callable[[Sequence[Key]], Mapping[Key, Past]], zone: tzinfo) -> Made:
    """The same with what reads rows of the past as an argument."""
    contributions: dict[Key, dict[bool, Contribution]] = {}
    counts: Counter[str] = Counter()
    of_registers: dict[tuple[int, int], list[Gap]] = {}
    for page in _pages(gaps):
        days = {day_key(gap, zone) for gap in page if gap.final}
        past = read(sorted({*rows_for(page, zone), *days}))
        # What nobody was heard of is an outage as likely as a silence: it stays missing where no register tells.
        registered = [gap.final and has_registers(gap, past, zone) for gap in page]
        told = [gap for gap, has in zip(page, registered, strict=True) if has or not gap.is_silent]
        made = estimate(told, past, zone)
        counts.update(made.counts)
        counts["unknown"] += sum(len(gap.positions) for gap in page) - sum(len(gap.positions) for gap in told)
        for c in made.contributions:
            contributions.setdefault(c.key, {})[c.precedence[0] == ESTIMATE_PRECEDENCE[OFFLINE]] = c
        for gap, has in zip(page, registered, strict=True):
            if has:
                of_registers.setdefault(day_key(gap, zone)[:2], []).append(gap)
    if of_registers:
        fresh = fresh_of([c for both in contributions.values() for c in both.values()])
        for unit_day in of_registers.values():
            past = read(sorted({key for gap in unit_day for key in rows_of_day(gap, zone)}))
            for gap in unit_day:  # what registers say takes the place of these
                for position in gap.positions.tolist():
                    fresh.pop((gap.key, position, True), None)
            for gap in sorted(unit_day, key=lambda gap: (gap.at_us, gap.observed_at_us)):
                of_row = contributions.setdefault(gap.key, {})
                found = to_registers(gap, of_row.get(True), past, fresh, zone)
                if found is not None:
                    of_row[True] = found
    return Made([c for both in contributions.values() for c in both.values()], counts)


class Reader:
    """Reads rows of the past, of a batch first, then of the store, with the doubts that some validation rules have."""

    def __init__(self, connection: Connection, own: Mapping[Key, Past], kept_out: Sequence[DoubtRule] = ()) -> None:
        self._connection = connection
        self._own = own
        self._kept_out = kept_out

    def __call__(self, keys: Sequence[Key]) -> Mapping[Key, Past]:
        """What rows of these keys say."""
        stored = read_history(self._connection, [key for key in keys if key not in self._own])
        past = stored | {key: self._own[key] for key in keys if key in self._own}
        return with_doubts(past, doubts_between(self._connection, keys, self._kept_out))


def _pages(gaps: Sequence[Gap]) -> Iterator[list[Gap]]:
    """Those of one interval lie together: they are estimated in one call."""
    inorder = iter(sorted(gaps, key=lambda gap: (gap.final, gap.observed_at_us, gap.interval_s, gap.view.unit_id)))
    while page := list(islice(inorder, _PAGE)):
        yield page


def rows_of_batch(rows: BlockRows) -> dict[Key, Past]:
    """What rows that are about to be written say of energies."""
    found = {}
    for r in range(len(rows)):
        part = rows.part(r)
        found[(int(rows.unit_id[r]), int(rows.observed_at_us[r]), int(rows.interval_s[r]))] = past_of(
            {name: values[part] for name, values in rows.channels.items()},
            rows.quality[part],
            {name: values[part] for name, values in rows.precedence.items()},
            {name: values[part] for name, values in rows.received_us.items()},
        )
    return found
