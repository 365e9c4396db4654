"""Grafana's SQL macros and variables for those who ask the database without Grafana: the console, reports, tests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

_FILTER = re.compile(r"\$__timeFilter\(\s*([a-z_][a-z0-9_.]*)\s*\)")
_STEP = re.compile(r"(?:interval\s+)?'\$__interval'")
_ZONE = re.compile(r"'\$__timezone'")
_VARIABLE = re.compile(r"\$\{([a-z][a-z0-9_]*):sqlstring\}")
_BOUND = re.compile(r"%\((\w+)\)s::\w+|%%")
_LEFT = re.compile(r"\$(?:__\w+|\{[^}]*\})")


def bind(
    sql: str,
    since: datetime,
    until: datetime,
    step: timedelta,
    values: Mapping[str, str] | None = None,
    zone: str = "UTC",
) -> tuple[str, dict[str, object]]:
    """Return `sql` with named parameters in psycopg's manner in place of macros and variables, and their values.

    Parameters
    ----------
    sql
        A statement of a panel, a variable or an annotation.
    since, until
        The range of time that is shown; both aware.
    step
        Width of a point, of a second or more.
    values
        Of the board's variables, by name.
    zone
        In which days are counted, an IANA name.

    Raises
    ------
    ValueError
        When a time is naive, the range is empty, the step is under a second, or a macro or a variable is unknown.
    """
    if since.tzinfo is None or until.tzinfo is None:
        raise ValueError("the range needs aware times")
    if since >= until:
        raise ValueError("the range is empty")
    if step < timedelta(seconds=1):
        raise ValueError("a point is at least a second wide")
    given = values or {}
    parameters: dict[str, object] = {}

    def take(name: str, value: object, kind: str) -> str:
        parameters[name] = value
        return f"%({name})s::{kind}"

    def variable(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in given:
            raise ValueError(f"unknown variable {name}")
        return take(f"var_{name}", given[name], "text")

    def first() -> str:
        return take("since", since, "timestamptz")

    def last() -> str:
        return take("until", until, "timestamptz")

    text = sql.replace("%", "%%")
    text = _FILTER.sub(lambda match: f"{match.group(1)} between {first()} and {last()}", text)
    text = re.sub(r"\$__timeFrom\(\)", lambda _: first(), text)
    text = re.sub(r"\$__timeTo\(\)", lambda _: last(), text)
    text = _STEP.sub(lambda _: take("step", timedelta(seconds=int(step.total_seconds())), "interval"), text)
    text = _ZONE.sub(lambda _: take("zone", zone, "text"), text)
    text = _VARIABLE.sub(variable, text)
    if unknown := _LEFT.search(text):
        raise ValueError(f"unknown macro {unknown.group()}")
    return text, parameters


def expand(
    sql: str,
    since: datetime,
    until: datetime,
    step: timedelta,
    values: Mapping[str, str] | None = None,
    zone: str = "UTC",
) -> str:
    """Return `sql` as Grafana sends it, with literals in place of macros and variables; see `bind`."""
    text, parameters = bind(sql, since, until, step, values, zone)
    return _BOUND.sub(lambda match: _literal(parameters[match.group(1)]) if match.group(1) else "%", text)


def _literal(value: object) -> str:
    match value:
        case datetime():
            return f"timestamptz '{value.astimezone(UTC).isoformat()}'"
        case timedelta():
            return f"interval '{int(value.total_seconds())}s'"
        case _:
            return "'" + str(value).replace("'", "''") + "'"
