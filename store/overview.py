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
    observed_at: datetime


@dataclass(frozen=True, slots=True)
class AreaLoss:
    """Loss of a transformer area over the last 24 hours, over computable intervals."""

    code: str
    inflow_wh: int
    loss_wh: int
    sigma_wh: float
    observed_at: datetime


@dataclass(frozen=True, slots=True)
class Overview:
    """What the live view shows. Counts are of intervals settled completely in the last two days."""

    areas_settled: int
    feeders_settled: int
    area_rows: int
    feeder_rows: int
    newest: datetime | None
    recorded_at: datetime | None
    delay_s: float
    """Greatest time from receipt to the row, over the last 10 seconds."""
    units: dict[str, int]
    feeders: tuple[FeederLoss, ...]
    areas: tuple[AreaLoss, ...]
    alerts: tuple[tuple[str, str, str, datetime], ...]
    rejected: dict[str, int]


def read_overview(connection: Connection, limit: int = 10) -> Overview:
    """Read the figures in one snapshot."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        progress = connection.execute(_SQL["progress"]).fetchone()
        if progress is None:
            raise AssertionError("an aggregate without groups has one row")
        areas_settled, feeders_settled, area_rows, feeder_rows, newest, recorded_at, delay_s = progress
        return Overview(
            areas_settled=areas_settled,
            feeders_settled=feeders_settled,
            area_rows=area_rows,
            feeder_rows=feeder_rows,
            newest=newest,
            recorded_at=recorded_at,
            delay_s=delay_s,
            units=dict(connection.execute(_SQL["units"]).fetchall()),
            feeders=tuple(FeederLoss(*row) for row in connection.execute(_SQL["feeders"], {"limit": limit})),
            areas=tuple(AreaLoss(*row) for row in connection.execute(_SQL["areas"], {"limit": limit})),
            alerts=tuple((r[0], r[1], r[2], r[3]) for r in connection.execute(_SQL["alerts"], {"limit": limit})),
            rejected=dict(connection.execute(_SQL["rejected"]).fetchall()),
        )
