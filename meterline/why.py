"""Why the loss of a unit changed between two periods: stored results and recorded changes, put before the kernel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from grid.loss_class import reason_names
from grid.membership import MemberPeriod
from grid.model import Role, UnitKind
from grid.recorded_change import ChangeKind, RecordedChange, recorded_changes, sign
from grid.roster import UNMETERED_KINDS
from kernels.change import Cause, Change, PeriodLoss, Step, explain_change
from meterline.why_tree import Tree, find_tree, moved_losses, recorded_moves, tree_figures
from store.change import (
    Lengths,
    MemberFactor,
    OfSteps,
    ResultArrays,
    TreePart,
    UnitRow,
    read_energies,
    read_memberships,
    read_meter_changes,
    read_results,
    read_returned,
    read_unit,
    start_reading,
)
from store.connection import Connection

#: Lengths of local days, which have 23 to 25 hours.
_DAYS: Lengths = (82_800, 90_000)
_MAX_GAPS = 50


class WhyError(Exception):
    """The change can't be explained: no such unit, or nothing computable."""


@dataclass(frozen=True, slots=True)
class Span:
    """A period of local days [begin, end)."""

    begin: datetime
    end: datetime

    @classmethod
    def of_days(cls, first: date, days: int, zone: ZoneInfo) -> Span:
        """So many local days from the midnight at which one begins."""
        begin = datetime(first.year, first.month, first.day, tzinfo=zone)
        last = first + timedelta(days=days)
        return cls(begin, datetime(last.year, last.month, last.day, tzinfo=zone))

    @property
    def instants(self) -> tuple[datetime, datetime]:
        """Both ends in UTC."""
        return self.begin.astimezone(UTC), self.end.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class PeriodFacts:
    """One period as it is stored.

    Attributes
    ----------
    intervals, computable
        Of the calendar, and of these with a loss.
    gaps
        Runs of intervals without a loss; the longest only where there are many.
    inflow_wh, loss_wh, generation_wh, estimated_wh, technical_wh
        Over the computable intervals; technical loss over those of which it is known, None where of none.
    provisional
        Of the computable intervals: results that can still change when late data come.
    reasons
        How many of the computable intervals have each reason code.
    """

    begin: datetime
    end: datetime
    intervals: int
    computable: int
    gap_hours: float
    gaps: tuple[tuple[datetime, datetime], ...]
    inflow_wh: int
    loss_wh: int
    generation_wh: int
    estimated_wh: int
    technical_wh: float | None
    technical_intervals: int
    provisional: int
    reasons: dict[str, int]


@dataclass(frozen=True, slots=True)
class Why:
    """The change of a unit's loss with what lies behind it; `recorded` are the changes of each of `change.steps`."""

    unit: UnitRow
    with_members: bool
    interval_s: int
    before: PeriodFacts
    after: PeriodFacts
    change: Change
    steps: tuple[Step, ...]
    recorded: tuple[tuple[RecordedChange, ...], ...]


def explain(
    connection: Connection, code: str, spans: tuple[Span, Span], zone: ZoneInfo, with_members: bool | None = None
) -> Why:
    """Explain the change of a unit's loss from one span to another.

    Parameters
    ----------
    spans
        The earlier and the later; they don't overlap.
    with_members
        Whether the loss inside smaller units belongs to it. None: in regions, voltage levels and elements it does.

    Raises
    ------
    WhyError
        With what is lacking.
    """
    with connection.transaction():
        start_reading(connection)
        unit = read_unit(connection, code)
        if unit is None:
            raise WhyError(f"no unit is named {code}")
        if with_members is None:
            with_members = UnitKind(unit.kind) in UNMETERED_KINDS
        results = (
            read_results(connection, unit.unit_id, spans[0].instants),
            read_results(connection, unit.unit_id, spans[1].instants),
        )
        lengths_s = choose_length(results, spans, code)
        calendars = tuple(Calendar(span, lengths_s, zone) for span in spans)
        placed = tuple(c.place(r) for c, r in zip(calendars, results, strict=True))
        tree = find_tree(connection, unit.unit_id, _whole(spans)) if with_members else None
        periods = tuple(
            _period(connection, unit, s, c, r, tree) for s, c, r in zip(spans, calendars, placed, strict=True)
        )
        for period, span in zip(periods, spans, strict=True):
            if not period.computable.any():
                raise WhyError(f"{code} has no computable interval from {span.begin:%Y-%m-%d} on")
        grouped = _recorded(connection, unit, spans, tree)
        steps = _steps(connection, grouped, lengths_s, spans, calendars)
    change = explain_change(periods[0], periods[1], steps)
    facts = [_facts(s, c, p, r) for s, c, p, r in zip(spans, calendars, periods, placed, strict=True)]
    interval_s = lengths_s[0] if lengths_s != _DAYS else 86_400
    recorded = tuple(tuple(group.changes) for group in grouped)
    return Why(unit, with_members, interval_s, facts[0], facts[1], change, tuple(steps), recorded)


