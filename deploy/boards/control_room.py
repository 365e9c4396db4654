"""The default board: what is wrong now, where, since when, how sure, and whether the values still move."""

from __future__ import annotations

from deploy.boards.annotations import ALERTS, SWITCHING
from deploy.boards.model import Board, Link, Place
from deploy.boards.panels import alerts, overview, pipeline, ranking, switching
from deploy.boards.variables import WIDE

# 24 rows fill one screen of 1920 × 1080 under Grafana's header.
CONTROL_ROOM = Board(
    uid="meterline-control-room",
    title="Meterline: control room",
    description="Loss by voltage level, region, feeder and area, alerts, outages, load, and the freshness of all that.",
    places=(
        Place(overview.NOW, x=0, y=0, width=9, height=4),
        Place(alerts.ALERTS_BY_STATE, x=9, y=0, width=5, height=4),
        Place(switching.OUTAGES, x=14, y=0, width=5, height=4),
        Place(pipeline.UNITS_BY_STATUS, x=19, y=0, width=5, height=4),
        Place(ranking.FEEDERS, x=0, y=4, width=13, height=7),
        Place(overview.PARTS, x=13, y=4, width=11, height=7),
        Place(overview.LOSS, x=0, y=11, width=8, height=6),
        Place(ranking.WORST_AREAS, x=8, y=11, width=9, height=6),
        Place(alerts.OPEN_ALERTS, x=17, y=11, width=7, height=6),
        Place(overview.SUPPLY, x=0, y=17, width=8, height=7),
        Place(ranking.FEEDER_LOAD, x=8, y=17, width=5, height=7),
        Place(ranking.AREAS_BY_CLASS, x=13, y=17, width=4, height=7),
        Place(pipeline.FRESHNESS_HERE, x=17, y=17, width=7, height=7),
    ),
    variables=WIDE,
    annotations=(SWITCHING, ALERTS),
    links=(
        Link("Map", "meterline-map", keep=("region", "substation")),
        Link("Data quality", "meterline-quality", keep=("region", "substation")),
        Link("Pipeline", "meterline-pipeline"),
        Link("SCADA points", "meterline-scada"),
        Link("Switching", "meterline-switching"),
    ),
)
