"""Oracle of the energy balance in plain Python; imports nothing of the package."""

from __future__ import annotations

import math
from typing import NamedTuple

MISSING = -(2**63)


class Member(NamedTuple):
    import_wh: int
    export_wh: int
    loss_wh: int
    multiplier: int
    role: int
    accuracy_class: float
    extra_sigma_wh: int = MISSING
    quality: int = 0
    extra_systematic_wh: int = MISSING
    gap_sigma_wh: int = MISSING


class Result(NamedTuple):
    inflow_wh: int
    outflow_wh: int
    loss_wh: int
    members_loss_wh: int
    taken_wh: int
    returned_wh: int
    generation_wh: int
    estimated_wh: int
    gateway_extra_sigma_wh: float
    gateway_systematic_sigma_wh: float
    sigma_wh: float
    systematic_sigma_wh: float
    export_sigma_wh: float
    ends_sigma_wh: float
    sold_sigma_wh: float
    sold_systematic_sigma_wh: float
    gap_sigma_wh: float
    coverage: float
    complete: bool
    gateways_complete: bool


def balance(
    members: list[Member],
    clock_share: float = 0.0,
    start_wh: float = 0.0,
    power_steps: tuple[float, float] = (1.0, 0.15),
) -> Result:
    expected = [m for m in members if m.role]
    present = [m for m in expected if m.import_wh != MISSING]
    gateways = [m for m in expected if m.role & 1]
    sinks = [m for m in present if m.role & 6 and not m.role & 16]
    ties = [m for m in present if m.role & 96]
    there = [m for m in present if m.role & 1]

    def given(m: Member) -> int:
        return 0 if m.export_wh == MISSING else m.export_wh * m.multiplier

    def of_export(m: Member) -> float:
        return (0.44 * m.accuracy_class / 100 * given(m)) ** 2

    def of_class(m: Member) -> float:
        return (0.44 * m.accuracy_class / 100 * m.import_wh * m.multiplier) ** 2 + of_export(m) + of_shared(m)

    def of_step(m: Member) -> float:
        return 0.0 if m.quality & 2 else m.multiplier**2 / 6

    def of_extra(m: Member) -> float:
        return float(max(m.extra_sigma_wh, 0) * m.multiplier) ** 2 - of_shared(m)

    def of_shared(m: Member) -> float:
        return float(min(max(m.extra_systematic_wh, 0), max(m.extra_sigma_wh, 0)) * m.multiplier) ** 2

    def of_gap(m: Member) -> float:
        return float(max(m.gap_sigma_wh, 0) * m.multiplier) ** 2

    def of_clock(m: Member) -> float:
        step = power_steps[0 if m.role & 2 else 1]
        return (clock_share * step * (m.import_wh * m.multiplier - given(m))) ** 2

    taken = sum(m.import_wh * m.multiplier for m in there)
    returned = sum(given(m) for m in there)
    inflow = taken + sum(given(m) for m in sinks)
    outflow = returned + sum(m.import_wh * m.multiplier for m in sinks)
    inflow += sum(m.import_wh * m.multiplier if m.role & 32 else given(m) for m in ties)
    outflow += sum(given(m) if m.role & 32 else m.import_wh * m.multiplier for m in ties)
    one_sided = [m for m in present if bool(m.role & 1) != bool(m.role & 6) and not m.role & 16] + ties
    clocks = math.fsum(of_clock(m) for m in one_sided if not m.role & 1)
    # The class of a part's gateways is known only here, and is told upwards.
    parts = [m for m in there if m.role & 4]
    told_same = math.fsum(of_class(m) for m in parts)
    told = told_same + math.fsum(of_step(m) for m in parts) + math.fsum(of_extra(m) + of_gap(m) for m in there)
    idle = [m for m in one_sided if m.role & 2 and m not in ties and m.import_wh == 0 and given(m) == 0]
    uncounted = (0.25 * start_wh * sum(m.multiplier for m in idle)) ** 2
    systematic = math.fsum(of_class(m) for m in one_sided) + uncounted
    ends = math.fsum(of_step(m) for m in one_sided) + clocks
    if any(m.role & 1 for m in one_sided):
        through = sum(m.import_wh * m.multiplier + given(m) for m in one_sided if m.role & 6)
        ends += clocks + (clock_share * power_steps[1] * through) ** 2
    customers = [m for m in present if m.role & 2]
    sold = math.fsum(of_class(m) for m in customers) + uncounted
    sold_rest = math.fsum(of_step(m) + of_extra(m) for m in customers) + clocks
    return Result(
        inflow_wh=inflow,
        outflow_wh=outflow,
        loss_wh=inflow - outflow,
        members_loss_wh=sum(m.loss_wh for m in present if m.role & 4 and m.loss_wh != MISSING),
        taken_wh=taken,
        returned_wh=returned,
        generation_wh=sum(given(m) for m in sinks),
        estimated_wh=sum(m.import_wh * m.multiplier + given(m) for m in present if m.quality & 10),
        gateway_extra_sigma_wh=math.sqrt(told),
        gateway_systematic_sigma_wh=math.sqrt(told_same),
        sigma_wh=math.sqrt(systematic + ends + math.fsum(of_extra(m) for m in one_sided)),
        systematic_sigma_wh=math.sqrt(systematic),
        export_sigma_wh=math.sqrt(math.fsum(of_export(m) for m in one_sided)),
        ends_sigma_wh=math.sqrt(ends),
        sold_sigma_wh=math.sqrt(sold + sold_rest),
        sold_systematic_sigma_wh=math.sqrt(sold),
        gap_sigma_wh=math.sqrt(math.fsum(of_gap(m) for m in one_sided)),
        coverage=len([m for m in present if not m.quality & 2]) / len(expected) if expected else math.nan,
        complete=bool(expected) and len(present) == len(expected),
        gateways_complete=bool(gateways) and len(there) == len(gateways),
    )
