"""The network as the utility's records describe it: substations, lines, areas, meters and accounts."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from grid.model import (
    Account,
    AccountStatus,
    Feeder,
    GreaterUnit,
    GridModel,
    Meter,
    Owner,
    Role,
    Substation,
    TransformerArea,
    UnitKind,
    UnitParent,
)
from twin.area_networks import area_networks
from twin.network import HIGH_VOLTAGE_V, FeederLine, Network, Point
from twin.phases import PHASE_NAMES
from twin.tariffs import tariff_class

#: What all lines, and the customers on a busbar, are part of.
REGION = "city"

#: Primary currents of current transformers, amperes (IEC 61869-2 and their usual decades); the secondary is 5 A.
_CT_PRIMARY_A = (5, 10, 15, 20, 25, 30, 40, 50, 60, 75, 100, 150, 200, 300, 400, 600, 800, 1000, 1500, 2000)
_CT_SECONDARY_A = 5

_FEEDER_CLASS, _MASTER_CLASS, _DEDICATED_CLASS, _CUSTOMER_CLASS = 0.2, 0.5, 0.5, 1.0


def headend(grid: str) -> str:
    """Account of the head-end that sends for the areas and dedicated customers of a medium-voltage grid."""
    return f"headend-{grid}"


def rtu(grid: str) -> str:
    """Account of the substation's RTU, which sends for the heads of its feeders."""
    return f"rtu-{grid}"


def master_meter(area: str) -> str:
    """Code of an area's master meter (总表)."""
    return f"{area}-master"


def head_meter(feeder: str) -> str:
    """Code of the gateway meter at a feeder's head."""
    return f"{feeder}-head"


def build_grid_model(
    network: Network,
    phases: NDArray[np.int8] | None = None,
    *,
    accuracy: NDArray[np.float64] | None = None,
    closed: NDArray[np.bool_] | None = None,
    zero_sequence: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None = None,
) -> GridModel:
    """The grid model of a network, as the loader receives it.

    A customer's meter has the code of its SimBench load. Generators are meters of their own, whose energy is
    export. The register of a meter on current transformers counts secondary watt-hours: its multiplier is the CT
    ratio alone, since such meters are set to the voltage transformer's ratio.

    Parameters
    ----------
    phases
        Shape (points,), from `twin.phases.assign_phases`; by default no meter's phases are known. Meters of areas,
        feeders and dedicated customers are three-phase.
    accuracy
        Shape (points,), from `twin.accounts.assign_accuracy`: class in percent of each low-voltage point's meter.
    closed
        Shape (points,), from `twin.accounts.assign_closed`: whether the point's account is closed.
    zero_sequence
        From `twin.phases.zero_sequence`: with it the model has the areas' low-voltage lines.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for i, point in enumerate(network.points):
        members[point.area].append(i)
    three = None if phases is None else "ABC"
    areas: list[TransformerArea] = []
    meters: list[Meter] = []
    for i, area in enumerate(network.areas):
        plate = area.transformer
        feeder = network.feeders[area.feeder]
        areas.append(
            TransformerArea(
                code=area.code,
                name=f"{area.code} ({feeder.code})",
                kind=UnitKind.AREA,
                gateway=headend(feeder.grid),
                feeder=feeder.code,
                rating_va=round(plate.rating_va),
                no_load_loss_w=plate.no_load_loss_w,
                load_loss_w=plate.load_loss_w,
                longitude_deg=area.longitude_deg,
                latitude_deg=area.latitude_deg,
                owner=Owner.UTILITY,
            )
        )
        meters.append(
            Meter(master_meter(area.code), area.code, Role.GATEWAY, accuracy_class=_MASTER_CLASS, phases=three)
        )
        meters += [
            Meter(
                (p := network.points[k]).code,
                area.code,
                Role.CUSTOMER,
                accuracy_class=_CUSTOMER_CLASS if accuracy is None else float(accuracy[k]),
                account=_account_code(p),
                phases=None if phases is None else PHASE_NAMES[phases[k]],
            )
            for k in members[i]
        ]
    for point in (network.points[k] for k in members[-1]):
        areas.append(
            TransformerArea(
                code=point.code,
                name=point.code.replace("-", " "),
                kind=UnitKind.DEDICATED,
                gateway=headend(point.grid),
                feeder=network.feeders[point.feeder].code if point.feeder >= 0 else None,
                rating_va=round(point.rating_va),
                longitude_deg=point.longitude_deg,
                latitude_deg=point.latitude_deg,
                owner=Owner.CUSTOMER,
            )
        )
        meters.append(
            Meter(
                f"{point.code}-meter",
                point.code,
                Role.GATEWAY | Role.CUSTOMER,
                multiplier=_ct_ratio(point.rating_va / (3**0.5 * network.medium_voltage_v[point.grid])),
                accuracy_class=_DEDICATED_CLASS,
                account=_account_code(point),
                phases=three,
            )
        )
    meters += [
        Meter(
            head_meter(f.code),
            f.code,
            Role.GATEWAY,
            multiplier=_ct_ratio(f.current_limit_a),
            accuracy_class=_FEEDER_CLASS,
            phases=three,
        )
        for f in network.feeders
    ]
    return GridModel(
        substations=tuple(
            Substation(grid, f"Substation {grid}", HIGH_VOLTAGE_V, voltage_v)
            for grid, voltage_v in network.medium_voltage_v.items()
        ),
        feeders=tuple(Feeder(f.code, _feeder_name(f), f.grid) for f in network.feeders),
        areas=tuple(areas),
        meters=tuple(meters),
        accounts=tuple(
            Account(
                _account_code(p),
                tariff_class(p.profile, generation=p.generation),
                contract_w=round(p.rating_va),
                status=AccountStatus.CLOSED if closed is not None and closed[i] else AccountStatus.ACTIVE,
            )
            for i, p in enumerate(network.points)
        ),
        feeder_gateways={f.code: rtu(f.grid) for f in network.feeders},
        greater=(GreaterUnit(REGION, "City", UnitKind.REGION),),
        parents=(
            *(UnitParent(f.code, REGION) for f in network.feeders),
            *(UnitParent(a.code, REGION) for a in areas if a.feeder is None),
        ),
        network=network.switched,
        area_networks=() if zero_sequence is None else area_networks(network, zero_sequence),
    )


def _account_code(point: Point) -> str:
    return f"account-{point.code}"


def _feeder_name(feeder: FeederLine) -> str:
    return f"{feeder.grid} {feeder.code.removeprefix(f'{feeder.grid}_')}"


def _ct_ratio(current_a: float) -> int:
    """Ratio of the smallest standard current transformer that carries the current."""
    primary_a = next((a for a in _CT_PRIMARY_A if a >= current_a), _CT_PRIMARY_A[-1])
    return max(1, primary_a // _CT_SECONDARY_A)
