"""Findings as they are stored: one row a condition while it holds, and what alerts still has to look at.

All functions work inside the caller's transaction, so that a finding is written, and owed to alerts, together with what
it was found in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from grid.finding import Finding, Severity
from store.connection import Connection
from store.sql import load_queries, rows_of

_SQL = load_queries("findings")
#: Rows written by one statement.
_CHUNK = 5_000


class UnknownUnitError(ValueError):
    """A finding names a unit that isn't known; nothing was written."""


@dataclass(frozen=True, slots=True)
class Written:
    """What `add_findings` came to: conditions that began, that changed, and that ended."""

    begun: int = 0
    changed: int = 0
    ended: int = 0


@dataclass(frozen=True, slots=True)
class DueFinding:
    """A finding that alerts has to look at, with what is known around it.

    `alert_id`, `alert_state` and what was told are those of the alert that it has, or of the live one of the same
    condition.
    """

    finding_id: int
    fingerprint: str
    kind: str
    severity: str
    unit_id: int
    unit: str
    unit_kind: str
    unit_name: str
    feeder: str
    meter: str | None
    begin_at: datetime
    seen_at: datetime
    ended_at: datetime | None
    figures: dict[str, Any]
    own_alert: bool
    alert_id: int | None
    alert_state: str | None
    told_severity: str | None
    told_meters: int | None
    holds_again: bool
    in_maintenance: bool
    out_of_supply: bool


@dataclass(frozen=True, slots=True)
class FindingRow:
    """A finding for people to read."""

    finding_id: int
    fingerprint: str
    kind: str
    severity: str
    unit: str
    meter: str | None
    begin_at: datetime
    seen_at: datetime
    ended_at: datetime | None
    figures: dict[str, Any]
    held_by: str | None
    alert_id: int | None
    result: str | None


@dataclass(frozen=True, slots=True)
class FindingFilter:
    """Which findings to list; None asks for all."""

    kind: str | None = None
    unit: str | None = None
    meter: str | None = None
    alert_id: int | None = None
    holds: bool | None = None
    kinds: tuple[str, ...] | None = None


def add_findings(connection: Connection, findings: Iterable[Finding]) -> Written:
    """Write findings, inside the caller's transaction; alerts looks at what changed with its next look.

    A condition that holds already is brought up to date, and one that doesn't hold any more is ended; what says the
    same as before changes nothing. Of several findings of one condition the one seen last stands, and of those seen at
    the same instant the last given.

    Raises
    ------
    UnknownUnitError
        Before anything is written.
    """
    last: dict[str, Finding] = {}
    for finding in findings:
        known = last.get(finding.fingerprint)
        if known is None or known.seen_at <= finding.seen_at:
            last[finding.fingerprint] = finding
    # In one order, so that two writers don't wait for each other.
    ordered = [last[fingerprint] for fingerprint in sorted(last)]
    _check_units(connection, ordered)
    begun = changed = ended = 0
    for start in range(0, len(ordered), _CHUNK):
        part = ordered[start : start + _CHUNK]
        if holding := [finding for finding in part if finding.holds]:
            for is_new, count in connection.execute(_SQL["hold"], {"rows": rows_of(list(map(_row, holding)))}):
                begun, changed = (begun + count, changed) if is_new else (begun, changed + count)
        if over := [finding for finding in part if not finding.holds]:
            ended += connection.execute(_SQL["end"], {"rows": rows_of(list(map(_row, over)))}).rowcount
    return Written(begun, changed, ended)


def read_holding(connection: Connection, kinds: Sequence[str]) -> dict[str, Severity]:
    """Severity of the findings of some kinds that hold, by fingerprint."""
    return {row[0]: Severity(row[1]) for row in connection.execute(_SQL["holding"], {"kinds": list(kinds)})}


def read_evidence(connection: Connection, finding_id: int) -> dict[str, Any] | None:
    """What a finding rests on; None when there is no such finding."""
    row = connection.execute(_SQL["evidence"], {"finding_id": finding_id}).fetchone()
    return None if row is None else row[0]


def read_due(connection: Connection, now: datetime, limit: int) -> list[DueFinding]:
    """Findings that are due; their rows are locked, and those that another holds are left out."""
    return [DueFinding(*row) for row in connection.execute(_SQL["due"], {"now": now, "limit": limit})]


def read_without_data(
    connection: Connection, unit_ids: Sequence[int], since: datetime, until: datetime, min_coverage: float
) -> set[int]:
    """Those units whose mean coverage over their intervals in (since, until] is less, or that have none."""
    arguments = {"unit_ids": list(unit_ids), "since": since, "until": until, "min_coverage": min_coverage}
    return {int(row[0]) for row in connection.execute(_SQL["without_data"], arguments)}


def note_looked_at(
    connection: Connection, looked_at: Sequence[tuple[int, datetime | None, str | None, int | None]]
) -> None:
    """Note what came of looking: (finding, when to look again or None, what keeps it back, its alert)."""
    names = ("finding_id", "due_at", "held_by", "alert_id")
    rows = [dict(zip(names, row, strict=True)) for row in looked_at]
    connection.execute(_SQL["looked_at"], {"rows": rows_of(rows)})


def set_result(connection: Connection, alert_id: int, result: str | None) -> int:
    """Note on an alert's findings what a field check said, None: nothing any more; returns how many they are."""
    return connection.execute(_SQL["set_result"], {"alert_id": alert_id, "result": result}).rowcount


def list_findings(connection: Connection, wanted: FindingFilter, after: int, limit: int) -> list[FindingRow]:
    """Findings by id, falling; those below `after`, 0 for the newest."""
    arguments = {
        "kind": wanted.kind,
        "unit": wanted.unit,
        "meter": wanted.meter,
        "alert_id": wanted.alert_id,
        "holds": wanted.holds,
        "kinds": None if wanted.kinds is None else list(wanted.kinds),
        "after": after,
        "limit": limit,
    }
    return [FindingRow(*row) for row in connection.execute(_SQL["list"], arguments)]


def read_finding(connection: Connection, finding_id: int) -> FindingRow | None:
    """A finding; None where there is none."""
    row = connection.execute(_SQL["one"], {"finding_id": finding_id}).fetchone()
    return None if row is None else FindingRow(*row)


def read_series(
    connection: Connection, reader: str, finding_id: int, meter: str, from_at: datetime, to_at: datetime
) -> list[tuple[Any, ...]]:
    """A meter's readings in (from, to] for a finding; that they were read is written down.

    Raises
    ------
    psycopg.errors.InsufficientPrivilege
        When no open finding about the meter is assigned to the reader.
    psycopg.errors.InvalidParameterValue
        When the time is more than 92 days, or none.
    """
    arguments = {"reader": reader, "finding_id": finding_id, "meter": meter, "from_at": from_at, "to_at": to_at}
    return connection.execute(_SQL["series"], arguments).fetchall()


def _row(finding: Finding) -> dict[str, Any]:
    return {
        "fingerprint": finding.fingerprint,
        "kind": finding.kind,
        "severity": finding.severity,
        "unit": finding.unit,
        "meter": finding.meter,
        "begin_at": finding.begin,
        "seen_at": finding.seen_at,
        "figures": finding.figures,
        "evidence": finding.evidence,
    }


def _check_units(connection: Connection, findings: Sequence[Finding]) -> None:
    named = sorted({finding.unit for finding in findings})
    row = connection.execute(_SQL["unknown_units"], {"units": named}).fetchone()
    if row is not None:
        raise UnknownUnitError(f"no unit {row[0]}")
