"""What it brought: the ledger of benefits."""

from __future__ import annotations

from deploy.boards.model import Board, Link, Place
from deploy.boards.panels import benefit

BENEFIT = Board(
    uid="meterline-benefit",
    title="Meterline: benefit",
    description="What work orders, repaired relations, resolved conflicts and outages brought, and how sure that is.",
    places=(
        Place(benefit.BENEFIT_NOW, x=0, y=0, width=24, height=4),
        Place(benefit.BENEFIT_ITEMS, x=0, y=4, width=24, height=8),
        Place(benefit.BENEFIT_ENTRIES, x=0, y=12, width=24, height=12),
    ),
    variables=(),
    links=(Link("Data quality", "meterline-quality"),),
    refresh="5m",
)
