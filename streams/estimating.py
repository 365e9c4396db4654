"""Estimates of missing readings for a batch: reads what they rest on, a bounded number of rows at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice

from grid.history import Past, past_of
from grid.loss_rules import LossRules
from grid.rows import BlockRows
from store.connection import Connection
from store.history import read_history
from streams.counters import Counters
from streams.steps.contribution import Contribution, Key
from streams.steps.estimate import Gap, estimate, rows_for
from streams.steps.settle import Settled

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
    own = rows_of_batch(settled.rows)
    contributions: list[Contribution] = []
    for page in _pages(settled.gaps):
        keys = rows_for(page, rules.zone)
        past = read_history(connection, [key for key in keys if key not in own])
        past |= {key: own[key] for key in keys if key in own}
        made = estimate(page, past, rules.zone)
        contributions += made.contributions
        counters.estimates.update(made.counts)
    counters.estimate_seconds += time.perf_counter() - started
    return contributions


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
