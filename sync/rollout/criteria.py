"""Acceptance criteria on indicators, which judge themselves; pure.

``consistency >= 98 % for 7 days`` holds when the indicator keeps the limit now, and kept it, as it was known then, at
this time of the six days before. What is measured once a day must have been measured on each of them: an old day that
is still the last one known doesn't count for the days after it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

_FORM = re.compile(
    r"(?P<indicator>[a-z][a-z_]*) (?P<operator>>=|<=|≥|≤) (?P<limit>-?\d+(?:\.\d+)?)(?P<percent> ?%)?"
    r"(?: for (?P<days>\d{1,3}) days?)?"
)
_MAX_DAYS = 366


@dataclass(frozen=True, slots=True)
class Criterion:
    """An indicator that must keep a limit.

    Attributes
    ----------
    at_least
        Whether the limit is the least that is wanted; else the most.
    days
        How many days in a row it must be kept.
    """

    indicator: str
    at_least: bool
    limit: float
    days: int = 1

    def is_met(self, values: Sequence[float | None]) -> bool:
        """Whether the values of the days, the newest first, keep the limit; a day that nobody knows doesn't."""
        if len(values) < self.days:
            return False
        return all(
            v is not None and (v >= self.limit if self.at_least else v <= self.limit) for v in values[: self.days]
        )


def by_day(figures: Sequence[tuple[float | None, date | None]]) -> list[float | None]:
    """Values that were asked for on consecutive days, the newest first, each with the day that it rests on.

    None where that isn't the day before the one that the newer value rests on: it wasn't measured anew.
    """
    newest = figures[0][1] if figures else None
    return [
        value if day is None or newest is None or day == newest - timedelta(days=number) else None
        for number, (value, day) in enumerate(figures)
    ]


def parse_criterion(text: str, indicators: Sequence[str]) -> Criterion:
    """Read a criterion, such as ``qualified_rate >= 95 % for 3 days``.

    Raises
    ------
    ValueError
        When it has another form, or names no indicator that there is.
    """
    match = _FORM.fullmatch(" ".join(text.split()))
    if match is None:
        raise ValueError(f"not of the form 'INDICATOR >= 98 % for 7 days': {text!r}")
    if match["indicator"] not in indicators:
        raise ValueError(f"no indicator is named {match['indicator']!r}; there are: {', '.join(indicators)}")
    days = int(match["days"] or 1)
    if not 1 <= days <= _MAX_DAYS:
        raise ValueError(f"from 1 to {_MAX_DAYS} days: {text!r}")
    limit = float(match["limit"]) / (100 if match["percent"] else 1)
    return Criterion(match["indicator"], match["operator"] in {">=", "≥"}, limit, days)
