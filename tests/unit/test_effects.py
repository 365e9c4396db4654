"""Each kind of event has the effect that is said of it, at its times and on its entity alone."""

from __future__ import annotations

import time
from datetime import date, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.event_grid import (
    BERLIN,
    DAY,
    HOUR,
    MONDAY,
    columns,
    day_steps,
    demanded,
    effects,
    event,
    metered,
    model,
    network,
)
from tests.unit.twin_grid import full_grid
from twin.effects import Effects
from twin.effects_places import Places
from twin.events import Event, EventKind
from twin.steps import Steps, make_steps

K = EventKind
POINT = network().points[5].code
GENERATOR = next(p.code for p in network().points if p.generation)
AREA = network().areas[2].code
FEEDER = network().feeders[0].code
METER = next(i for i, m in enumerate(model().meters) if m.code == POINT)
FROM, UNTIL = MONDAY + 6 * HOUR, MONDAY + 15 * HOUR


def inside(steps: Steps, begin_s: int = FROM, end_s: int = UNTIL) -> NDArray[np.bool_]:
    return (steps.begin_s >= begin_s) & (steps.begin_s < end_s)


def points_in(area: int) -> list[int]:
    return [i for i, p in enumerate(network().points) if p.area == area]


@pytest.mark.parametrize(
    ("kind", "size", "factor"),
    [
        (K.THEFT_SCALING, 0.6, 0.4),
        (K.CT_RATIO, 0.75, 0.75),
        (K.CT_RATIO, 1.5, 1.5),
        (K.CT_REVERSED, 1.0, -1.0),
        (K.PHASE_LOST, 1 / 3, 2 / 3),
        (K.METER_STOPPED, 1.0, 0.0),
    ],
)
def test_a_meter_counts_a_factor_of_what_flows(kind: EventKind, size: float, factor: float) -> None:
    found, steps = effects(event(kind, POINT, FROM, UNTIL, size)), day_steps()
    power = metered(found, steps)
    assert columns(power != 100) == [METER]
    np.testing.assert_allclose(power[:, METER], np.where(inside(steps), 100 * factor, 100))
    active, reactive = demanded(found, steps)
    assert (active == 100).all()
    assert (reactive == 10).all()
    assert len(found.hidden(steps).at) == 0


@pytest.mark.parametrize(("entity", "meter"), [(AREA, f"{AREA}-master"), (FEEDER, f"{FEEDER}-head")])
def test_a_wrong_current_transformer_may_be_at_an_area_or_feeder(entity: str, meter: str) -> None:
    power = metered(effects(event(K.CT_RATIO, entity, MONDAY, None, 0.5)), day_steps())
    assert [model().meters[i].code for i in columns(power != 100)] == [meter]
    assert (power[power != 100] == 50).all()


def test_factors_of_one_meter_multiply() -> None:
    found = effects(event(K.THEFT_SCALING, POINT, MONDAY, None, 0.5), event(K.CT_REVERSED, POINT, FROM, UNTIL))
    power = metered(found, day_steps())[:, METER]
    np.testing.assert_allclose(power, np.where(inside(day_steps()), -50, 50))


def test_an_event_within_a_step_has_its_share_of_it() -> None:
    steps = day_steps()
    power = metered(effects(event(K.METER_STOPPED, POINT, MONDAY + 100, MONDAY + 200)), steps)[:, METER]
    assert power[0] == pytest.approx(100 * 2 / 3)
    assert (power[1:] == 100).all()


@pytest.mark.parametrize(("evening", "hours"), [(date(2016, 3, 26), 7), (date(2016, 10, 29), 9), (date(2016, 6, 6), 8)])
def test_a_night_theft_lasts_from_22_to_6_by_the_clock_on_the_wall(evening: date, hours: int) -> None:
    begin_s = int(datetime(evening.year, evening.month, evening.day, 12, tzinfo=BERLIN).timestamp())
    steps = make_steps(begin_s, 96)
    power = metered(effects(event(K.THEFT_NIGHT, POINT, begin_s)), steps)
    assert columns(power != 100) == [METER]
    wall = np.array([datetime.fromtimestamp(at, BERLIN).hour for at in steps.begin_s.tolist()])
    np.testing.assert_array_equal(power[:, METER], np.where((wall >= 22) | (wall < 6), 0, 100))
    assert steps.length_s[power[:, METER] == 0].sum() == hours * HOUR


