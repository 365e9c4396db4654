"""Random events against plain Python, minute by minute; and the same whatever is asked for together."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.event_grid import BERLIN, Powers, demanded, effects, metered, model, network
from twin.effects import Effects
from twin.effects_places import Places
from twin.effects_windows import Row, local_instant, make_periods, night_share
from twin.events import Event, EventKind
from twin.steps import Steps, make_steps

K = EventKind
PLACES = Places(network(), model())
CONSUMERS = [i for i, p in enumerate(network().points) if not p.generation][:12]
CODES = [network().points[i].code for i in CONSUMERS]
AREAS = [a.code for a in network().areas[:2]]
#: Noon before each change of the clock of 2016, and a day without.
BEGINS = [int(datetime(2016, *day, 12, tzinfo=BERLIN).timestamp()) for day in ((3, 26), (10, 29), (6, 6))]
MINUTE, HOURS = 60, 30

AT_METERS = (K.THEFT_SCALING, K.THEFT_NIGHT, K.CT_RATIO, K.CT_REVERSED, K.PHASE_LOST, K.METER_STOPPED)
AT_POINTS = (*AT_METERS, K.THEFT_BYPASS, K.VACANCY, K.SEASONAL, K.APPLIANCE, K.ELECTRIC_VEHICLE, K.OUTAGE)
IN_AREAS = (K.THEFT_HOOK, K.OVERLOAD, K.OUTAGE, K.OVER_VOLTAGE, K.UNDER_VOLTAGE)


@st.composite
def random_events(draw: st.DrawFn, kinds: tuple[EventKind, ...] = (*AT_POINTS, *IN_AREAS)) -> tuple[int, list[Event]]:
    """A begin and events about it, on full minutes."""
    begin_s = draw(st.sampled_from(BEGINS))
    events = []
    for number in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(kinds))
        entity = draw(
            st.sampled_from(AREAS if kind in IN_AREAS and not (kind is K.OUTAGE and draw(st.booleans())) else CODES)
        )
        first = begin_s + draw(st.integers(-600, HOURS * 60)) * MINUTE
        length = draw(st.one_of(st.none(), st.integers(1, 1_200)))
        share = draw(st.floats(0, 1))
        size = share * 3_000 if kind in (K.THEFT_BYPASS, K.THEFT_HOOK, K.APPLIANCE, K.ELECTRIC_VEHICLE) else share
        if kind in (K.OVER_VOLTAGE, K.UNDER_VOLTAGE):
            size *= 0.3  # of the voltage, as much as a transformer shifts
        events.append(Event(first, number, kind, entity, None if length is None else first + length * MINUTE, size))
    return begin_s, events


def holds(event: Event, at_s: int) -> bool:
    return event.begin_s <= at_s and (event.end_s is None or at_s < event.end_s)


def is_out(events: list[Event], point: int, at_s: int) -> bool:
    here = (network().points[point].code, network().areas[network().points[point].area].code)
    return any(e.kind is K.OUTAGE and e.entity in here and holds(e, at_s) for e in events)


def counted(events: list[Event], point: int, at_s: int) -> float:
    """Part of what flows that a point's meter counts."""
    wall = datetime.fromtimestamp(at_s, BERLIN)
    factor = 1.0
    for e in events:
        if e.entity != network().points[point].code or not holds(e, at_s):
            continue
        match e.kind:
            case K.THEFT_SCALING | K.PHASE_LOST:
                factor *= 1 - e.size
            case K.THEFT_NIGHT if wall.hour >= 22 or wall.hour < 6:
                factor *= 1 - e.size
            case K.CT_RATIO:
                factor *= e.size
            case K.CT_REVERSED:
                factor *= -1
            case K.METER_STOPPED:
                factor *= 0
    return factor


def hidden_w(events: list[Event], point: int, at_s: int) -> float:
    if is_out(events, point, at_s):
        return 0.0
    largest = {area: PLACES.largest_in(area) for area in AREAS}
    return sum(
        e.size
        for e in events
        if holds(e, at_s)
        and (
            (e.kind is K.THEFT_BYPASS and e.entity == network().points[point].code)
            or (e.kind is K.THEFT_HOOK and largest[e.entity] == point)
        )
    )


def demanded_w(events: list[Event], point: int, at_s: int) -> float:
    """Of 100 W, without appliances and vehicles."""
    code, area = network().points[point].code, network().areas[network().points[point].area].code
    power_w = 100.0
    for e in events:
        away = e.kind in (K.VACANCY, K.SEASONAL) and e.entity == code
        if holds(e, at_s) and (away or (e.kind is K.OVERLOAD and e.entity == area)):
            power_w *= e.size
    return 0.0 if is_out(events, point, at_s) else power_w


def minutes(begin_s: int) -> Steps:
    return make_steps(begin_s, HOURS * 60, MINUTE, 1)


