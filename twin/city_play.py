"""A city's messages: what its meters and RTUs say of what flows, in the order in which they say it."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from twin.city import City, Stretch
from twin.delivery import Delivery
from twin.device_events import DeviceEvents
from twin.events import EventKind
from twin.grid_model import head_meter, rtu
from twin.metering import Metering, MeterReadings
from twin.outbox import Made
from twin.phase_quantities import PhaseDisplay, PhaseMeans
from twin.telemetry_points import FeederSeries, ScadaReports, scada_points

_SECOND_US = 1_000_000
#: A reading is there so long after its interval's end, by the slowest clock.
_SLOWEST_S = 700


class CityPlay:
    """Plays a city once, from some instant on.

    Attributes
    ----------
    delivery
        Whose `truth` tells what got lost, came late or came twice.
    device_events
        What meters report of themselves.
    points
        SCADA points, as the loader takes them.

    Parameters
    ----------
    seen
        Called with each stretch before its messages are given out.
    """

    def __init__(self, city: City, seen: Callable[[Stretch], None] | None = None) -> None:
        plan, network = city.plan, city.network
        meters = city.recorded.meters
        true_multiplier = {m.code: m.multiplier for m in city.model.meters}
        self._city, self._seen = city, seen
        self._metering = Metering(
            [m.code for m in meters],
            [true_multiplier[m.code] for m in meters],
            [m.accuracy_class for m in meters],
            plan.errors,
            plan.seed,
            transformer_class=np.array([[m.ct_class or 0.0 for m in meters], [m.pt_class or 0.0 for m in meters]]),
        )
        self._display = PhaseDisplay(
            [m.code for m in meters], [m.accuracy_class for m in meters], self._metering.errors, plan.seed
        )
        self.delivery = Delivery(city.units, [m.code for m in meters], plan.seed, plan.faults)
        self.device_events = DeviceEvents(
            city.events,
            city.effects,
            city.recorded_at,
            city.units,
            begin_s=plan.begin_s,
            seed=plan.seed,
            shares=plan.reports,
            faults=plan.faults,
        )
        codes = [f.code for f in network.feeders]
        at = {unit.code: i for i, unit in enumerate(city.units)}
        self._scada = ScadaReports(
            codes,
            [rtu(f.grid) for f in network.feeders],
            [at[code] for code in codes],
            city.state.switch_points,
            seed=plan.seed,
        )
        self.points = scada_points(codes, city.state.switch_points, meters={c: head_meter(c) for c in codes})
        self._busbar_v = _busbar_v(city)
        position = {m.code: i for i, m in enumerate(meters)}
        self._replaced = sorted(
            (e.begin_s, position[code], e.other)
            for e in city.events
            if e.kind is EventKind.METER_REPLACED
            for code in (e.entity, f"{e.entity}-meter")
            if code in position
        )
        self._codes = [m.code for m in meters]
        self._successors: dict[int, list[tuple[int, str]]] = {}
        for at_s, place, code in self._replaced:
            self._successors.setdefault(place, []).append((at_s, code))
        self._off: dict[int, NDArray[np.bool_]] = {}
        self._phases: dict[int, PhaseMeans] = {}
        self._waiting: list[tuple[int, int, int, Made]] = []
        self._count = 0

    def made(self, begin_s: int, intervals: int) -> Iterator[Made]:
        """Messages in the order of their making: blocks of an interval before what SCADA says at its end, and what
        meters report between them.

        The order and the messages don't depend on how the intervals are solved.
        """
        for stretch in self._city.stretches(begin_s, intervals):
            if self._seen is not None:
                self._seen(stretch)
            steps = stretch.steps
            self._off |= dict(zip(steps.ends_s.tolist(), stretch.off, strict=True))
            self._phases |= {end_s: stretch.phases.take(i) for i, end_s in enumerate(steps.ends_s.tolist())}
            for readings in self._metering.advance(steps, stretch.metered_w, stretch.voltage_v):
                self._put(self._blocks(readings), 0)
            self._put(self._scada.advance(steps, self._series(stretch)), 1)
            self._put(self.device_events.made(int(steps.begin_s[0]), int(steps.end_s[-1]), self.code), 2)
            # Of what is made before, nothing can come any more.
            until_s = int(steps.end_s[-1]) - _SLOWEST_S - steps.interval_s
            yield from self._given(until_s * _SECOND_US)
        for readings in self._metering.finish():
            self._put(self._blocks(readings), 0)
        self._put(self._scada.finish(), 1)
        yield from self._given(None)

    def code(self, position: int, at_us: int) -> str:
        """Asset number of the meter that stands at a position at an instant."""
        code = self._codes[position]
        for at_s, other in self._successors.get(position, ()):
            if at_s * _SECOND_US <= at_us:
                code = other
        return code

    def _blocks(self, readings: MeterReadings) -> Iterator[Made]:
        while self._replaced and self._replaced[0][0] < readings.end_s:
            _, position, code = self._replaced.pop(0)
            self.delivery.rename(position, code)
        phases = self._display.shown(readings.end_s, self._phases.pop(readings.end_s))
        return self.delivery.make(readings, self._off.pop(readings.end_s), phases)

    def _series(self, stretch: Stretch) -> FeederSeries:
        flows = stretch.flows
        shape = flows.feeder_w.shape
        return FeederSeries(
            power_w=flows.feeder_w,
            reactive_var=flows.feeder_var,
            voltage_v=np.broadcast_to(self._busbar_v, shape),
            current_a=flows.feeder_current_a,
            closed=stretch.closed,
        )

    def _put(self, messages: Iterator[Made], source: int) -> None:
        for message in messages:
            heapq.heappush(self._waiting, (message.made_us, source, self._count, message))
            self._count += 1

    def _given(self, until_us: int | None) -> Iterator[Made]:
        while self._waiting and (until_us is None or self._waiting[0][0] < until_us):
            yield heapq.heappop(self._waiting)[3]


def _busbar_v(city: City) -> NDArray[np.float64]:
    """Voltage between phases that is held at each feeder's head; shape (feeders,)."""
    network = city.network
    held = dict(network.sources)
    nodes = [int(network.lines.start[f.head]) for f in network.feeders]
    return np.array([held.get(node, 1.0) * network.node_voltage_v[node] for node in nodes])
