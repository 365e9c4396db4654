"""Tells alerts what slipped: milestones, promises of the service desk, decisions, channels; and warning orders.

What is over ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from grid.channel import Shortfall
from grid.finding import Finding, Scalar, Severity
from store.connection import Connection
from store.findings import Written, add_findings, read_holding
from store.rollout import Row, read_rows
from sync.rollout.assess import list_standing
from sync.rollout.channels import list_channels, list_silent
from sync.rollout.desk import list_tickets
from sync.rollout.planning import list_milestones

KINDS = (
    "milestone_slipped", "promise_broken", "decision_overdue", "channel_slow", "channel_unknown", "warning_order",
)  # fmt: skip
_LIVE = ["open", "in_progress", "waiting"]
_MAX = 10_000
_DAY = timedelta(days=1)
#: After so long a measurement tells nothing any more.
_WEEK = timedelta(days=7)


def watch(connection: Connection, at: datetime, zone: ZoneInfo) -> Written:
    """Look at the roll-out at an instant, and write what holds and what has ended as findings.

    A finding stands at an assessment unit: the highest that the organisation answers for, else the highest of all.
    Without any unit nothing can be told, and nothing is written.
    """
    with connection.transaction():
        milestones = [row for row in list_milestones(connection, at, zone) if row["is_slipped"]]
        tickets = list_tickets(connection, at, states=_LIVE, broken=True, limit=_MAX)
        decisions = read_rows(
            connection, "council", "decisions",
            at=at, zone=zone.key, decision_id=None, open=True, unit=None, after=0, limit=_MAX,
        )  # fmt: skip
        overdue = [row for row in decisions if row["is_overdue"]]
        channels = list_channels(connection, at, slow=True, limit=_MAX)
        silent = list_silent(connection, at, None, _MAX)
        warnings = list_standing(connection, at)
        places = _places(connection, [*milestones, *tickets, *overdue, *channels, *silent, *warnings], at)
        if places[None] is None:
            return Written()
        found = [
            *(_milestone(row, places, at, zone) for row in milestones),
            *(_ticket(row, places, at) for row in tickets),
            *(_decision(row, places, at, zone) for row in overdue),
            *(_channel(row, places, at) for row in channels),
            *(_silent(row, places, at) for row in silent),
            *(_warning(row, places, at) for row in warnings),
        ]
        holds = {finding.fingerprint for finding in found}
        over = [
            Finding(name.partition(":")[0], severity, str(places[None]), name, at, at, holds=False)
            for name, severity in read_holding(connection, KINDS).items()
            if name not in holds
        ]
        return add_findings(connection, [*found, *over])


def _places(connection: Connection, rows: Sequence[Row], at: datetime) -> dict[str | None, str | None]:
    codes = sorted({row["unit"] for row in rows if row["unit"] is not None})
    found = {row["code"]: row["place"] for row in read_rows(connection, "watch", "places", codes=codes, at=at)}
    return {code: place or found[None] for code, place in found.items()}


def _milestone(row: Row, places: dict[str | None, str | None], at: datetime, zone: ZoneInfo) -> Finding:
    figures: dict[str, Scalar] = {
        "programme": row["programme"], "milestone": row["code"], "organisation": row["unit"],
        "due_on": row["due_on"].isoformat(), "owner": row["owner"],
    }  # fmt: skip
    begin = datetime.combine(row["due_on"] + _DAY, time(0), zone)
    name = f"milestone_slipped:{row['programme']}/{row['code']}"
    return _finding("milestone_slipped", Severity.WARNING, row["unit"], name, begin, at, places, figures)


def _ticket(row: Row, places: dict[str | None, str | None], at: datetime) -> Finding:
    severity = Severity.CRITICAL if row["priority"] == "urgent" else Severity.WARNING
    figures: dict[str, Scalar] = {
        "ticket": row["ticket_id"], "organisation": row["unit"], "priority": row["priority"], "tier": row["tier"],
        "broken": "resolution" if row["resolution_broken"] else "response",
    }  # fmt: skip
    due = row["resolve_due_at"] if row["resolution_broken"] else row["respond_due_at"]
    begin = min(due or row["stepped_at"], at)
    name = f"promise_broken:ticket/{row['ticket_id']}"
    return _finding("promise_broken", severity, row["unit"], name, begin, at, places, figures)


def _decision(row: Row, places: dict[str | None, str | None], at: datetime, zone: ZoneInfo) -> Finding:
    figures: dict[str, Scalar] = {
        "decision": row["decision_id"], "organisation": row["unit"], "owner": row["owner"],
        "due_on": row["due_on"].isoformat(),
    }  # fmt: skip
    begin = datetime.combine(row["due_on"] + _DAY, time(0), zone)
    name = f"decision_overdue:{row['decision_id']}"
    return _finding("decision_overdue", Severity.WARNING, row["unit"], name, begin, at, places, figures)


def _channel(row: Row, places: dict[str | None, str | None], at: datetime) -> Finding:
    severity = Severity.CRITICAL if Shortfall.UNREACHABLE in row["shortfalls"] else Severity.WARNING
    figures: dict[str, Scalar] = {
        "organisation": row["unit"], "gateway": row["gateway"], "shortfalls": ", ".join(row["shortfalls"]),
        "delay_high_s": row["delay_high_s"], "jitter_s": row["jitter_s"], "bytes_per_s": row["bytes_per_s"],
        "loss": (row["sent"] - row["returned"]) / row["sent"], "clock_offset_s": row["clock_offset_s"],
    }  # fmt: skip
    name = f"channel_slow:{row['unit']}/{row['gateway']}"
    return _finding("channel_slow", severity, row["unit"], name, row["at"], at, places, figures)


def _silent(row: Row, places: dict[str | None, str | None], at: datetime) -> Finding:
    figures: dict[str, Scalar] = {
        "organisation": row["unit"], "gateway": row["gateway"], "last_at": row["at"].isoformat(),
    }  # fmt: skip
    name = f"channel_unknown:{row['unit']}/{row['gateway']}"
    return _finding("channel_unknown", Severity.WARNING, row["unit"], name, row["at"] + _WEEK, at, places, figures)


def _warning(row: Row, places: dict[str | None, str | None], at: datetime) -> Finding:
    figures: dict[str, Scalar] = {
        "organisation": row["unit"], "assessment": row["assessment_id"], "score": row["score"], "rank": row["rank"],
        "warn_below": row["warn_below"],
    }  # fmt: skip
    name = f"warning_order:{row['assessment_id']}/{row['unit']}"
    return _finding("warning_order", Severity.WARNING, row["unit"], name, row["warned_at"], at, places, figures)


def _finding(
    kind: str,
    severity: Severity,
    organisation: str | None,
    name: str,
    begin: datetime,
    at: datetime,
    places: dict[str | None, str | None],
    figures: dict[str, Scalar],
) -> Finding:
    return Finding(kind, severity, str(places[organisation]), name, begin, at, figures=figures)
