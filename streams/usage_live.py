"""Live rules of usage on what is stored: some seconds behind the workers, so that they are not slowed down by it.

Intervals of an area are judged in order, each once, when they are complete or `lag_s` old. What comes after that isn't
seen here; the daily job sees it. State and findings of an area are written in one transaction, so that a repeat changes
nothing; some areas at a time, since what is recorded after a transaction began isn't looked at by others until it ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.quality import MISSING_WH, Quality
from grid.roster import UnitView
from kernels import live_rules
from kernels.detector import dump, restore
from kernels.live_rules import MISSING, LiveLimits, LiveRules, LiveState
from store.blocks import to_datetime
from store.connection import Connection
from store.horizon import read_horizon
from store.periods import Progress, next_batch
from store.usage import read_accounts
from store.usage_findings import FindingValues, NewFinding
from store.usage_live import (
    LiveUnit,
    advance_live,
    begin_live,
    end_live,
    live_units,
    read_held,
    read_held_events,
    read_live_intervals,
    read_tampering,
    write_live_states,
)
from store.views import load_views, read_model_version
from streams.steps.usage_live import (
    OVERLOAD,
    QUIET,
    SINGLE_OUTAGE,
    Change,
    Contracts,
    LiveInterval,
    OverloadRule,
    Reported,
    Standing,
    grow_live,
    judge,
    overload,
    reopened,
    standing_of,
)
from streams.usage_batch import FindingBatch

_ROWS, _UNITS, _INTERVALS = 20_000, 50, 200
#: What is older than this isn't live any more.
_LIVE = timedelta(hours=6)
#: What is known of areas is kept in memory for so many of them, and read anew after so long.
_KNOWN, _KEEP = 4_000, timedelta(hours=1)
_NOT_COUNTED = int(Quality.MISSING | Quality.ESTIMATED | Quality.SUBSTITUTED)
_MONTH_S = 28 * 86_400


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """By what the live rules work.

    Attributes
    ----------
    lag_s
        An interval that isn't complete is judged when it is so old.
    """

    limits: LiveLimits = field(default_factory=LiveLimits)
    overload: OverloadRule = field(default_factory=OverloadRule)
    generating: frozenset[str] = frozenset({"generation"})
    lag_s: float = 120.0


@dataclass(slots=True)
class LiveCounts:
    """What the rules have done since the service began."""

    intervals: int = 0
    begun: int = 0
    ended: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    view: UnitView
    codes: Mapping[int, str]
    contracts: Contracts


class LiveWatch:
    """Looks at what was written since the last look."""

    def __init__(self, settings: LiveSettings, counts: LiveCounts | None = None) -> None:
        self.counts = counts or LiveCounts()
        self._settings = settings
        self._known: dict[int, _Known] = {}
        self._version = -1
        self._read_at: datetime | None = None

    def look(self, connection: Connection, now: datetime, rest: Callable[[float], None] = lambda _: None) -> bool:
        """Judge what has come; returns whether there is more. Nothing where another process is at it.

        Parameters
        ----------
        rest
            Called after each transaction that isn't the last, with the seconds that it took.
        """
        through = begin_live(connection)
        if through is None:
            return False
        try:
            return self._look(connection, through, now, rest)
        finally:
            end_live(connection)

    def _look(self, connection: Connection, through: datetime, now: datetime, rest: Callable[[float], None]) -> bool:
        began_s = time.monotonic()
        with connection.transaction():
            horizon = read_horizon(connection)
            # At a first start, what lies long back is the daily job's.
            through = max(through, horizon - _LIVE)
            found = next_batch(connection, Progress(through, horizon), _ROWS)
            units = [] if found is None else live_units(connection, through, found.until, now - _LIVE)
        more = found is not None and found.rows >= _ROWS
        for n in range(0, len(units), _UNITS):
            with connection.transaction():
                self._judge(connection, units[n : n + _UNITS], now)
            if more or n + _UNITS < len(units):
                rest(time.monotonic() - began_s)
                began_s = time.monotonic()
        with connection.transaction():
            self._events(connection, now)
            if found is not None:
                advance_live(connection, found.until)
        return more

    def _judge(self, connection: Connection, units: Sequence[LiveUnit], now: datetime) -> None:
        self._learn(connection, units, now)
        batch = FindingBatch(read_held(connection, [unit.unit_id for unit in units]))
        states: dict[int, tuple[datetime, bytes]] = {}
        for unit in units:
            known = self._known[unit.unit_id]
            for change, interval_s in self._unit(connection, unit, known, batch, states, now):
                _say(batch, unit, known, change, interval_s)
            # What is said of meters that don't hang on the area any more: no interval of theirs will end it.
            there = {None, *known.codes.values()}
            for one in batch.of_rules(unit.unit_id):
                if one.meter not in there:
                    batch.end_rule(unit, one.meter, one.kind, now)
        write_live_states(connection, states, live_rules.VERSION)
        self._write(connection, batch)

    def _write(self, connection: Connection, batch: FindingBatch) -> None:
        batch.write(connection)
        self.counts.begun += batch.begun
        self.counts.ended += batch.ended

    def _unit(
        self,
        connection: Connection,
        unit: LiveUnit,
        known: _Known,
        batch: FindingBatch,
        states: dict[int, tuple[datetime, bytes]],
        now: datetime,
    ) -> list[tuple[Change, int]]:
        size = known.view.size
        state = LiveRules().init(size)
        if unit.state is not None and unit.version == live_rules.VERSION:
            state = grow_live(restore(LiveState, unit.state, live_rules.VERSION), size)
        elif unit.state is not None:
            # Rules of another version counted otherwise: what they said goes on, and ends by these.
            said_live = {(one.meter, one.kind) for one in batch.of_rules(unit.unit_id)}
            state = reopened(state, known.codes, said_live)
        since = max(unit.through or now - _LIVE, now - _LIVE)
        # Some that were judged before are wanted for the transformer's load.
        before = self._settings.overload.intervals
        judged: list[LiveInterval] = []
        standing: Standing | None = None
        changes: list[tuple[Change, int]] = []
        through = since
        for row in read_live_intervals(connection, unit.unit_id, since, before, _INTERVALS):
            end = to_datetime(row[0])
            interval = _interval(row, size)
            if end > since:
                if row[2] < 1.0 and (now - end).total_seconds() < self._settings.lag_s:
                    break
                roster = known.view.roster(interval.end_us, interval.interval_s)
                if standing is None or standing.roster is not roster:
                    standing = standing_of(roster, known.contracts)
                state, said = judge(state, interval, standing, self._settings.limits)
                changes += [(change, interval.interval_s) for change in said]
                through = end
                self.counts.intervals += 1
            judged.append(interval)
        if through == since:
            return []
        plate = known.view.plate(judged[-1].end_us, judged[-1].interval_s)
        overloaded = batch.holds(unit.unit_id, None, OVERLOAD)
        if plate is not None:
            said_now = overload(judged, plate.rating_va, self._settings.overload, holds=overloaded)
            changes += [] if said_now is None else [(said_now, judged[-1].interval_s)]
        states[unit.unit_id] = through, dump(state, live_rules.VERSION)
        return changes

    def _events(self, connection: Connection, now: datetime) -> None:
        reported = [Reported(*row) for row in read_tampering(connection, now - QUIET, now)]
        wanted: dict[tuple[int, str, str], Reported] = {}
        for each in reported:
            if each.finding is not None:
                wanted.setdefault((each.unit_id, each.meter, each.finding), each)
        batch = FindingBatch()
        for held in read_held_events(connection):
            if wanted.pop((held.unit_id, held.meter or "", held.kind), None) is None:
                is_told = held.kind != SINGLE_OUTAGE
                batch.end(held.finding_id, held.unit, held.meter, held.kind, held.opened_at, now, is_told=is_told)
        for (unit_id, meter, kind), each in wanted.items():
            values = FindingValues(
                confidence=0.5,
                begin_at=each.first_at,
                opened_at=each.last_at,
                seen_at=each.last_at,
                ended_at=None,
                expected_wh=0,
                expected_money=None,
                reasons=[each.kind],
                evidence={"times": each.times, "neighbours": each.neighbours, "meters": each.meters},
            )
            batch.begin(each.unit, NewFinding(unit_id, meter, kind, "event", values), is_told=kind != SINGLE_OUTAGE)
        self._write(connection, batch)

    def _learn(self, connection: Connection, units: Sequence[LiveUnit], now: datetime) -> None:
        """Read what is known of these areas, where it isn't in memory or the model has changed."""
        version = read_model_version(connection)
        stale = self._read_at is None or now - self._read_at > _KEEP or len(self._known) > _KNOWN
        if version != self._version or stale:
            self._known.clear()
            self._version, self._read_at = version, now
        lacking = [unit for unit in units if unit.unit_id not in self._known]
        views = load_views(connection, [unit.unit for unit in lacking])
        for unit in lacking:
            view = views[unit.unit]
            capacity_w, generates = np.zeros(view.size, np.int64), np.zeros(view.size, np.bool_)
            codes = {}
            for account in read_accounts(connection, unit.unit_id, now, now):
                codes[account.position] = account.meter
                capacity_w[account.position] = account.contract_w
                generates[account.position] = account.tariff_class in self._settings.generating
            self._known[unit.unit_id] = _Known(view, codes, Contracts(capacity_w, generates))