def test_a_night_theft_ends_when_it_ends() -> None:
    steps = day_steps(hours=48)
    power = metered(effects(event(K.THEFT_NIGHT, POINT, MONDAY, MONDAY + 23 * HOUR)), steps)[:, METER]
    stolen = inside(steps, MONDAY, MONDAY + 6 * HOUR) | inside(steps, MONDAY + 22 * HOUR, MONDAY + 23 * HOUR)
    np.testing.assert_array_equal(power == 0, stolen)


def test_a_bypass_draws_at_its_point_and_no_meter_sees_it() -> None:
    found, steps = effects(event(K.THEFT_BYPASS, POINT, FROM, UNTIL, 800.0)), day_steps()
    assert found.hidden(steps).at.tolist() == [5]
    np.testing.assert_array_equal(found.hidden_w(steps)[:, 5], np.where(inside(steps), 800, 0))
    assert found.hidden_w(steps).sum() == found.hidden(steps).values.sum()
    assert (metered(found, steps) == 100).all()
    assert (demanded(found, steps)[0] == 100).all()


def test_a_hook_is_at_the_largest_customer_of_its_area() -> None:
    found, steps = effects(event(K.THEFT_HOOK, AREA, FROM, UNTIL, 3_000.0)), day_steps()
    customers = [i for i in points_in(2) if not network().points[i].generation]
    largest = max(customers, key=lambda i: network().points[i].active_w)
    assert found.hidden(steps).at.tolist() == [largest]
    np.testing.assert_array_equal(found.hidden(steps).values[:, 0], np.where(inside(steps), 3_000, 0))


def test_what_is_hidden_stops_with_the_supply() -> None:
    outage = event(K.OUTAGE, AREA, FROM, UNTIL)
    point = network().points[points_in(2)[0]].code
    found = effects(
        event(K.THEFT_HOOK, AREA, MONDAY, None, 3_000.0),
        event(K.THEFT_BYPASS, point, MONDAY, None, 500.0),
        event(K.THEFT_BYPASS, POINT, MONDAY, None, 70.0),
        outage,
    )
    steps = day_steps(found)
    np.testing.assert_array_equal(found.hidden_w(steps).sum(axis=1), np.where(inside(steps), 70, 3_570))


@pytest.mark.parametrize("kind", [K.VACANCY, K.SEASONAL])
def test_who_is_away_draws_a_share(kind: EventKind) -> None:
    found, steps = effects(event(kind, POINT, FROM, UNTIL, 0.2)), day_steps()
    active, reactive = demanded(found, steps)
    assert columns(active != 100) == columns(reactive != 10) == [5]
    np.testing.assert_allclose(active[:, 5], np.where(inside(steps), 20, 100))
    np.testing.assert_allclose(reactive[:, 5], np.where(inside(steps), 2, 10))
    assert (metered(found, steps) == 100).all()


def test_an_appliance_runs_by_day_at_times() -> None:
    found, steps = effects(event(K.APPLIANCE, POINT, MONDAY, None, 2_000.0)), day_steps(hours=24 * 28)
    active, reactive = demanded(found, steps)
    assert columns(active != 100) == [5]
    assert (reactive == 10).all()
    more = active[:, 5] - 100
    assert 0 <= more.min() < more.max() <= 2_000
    wall = np.array([datetime.fromtimestamp(at, BERLIN).hour for at in steps.begin_s.tolist()])
    assert (more[wall < 6] == 0).all()
    hours = (more * steps.hours).sum() / 2_000
    assert 28 * 0.5 < hours < 28 * 2.5
    days = (more.reshape(28, -1) > 0).any(axis=1).sum()
    assert 10 < days < 28


def test_a_vehicle_charges_in_the_evening_and_at_night() -> None:
    found, steps = effects(event(K.ELECTRIC_VEHICLE, POINT, MONDAY, None, 7_400.0)), day_steps(hours=24 * 28)
    more = demanded(found, steps)[0][:, 5] - 100
    wall = np.array([datetime.fromtimestamp(at, BERLIN).hour for at in steps.begin_s.tolist()])
    assert (more[(wall >= 6) & (wall < 18)] == 0).all()
    assert more.max() == 7_400
    energy_wh = (more * steps.hours).reshape(28, -1)
    assert 28 * 5_000 < energy_wh.sum() < 28 * 20_000
    # Evenings are separate: what is charged from noon to noon is one session of 5 to 25 kWh, or none.
    by_evening = (more * steps.hours)[144:-144].reshape(27, -1).sum(axis=1)
    charged = by_evening[by_evening > 0]
    assert 12 < len(charged) < 27
    assert charged.min() > 4_900
    assert charged.max() < 25_100


