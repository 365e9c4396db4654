"""The daily job of abnormal usage: folds each area's days, concludes, and keeps findings and alerts up to date.

An area's day is folded when the final limit of its last interval has passed. Days are folded in order, each from the
state after the day before. What comes later, or is settled again, is noticed by when it was written: where the series
of a folded day is another than it was, the area goes back to the newest stored state before that day, and its days are
folded again as if nothing had been said. So the same readings give the same states and conclusions, in whatever order
they came.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from zoneinfo import ZoneInfo

from grid.limits import Limits
from grid.model import UnitKind
from grid.roster import UnitView
from grid.usage import FoldedDay
from kernels import association, usage
from kernels.detector import dump, restore
from kernels.usage import UsageDay, UsageModel, UsageState, fold_day, grow, usage_scores
from store.alert_desk import read_holidays
from store.connection import Connection
from store.horizon import read_horizon
from store.periods import Progress, next_batch
from store.usage import (
    Area,
    add_area,
    advance,
    begin_round,
    changed_days,
    due_areas,
    forget_from,
    lock_area,
    read_accounts,
    read_areas,
    read_days,
    read_state,
    set_through,
    write_conclusions,
    write_day,
    write_state,
)
from store.views import load_views
from streams.steps.usage_conclude import AreaEvidence, conclude, days_without_account
from streams.steps.usage_day import ABNORMAL_DAYS, AreaDay, chain_of, is_abnormal, is_weekend
from streams.steps.usage_decide import UsageLimits
from streams.usage_findings import Told, keep_findings
from streams.usage_live import LiveCounts
from streams.usage_losses import DayReader, Losses

#: Interval rows whose changes are looked at, and days of an area that are folded, in one transaction; areas at once.
_ROWS, _DAYS, _AREAS = 200_000, 31, 200
#: What was received before the final limit may be on its way, and published, for so long.
GRACE = timedelta(minutes=10)
_DAY = timedelta(days=1)
#: Facts of an account count for so long.
_FACTS = timedelta(days=35)


@dataclass(frozen=True, slots=True)
class UsageRules:
    """By what the job works.

    Attributes
    ----------
    zone
        The utility's, by whose midnights days begin.
    generating
        Tariff classes of those who may give energy back.
    history_days
        Days before the last one from which a state is built up, and within which late data are folded again.
    """

    zone: ZoneInfo
    limits: Limits = field(default_factory=Limits)
    judged_by: UsageLimits = field(default_factory=UsageLimits)
    told: Told = field(default_factory=Told)
    generating: frozenset[str] = frozenset({"generation"})
    history_days: int = 120

    def last_closed(self, now: datetime) -> date:
        """The last local day whose readings are final."""
        final_s = max(self.limits.of(kind).final_s for kind in (UnitKind.AREA, UnitKind.DEDICATED))
        return (now - timedelta(seconds=final_s) - GRACE).astimezone(self.zone).date() - _DAY


@dataclass(frozen=True, slots=True)
class RecordRules:
    """How records are compared.

    Attributes
    ----------
    every_days, days
        How often, and over how many days.
    neighbours
        Areas behind the same feeder with which one is compared at most.
    sure
        Standard deviations from which on voltages and energies contradict a record.
    """

    every_days: int = 7
    days: int = 28
    neighbours: int = 4
    sure: float = association.SURE


@dataclass(slots=True)
class RecordCounts:
    """What the job has done since it began."""

    areas: int = 0
    meters: int = 0
    doubted: int = 0


@dataclass(slots=True)
class UsageCounts:
    """What the job has done since it began."""

    area_days: int = 0
    meter_days: int = 0
    folded_again: int = 0
    conclusions: int = 0
    seconds: float = 0.0
    processor_s: float = 0.0
    """Of this process alone; the database's isn't in it."""
    live: LiveCounts = field(default_factory=LiveCounts)
    records: RecordCounts = field(default_factory=RecordCounts)
    last_at: float = 0.0
    """When a round last ended, seconds since 1970."""


def take_up_changes(connection: Connection, rules: UsageRules, target: date, counts: UsageCounts) -> bool:
    """Learn of areas and of days that were settled again, in one transaction; returns whether there is more to do."""
    with connection.transaction():
        through = begin_round(connection)
        if through is None:
            return False
        found = next_batch(connection, Progress(through, read_horizon(connection)), _ROWS)
        if found is None:
            return False
        changed = changed_days(connection, through, found.until, str(rules.zone))
        known = read_areas(connection, sorted({unit_id for unit_id, _ in changed}))
        oldest = target - timedelta(days=rules.history_days)
        for unit_id, rows in groupby(changed, key=itemgetter(0)):
            days = [day for _, day in rows if day >= oldest]
            if days and (unit_id not in known or days[0] < known[unit_id][0]):
                add_area(connection, unit_id, days[0])
                forget_from(connection, unit_id, days[0])
            elif days:
                counts.folded_again += _go_back(connection, unit_id, days, rules)
        advance(connection, found.until)
        return found.rows >= _ROWS


def fold_due(
    connection: Connection,
    rules: UsageRules,
    target: date,
    counts: UsageCounts,
    *,
    unit: str | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> bool:
    """Fold areas that are behind a day, each in a transaction, at most a month of it; returns whether there is more."""
    due = due_areas(connection, target, _AREAS, unit)
    holidays = read_holidays(connection)
    for area in due:
        if stopped():
            return False
        with connection.transaction():
            _fold_area(connection, lock_area(connection, area.unit_id), rules, target, holidays, counts)
    return bool(due)


def _go_back(connection: Connection, unit_id: int, days: Sequence[date], rules: UsageRules) -> int:
    """Take back what was said from the first of some days on whose series has become another; 1 where there is one."""
    area = lock_area(connection, unit_id)
    folded = {row.day: row for row in read_days(connection, unit_id, days[0], days[-1])}
    if area.through is None or not folded:
        return 0
    reader = DayReader(connection, load_views(connection, [area.unit])[area.unit], rules.zone)
    for day in days:
        if day in folded and reader.read(day).digest() != folded[day].digest:
            state = read_state(connection, unit_id, day)
            forget_from(connection, unit_id, area.first_day if state is None else state[0] + _DAY)
            set_through(connection, unit_id, None if state is None else state[0])
            return 1
    return 0


def _fold_area(
    connection: Connection,
    area: Area,
    rules: UsageRules,
    target: date,
    holidays: Mapping[date, bool],
    counts: UsageCounts,
) -> None:
    day = area.first_day if area.through is None else area.through + _DAY
    last = min(target, day + timedelta(days=_DAYS - 1))
    if day > last:  # another process was faster
        return
    view = load_views(connection, [area.unit])[area.unit]
    resumed = _resume(connection, area, view)
    if resumed is None:
        forget_from(connection, area.unit_id, area.first_day)
        set_through(connection, area.unit_id, None)
        return
    state, chain = resumed
    reader = DayReader(connection, view, rules.zone)
    losses = Losses(reader, area.first_day, holidays)
    oldest = day - timedelta(days=rules.history_days + 62)
    while day <= last:
        today = reader.read(day)
        weekend = is_weekend(day, holidays)
        state = fold_day(state, UsageDay(day.toordinal(), today.energy_wh, today.minutes, weekend))
        row = _day_row(connection, area.unit_id, day, today, chain)
        chain = row.chain
        write_day(connection, area.unit_id, row)
        evidence = AreaEvidence(
            day=day,
            state=state,
            scores=usage_scores(state),
            slots=round(24 * 60 / today.minutes),
            uncontracted_days=days_without_account(view, reader.end_us(day), (day - area.first_day).days + 1),
            loss=losses.after(day, today) if row.abnormal else None,
            loss_known=view.kind is not UnitKind.AREA or row.unexplained_wh is not None,
            chain=chain,
        )
        end = reader.end(day)
        accounts = read_accounts(connection, area.unit_id, end - timedelta(microseconds=1), end - _FACTS)
        concluded = conclude(evidence, accounts, rules.generating, rules.judged_by)
        write_conclusions(connection, area.unit_id, day, concluded)
        if day == last or (day + _DAY).day == 1:
            write_state(connection, area.unit_id, day, usage.VERSION, dump(state, usage.VERSION), oldest)
        counts.area_days += 1
        counts.meter_days += len(accounts)
        counts.conclusions += len(concluded)
        day += _DAY
    set_through(connection, area.unit_id, last)
    if last == target:
        keep_findings(connection, area, last, rules.told, rules.zone, rules.history_days)


def _resume(connection: Connection, area: Area, view: UnitView) -> tuple[UsageState, bytes] | None:
    """The state after the last folded day, with the chain of days; None where it was made by another model."""
    if area.through is None:
        return UsageModel().init(view.size), b""
    stored = read_state(connection, area.unit_id, area.through + _DAY)
    (row,) = read_days(connection, area.unit_id, area.through, area.through) or (None,)
    if stored is None or row is None or stored[0] != area.through or stored[1] != usage.VERSION:
        return None
    return grow(restore(UsageState, stored[2], usage.VERSION), view.size), row.chain


def _day_row(connection: Connection, unit_id: int, day: date, today: AreaDay, chain: bytes) -> FoldedDay:
    digest = today.digest()
    known = not math.isnan(today.unexplained_wh)
    before = read_days(connection, unit_id, day - timedelta(days=ABNORMAL_DAYS - 1), day - _DAY)
    abnormal = is_abnormal(
        [*(row.unexplained_wh for row in before), today.unexplained_wh if known else None],
        [*(row.sigma_wh for row in before), today.sigma_wh],
        [*(row.supply_wh for row in before), today.supply_wh],
    )
    return FoldedDay(
        day=day,
        digest=digest,
        chain=chain_of(chain, digest),
        readings=today.readings,
        supply_wh=today.supply_wh,
        loss_wh=today.loss_wh,
        unexplained_wh=today.unexplained_wh if known else None,
        sigma_wh=today.sigma_wh,
        abnormal=abnormal,
    )
