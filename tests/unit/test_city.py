"""The city as a whole: the same plan gives the same bytes, energy closes, and events show where they should."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray

from grid.model import MeteredSide, UnitKind
from meterline.city import CityError, make_city
from meterline.city_files import write_city, write_copies
from meterline.failures import explain
from meterline.model_file import read_model
from twin.city import City, CityPlan, Stretch
from twin.city_play import CityPlay
from twin.delivery_faults import DeliveryFaults
from twin.event_text import parse_plan, to_json
from twin.events import Event, EventKind
from twin.metering import MeterErrors
from twin.outbox import MessageKind, in_order_of_sending
from twin.topology import NoSolutionError
from twin.truth_files import UnitEnergies, read_events, read_manifest, read_unit_rows

ZONE = ZoneInfo("Europe/Berlin")
BEGIN_S = 1_774_306_800  # 2026-03-24, midnight there
HOUR_S = 3_600


def city(*events: Event, areas: int = 12, seed: int = 1, exact: bool = True) -> City:
    errors, faults = (MeterErrors.none(), DeliveryFaults.none()) if exact else (None, None)
    return City(CityPlan(BEGIN_S, 1, ZONE, areas=areas, seed=seed, events=tuple(events), errors=errors, faults=faults))


@cache
def quiet_city() -> City:
    return city()


def an_event(kind: EventKind, entity: str, size: float, hours: tuple[int, int] = (1, 3), other: str = "") -> Event:
    return Event(BEGIN_S + hours[0] * HOUR_S, 1, kind, entity, BEGIN_S + hours[1] * HOUR_S, size, other)


def joined(stretches: list[Stretch], name: str) -> NDArray[np.float64]:
    return np.concatenate([getattr(s.truth, name) for s in stretches])


def assert_closing(truth: UnitEnergies) -> None:
    supply = truth.import_wh - truth.export_wh
    used = truth.sold_wh - truth.generation_wh + truth.technical_wh + truth.unmetered_wh
    through = truth.sold_wh + truth.generation_wh + np.abs(truth.unmetered_wh)
    assert (np.abs(supply - used) <= 1e-6 * through + 1e-3).all()


def test_energy_closes_in_every_area_and_feeder_whatever_happens() -> None:
    grid = make_city("demonstration", areas=40, seed=3)
    kinds = Counter(e.kind for e in grid.events)
    assert {EventKind.THEFT_HOOK, EventKind.THEFT_BYPASS, EventKind.CUT_OVER, EventKind.CT_REVERSED} <= set(kinds)
    stretches = list(grid.stretches(grid.plan.begin_s, 96))
    for stretch in stretches:
        assert_closing(stretch.truth)
    assert joined(stretches, "unmetered_wh").max() > 0
    assert (joined(stretches, "technical_wh") >= 0).all()


def test_a_part_by_itself_is_as_within_the_whole() -> None:
    grid = quiet_city()
    whole = list(grid.stretches(BEGIN_S, 40))
    part = list(grid.stretches(BEGIN_S + 20 * 900, 10))
    metered = np.concatenate([s.metered_w for s in whole])
    np.testing.assert_array_equal(np.concatenate([s.metered_w for s in part]), metered[60:90])


def test_a_hook_is_in_its_area_and_in_no_register() -> None:
    area = quiet_city().network.areas[2].code
    grid = city(an_event(EventKind.THEFT_HOOK, area, 4_000.0))
    stretches = list(grid.stretches(BEGIN_S, 16))
    unmetered = joined(stretches, "unmetered_wh")
    at = grid.truth_units.index(area)
    np.testing.assert_allclose(unmetered[4:12, at], 1_000.0)
    assert unmetered.sum() == pytest.approx(8_000.0)


def test_a_scaled_customer_is_sold_less_and_flows_the_same() -> None:
    quiet = quiet_city()
    point = next(p for p in quiet.network.points if p.area == 1 and not p.generation)
    grid = city(an_event(EventKind.THEFT_SCALING, point.code, 0.5))
    before = list(quiet.stretches(BEGIN_S, 16))
    after = list(grid.stretches(BEGIN_S, 16))
    np.testing.assert_allclose(joined(after, "import_wh"), joined(before, "import_wh"), rtol=1e-9)
    lost = joined(before, "sold_wh") - joined(after, "sold_wh")
    np.testing.assert_allclose(joined(after, "unmetered_wh"), lost, atol=1e-6)
    assert (lost[4:12, 1] > 0).all()
    assert np.count_nonzero(np.abs(lost) > 1e-6) == 8


def test_who_is_metered_behind_a_transformer_is_sold_less_than_flows_and_the_truth_is_the_same() -> None:
    grid = make_city("demonstration", areas=40, seed=1, events="none")
    low = [a for a in grid.model.areas if a.metered_side is MeteredSide.LOW]
    dedicated = [a for a in grid.model.areas if a.kind is UnitKind.DEDICATED]
    assert 0 < len(low) < len(dedicated)
    (stretch,) = grid.stretches(BEGIN_S, 1)
    point = {p.code: i for i, p in enumerate(grid.network.points)}
    meter = {m.unit: i for i, m in enumerate(grid.recorded.meters)}
    for area in dedicated:
        flows_w = stretch.flows.point_w[:, point[area.code]]
        missing_w = flows_w - stretch.metered_w[:, meter[area.code]]
        if area not in low:
            np.testing.assert_allclose(missing_w, 0.0, atol=1e-9)
            continue
        assert (flows_w > 0).all()
        # At any power factor between 0.7 and 1, as the customers have.
        least_w = area.no_load_loss_w + area.load_loss_w * (flows_w / area.rating_va) ** 2
        most_w = area.no_load_loss_w + area.load_loss_w * (flows_w / area.rating_va / 0.7) ** 2
        assert (missing_w >= least_w).all()
        assert (missing_w <= most_w).all()
    assert_closing(stretch.truth)


def test_an_outage_takes_the_voltage_and_the_readings() -> None:
    area = quiet_city().network.areas[3].code
    grid = city(an_event(EventKind.OUTAGE, area, 1.0, (1, 2)))
    stretches = list(grid.stretches(BEGIN_S, 16))
    off = np.concatenate([s.off for s in stretches])
    unit = next(u for u in grid.units if u.code == area)
    assert off[4:8, unit.first : unit.last].all()
    assert off.sum() == 4 * (unit.last - unit.first)
    at = grid.truth_units.index(area)
    assert (joined(stretches, "import_wh")[4:8, at] == 0).all()
    play = CityPlay(grid)
    blocks = [m for m in play.made(BEGIN_S, 16) if m.kind is MessageKind.BLOCK and grid.units[m.unit].code == area]
    assert len(blocks) == 12


def test_a_cut_over_at_minute_7_moves_areas_to_the_other_feeder() -> None:
    grid = make_city("demonstration", areas=40, seed=3, events="cut_over=1")
    (cut,) = grid.effects.cut_overs()
    assert cut.begin_s % 900 == 7 * 60
    begin_s = cut.begin_s // 900 * 900
    (stretch,) = grid.stretches(begin_s, 1)
    assert stretch.steps.length_s.tolist() == [300, 120, 180, 300]
    feeders = {f.code: i for i, f in enumerate(grid.network.feeders)}
    one, other = feeders[cut.from_feeder], feeders[cut.to_feeder]
    moved_w = -np.diff(stretch.flows.feeder_w[:, one])[1]
    assert np.diff(stretch.flows.feeder_w[:, other])[1] == pytest.approx(moved_w, rel=0.15)
    assert abs(moved_w) > 1_000
    switches = {point.switch: i for i, point in enumerate(grid.state.switch_points)}
    assert stretch.closed[:, switches[cut.opens]].tolist() == [True, True, False, False]
    assert stretch.closed[:, switches[cut.closes]].tolist() == [False, False, True, True]
    reported = [m for m in CityPlay(grid).made(begin_s, 1) if f'"{cut.opens}-position"'.encode() in m.body]
    assert any(m.made_us == cut.begin_s * 1_000_000 and b'"value":[0]' in m.body for m in reported)


def test_meters_sum_up_to_their_areas_without_errors_and_nearly_so_with_them() -> None:
    for exact, most in ((True, 0.012), (False, 0.05)):
        grid = city(exact=exact)
        play = CityPlay(grid)
        sums = Counter[str]()
        for message in play.made(BEGIN_S, 16):
            if message.kind is MessageKind.BLOCK:
                sums[grid.units[message.unit].code] += message.import_wh
        truth = np.sum([s.truth.import_wh.sum(axis=0) for s in grid.stretches(BEGIN_S, 16)], axis=0)
        for at, area in enumerate(grid.network.areas):
            # The master meter and the customers: what came in, twice, less the loss.
            assert sums[area.code] == pytest.approx(2 * truth[at], rel=most, abs=200)


def test_a_replaced_meter_sends_under_its_new_name() -> None:
    point = next(p for p in quiet_city().network.points if p.area == 0 and not p.generation)
    event = Event(BEGIN_S + HOUR_S, 1, EventKind.METER_REPLACED, point.code, None, 1.0, "new-meter")
    grid = city(event)
    blocks = [m for m in CityPlay(grid).made(BEGIN_S, 8) if m.kind is MessageKind.BLOCK and m.unit == 0]
    named = [b'"new-meter"' in m.body for m in blocks]
    assert named == [False] * 4 + [True] * 4
    assert all((f'"{point.code}"'.encode() in m.body) != n for m, n in zip(blocks, named, strict=True))


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_city(make_city("demonstration", areas=6, days=1, seed=7), tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert len(files) > 20
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file
    other = write_city(make_city("demonstration", areas=6, days=1, seed=8), tmp_path / "other")
    messages = [(tmp_path / name / "messages.parquet").read_bytes() for name in ("one", "other")]
    assert messages[0] != messages[1]
    truth = tmp_path / "other" / "truth"
    manifest = read_manifest(truth)
    assert manifest.counts["messages"] == other.messages > 96 * 7
    assert len(read_events(truth)) == other.events == manifest.counts["events"]
    rows = list(read_unit_rows(truth))
    assert sum(len(r.end_s) for r in rows) == 96 * other.units
    read_model(tmp_path / "other" / "grid.json")
    with pytest.raises(FileExistsError, match="isn't empty") as refused:
        write_city(make_city("demonstration", areas=6), tmp_path / "other")
    assert explain(refused.value) == f"{tmp_path / 'other'}: the folder isn't empty: name another for a city's files"


def test_messages_come_in_the_order_of_sending_numbered_by_gateway() -> None:
    grid = city(exact=False)
    sent = list(in_order_of_sending(CityPlay(grid).made(BEGIN_S, 8)))
    assert [s.send_at_us for s in sent] == sorted(s.send_at_us for s in sent)
    for gateway in {s.made.gateway for s in sent}:
        numbers = [s.sequence for s in sent if s.made.gateway == gateway and not s.again]
        assert len(set(numbers)) == len(numbers)
        assert max(numbers) <= len(numbers) * 1.05 + 2
    assert {s.made.kind for s in sent} == {MessageKind.BLOCK, MessageKind.POINTS}


@pytest.mark.parametrize("code", ["1-LV-rural1--0-sw", "1-MV-urban--0-sw", "1-MVLV-rural-1.108-1-sw"])
def test_single_grids_play_too(code: str) -> None:
    grid = make_city(code, seed=2, events="none")
    for stretch in grid.stretches(grid.plan.begin_s, 4):
        assert_closing(stretch.truth)
        assert len(stretch.truth.import_wh) == 4


@pytest.mark.parametrize("size", [-0.3, -0.1, 0.1, 0.3])
def test_a_voltage_is_shifted_by_the_size_of_its_event(size: float) -> None:
    kind = EventKind.OVER_VOLTAGE if size > 0 else EventKind.UNDER_VOLTAGE
    code = quiet_city().network.areas[0].code
    grid = city(an_event(kind, code, abs(size), hours=(0, 3)))
    volts = [next(iter(c.stretches(BEGIN_S, 1))).voltage_v[0] for c in (quiet_city(), grid)]
    at = [i for i, m in enumerate(grid.recorded.meters) if m.code == f"{code}-master"]
    shift = (volts[1][at] - volts[0][at]) / (400 / 3**0.5)
    # Per unit of the rated voltage; what stands at the other side is some percent above its own.
    np.testing.assert_allclose(shift, size, rtol=0.06)


def test_more_than_the_grid_can_carry_is_said_in_one_line() -> None:
    grid = city(an_event(EventKind.THEFT_BYPASS, quiet_city().network.points[0].code, 1e8, hours=(0, 3)))
    with pytest.raises(NoSolutionError) as refused:
        next(iter(grid.stretches(BEGIN_S, 2)))
    said = "no solution between 2026-03-23T23:00:00Z and 2026-03-23T23:30:00Z"
    assert said in (explain(refused.value) or "")


@pytest.mark.parametrize("year", [1, 1800, 9999])
def test_a_city_begins_when_calendars_go_on(year: int) -> None:
    with pytest.raises(CityError, match="no city begins on"):
        make_city("1-LV-rural1--0-sw", begin=datetime(year, 12, 31, tzinfo=ZONE))


def test_an_explicit_list_of_events_is_taken(tmp_path: Path) -> None:
    grid = make_city("demonstration", areas=12, seed=3)
    (tmp_path / "events.json").write_text(to_json(grid.events), encoding="utf-8")
    again = make_city("demonstration", areas=12, seed=3, events=str(tmp_path / "events.json"))
    assert again.events == grid.events
    with pytest.raises(CityError, match="unknown kind"):
        make_city("demonstration", areas=12, events="thieving=3")
    with pytest.raises(CityError, match="no city 'nowhere'"):
        make_city("nowhere")
    with pytest.raises(CityError):
        make_city("demonstration", areas=1, events="cut_over=9")
    (tmp_path / "no.npz").write_bytes(b"no")
    with pytest.raises(CityError):
        make_city("demonstration", areas=1, households=tmp_path / "no.npz")
    assert parse_plan("none") == {}


def test_copies_have_codes_and_loads_of_their_own(tmp_path: Path) -> None:
    written = write_copies(lambda n: make_city("1-LV-rural1--0-sw", seed=3, copy=n), 2, tmp_path / "load")
    one, other = (read_model(tmp_path / "load" / f"copy-{n}" / "grid.json") for n in (0, 1))
    both = read_model(tmp_path / "load" / "grid.json")
    assert not {m.code for m in one.meters} & {m.code for m in other.meters}
    assert len(both.meters) == len(one.meters) + len(other.meters) == written.meters
    # The region is the same; levels and busbars are those of each copy.
    assert len(both.greater) == len(one.greater) + len(other.greater) - 1
    loads = [
        np.concatenate([r.energies.import_wh for r in read_unit_rows(tmp_path / "load" / f"copy-{n}" / "truth")])
        for n in (0, 1)
    ]
    assert (loads[0] != loads[1]).any()
    with pytest.raises(FileExistsError):
        write_copies(lambda n: make_city("1-LV-rural1--0-sw", copy=n), 2, tmp_path / "load")
