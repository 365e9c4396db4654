"""What stretch of time a board shows: ``now-24h`` and the like, or two instants. Pure: the clock is an argument."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

_BACK = re.compile(r"now(?:-([1-9][0-9]{0,5})([smhdw]))?\Z")
_SPAN = re.compile(r"([1-9][0-9]{0,5})([smhdw])\Z")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
#: A picture has about this many points; more than a screen has columns would only cost.
POINTS: Final = 400
#: Widths of a point, from the shortest interval of a meter up.
_STEPS_S: Final = (60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 7 * 86_400)


class RangeError(ValueError):
    """The range that was asked for can't be shown; the message says why."""


@dataclass(frozen=True, slots=True)
class Window:
    """A range of time, and how wide a point of it is."""

    since: datetime
    until: datetime
    step: timedelta


@dataclass(frozen=True, slots=True)
class Range:
    """A range as it was asked for: ``now``, ``now-6h``, or instants after ISO 8601 with their offset."""

    since: str
    until: str = "now"

    @property
    def moves(self) -> bool:
        """Whether it ends at the present, so that it must be asked for again and again."""
        return self.until.startswith("now")

    def at(self, now: datetime, longest: timedelta) -> Window:
        """The range as it is at `now`.

        Raises
        ------
        RangeError
            When an end can't be read, the range is empty or in the future, or longer than `longest`.
        """
        since, until = _instant(self.since, now), _instant(self.until, now)
        if since >= until:
            raise RangeError("the range ends before it begins")
        if until - since > longest:
            raise RangeError(f"at most {longest.days} days can be shown at once")
        return Window(since, until, step_of(until - since))


def span_before(span: str, until: datetime) -> Window:
    """The stretch of `span`, such as ``1h``, that ends at `until`."""
    length = span_of(span)
    return Window(until - length, until, step_of(length))


def span_of(span: str) -> timedelta:
    """The length of `span`, such as ``5s`` or ``1h``."""
    match = _SPAN.match(span)
    if match is None:
        raise RangeError(f"not a span of time: {span[:40]}")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def step_of(length: timedelta) -> timedelta:
    """The narrowest width of a point that makes at most `POINTS` of them."""
    least_s = length.total_seconds() / POINTS
    return timedelta(seconds=next((s for s in _STEPS_S if s >= least_s), _STEPS_S[-1]))


def _instant(text: str, now: datetime) -> datetime:
    if match := _BACK.match(text):
        try:
            return now - timedelta(**{_UNITS[match[2]]: int(match[1])}) if match[1] else now
        except OverflowError:
            raise RangeError(f"{text} lies too far away") from None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise RangeError(f"not a time: {text[:40]!r}; write now-6h, or one after ISO 8601") from None
    if parsed.tzinfo is None or not 1900 < parsed.year < 9000:
        raise RangeError(f"{text[:40]!r} has no offset from UTC, or lies too far away")
    return parsed.astimezone(UTC)
