"""The network as the utility's records describe it: substations, lines, areas, meters and accounts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grid.model import (
    Account,
    AccountStatus,
    Feeder,
    GreaterUnit,
    GridModel,
    Meter,
    MeteredSide,
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

#: What all busbars are part of.
REGION = "city"

#: Primary currents of current transformers, amperes (IEC 61869-2 and their usual decades); the secondary is 5 A.
_CT_PRIMARY_A = (5, 10, 15, 20, 25, 30, 40, 50, 60, 75, 100, 150, 200, 300, 400, 600, 800, 1000, 1500, 2000)
_CT_SECONDARY_A = 5

#: Of current and of voltage transformers (IEC 61869); what is metered at low voltage has no voltage transformer.
_FEEDER_TRANSFORMERS, _DEDICATED_TRANSFORMERS = 0.2, 0.5
#: Losses of a distribution transformer as shares of its rating: of one of 630 kVA of series S11 (GB/T 6451).
_NO_LOAD_SHARE, _LOAD_SHARE = 0.0013, 0.0098
#: Low voltage, for the name of its level.
_LOW_VOLTAGE_V = 400

_FEEDER_CLASS, _MASTER_CLASS, _DEDICATED_CLASS, _CUSTOMER_CLASS = 0.2, 0.5, 0.5, 1.0


def headend(grid: str) -> str:
    """Account of the head-end that sends for the areas and dedicated customers of a medium-voltage grid."""
    return f"headend-{grid}"


def rtu(grid: str) -> str:
    """Account of the substation's RTU, which sends for the heads of its feeders."""
    return f"rtu-{grid}"


def busbar(grid: str) -> str:
    """Code of the busbar from which the lines of a medium-voltage grid leave, as an element."""
    return f"{grid}-busbar"


def level(grid: str, voltage_v: int) -> str:
    """Code of a voltage level of a medium-voltage grid. One of a whole city could have too many members."""
    return f"{grid} {voltage_v / 1_000:g} kV"


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
    low_side: NDArray[np.bool_] | None = None,
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
    low_side
        Shape (points,), from `twin.accounts.assign_low_side`: whether a dedicated customer is metered behind its
        transformer. By default none is, and their transformers are theirs alone.
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
    for k in members[-1]:
        point = network.points[k]
        is_low = low_side is not None and bool(low_side[k])
        rated_v = _LOW_VOLTAGE_V if is_low else network.medium_voltage_v[point.grid]
        areas.append(
            TransformerArea(
                code=point.code,
                name=point.code.replace("-", " "),
                kind=UnitKind.DEDICATED,
                gateway=headend(point.grid),
                feeder=network.feeders[point.feeder].code if point.feeder >= 0 else None,
                rating_va=round(point.rating_va),
                no_load_loss_w=_NO_LOAD_SHARE * point.rating_va if is_low else 0.0,
                load_loss_w=_LOAD_SHARE * point.rating_va if is_low else 0.0,
                longitude_deg=point.longitude_deg,
                latitude_deg=point.latitude_deg,
                owner=Owner.CUSTOMER,
                metered_side=MeteredSide.LOW if is_low else MeteredSide.HIGH,
            )
        )
        meters.append(
            Meter(
                f"{point.code}-meter",
                point.code,
                Role.GATEWAY | Role.CUSTOMER,
                multiplier=_ct_ratio(point.rating_va / (3**0.5 * rated_v)),
                accuracy_class=_DEDICATED_CLASS,
                ct_class=_DEDICATED_TRANSFORMERS,
                pt_class=None if is_low else _DEDICATED_TRANSFORMERS,
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
            ct_class=_FEEDER_TRANSFORMERS,
            pt_class=_FEEDER_TRANSFORMERS,
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
        greater=_greater(network),
        parents=_parents(network, areas),
        network=network.switched,
        area_networks=() if zero_sequence is None else area_networks(network, zero_sequence),
    )


def _greater(network: Network) -> tuple[GreaterUnit, ...]:
    """The region, its voltage levels and its busbars. Nothing here is known of the high-voltage side."""
    return (
        GreaterUnit(REGION, "City", UnitKind.REGION),
        *(
            GreaterUnit(level(grid, v), level(grid, v), UnitKind.VOLTAGE_LEVEL, substation=grid)
            for grid, medium_v in network.medium_voltage_v.items()
            for v in (medium_v, _LOW_VOLTAGE_V)
        ),
        *(
            GreaterUnit(busbar(grid), f"Busbar {grid}", UnitKind.ELEMENT, substation=grid)
            for grid in network.medium_voltage_v
        ),
    )


def _parents(network: Network, areas: Sequence[TransformerArea]) -> tuple[UnitParent, ...]:
    grid_of = {headend(grid): grid for grid in network.medium_voltage_v}

    def level_of(grid: str, *, low: bool) -> str:
        return level(grid, _LOW_VOLTAGE_V if low else network.medium_voltage_v[grid])

    return (
        *(UnitParent(busbar(grid), REGION) for grid in network.medium_voltage_v),
        *(UnitParent(f.code, busbar(f.grid)) for f in network.feeders),
        *(UnitParent(a.code, busbar(grid_of[a.gateway])) for a in areas if a.feeder is None),
        *(UnitParent(f.code, level_of(f.grid, low=False)) for f in network.feeders),
        # A dedicated customer's transformer stands at medium voltage; a public one's loss is its line's.
        *(UnitParent(a.code, level_of(grid_of[a.gateway], low=a.kind is UnitKind.AREA)) for a in areas),
    )


def _account_code(point: Point) -> str:
    return f"account-{point.code}"


def _feeder_name(feeder: FeederLine) -> str:
    return f"{feeder.grid} {feeder.code.removeprefix(f'{feeder.grid}_')}"


def _ct_ratio(current_a: float) -> int:
    """Ratio of the smallest standard current transformer that carries the current."""
    primary_a = next((a for a in _CT_PRIMARY_A if a >= current_a), _CT_PRIMARY_A[-1])
    return max(1, primary_a // _CT_SECONDARY_A)
