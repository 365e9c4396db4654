"""Where units lie, and how a feeder's network is connected as it is switched now."""

from __future__ import annotations

from deploy.boards.model import Board, Link, Place
from deploy.boards.panels import map as map_panels
from deploy.boards.variables import OF_FEEDER

MAP = Board(
    uid="meterline-map",
    title="Meterline: map",
    description="Areas and feeders by class where they stand, and the network of a feeder.",
    places=(
        Place(map_panels.AREA_MAP, x=0, y=0, width=12, height=12),
        Place(map_panels.FEEDER_MAP, x=12, y=0, width=12, height=12),
        Place(map_panels.NETWORK, x=0, y=12, width=24, height=12),
    ),
    variables=OF_FEEDER,
    links=(
        Link("Control room", "meterline-control-room", keep=("region", "substation")),
        Link("Feeder", "meterline-feeder", keep=("region", "substation", "feeder")),
    ),
    refresh="30s",
)
