"""Findings of abnormal usage in the store, and what alerts is told of them; inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from store.connection import Connection
from store.sql import load_queries, rows_of

_SQL = load_queries("usage")
#: Rows written by one statement.
_CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class HeldFinding:
    """A finding as it is stored, as far as it takes to go on with it."""

    finding_id: int
    meter: str | None
    kind: str
    source: str
    opened_at: datetime
    seen_at: datetime
    ended_at: datetime | None
    alert_finding_id: int | None


@dataclass(frozen=True, slots=True)
class FindingValues:
    """What a finding says; see the table `usage.finding`."""

    confidence: float
    begin_at: datetime
    opened_at: datetime
    seen_at: datetime
    ended_at: datetime | None
    expected_wh: int
    expected_money: float | None
    reasons: Sequence[str]
    evidence: Mapping[str, Any]


def read_daily_findings(connection: Connection, unit_id: int, since: datetime) -> list[HeldFinding]:
    """Findings of an area from its days that hold, or ended since an instant."""
    rows = connection.execute(_SQL["daily_findings"], {"unit_id": unit_id, "since": since})
    return [HeldFinding(*row) for row in rows]


def add_finding(
    connection: Connection, unit_id: int, meter: str | None, kind: str, source: str, values: FindingValues
) -> int:
    """Write a new finding; returns its number."""
    return add_usage_findings(connection, [NewFinding(unit_id, meter, kind, source, values)])[0]


def add_usage_findings(connection: Connection, findings: Sequence[NewFinding]) -> list[int]:
    """Write new findings; returns their numbers in the same order."""
    numbers: dict[tuple[int, str | None, str, datetime], int] = {}
    for start in range(0, len(findings), _CHUNK):
        rows = [
            {"n": n, "unit_id": f.unit_id, "meter": f.meter, "kind": f.kind, "source": f.source, **_plain(f.values)}
            for n, f in enumerate(findings[start : start + _CHUNK])
        ]
        for number, *key in connection.execute(_SQL["add_findings"], {"rows": rows_of(rows)}):
            unit_id, meter, kind, opened_at = key
            numbers[unit_id, meter, kind, opened_at] = number
    return [numbers[f.unit_id, f.meter, f.kind, f.values.opened_at] for f in findings]


def update_finding(connection: Connection, finding_id: int, values: FindingValues) -> None:
    """Bring a finding up to date."""
    connection.execute(_SQL["update_finding"], {"finding_id": finding_id, **_columns(values)})


def end_finding(connection: Connection, finding_id: int, ended_at: datetime) -> None:
    """Say that a finding doesn't hold any more."""
    end_findings(connection, {finding_id: ended_at})


def end_findings(connection: Connection, ends: Mapping[int, datetime]) -> None:
    """Say of some findings, by number, that they don't hold any more, and since when."""
    if ends:
        connection.execute(_SQL["end_findings"], {"finding_ids": list(ends), "ended_at": list(ends.values())})


def link_alerts(connection: Connection, finding_ids: Sequence[int]) -> None:
    """Note the findings of alerts that were made of these."""
    if finding_ids:
        connection.execute(_SQL["link_alerts"], {"finding_ids": list(finding_ids)})


def _plain(values: FindingValues) -> dict[str, object]:
    return {name: getattr(values, name) for name in FindingValues.__slots__}


def _columns(values: FindingValues) -> dict[str, object]:
    return _plain(values) | {"reasons": list(values.reasons), "evidence": Jsonb(dict(values.evidence))}


@dataclass(frozen=True, slots=True)
class NewFinding:
    """A finding that begins; of one unit, meter and kind none opens at the same time as another."""

    unit_id: int
    meter: str | None
    kind: str
    source: str
    values: FindingValues


@dataclass(frozen=True, slots=True)
class UsageFinding:
    """A finding for people to read; see the table `usage.finding`."""

    finding_id: int
    unit: str
    meter: str | None
    kind: str
    source: str
    confidence: float
    begin_at: datetime
    opened_at: datetime
    seen_at: datetime
    ended_at: datetime | None
    expected_wh: int
    expected_money: float | None
    reasons: list[str]
    alert_id: int | None
    result: str | None


@dataclass(frozen=True, slots=True)
class FindingQuery:
    """Which findings to list; None asks for all. `everything`: those that ended or were checked too."""

    unit: str | None = None
    kind: str | None = None
    meter: str | None = None
    finding_id: int | None = None
    since: datetime | None = None
    everything: bool = False


@dataclass(frozen=True, slots=True)
class FieldResult:
    """What a field check said of a finding."""

    kind: str
    unit: str
    result: str
    checked_at: datetime
    expected_wh: int
    confidence: float


def list_usage_findings(connection: Connection, wanted: FindingQuery, limit: int) -> list[UsageFinding]:
    """Findings by the energy that is expected, the most first."""
    arguments = {name: getattr(wanted, name) for name in FindingQuery.__slots__}
    return [UsageFinding(*row) for row in connection.execute(_SQL["list_findings"], {**arguments, "limit": limit})]


def read_finding_evidence(connection: Connection, finding_id: int) -> tuple[dict[str, Any], int | None] | None:
    """The evidence of a finding and its number in alerts; None where there is no such finding."""
    return connection.execute(_SQL["finding_evidence"], {"finding_id": finding_id}).fetchone()


def read_results(connection: Connection, since: datetime) -> list[FieldResult]:
    """Results of field checks since an instant, in order."""
    return [FieldResult(*row) for row in connection.execute(_SQL["results"], {"since": since})]


@dataclass(frozen=True, slots=True)
class Checked:
    """A finding as far as a result concerns it: its alert, the work order that is out for that, a result it has."""

    alert_id: int | None
    alert_state: str | None
    work_order_id: int | None
    result: str | None


def read_checked(connection: Connection, finding_id: int) -> Checked | None:
    """What stands between a finding and a result; None where there is no such finding."""
    row = connection.execute(_SQL["lock_finding"], {"finding_id": finding_id}).fetchone()
    if row is None:
        return None
    alert_finding_id, result = row
    alert = connection.execute(_SQL["alert_of"], {"alert_finding_id": alert_finding_id}).fetchone()
    alert_id, state = (None, None) if alert is None else alert
    order = connection.execute(_SQL["order_of"], {"alert_id": alert_id}).fetchone()
    return Checked(alert_id, state, None if order is None else order[0], result)


def add_check(connection: Connection, finding_id: int, result: str, at: datetime, by: str, note: str) -> None:
    """Note the result of a finding that no alert was opened for.

    Raises
    ------
    psycopg.errors.UniqueViolation
        When it has one.
    """
    arguments = {"finding_id": finding_id, "result": result, "at": at, "by": by, "note": note}
    connection.execute(_SQL["add_check"], arguments)


def count_findings(connection: Connection) -> tuple[int, int]:
    """How many findings hold, and how many there are."""
    row = connection.execute(_SQL["counts"]).fetchone()
    assert row is not None  # noqa: S101  # an aggregate
    return int(row[0]), int(row[1])
