"""Working hours (工作时间): when somebody is there, and how much of a span they were; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from types import MappingProxyType
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)
#: A calendar that opens on no day of this many is never open.
_HORIZON_D = 400


@dataclass(frozen=True, slots=True)
class Calendar:
    """Working hours, by the week and with exceptions.

    Attributes
    ----------
    zone
        Of the utility.
    weekdays
        0 is Monday.
    opens, closes
        Local. When `closes` isn't later than `opens` the hours end on the next day, as a night shift does; they belong
        to the day on which they begin. Equal: the whole day round.
    exceptions
        Day → whether it is a working day, whatever the week says (节假日、调休).
    """

    zone: ZoneInfo
    weekdays: frozenset[int] = frozenset(range(7))
    opens: time = time(0)
    closes: time = time(0)
    exceptions: Mapping[date, bool] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if not self.weekdays or not self.weekdays <= frozenset(range(7)):
            raise ValueError("a calendar needs days from 0, Monday, to 6")

    def is_open(self, at: datetime) -> bool:
        """Whether an instant lies in the hours."""
        day = at.astimezone(self.zone).date()
        return any(begin <= at < end for begin, end in map(self._hours, (day - _DAY, day)) if begin < end)

    def next_open(self, at: datetime) -> datetime:
        """The instant itself in the hours, else when they begin next; the instant itself when they never do."""
        if self.is_open(at):
            return at
        day = at.astimezone(self.zone).date()
        for number in range(_HORIZON_D):
            begin, end = self._hours(day + number * _DAY)
            if begin < end and at <= begin:
                return begin
        return at

    def _hours(self, day: date) -> tuple[datetime, datetime]:
        """Begin and end of a day's hours; the same instant where it has none."""
        begin = datetime.combine(day, self.opens, self.zone)
        if not self.exceptions.get(day, day.weekday() in self.weekdays):
            return begin, begin
        return begin, datetime.combine(day if self.closes > self.opens else day + _DAY, self.closes, self.zone)

    def worked_s(self, start: datetime, stop: datetime) -> float:
        """Seconds of the hours between two instants; 0 when the second isn't later."""
        days = max((stop.astimezone(self.zone).date() - start.astimezone(self.zone).date()).days, 0) + 2
        spans = (self._within(begin, end, start, stop) for begin, end in self._open_from(start, days))
        return sum(spans, 0.0)

    def after(self, start: datetime, worked_s: float) -> datetime | None:
        """The instant at which so many seconds of the hours have passed, in UTC; None when the hours are too few."""
        # Once a calendar is open at all within the horizon, the hours sought come within so many horizons.
        left = worked_s
        for begin, end in self._open_from(start, _HORIZON_D * 10):
            opened = max(begin, start.astimezone(UTC))
            length = (end - opened).total_seconds()
            if length >= left:
                return opened + timedelta(seconds=left)
            left -= max(length, 0.0)
        return None

    def _open_from(self, start: datetime, days: int) -> Iterator[tuple[datetime, datetime]]:
        # In UTC, where differences are true also across a change of the clock.
        first = start.astimezone(self.zone).date() - _DAY
        for number in range(days + 1):
            begin, end = (at.astimezone(UTC) for at in self._hours(first + number * _DAY))
            if begin < end and end > start:
                yield begin, end

    @staticmethod
    def _within(begin: datetime, end: datetime, start: datetime, stop: datetime) -> float:
        return max((min(end, stop.astimezone(UTC)) - max(begin, start.astimezone(UTC))).total_seconds(), 0.0)
