"""The board of switching: what differs from normal state."""

from __future__ import annotations

from deploy.boards.model import Board, Link, Place
from deploy.boards.panels import switching

SWITCHING = Board(
    uid="meterline-switching",
    title="Meterline: switching",
    description="Switches off their normal position, and areas without supply.",
    places=(
        Place(switching.SWITCHES_OFF_NORMAL, x=0, y=0, width=14, height=20),
        Place(switching.UNSUPPLIED_AREAS, x=14, y=0, width=10, height=20),
    ),
    links=(Link("Control room", "meterline-control-room"),),
)