@settings(deadline=None, max_examples=20)
@given(random_events())
def test_events_do_what_plain_python_does(made: tuple[int, list[Event]]) -> None:
    begin_s, events = made
    found, steps = effects(*events), minutes(begin_s)
    instants = steps.begin_s.tolist()[::7]
    active, _ = demanded(effects(*(e for e in events if e.kind not in (K.APPLIANCE, K.ELECTRIC_VEHICLE))), steps)
    power, hidden = metered(found, steps), found.hidden_w(steps)
    for point in {*CONSUMERS, *map(PLACES.largest_in, AREAS)}:
        at = int(PLACES.point_meter[point])
        np.testing.assert_allclose(power[::7, at], [100 * counted(events, point, s) for s in instants], atol=1e-9)
        np.testing.assert_allclose(hidden[::7, point], [hidden_w(events, point, s) for s in instants], atol=1e-9)
        np.testing.assert_allclose(active[::7, point], [demanded_w(events, point, s) for s in instants], atol=1e-9)


@settings(deadline=None, max_examples=12)
@given(random_events((*AT_METERS, K.THEFT_BYPASS, K.THEFT_HOOK, K.OUTAGE)))
def test_energy_metered_and_not_metered_adds_up_to_the_truth(made: tuple[int, list[Event]]) -> None:
    begin_s, drawn = made
    # One event at each meter: then a step of five minutes has its exact share, too.
    events = list({(e.entity, e.kind in AT_METERS): e for e in drawn}.values())
    found = effects(*events)
    steps, fine = make_steps(begin_s, HOURS * 4, cuts=found.cuts()), minutes(begin_s)
    active, _ = demanded(found, steps)
    power = np.zeros((len(steps), len(model().meters)))
    power[:, PLACES.point_meter] = active
    found.metered_w(steps, power)
    true_wh = ((active + found.hidden_w(steps)) * steps.hours[:, None]).sum(axis=0)
    metered_wh = (power[:, PLACES.point_meter] * steps.hours[:, None]).sum(axis=0)
    named = {e.entity for e in events}
    struck = {i for i in CONSUMERS if network().points[i].code in named} | set(map(PLACES.largest_in, AREAS))
    for point in sorted({CONSUMERS[0], *struck}):
        unmetered_w = [
            0 if is_out(events, point, s) else 100 * (1 - counted(events, point, s)) + hidden_w(events, point, s)
            for s in fine.begin_s.tolist()
        ]
        np.testing.assert_allclose(true_wh[point] - metered_wh[point], sum(unmetered_w) / 60, atol=1e-6)


@settings(deadline=None, max_examples=25)
@given(random_events(), st.lists(st.integers(1, 360), max_size=4))
def test_nothing_depends_on_what_is_asked_for_together(made: tuple[int, list[Event]], edges: list[int]) -> None:
    begin_s, events = made
    steps = make_steps(begin_s, HOURS * 4, cuts=effects(*events).cuts())
    whole = everything(effects(*events), steps)
    bounds = sorted({0, *(e for e in edges if e < len(steps)), len(steps)})
    parted = effects(*reversed(events))
    parts = [everything(parted, steps.part(a, b)) for a, b in pairwise(bounds)]
    # Backwards too: what was asked for before leaves no trace.
    assert everything(parted, steps.part(0, bounds[1]))[0].tobytes() == parts[0][0].tobytes()
    for together, pieces in zip(whole, zip(*parts, strict=True), strict=True):
        assert together.tobytes() == np.concatenate(pieces).tobytes()


def everything(found: Effects, steps: Steps) -> list[Powers]:
    active, reactive = demanded(found, steps)
    points, areas, feeders = found.supplied(steps)
    return [
        active,
        reactive,
        metered(found, steps),
        found.hidden_w(steps),
        found.source_shift(steps).spread(len(network().areas)),
        points.spread(len(network().points)).astype(float),
        areas.spread(len(network().areas)).astype(float),
        feeders.spread(len(network().feeders)).astype(float),
    ]


@settings(deadline=None, max_examples=25)
@given(random_events())
def test_only_what_events_name_is_touched(made: tuple[int, list[Event]]) -> None:
    begin_s, events = made
    found, steps = effects(*events), make_steps(begin_s, HOURS * 4)
    active, reactive = demanded(found, steps)
    named = {e.entity for e in events}
    power = metered(found, steps)
    for point, p in enumerate(network().points):
        if p.code not in named and network().areas[p.area].code not in named:
            assert (active[:, point] == 100).all()
            assert (reactive[:, point] == 10).all()
        if p.code not in named:
            assert (power[:, PLACES.point_meter[point]] == 100).all()


@given(st.integers(0, 366 * 24 - 1), st.integers(1, 48))
def test_a_year_of_nights_is_that_of_the_clock_on_the_wall(hour: int, length: int) -> None:
    begin_s = local_instant(datetime(2016, 1, 1).date(), 0, BERLIN) + hour * 3600  # noqa: DTZ001 - a date
    steps = make_steps(begin_s, length, 3600, 1)
    share = night_share(make_periods([Row(0, -(2**40), 2**40, 1.0)]), steps, BERLIN)[:, 0]
    wall = [datetime.fromtimestamp(at, BERLIN) for at in steps.begin_s.tolist()]
    assert share.tolist() == [float(w.hour >= 22 or w.hour < 6) for w in wall]
    assert all(w.utcoffset() in (timedelta(hours=1), timedelta(hours=2)) for w in wall)
