"""Settling assessment units, pure: contributions and stored rows in, new rows, results and messages upwards out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from grid.channels import EXPORT, IMPORT
from grid.limits import Limits
from grid.line_network import LineNetwork
from grid.loss_rules import LossRules
from grid.quality import MISSING_WH
from grid.roster import Roster, UnitView
from grid.rows import (
    BALANCE_COLUMNS,
    BalanceRows,
    BlockRows,
    StoredBlock,
    Superseded,
    empty_balances,
    figures_differ,
)
from grid.unit_energy import UnitEnergies
from streams.steps.assemble import assemble, merge_round
from streams.steps.balance import Members, Standing, balance_rows, gather
from streams.steps.classify import classify
from streams.steps.contribution import Cause, Contribution, Key
from streams.steps.gap import Gap, gap_of
from streams.steps.publish import Publication
from streams.steps.registers import carriers_of, derive, keys_around, with_openings
from streams.steps.upward import Told, messages, tell


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """What a batch comes to.

    Attributes
    ----------
    rows, balances
        Only what differs from the stored rows, in key order.
    superseded
        Published results that came and went within the batch.
    energies
        For each parent, of every unit of the batch that has a row, changed or not: a repeat tells again.
    published
        Number of revisions that came to be.
    gaps
        Members without a reading when a limit of their row passed: estimates of them belong into the batch.
    """

    rows: BlockRows
    balances: BalanceRows
    superseded: Superseded
    energies: list[UnitEnergies]
    published: int
    gaps: list[Gap] = field(default_factory=list)


def keys_to_read(contributions: Sequence[Contribution]) -> list[Key]:
    """Keys of stored rows that settling the contributions needs, in the order in which rows are written."""
    return sorted({c.key for c in contributions if c.view.size} | set(keys_around(contributions)))


def settle(
    contributions: Sequence[Contribution],
    stored: Mapping[Key, StoredBlock],
    limits: Limits,
    rules: LossRules | None = None,
    lines: Mapping[Key, LineNetwork] | None = None,
) -> Settled:
    """Merge contributions with the stored rows, balance, and say what is to be written and told upwards.

    Each row takes its contributions in the order in which they were received. What it comes to doesn't depend on how
    they were gathered into batches.

    Parameters
    ----------
    contributions
        Any order, repeats allowed.
    stored
        Stored rows of `keys_to_read(contributions)`.
    limits
        When figures are published.
    rules
        What losses are judged by; None = the defaults.
    lines
        What feeders consist of at their rows' intervals, where it is known.
    """
    contributions = [c for c in contributions if c.view.size]
    # Rows are not made for the mere passing of time, or of beliefs.
    there = {c.key for c in contributions if c.cause is Cause.DATA} | set(stored)
    contributions = [c for c in contributions if c.key in there]
    contributions.sort(key=lambda c: c.received_at_us)
    by_key: dict[Key, list[Contribution]] = {}
    for c in with_openings(contributions, stored):
        by_key.setdefault(c.key, []).append(c)
    return _Batch(sorted(by_key), by_key, stored, limits, rules or LossRules(), lines or {}).settle()


class _Batch:
    """Rows of one batch while contributions are merged into them, one a row at a time."""

    def __init__(
        self,
        keys: Sequence[Key],
        by_key: Mapping[Key, list[Contribution]],
        stored: Mapping[Key, StoredBlock],
        limits: Limits,
        rules: LossRules,
        lines: Mapping[Key, LineNetwork],
    ) -> None:
        self._rules = rules
        self._queues = [by_key[key] for key in keys]
        self._views: list[UnitView] = [queue[-1].view for queue in self._queues]
        self._rosters: list[Roster] = [queue[-1].roster for queue in self._queues]
        self._networks = [lines.get(key) or v.network_at(*key[1:]) for key, v in zip(keys, self._views, strict=True)]
        everything = [c for queue in self._queues for c in queue]
        self._rows = assemble(keys, self._views, everything, stored)
        self._results = empty_balances(len(keys))
        for r, key in enumerate(keys):
            if key in stored:
                for name in BALANCE_COLUMNS:
                    getattr(self._results, name)[r] = stored[key].balance[name]
        self._publication = Publication(
            self._views, self._rows.observed_at_us, self._results, self._rows.version, limits
        )
        self._late_us = self._rows.observed_at_us + limits.first_s() * 1_000_000
        self._members = Members(self._rows, self._rosters)
        self._told: list[Told] = []
        self._gaps: list[Gap] = []
        # Rows that have taken a part of what their next contribution brings.
        self._begun = np.zeros(len(keys), np.bool_)
        self._in_step = np.zeros(len(keys), np.bool_)
        # What rows came to, while nothing has been merged into them since.
        self._standing: Standing | None = None
        self._balanced = np.zeros(len(keys), np.bool_)
        self._told_version = np.full(len(keys), -1, np.int64)

    def settle(self) -> Settled:
        for numbers, round_ in self._rounds():
            self._take(numbers, round_)
        rows, results = self._rows, self._results
        superseded = self._publication.superseded(rows.unit_id, rows.interval_s, rows.observed_at_us)
        energies = messages(self._told, rows, self._views)
        keep = np.flatnonzero(rows.version != rows.read_version)
        if len(keep) < len(rows):
            rows, results = _take_rows(rows, keep), results.take(keep)
        return Settled(rows, results, superseded, energies, self._publication.published, self._gaps)

    def _rounds(self) -> Iterator[tuple[NDArray[np.intp], list[Contribution]]]:
        for depth in range(max(map(len, self._queues), default=0)):
            numbers = [r for r, queue in enumerate(self._queues) if len(queue) > depth]
            yield np.array(numbers, np.intp), [self._queues[r][depth] for r in numbers]

    def _take(self, numbers: NDArray[np.intp], round_: Sequence[Contribution]) -> None:
        rows = self._rows
        at_us = np.array([c.received_at_us for c in round_], np.int64)
        # Units above may publish at any time from the first limit on: the states before and after are told apart.
        part = np.array([c.part for c in round_])
        late = at_us > self._late_us[numbers]
        self._tell(numbers[late & ~self._in_step[numbers] & (rows.version[numbers] > 0)])
        self._in_step[numbers] = part
        publication = self._publication
        for pass_limits, final in ((publication.pass_provisional, False), (publication.pass_final, True)):
            limited = pass_limits(numbers, at_us)
            self._find_gaps(limited, final=final)
            rows.received_at_us[limited] = self._last_limit(limited)
            self._tell(limited)
        new = rows.version[numbers] == 0
        changed = merge_round(rows, numbers, round_)[numbers]
        self._balanced[numbers[changed]] = False
        rows.version[numbers[self._begun[numbers] & ~part & ~changed]] += 1
        changed |= self._begun[numbers]
        self._begun[numbers] = part & changed
        changed &= ~part
        # Who sent only missing readings is known to be there: a row says so.
        born = new & ~changed & ~part
        born[born] = [bool(np.any(round_[i].positions >= 0)) for i in np.flatnonzero(born).tolist()]
        rows.version[numbers[born]] += 1
        look = np.array([c.cause is Cause.MODEL for c in round_])
        estimates = np.array([c.cause is Cause.ESTIMATE for c in round_], np.bool_)
        where = np.flatnonzero(changed | born | look)
        published = self._refigure(numbers[where], new[where], at_us[where], look[where], estimates[where])
        last = np.array([self._queues[r][-1] is c for r, c in zip(numbers.tolist(), round_, strict=True)], np.bool_)
        # With its first state a unit enters those above, whose limits count from then.
        done = numbers[(last | new) & (rows.version[numbers] > 0)]
        self._tell(np.union1d(np.union1d(published, done), numbers[late & ~part & (rows.version[numbers] > 0)]))

    def _find_gaps(self, numbers: NDArray[np.intp], *, final: bool) -> None:
        """Note what rows lack that a limit has just published."""
        if not self._rules.estimate:
            return
        rows, published_us = self._rows, self._results.published_us
        for r in numbers.tolist():
            part = rows.part(r)
            key = (int(rows.unit_id[r]), int(rows.observed_at_us[r]), int(rows.interval_s[r]))
            energies, held = rows.channels[IMPORT][part], rows.precedence[IMPORT][part]
            given = rows.channels[EXPORT][part] if EXPORT in rows.channels else np.full(len(energies), MISSING_WH)
            limit_us = int(published_us[r])
            gap = gap_of(self._views[r], self._rosters[r], key, limit_us, energies, given, held, final=final)
            if gap is not None:
                self._gaps.append(gap)

    def _refigure(
        self,
        numbers: NDArray[np.intp],
        new: NDArray[np.bool_],
        at_us: NDArray[np.int64],
        look: NDArray[np.bool_],
        limited: NDArray[np.bool_],
    ) -> NDArray[np.intp]:
        """Settle some rows anew; returns those that were published."""
        rows = self._rows
        if not len(numbers):
            return numbers
        registers = carriers_of(rows, numbers, self._rosters)
        if len(registers):
            derive(rows, registers, [self._rosters[r] for r in registers.tolist()])
        standing = self._balance(numbers)
        figures = standing.figures()
        rosters = [self._rosters[r] for r in numbers.tolist()]
        views = [self._views[r] for r in numbers.tolist()]
        classify(figures, standing, rows, numbers, views, rosters, self._rules.thresholds)
        complete = (figures.coverage == 1.0) & ~self._members.any_open(rows, numbers)
        if look.any():
            same = ~figures_differ(self._results, numbers, figures)
            rows.version[numbers[look & ~same]] += 1
            idle = look & same & ~complete
            numbers, new, at_us, complete = numbers[~idle], new[~idle], at_us[~idle], complete[~idle]
            limited = limited[~idle]
            figures = figures.take(np.flatnonzero(~idle))
        self._publication.came_earlier(numbers, at_us)
        at_us = np.maximum(at_us, rows.received_at_us[numbers])
        rows.received_at_us[numbers] = at_us
        return self._publication.refigure(numbers, figures, complete, new, at_us, limited)

    def _balance(self, numbers: NDArray[np.intp]) -> Standing:
        """What some rows come to."""
        rosters = [self._rosters[r] for r in numbers.tolist()]
        views = [self._views[r] for r in numbers.tolist()]
        networks = [self._networks[r] for r in numbers.tolist()]
        standing = balance_rows(self._rows, numbers, views, rosters, self._members, self._rules, networks)
        if self._standing is None:
            self._standing = standing.room(len(self._rows))
        self._standing.put(numbers, standing)
        self._balanced[numbers] = True
        return standing

    def _last_limit(self, numbers: NDArray[np.intp]) -> NDArray[np.int64]:
        return np.maximum(self._rows.received_at_us[numbers], self._results.published_us[numbers])

    def _tell(self, numbers: NDArray[np.intp]) -> None:
        numbers = numbers[self._told_version[numbers] != self._rows.version[numbers]]
        if not len(numbers):
            return
        self._told_version[numbers] = self._rows.version[numbers]
        stale = numbers[~self._balanced[numbers]]
        if len(stale) or self._standing is None:
            self._balance(stale)
        at_us = self._rows.received_at_us[numbers]
        assert self._standing is not None  # noqa: S101  # made with the first balance
        self._told.append(tell(self._rows, self._standing, self._results, numbers, at_us))


def _take_rows(rows: BlockRows, keep: NDArray[np.intp]) -> BlockRows:
    starts, at = gather(rows.starts, keep)
    return BlockRows(
        unit_id=rows.unit_id[keep],
        interval_s=rows.interval_s[keep],
        observed_at_us=rows.observed_at_us[keep],
        read_version=rows.read_version[keep],
        version=rows.version[keep],
        received_at_us=rows.received_at_us[keep],
        starts=starts,
        channels={name: values[at] for name, values in rows.channels.items()},
        quality=rows.quality[at],
        precedence={name: values[at] for name, values in rows.precedence.items()},
        received_us={name: values[at] for name, values in rows.received_us.items()},
    )
