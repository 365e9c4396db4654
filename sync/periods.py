"""Days, weeks and months of a utility's own time, for indicators and reports; pure."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from grid import period as grid_period
from grid.period import PeriodKind

Period = Literal["day", "week", "month"]
PERIODS: Final[tuple[Period, ...]] = ("day", "week", "month")


def first_day(period: Period, day: date) -> date:
    """First day of the day, week (from Monday) or month that a day lies in."""
    if period == "week":
        return day - timedelta(days=day.weekday())
    return grid_period.first_day(PeriodKind(period), day)


def ended_periods(now: datetime, period: Period, count: int, zone: ZoneInfo) -> list[tuple[datetime, datetime]]:
    """The last `count` periods that have ended, the newest first: from when, and to when; a week begins on Monday."""
    bounds = [first_day(period, now.astimezone(zone).date())]
    while len(bounds) <= count:
        bounds.append(first_day(period, bounds[-1] - timedelta(days=1)))
    instants = [datetime.combine(day, time(), zone) for day in bounds]
    return list(zip(instants[1:], instants[:-1], strict=True))
