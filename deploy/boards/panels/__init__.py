"""Every panel, each defined once.

A statement reads grid.* and bounded ranges of loss.balance and telemetry.block, unit by unit through the primary key
(a lateral subquery) where a range of all units would be long. It names only what the role meterline_board may read.
"""

from deploy.boards.panels.alerts import ALERTS_BY_STATE, OPEN_ALERTS
from deploy.boards.panels.loss import AREAS_BY_CLASS, FEEDERS, LOSS, NOW, SUPPLY, WORST_AREAS
from deploy.boards.panels.parts import BAND, HIGH_LOSS_RATE, SEARCH
from deploy.boards.panels.pipeline import DELAY, FRESHNESS, GAPS, READINGS, REJECTED, SETTLED, UNITS_BY_STATUS
from deploy.boards.panels.points import POINTS, POINTS_BY_STATE
from deploy.boards.panels.switching import SWITCHES_OFF_NORMAL, UNSUPPLIED_AREAS

__all__ = [
    "ALERTS_BY_STATE",
    "AREAS_BY_CLASS",
    "BAND",
    "DELAY",
    "FEEDERS",
    "FRESHNESS",
    "GAPS",
    "HIGH_LOSS_RATE",
    "LOSS",
    "NOW",
    "OPEN_ALERTS",
    "POINTS",
    "POINTS_BY_STATE",
    "READINGS",
    "REJECTED",
    "SEARCH",
    "SETTLED",
    "SUPPLY",
    "SWITCHES_OFF_NORMAL",
    "UNITS_BY_STATUS",
    "UNSUPPLIED_AREAS",
    "WORST_AREAS",
]
