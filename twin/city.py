"""A city as one object: who draws what, what truly flows, what meters show, and what reaches the head-end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grid.model import GridModel, MeteredSide
from twin.accounts import assign_accuracy, assign_closed, assign_low_side
from twin.city_codes import parse_city, read_city
from twin.city_state import CityState
from twin.delivery_faults import DeliveryFaults
from twin.demand import Demand
from twin.device_events import ReportShares
from twin.draws import draw
from twin.effects import Effects
from twin.event_plan import plan_events
from twin.events import Event, EventKind
from twin.grid_model import build_grid_model
from twin.households import Households
from twin.metering import MeterErrors
from twin.network import Network
from twin.phase_quantities import PhaseMeans, phase_means
from twin.phases import THREE_PHASE, assign_phases, zero_sequence
from twin.recorded import recorded_model
from twin.replicas import copy_network
from twin.scenario import Unit, meter_sources, units_of
from twin.simbench import Profiles, read_profiles
from twin.steps import Steps, make_steps
from twin.topology import NoSolutionError
from twin.truth_files import UnitEnergies
from twin.unbalanced import StepFlows, Unbalanced

#: Phase to neutral.
_NOMINAL_V = 400 / 3**0.5
#: Intervals that are solved together; bounds memory.
_CHUNK = 16


# What copies of a city share: read once for all of them.


@lru_cache(maxsize=1)
def _grid(code: str, areas: int | None) -> Network:
    return read_city(code, areas)


@lru_cache(maxsize=1)
def _profiles(code: str, names: tuple[str, ...]) -> Profiles:
    return read_profiles(parse_city(code).folder, list(names))


@dataclass(frozen=True, slots=True)
class CityPlan:
    """What a city is made of; the same plan gives the same city, byte for byte.

    Attributes
    ----------
    city
        See `twin.city_codes`.
    areas
        Only the first so many transformer areas.
    begin_s, days
        When it begins, aligned to its intervals, and for how long events are planned.
    counts
        How many events of each kind; None = the usual mixture.
    events
        Instead of planned ones.
    households
        File of real meters to draw household series from; None = the stochastic model.
    per_interval
        Load steps in an interval.
    copy
        Number of a copy, whose codes are its own; see `twin.replicas`.
    threads
        Of the power flow; results don't depend on it.
    """

    begin_s: int
    days: int
    zone: tzinfo
    city: str = "demonstration"
    areas: int | None = None
    seed: int = 0
    counts: Mapping[EventKind, int] | None = None
    events: tuple[Event, ...] | None = None
    households: Path | None = None
    interval_s: int = 900
    per_interval: int = 3
    copy: int = 0
    threads: int = 1
    errors: MeterErrors | None = None
    faults: DeliveryFaults | None = None
    reports: ReportShares | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Some intervals of the city.

    Attributes
    ----------
    steps, flows
        What truly flowed, by step.
    metered_w, voltage_v
        What each meter counts, and sees of its first phase, before its own errors; shape (steps, meters).
    phases
        Voltages, currents and power factors of meters at low voltage, by interval.
    off
        Meters without voltage at the end of each interval; shape (intervals, meters).
    closed
        Whether each switch of `City.switch_points` is closed; shape (steps, switches).
    truth
        Of areas and feeders, in the order of `City.truth_units`; shape (intervals, units).
    """

    steps: Steps
    flows: StepFlows
    metered_w: NDArray[np.float64]
    voltage_v: NDArray[np.float64]
    phases: PhaseMeans
    off: NDArray[np.bool_]
    closed: NDArray[np.bool_]
    truth: UnitEnergies


