"""Indicators (指标) of source systems' records, by day, week or month, all from the same tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg.rows import dict_row

from store.connection import Connection
from store.rollout import Figure, read_figure
from store.sql import load_queries

_SQL = load_queries("sync_indicators")
#: Of everything; see `store/queries/indicators.sql`.
_WHOLE = ("consistency", "completeness", "open_conflicts", "conflict_hours", "drift_minutes")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SyncIndicators:
    """A period's indicators, as they were known at its end.

    Attributes
    ----------
    whole
        Value, part and whole by name of the indicator; a value is None where nobody knows it.
    units
        Consistency rate of each part of the utility (单位).
    open_conflicts
        By kind, department and age in days, with how many.
    resolved
        Of the period, by kind and department: how many, and hours that they were open.
    drift
        Of the period, by target and kind of entity: minutes of disagreement.
    completeness
        By system and kind of entity.
    """

    since: datetime
    at: datetime
    whole: dict[str, Figure]
    units: dict[str, Figure]
    open_conflicts: list[Row]
    resolved: list[Row]
    drift: list[Row]
    completeness: list[Row]

    def as_json(self) -> dict[str, Any]:
        """As the command and the API say it."""
        return {
            "since": self.since,
            "at": self.at,
            "all": {name: _figure(figure) for name, figure in self.whole.items()},
            "consistency_by_unit": {unit: _figure(figure) for unit, figure in self.units.items()},
            "open_conflicts": self.open_conflicts,
            "resolved": self.resolved,
            "drift": self.drift,
            "completeness": self.completeness,
        }


def read_indicators(connection: Connection, since: datetime, at: datetime, zone: str) -> SyncIndicators:
    """Compute the indicators of a period, in one view of the tables.

    Parameters
    ----------
    zone
        IANA name of the utility's zone: whose days they are.
    """
    arguments = {"since": since, "at": at, "zone": zone}
    with connection.transaction():
        whole = {name: read_figure(connection, name, None, at, zone, since) for name in _WHOLE}
        codes = [row[0] for row in connection.execute(_SQL["units"], arguments)]
        units = {code: read_figure(connection, "consistency", code, at, zone, since) for code in codes}
        with connection.cursor(row_factory=dict_row) as cursor:
            parts = {
                name: cursor.execute(_SQL[name], arguments).fetchall()
                for name in ("open", "resolved", "drift", "completeness")
            }
    return SyncIndicators(
        since, at, whole, units, parts["open"], parts["resolved"], parts["drift"], parts["completeness"]
    )


def write_completeness(
    connection: Connection, day: date, records: Mapping[tuple[str, str], int], missing: Mapping[tuple[str, str], int]
) -> None:
    """Write how many records each system has of a kind, and how many it lacks, by system and kind."""
    places = sorted(records.keys() | missing.keys())
    connection.execute(
        _SQL["write_completeness"],
        {
            "day": day,
            "systems": [system for system, _ in places],
            "kinds": [kind for _, kind in places],
            "records": [records.get(place, 0) for place in places],
            "missing": [missing.get(place, 0) for place in places],
        },
    )


def _figure(figure: Figure) -> Row:
    return {"value": figure.value, "part": figure.part, "whole": figure.whole}
