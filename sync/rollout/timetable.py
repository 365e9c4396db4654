"""When reports are due; pure."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from sync.periods import Period, first_day


class Span(StrEnum):
    """What a report is about."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"

    @property
    def period(self) -> Period:
        """What one report of it tells of."""
        return _PERIODS[self]


_PERIODS: dict[Span, Period] = {Span.DAILY: "day", Span.WEEKLY: "week", Span.MONTHLY: "month"}


def begin_of(span: Span, at: datetime, zone: ZoneInfo) -> datetime:
    """When the day, week or month began that `at` lies in, or ends: midnight is the end of the day before."""
    day = (at - timedelta(microseconds=1)).astimezone(zone).date()
    return datetime.combine(first_day(span.period, day), time(0), zone)


def newest_end(span: Span, sent_at: time, now: datetime, zone: ZoneInfo) -> datetime:
    """End of the newest day, week or month whose report is due: from a local time on, on the day after it ended."""
    day = now.astimezone(zone).date()
    if datetime.combine(day, sent_at, zone) > now:
        day -= timedelta(days=1)
    return datetime.combine(first_day(span.period, day), time(0), zone)
