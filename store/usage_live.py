"""What the live rules of usage read and keep in the store; inside the caller's transaction, but for their lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("usage")


@dataclass(frozen=True, slots=True)
class LiveUnit:
    """An area of which something was written; `through` to `state` are None before the first interval."""

    unit_id: int
    unit: str
    through: datetime | None
    version: int | None
    state: bytes | None


@dataclass(frozen=True, slots=True)
class HeldLive:
    """A finding of an area that holds."""

    finding_id: int
    unit_id: int
    meter: str | None
    kind: str
    source: str
    opened_at: datetime
    alert_finding_id: int | None


@dataclass(frozen=True, slots=True)
class HeldEvent:
    """A finding from what a meter reported that holds."""

    finding_id: int
    unit_id: int
    unit: str
    meter: str | None
    kind: str
    opened_at: datetime
    alert_finding_id: int | None


def begin_live(connection: Connection) -> datetime | None:
    """Take the lock of the live rules for the session; up to when was looked, None while another has it."""
    row = connection.execute(_SQL["lock_live"]).fetchone()
    return None if row is None else row[0]


def end_live(connection: Connection) -> None:
    """Give the lock back."""
    connection.execute(_SQL["unlock_live"])


def advance_live(connection: Connection, until: datetime) -> None:
    """Put down that what was written up to an instant was looked at."""
    connection.execute(_SQL["advance_live"], {"until": until})


def live_units(connection: Connection, through: datetime, until: datetime, since: datetime) -> list[LiveUnit]:
    """Areas with an interval that ended after `since` and was written in (through, until]."""
    arguments = {"through": through, "until": until, "since": since}
    return [LiveUnit(*row) for row in connection.execute(_SQL["live_units"], arguments)]


def read_live_intervals(
    connection: Connection, unit_id: int, since: datetime, before: int, limit: int
) -> list[tuple[Any, ...]]:
    """Rows of intervals that end after an instant, and of as many before it, in order."""
    arguments = {"unit_id": unit_id, "since": since, "before": before, "limit": limit}
    with connection.cursor(binary=True) as cursor:
        return cursor.execute(_SQL["live_intervals"], arguments).fetchall()


def write_live_states(connection: Connection, states: Mapping[int, tuple[datetime, bytes]], version: int) -> None:
    """Keep the counters of areas after their last intervals."""
    if states:
        through, counters = zip(*states.values(), strict=True)
        arguments = {"unit_ids": list(states), "through": list(through), "version": version, "states": list(counters)}
        connection.execute(_SQL["write_live_states"], arguments)


def read_held(connection: Connection, unit_ids: Sequence[int]) -> list[HeldLive]:
    """Findings of some areas that hold."""
    return [HeldLive(*row) for row in connection.execute(_SQL["held_live"], {"unit_ids": list(unit_ids)})]


def read_tampering(connection: Connection, since: datetime, now: datetime) -> list[tuple[Any, ...]]:
    """What meters reported in (since, now], with their neighbours; as `streams.steps.usage_live.Reported`."""
    return connection.execute(_SQL["tampering"], {"since": since, "now": now}).fetchall()


def read_held_events(connection: Connection) -> list[HeldEvent]:
    """Findings from what meters reported that hold."""
    return [HeldEvent(*row) for row in connection.execute(_SQL["held_events"])]
