"""Which events happen where and when: chosen by the seed, so many of each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta, tzinfo

import numpy as np

from grid.model import GridModel
from twin.effects_places import Places
from twin.effects_transfers import Transfer, best_transfer, find_transfers
from twin.effects_windows import local_day, local_instant, stable_key
from twin.event_pools import Pool, Pools
from twin.event_text import DEFAULT, NONE, parse_events, parse_plan, to_json
from twin.events import Event, EventKind
from twin.grid_model import REGION
from twin.network import Network

__all__ = ["DEFAULT", "NONE", "default_counts", "parse_events", "parse_plan", "plan_events", "to_json"]

_K = EventKind
_DAY_S, _HOUR_S, _QUARTER_S, _MINUTE_S = 86_400, 3600, 900, 60

#: Shares of the low-voltage customers in the default mixture, and how they are divided.
FOUND_SHARE, INNOCENT_SHARE = 0.01, 0.03
_FOUND = {
    _K.THEFT_SCALING: 0.2, _K.THEFT_BYPASS: 0.15, _K.THEFT_NIGHT: 0.1, _K.THEFT_HOOK: 0.05, _K.CT_RATIO: 0.1,
    _K.CT_REVERSED: 0.05, _K.PHASE_LOST: 0.1, _K.METER_STOPPED: 0.1, _K.RECORD_MULTIPLIER: 0.05,
    _K.RECORD_AREA: 0.05, _K.RECORD_PHASE: 0.05,
}  # fmt: skip
_INNOCENT = {_K.VACANCY: 0.3, _K.SEASONAL: 0.2, _K.APPLIANCE: 0.25, _K.ELECTRIC_VEHICLE: 0.25}
#: Events a day in the default mixture: by customer and by area; and cut-overs by pair of feeders.
_A_DAY_BY_CUSTOMER = {
    _K.METER_REPLACED: 1e-4, _K.ACCOUNT_OPENED: 5e-5, _K.ACCOUNT_CLOSED: 5e-5, _K.TARIFF_CHANGED: 5e-5,
}  # fmt: skip
_A_DAY_BY_AREA = {_K.OUTAGE: 0.01, _K.OVERLOAD: 0.002, _K.OVER_VOLTAGE: 0.002, _K.UNDER_VOLTAGE: 0.002}
_A_DAY_BY_PAIR = 0.01
_DAYS_TO_A_HOLIDAY = 28

_POOL = {
    _K.THEFT_SCALING: Pool.CONSUMING, _K.THEFT_BYPASS: Pool.CONSUMING, _K.THEFT_NIGHT: Pool.CONSUMING,
    _K.THEFT_HOOK: Pool.AREA, _K.CT_RATIO: Pool.TRANSFORMED, _K.CT_REVERSED: Pool.TRANSFORMED,
    _K.PHASE_LOST: Pool.THREE_PHASE, _K.METER_STOPPED: Pool.CONSUMING, _K.RECORD_MULTIPLIER: Pool.TRANSFORMED,
    _K.RECORD_AREA: Pool.MOVABLE, _K.RECORD_PHASE: Pool.SINGLE_PHASE, _K.VACANCY: Pool.CUSTOMER,
    _K.SEASONAL: Pool.CUSTOMER, _K.APPLIANCE: Pool.CUSTOMER, _K.ELECTRIC_VEHICLE: Pool.CUSTOMER,
    _K.OVERLOAD: Pool.AREA, _K.OVER_VOLTAGE: Pool.AREA, _K.UNDER_VOLTAGE: Pool.AREA, _K.METER_REPLACED: Pool.CUSTOMER,
    _K.ACCOUNT_OPENED: Pool.CUSTOMER, _K.ACCOUNT_CLOSED: Pool.CUSTOMER, _K.TARIFF_CHANGED: Pool.CUSTOMER,
}  # fmt: skip


def plan_events(
    network: Network,
    model: GridModel,
    *,
    begin_s: int,
    days: int,
    seed: int,
    counts: Mapping[EventKind, int] | None,
    zone: tzinfo,
) -> tuple[Event, ...]:
    """Events of so many days, in order of time and numbered from 1 on.

    No two of them are at one point, nor two of one area, but for outages, which strike anywhere.

    Parameters
    ----------
    begin_s
        Aligned to a quarter-hour.
    counts
        Events of each kind; None for the default mixture.

    Raises
    ------
    ValueError
        When the grid has no room for what is asked for, saying for how many it has.
    """
    if begin_s % _QUARTER_S or days < 1:
        raise ValueError(f"no events of {days} days from {begin_s} on: whole days from a quarter-hour on")
    planner = _Planner(network, model, begin_s, days, seed, zone)
    strict = counts is not None
    wanted = default_counts(network, days) if counts is None else counts
    drafts: list[Event] = []
    # In the order of their definition, whatever the order of the counts; but cut-overs first, whose feeders have no
    # outage.
    for kind in sorted(EventKind, key=lambda kind: kind is not EventKind.CUT_OVER):
        drafts += planner.draft(kind, wanted.get(kind, 0), strict=strict)
    drafts.sort(key=lambda e: (e.begin_s, list(EventKind).index(e.kind), e.entity))
    return tuple(replace(e, number=i) for i, e in enumerate(drafts, start=1))


def default_counts(network: Network, days: int) -> dict[EventKind, int]:
    """The default mixture: 1 % of customers with something to be found, 3 % with an innocent change, and operation.

    What a grid has no room for is left out when it is planned.
    """
    customers = sum(p.area >= 0 and not p.generation for p in network.points)
    counts = _divided(max(1, round(FOUND_SHARE * customers)), _FOUND)
    counts |= _divided(max(1, round(INNOCENT_SHARE * customers)), _INNOCENT)
    counts |= {kind: round(rate * customers * days) for kind, rate in _A_DAY_BY_CUSTOMER.items()}
    counts |= {kind: round(rate * len(network.areas) * days) for kind, rate in _A_DAY_BY_AREA.items()}
    pairs = len({frozenset(pair) for pair in find_transfers(network.switched)})
    counts[_K.CUT_OVER] = -int(-_A_DAY_BY_PAIR * pairs * days // 1)
    counts[_K.HOLIDAY] = max(1, days // _DAYS_TO_A_HOLIDAY) if days >= 7 else 0
    return counts


def _divided(total: int, shares: Mapping[EventKind, float]) -> dict[EventKind, int]:
    """A number divided by shares that add up to one (largest remainders, Hamilton's method)."""
    exact = {kind: total * share for kind, share in shares.items()}
    counts = {kind: int(value) for kind, value in exact.items()}
    by_rest = sorted(exact, key=lambda kind: counts[kind] - exact[kind])
    for kind in by_rest[: total - sum(counts.values())]:
        counts[kind] += 1
    return counts


@dataclass(frozen=True, slots=True)
class _Time:
    begin_s: int
    end_s: int | None = None


class _Planner:
    """Drafts events kind by kind and remembers what is taken."""

    def __init__(self, network: Network, model: GridModel, begin_s: int, days: int, seed: int, zone: tzinfo) -> None:
        self._network, self._model, self._zone, self._seed = network, model, zone, seed
        self._begin_s, self._until_s = begin_s, begin_s + days * _DAY_S
        self._places = Places(network, model)
        self._pools = Pools(network, model, self._places)
        first = local_day(begin_s, zone)
        self._days = [first + timedelta(days=i) for i in range(days + 1)]
        self._used_points: set[int] = set()
        self._used_areas: set[int] = set()
        self._used_feeders: set[str] = set()

    def draft(self, kind: EventKind, count: int, *, strict: bool) -> list[Event]:
        """So many events of a kind, or as many as there is room for."""
        if count < 0:
            raise ValueError(f"{count} events of {kind}")
        if not count:
            return []
        rng = np.random.Generator(np.random.Philox(key=stable_key(f"{self._seed}/plan/{kind}")))
        match kind:
            case EventKind.CUT_OVER:
                events = self._cut_overs(rng, count)
            case EventKind.HOLIDAY:
                events = self._holidays(rng, count)
            case EventKind.OUTAGE:
                events = [self._outage(rng) for _ in range(count)]
            case _:
                events = self._at_places(kind, rng, count)
        if strict and len(events) < count:
            raise ValueError(
                f"{count} events of {kind} are asked for; the grid and its days have room for {len(events)}"
            )
        return events

    def _at_places(self, kind: EventKind, rng: np.random.Generator, count: int) -> list[Event]:
        """At places by chance; of wrong current transformers, one in eight at an area's transformer."""
        at_areas = count // 8 if kind is EventKind.CT_RATIO else 0
        events = []
        for pool, wanted in ((Pool.AREA, at_areas), (_POOL[kind], count - at_areas)):
            used = self._used_areas if pool is Pool.AREA else self._used_points
            chosen = [i for i in self._pools.shuffled(pool, rng) if i not in used][:wanted]
            used.update(chosen)
            events += [self._event(kind, pool, at, rng) for at in chosen]
        return events

    def _event(self, kind: EventKind, pool: Pool, at: int, rng: np.random.Generator) -> Event:
        time = _WHEN[kind](self, rng)
        if kind is EventKind.THEFT_BYPASS:
            size = float(round(self._network.points[at].active_w * _between(rng, 0.1, 0.4)))
        elif kind is EventKind.RECORD_MULTIPLIER:
            size = self._pools.wrong_multiplier(at, rng)
        else:
            size = _SIZE[kind](rng) if kind in _SIZE else 1.0
        entity, other = self._pools.entity(kind, pool, at), self._pools.other(kind, at, rng)
        return Event(time.begin_s, 0, kind, entity, time.end_s, size, other)

    def _cut_overs(self, rng: np.random.Generator, count: int) -> list[Event]:
        """Between feeders that have no other cut-over; at minute 7 of a quarter-hour by day, for two to eight hours."""
        transfers = find_transfers(self._network.switched)
        pairs = sorted(pair for pair in transfers if set(pair) <= set(self._places.feeders))
        events: list[Event] = []
        for i in rng.permutation(len(pairs)).tolist():
            pair = pairs[i]
            if len(events) == count:
                break
            if self._used_feeders & set(pair):
                continue
            self._used_feeders |= set(pair)
            events.append(self._cut_over(best_transfer(transfers[pair], _between(rng, 0.2, 0.6)), rng))
        return events

    def _cut_over(self, transfer: Transfer, rng: np.random.Generator) -> Event:
        begin_s = self._within_day(rng, 9, 16) // _QUARTER_S * _QUARTER_S + 7 * _MINUTE_S
        end_s = begin_s + int(rng.integers(8, 33)) * _QUARTER_S
        return Event(begin_s, 0, EventKind.CUT_OVER, transfer.from_feeder, end_s, transfer.share, transfer.to_feeder)

    def _holidays(self, rng: np.random.Generator, count: int) -> list[Event]:
        working = [day for day in self._days if day.weekday() < 5 and self._is_whole(day)]
        chosen = sorted(working[i] for i in rng.permutation(len(working))[:count].tolist())
        return [
            Event(self._at(day, 0), 0, EventKind.HOLIDAY, REGION, self._at(day + timedelta(days=1), 0), 1.0)
            for day in chosen
        ]

    def _outage(self, rng: np.random.Generator) -> Event:
        """Of a point (six in ten), an area or a feeder; from any second on, the longer the less is concerned."""
        network, sort = self._network, rng.random()
        feeders = [f.code for f in network.feeders if f.code not in self._used_feeders]
        if sort < 0.1 and feeders:
            entity, minutes = feeders[int(rng.integers(len(feeders)))], (5, 40)
        elif sort < 0.4:
            entity, minutes = network.areas[int(rng.integers(len(network.areas)))].code, (10, 180)
        else:
            consumers = np.flatnonzero(self._places.consumer)
            entity, minutes = network.points[int(rng.choice(consumers))].code, (30, 360)
        begin_s = int(rng.integers(self._begin_s + 1, self._until_s))
        length_s = int(rng.integers(minutes[0] * _MINUTE_S, minutes[1] * _MINUTE_S))
        return Event(begin_s, 0, EventKind.OUTAGE, entity, begin_s + length_s, 1.0)

    def from_start(self, rng: np.random.Generator) -> _Time:  # noqa: ARG002 - one signature for all
        """It has been so all along."""
        return _Time(self._begin_s)

    def stays(self, rng: np.random.Generator) -> _Time:
        """Half of them all along, the others from within the first two thirds on."""
        return _Time(self._begin_s) if rng.random() < 0.5 else self.appears(rng)

    def appears(self, rng: np.random.Generator) -> _Time:
        """From a quarter-hour within the first two thirds on."""
        quarters = (self._until_s - self._begin_s) // _QUARTER_S
        return _Time(self._begin_s + int(rng.integers(1, max(2, quarters * 2 // 3))) * _QUARTER_S)

    def midnight(self, rng: np.random.Generator) -> _Time:
        """From the beginning of a local day on."""
        instants = [at for day in self._days if self._begin_s < (at := self._at(day, 0)) < self._until_s]
        if not instants:
            return self.appears(rng)
        return _Time(instants[int(rng.integers(len(instants)))])

    def away(self, rng: np.random.Generator) -> _Time:
        """From the beginning of a local day on, for one to eight weeks."""
        begin_s = self.midnight(rng).begin_s
        end = local_day(begin_s, self._zone) + timedelta(days=int(rng.integers(7, 57)))
        return _Time(begin_s, self._at(end, 0))

    def by_day(self, rng: np.random.Generator) -> _Time:
        """From a minute of working hours on."""
        return _Time(self._within_day(rng, 8, 16))

    def at_noon(self, rng: np.random.Generator) -> _Time:
        """For two to four hours around noon."""
        return self._for_hours(rng, 11, 2, 4)

    def in_evening(self, rng: np.random.Generator) -> _Time:
        """For two to five hours from 17 o'clock on."""
        return self._for_hours(rng, 17, 2, 5)

    def _for_hours(self, rng: np.random.Generator, hour: int, least: int, most: int) -> _Time:
        begin_s = self._within_day(rng, hour, hour)
        return _Time(begin_s, begin_s + int(rng.integers(least * 4, most * 4 + 1)) * _QUARTER_S)

    def _within_day(self, rng: np.random.Generator, first_hour: int, last_hour: int) -> int:
        """A full minute between two hours of the clock on the wall."""
        spans = [(self._at(day, first_hour), self._at(day, last_hour)) for day in self._days]
        inside = [span for span in spans if span[0] >= self._begin_s and span[1] < self._until_s]
        first_s, last_s = inside[int(rng.integers(len(inside)))] if inside else (self._begin_s, self._until_s - 1)
        return first_s + int(rng.integers(0, (last_s - first_s) // _MINUTE_S + 1)) * _MINUTE_S

    def _is_whole(self, day: date) -> bool:
        return self._begin_s <= self._at(day, 0) and self._at(day + timedelta(days=1), 0) <= self._until_s

    def _at(self, day: date, hour: int) -> int:
        return local_instant(day, hour, self._zone)


_WHEN: dict[EventKind, Callable[[_Planner, np.random.Generator], _Time]] = {
    _K.THEFT_SCALING: _Planner.stays, _K.THEFT_BYPASS: _Planner.stays, _K.THEFT_NIGHT: _Planner.stays,
    _K.THEFT_HOOK: _Planner.stays, _K.CT_RATIO: _Planner.stays, _K.CT_REVERSED: _Planner.stays,
    _K.PHASE_LOST: _Planner.appears, _K.METER_STOPPED: _Planner.appears, _K.RECORD_MULTIPLIER: _Planner.from_start,
    _K.RECORD_AREA: _Planner.from_start, _K.RECORD_PHASE: _Planner.from_start, _K.VACANCY: _Planner.away,
    _K.SEASONAL: _Planner.away, _K.APPLIANCE: _Planner.midnight, _K.ELECTRIC_VEHICLE: _Planner.midnight,
    _K.OVERLOAD: _Planner.in_evening, _K.OVER_VOLTAGE: _Planner.at_noon, _K.UNDER_VOLTAGE: _Planner.in_evening,
    _K.METER_REPLACED: _Planner.by_day, _K.ACCOUNT_OPENED: _Planner.midnight, _K.ACCOUNT_CLOSED: _Planner.midnight,
    _K.TARIFF_CHANGED: _Planner.midnight,
}  # fmt: skip


def _between(rng: np.random.Generator, least: float, most: float) -> float:
    return round(float(rng.uniform(least, most)), 4)


_SIZE: dict[EventKind, Callable[[np.random.Generator], float]] = {
    _K.THEFT_SCALING: lambda rng: _between(rng, 0.3, 0.9),
    _K.THEFT_HOOK: lambda rng: round(_between(rng, 2_000.0, 6_000.0), -1),
    _K.CT_RATIO: lambda rng: float(rng.choice([0.5, 0.6, 0.75, 0.8, 1.25, 1.5])),
    _K.PHASE_LOST: lambda _: 1 / 3,
    _K.VACANCY: lambda rng: _between(rng, 0.0, 0.1),
    _K.SEASONAL: lambda rng: _between(rng, 0.1, 0.35),
    _K.APPLIANCE: lambda rng: round(_between(rng, 1_500.0, 4_000.0), -1),
    _K.ELECTRIC_VEHICLE: lambda rng: float(rng.choice([3_700.0, 7_400.0, 11_000.0])),
    _K.OVERLOAD: lambda rng: _between(rng, 1.6, 2.6),
    _K.OVER_VOLTAGE: lambda rng: _between(rng, 0.1, 0.15),
    _K.UNDER_VOLTAGE: lambda rng: _between(rng, 0.1, 0.15),
}
