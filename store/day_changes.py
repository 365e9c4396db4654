"""Why feeders' days lost more or less than the day before, as it was told last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("change")

#: Parts of a change, as their columns are called without `_wh`.
PARTS = ("length", "data_quality", "topology", "meter", "generation", "technical", "unexplained")


@dataclass(frozen=True, slots=True)
class FeederDay:
    """A published day of a feeder, with the revisions of it and of the day before."""

    unit_id: int
    code: str
    first_day: date
    revision: int
    revision_before: int


def unexplained_days(connection: Connection, since: date, limit: int) -> list[FeederDay]:
    """Days from `since` on whose change isn't told, or was told of other revisions; the newest first."""
    rows = connection.execute(_SQL["unexplained_days"], {"since": since, "limit": limit})
    return [FeederDay(*row) for row in rows]


def write_day_change(
    connection: Connection,
    day: FeederDay,
    before_wh: int | None,
    parts_wh: Mapping[str, int],
    unexplained_sigma_wh: float | None,
) -> None:
    """Write what a day's change is made of; without parts, that there is nothing to compare.

    Raises
    ------
    psycopg.Error
        When the store can't be used.
    """
    connection.execute(
        _SQL["write_day_change"],
        {
            "unit_id": day.unit_id,
            "first_day": day.first_day,
            "revision": day.revision,
            "revision_before": day.revision_before,
            "before_wh": before_wh,
            "unexplained_sigma_wh": unexplained_sigma_wh,
            **{f"{part}_wh": parts_wh.get(part) for part in PARTS},
        },
    )
