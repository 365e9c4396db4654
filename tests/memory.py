"""A store in memory and views from a model: the pure steps without servers."""

from __future__ import annotations

from dataclasses import dataclass

from grid.model import GridModel, Role, UnitKind
from grid.roster import BEGINNING_US, END_US, Membership, Parentage, UnitView
from grid.rows import StoredBlock
from streams.steps.contribution import Contribution
from streams.steps.settle import Key, Settled, keys_of, settle


@dataclass(frozen=True)
class Loss:
    inflow_wh: int
    outflow_wh: int
    loss_wh: int
    members_loss_wh: int
    sigma_wh: float
    computable: bool


class MemoryStore:
    """Rows as the store would keep them."""

    def __init__(self) -> None:
        self.rows: dict[Key, StoredBlock] = {}
        self.losses: dict[Key, Loss] = {}

    def take(self, contributions: list[Contribution]) -> Settled:
        """Settle a batch and keep its effects."""
        keys = keys_of(contributions)
        settled = settle(keys, contributions, {i: self.rows[k] for i, k in enumerate(keys) if k in self.rows})
        rows, balances = settled.rows, settled.balances
        for r in range(len(rows)):
            sequence, import_wh, export_wh, loss_wh, voltage_dv, quality = rows.members(r)
            key = (int(rows.unit_id[r]), int(rows.observed_at_us[r]))
            self.rows[key] = StoredBlock(
                interval_s=int(rows.interval_s[r]),
                version=int(rows.version[r]) + 1,
                received_at_us=int(rows.received_at_us[r]),
                sequence=sequence,
                import_wh=import_wh,
                export_wh=export_wh,
                loss_wh=loss_wh,
                voltage_dv=voltage_dv,
                quality=quality,
                status=int(balances.status[r]),
            )
            self.losses[key] = Loss(
                int(balances.inflow_wh[r]),
                int(balances.outflow_wh[r]),
                int(balances.loss_wh[r]),
                int(balances.members_loss_wh[r]),
                float(balances.sigma_wh[r]),
                bool(balances.computable[r]),
            )
        return settled


def views_of(model: GridModel) -> dict[str, UnitView]:
    """Views of all units, numbered in the order of the model; every relation holds for ever."""
    kinds = {area.code: area.kind for area in model.areas} | {f.code: UnitKind.FEEDER for f in model.feeders}
    ids = {code: number for number, code in enumerate(kinds, start=1)}
    members: dict[str, list[Membership]] = {code: [] for code in kinds}

    def add(unit: str, meter: str | None, child: int | None, role: Role, multiplier: int, accuracy: float) -> None:
        position = len(members[unit])
        members[unit].append(Membership(position, meter, child, int(role), multiplier, accuracy, BEGINNING_US, END_US))

    for meter in model.meters:
        add(meter.unit, meter.code, None, meter.role, meter.multiplier, meter.accuracy_class)
    parents: dict[str, tuple[Parentage, ...]] = {}
    for area in model.areas:
        if area.feeder is not None:
            add(area.feeder, None, ids[area.code], Role.UNIT, 1, 0.5)
            parents[area.code] = (Parentage(ids[area.feeder], area.feeder, BEGINNING_US, END_US),)
    return {
        code: UnitView(ids[code], code, kind, tuple(members[code]), parents.get(code, ()))
        for code, kind in kinds.items()
    }
