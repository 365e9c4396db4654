"""What arrives, what is missing, and how long it takes: the board for those who keep the system running."""

from __future__ import annotations

from deploy.boards import panels
from deploy.boards.model import Board, Place

PIPELINE = Board(
    uid="meterline-pipeline",
    title="Meterline: pipeline",
    description="Readings, delay, gaps in what gateways send, rejected input, and the freshness of every unit.",
    places=(
        Place(panels.READINGS, x=0, y=0, width=12, height=8),
        Place(panels.DELAY, x=12, y=0, width=12, height=8),
        Place(panels.GAPS, x=0, y=8, width=12, height=8),
        Place(panels.REJECTED, x=12, y=8, width=12, height=8),
        Place(panels.FRESHNESS, x=0, y=16, width=24, height=8),
    ),
)
