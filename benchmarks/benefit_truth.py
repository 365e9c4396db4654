"""Areas' daily losses by the twin, with what the end of a theft truly brought; nothing of `benefit` is used here.

What customers draw, what events do to it and what meters count are the twin's own (`twin.demand`, `twin.effects`).
Its three-phase physics takes seconds a day, so one day of it is solved, and the lines' loss of each area is taken as
its factor of that day times the square of the area's power. Registers have gain errors by class and are read in whole
steps once a day; some days are missing.

Truth: the same days pass twice. Once each treated area's theft ends on the day of the repair, once it goes on. What
the area truly loses less (unmetered energy and loss of lines) is what the repair brought. In placebo areas nothing is
stolen, broken or repaired. Everywhere else the twin's mixture of thefts, faults and innocent changes takes its course,
which begins and ends when it likes: controls are as troubled as they are in life.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from grid.model import Role
from meterline.city import ZONE, make_city
from twin.city import City
from twin.city_codes import parse_city
from twin.demand import Demand
from twin.draws import stream, truncated_normal, uniforms
from twin.effects import Effects
from twin.events import FAULT, FRAUD, INNOCENT, RECORD, Event, EventKind
from twin.households import Households
from twin.scenario import meter_sources
from twin.simbench import read_profiles
from twin.steps import make_steps

_DAY_S, _QUARTER_S = 86_400, 900
_STEPS = 96
#: Kinds that are played: what switches the grid is left out, since the lines' loss is taken from one state of it.
_PLAYED = FRAUD | FAULT | INNOCENT | {EventKind.OVERLOAD}
_THEFTS = (EventKind.THEFT_SCALING, EventKind.THEFT_BYPASS, EventKind.THEFT_NIGHT, EventKind.THEFT_HOOK)
_MISSING = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Days of a city.

    Attributes
    ----------
    loss_wh, inflow_wh
        What the registers say, of shape (days, areas); NaN = missing.
    before, after
        Days before and after the repairs, of shape (days,).
    treated
        Areas whose theft ended.
    placebo
        Areas where nothing was done.
    saved_wh
        What it truly brought on each day, of shape (days, treated); 0 on days that are missing.
    """

    loss_wh: NDArray[np.float64]
    inflow_wh: NDArray[np.float64]
    before: NDArray[np.bool_]
    after: NDArray[np.bool_]
    treated: NDArray[np.int64]
    placebo: NDArray[np.int64]
    saved_wh: NDArray[np.float64]

    @property
    def recovered_wh(self) -> NDArray[np.float64]:
        """What it truly brought over the days after, of each of `treated`."""
        return np.asarray(self.saved_wh[self.after].sum(axis=0), np.float64)

    def early(self, days: int) -> Scene:
        """As it stands when only so many days after are over."""
        until = int(np.flatnonzero(self.after)[days - 1]) + 1
        return replace(
            self, loss_wh=self.loss_wh[:until], inflow_wh=self.inflow_wh[:until], before=self.before[:until],
            after=self.after[:until], saved_wh=self.saved_wh[:until],
        )  # fmt: skip