def _say(batch: FindingBatch, unit: LiveUnit, known: _Known, change: Change, interval_s: int) -> None:
    """Let a finding begin or end, as a rule says."""
    meter = None if change.position is None else known.codes.get(change.position)
    if meter is None and change.position is not None:
        return
    at = to_datetime(change.at_us)
    if not change.begins:
        batch.end_rule(unit, meter, change.kind, at)
        return
    values = FindingValues(
        confidence=0.8,
        begin_at=at - timedelta(seconds=interval_s),
        opened_at=at,
        seen_at=at,
        ended_at=None,
        expected_wh=change.energy_wh * _MONTH_S // interval_s,
        expected_money=None,
        reasons=[f"rule_{change.kind}"],
        evidence={"rules": live_rules.VERSION, "interval_s": interval_s},
    )
    batch.begin(unit.unit, NewFinding(unit.unit_id, meter, change.kind, "live", values))


def _interval(row: Sequence[Any], size: int) -> LiveInterval:
    end_us, interval_s, _, inflow_wh, computable, quality, *arrays = row

    flags = np.frombuffer(quality, np.uint8)[:size]
    is_whole = len(flags) == size and not np.any(flags & _NOT_COUNTED)

    def energy(values: NDArray[Any] | None) -> NDArray[np.int64]:
        if is_whole and values is not None and len(values) == size:
            return values.astype(np.int64, copy=False)
        out = np.full(size, MISSING_WH, np.int64)
        if values is not None:
            there = min(len(values), len(flags), size)
            out[:there] = np.where(flags[:there] & _NOT_COUNTED == 0, values[:there], MISSING_WH)
        return out

    def triple(three: Sequence[NDArray[Any] | None]) -> NDArray[np.int16] | None:
        if all(values is None for values in three):
            return None
        out = np.full((size, 3), MISSING, np.int16)
        for phase, values in enumerate(three):
            if values is not None:
                out[: len(values), phase] = values[:size]
        return out

    return LiveInterval(
        end_us=end_us,
        interval_s=interval_s,
        import_wh=energy(arrays[0]),
        export_wh=energy(arrays[1]),
        voltage_dv=triple(arrays[2:5]),
        current_ca=triple(arrays[5:8]),
        inflow_wh=inflow_wh if computable else None,
    )
