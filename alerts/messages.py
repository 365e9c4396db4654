"""Messages of alerts, as other systems receive them: figures, never a series of readings; pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, cast

import msgspec

#: A row of a list of a report, by the names of its columns.
NoticeRow = dict[str, int | float | str | bool | None]
#: Of the alerts that one notice tells of, how many are told one by one.
MAX_EVENTS = 100
#: The same for a receiver that is told of every end.
MAX_ENDS = 10_000
#: What such a receiver must learn of, or it shows what isn't so.
_ENDS = frozenset({"alert.resolved", "alert.closed", "alert.reopened"})


class AlertNotice(msgspec.Struct, frozen=True):
    """An alert as it stood at the event."""

    alert_id: int
    code: str
    """Names the condition; one alert is open for it at a time."""
    kind: str
    severity: Literal["info", "warning", "critical"]
    state: str
    role: str
    """Who operates it."""
    unit: str
    unit_kind: str
    unit_name: str
    opened_at: datetime
    figures: dict[str, int | float | str | bool | None]
    """Numbers and short texts by name, with units in the names; which, depends on the kind."""
    meter: str | None = None
    link: str | None = None
    expected_at: datetime | None = None
    """Until when it is expected to last, as a person said."""


class AlertWebhook(msgspec.Struct, frozen=True):
    """Body of a webhook that tells of an alert; its id is in header ``webhook-id``."""

    type: Literal[
        "alert.opened", "alert.updated", "alert.escalated", "alert.resolved", "alert.closed", "alert.reopened"
    ]
    timestamp: datetime
    data: AlertNotice


class GroupNotice(msgspec.Struct, frozen=True):
    """What came to one group of alerts since its last notice."""

    group: str
    """Cause and feeder."""
    count: int
    events: list[AlertWebhook]
    """The first of them; the others can be asked for by the group."""
    link: str | None = None
    """Where all alerts of the group are listed."""


class GroupWebhook(msgspec.Struct, frozen=True):
    """Body of a webhook that tells of several alerts of one group."""

    type: Literal["alert.group"]
    timestamp: datetime
    data: GroupNotice


class FigureNotice(msgspec.Struct, frozen=True):
    """A figure of a report; the link computes it again as it was known then."""

    name: str
    value: float | None
    part: float | None = None
    whole: float | None = None
    day: str | None = None
    """The last day that it rests on, where it is of days."""
    link: str | None = None


class ReportNotice(msgspec.Struct, frozen=True):
    """A report of the roll-out whose day, week or month has ended."""

    report: str
    """Names it; told once."""
    span: str
    level: str
    unit: str | None
    since: datetime
    until: datetime
    title: str
    lines: list[str]
    """Its figures for people, and what its lists have."""
    figures: list[FigureNotice]
    lists: dict[str, list[NoticeRow]] = {}
    """What needs somebody, or did: milestones, tickets, channels, silent, matters, decisions, warnings; of each the
    first, a figure says how many there are."""
    link: str | None = None


class ReportWebhook(msgspec.Struct, frozen=True):
    """Body of a webhook that brings a report."""

    type: Literal["report"]
    timestamp: datetime
    data: ReportNotice


def compose(
    before: dict[str, Any] | None,
    group: str,
    events: Sequence[AlertWebhook],
    link: str | None,
    more: int = 0,
    *,
    every_end: bool = False,
) -> Any:
    """Body of a notice that tells of `events`, after what it told `before` they were added; plain values.

    One event is told as itself, several as a group; `more` come after them, and are only counted. With `every_end` ends
    are told one by one however many there are, up to `MAX_ENDS`.
    """
    told: list[dict[str, Any]] = []
    count = len(events) + more
    if before is not None:
        is_group = before["type"] == "alert.group"
        told = list(before["data"]["events"]) if is_group else [before]
        count += before["data"]["count"] if is_group else 1
    room = max(0, MAX_EVENTS - len(told))
    fresh = [event for n, event in enumerate(events) if n < room or (every_end and event.type in _ENDS)]
    told += cast("list[dict[str, Any]]", msgspec.to_builtins(fresh[: max(room, MAX_ENDS - len(told))]))
    if count == 1:
        return told[0]
    timestamp = msgspec.to_builtins(events[-1].timestamp) if events else told[-1]["timestamp"]
    data = {"group": group, "count": count, "events": told, "link": link}
    return {"type": "alert.group", "timestamp": timestamp, "data": data}


def schema_files() -> dict[str, str]:
    """Published schema files by name."""
    types = {"alert-webhook": AlertWebhook, "alert-group-webhook": GroupWebhook, "report-webhook": ReportWebhook}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {
        f"{name}.schema.json": json.dumps({**head, **msgspec.json.schema(of)}, indent=2) + "\n"
        for name, of in types.items()
    }