def choose_length(results: tuple[ResultArrays, ResultArrays], spans: tuple[Span, Span], code: str) -> Lengths:
    """The length of intervals that covers most of both periods; of several the shortest.

    Raises
    ------
    WhyError
        When a period of the unit has none, or none of the same length.
    """
    for r, span in zip(results, spans, strict=True):
        if not r.computable.any():
            raise WhyError(f"{code} has no computable interval from {span.begin:%Y-%m-%d} to {span.end:%Y-%m-%d}")
    lengths = {_length_of(int(s)) for r in results for s in np.unique(r.interval_s[r.computable != 0])}
    covered = {
        length: min(int(r.interval_s[_of_length(r, length) & (r.computable != 0)].sum()) for r in results)
        for length in lengths
    }
    best = min(lengths, key=lambda length: (-covered[length], length))
    if not covered[best]:
        raise WhyError(f"{code} has no computable intervals of one length in both periods")
    return best


def _length_of(interval_s: int) -> Lengths:
    return _DAYS if _DAYS[0] <= interval_s <= _DAYS[1] else (interval_s, interval_s)


def _of_length(results: ResultArrays, lengths_s: Lengths) -> NDArray[np.bool_]:
    return np.asarray((results.interval_s >= lengths_s[0]) & (results.interval_s <= lengths_s[1]))