def test_sessions_depend_on_the_seed_and_the_entity() -> None:
    steps = day_steps(hours=24 * 7)
    one = event(K.ELECTRIC_VEHICLE, POINT, MONDAY, None, 3_700.0)
    other = event(K.ELECTRIC_VEHICLE, network().points[6].code, MONDAY, None, 3_700.0)
    active = demanded(effects(one, other), steps)[0]
    assert not np.array_equal(active[:, 5], active[:, 6])
    np.testing.assert_array_equal(active[:, 5], demanded(effects(one), steps)[0][:, 5])
    assert not np.array_equal(active[:, 5], demanded(effects(one, seed=2), steps)[0][:, 5])


def test_an_overload_is_of_an_areas_consumers() -> None:
    found, steps = effects(event(K.OVERLOAD, AREA, FROM, UNTIL, 2.0)), day_steps()
    active, reactive = demanded(found, steps)
    consumers = [i for i in points_in(2) if not network().points[i].generation]
    assert columns(active != 100) == columns(reactive != 10) == consumers
    assert (active[np.ix_(inside(steps), np.array(consumers))] == 200).all()
    assert (active[~inside(steps)] == 100).all()


@pytest.mark.parametrize("entity", [POINT, AREA, FEEDER])
def test_an_outage_leaves_nothing_below_it(entity: str) -> None:
    begin_s, end_s = FROM + 77, UNTIL + 13
    found = effects(event(K.OUTAGE, entity, begin_s, end_s), event(K.APPLIANCE, POINT, MONDAY, None, 900.0))
    assert found.cuts() == (begin_s, end_s)
    steps = day_steps(found)
    active, reactive = demanded(found, steps)
    off = inside(steps, begin_s, end_s)
    points = {POINT: [5], AREA: points_in(2), FEEDER: list(range(len(network().points)))}[entity]
    assert (active[np.ix_(off, np.array(points))] == 0).all()
    assert (reactive[np.ix_(off, np.array(points))] == 0).all()
    assert (active[~off] >= 100).all()
    supplied = found.supplied(steps)
    assert supplied.off_points.at.tolist() == points
    assert (supplied.off_points.values == off[:, None]).all()
    areas = {POINT: [], AREA: [2], FEEDER: list(range(len(network().areas)))}[entity]
    assert supplied.off_areas.at.tolist() == areas
    assert supplied.off_feeders.at.tolist() == ([0] if entity == FEEDER else [])
    assert supplied.off_points.spread(len(network().points)).sum() == off.sum() * len(points)


def test_last_gasps_are_of_the_meters_that_lose_their_voltage() -> None:
    found = effects(
        Event(FROM, 1, K.OUTAGE, POINT, UNTIL, 1.0),
        Event(FROM + 60, 2, K.OUTAGE, network().areas[0].code, UNTIL, 1.0),
        Event(FROM + 90, 3, K.OUTAGE, POINT, UNTIL, 1.0),
        Event(UNTIL, 4, K.OUTAGE, POINT, None, 1.0),
    )
    gasps = found.last_gasps()
    assert [g.at_s for g in gasps] == [FROM, FROM + 60, UNTIL]
    assert gasps[0].meters.tolist() == gasps[2].meters.tolist() == [METER]
    units = [i for i, m in enumerate(model().meters) if m.unit == network().areas[0].code]
    assert gasps[1].meters.tolist() == [i for i in units if i != METER]


def test_a_shift_of_voltage_is_of_an_area() -> None:
    found = effects(
        event(K.OVER_VOLTAGE, AREA, FROM, UNTIL, 0.1),
        event(K.UNDER_VOLTAGE, network().areas[0].code, MONDAY, None, 0.12),
    )
    steps = day_steps(found)
    shift = found.source_shift(steps)
    assert shift.at.tolist() == [0, 2]
    assert (shift.values[:, 0] == -0.12).all()
    np.testing.assert_array_equal(shift.values[:, 1], np.where(inside(steps), 0.1, 0))
    assert found.cuts() == (MONDAY, FROM, UNTIL)


