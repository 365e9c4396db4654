"""When a report is due: against stepping back day by day, in zones with and without summer time."""

from __future__ import annotations

from datetime import datetime, timedelta
from datetime import time as clock
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from sync.rollout.timetable import Span, newest_end

DAY = timedelta(days=1)
FIRST, LAST = datetime.fromisoformat("2026-01-01"), datetime.fromisoformat("2027-12-31")
ZONES = (ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin"), ZoneInfo("UTC"))


@given(st.datetimes(FIRST, LAST), st.sampled_from(ZONES), st.times(), st.sampled_from(Span))
def test_the_newest_end_is_due_and_the_next_is_not(now: datetime, zone: ZoneInfo, sent_at: clock, span: Span) -> None:
    """Days are stepped through one by one."""
    local = now.replace(tzinfo=zone)
    end = newest_end(span, sent_at, local, zone)

    def ends_a_period(day: datetime) -> bool:
        return span is Span.DAILY or (day.weekday() == 0 if span is Span.WEEKLY else day.day == 1)

    day = local.replace(hour=0, minute=0, second=0, microsecond=0)
    while not (ends_a_period(day) and datetime.combine(day.date(), sent_at, zone) <= local):
        day -= DAY
    assert end == day
