"""Gathers a report: figures by name, unit and instant, and lists of what needs somebody."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from store.benefit import read_told
from store.connection import Connection
from store.rollout import Figure, Row, read_figure, read_rows
from sync.rollout.assess import list_standing
from sync.rollout.channels import list_short, list_silent
from sync.rollout.desk import list_tickets
from sync.rollout.errors import NotFoundError
from sync.rollout.planning import list_milestones
from sync.rollout.releases import read_units
from sync.rollout.timetable import Span, begin_of

#: Rows that a list of a report shows; the figure beside it says how many there are.
MAX_ROWS = 200
_LIVE = ["open", "in_progress", "waiting"]


class Level(StrEnum):
    """For whom it is."""

    UNIT = "unit"  # 单位
    WORKING = "working"  # 工作组: every unit, a row each
    LEADING = "leading"  # 领导小组: the whole, and what needs a decision


#: What each level is told of the whole that it answers for.
FIGURES: tuple[str, ...] = (
    "progress", "on_time", "milestones_passed", "milestones_slipped",
    "tickets_opened", "tickets_open", "tickets_broken", "resolve_hours", "sla_kept",
    "matters_open", "decisions_overdue", "warning_orders", "channels_slow", "channels_good", "channels_unknown",
    "consistency", "open_conflicts", "collection", "estimated_share", "qualified_rate", "area_loss_rate",
    "line_loss_rate", "benefit_wh", "benefit_cents",
)  # fmt: skip
#: And a unit of itself.
OWN: tuple[str, ...] = ("score", "rank")
#: And the working and the leading group of each unit.
BY_UNIT: dict[Level, tuple[str, ...]] = {
    Level.UNIT: (),
    Level.WORKING: (
        "progress", "milestones_slipped", "tickets_open", "tickets_broken", "matters_open", "channels_slow",
        "consistency", "collection", "qualified_rate", "area_loss_rate", "score", "rank",
    ),
    Level.LEADING: (
        "progress", "milestones_slipped", "tickets_broken", "channels_slow", "consistency", "qualified_rate", "score",
        "rank",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """A report before it is drawn.

    Attributes
    ----------
    unit
        Code of the organisation; None: the whole.
    since, at
        What it covers; all of it as it was known at `at`.
    figures
        Of the whole.
    by_unit
        Figures of each unit, in the order of `BY_UNIT`.
    milestones, tickets, channels, silent, matters, decisions, warnings
        Slipped milestones, tickets with a broken promise and channels that fall short, also those that were resolved
        or are good again since; channels that nobody measures any more, matters and decisions that aren't carried
        out, warning orders that stand.
    advice, social
        What to do about the flow of the work, and what came to customers, as the last update of the ledger of benefits
        found it; for the groups.
    """

    span: Span
    level: Level
    unit: str | None
    since: datetime
    at: datetime
    zone: str
    figures: tuple[Figure, ...]
    by_unit: dict[str, tuple[Figure, ...]]
    milestones: tuple[Row, ...]
    tickets: tuple[Row, ...]
    channels: tuple[Row, ...]
    silent: tuple[Row, ...]
    matters: tuple[Row, ...]
    decisions: tuple[Row, ...]
    warnings: tuple[Row, ...]
    advice: tuple[Row, ...] = ()
    social: tuple[Row, ...] = ()


def need_organisation(connection: Connection, unit: str | None) -> None:
    """Raises `NotFoundError` where there is no such organisation; None, for everything, is fine."""
    if unit is not None and not read_rows(connection, "plan", "organisation", code=unit):
        raise NotFoundError(f"no organisation {unit}")


def make_report(
    connection: Connection, span: Span, level: Level, at: datetime, zone: ZoneInfo, unit: str | None = None
) -> Report:
    """Gather a report as of an instant; the same again gives the same, whatever was recorded since.

    Raises
    ------
    NotFoundError
        When a unit's report is asked for without one that there is.
    """
    if (level is Level.UNIT) != (unit is not None):
        raise NotFoundError("a report of level unit names its unit, and no other does")
    since = begin_of(span, at, zone)
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read read only")
        need_organisation(connection, unit)

        def figures(names: tuple[str, ...], code: str | None) -> tuple[Figure, ...]:
            return tuple(read_figure(connection, name, code, at, zone.key, since) for name in names)

        units = read_units(connection, at) if BY_UNIT[level] else []
        milestones = [row for row in list_milestones(connection, at, zone, unit=unit) if row["is_slipped"]]
        tickets = list_tickets(
            connection, at, unit=unit, states=_LIVE, resolved_since=since, broken=True, limit=MAX_ROWS
        )
        channels = list_short(connection, since, at, unit, MAX_ROWS)
        silent = list_silent(connection, at, unit, MAX_ROWS)
        # What crosses departments needs the groups; a unit sees all of its own.
        wanted = {"at": at, "unit": unit, "open": True, "after": 0, "limit": MAX_ROWS}
        crossing = True if level is Level.LEADING else None
        matters = read_rows(connection, "council", "matters", matter_id=None, cross_department=crossing, **wanted)
        decisions = read_rows(connection, "council", "decisions", zone=zone.key, decision_id=None, **wanted)
        return Report(
            span, level, unit, since, at, zone.key, figures((*FIGURES, *(() if unit is None else OWN)), unit),
            {code: figures(BY_UNIT[level], code) for code in units},
            tuple(milestones[:MAX_ROWS]), tuple(tickets), tuple(channels), tuple(silent), tuple(matters),
            tuple(decisions), tuple(list_standing(connection, at, unit, MAX_ROWS)),
            *(((), ()) if level is Level.UNIT else _told(connection, at)),
        )  # fmt: skip


def _told(connection: Connection, at: datetime) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    advice, social = read_told(connection, at)
    return (
        tuple({**row, "gain_h": row["gain_s"] / 3_600} for row in advice),
        tuple({**row, "indicator": row["name"], "measured_in": row["unit"]} for row in social),
    )
