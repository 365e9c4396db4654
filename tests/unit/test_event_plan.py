"""Events are chosen by the seed, where they may happen; kept as text; and told to the records."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from grid.model import AccountStatus, Role
from grid.network import SwitchPosition
from grid.switching import NO_REPORTS, PositionPeriod, find_moves, report_position
from grid.topology import SupplyStatus, taps_at, trace, wire_network
from tests.small_network import small_network
from tests.unit.event_grid import BERLIN, DAY, HOUR, MONDAY, event, model, network
from tests.unit.twin_grid import full_grid
from twin.effects import Effects
from twin.effects_transfers import best_transfer, find_transfers
from twin.event_plan import default_counts, parse_events, parse_plan, plan_events, to_json
from twin.events import FAULT, FRAUD, INNOCENT, RECORD, Event, EventKind
from twin.recorded import Registers, Replaced, associations, recorded_changes, recorded_model

K = EventKind
SCHEMA = Path(__file__).parents[2] / "docs/reference/schemas/grid-change-request.schema.json"
DOCUMENT = Path(__file__).parents[2] / "docs/explanation/twin-events.md"
ACCOUNTS = frozenset({K.ACCOUNT_OPENED, K.ACCOUNT_CLOSED, K.TARIFF_CHANGED})
EACH_ONCE: dict[EventKind, int] = {kind: 1 for kind in EventKind if kind is not K.CUT_OVER}


def plan(counts: dict[EventKind, int] | None, seed: int = 1, days: int = 7) -> tuple[Event, ...]:
    return plan_events(network(), model(), begin_s=MONDAY, days=days, seed=seed, counts=counts, zone=BERLIN)


@cache
def city_plan() -> tuple[Event, ...]:
    twin = full_grid()
    return plan_events(twin.network, twin.model, begin_s=MONDAY, days=7, seed=3, counts=None, zone=BERLIN)


@pytest.mark.parametrize("days", [1, 7, 40])
@pytest.mark.parametrize("begin_s", [MONDAY, MONDAY + 13 * HOUR + 900])
def test_as_many_of_each_kind_as_asked_for_within_the_time(days: int, begin_s: int) -> None:
    counts: dict[EventKind, int] = {kind: 2 for kind in EACH_ONCE if kind is not K.HOLIDAY}
    made = plan_events(network(), model(), begin_s=begin_s, days=days, seed=4, counts=counts, zone=BERLIN)
    assert Counter(e.kind for e in made) == counts
    assert all(begin_s <= e.begin_s < begin_s + days * DAY for e in made)
    assert list(made) == sorted(made)
    assert [e.number for e in made] == list(range(1, len(made) + 1))
    Effects(made, network(), model(), BERLIN, 1)


def test_the_seed_alone_decides() -> None:
    assert plan(EACH_ONCE) == plan(dict(reversed(EACH_ONCE.items())))
    assert plan(EACH_ONCE, seed=2) != plan(EACH_ONCE)


def test_one_kind_more_leaves_the_others_where_they_were() -> None:
    few = plan({K.THEFT_HOOK: 2, K.OUTAGE: 3})
    more = plan({K.THEFT_HOOK: 2, K.OUTAGE: 3, K.VACANCY: 5})
    assert {replace(e, number=0) for e in few} < {replace(e, number=0) for e in more}


def test_no_point_has_two_events_that_could_be_taken_for_each_other() -> None:
    single = [e for e in city_plan() if e.kind in FRAUD | FAULT | RECORD | INNOCENT | ACCOUNTS | {K.METER_REPLACED}]
    places = [e.entity.removeprefix("account-") for e in single if e.kind is not K.HOLIDAY]
    assert len(set(places)) == len(places)
    generators = {p.code for p in full_grid().network.points if p.generation}
    assert not generators & {e.entity.removeprefix("account-") for e in city_plan()}


def test_thefts_are_of_households_and_commerce_that_consume() -> None:
    points = {p.code: p for p in full_grid().network.points}
    tariff = {a.code: a.tariff_class for a in full_grid().model.accounts}
    for e in city_plan():
        if e.kind in FRAUD - {K.THEFT_HOOK}:
            assert tariff[f"account-{e.entity}"] in {"household", "commercial"}
            assert points[e.entity].active_w >= 3_000
            assert points[e.entity].area >= 0


def test_the_default_is_a_mixture_scaled_to_the_grid() -> None:
    twin = full_grid()
    counts = default_counts(twin.network, 7)
    customers = sum(p.area >= 0 and not p.generation for p in twin.network.points)
    assert sum(counts[k] for k in FRAUD | FAULT | RECORD) == round(0.01 * customers)
    assert sum(counts[k] for k in INNOCENT - {K.HOLIDAY}) == round(0.03 * customers)
    planned = Counter(e.kind for e in city_plan())
    # Phases aren't known here.
    assert planned == {k: n for k, n in counts.items() if n and k is not K.RECORD_PHASE}
    assert planned[K.HOLIDAY] == 1
    assert planned[K.CUT_OVER] >= 1
    assert sum(e.is_to_be_found for e in plan(None)) >= 1


def test_customers_on_current_transformers_are_not_all_struck() -> None:
    dedicated = [e for e in city_plan() if "-MV-" in e.entity and e.is_to_be_found]
    assert 0 < len(dedicated) < 12


def test_phases_are_recorded_wrong_where_there_is_one() -> None:
    phases = {m.code: m.phases for m in model().meters}
    for e in plan({K.RECORD_PHASE: 20, K.PHASE_LOST: 20}):
        if e.kind is K.RECORD_PHASE:
            assert e.other in set("ABC") - {phases[e.entity]}
            assert phases[e.entity] in {"A", "B", "C"}
        else:
            assert phases[e.entity] == "ABC"
            assert e.size == 1 / 3


def test_a_cut_over_begins_at_minute_7_between_feeders_that_a_tie_joins() -> None:
    twin = full_grid()
    made = plan_events(
        twin.network, twin.model, begin_s=MONDAY, days=7, seed=3, counts={K.CUT_OVER: 8, K.OUTAGE: 60}, zone=BERLIN
    )
    cut_overs = [e for e in made if e.kind is K.CUT_OVER]
    assert len(cut_overs) == 8
    assert {e.begin_s % 900 for e in cut_overs} == {7 * 60}
    feeders = [f for e in cut_overs for f in (e.entity, e.other)]
    assert len(set(feeders)) == 16
    assert not {e.entity for e in made if e.kind is K.OUTAGE} & set(feeders)
    wiring = wire_network(twin.network.switched)
    before = trace(wiring, wiring.normal).assign(taps_at(wiring), np.full(len(wiring.areas), -1, np.int32))
    for cut_over in Effects(made, twin.network, twin.model, BERLIN, 1).cut_overs():
        closed = wiring.normal.copy()
        assert closed[wiring.switches.index(cut_over.opens)]
        assert not closed[wiring.switches.index(cut_over.closes)]
        closed[wiring.switches.index(cut_over.opens)] = False
        closed[wiring.switches.index(cut_over.closes)] = True
        supply = trace(wiring, closed)
        after = supply.assign(taps_at(wiring), before)
        moved = np.flatnonzero(before != after)
        assert {wiring.areas[i] for i in moved} == set(cut_over.areas)
        assert {wiring.feeders[before[i]] for i in moved} == {cut_over.from_feeder}
        assert {wiring.feeders[after[i]] for i in moved} == {cut_over.to_feeder}
        assert (supply.status[taps_at(wiring)] == SupplyStatus.RADIAL).all()


def test_transfers_of_a_small_ring() -> None:
    transfers = find_transfers(small_network())
    assert set(transfers) == {(f"F{a}", f"F{b}") for a in (1, 2, 3) for b in (1, 2, 3) if a != b}
    best = best_transfer(transfers["F1", "F2"], 0.5)
    assert (best.opens, best.closes, best.areas) == ("F1-Q", "T12", ("F1-C", "F1-D"))
    assert best.share == pytest.approx(2 / 3)


def test_more_than_there_is_room_for_is_refused() -> None:
    with pytest.raises(
        ValueError, match="11 events of theft_hook are asked for; the grid and its days have room for 10"
    ):
        plan({K.THEFT_HOOK: 11})
    with pytest.raises(ValueError, match=r"1 events of cut_over are asked for; .* room for 0"):
        plan({K.CUT_OVER: 1})
    with pytest.raises(ValueError, match=r"6 events of holiday are asked for; .* room for 5"):
        plan({K.HOLIDAY: 6})
    with pytest.raises(ValueError, match="-1 events of vacancy"):
        plan({K.VACANCY: -1})
    with pytest.raises(ValueError, match="whole days from a quarter-hour on"):
        plan({}, days=0)


def test_a_plan_as_text() -> None:
    assert parse_plan("default") is None
    assert parse_plan("none") == {}
    assert parse_plan("theft_scaling=3, theft_hook=1,cut_over=0") == {
        K.THEFT_SCALING: 3,
        K.THEFT_HOOK: 1,
        K.CUT_OVER: 0,
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("theft=3", "unknown kind of event 'theft'; there are theft_scaling, theft_bypass, .*tariff_changed"),
        ("vacancy", "how many events of vacancy"),
        ("vacancy=many", "'vacancy=many' should be such as vacancy=3"),
        ("vacancy=-1", "how many"),
        ("vacancy=1,vacancy=2", "vacancy appears twice"),
        ("", "unknown kind of event ''"),
    ],
)
def test_a_plan_that_says_nothing_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_plan(text)


def test_events_are_kept_as_they_are() -> None:
    assert parse_events(to_json(city_plan())) == city_plan()
    assert parse_events(to_json([])) == ()
    assert to_json(city_plan()) == to_json(reversed(city_plan()))


def test_events_may_be_written_by_hand() -> None:
    text = '[{"kind": "outage", "entity": "A", "begin": "2016-06-06T00:00:00+02:00", "end": 1465200000}]'
    assert parse_events(text) == (Event(MONDAY, 1, K.OUTAGE, "A", 1465200000, 1.0),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "not JSON"),
        ("{}", "not a list"),
        ("[3]", "event 1: 3 is no object"),
        ('[{"kind": "theft", "begin": 0}]', "event 1: unknown kind of event 'theft'; there are theft_scaling"),
        ('[{"kind": "outage"}]', "event 1: 'begin' is missing"),
        ('[{"kind": "outage", "begin": "2016-06-06T00:00:00"}]', "must say its time zone"),
        ('[{"kind": "outage", "begin": "noon"}]', "event 1: .*noon"),
        ('[{"kind": "outage", "begin": 1.5}]', "1.5 is no whole number"),
        ('[{"kind": "outage", "begin": 5, "end": 5}]', "ends before it begins"),
        ('[{"kind": "outage", "begin": 5, "size": null}]', "event 1: "),
        ('[{"kind": "outage", "begin": 5, "entity": 7}]', "7 is no text"),
        ('[{"kind": "outage", "begin": 5, "where": "A"}]', "unknown field 'where'"),
        ('[{"kind": "outage", "begin": 5, "size": true}]', "event 1: size True is no number"),
        ('[{"kind": "outage", "begin": 5, "size": "0.5"}]', "event 1: size '0.5' is no number"),
        ('[{"kind": "outage", "begin": 99999999999999999}]', "event 1: 9+ isn't between 1970 and 9998"),
        ('[{"kind": "outage", "begin": 5, "number": 99999999999999999999}]', "event 1: 9+ is no whole number"),
        ("[" * 100_000, "not JSON"),
        ('[{"kind": "outage", "begin": 5, "number": 1}, {"kind": "outage", "begin": 6, "number": 1}]', "same number"),
    ],
)
def test_events_that_say_nothing_are_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_events(text)


POINT = network().points[5].code
OTHER_AREA = network().areas[3].code


def test_records_are_wrong_where_events_say_so() -> None:
    events = [
        event(K.RECORD_AREA, POINT, MONDAY, other=OTHER_AREA),
        event(K.RECORD_PHASE, network().points[0].code, MONDAY, other="C"),
        event(K.RECORD_MULTIPLIER, network().points[1].code, MONDAY, size=2.0),
        event(K.ACCOUNT_OPENED, f"account-{network().points[2].code}", MONDAY + DAY),
        event(K.THEFT_SCALING, network().points[3].code, MONDAY, size=0.5),
    ]
    recorded = recorded_model(model(), events)
    wrong = [a for a in associations(model(), recorded) if not a.is_right]
    assert [(a.meter, a.recorded_unit, a.recorded_phase, a.recorded_multiplier) for a in wrong] == [
        (network().points[0].code, "LV1.101", "C", 1),
        (network().points[1].code, "LV1.101", model().meters[2].phases, 2),
        (POINT, OTHER_AREA, model().meters[6].phases, 1),
    ]
    assert [a.code for a in recorded.accounts if a.status is AccountStatus.CLOSED] == [events[3].entity]
    units = [m.unit for m in recorded.meters]
    assert [u for i, u in enumerate(units) if i == 0 or u != units[i - 1]] == list(dict.fromkeys(units))
    assert [m.code for m in recorded.meters if m.unit == OTHER_AREA][-1] == POINT
    assert [m.code for m in recorded.meters if m.unit != OTHER_AREA] == [
        m.code for m in model().meters if m.unit != OTHER_AREA and m.code != POINT
    ]
    assert recorded_model(model(), []) == model()
    assert all(a.is_right for a in associations(model(), model()))


def test_a_record_that_would_be_right_is_refused() -> None:
    with pytest.raises(ValueError, match="its record would be right"):
        recorded_model(model(), [event(K.RECORD_AREA, POINT, MONDAY, other="LV1.101")])
    with pytest.raises(ValueError, match="its record would be right"):
        recorded_model(model(), [event(K.RECORD_MULTIPLIER, POINT, MONDAY, size=1.2)])
    with pytest.raises(ValueError, match="no meter at point nobody"):
        recorded_model(model(), [event(K.RECORD_PHASE, "nobody", MONDAY, other="A")])


def test_what_is_reported_is_what_sync_takes() -> None:
    twin = full_grid()
    changes = recorded_changes(city_plan(), twin.model)
    validator = jsonschema.Draft202012Validator(
        json.loads(SCHEMA.read_text()), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    for change in changes:
        validator.validate(change)
    assert [c["valid_from"] for c in changes] == sorted(c["valid_from"] for c in changes)
    kinds = Counter(e.kind for e in city_plan())
    found = Counter(c["kind"] for c in changes)
    assert found["meter_replace"] == kinds[K.METER_REPLACED]
    assert found["account_status"] == kinds[K.ACCOUNT_OPENED] + kinds[K.ACCOUNT_CLOSED]
    assert found["account_contract"] == kinds[K.TARIFF_CHANGED]
    assert found["switch_position"] == 4 * kinds[K.CUT_OVER]
    assert set(found) == {"meter_replace", "account_status", "account_contract", "switch_position"}
    known = {m.code for m in twin.model.meters}
    replaced = [c for c in changes if c["kind"] == "meter_replace"]
    assert not known & {c["new_meter"] for c in replaced}
    assert {c["meter"] for c in replaced} <= known


def test_reports_of_a_cut_over_move_its_areas_and_back() -> None:
    twin = full_grid()
    made = Event(MONDAY, 1, K.CUT_OVER, "MV1.101_Feeder1", MONDAY + HOUR, 0.5, "MV1.101_Feeder5")
    (cut_over,) = Effects([made], twin.network, twin.model, BERLIN, 1).cut_overs()
    wiring = wire_network(twin.network.switched)
    feeder = trace(wiring, wiring.normal).assign(taps_at(wiring), np.full(len(wiring.areas), -1, np.int32))
    positions, periods = NO_REPORTS, dict[str, list[PositionPeriod]]()
    for change in recorded_changes([made], twin.model):
        at_us = int(datetime.fromisoformat(change["valid_from"]).timestamp()) * 1_000_000
        held = periods.setdefault(change["switch"], [])
        given_up, recorded = report_position(held, SwitchPosition(change["position"]), at_us)
        held[:] = sorted([p for p in held if p != given_up] + recorded, key=lambda p: p.from_us)
        positions = positions.replaced(wiring.switches.index(change["switch"]), held)
    moves = find_moves(wiring, NO_REPORTS, positions, MONDAY * 1_000_000, (MONDAY + DAY) * 1_000_000, feeder)
    assert {m.area for m in moves} == set(cut_over.areas)
    assert {(m.from_us, m.to_us, m.before, m.after) for m in moves} == {
        (MONDAY * 1_000_000, (MONDAY + HOUR) * 1_000_000, "MV1.101_Feeder1", "MV1.101_Feeder5")
    }


def test_reports_in_order_of_time() -> None:
    second = network().points[6].code
    events = [
        Event(MONDAY + HOUR, 1, K.METER_REPLACED, POINT, None, 1.0, "new"),
        Event(MONDAY + 3 * HOUR, 2, K.METER_REPLACED, POINT, None, 1.0, "newer"),
        Event(MONDAY, 3, K.RECORD_AREA, POINT, MONDAY + 2 * HOUR, 1.0, OTHER_AREA),
        Event(MONDAY + HOUR, 4, K.RECORD_MULTIPLIER, second, None, 3.0),
        Event(MONDAY, 5, K.TARIFF_CHANGED, f"account-{second}", MONDAY + DAY, 1.0, "other"),
        Event(MONDAY, 6, K.ACCOUNT_CLOSED, f"account-{POINT}", MONDAY + DAY, 1.0),
    ]
    registers = {POINT: Replaced(Registers(500, 0), Registers(7, 1))}
    midnight, nine = "2016-06-05T22:00:00Z", "2016-06-06T22:00:00Z"
    was = next(a.tariff_class for a in model().accounts if a.code == f"account-{second}")
    assert recorded_changes(events, model(), MONDAY, registers) == [
        {"kind": "account_contract", "account": f"account-{second}", "tariff_class": "other", "valid_from": midnight},
        {"kind": "account_status", "account": f"account-{POINT}", "status": "closed", "valid_from": midnight},
        {
            "kind": "meter_replace", "meter": POINT, "new_meter": "new",
            "removed": {"import_wh": 500, "export_wh": 0}, "installed": {"import_wh": 7, "export_wh": 1},
            "valid_from": "2016-06-05T23:00:00Z",
        },
        {"kind": "meter_multiplier", "meter": second, "multiplier": 3, "valid_from": "2016-06-05T23:00:00Z"},
        {"kind": "meter_move", "meter": "new", "unit": "LV1.101", "valid_from": "2016-06-06T00:00:00Z"},
        {"kind": "meter_replace", "meter": "new", "new_meter": "newer", "valid_from": "2016-06-06T01:00:00Z"},
        {"kind": "account_contract", "account": f"account-{second}", "tariff_class": was, "valid_from": nine},
        {"kind": "account_status", "account": f"account-{POINT}", "status": "active", "valid_from": nine},
    ]  # fmt: skip
    recorded = recorded_model(model(), events, MONDAY)
    assert [a.meter for a in associations(model(), recorded) if not a.is_right] == [POINT]


def test_every_meter_has_an_association() -> None:
    rows = associations(full_grid().model, recorded_model(full_grid().model, city_plan()))
    assert [r.meter for r in rows] == [m.code for m in full_grid().model.meters]
    wrong = {e.entity for e in city_plan() if e.kind in RECORD}
    assert {r.meter.removesuffix("-meter") for r in rows if not r.is_right} == wrong
    masters = {m.code for m in full_grid().model.meters if m.role == Role.GATEWAY}
    assert all(r.is_right for r in rows if r.meter in masters)
    fewer = replace(model(), meters=model().meters[1:])
    with pytest.raises(ValueError, match=r"meter LV1\.101-master isn't recorded"):
        associations(model(), fewer)


def test_the_document_says_of_every_kind_whether_it_is_to_be_found() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| (yes|no) \|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert dict(rows) == {k.value: "yes" if event(k, "x", MONDAY).is_to_be_found else "no" for k in EventKind}
