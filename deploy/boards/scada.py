"""The board of SCADA points: last known values, their age, their quality."""

from __future__ import annotations

from deploy.boards.model import Board, Link, Place
from deploy.boards.panels import points

SCADA = Board(
    uid="meterline-scada",
    title="Meterline: SCADA points",
    description="Last known values of SCADA points, how old and how good they are.",
    places=(
        Place(points.POINTS_BY_STATE, x=0, y=0, width=24, height=4),
        Place(points.POINTS, x=0, y=4, width=24, height=20),
    ),
    since="now-1h",
    links=(Link("Control room", "meterline-control-room"),),
)
