"""What arrives, what is missing, and how long it takes: the board for those who keep the system running."""

from __future__ import annotations

from deploy.boards.model import Board, Link, Place
from deploy.boards.panels import pipeline, workers

PIPELINE = Board(
    uid="meterline-pipeline",
    title="Meterline: pipeline",
    description=(
        "Readings, delay, commits, Kafka lag, flush time, gaps in what gateways send, rejected input, disk, and every "
        "unit's freshness."
    ),
    places=(
        Place(pipeline.STALL, x=0, y=0, width=14, height=4),
        Place(pipeline.SETTLED, x=14, y=0, width=10, height=4),
        Place(pipeline.READINGS, x=0, y=4, width=12, height=7),
        Place(pipeline.DELAY, x=12, y=4, width=12, height=7),
        Place(workers.LAG, x=0, y=11, width=9, height=7),
        Place(workers.FLUSH, x=9, y=11, width=7, height=7),
        Place(workers.WORKERS, x=16, y=11, width=8, height=7),
        Place(pipeline.GAPS, x=0, y=18, width=12, height=7),
        Place(pipeline.REJECTED, x=12, y=18, width=12, height=7),
        Place(pipeline.FRESHNESS, x=0, y=25, width=14, height=8),
        Place(pipeline.DISK, x=14, y=25, width=10, height=8),
    ),
    links=(Link("Control room", "meterline-control-room"),),
)
