"""Where events happen: positions of points, areas, feeders and meters by the codes that events name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from grid.model import MAX_MULTIPLIER, PHASES, GridModel, Role
from twin.events import FRAUD, RECORD, Event, EventKind
from twin.network import Network

#: Sizes that are shares; 1 is the whole.
_SHARES = frozenset(
    {
        EventKind.THEFT_SCALING,
        EventKind.THEFT_NIGHT,
        EventKind.PHASE_LOST,
        EventKind.VACANCY,
        EventKind.SEASONAL,
        EventKind.CUT_OVER,
    }
)
_VOLTAGES = frozenset({EventKind.OVER_VOLTAGE, EventKind.UNDER_VOLTAGE})
#: Per unit; what the taps of a transformer reach.
_MOST_SHIFT = 0.3
#: Of any size: watts and factors beyond are no grid's.
_MOST = 1e9
#: Kinds whose entity can only be a point.
_OF_POINTS = (
    (FRAUD - {EventKind.THEFT_HOOK})
    | RECORD
    | {
        EventKind.PHASE_LOST,
        EventKind.METER_STOPPED,
        EventKind.VACANCY,
        EventKind.SEASONAL,
        EventKind.APPLIANCE,
        EventKind.ELECTRIC_VEHICLE,
        EventKind.METER_REPLACED,
    }
)
_OF_AREAS = frozenset({EventKind.THEFT_HOOK, EventKind.OVERLOAD, EventKind.OVER_VOLTAGE, EventKind.UNDER_VOLTAGE})
_OF_ACCOUNTS = frozenset({EventKind.ACCOUNT_OPENED, EventKind.ACCOUNT_CLOSED, EventKind.TARIFF_CHANGED})


def meter_of_point(point: str, meters: Mapping[str, object]) -> str:
    """Code of a point's meter: the point's own, or of a dedicated customer with `-meter` added.

    Raises
    ------
    ValueError
        When there is neither.
    """
    for code in (point, f"{point}-meter"):
        if code in meters:
            return code
    raise ValueError(f"no meter at point {point}")


def check_replacements(events: Iterable[Event]) -> None:
    """Whether each new meter has a code of its own, and no meter is replaced twice at one instant.

    Raises
    ------
    ValueError
        Naming the code or the point.
    """
    codes, instants = set(), set()
    for event in events:
        if event.kind is not EventKind.METER_REPLACED:
            continue
        if event.other in codes:
            raise ValueError(f"{event.kind} of {event.entity}: {event.other!r} is another new meter's code already")
        if (event.entity, event.begin_s) in instants:
            raise ValueError(f"{event.kind} of {event.entity}: it is replaced twice at one instant")
        codes.add(event.other)
        instants.add((event.entity, event.begin_s))


class Places:
    """Positions by code.

    Attributes
    ----------
    points, areas, feeders
        Position of each code in the network's tuples.
    point_meter, area_meter, feeder_meter
        Position in `model.meters` of the meter of each point, at each area's and at each feeder's head; −1 for none.
    point_area, point_feeder, area_feeder
        −1 for none.
    consumer
        Shape (points,): whether it isn't a generator.
    """

    def __init__(self, network: Network, model: GridModel) -> None:
        self.points = {p.code: i for i, p in enumerate(network.points)}
        self.areas = {a.code: i for i, a in enumerate(network.areas)}
        self.feeders = {f.code: i for i, f in enumerate(network.feeders)}
        self._model = model
        self._meters = meters = {m.code: i for i, m in enumerate(model.meters)}
        heads = {m.unit: i for i, m in enumerate(model.meters) if m.role & Role.GATEWAY}
        self.point_meter = np.array([meters[meter_of_point(code, meters)] for code in self.points], np.int64)
        self.area_meter = np.array([heads.get(code, -1) for code in self.areas], np.int64)
        self.feeder_meter = np.array([heads.get(code, -1) for code in self.feeders], np.int64)
        self.point_area = np.array([p.area for p in network.points], np.int64)
        self.point_feeder = np.array([p.feeder for p in network.points], np.int64)
        self.area_feeder = np.array([a.feeder for a in network.areas], np.int64)
        self.consumer = np.array([not p.generation for p in network.points], np.bool_)
        self._active_w = np.array([p.active_w for p in network.points])
        self._of_account: dict[str, list[int]] = defaultdict(list)
        for i, meter in enumerate(self.point_meter.tolist()):
            account = model.meters[meter].account
            if account is not None:
                self._of_account[account].append(i)

    def check(self, event: Event) -> None:
        """Whether an event's entity exists and its size is possible.

        Raises
        ------
        ValueError
            Saying what isn't.
        """
        kind, entity = event.kind, event.entity
        if kind in _SHARES and not 0 <= event.size <= 1:
            raise ValueError(f"{kind} of {entity}: its size is a share from 0 to 1, not {event.size}")
        if kind in _VOLTAGES and not 0 <= event.size <= _MOST_SHIFT:
            raise ValueError(f"{kind} of {entity}: a transformer shifts 0 to {_MOST_SHIFT} per unit, not {event.size}")
        if not 0 <= event.size <= _MOST:
            raise ValueError(f"{kind} of {entity}: no size of {event.size}")
        if kind in _OF_POINTS:
            known: tuple[tuple[str, Mapping[str, object]], ...] = (("point", self.points),)
        elif kind in _OF_AREAS:
            known = (("area", self.areas),)
        elif kind in _OF_ACCOUNTS:
            known = (("account", self._of_account),)
        elif kind is EventKind.CUT_OVER:
            known = (("feeder", self.feeders),)
        elif kind is EventKind.HOLIDAY:
            known = ()
        else:
            known = (("point", self.points), ("area", self.areas), ("feeder", self.feeders))
        if kind is EventKind.METER_REPLACED and (not event.other or event.other in self._meters):
            raise ValueError(f"{kind} of {entity}: `other` is the new meter's code, and not {event.other!r}")
        if known and not any(entity in codes for _, codes in known):
            raise ValueError(f"{kind}: no {' or '.join(what for what, _ in known)} of the code {entity!r}")
        if kind in RECORD:
            self._check_record(event)

    def _check_record(self, event: Event) -> None:
        """Whether what an event has recorded can be, and is wrong."""
        kind, entity, other = event.kind, event.entity, event.other
        meter = self._model.meters[self.meter(entity)]
        multiplier = round(meter.multiplier * event.size)
        if kind is EventKind.RECORD_AREA and (other not in self.areas or other == meter.unit):
            raise ValueError(f"{kind} of {entity}: `other` is another area's code, and not {other!r}")
        if kind is EventKind.RECORD_PHASE and (other not in PHASES or other == meter.phases):
            raise ValueError(f"{kind} of {entity}: `other` is another of {', '.join(PHASES)}, and not {other!r}")
        if kind is EventKind.RECORD_MULTIPLIER and (
            not 1 <= multiplier <= MAX_MULTIPLIER or multiplier == meter.multiplier
        ):
            raise ValueError(f"{kind} of {entity}: multiplier {meter.multiplier} can't be recorded as {multiplier}")

    def meter(self, entity: str) -> int:
        """Position of the meter of a point, at an area's transformer or at a feeder's head; −1 for none."""
        for codes, meters in (
            (self.points, self.point_meter), (self.areas, self.area_meter), (self.feeders, self.feeder_meter),
        ):  # fmt: skip
            if entity in codes:
                return int(meters[codes[entity]])
        return -1

    def account_points(self, account: str) -> list[int]:
        """Points that an account is billed for."""
        return self._of_account[account]

    def consumers_in(self, area: str) -> NDArray[np.int64]:
        """Points of an area that aren't generators."""
        return np.flatnonzero(self.consumer & (self.point_area == self.areas[area]))

    def largest_in(self, area: str) -> int:
        """The area's largest customer; the first of equal ones.

        Raises
        ------
        ValueError
            When the area has no customer.
        """
        customers = self.consumers_in(area)
        if not len(customers):
            raise ValueError(f"area {area} has no customer at whose place a hook could be")
        return int(customers[np.argmax(self._active_w[customers])])

    def points_below(self, entity: str) -> NDArray[np.int64]:
        """Points that an outage of a point, area or feeder leaves without voltage, in the normal state."""
        if entity in self.points:
            return np.array([self.points[entity]])
        if entity in self.areas:
            return np.flatnonzero(self.point_area == self.areas[entity])
        return np.flatnonzero(self.point_feeder == self.feeders[entity])

    def areas_below(self, entity: str) -> NDArray[np.int64]:
        """Areas of an outage; none for a point's."""
        if entity in self.areas:
            return np.array([self.areas[entity]])
        if entity in self.feeders:
            return np.flatnonzero(self.area_feeder == self.feeders[entity])
        return np.empty(0, np.int64)
