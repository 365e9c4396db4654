"""The board of switching: what differs from normal state."""

from __future__ import annotations

from deploy.boards import panels
from deploy.boards.model import Board, Place

SWITCHING = Board(
    uid="meterline-switching",
    title="Meterline: switching",
    description="Switches off their normal position, and areas without supply.",
    places=(
        Place(panels.SWITCHES_OFF_NORMAL, x=0, y=0, width=14, height=20),
        Place(panels.UNSUPPLIED_AREAS, x=14, y=0, width=10, height=20),
    ),
)
