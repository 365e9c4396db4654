"""One feeder (线路): what it takes, what it loses, on which of its areas, and why that changed."""

from __future__ import annotations

from deploy.boards.annotations import alerts_of, restatements_of, switching_of
from deploy.boards.model import Board, Link, Place
from deploy.boards.panels import feeder
from deploy.boards.variables import OF_FEEDER

FEEDER = Board(
    uid="meterline-feeder",
    title="Meterline: feeder",
    description="Supply, sales and loss of a feeder with its band, its areas ranked, and what changed.",
    places=(
        Place(feeder.FEEDER_NOW, x=0, y=0, width=24, height=4),
        Place(feeder.FEEDER_POWER, x=0, y=4, width=12, height=7),
        Place(feeder.FEEDER_LOSS, x=12, y=4, width=12, height=7),
        Place(feeder.FEEDER_AREAS, x=0, y=11, width=15, height=8),
        Place(feeder.TRANSFORMERS, x=15, y=11, width=9, height=8),
        Place(feeder.CHANGE, x=0, y=19, width=9, height=8),
        Place(feeder.SWITCHING_EVENTS, x=9, y=19, width=6, height=8),
        Place(feeder.FEEDER_DAYS, x=15, y=19, width=9, height=8),
    ),
    variables=OF_FEEDER,
    annotations=(switching_of("feeder"), alerts_of("feeder"), restatements_of("feeder")),
    links=(
        Link("Control room", "meterline-control-room", keep=("region", "substation")),
        Link("Map", "meterline-map", keep=("region", "substation", "feeder")),
        Link("Areas", "meterline-area", keep=("region", "substation", "feeder")),
    ),
)