class Calendar:
    """The intervals that end in a period, whether anything is stored of them or not."""

    def __init__(self, span: Span, lengths_s: Lengths, zone: ZoneInfo) -> None:
        begin, end = (int(i.timestamp()) for i in span.instants)
        if lengths_s == _DAYS:
            days = (span.end.date() - span.begin.date()).days
            edges = [int(Span.of_days(span.begin.date(), n, zone).instants[1].timestamp()) for n in range(days + 1)]
        else:
            edges = list(range(begin // lengths_s[0] * lengths_s[0], end + 1, lengths_s[0]))
        self.begin_us = np.array(edges[:-1], np.int64) * 1_000_000
        self.end_us = np.array(edges[1:], np.int64) * 1_000_000
        self.lengths_s = lengths_s
        local = [datetime.fromtimestamp(edge, zone) for edge in edges[:-1]]
        first = span.begin.replace(tzinfo=None)
        # By the clock on the wall, so that noon is compared with noon; the hour that comes twice in autumn has a second
        # place of its own.
        self.slot = np.array([2 * ((t.replace(tzinfo=None) - first) // timedelta(seconds=1)) + t.fold for t in local])

    def place(self, results: ResultArrays) -> ResultArrays:
        """Results of the calendar's intervals; 0 and not computable where there are none."""
        rows = np.flatnonzero(_of_length(results, self.lengths_s) & np.isin(results.observed_us, self.end_us))
        at = np.searchsorted(self.end_us, results.observed_us[rows])
        found = {}
        for name in ResultArrays.__dataclass_fields__:
            values = getattr(results, name)
            found[name] = np.zeros(len(self.end_us), values.dtype)
            found[name][at] = values[rows]
        return ResultArrays(**found)

    def spread(self, values: dict[int, float], lacking: float) -> NDArray[np.float64]:
        """Figures by the ends of intervals, as an array."""
        return np.array([values.get(int(end), lacking) for end in self.end_us], np.float64)


def _period(
    connection: Connection, unit: UnitRow, span: Span, calendar: Calendar, placed: ResultArrays, tree: Tree | None
) -> PeriodLoss:
    lengths_s, instants = calendar.lengths_s, span.instants
    back = np.zeros(len(placed), np.int64)
    if placed.generation_wh.any():  # else nothing is looked for that needs it
        returned = read_returned(connection, unit.unit_id, lengths_s, instants)
        back = calendar.spread(dict(returned), 0.0).astype(np.int64)
    loss_wh, technical_wh = placed.loss_wh, placed.technical_wh
    technical_sigma_wh, sigma_wh, systematic_wh = (
        placed.technical_sigma_wh,
        placed.sigma_wh,
        placed.systematic_sigma_wh,
    )
    if tree is not None:
        if UnitKind(unit.kind) in UNMETERED_KINDS:  # where nothing is metered at its boundary it has no loss of its own
            own_nothing = np.isnan(technical_wh) & (loss_wh == 0)
            technical_wh = np.where(own_nothing, 0.0, technical_wh)
            technical_sigma_wh = np.where(own_nothing, 0.0, technical_sigma_wh)
        below = tree_figures(connection, tree, lengths_s, instants, calendar.spread)
        loss_wh = loss_wh + placed.members_loss_wh
        technical_wh = technical_wh + below[0]
        technical_sigma_wh = np.hypot(technical_sigma_wh, below[1])
        sigma_wh, systematic_wh = np.hypot(sigma_wh, below[2]), np.hypot(systematic_wh, below[3])
    return PeriodLoss(
        slot=calendar.slot,
        begin_us=calendar.begin_us,
        end_us=calendar.end_us,
        computable=placed.computable != 0,
        loss_wh=loss_wh,
        doubtful_wh=placed.estimated_wh,
        generation_wh=placed.generation_wh,
        through_wh=placed.inflow_wh - placed.generation_wh - back,
        technical_wh=technical_wh,
        technical_sigma_wh=technical_sigma_wh,
        sigma_wh=sigma_wh,
        systematic_sigma_wh=systematic_wh,
    )


@dataclass
class _Group:
    """Recorded changes of one cause at one instant, or anywhere between the periods."""

    cause: Cause
    two_sided: bool
    at: datetime
    changes: list[RecordedChange] = field(default_factory=list)
    moves: list[TreePart] = field(default_factory=list)


_TWO_SIDED = (ChangeKind.METER, ChangeKind.CLASS)


def _whole(spans: tuple[Span, Span]) -> tuple[datetime, datetime]:
    return spans[0].instants[0], spans[1].instants[1]


def _recorded(connection: Connection, unit: UnitRow, spans: tuple[Span, Span], tree: Tree | None) -> list[_Group]:
    whole = _whole(spans)
    memberships, codes = read_memberships(connection, unit.unit_id, whole)
    replacements, classes = read_meter_changes(connection, unit.unit_id, whole)
    memberships = _metered(memberships, UnitKind(unit.kind))
    groups: dict[tuple[Cause, bool, datetime], _Group] = {}

    def group(cause: Cause, two_sided: bool, at: datetime) -> _Group:
        between = spans[0].instants[1] <= at <= spans[1].instants[0]
        key = (cause, two_sided, spans[0].instants[1] if between else at)
        return groups.setdefault(key, _Group(*key))

    for change in recorded_changes(memberships, codes, replacements, classes, *whole):
        of_meter = change.kind in (*_TWO_SIDED, ChangeKind.MULTIPLIER)
        group(Cause.METER if of_meter else Cause.TOPOLOGY, change.kind in _TWO_SIDED, change.at).changes.append(change)
    for at, moves in (tree.moves if tree is not None else {}).items():
        of_moves = group(Cause.TOPOLOGY, False, at)
        of_moves.moves += moves
        known = {(change.member, change.kind) for change in of_moves.changes}
        of_moves.changes += [c for c in recorded_moves(moves, at) if (c.member, c.kind) not in known]
    return list(groups.values())


def _metered(memberships: Sequence[MemberPeriod], kind: UnitKind) -> list[MemberPeriod]:
    """With the gateway's role for units that stand for a boundary at which nothing is metered, as in settling."""
    if kind not in UNMETERED_KINDS or any(p.role & Role.GATEWAY for p in memberships):
        return list(memberships)
    return [replace(p, role=p.role | Role.GATEWAY) if p.role & Role.UNIT else p for p in memberships]


def _factors(step: int, change: RecordedChange) -> list[MemberFactor]:
    """How the net import of a change's members would show if its record were wrong; see `kernels.change.Step`."""
    old, new = change.old, change.new
    signs = [0 if p is None else sign(p.role) for p in (old, new)]
    if change.kind in _TWO_SIDED:
        both = [p for p in (old, new) if p is not None]
        of = {(p.meter, p.child_id): p for p in both}.values()
        return [MemberFactor(step, p.meter, p.child_id, float(sign(p.role)), 0.0) for p in of]
    member = old or new
    if member is None:
        return []
    factor, late = float(signs[1] - signs[0]), float(signs[0] - signs[1])
    if change.kind is ChangeKind.MULTIPLIER and old is not None and new is not None:
        factor = signs[1] * (1 - old.multiplier / new.multiplier)
        late = signs[0] * (1 - new.multiplier / old.multiplier)
    return [MemberFactor(step, member.meter, member.child_id, factor, late)] if factor or late else []


def _steps(
    connection: Connection,
    groups: Sequence[_Group],
    lengths_s: Lengths,
    spans: tuple[Span, Span],
    calendars: Sequence[Calendar],
) -> list[Step]:
    factors = [f for n, group in enumerate(groups) for c in group.changes for f in _factors(n, c)]
    signalled = {f.step for f in factors}
    energies = [read_energies(connection, factors, lengths_s, span.instants) for span in spans]

    def two(of: Callable[[int], OfSteps], n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        # A step without any energy to show, as of members that stand on both sides, is 0 and not unknown.
        lacking = np.nan if n in signalled else 0.0
        first, second = (c.spread(of(i).get(n, {}), lacking) for i, c in enumerate(calendars))
        return first, second

    steps = []
    for n, group in enumerate(groups):
        taken = None
        if group.moves:
            losses = [moved_losses(connection, group.moves, lengths_s, span.instants) for span in spans]
            first, second = (c.spread(of, 0.0).astype(np.int64) for c, of in zip(calendars, losses, strict=True))
            taken = (first, second)
        step_wh, late_wh = two(lambda i: energies[i][0], n), two(lambda i: energies[i][1], n)
        at_us = int(group.at.timestamp()) * 1_000_000 + group.at.microsecond
        steps.append(Step(group.cause, at_us, step_wh, late_wh, taken, group.two_sided))
    return steps


def _facts(span: Span, calendar: Calendar, period: PeriodLoss, placed: ResultArrays) -> PeriodFacts:
    there = period.computable
    edges = np.flatnonzero(np.diff(np.concatenate(([True], there, [True])).astype(np.int8)))
    runs = [
        (
            datetime.fromtimestamp(calendar.begin_us[a] / 1e6, UTC),
            datetime.fromtimestamp(calendar.end_us[b - 1] / 1e6, UTC),
        )
        for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]
    longest = sorted(sorted(runs, key=lambda run: run[0] - run[1])[:_MAX_GAPS])
    technical = period.technical_wh[there & np.isfinite(period.technical_wh)]
    reasons = Counter(name for mask in placed.reasons[there].tolist() for name in reason_names(int(mask)))
    return PeriodFacts(
        begin=span.begin,
        end=span.end,
        intervals=len(period),
        computable=int(there.sum()),
        gap_hours=float((period.end_us - period.begin_us)[~there].sum() / 3.6e9),
        gaps=tuple(longest),
        inflow_wh=int(placed.inflow_wh[there].sum()),
        loss_wh=int(period.loss_wh[there].sum()),
        generation_wh=int(period.generation_wh[there].sum()),
        estimated_wh=int(period.doubtful_wh[there].sum()),
        technical_wh=float(technical.sum()) if len(technical) else None,
        technical_intervals=len(technical),
        provisional=int(placed.provisional[there].sum()),
        reasons=dict(reasons),
    )
