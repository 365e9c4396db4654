"""Grafana's SQL macros for those who ask the database without Grafana: the console, reports and the tests."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_FILTER = re.compile(r"\$__timeFilter\(\s*([a-z_][a-z0-9_.]*)\s*\)")
_LEFT = re.compile(r"\$__\w+")


def expand(sql: str, since: datetime, until: datetime, step: timedelta) -> str:
    """Return `sql` with its macros filled in.

    Parameters
    ----------
    sql
        A panel's statement.
    since, until
        The range of time that is shown; both aware.
    step
        Width of a point, of a second or more.

    Raises
    ------
    ValueError
        When a time is naive, the range is empty, the step is under a second, or a macro is unknown.
    """
    if since.tzinfo is None or until.tzinfo is None:
        raise ValueError("the range needs aware times")
    if since >= until:
        raise ValueError("the range is empty")
    if step < timedelta(seconds=1):
        raise ValueError("a point is at least a second wide")
    first, last = _literal(since), _literal(until)
    text = _FILTER.sub(rf"\1 between {first} and {last}", sql)
    text = text.replace("$__timeFrom()", first).replace("$__timeTo()", last)
    text = re.sub(r"\$__interval\b", f"{int(step.total_seconds())}s", text)
    if unknown := _LEFT.search(text):
        raise ValueError(f"unknown macro {unknown.group()}")
    return text


def _literal(moment: datetime) -> str:
    return f"timestamptz '{moment.astimezone(UTC).isoformat()}'"
