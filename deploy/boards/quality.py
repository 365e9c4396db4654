"""Sync and data quality: how complete, how fresh, how consistent."""

from __future__ import annotations

from deploy.boards.model import Board, Link, Place
from deploy.boards.panels import alerts, pipeline, quality, records
from deploy.boards.variables import WIDE

QUALITY = Board(
    uid="meterline-quality",
    title="Meterline: sync and data quality",
    description=(
        "Collection success, estimated share, consistency of the records, conflicts between them, gaps, and what is "
        "owed to other systems."
    ),
    places=(
        Place(quality.QUALITY_NOW, x=0, y=0, width=14, height=4),
        Place(pipeline.UNITS_BY_STATUS, x=14, y=0, width=10, height=4),
        Place(quality.CONSISTENCY, x=0, y=4, width=8, height=8),
        Place(quality.COVERAGE_TIME, x=8, y=4, width=8, height=8),
        Place(quality.REASONS, x=16, y=4, width=8, height=8),
        Place(quality.INCOMPLETE, x=0, y=12, width=12, height=8),
        Place(pipeline.GAPS, x=12, y=12, width=12, height=8),
        Place(records.CONFLICTS, x=0, y=20, width=10, height=7),
        Place(records.CONFLICT_AGE, x=10, y=20, width=5, height=7),
        Place(records.RELATIONS, x=15, y=20, width=9, height=7),
        Place(quality.MODEL_CHANGES, x=0, y=27, width=12, height=7),
        Place(quality.DELIVERIES, x=12, y=27, width=12, height=7),
        Place(records.DRIFT, x=0, y=34, width=12, height=7),
        Place(quality.DOUBTS, x=12, y=34, width=12, height=7),
        Place(records.COMPLETENESS, x=0, y=41, width=12, height=7),
        Place(records.RESOLVED, x=12, y=41, width=12, height=7),
        Place(alerts.FLOW, x=0, y=48, width=24, height=8),
    ),
    variables=WIDE,
    links=(Link("Control room", "meterline-control-room", keep=("region", "substation")),),
    refresh="30s",
)
