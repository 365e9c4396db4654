"""Days and months as values: their bounds in zones that change their clocks, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from grid.limits import Limits
from grid.period import PeriodKind, Pieces, day_after, first_day, midnight_us
from grid.thresholds import Thresholds
from streams.steps.periods import PeriodRules
from tests.property.test_periods import keys_of


def hours_of(day: date, zone: str) -> float:
    begin, end = (midnight_us(d, ZoneInfo(zone)) for d in (day, day_after(PeriodKind.DAY, day)))
    return (end - begin) / 3_600e6


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        (date(2026, 3, 29), "Europe/Berlin", 23),
        (date(2026, 10, 25), "Europe/Berlin", 25),
        (date(2026, 3, 29), "Asia/Shanghai", 24),
        # Midnight itself is left out.
        (date(2026, 3, 29), "Asia/Beirut", 23),
        (date(2026, 3, 8), "America/Havana", 23),
        (date(2026, 11, 1), "America/Havana", 25),
        # Half an hour.
        (date(2026, 4, 5), "Australia/Lord_Howe", 24.5),
    ],
)
def test_days_have_the_hours_of_their_zone(day: date, zone: str, hours: float) -> None:
    assert hours_of(day, zone) == hours


def test_a_day_begins_at_the_first_midnight() -> None:
    havana = midnight_us(date(2026, 11, 1), ZoneInfo("America/Havana"))
    assert datetime.fromtimestamp(havana / 1e6, UTC) == datetime(2026, 11, 1, 4, tzinfo=UTC)


def test_months() -> None:
    assert first_day(PeriodKind.MONTH, date(2026, 2, 28)) == date(2026, 2, 1)
    assert first_day(PeriodKind.DAY, date(2026, 2, 28)) == date(2026, 2, 28)
    assert day_after(PeriodKind.MONTH, date(2026, 12, 1)) == date(2027, 1, 1)
    assert day_after(PeriodKind.MONTH, date(2024, 2, 1)) == date(2024, 3, 1)
    assert day_after(PeriodKind.DAY, date(2024, 2, 28)) == date(2024, 2, 29)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, float("nan")])
def test_impossible_shares_are_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        PeriodRules(Limits(), Thresholds(), share)


def test_periods_that_end_before_they_begin_are_refused() -> None:
    with pytest.raises(ValueError, match="ends before"):
        keys_of(1, 0)


def test_columns_of_different_length_are_refused() -> None:
    none = Pieces.none()
    columns = {name: getattr(none, name) for name in Pieces.__dataclass_fields__}
    columns["loss_wh"] = keys_of(2).begin_us
    with pytest.raises(ValueError, match="shapes"):
        Pieces(**columns)
