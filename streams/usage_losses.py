"""Days of an area read from the store, and the correlation of its loss with its meters, made of them when it is needed.

The correlation's sums would be far more than is kept of a meter. They are made anew from stored days, from the first of
the month that lies `LEARN_DAYS` back: a rule that depends on nothing but the day, so that the same is said whether days
are folded one by one or many at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from grid.model import Role
from grid.period import PeriodKind, day_after, midnight_us
from grid.quality import MISSING_WH
from grid.roster import UnitView
from kernels.correlation import CorrelationState, LossCorrelation, LossDay, blame, fold_loss_day
from kernels.undercount import JUDGED_DAYS, AreaWindow, Undercount, undercount
from store.blocks import to_datetime
from store.connection import Connection
from store.usage import read_days, read_intervals
from streams.steps.usage_conclude import AreaLoss
from streams.steps.usage_day import AreaDay, fit_slots, is_weekend, make_day

#: Days from which usual use is learnt, at least; days of abnormal loss before anybody is blamed.
LEARN_DAYS, LEAST_ABNORMAL = 84, 3
#: The sums of an area with more meters would take hundreds of megabytes: nobody is blamed there.
MOST_METERS = 1_500
#: Sharing the loss out within days takes more time: a second and a half a day for so many meters.
MOST_UNDERCOUNTED = 500
_DAY = timedelta(days=1)


def day_end(day: date, zone: ZoneInfo) -> datetime:
    """When a local day ends."""
    return to_datetime(midnight_us(day_after(PeriodKind.DAY, day), zone))


class DayReader:
    """Reads local days of an area."""

    def __init__(self, connection: Connection, view: UnitView, zone: ZoneInfo) -> None:
        self.connection, self.view, self._zone = connection, view, zone

    def end_us(self, day: date) -> int:
        """When a day ends, microseconds since 1970 UTC."""
        return midnight_us(day_after(PeriodKind.DAY, day), self._zone)

    def end(self, day: date) -> datetime:
        """When a day ends."""
        return day_end(day, self._zone)

    def read(self, day: date) -> AreaDay:
        """The day as its stored intervals make it."""
        begin_us, end_us = midnight_us(day, self._zone), self.end_us(day)
        begin, end = to_datetime(begin_us), to_datetime(end_us)
        stored = read_intervals(self.connection, self.view.unit_id, self.view.size, begin, end)
        return make_day(stored, self.view, begin_us, end_us)


class Losses:
    """Who explains the loss of an area, on days on which it is abnormal; asked for days in rising order."""

    def __init__(self, reader: DayReader, first_day: date, holidays: Mapping[date, bool]) -> None:
        self._reader, self._first_day, self._holidays = reader, first_day, holidays
        customers = {m.position for m in reader.view.members if m.role & int(Role.CUSTOMER)}
        self._columns = np.array(sorted(customers), np.int64)
        self._begun: tuple[date, int] | None = None
        self._state: CorrelationState | None = None
        self._next = first_day
        self._abnormal = 0
        self._recent: deque[AreaDay] = deque(maxlen=2 * JUDGED_DAYS)

    def after(self, day: date, today: AreaDay) -> AreaLoss | None:
        """What explains the loss, after a day that was read already; None while that can't be said."""
        if not 1 < len(self._columns) <= MOST_METERS:
            return None
        slots = round(24 * 60 / today.minutes)
        begun = (max((day - timedelta(days=LEARN_DAYS)).replace(day=1), self._first_day), slots)
        if self._state is None or self._begun != begun:
            self._begun, self._next, self._abnormal = begun, begun[0], 0
            self._state = LossCorrelation(slots).init(len(self._columns))
            self._recent.clear()
        rows = read_days(self._reader.connection, self._reader.view.unit_id, self._next, day)
        state = self._state
        for row in rows:
            one = today if row.day == day else self._reader.read(row.day)
            if one.minutes == today.minutes:
                state = fold_loss_day(state, self._loss_day(row.day, one, slots, abnormal=row.abnormal))
                self._recent.append(one)
            self._abnormal += row.abnormal
        self._state, self._next = state, day + _DAY
        if self._abnormal < LEAST_ABNORMAL:
            return None
        return AreaLoss(self._columns, state, blame(state), slots, self._undercount(slots))

    def _loss_day(self, day: date, one: AreaDay, slots: int, *, abnormal: bool) -> LossDay:
        energy_wh, loss_wh = fit_slots(one.energy_wh[self._columns], one.unexplained_by_slot_wh, slots)
        # Who gives back isn't asked: its own use isn't seen.
        gives = ((energy_wh < 0) & (energy_wh != MISSING_WH)).any(axis=1)
        energy_wh = np.where(gives[:, None], MISSING_WH, energy_wh)
        return LossDay(day.toordinal(), energy_wh, loss_wh, one.minutes, is_weekend(day, self._holidays), abnormal)

    def _undercount(self, slots: int) -> Undercount | None:
        """Who counts too little, by the days that were read last; None where there are too few of them."""
        if len(self._recent) < JUDGED_DAYS or len(self._columns) > MOST_UNDERCOUNTED:
            return None
        loss, supply, technical = (
            [fit_slots(one.energy_wh[:0], values, slots)[1] for one, values in zip(self._recent, column, strict=True)]
            for column in zip(
                *((d.unexplained_by_slot_wh, d.supply_by_slot_wh, d.technical_by_slot_wh) for d in self._recent),
                strict=True,
            )
        )
        energy = [fit_slots(d.energy_wh[self._columns], d.unexplained_by_slot_wh, slots)[0] for d in self._recent]
        minutes = self._recent[-1].minutes
        return undercount(
            AreaWindow(np.stack(energy, axis=1), np.stack(loss), np.stack(supply), np.stack(technical), minutes)
        )
