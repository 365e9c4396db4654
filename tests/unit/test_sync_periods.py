"""Days, weeks and months that have ended."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from sync.periods import Period, ended_periods

BERLIN = ZoneInfo("Europe/Berlin")


def days(period: Period, count: int, now: datetime) -> list[str]:
    return [f"{since:%m-%d}…{at:%m-%d}" for since, at in ended_periods(now, period, count, BERLIN)]


def test_periods_end_before_now_and_follow_each_other() -> None:
    # Half past midnight in Berlin, still the day before in UTC.
    now = datetime(2026, 4, 1, 22, 30, tzinfo=UTC)
    assert days("day", 2, now) == ["04-01…04-02", "03-31…04-01"]
    assert days("week", 2, now) == ["03-23…03-30", "03-16…03-23"]
    assert days("month", 3, now) == ["03-01…04-01", "02-01…03-01", "01-01…02-01"]


def test_a_day_has_23_hours_when_clocks_go_forward() -> None:
    ((since, at),) = ended_periods(datetime(2026, 3, 30, 12, tzinfo=UTC), "day", 1, BERLIN)
    assert (at.astimezone(UTC) - since.astimezone(UTC)).total_seconds() == 23 * 3600