def test_consumption_begins_and_ends_with_the_account() -> None:
    opened = event(K.ACCOUNT_OPENED, f"account-{POINT}", FROM)
    closed = event(K.ACCOUNT_CLOSED, f"account-{network().points[6].code}", UNTIL)
    found = effects(opened, closed, event(K.ELECTRIC_VEHICLE, POINT, MONDAY - DAY, None, 5_000.0))
    assert found.cuts() == (FROM, UNTIL)
    steps = day_steps(found)
    active, _ = demanded(found, steps)
    assert columns(active == 0) == [5, 6]
    np.testing.assert_array_equal(active[:, 5] > 0, steps.begin_s >= FROM)
    np.testing.assert_array_equal(active[:, 6] > 0, steps.begin_s < UNTIL)


def test_an_account_may_be_opened_for_a_time() -> None:
    found = effects(event(K.ACCOUNT_OPENED, f"account-{POINT}", FROM, UNTIL))
    steps = day_steps()
    np.testing.assert_array_equal(demanded(found, steps)[0][:, 5], np.where(inside(steps), 100, 0))


@pytest.mark.parametrize(
    ("kind", "other"),
    [(K.METER_REPLACED, "x"), (K.RECORD_AREA, "LV1.102"), (K.RECORD_PHASE, "BC"), (K.RECORD_MULTIPLIER, "")],
)
def test_what_is_only_on_record_changes_no_energy(kind: EventKind, other: str) -> None:
    found = effects(event(kind, POINT, FROM, UNTIL, 2.0, other))
    steps = day_steps(found)
    assert (demanded(found, steps)[0] == 100).all()
    assert (metered(found, steps) == 100).all()
    assert found.hidden_w(steps).sum() == 0
    assert found.cuts() == ((FROM, UNTIL) if kind is K.METER_REPLACED else ())


def test_holidays_run_as_the_sunday_before() -> None:
    easter_monday = datetime(2016, 3, 28, tzinfo=BERLIN)
    begin_s = int(easter_monday.timestamp())
    found = effects(event(K.HOLIDAY, "city", begin_s, begin_s + 2 * DAY))
    assert found.holidays() == (date(2016, 3, 28), date(2016, 3, 29))
    assert found.is_holiday(date(2016, 3, 29))
    assert not found.is_holiday(date(2016, 3, 30))
    at_s = begin_s + 12 * HOUR
    assert datetime.fromtimestamp(found.runs_as(at_s), BERLIN).isoformat() == "2016-03-27T12:00:00+02:00"
    assert datetime.fromtimestamp(found.runs_as(begin_s), BERLIN).isoformat() == "2016-03-27T00:00:00+01:00"
    assert found.runs_as(begin_s - 1) == begin_s - 1


