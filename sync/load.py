"""The first way into the grid model: a whole model at once."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from grid.model import MAX_MEMBERS, GridModel, Role, UnitKind
from store.connection import Connection
from store.grid_writer import BEGINNING, LoadReport, load_model

_MAX_INT4 = 2**31 - 1
_SHOWN = 20


class InvalidModelError(ValueError):
    """The model contradicts itself or can't be stored; `problems` lists how."""

    def __init__(self, problems: list[str]) -> None:
        shown = problems[:_SHOWN]
        more = f" (and {len(problems) - _SHOWN} more)" if len(problems) > _SHOWN else ""
        super().__init__("; ".join(shown) + more)
        self.problems = problems


def load_grid(connection: Connection, model: GridModel, valid_from: datetime = BEGINNING) -> LoadReport:
    """Check `model` and make the store say what it says from `valid_from` on.

    The same model again changes nothing and tells nobody. See `store.grid_writer.load_model`.

    Raises
    ------
    InvalidModelError
        Before anything is written.
    """
    problems = find_problems(model)
    if problems:
        raise InvalidModelError(problems)
    return load_model(connection, model, valid_from)


def find_problems(model: GridModel) -> list[str]:
    """What is wrong with a model whose codes are unique and whose references resolve; pure."""
    members = Counter(m.unit for m in model.meters)
    members.update(a.feeder for a in model.areas if a.feeder is not None)
    members.update(p.parent for p in model.parents)
    members.update(t.unit for t in model.ties)
    gateways = Counter(m.unit for m in model.meters if m.role & Role.GATEWAY)
    problems = [f"unit {u} has {n} members, of at most {MAX_MEMBERS}" for u, n in members.items() if n > MAX_MEMBERS]
    problems += [
        f"feeder {f.code} names no account that may send for it"
        for f in model.feeders
        if f.code not in model.feeder_gateways
    ]
    for area in model.areas:
        if area.kind is UnitKind.DEDICATED and gateways[area.code] == 0:
            problems.append(f"dedicated customer {area.code} has no meter at its connection")
        if not 0 <= area.rating_va <= _MAX_INT4:
            problems.append(f"area {area.code}: rating of {area.rating_va} VA")
    problems += [f"meter {m.code} has no usable role: {m.role!r}" for m in model.meters if not _is_meter_role(m.role)]
    problems += [
        f"account {a.code}: contract of {a.contract_w} W" for a in model.accounts if not 0 <= a.contract_w <= _MAX_INT4
    ]
    named = [(s.code, s.name) for s in model.substations]
    named += [(f.code, f.name) for f in model.feeders]
    named += [(a.code, a.name) for a in model.areas]
    problems += [f"{code}: the name {name!r} has control characters" for code, name in named if not name.isprintable()]
    return problems


def _is_meter_role(role: Role) -> bool:
    return role in (Role.GATEWAY, Role.CUSTOMER, Role.GATEWAY | Role.CUSTOMER, Role.TIE_IN, Role.TIE_OUT)