class City:
    """A city whose truth is known.

    Attributes
    ----------
    network, model
        The grid as it is.
    recorded
        As the records have it at the begin.
    events
        What happens, in order of time.
    units
        Who sends, for which meters: positions in `recorded.meters`.
    truth_units
        Codes of areas and feeders.
    recorded_at
        Of each of `recorded.meters` its position in `model.meters`.

    Raises
    ------
    ValueError
        For an unknown city, more events of a kind than there is room for, or a file that holds no households.
    OSError
        When the file of households can't be read.
    """

    def __init__(self, plan: CityPlan) -> None:
        self.plan = plan
        seed = plan.seed
        self.network = network = copy_network(_grid(plan.city, plan.areas), plan.copy)
        self._households = (
            Households.stochastic(seed) if plan.households is None else Households.resampled(plan.households, seed)
        )
        self.phase = assign_phases(network, seed)
        closed = assign_closed(network, seed)
        low_side = assign_low_side(network, seed)
        self.model: GridModel = build_grid_model(
            network,
            self.phase,
            accuracy=assign_accuracy(network, seed),
            closed=closed,
            zero_sequence=zero_sequence(network.lines),
            low_side=low_side,
        )
        # Meters behind a customer's transformer, the last ones before those of the feeders' heads.
        plates = {a.code: a for a in self.model.areas if a.metered_side is MeteredSide.LOW}
        self._behind = [i for i, m in enumerate(self.model.meters) if m.unit in plates]
        plate_of = [plates[self.model.meters[i].unit] for i in self._behind]
        self._no_load_w = np.array([p.no_load_loss_w for p in plate_of], np.float64)
        self._load_per_va2 = np.array([p.load_loss_w / p.rating_va**2 for p in plate_of], np.float64)
        self.events = self._planned() if plan.events is None else tuple(sorted(plan.events))
        self.effects = Effects(self.events, network, self.model, plan.zone, seed)
        self.recorded = recorded_model(self.model, self.events, plan.begin_s)
        self.units: tuple[Unit, ...] = units_of(self.recorded)
        self.truth_units = tuple(a.code for a in network.areas) + tuple(f.code for f in network.feeders)
        self.state = CityState(network, self.effects)
        self._lives = ~closed
        self._sources, self._is_low = meter_sources(network)
        # Records may have a meter elsewhere: the order of sending is theirs.
        position = {meter.code: i for i, meter in enumerate(self.model.meters)}
        self.recorded_at = np.array([position[meter.code] for meter in self.recorded.meters])
        three = np.ones(len(self._sources), np.bool_)
        at_points = self._sources < len(network.points)
        three[at_points] = self.phase[self._sources[at_points]] == THREE_PHASE
        self._phase_share = np.where(three[:, None], 1 / 3, np.array([1.0, 0.0, 0.0]))
        self._area = np.array([p.area for p in network.points], np.int64)
        # What a dedicated customer's meter doesn't count is a matter of the feeder that normally supplies it.
        self._feeder_of_point = np.array([p.feeder if p.area < 0 else -1 for p in network.points], np.int64)

    def _planned(self) -> tuple[Event, ...]:
        plan = self.plan
        return plan_events(
            self.network,
            self.model,
            begin_s=plan.begin_s,
            days=plan.days,
            seed=plan.seed,
            counts=plan.counts,
            zone=plan.zone,
        )

    @cached_property
    def _demand(self) -> Demand:
        plan, points = self.plan, self.network.points
        profiles = _profiles(plan.city, tuple(sorted({p.profile for p in points})))
        return Demand(points, profiles, self._households, plan.seed, self.effects.runs_as)

    @cached_property
    def _physics(self) -> Unbalanced:
        network = self.network
        return Unbalanced(network, self.phase, zero_sequence(network.lines), self.state.ties, self.plan.threads)

    def stretches(self, begin_s: int, intervals: int) -> Iterator[Stretch]:
        """So many intervals from `begin_s` on, some at a time.

        Raises
        ------
        ValueError
            When `begin_s` isn't aligned to the city's intervals.
        """
        length_s, cuts = self.plan.interval_s, self.effects.cuts()
        # Cut at multiples of the whole, so that a part by itself is solved as within the whole.
        first, last = begin_s // length_s, begin_s // length_s + intervals
        edges = [first, *range((first // _CHUNK + 1) * _CHUNK, last, _CHUNK), last]
        for a, b in pairwise(edges):
            if b > a:
                yield self._stretch(make_steps(a * length_s, b - a, length_s, self.plan.per_interval, cuts))

    def _stretch(self, steps: Steps) -> Stretch:
        active, reactive = self._demand.at(steps)
        active *= self._lives
        reactive *= self._lives
        self.effects.demand(steps, active, reactive)
        hidden = self.effects.hidden(steps)
        parts = []
        for first, last, topology in self.state.spells(steps):
            self._physics.switch(topology)
            own = slice(first, last)
            try:
                parts.append(self._physics.solve(active[own], reactive[own], (hidden.at, hidden.values[own])))
            except NoSolutionError as error:
                from_at, to_at = (
                    datetime.fromtimestamp(int(s), UTC) for s in (steps.begin_s[first], steps.end_s[last - 1])
                )
                raise NoSolutionError(
                    f"{error} between {from_at:%Y-%m-%dT%H:%M:%SZ} and {to_at:%Y-%m-%dT%H:%M:%SZ}"
                ) from error
        flows = StepFlows.joined(parts)
        through_w = np.concatenate([flows.point_w, flows.area_w, flows.feeder_w], axis=1)[:, self._sources]
        true_w = through_w.copy()
        self.effects.metered_w(steps, through_w)
        uncounted_w = through_w - true_w
        self._lose_in_transformers(through_w, true_w, reactive)
        phase_v = self._phase_voltages(steps, flows)
        phases = self._phases(steps, flows, phase_v, true_w, reactive)
        self._lose_phases(steps, phase_v, phases)
        order = self.recorded_at
        return Stretch(
            steps=steps,
            flows=flows,
            metered_w=through_w[:, order],
            voltage_v=np.nan_to_num(phase_v[:, order, 0]),
            phases=PhaseMeans(phases.voltage_v[:, order], phases.current_a[:, order], phases.power_factor[:, order]),
            off=self.state.off_meters(steps, self._sources)[:, order],
            closed=self.state.closed(steps),
            truth=self._truth(steps, flows, uncounted_w),
        )

    def _phase_voltages(self, steps: Steps, flows: StepFlows) -> NDArray[np.float64]:
        """Volts of what each meter is connected to, (steps, meters, 3): a single-phase meter's own comes first."""
        low = np.flatnonzero(self._is_low)
        sources = self._sources[low]
        of_points = sources < len(self.network.points)
        volts = np.full((len(steps), len(self._sources), 3), np.nan)
        points, areas = sources[of_points], sources[~of_points] - len(self.network.points)
        volts[:, low[of_points]] = flows.point_phase_voltage[:, points]
        volts[:, low[~of_points]] = flows.area_phase_voltage[:, areas]
        single = self.phase[points] != THREE_PHASE
        at = low[of_points][single]
        volts[:, at, 0] = volts[:, at, self.phase[points][single]]
        volts[:, at, 1:] = np.nan
        volts *= _NOMINAL_V
        return volts

    def _lose_phases(self, steps: Steps, phase_v: NDArray[np.float64], means: PhaseMeans) -> None:
        """Take the voltage of a lost phase from what its meter sees; the current goes on."""
        lost = self.effects.lost_phases(steps)
        seconds = steps.length_s.astype(np.float64)
        for meter, off in zip(lost.at.tolist(), lost.values.T, strict=True):
            if np.isfinite(phase_v[0, meter, 2]):
                phase = int(draw(self.plan.seed, "lost phase", [self.model.meters[meter].code])[0] * 3)
                phase_v[off, meter, phase] = 0.0
                throughout = steps.by_interval(~off * seconds) == 0
                means.voltage_v[throughout, meter, phase] = 0.0

    def _phases(
        self,
        steps: Steps,
        flows: StepFlows,
        phase_v: NDArray[np.float64],
        true_w: NDArray[np.float64],
        reactive_var: NDArray[np.float64],
    ) -> PhaseMeans:
        """What meters at low voltage see."""
        feeders = np.zeros((len(steps), len(self.network.feeders)))
        var = np.concatenate([reactive_var, flows.area_var, feeders], axis=1)[:, self._sources]
        apparent_va = np.hypot(true_w, var)
        active_w = true_w.copy()
        for seen in (apparent_va, active_w):
            self.effects.current(steps, seen)
        means = phase_means(steps, phase_v, np.abs(apparent_va), active_w, self._shares(flows))
        means.power_factor[:, ~self._is_low] = np.nan
        means.current_a[:, ~self._is_low] = np.nan
        return means

    def _shares(self, flows: StepFlows) -> NDArray[np.float64]:
        """Part of each meter's apparent power in each phase, (steps, meters, 3): at transformers as its load is."""
        phase_va = np.hypot(flows.area_phase_w, flows.area_phase_var)
        # Phases that differ, or differ in their power factors, carry more together than the sum of them shows.
        whole_va = np.hypot(flows.area_w, flows.area_var)[:, :, None]
        shares = np.broadcast_to(self._phase_share, (len(phase_va), *self._phase_share.shape)).copy()
        points, areas = len(self.network.points), len(self.network.areas)
        at = np.flatnonzero((self._sources >= points) & (self._sources < points + areas))
        own = self._sources[at] - points
        shares[:, at] = (phase_va / np.where(whole_va > 0, whole_va, 1.0))[:, own]
        return shares

    def _lose_in_transformers(
        self, metered_w: NDArray[np.float64], true_w: NDArray[np.float64], reactive_var: NDArray[np.float64]
    ) -> None:
        """Take what their transformers lose from what meters behind them count; what flows stays as it is.

        A transformer loses nothing while nothing flows: then it is taken as switched off.
        """
        at = self._behind
        power_w, behind_var = true_w[:, at], reactive_var[:, self._sources[at]]
        lost_w = self._no_load_w + self._load_per_va2 * (power_w**2 + behind_var**2)
        metered_w[:, at] = np.maximum(metered_w[:, at] - np.where(power_w > 0, lost_w, 0.0), 0.0)

    def _truth(self, steps: Steps, flows: StepFlows, uncounted_w: NDArray[np.float64]) -> UnitEnergies:
        """What flowed over each interval; what no register of a customer counts is unmetered.

        `uncounted_w`: what each meter counts more than flows, (steps, meters).
        """
        points = len(self.network.points)
        counted_w = flows.point_w.copy()
        is_point = self._sources < points
        counted_w[:, self._sources[is_point]] += uncounted_w[:, is_point]
        areas, feeders = len(self.network.areas), len(self.network.feeders)

        def energy(power_w: NDArray[np.float64]) -> NDArray[np.float64]:
            return steps.by_interval(power_w * steps.hours[:, None])

        def by_area(power_w: NDArray[np.float64]) -> NDArray[np.float64]:
            inside = self._area >= 0
            return np.array([np.bincount(self._area[inside], row[inside], minlength=areas) for row in power_w])

        def of_dedicated(power_w: NDArray[np.float64]) -> NDArray[np.float64]:
            own = self._feeder_of_point >= 0
            return np.array([np.bincount(self._feeder_of_point[own], row[own], minlength=feeders) for row in power_w])

        area_w, feeder_w = flows.area_w, flows.feeder_w
        uncounted = flows.point_w - counted_w
        taken, given = np.maximum(counted_w, 0), np.maximum(-counted_w, 0)
        dedicated = of_dedicated(uncounted)
        sold_w = flows.feeder_sold_w + of_dedicated(taken - np.maximum(flows.point_w, 0))
        generation_w = flows.feeder_generation_w + of_dedicated(given - np.maximum(-flows.point_w, 0))
        return UnitEnergies(
            import_wh=energy(np.concatenate([np.maximum(area_w, 0), np.maximum(feeder_w, 0)], axis=1)),
            export_wh=energy(np.concatenate([np.maximum(-area_w, 0), np.maximum(-feeder_w, 0)], axis=1)),
            sold_wh=energy(np.concatenate([by_area(taken), sold_w], axis=1)),
            generation_wh=energy(np.concatenate([by_area(given), generation_w], axis=1)),
            technical_wh=energy(np.concatenate([flows.area_line_loss_w, flows.feeder_loss_w], axis=1)),
            unmetered_wh=energy(np.concatenate([flows.area_hidden_w + by_area(uncounted), dedicated], axis=1)),
        )
