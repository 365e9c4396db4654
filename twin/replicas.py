"""Copies of a grid with codes and seeds of their own, for load tests: 28 of the demonstration grid are 998,900 meters.

Copy 0 is the grid itself, under its own codes and with the seed that was given. The codes of copy k begin with
``Ck-``; where a code is made of a prefix and another code (``account-…``, ``headend-…``, ``rtu-…``), that other code
begins so. A copy is the model of a network whose codes are copied, so the functions of `twin.grid_model` that make
codes hold for it, but for the region of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeVar

from grid.model import GridModel
from grid.network import Network as SwitchedNetwork
from twin.draws import draw_seed
from twin.network import Network

_T = TypeVar("_T")

#: Beginnings of codes that are made of another code.
_MADE_OF = ("account-", "headend-", "rtu-")


@dataclass(frozen=True, slots=True)
class ReplicaSpec:
    """How many copies, and the seed from which each has its own."""

    copies: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.copies < 1:
            raise ValueError(f"copies must be positive, not {self.copies}")

    def seed_of(self, copy: int) -> int:
        """Seed of a copy's load, phases and measurement; that of copy 0 is the seed itself."""
        if not 0 <= copy < self.copies:
            raise ValueError(f"no copy {copy} of {self.copies}")
        return draw_seed(self.seed, f"replica/{copy}") if copy else self.seed

    @property
    def seeds(self) -> tuple[int, ...]:
        """By copy."""
        return tuple(self.seed_of(copy) for copy in range(self.copies))


def copy_code(code: str, copy: int) -> str:
    """Code of a thing's likeness in a copy."""
    if not copy:
        return code
    made_of = next((beginning for beginning in _MADE_OF if code.startswith(beginning)), "")
    return f"{made_of}C{copy}-{code[len(made_of) :]}"


def copy_model(model: GridModel, copy: int) -> GridModel:
    """The model with the codes of a copy; all else is the same.

    Raises
    ------
    ValueError
        When a code gets too long.
    """
    if not copy:
        return model

    def c(code: str) -> str:
        return copy_code(code, copy)

    def maybe(code: str | None) -> str | None:
        return None if code is None else c(code)

    return GridModel(
        substations=tuple(replace(s, code=c(s.code), name=_name(s.name, copy)) for s in model.substations),
        feeders=tuple(
            replace(f, code=c(f.code), name=_name(f.name, copy), substation=c(f.substation)) for f in model.feeders
        ),
        areas=tuple(
            replace(a, code=c(a.code), name=_name(a.name, copy), gateway=c(a.gateway), feeder=maybe(a.feeder))
            for a in model.areas
        ),
        meters=tuple(
            replace(m, code=c(m.code), unit=c(m.unit), account=maybe(m.account), usage_point=maybe(m.usage_point))
            for m in model.meters
        ),
        accounts=tuple(replace(a, code=c(a.code)) for a in model.accounts),
        feeder_gateways={c(feeder): c(account) for feeder, account in model.feeder_gateways.items()},
        greater=tuple(
            replace(
                g,
                code=c(g.code),
                name=_name(g.name, copy),
                gateway=maybe(g.gateway),
                substation=maybe(g.substation),
            )
            for g in model.greater
        ),
        parents=tuple(replace(p, unit=c(p.unit), parent=c(p.parent)) for p in model.parents),
        ties=tuple(replace(t, meter=c(t.meter), unit=c(t.unit)) for t in model.ties),
        organisations=tuple(
            replace(o, code=c(o.code), name=_name(o.name, copy), parent=maybe(o.parent)) for o in model.organisations
        ),
        persons=tuple(replace(p, code=c(p.code)) for p in model.persons),
        responsibilities=tuple(
            replace(r, unit=c(r.unit), organisation=maybe(r.organisation), person=maybe(r.person))
            for r in model.responsibilities
        ),
        network=None if model.network is None else copy_switched(model.network, copy),
    )


def copies_of(model: GridModel, copies: int) -> Iterator[GridModel]:
    """The copies one by one, so that a million meters needn't be in memory at once."""
    return (copy_model(model, copy) for copy in range(ReplicaSpec(copies).copies))


def replicate(model: GridModel, copies: int) -> GridModel:
    """All copies as one model: a thing's position is that in the model plus the copy's number times their count."""
    return join_models(list(copies_of(model, copies)))


def join_models(models: Sequence[GridModel]) -> GridModel:
    """Several models as one, in their order; a greater unit that several have is there once."""
    networks = [m.network for m in models if m.network is not None]
    return GridModel(
        substations=_all(m.substations for m in models),
        feeders=_all(m.feeders for m in models),
        areas=_all(m.areas for m in models),
        meters=_all(m.meters for m in models),
        accounts=_all(m.accounts for m in models),
        feeder_gateways={feeder: account for m in models for feeder, account in m.feeder_gateways.items()},
        greater=tuple({unit.code: unit for m in models for unit in m.greater}.values()),
        parents=_all(m.parents for m in models),
        ties=_all(m.ties for m in models),
        organisations=_all(m.organisations for m in models),
        persons=_all(m.persons for m in models),
        responsibilities=_all(m.responsibilities for m in models),
        network=SwitchedNetwork(
            nodes=_all(n.nodes for n in networks),
            segments=_all(n.segments for n in networks),
            switches=_all(n.switches for n in networks),
            heads=_all(n.heads for n in networks),
            connections=_all(n.connections for n in networks),
        )
        if networks
        else None,
    )


def copy_network(network: Network, copy: int) -> Network:
    """The electrical network with the codes of a copy.

    Positions, lines and impedances are the same, so that one copy's power flow solves every other's load.
    """
    if not copy:
        return network

    def c(code: str) -> str:
        return copy_code(code, copy)

    return replace(
        network,
        areas=tuple(replace(a, code=c(a.code)) for a in network.areas),
        feeders=tuple(replace(f, code=c(f.code), grid=c(f.grid)) for f in network.feeders),
        points=tuple(replace(p, code=c(p.code), grid=c(p.grid)) for p in network.points),
        medium_voltage_v={c(grid): voltage_v for grid, voltage_v in network.medium_voltage_v.items()},
        switched=copy_switched(network.switched, copy),
        ties=tuple(replace(t, switch=c(t.switch)) for t in network.ties),
        sections={c(code): replace(s, switch=c(s.switch)) for code, s in network.sections.items()},
    )


def copy_switched(network: SwitchedNetwork, copy: int) -> SwitchedNetwork:
    """The network of the records with the codes of a copy."""

    def c(code: str) -> str:
        return copy_code(code, copy)

    return SwitchedNetwork(
        nodes=tuple(replace(n, code=c(n.code), substation=c(n.substation)) for n in network.nodes),
        segments=tuple(
            replace(s, code=c(s.code), from_node=c(s.from_node), to_node=c(s.to_node)) for s in network.segments
        ),
        switches=tuple(
            replace(s, code=c(s.code), from_node=c(s.from_node), to_node=c(s.to_node)) for s in network.switches
        ),
        heads=tuple(
            replace(h, feeder=c(h.feeder), node=c(h.node), breaker=None if h.breaker is None else c(h.breaker))
            for h in network.heads
        ),
        connections=tuple(replace(x, area=c(x.area), node=c(x.node)) for x in network.connections),
    )


def _name(name: str, copy: int) -> str:
    return f"{name} [C{copy}]"


def _all(parts: Iterable[Iterable[_T]]) -> tuple[_T, ...]:
    return tuple(chain.from_iterable(parts))
