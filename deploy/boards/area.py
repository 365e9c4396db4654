"""One transformer area (台区): its balance, how sure it is, and its meters as far as no customer is told apart."""

from __future__ import annotations

from deploy.boards.annotations import alerts_of, restatements_of
from deploy.boards.model import Board, Link, Place
from deploy.boards.panels import area
from deploy.boards.variables import OF_AREA

AREA = Board(
    uid="meterline-area",
    title="Meterline: transformer area",
    description="Balance of a transformer area with its band, coverage, phases, and its meters by voltage and use.",
    places=(
        Place(area.AREA_NOW, x=0, y=0, width=24, height=4),
        Place(area.AREA_POWER, x=0, y=4, width=8, height=7),
        Place(area.AREA_LOSS, x=8, y=4, width=8, height=7),
        Place(area.AREA_COVERAGE, x=16, y=4, width=8, height=7),
        Place(area.VOLTAGES, x=0, y=11, width=8, height=7),
        Place(area.METERS_BY_VOLTAGE, x=8, y=11, width=8, height=7),
        Place(area.METERS_BY_USE, x=16, y=11, width=8, height=7),
        Place(area.PHASES, x=0, y=18, width=5, height=8),
        Place(area.SUSPECTED, x=5, y=18, width=8, height=8),
        Place(area.AREA_REASONS, x=13, y=18, width=4, height=8),
        Place(area.AREA_DAYS, x=17, y=18, width=7, height=8),
    ),
    variables=OF_AREA,
    annotations=(alerts_of("area"), restatements_of("area")),
    links=(
        Link("Control room", "meterline-control-room", keep=("region", "substation")),
        Link("Feeder", "meterline-feeder", keep=("region", "substation", "feeder")),
        Link("Meters (revenue protection)", "meterline-usage", keep=("region", "substation", "feeder", "area")),
    ),
)
