"""Whom an event of a kind may strike, and what it then says of them."""

from __future__ import annotations

from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from grid.model import AccountStatus, GridModel, Meter
from twin.effects_places import Places
from twin.events import EventKind
from twin.network import Network

_THEFT_TARIFFS = frozenset({"household", "commercial"})
_GENERATION = "generation"
#: Areas nearest to the true one among which a wrong one is chosen.
_NEIGHBOURS = 5
_WOVEN = 7
_WRONG_FACTORS = (0.5, 0.75, 0.8, 1.25, 1.5, 2.0)


class Pool(Enum):
    """Whom kinds of events may strike."""

    CUSTOMER = auto()  # at low voltage; as all of these with an account that is active
    CONSUMING = auto()  # households and commerce, of the larger half
    TRANSFORMED = auto()  # one on current transformers to seven of the largest at low voltage
    THREE_PHASE = auto()  # of the larger half with a three-phase meter, or of unknown phases
    SINGLE_PHASE = auto()  # whose meter is known to be on one phase
    MOVABLE = auto()  # of the larger half, with a neighbouring area
    AREA = auto()  # areas with customers


class Pools:
    """Candidates by pool: positions of points, or of areas."""

    def __init__(self, network: Network, model: GridModel, places: Places) -> None:
        self._network, self._places, self._model = network, places, model
        self._meters = [model.meters[i] for i in places.point_meter.tolist()]
        self._tariff = {a.code: a.tariff_class for a in model.accounts}
        active = {a.code for a in model.accounts if a.status is AccountStatus.ACTIVE}
        self._meter_codes = {m.code for m in model.meters}
        self._longitude = np.array([a.longitude_deg for a in network.areas])
        self._latitude = np.array([a.latitude_deg for a in network.areas])
        power_w = np.array([p.active_w for p in network.points])
        served = places.consumer & np.array([m.account in active for m in self._meters], np.bool_)
        low = served & (places.point_area >= 0)
        large = low & (power_w >= (np.median(power_w[low]) if low.any() else 0))
        multiplier = np.array([m.multiplier for m in self._meters])
        tariff = np.array([self._tariff_of(m) in _THEFT_TARIFFS for m in self._meters], np.bool_)
        phases = np.array([m.phases or "" for m in self._meters])
        transformed = np.flatnonzero(served & (multiplier > 1))
        largest = np.flatnonzero(low & (multiplier <= 1))
        largest = largest[np.argsort(-power_w[largest], kind="stable")][: max(len(largest) // 20, 1)]
        areas = np.unique(places.point_area[low])
        self._tiers: dict[Pool, tuple[NDArray[np.int64], ...]] = {
            Pool.CUSTOMER: (np.flatnonzero(low),),
            Pool.CONSUMING: (np.flatnonzero(large & (tariff if (large & tariff).any() else large)),),
            Pool.TRANSFORMED: (transformed, largest),
            Pool.THREE_PHASE: (np.flatnonzero(large & ((phases == "ABC") | (phases == ""))),),
            Pool.SINGLE_PHASE: (np.flatnonzero(low & np.isin(phases, list("ABC"))),),
            Pool.MOVABLE: (np.flatnonzero(large & (len(network.areas) > 1)),),
            Pool.AREA: (areas,),
        }

    def shuffled(self, pool: Pool, rng: np.random.Generator) -> list[int]:
        """Candidates in an order by chance; of two tiers, after each of the first so many of the second."""
        first, *second = (rng.permutation(tier).tolist() for tier in self._tiers[pool])
        if not second:
            return list(first)
        (others,) = second
        woven = []
        for i, at in enumerate(first):
            woven += [at, *others[i * _WOVEN : (i + 1) * _WOVEN]]
        return [*woven, *others[len(first) * _WOVEN :]]

    def entity(self, kind: EventKind, pool: Pool, at: int) -> str:
        """Code that an event of a kind names for a candidate."""
        if pool is Pool.AREA:
            return self._network.areas[at].code
        if kind in (EventKind.ACCOUNT_OPENED, EventKind.ACCOUNT_CLOSED, EventKind.TARIFF_CHANGED):
            return self._meters[at].account or ""
        return self._network.points[at].code

    def wrong_multiplier(self, at: int, rng: np.random.Generator) -> float:
        """Factor by which a whole multiplier becomes another one."""
        true = self._meters[at].multiplier
        return float(rng.choice([f for f in _WRONG_FACTORS if (true * f).is_integer()]))

    def other(self, kind: EventKind, at: int, rng: np.random.Generator) -> str:
        """What an event of a kind names beside a candidate; empty for most."""
        match kind:
            case EventKind.RECORD_AREA:
                return self._other_area(at, rng)
            case EventKind.RECORD_PHASE:
                return str(rng.choice([phase for phase in "ABC" if phase != self._meters[at].phases]))
            case EventKind.METER_REPLACED:
                return self._new_meter(at)
            case EventKind.TARIFF_CHANGED:
                return self._other_tariff(at, rng)
            case _:
                return ""

    def _other_area(self, at: int, rng: np.random.Generator) -> str:
        """One of the areas nearest to a point's own, of the same feeder where it has others."""
        own = int(self._places.point_area[at])
        others = np.flatnonzero(self._places.area_feeder == self._places.area_feeder[own])
        others = others if len(others) > 1 else np.arange(len(self._network.areas))
        others = others[others != own]
        away = np.hypot(
            (self._longitude[others] - self._longitude[own]) * np.cos(np.radians(self._latitude[own])),
            self._latitude[others] - self._latitude[own],
        )
        near = others[np.argsort(away, kind="stable")][:_NEIGHBOURS]
        return self._network.areas[int(rng.choice(near))].code

    def _other_tariff(self, at: int, rng: np.random.Generator) -> str:
        """Another tariff class of the model's than a point's own."""
        own = self._tariff_of(self._meters[at])
        others = sorted({*self._tariff.values()} - {own, _GENERATION})
        return str(rng.choice(others)) if others else f"{own}-time-of-use"

    def _new_meter(self, at: int) -> str:
        """A code for the meter that takes the place of a point's; none that is known."""
        code, n = self._meters[at].code, 2
        while f"{code}-{n}" in self._meter_codes:
            n += 1
        self._meter_codes.add(f"{code}-{n}")
        return f"{code}-{n}"

    def _tariff_of(self, meter: Meter) -> str:
        return self._tariff.get(meter.account or "", "")
