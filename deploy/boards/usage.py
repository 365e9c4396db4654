"""Usage and revenue protection (反窃电): for marketing alone, with a data source and a role of its own."""

from __future__ import annotations

from deploy.boards.annotations import alerts_of
from deploy.boards.model import Board, Link, Place, Source
from deploy.boards.panels import alerts, usage
from deploy.boards.variables import METER, MY_FINDING, OF_AREA

USAGE = Board(
    uid="meterline-usage",
    title="Meterline: usage and revenue protection",
    description="Where energy goes that nobody pays for, ranked, with the evidence, and what became of the alerts.",
    places=(
        Place(usage.REVENUE_NOW, x=0, y=0, width=24, height=4),
        Place(usage.SUSPECTS, x=0, y=4, width=24, height=10),
        Place(usage.FINDINGS, x=0, y=14, width=14, height=9),
        Place(usage.FIELD_RESULTS, x=14, y=14, width=10, height=9),
        Place(usage.UNEXPLAINED, x=0, y=23, width=14, height=9),
        Place(usage.AREA_BALANCE_DAYS, x=14, y=23, width=10, height=9),
        Place(usage.AREA_METERS, x=0, y=32, width=8, height=9),
        Place(usage.SERIES_OF_FINDING, x=8, y=32, width=8, height=9),
        Place(usage.ALERT_LIST, x=16, y=32, width=8, height=9),
        Place(usage.PRECISION, x=0, y=41, width=12, height=7),
        Place(alerts.ALERTS_OVER_TIME, x=12, y=41, width=12, height=7),
    ),
    variables=(*OF_AREA, METER, MY_FINDING),
    annotations=(alerts_of("area"),),
    links=(
        Link("Control room", "meterline-control-room", keep=("region", "substation")),
        Link("Area", "meterline-area", keep=("region", "substation", "feeder", "area")),
        # Back from one meter to all.
        Link("Meters of the area", "meterline-usage", keep=("region", "substation", "feeder", "area")),
    ),
    # Each look at a meter's series is recorded.
    refresh="5m",
    source=Source.REVENUE,
)
