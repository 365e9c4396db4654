"""The default board: what is wrong now, where, since when, how sure, and whether the values still move."""

from __future__ import annotations

from deploy.boards import panels
from deploy.boards.model import Board, Place
from deploy.boards.pipeline import PIPELINE
from deploy.boards.scada import SCADA
from deploy.boards.switching import SWITCHING

# 24 rows fill one screen of 1920 × 1080 under Grafana's header.
CONTROL_ROOM = Board(
    uid="meterline-control-room",
    title="Meterline: control room",
    description="Loss by feeder and area, alerts, and the freshness of what is shown.",
    places=(
        Place(panels.NOW, x=0, y=0, width=10, height=4),
        Place(panels.SETTLED, x=10, y=0, width=4, height=4),
        Place(panels.UNITS_BY_STATUS, x=14, y=0, width=6, height=4),
        Place(panels.ALERTS_BY_STATE, x=20, y=0, width=4, height=4),
        Place(panels.FEEDERS, x=0, y=4, width=13, height=8),
        Place(panels.WORST_AREAS, x=13, y=4, width=11, height=8),
        Place(panels.SUPPLY, x=0, y=12, width=8, height=6),
        Place(panels.LOSS, x=8, y=12, width=8, height=6),
        Place(panels.OPEN_ALERTS, x=16, y=12, width=8, height=6),
        Place(panels.READINGS, x=0, y=18, width=4, height=6),
        Place(panels.DELAY, x=4, y=18, width=4, height=6),
        Place(panels.AREAS_BY_CLASS, x=8, y=18, width=4, height=6),
        Place(panels.FRESHNESS, x=12, y=18, width=7, height=6),
        Place(panels.REJECTED, x=19, y=18, width=5, height=6),
    ),
)

#: Every board there is, in the order of the menu.
BOARDS = (CONTROL_ROOM, PIPELINE, SCADA, SWITCHING)
