"""A store in memory and views from a model: the pure steps without servers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from types import SimpleNamespace

from grid.history import Past, past_of
from grid.limits import Limits
from grid.loss_rules import LossRules
from grid.memberships import Membership
from grid.model import GridModel, Role, UnitKind
from grid.roster import BEGINNING_US, END_US, Parentage, UnitView
from grid.rows import BALANCE_COLUMNS, BalanceRows, BlockRows, StoredBlock, Superseded
from streams.estimating import estimates, rows_of_batch
from streams.steps.contribution import Contribution, Key
from streams.steps.settle import Settled, keys_to_read, settle


class MemoryStore:
    """Rows as the store would keep them."""

    def __init__(self, limits: Limits | None = None, rules: LossRules | None = None) -> None:
        self.limits = limits or Limits()
        self.rules = rules or LossRules()
        self.gaps = 0
        self.estimates: Counter[str] = Counter()
        self.rows: dict[Key, StoredBlock] = {}
        self.superseded: dict[tuple[Key, int], dict[str, float]] = {}

    @property
    def losses(self) -> dict[Key, SimpleNamespace]:
        """Results by key."""
        return {key: SimpleNamespace(**row.balance) for key, row in self.rows.items()}

    def take(self, contributions: list[Contribution]) -> Settled:
        """Settle a batch and keep its effects."""
        keys = keys_to_read(contributions)
        stored = {k: self.rows[k] for k in keys if k in self.rows}
        settled = settle(contributions, stored, self.limits, self.rules)
        if settled.gaps:
            self.gaps += len(settled.gaps)
            past = {k: _past(row) for k, row in self.rows.items()} | rows_of_batch(settled.rows)
            made = estimates(settled.gaps, lambda keys: {k: past[k] for k in keys if k in past}, self.rules.zone)
            self.estimates.update(made.counts)
            settled = settle([*contributions, *made.contributions], stored, self.limits, self.rules)
        self.write(settled.rows, settled.balances, settled.superseded)
        return settled

    def write(self, rows: BlockRows, balances: BalanceRows, superseded: Superseded) -> None:
        """Keep rows with their results, each over the version that was read."""
        for r in range(len(rows)):
            key = (int(rows.unit_id[r]), int(rows.observed_at_us[r]), int(rows.interval_s[r]))
            part = rows.part(r)
            balance = plain(balances, r)
            before = self.rows.get(key)
            assert int(rows.read_version[r]) == (before.version if before else 0)
            if before is not None and 0 < before.balance["revision"] < balance["revision"]:
                self._keep(key, before.balance)
            self.rows[key] = StoredBlock(
                version=int(rows.version[r]),
                received_at_us=int(rows.received_at_us[r]),
                channels={name: values[part].copy() for name, values in rows.channels.items()},
                quality=rows.quality[part].copy(),
                precedence={name: values[part].copy() for name, values in rows.precedence.items()},
                received_us={name: values[part].copy() for name, values in rows.received_us.items()},
                balance=balance,
            )
        for i in range(len(superseded.unit_id)):
            key = (int(superseded.unit_id[i]), int(superseded.observed_at_us[i]), int(superseded.interval_s[i]))
            self._keep(key, plain(superseded.balances, i))

    def _keep(self, key: Key, balance: Mapping[str, float]) -> None:
        kept = {name: value for name, value in balance.items() if name != "due_us"}
        assert self.superseded.setdefault((key, int(balance["revision"])), kept) == kept


def _past(row: StoredBlock) -> Past:
    return past_of(row.channels, row.quality, row.precedence, row.received_us)


def plain(balances: BalanceRows, row: int) -> dict[str, float]:
    """A result as a dict that equals its like: what isn't known is one and the same NaN."""
    return plain_values({name: getattr(balances, name)[row].item() for name in BALANCE_COLUMNS})


def plain_values(values: Mapping[str, float]) -> dict[str, float]:
    """The same of one that is a mapping already."""
    return {name: math.nan if value != value else value for name, value in values.items()}  # noqa: PLR0124


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
