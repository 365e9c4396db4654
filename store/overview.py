"""Figures for the live view."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("overview")


@dataclass(frozen=True, slots=True)
class FeederLoss:
    """Loss of a feeder over the last 24 hours, over computable intervals; `own` without its areas."""

    code: str
    inflow_wh: int
    own_loss_wh: int
    loss_with_areas_wh: int
    sigma_wh: float
    intervals: int
    """Computable or not; without any, nothing has come."""
    observed_at: datetime | None
    """End of the newest computable interval; None when there is none."""
    interval_s: int | None
    """Its length."""


@dataclass(frozen=True, slots=True)
class AreaLoss:
    """Loss of a transformer area over the last 24 hours, over computable intervals."""

    code: str
    inflow_wh: int
    loss_wh: int
    sigma_wh: float
    observed_at: datetime
    """End of the newest of them."""
    interval_s: int
    """Its length."""


@dataclass(frozen=True, slots=True)
class Overview:
    """What the live view shows: intervals of the last two days that are settled with all members, and their units."""

    area_intervals_settled: int
    feeder_intervals_settled: int
    areas_settled: int
    feeders_settled: int
    newest: datetime | None
    """End of the newest interval."""
    recorded_at: datetime | None
    readings_per_s: float
    """Readings that were settled in the last minute, a second."""
    delay_s: float | None
    """Greatest time from receipt to the row, over the last minute; None when nothing came."""
    units: dict[str, int]
    feeders: tuple[FeederLoss, ...]
    areas: tuple[AreaLoss, ...]
    alerts: tuple[tuple[str, str, str, datetime], ...]
    rejected: dict[str, int]


def read_overview(connection: Connection, limit: int = 40) -> Overview:
    """Read the figures in one snapshot; of feeders, areas and alerts at most `limit` each, the worst or newest."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        progress = connection.execute(_SQL["progress"]).fetchone()
        if progress is None:
            raise AssertionError("an aggregate without groups has one row")
        area_intervals, feeder_intervals, areas, feeders, newest, recorded_at, readings_per_s, delay_s = progress
        return Overview(
            area_intervals_settled=area_intervals,
            feeder_intervals_settled=feeder_intervals,
            areas_settled=areas,
            feeders_settled=feeders,
            newest=newest,
            recorded_at=recorded_at,
            readings_per_s=readings_per_s,
            delay_s=delay_s,
            units=dict(connection.execute(_SQL["units"]).fetchall()),
            feeders=tuple(FeederLoss(*row) for row in connection.execute(_SQL["feeders"], {"limit": limit})),
            areas=tuple(AreaLoss(*row) for row in connection.execute(_SQL["areas"], {"limit": limit})),
            alerts=tuple((r[0], r[1], r[2], r[3]) for r in connection.execute(_SQL["alerts"], {"limit": limit})),
            rejected=dict(connection.execute(_SQL["rejected"]).fetchall()),
        )
