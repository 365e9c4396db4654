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


class Result(NamedTuple):
    inflow_wh: int
    outflow_wh: int
    loss_wh: int
    members_loss_wh: int
    taken_wh: int
    returned_wh: int
    sigma_wh: float
    coverage: float
    gateways_complete: bool


def balance(members: list[Member]) -> Result:
    expected = [m for m in members if m.role]
    present = [m for m in expected if m.import_wh != MISSING]
    gateways = [m for m in expected if m.role & 1]
    sinks = [m for m in present if m.role & 6]
    there = [m for m in present if m.role & 1]

    def given(m: Member) -> int:
        return 0 if m.export_wh == MISSING else m.export_wh * m.multiplier

    taken = sum(m.import_wh * m.multiplier for m in there)
    returned = sum(given(m) for m in there)
    inflow = taken + sum(given(m) for m in sinks)
    outflow = returned + sum(m.import_wh * m.multiplier for m in sinks)
    variance = math.fsum(
        (m.accuracy_class / 100 * m.import_wh * m.multiplier) ** 2 / 3
        + (m.accuracy_class / 100 * given(m)) ** 2 / 3
        + m.multiplier**2 / 6
        for m in present
        if bool(m.role & 1) != bool(m.role & 6)
    )
    return Result(
        inflow,
        outflow,
        inflow - outflow,
        sum(m.loss_wh for m in present if m.loss_wh != MISSING),
        taken,
        returned,
        math.sqrt(variance),
        len(present) / len(expected) if expected else math.nan,
        bool(gateways) and len(there) == len(gateways),
    )