class Scenes:
    """Cities of some areas; what doesn't depend on the seed is made once."""

    def __init__(self, areas: int, days_before: int = 28, days_after: int = 28) -> None:
        self._areas, self._before, self._after = areas, days_before, days_after
        quiet = make_city("demonstration", areas=areas, begin=datetime(2026, 1, 14, tzinfo=ZONE), events="none")
        # Steps of a quarter-hour: the square of its mean power is what the factor is for.
        self._city = City(replace(quiet.plan, per_interval=1))
        network = self._city.network
        self._profiles = read_profiles(parse_city("demonstration").folder, sorted({p.profile for p in network.points}))
        self._area = np.array([p.area for p in network.points])
        self._sources, _ = meter_sources(network)
        self._factor = self._loss_factors()

    def _loss_factors(self) -> NDArray[np.float64]:
        """Loss of the lines over the square of the power, 1/W, by area: over one day of the three-phase physics."""
        loss_w, power_w = [], []
        for stretch in self._city.stretches(self._city.plan.begin_s, _STEPS):
            loss_w.append(stretch.flows.area_line_loss_w)
            power_w.append(stretch.flows.area_w)
        loss, power = np.concatenate(loss_w), np.concatenate(power_w)
        return np.asarray((loss * power**2).sum(axis=0) / (power**4).sum(axis=0), np.float64)

    def make(self, seed: int, cases: int) -> Scene:
        """So many repairs and as many placebos, all on the same day, somewhere in a year that the seed chooses."""
        draw = stream(seed, "benefit scene")
        days = self._before + self._after + 1
        begin = datetime(2026, 1, 5, tzinfo=ZONE) + timedelta(days=int(draw.integers(0, 300)))
        chosen = draw.permutation(self._areas)[: 2 * cases].astype(np.int64)
        treated, placebo = chosen[:cases], chosen[cases:]
        usual = make_city("demonstration", areas=self._areas, begin=begin, days=days, seed=seed)
        begin_s = usual.plan.begin_s
        repair_s = begin_s + self._before * _DAY_S
        kept = self._elsewhere(usual, chosen)
        thefts = [self._theft(area, begin_s, repair_s, number, draw) for number, area in enumerate(treated.tolist())]
        played = Effects((*kept, *thefts), usual.network, usual.model, ZONE, seed)
        going_on = (*kept, *(replace(theft, end_s=None) for theft in thefts))
        otherwise = Effects(going_on, usual.network, usual.model, ZONE, seed)
        # A holiday is one whatever is done about a theft.
        demand = Demand(usual.network.points, self._profiles, Households.stochastic(seed), seed, played.runs_as)
        meters = _Registers(usual, seed)
        loss, inflow, saved = [], [], []
        for day in range(days):
            steps = make_steps(begin_s + day * _DAY_S, _STEPS, _QUARTER_S, 1)
            active, reactive = demand.at(steps)
            runs = [self._run(effects, steps, active.copy(), reactive.copy()) for effects in (played, otherwise)]
            (through, lost), (_, lost_otherwise) = runs
            one_loss, one_inflow = meters.day(through)
            loss.append(one_loss)
            inflow.append(one_inflow)
            saved.append((lost_otherwise - lost)[treated])
        number = np.arange(days)
        after = number > self._before
        missing = draw.random((days, self._areas)) < _MISSING
        return Scene(
            loss_wh=np.where(missing, np.nan, loss),
            inflow_wh=np.where(missing, np.nan, inflow),
            before=number < self._before,
            after=after,
            treated=treated,
            placebo=placebo,
            # Of days whose loss isn't known nobody claims anything.
            saved_wh=np.where(missing[:, treated], 0.0, np.array(saved)),
        )

    def _elsewhere(self, city: City, chosen: NDArray[np.int64]) -> list[Event]:
        """Of the usual mixture what is played, and isn't a fraud or fault in a chosen area or at a gateway."""
        areas = city.network.areas
        taken = {areas[i].code for i in chosen.tolist()}
        of_point = {p.code: areas[p.area].code for p in city.network.points if p.area >= 0}
        gateways = {code for m in city.model.meters if m.role & Role.GATEWAY for code in (m.code, m.unit)}

        def stays(event: Event) -> bool:
            if event.kind not in _PLAYED or event.kind in RECORD:
                return False
            faulty = event.kind in FRAUD | FAULT
            return not (faulty and (event.entity in gateways or of_point.get(event.entity, event.entity) in taken))

        return [event for event in city.events if stays(event)]

    def _theft(self, area: int, begin_s: int, repair_s: int, number: int, draw: np.random.Generator) -> Event:
        """A theft of a customer of the area, from before the first day until the repair."""
        kind = _THEFTS[int(draw.integers(len(_THEFTS)))]
        network = self._city.network
        inside = [p for p in network.points if p.area == area and not p.generation]
        point = inside[int(draw.integers(len(inside)))]
        if kind is EventKind.THEFT_HOOK:
            entity, size = network.areas[area].code, float(draw.uniform(200, 2_000))
        else:
            entity = point.code
            size = {
                EventKind.THEFT_SCALING: float(draw.uniform(0.3, 0.9)),
                EventKind.THEFT_BYPASS: float(draw.uniform(100, 1_000)),
                EventKind.THEFT_NIGHT: 1.0,
            }[kind]
        return Event(begin_s - _DAY_S, 100_000 + number, kind, entity, repair_s, size)

    def _run(
        self, effects: Effects, steps: object, active: NDArray[np.float64], reactive: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What meters count, (steps, meters) watts, and what each area truly loses over the day, watt-hours."""
        effects.demand(steps, active, reactive)  # type: ignore[arg-type]
        hidden_w = effects.hidden_w(steps)  # type: ignore[arg-type]
        below_w = self._by_area(active + hidden_w)
        lines_w = self._factor * below_w**2
        area_w = below_w + lines_w
        feeders = np.zeros((len(active), len(self._city.network.feeders)))
        through = np.concatenate([active, area_w, feeders], axis=1)[:, self._sources]
        true = through.copy()
        effects.metered_w(steps, through)  # type: ignore[arg-type]
        uncounted = np.zeros_like(active)
        at_points = self._sources < active.shape[1]
        uncounted[:, self._sources[at_points]] = (true - through)[:, at_points]
        lost_w = lines_w + self._by_area(hidden_w + uncounted)
        return through, lost_w.sum(axis=0) / 4

    def _by_area(self, power_w: NDArray[np.float64]) -> NDArray[np.float64]:
        inside = self._area >= 0
        # Points of an area stand together.
        firsts = np.searchsorted(self._area[inside], np.arange(self._areas))
        return np.add.reduceat(power_w[:, inside], firsts, axis=1)


class _Registers:
    """Daily frozen registers: gain errors by class, read in whole watt-hours before the multiplier."""

    def __init__(self, city: City, seed: int) -> None:
        meters = city.model.meters
        codes = [m.code for m in meters]
        share = np.array([m.accuracy_class for m in meters]) / 100
        # As `twin.metering`: σ is half the class, cut off at it.
        gain = truncated_normal(uniforms(seed, "benefit gain", codes, 1)[0], 2.0) * 0.5 * share
        self._gain = 1.0 + gain
        self._multiplier = np.array([m.multiplier for m in meters], np.float64)
        # Import and export have a register each.
        self._total = uniforms(seed, "benefit register", codes, 2)
        self._areas = len(city.network.areas)
        place = {a.code: i for i, a in enumerate(city.network.areas)}
        self._unit = np.array([place.get(m.unit, -1) for m in meters])
        gateway = np.array([bool(m.role & Role.GATEWAY) for m in meters])
        self._sides = (gateway & (self._unit >= 0), ~gateway & (self._unit >= 0))

    def day(self, power_w: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Loss and inflow of the areas over a day, by what the registers rose; `power_w` of shape (steps, meters)."""
        energy_wh = np.stack([np.maximum(power_w, 0), np.maximum(-power_w, 0)]).sum(axis=1) / 4
        was = np.floor(self._total)
        self._total = self._total + energy_wh * self._gain / self._multiplier
        taken, given = (np.floor(self._total) - was) * self._multiplier
        head, customers = (np.bincount(self._unit[at], (taken - given)[at], self._areas) for at in self._sides)
        fed_in = np.bincount(self._unit[self._sides[1]], given[self._sides[1]], self._areas)
        back = np.bincount(self._unit[self._sides[0]], given[self._sides[0]], self._areas)
        return np.asarray(head - customers, np.float64), np.asarray(head + back + fed_in, np.float64)


def scenes(areas: int, seeds: list[int], cases: int) -> Iterator[Scene]:
    """A scene of each seed."""
    maker = Scenes(areas)
    for seed in seeds:
        yield maker.make(seed, cases)
