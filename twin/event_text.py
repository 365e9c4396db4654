"""Events as text: how many of each kind on a command line, and an explicit list as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from twin.events import Event, EventKind

#: Text of a plan that is scaled to the grid, and of one without events.
DEFAULT, NONE = "default", "none"

_LAST_YEAR = 9998
_LAST_S = int(datetime(_LAST_YEAR + 1, 1, 1, tzinfo=UTC).timestamp()) - 1
_FIELDS = frozenset({"number", "kind", "entity", "begin", "end", "size", "other"})


def parse_plan(text: str) -> dict[EventKind, int] | None:
    """How many events of each kind: `theft_scaling=3,theft_hook=1`, `none`, or None for `default`.

    Raises
    ------
    ValueError
        For an unknown kind, naming those that there are, a kind that appears twice or a count that is none.
    """
    wanted = text.strip()
    if wanted == DEFAULT:
        return None
    if wanted == NONE:
        return {}
    counts: dict[EventKind, int] = {}
    for part in wanted.split(","):
        name, _, number = (piece.strip() for piece in part.partition("="))
        kind = _kind(name)
        if kind in counts:
            raise ValueError(f"{kind} appears twice in {text!r}")
        if not (number.isascii() and number.isdigit()):
            raise ValueError(f"how many events of {kind}? {part.strip()!r} should be such as {kind}=3")
        counts[kind] = int(number)
    return counts


def to_json(events: Iterable[Event]) -> str:
    """Events as a JSON list, one a line, in order of time; instants in UTC."""
    lines = [
        json.dumps(
            {
                "number": e.number, "kind": e.kind.value, "entity": e.entity, "begin": _instant_text(e.begin_s),
                "end": None if e.end_s is None else _instant_text(e.end_s), "size": e.size, "other": e.other,
            },
            ensure_ascii=False,
        )
        for e in sorted(events)
    ]  # fmt: skip
    return "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n"


def parse_events(text: str) -> tuple[Event, ...]:
    """Events from a JSON list, in order of time.

    `kind` and `begin` must be there, in most kinds `entity` too. An instant is text with an offset, or seconds since
    1970 UTC. Left out, `end` is null (it stays), `size` 1, `other` empty and `number` the place in the list, from 1 on.

    Raises
    ------
    ValueError
        Saying which event of the list is wrong, and how.
    """
    try:
        items = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"the events are not JSON: {error}") from None
    if not isinstance(items, list):
        raise ValueError("the events are not a list")  # noqa: TRY004 - the text is wrong, not a type of ours
    events = []
    for place, item in enumerate(items, start=1):
        try:
            events.append(_event(place, item))
        except (TypeError, OverflowError, ValueError) as error:
            raise ValueError(f"event {place}: {error}") from None
    numbers = [e.number for e in events]
    if len(set(numbers)) < len(numbers):
        raise ValueError("two events have the same number")
    return tuple(sorted(events))


def _event(place: int, item: Any) -> Event:
    if not isinstance(item, dict):
        raise TypeError(f"{item!r} is no object")
    if unknown := sorted(item.keys() - _FIELDS):
        raise ValueError(f"unknown field {unknown[0]!r}; there are {', '.join(sorted(_FIELDS))}")
    if missing := [name for name in ("kind", "begin") if name not in item]:
        raise ValueError(f"{missing[0]!r} is missing")
    end = item.get("end")
    return Event(
        begin_s=_instant(item["begin"]),
        number=_whole(item.get("number", place)),
        kind=_kind(item["kind"]),
        entity=_string(item.get("entity", "")),
        end_s=None if end is None else _instant(end),
        size=_number(item.get("size", 1.0)),
        other=_string(item.get("other", "")),
    )


def _kind(name: object) -> EventKind:
    try:
        return EventKind(str(name))
    except ValueError:
        known = ", ".join(kind.value for kind in EventKind)
        raise ValueError(f"unknown kind of event {name!r}; there are {known}") from None


def _instant(value: object) -> int:
    at_s = _seconds(value)
    if not 0 <= at_s <= _LAST_S:
        raise ValueError(f"{value!r} isn't between 1970 and {_LAST_YEAR}")
    return at_s


def _seconds(value: object) -> int:
    if not isinstance(value, str):
        return _whole(value)
    at = datetime.fromisoformat(value)
    if at.tzinfo is None:
        raise ValueError(f"{value!r} must say its time zone, such as 2026-06-01T00:00:00Z")
    if at.microsecond:
        raise ValueError(f"{value!r} isn't a whole second")
    return int(at.timestamp())


def _instant_text(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**63:
        raise TypeError(f"{value!r} is no whole number")
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"size {value!r} is no number")
    return float(value)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
