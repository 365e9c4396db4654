"""A grid of two feeders and two areas."""

from __future__ import annotations

from datetime import UTC, datetime

from grid.model import Account, Feeder, GridModel, Meter, Role, Substation, TransformerArea, UnitKind

JUNE = datetime(2026, 6, 1, tzinfo=UTC)


def small_model(**areas_on: str) -> GridModel:
    """Two feeders; areas A1 and A2, each with a master meter and two customers; by default both on F1."""
    areas_on = {"A1": "F1", "A2": "F1", **areas_on}
    meters = [Meter(f"{f}-head", f, Role.GATEWAY, 40, 0.2) for f in ("F1", "F2")]
    accounts = []
    for area in areas_on:
        meters.append(Meter(f"{area}-master", area, Role.GATEWAY, 60, 0.5))
        for n in (1, 2):
            accounts.append(Account(f"{area}-account{n}", "household", 8_000))
            meters.append(Meter(f"{area}-m{n}", area, Role.CUSTOMER, account=accounts[-1].code))
    return GridModel(
        substations=(Substation("S", "South", 110_000, 20_000),),
        feeders=(Feeder("F1", "First", "S"), Feeder("F2", "Second", "S")),
        areas=tuple(
            TransformerArea(area, f"Area {area}", UnitKind.AREA, "headend", feeder, 400_000, 600.0, 4_000.0)
            for area, feeder in areas_on.items()
        ),
        meters=tuple(meters),
        accounts=tuple(accounts),
        feeder_gateways={"F1": "rtu", "F2": "rtu"},
    )
