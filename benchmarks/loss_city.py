"""A month of a city as arrays: what its meters show, what came of it, what was true, and who belonged to whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from grid.memberships import Membership
from grid.model import Role, UnitKind
from grid.quality import MISSING_WH
from grid.roster import BEGINNING_US, END_US, Parentage, UnitView
from meterline.city import ZONE, make_city
from twin.city import City, Stretch
from twin.delivery import Delivery
from twin.delivery_faults import NOT_DELIVERED, DeliveryFaults, Fate
from twin.effects_places import meter_of_point
from twin.events import RECORD, Event, EventKind
from twin.metering import MeterErrors, Metering, MeterReadings

#: A month in which summer time begins.
BEGIN = datetime(2026, 3, 1, tzinfo=ZONE)
_SECOND_US = 1_000_000
#: Of a meter's readings that are missing, those that are missing one by one; the others are missing for hours.
_BY_CHANCE = 0.6
_FAULTS_OF_CURRENT = frozenset({EventKind.CT_RATIO, EventKind.CT_REVERSED, EventKind.PHASE_LOST})


@dataclass(frozen=True, slots=True, eq=False)
class Park:
    """What one draw of all meters shows; arrays of shape (intervals, meters), before the multiplier.

    `import_wh` and `export_wh` hold `MISSING_WH` where no reading came.
    """

    import_wh: NDArray[np.int64]
    export_wh: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Month:
    """A city's days.

    Attributes
    ----------
    ends_s
        Ends of the intervals, of shape (intervals,).
    true_wh, supply_wh
        True loss and inflow of each of `City.truth_units`, of shape (intervals, units).
    parks
        What draws of all meters show.
    """

    city: City
    ends_s: NDArray[np.int64]
    true_wh: NDArray[np.float64]
    supply_wh: NDArray[np.float64]
    parks: tuple[Park, ...]

    def events(self) -> tuple[Event, ...]:
        """What happens in it."""
        return self.city.events


def plan_city(areas: int, days: int, seed: int, events: str = "default") -> City:
    """A city whose records and gateways are right.

    Of the usual mixture of events are left out wrong records, and current transformers that fail at a gateway: what
    they do to the loss is no part of the true loss, and no error bar can know it.
    """
    city = make_city("demonstration", areas=areas, begin=BEGIN, days=days, seed=seed, events=events)
    gateways = {code for m in city.model.meters if m.role & Role.GATEWAY for code in (m.code, m.unit)}
    kept = [
        e for e in city.events if e.kind not in RECORD and not (e.kind in _FAULTS_OF_CURRENT and e.entity in gateways)
    ]
    return City(replace(city.plan, events=tuple(kept), counts=None))


def make_month(city: City, errors: Iterable[tuple[MeterErrors, int]], missing: float = 0.0) -> Month:
    """Let the city's days pass once before several draws of all meters.

    Parameters
    ----------
    errors
        Of each draw: how large its meters' errors are, and its seed.
    missing
        Share of the readings that don't come; 0 = everything comes but what an outage takes.
    """
    plan = city.plan
    begin = datetime.fromtimestamp(plan.begin_s, ZONE)
    until_s = int((begin.replace(tzinfo=None) + timedelta(days=plan.days)).replace(tzinfo=ZONE).timestamp())
    parks = [_Play(city, its_errors, seed, missing) for its_errors, seed in errors]
    true_wh, supply_wh, ends_s = [], [], []
    for stretch in city.stretches(plan.begin_s, (until_s - plan.begin_s) // plan.interval_s):
        ends_s.append(stretch.steps.ends_s)
        true_wh.append(stretch.truth.loss_wh)
        supply_wh.append(stretch.truth.supply_wh)
        for park in parks:
            park.take(stretch)
    return Month(
        city,
        np.concatenate(ends_s),
        np.concatenate(true_wh),
        np.concatenate(supply_wh),
        tuple(park.end() for park in parks),
    )


class _Play:
    """One draw of all meters while the days pass."""

    def __init__(self, city: City, errors: MeterErrors, seed: int, missing: float) -> None:
        meters = city.recorded.meters
        codes = [m.code for m in meters]
        self._metering = Metering(
            codes, [m.multiplier for m in meters], [m.accuracy_class for m in meters], errors, seed
        )
        faults = DeliveryFaults.none()
        if missing:
            faults = DeliveryFaults(missing_share=_BY_CHANCE * missing, silent_share=(1 - _BY_CHANCE) * missing)
        self._delivery = Delivery(city.units, codes, seed, faults)
        self._loses = missing > 0
        self._unit = np.empty(len(codes), np.int64)
        for i, unit in enumerate(city.units):
            self._unit[unit.first : unit.last] = i
        self._off: dict[int, NDArray[np.bool_]] = {}
        self._import: list[NDArray[np.int64]] = []
        self._export: list[NDArray[np.int64]] = []

    def take(self, stretch: Stretch) -> None:
        self._off |= dict(zip(stretch.steps.ends_s.tolist(), stretch.off, strict=True))
        power_w = stretch.metered_w
        self._keep(self._metering.advance(stretch.steps, power_w, np.zeros_like(power_w)))

    def end(self) -> Park:
        self._keep(self._metering.finish())
        return Park(np.array(self._import), np.array(self._export))

    def _keep(self, readings: Iterator[MeterReadings]) -> None:
        for one in readings:
            absent = off = self._off.pop(one.end_s)
            if self._loses:
                for _ in self._delivery.make(one, off):
                    pass
                absent = self._absent()
            self._import.append(np.where(absent, MISSING_WH, one.import_wh))
            self._export.append(np.where(absent, MISSING_WH, one.export_wh))

    def _absent(self) -> NDArray[np.bool_]:
        """Readings of the interval that was sent last which don't come."""
        absent = np.zeros(len(self._unit), np.bool_)
        rows = self._delivery.truth.take()
        for fate in NOT_DELIVERED:
            of_fate = rows[rows["fate"] == fate]
            whole = fate in (Fate.NEVER_CAME, Fate.LOST)
            absent |= (
                np.isin(self._unit, of_fate["unit"]) if whole else np.isin(np.arange(len(absent)), of_fate["meter"])
            )
        return absent


