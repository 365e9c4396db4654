from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from tests.naive.radial import solve_day
from tests.unit.twin_grid import full_grid, one_feeder, quarter_hours
from twin.physics import Flows, sum_by
from twin.scenario import Twin, demonstration_grid
from twin.simbench import data_folder

CASE = Path(__file__).parents[1] / "golden" / "simbench_feeder_day" / "case.json"


@pytest.fixture(scope="module")
def solved() -> Flows:
    # Noon and evening, so that areas feed back in some steps and draw in others.
    noon = quarter_hours(datetime(2026, 7, 5, 11, tzinfo=UTC), 2)
    evening = quarter_hours(datetime(2026, 12, 9, 18, tzinfo=UTC), 1)
    return full_grid().solve(noon + evening)


def test_energy_closes_in_every_area(solved: Flows) -> None:
    points = full_grid().network.points
    area = np.array([p.area for p in points])
    count = len(full_grid().network.areas)
    net = sum_by(solved.point_w, area, count)
    gross = sum_by(np.abs(solved.point_w), area, count)
    assert np.abs((solved.area_w - net - solved.area_line_loss_w) / gross).max() < 1e-6
    assert (solved.area_w < 0).any()
    assert (solved.area_w > 0).any()


def test_energy_closes_in_every_feeder(solved: Flows) -> None:
    network = full_grid().network
    count = len(network.feeders)
    feeder_of_area = np.array([a.feeder for a in network.areas])
    customer = np.array([p.feeder if p.area < 0 else -1 for p in network.points])
    taken = sum_by(solved.area_w + solved.area_transformer_loss_w, feeder_of_area, count)
    taken += sum_by(solved.point_w, customer, count) + solved.feeder_line_loss_w
    gross = sum_by(np.abs(solved.area_w), feeder_of_area, count) + sum_by(np.abs(solved.point_w), customer, count)
    assert np.abs((solved.feeder_w - taken) / gross).max() < 1e-6


def test_losses_and_voltages_are_plausible(solved: Flows) -> None:
    assert (solved.area_line_loss_w > 0).all()
    assert (solved.feeder_line_loss_w > 0).all()
    no_load = np.array([a.transformer.no_load_loss_w for a in full_grid().network.areas])
    assert (solved.area_transformer_loss_w > 0.9 * no_load).all()
    assert solved.point_voltage.min() > 0.9
    assert solved.point_voltage.max() < 1.1


def test_the_plain_python_sweep_gives_the_golden_day() -> None:
    case = json.loads(CASE.read_text(encoding="utf-8"))
    day = solve_day(data_folder(), case["feeder"], case["first_row"])
    assert set(day.areas) == set(case["figures"]["areas"])
    pairs = [(day.feeder, case["figures"]["feeder"])]
    pairs += [(day.areas[code], figures) for code, figures in case["figures"]["areas"].items()]
    for got, want in pairs:
        for name, value in want.items():
            assert getattr(got, name) == pytest.approx(value, rel=1e-9, abs=1e-3)


def test_one_feeder_s_day_is_that_of_the_plain_python_sweep() -> None:
    case = json.loads(CASE.read_text(encoding="utf-8"))
    twin, tolerance = one_feeder(), case["relative_tolerance"]
    flows = twin.solve(quarter_hours(datetime.fromisoformat(case["start"]), 96))
    energy = {name: getattr(flows, name).sum(axis=0) / 4 for name in flows.__slots__}
    areas = case["figures"]["areas"]
    assert set(areas) == {a.code for a in twin.network.areas}
    for i, area in enumerate(twin.network.areas):
        want = areas[area.code]
        assert energy["area_w"][i] == pytest.approx(want["supply_wh"], rel=tolerance)
        assert energy["area_line_loss_w"][i] == pytest.approx(want["line_loss_wh"], rel=tolerance)
        assert energy["area_transformer_loss_w"][i] == pytest.approx(want["transformer_loss_wh"], rel=tolerance)
        points = [k for k, p in enumerate(twin.network.points) if p.area == i]
        own = flows.point_w[:, points] / 4
        assert own[own > 0].sum() == pytest.approx(want["sold_wh"], rel=1e-9, abs=1e-3)
        assert -own[own < 0].sum() == pytest.approx(want["generation_wh"], rel=1e-9, abs=1e-3)
    want = case["figures"]["feeder"]
    assert energy["feeder_w"][0] == pytest.approx(want["supply_wh"], rel=tolerance)
    assert energy["feeder_line_loss_w"][0] == pytest.approx(want["line_loss_wh"], rel=tolerance)


def test_truth_closes() -> None:
    twin = one_feeder()
    for truth in twin.truth(quarter_hours(datetime(2026, 7, 5, 11, tzinfo=UTC), 1)[0]):
        into = truth.import_wh - truth.export_wh
        used = truth.sold_wh - truth.generation_wh + truth.technical_wh + truth.unmetered_wh
        assert into == pytest.approx(used, abs=1e-6 * (truth.sold_wh + truth.generation_wh))
        assert truth.technical_wh > 0


def test_a_hook_before_the_meter_is_in_the_supply_and_in_no_meter() -> None:
    interval = quarter_hours(datetime(2026, 12, 9, 18, tzinfo=UTC), 1)[0]
    hooked: Twin = demonstration_grid(areas=2, unmetered_w={"LV1.101": 6_000.0})
    honest = demonstration_grid(areas=2)
    with_hook, without = hooked.truth(interval), honest.truth(interval)
    assert with_hook[0].code == "LV1.101"
    assert with_hook[0].unmetered_wh == 1_500.0
    assert with_hook[0].sold_wh == without[0].sold_wh
    more = with_hook[0].technical_wh - without[0].technical_wh
    assert more > 0
    assert with_hook[0].import_wh == pytest.approx(without[0].import_wh + 1_500.0 + more, rel=1e-9)
    assert with_hook[1].import_wh == pytest.approx(without[1].import_wh, rel=1e-6)
