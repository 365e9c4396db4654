"""What events do to demand, to what meters count and to supply, on arrays of steps.

All shares of steps are exact: a step that an event's begin or end cuts has its mean. Nothing depends on which steps
are asked for together. Only the columns concerned are touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta, tzinfo
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grid.model import GridModel
from twin.effects_places import Places, check_replacements
from twin.effects_transfers import find_transfers, transfer_of
from twin.effects_windows import (
    BEGINNING_S,
    END_S,
    Compact,
    Pattern,
    Periods,
    Row,
    Sessions,
    added,
    lasting,
    local_day,
    make_periods,
    multiplied,
    night_share,
)
from twin.events import Event, EventKind
from twin.network import Network
from twin.steps import Steps

#: Kinds at whose begin and end the state of the grid or of the records changes at once.
_CUTTING = frozenset(
    {
        EventKind.OUTAGE,
        EventKind.CUT_OVER,
        EventKind.METER_REPLACED,
        EventKind.ACCOUNT_OPENED,
        EventKind.ACCOUNT_CLOSED,
        EventKind.OVER_VOLTAGE,
        EventKind.UNDER_VOLTAGE,
    }
)
#: Kinds that change what a meter counts, by a factor; those of them that change the current it sees.
_CARRYING = (EventKind.THEFT_SCALING, EventKind.CT_RATIO, EventKind.CT_REVERSED)
_COUNTING = (*_CARRYING, EventKind.PHASE_LOST, EventKind.METER_STOPPED)
#: An oven, an air conditioner or a pump, by day.
_APPLIANCE = Pattern(chance=0.7, from_hour=6, within_h=14.0, least=0.5, most=3.5)
#: A car that comes home between 18 and 23 o'clock and charges 5 to 25 kWh.
_VEHICLE = Pattern(chance=0.75, from_hour=18, within_h=5.0, least=5_000.0, most=25_000.0, by_energy=True)


class CutOver(NamedTuple):
    """A part of a feeder with another one over [begin, end); codes of `network.switched`."""

    begin_s: int
    end_s: int | None
    from_feeder: str
    to_feeder: str
    opens: str
    """The switch that opens at the begin and closes at the end."""
    closes: str
    """The tie that closes at the begin and opens at the end."""
    areas: tuple[str, ...]
    """Areas and dedicated customers that are with the other feeder."""


class Turn(NamedTuple):
    """Meters that lose their voltage at an instant, or get it back; positions in `model.meters`."""

    at_s: int
    meters: NDArray[np.int64]
    number: int
    """Of the outage."""


class Supplied(NamedTuple):
    """What is without voltage for the whole of a step: points, areas and feeders, whatever of them is switched off."""

    off_points: Compact[np.bool_]
    off_areas: Compact[np.bool_]
    off_feeders: Compact[np.bool_]


class Effects:
    """What events do; all is prepared at construction.

    Parameters
    ----------
    model
        The true one; positions of meters are its own.
    zone
        Of the clock on the wall.
    seed
        Of appliances' and vehicles' sessions.

    Raises
    ------
    ValueError
        When an event names something that isn't there, or has an impossible size.
    """

    def __init__(self, events: Iterable[Event], network: Network, model: GridModel, zone: tzinfo, seed: int) -> None:
        self._events = tuple(sorted(events))
        self._network, self._zone = network, zone
        self._places = places = Places(network, model)
        for event in self._events:
            places.check(event)
        check_replacements(self._events)
        self._by_kind = {kind: [e for e in self._events if e.kind is kind] for kind in EventKind}
        self._scaled = make_periods(self._scaled_rows())
        self._unbilled = make_periods(self._unbilled_rows())
        outages = self._by_kind[EventKind.OUTAGE]
        self._off_points = make_periods(_row(int(i), e) for e in outages for i in places.points_below(e.entity))
        self._off_areas = make_periods(_row(int(i), e) for e in outages for i in places.areas_below(e.entity))
        self._off_feeders = make_periods(
            _row(places.feeders[e.entity], e) for e in outages if e.entity in places.feeders
        )
        self._sessions = tuple(
            Sessions(
                self._at_points(kind), [f"{seed}/{kind}/{e.entity}/{e.begin_s}" for e in self._by_kind[kind]],
                zone, pattern,
            )
            for kind, pattern in ((EventKind.APPLIANCE, _APPLIANCE), (EventKind.ELECTRIC_VEHICLE, _VEHICLE))
        )  # fmt: skip
        hooks = [_row(places.largest_in(e.entity), e) for e in self._by_kind[EventKind.THEFT_HOOK]]
        self._hidden = make_periods([*self._rows_at_points(EventKind.THEFT_BYPASS), *hooks])
        self._factors = make_periods(self._factor_rows(_COUNTING))
        self._current_factors = make_periods(self._factor_rows(_CARRYING))
        self._lost_phases = make_periods(
            _row(places.meter(e.entity), e, 1.0) for e in self._by_kind[EventKind.PHASE_LOST]
        )
        self._nights = make_periods(
            _row(places.meter(e.entity), e, 1 - e.size) for e in self._by_kind[EventKind.THEFT_NIGHT]
        )
        self._shifts = make_periods(
            _row(places.areas[e.entity], e, sign * e.size)
            for kind, sign in ((EventKind.OVER_VOLTAGE, 1), (EventKind.UNDER_VOLTAGE, -1))
            for e in self._by_kind[kind]
        )
        self._cut_overs = self._find_cut_overs()

    def cuts(self) -> tuple[int, ...]:
        """Instants at which steps must be cut: those of all events of operation but overloads and tariffs."""
        cutting = [e for e in self._events if e.kind in _CUTTING]
        return tuple(sorted({e.begin_s for e in cutting} | {e.end_s for e in cutting if e.end_s is not None}))

    def demand(self, steps: Steps, active_w: NDArray[np.float64], reactive_var: NDArray[np.float64]) -> None:
        """Change the points' powers (steps, points) in place: what is drawn, whoever measures it.

        What appliances and vehicles draw is active power alone.
        """
        held = self._scaled.taken(self._scaled.during(steps))
        _scale(multiplied(held.at, 1 + held.share(steps) * (held.size - 1)), active_w, reactive_var)
        for sessions in self._sessions:
            more = sessions.on(steps)
            active_w[:, more.at] += more.values
        for off in (self._unbilled, self._off_points):
            _scale(lasting(off, steps), active_w, reactive_var)

    def hidden(self, steps: Steps) -> Compact[np.float64]:
        """True further consumption at points' nodes that no customer's meter sees; W, (steps, points concerned).

        A hook is at the node of the area's largest customer. What is without voltage draws nothing.
        """
        held = self._hidden.taken(self._hidden.during(steps))
        hidden = added(held.at, held.share(steps) * held.size)
        supplied = lasting(self._off_points, steps)
        _, here, there = np.intersect1d(hidden.at, supplied.at, assume_unique=True, return_indices=True)
        hidden.values[:, here] *= supplied.values[:, there]
        return hidden

    def hidden_w(self, steps: Steps) -> NDArray[np.float64]:
        """The same for all points; shape (steps, points)."""
        return self.hidden(steps).spread(len(self._network.points))

    def metered_w(self, steps: Steps, power_w: NDArray[np.float64]) -> None:
        """Change what truly flows through each meter (steps, meters) into what it counts, in place."""
        held = self._factors.taken(self._factors.during(steps))
        factor = multiplied(held.at, 1 + held.share(steps) * (held.size - 1))
        power_w[:, factor.at] *= factor.values
        held = self._nights.taken(self._nights.during(steps))
        factor = multiplied(held.at, 1 + night_share(held, steps, self._zone) * (held.size - 1))
        power_w[:, factor.at] *= factor.values

    def current(self, steps: Steps, apparent_va: NDArray[np.float64]) -> None:
        """Change what truly flows through each meter (steps, meters) into what its current circuits see, in place.

        A theft inside the meter and a wrong current transformer change the current; a stopped register and a lost
        voltage don't.
        """
        held = self._current_factors.taken(self._current_factors.during(steps))
        factor = multiplied(held.at, 1 + held.share(steps) * (held.size - 1))
        apparent_va[:, factor.at] *= factor.values
        held = self._nights.taken(self._nights.during(steps))
        factor = multiplied(held.at, 1 + night_share(held, steps, self._zone) * (held.size - 1))
        apparent_va[:, factor.at] *= factor.values

    def lost_phases(self, steps: Steps) -> Compact[np.bool_]:
        """Meters one of whose phases has no voltage throughout a step."""
        return _off(lasting(self._lost_phases, steps))

    def supplied(self, steps: Steps) -> Supplied:
        """What is without voltage: everything below an outage, in the normal state of the switches."""
        points, areas, feeders = (
            _off(lasting(periods, steps)) for periods in (self._off_points, self._off_areas, self._off_feeders)
        )
        return Supplied(points, areas, feeders)

    def last_gasps(self) -> tuple[Turn, ...]:
        """Which meters lose their voltage when, in order of time.

        Not those that were without it already, and not a feeder's own, which stands at the busbar.
        """
        return self._turns(
            lambda event: event.begin_s,
            lambda event, other: other < event and (other.end_s is None or event.begin_s < other.end_s),
        )

    def restorations(self) -> tuple[Turn, ...]:
        """Which meters get their voltage back when, in order of time; not those that another outage keeps dark."""

        def keeps_dark(event: Event, other: Event) -> bool:
            assert event.end_s is not None  # noqa: S101  # only what ends is asked for
            if other.begin_s >= event.end_s:
                return False
            return other.end_s is None or event.end_s < other.end_s or (event.end_s == other.end_s and other > event)

        return self._turns(lambda event: event.end_s, keeps_dark)

    def _turns(
        self, at_s: Callable[[Event], int | None], keeps_out: Callable[[Event, Event], bool]
    ) -> tuple[Turn, ...]:
        places, turns = self._places, []
        outages = self._by_kind[EventKind.OUTAGE]
        for event in outages:
            instant_s = at_s(event)
            if instant_s is None:
                continue
            points, areas = places.points_below(event.entity), places.areas_below(event.entity)
            for other in outages:
                if other is not event and keeps_out(event, other):
                    points = np.setdiff1d(points, places.points_below(other.entity))
                    areas = np.setdiff1d(areas, places.areas_below(other.entity))
            meters = np.concatenate([places.point_meter[points], places.area_meter[areas]])
            if len(meters):
                turns.append(Turn(instant_s, np.sort(meters[meters >= 0]), event.number))
        return tuple(sorted(turns, key=lambda turn: (turn.at_s, turn.number)))

    def meter_of(self, entity: str) -> int:
        """Position in `model.meters` of the meter of a point, an area or a feeder; −1 for none."""
        return self._places.meter(entity)

    def source_shift(self, steps: Steps) -> Compact[np.float64]:
        """Voltage added at the areas' transformers; per unit, (steps, areas concerned)."""
        held = self._shifts.taken(self._shifts.during(steps))
        # No zero is negative, whatever holds elsewhere within the steps.
        return added(held.at, held.share(steps) * held.size + 0.0)

    def cut_overs(self) -> tuple[CutOver, ...]:
        """Parts of feeders that are with another one for a time, in order of time."""
        return self._cut_overs

    def is_holiday(self, day: date) -> bool:
        """Whether a local day runs as a Sunday."""
        return any(first <= day <= last for first, last in self._holiday_spans())

    def holidays(self) -> tuple[date, ...]:
        """Local days that run as Sundays; of one that has no end the first."""
        spans = self._holiday_spans()
        return tuple(
            sorted({first + timedelta(days=i) for first, last in spans for i in range((last - first).days + 1)})
        )

    def runs_as(self, at_s: int) -> int:
        """Instant as which one runs: on a holiday the same time by the clock on the wall of the Sunday before."""
        at = datetime.fromtimestamp(at_s, self._zone)
        if not self.is_holiday(at.date()):
            return at_s
        return int((at - timedelta(days=(at.weekday() + 1) % 7)).timestamp())

    def _holiday_spans(self) -> list[tuple[date, date]]:
        spans = []
        for e in self._by_kind[EventKind.HOLIDAY]:
            first = local_day(e.begin_s, self._zone)
            spans.append((first, first if e.end_s is None else local_day(e.end_s - 1, self._zone)))
        return spans

    def _scaled_rows(self) -> list[Row]:
        rows = [*self._rows_at_points(EventKind.VACANCY), *self._rows_at_points(EventKind.SEASONAL)]
        return rows + [
            _row(int(i), e) for e in self._by_kind[EventKind.OVERLOAD] for i in self._places.consumers_in(e.entity)
        ]

    def _unbilled_rows(self) -> list[Row]:
        """Periods in which nobody lives at a point: before its account is opened and after it is closed."""
        rows = []
        for e in self._by_kind[EventKind.ACCOUNT_OPENED]:
            for point in self._places.account_points(e.entity):
                rows.append(Row(point, BEGINNING_S, e.begin_s, 1.0))
                if e.end_s is not None:
                    rows.append(Row(point, e.end_s, END_S, 1.0))
        for e in self._by_kind[EventKind.ACCOUNT_CLOSED]:
            rows += [_row(point, e) for point in self._places.account_points(e.entity)]
        return rows

    def _factor_rows(self, kinds: tuple[EventKind, ...]) -> list[Row]:
        """Factors of what meters count, or of what they see."""
        rows = []
        for kind in kinds:
            for e in self._by_kind[kind]:
                meter = self._places.meter(e.entity)
                if meter < 0:
                    raise ValueError(f"{kind}: there is no meter at {e.entity}")
                rows.append(_row(meter, e, _metered_factor(e)))
        return rows

    def _find_cut_overs(self) -> tuple[CutOver, ...]:
        events = self._by_kind[EventKind.CUT_OVER]
        transfers = find_transfers(self._network.switched) if events else {}
        cut_overs = []
        for e in events:
            t = transfer_of(e, transfers)
            cut_overs.append(CutOver(e.begin_s, e.end_s, t.from_feeder, t.to_feeder, t.opens, t.closes, t.areas))
        return tuple(cut_overs)

    def _rows_at_points(self, kind: EventKind) -> list[Row]:
        return [_row(self._places.points[e.entity], e) for e in self._by_kind[kind]]

    def _at_points(self, kind: EventKind) -> Periods:
        return make_periods(self._rows_at_points(kind))


def _row(at: int, event: Event, size: float | None = None) -> Row:
    end_s = END_S if event.end_s is None else event.end_s
    return Row(at, event.begin_s, end_s, event.size if size is None else size)


def _metered_factor(event: Event) -> float:
    """Part of what flows that a meter counts."""
    match event.kind:
        case EventKind.THEFT_SCALING | EventKind.PHASE_LOST:
            return 1 - event.size
        case EventKind.CT_RATIO:
            return event.size
        case EventKind.CT_REVERSED:
            return -1.0
        case _:
            return 0.0


def _scale(factor: Compact[np.float64], *arrays: NDArray[np.float64]) -> None:
    for array in arrays:
        array[:, factor.at] *= factor.values


def _off(lasting_share: Compact[np.float64]) -> Compact[np.bool_]:
    return Compact(lasting_share.at, lasting_share.values <= 0)