def views_of(city: City) -> dict[str, UnitView]:
    """What the records say of each unit over time: its meters, those that are replaced, and what is cut over."""
    model = city.recorded
    kinds = {a.code: a.kind for a in model.areas} | {f.code: UnitKind.FEEDER for f in model.feeders}
    ids = {code: number for number, code in enumerate(kinds, start=1)}
    members: dict[str, list[Membership]] = {code: [] for code in kinds}
    replaced = replacements(city)
    for meter in model.meters:
        role, ratio, accuracy = int(meter.role), meter.multiplier, meter.accuracy_class
        code, since_us = meter.code, BEGINNING_US
        for at_s, new in (*replaced.get(meter.code, ()), (None, "")):
            until_us = END_US if at_s is None else at_s * _SECOND_US
            position = len(members[meter.unit])
            members[meter.unit].append(Membership(position, code, None, role, ratio, accuracy, since_us, until_us))
            code, since_us = new, until_us
    parents: dict[str, list[Parentage]] = {}
    gateway_class = {m.unit: m.accuracy_class for m in model.meters if m.role & Role.GATEWAY}
    for area in model.areas:
        if area.feeder is None:
            continue
        for feeder, since_us, until_us in _stays(city, area.code, area.feeder):
            position = len(members[feeder])
            members[feeder].append(
                Membership(
                    position, None, ids[area.code], int(Role.UNIT), 1, gateway_class[area.code], since_us, until_us
                )
            )
            parents.setdefault(area.code, []).append(Parentage(ids[feeder], feeder, since_us, until_us))
    return {
        code: UnitView(ids[code], code, kind, tuple(members[code]), tuple(parents.get(code, ())))
        for code, kind in kinds.items()
    }


def replacements(city: City) -> dict[str, list[tuple[int, str]]]:
    """Of each meter that is replaced: when, and by which."""
    known = {m.code: m for m in city.recorded.meters}
    found: dict[str, list[tuple[int, str]]] = {}
    for event in city.events:
        if event.kind is EventKind.METER_REPLACED:
            found.setdefault(meter_of_point(event.entity, known), []).append((event.begin_s, event.other))
    return found


def _stays(city: City, area: str, feeder: str) -> Iterator[tuple[str, int, int]]:
    """With which feeder an area is from when to when."""
    now, since_us = feeder, BEGINNING_US
    for cut in city.effects.cut_overs():
        if area not in cut.areas:
            continue
        yield now, since_us, cut.begin_s * _SECOND_US
        now, since_us = cut.to_feeder, cut.begin_s * _SECOND_US
        if cut.end_s is not None:
            yield now, since_us, cut.end_s * _SECOND_US
            now, since_us = feeder, cut.end_s * _SECOND_US
    yield now, since_us, END_US