def test_a_cut_over_names_its_switches_and_areas() -> None:
    twin = full_grid()
    made = Event(MONDAY, 1, K.CUT_OVER, "MV1.101_Feeder1", MONDAY + HOUR, 0.5, "MV1.101_Feeder5")
    found = Effects([made], twin.network, twin.model, BERLIN, 1)
    (cut_over,) = found.cut_overs()
    assert (cut_over.begin_s, cut_over.end_s) == found.cuts() == (MONDAY, MONDAY + HOUR)
    assert cut_over.closes == "MV1.101-loop_line_switch-1.2"
    assert 0 < len(cut_over.areas) < 13
    with pytest.raises(
        ValueError, match=r"no tie switch lets feeder MV1\.101_Feeder1 give areas to 'MV1\.101_Feeder2'"
    ):
        Effects([Event(MONDAY, 1, K.CUT_OVER, "MV1.101_Feeder1", None, 0.5, "MV1.101_Feeder2")],
                twin.network, twin.model, BERLIN, 1)  # fmt: skip


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (event(K.THEFT_SCALING, "nobody", MONDAY), "theft_scaling: no point of the code 'nobody'"),
        (event(K.THEFT_HOOK, POINT, MONDAY), "theft_hook: no area of the code"),
        (event(K.OUTAGE, "nothing", MONDAY), "outage: no point or area or feeder of the code 'nothing'"),
        (event(K.ACCOUNT_CLOSED, POINT, MONDAY), "account_closed: no account of the code"),
        (event(K.CUT_OVER, AREA, MONDAY, size=0.5), "cut_over: no feeder of the code"),
        (event(K.THEFT_SCALING, POINT, MONDAY, size=1.5), "its size is a share from 0 to 1, not 1.5"),
        (event(K.THEFT_BYPASS, POINT, MONDAY, size=-1.0), "no size of -1.0"),
        (event(K.APPLIANCE, POINT, MONDAY, size=float("nan")), "no size of nan"),
        (event(K.CT_RATIO, POINT, MONDAY, size=1e300), "no size of 1e\\+300"),
        (event(K.OVER_VOLTAGE, AREA, MONDAY, size=0.31), "a transformer shifts 0 to 0.3 per unit, not 0.31"),
        (event(K.METER_REPLACED, POINT, MONDAY), "is the new meter's code, and not ''"),
        (event(K.METER_REPLACED, POINT, MONDAY, other=POINT), f"is the new meter's code, and not '{POINT}'"),
    ],
)
def test_what_is_impossible_is_refused(made: Event, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        effects(made)


def test_new_meters_have_codes_of_their_own() -> None:
    later = event(K.METER_REPLACED, POINT, MONDAY + 900, other="M-3")
    effects(event(K.METER_REPLACED, POINT, MONDAY, other="M-2"), later)
    with pytest.raises(ValueError, match=f"of {POINT}: 'M-3' is another new meter's code already"):
        effects(event(K.METER_REPLACED, POINT, MONDAY, other="M-3"), later)
    with pytest.raises(ValueError, match=f"of {POINT}: it is replaced twice at one instant"):
        effects(event(K.METER_REPLACED, POINT, MONDAY + 900, other="M-2"), later)


@pytest.mark.parametrize(
    ("kind", "size", "other", "told"),
    [
        (K.RECORD_MULTIPLIER, 0.0, "", "can't be recorded as 0"),
        (K.RECORD_MULTIPLIER, 0.3, "", "can't be recorded as 0"),
        (K.RECORD_MULTIPLIER, 1.0, "", "multiplier 1 can't be recorded as 1"),
        (K.RECORD_MULTIPLIER, 1e8, "", "can't be recorded as 100000000"),
        (K.RECORD_AREA, 1.0, "nowhere", "`other` is another area's code, and not 'nowhere'"),
        (K.RECORD_AREA, 1.0, "", "and not ''"),
        (K.RECORD_PHASE, 1.0, "Q", "`other` is another of A, B, C"),
    ],
)
def test_a_record_that_cannot_be_or_is_right_is_refused(kind: K, size: float, other: str, told: str) -> None:
    with pytest.raises(ValueError, match=f"{kind} of {POINT}: .*{told}"):
        effects(event(kind, POINT, MONDAY, size=size, other=other))


def test_a_dedicated_customers_meter_is_found() -> None:
    twin = full_grid()
    places = Places(twin.network, twin.model)
    at = next(i for i, p in enumerate(twin.network.points) if p.area < 0)
    code = twin.network.points[at].code
    assert twin.model.meters[places.meter(code)].code == f"{code}-meter"


def test_without_events_nothing_happens() -> None:
    found, steps = effects(), day_steps()
    assert (demanded(found, steps)[0] == 100).all()
    assert (metered(found, steps) == 100).all()
    assert [*found.cuts(), *found.cut_overs(), *found.last_gasps(), *found.holidays()] == []
    assert [len(c.at) for c in found.supplied(steps)] == [0, 0, 0]
    assert found.hidden_w(steps).shape == (288, len(network().points))
    assert found.hidden_w(make_steps(MONDAY, 0)).shape == (0, len(network().points))


def test_a_thousand_events_of_a_day_take_no_time() -> None:
    kinds = [K.ELECTRIC_VEHICLE, K.APPLIANCE, K.VACANCY, K.THEFT_NIGHT, K.THEFT_SCALING]
    consumers = [p.code for p in network().points if not p.generation]
    found = effects(*(Event(MONDAY, i, kinds[i % 5], consumers[i % len(consumers)], None, 0.5) for i in range(1_000)))
    steps = day_steps(found)
    began = time.process_time()
    demanded(found, steps)
    metered(found, steps)
    assert time.process_time() - began < 1.0
