"""Voltages, currents and power factors by phase, as the city's meters show them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from grid.errors import Rejection
from ingest.decode import decode_message
from tests.unit.test_city import BEGIN_S, an_event, city
from tests.unit.test_telemetry_points import AllKnown
from twin.city import City, Stretch
from twin.city_play import CityPlay
from twin.events import EventKind
from twin.metering import MeterErrors
from twin.outbox import MessageKind
from twin.phase_quantities import MAX_CURRENT_A, PhaseDisplay, PhaseMeans, phase_means
from twin.phases import THREE_PHASE
from twin.steps import make_steps

K = EventKind


@cache
def quiet() -> tuple[City, Stretch]:
    grid = city()
    (stretch,) = grid.stretches(BEGIN_S, 4)
    return grid, stretch


def position(grid: City, code: str) -> int:
    return next(i for i, m in enumerate(grid.recorded.meters) if m.code == code)


def a_point(*, three: bool) -> str:
    """The greatest consumer in area 1 with or without three phases."""
    grid, _ = quiet()
    found = [
        p for i, p in enumerate(grid.network.points)
        if p.area == 1 and not p.generation and (grid.phase[i] == THREE_PHASE) is np.bool_(three)
    ]  # fmt: skip
    return max(found, key=lambda p: p.active_w).code


def test_a_meter_has_the_phases_that_it_is_connected_to() -> None:
    grid, stretch = quiet()
    volts, amperes = stretch.phases.voltage_v, stretch.phases.current_a
    for point, phase in zip(grid.network.points, grid.phase.tolist(), strict=True):
        if point.area < 0:
            continue
        at = position(grid, point.code)
        shown = ~np.isnan(volts[0, at])
        assert shown.tolist() == ([True] * 3 if phase == THREE_PHASE else [True, False, False])
        assert (np.isnan(amperes[0, at]) == np.isnan(volts[0, at])).all()
        # A single-phase meter shows its own phase's voltage in the first column.
        expected = stretch.flows.point_phase_voltage[:3, grid.network.points.index(point), phase % 3]
        assert volts[0, at, 0] == pytest.approx(expected.mean() * 400 / 3**0.5, rel=1e-9)
    heads = [i for i, m in enumerate(grid.recorded.meters) if m.unit == grid.network.feeders[0].code]
    assert np.isnan(volts[:, heads]).all()
    assert np.nanmin(volts) > 200
    assert np.nanmax(volts) < 250


def test_current_voltage_and_power_factor_make_the_energy() -> None:
    grid, stretch = quiet()
    p = stretch.phases
    low = [i for i, m in enumerate(grid.recorded.meters) if np.isfinite(p.current_a[0, i, 0])]
    energy_wh = stretch.steps.by_interval(stretch.metered_w * stretch.steps.hours[:, None])[:, low]
    power_w = np.nansum(p.voltage_v * p.current_a, axis=2)[:, low] * p.power_factor[:, low]
    flowing = np.abs(energy_wh) > 1.0
    assert flowing.sum() > 1_000
    # The mean of a product isn't the product of the means, by as much as load varies within the quarter-hour.
    np.testing.assert_allclose(power_w[flowing] / 4, energy_wh[flowing], rtol=0.01)
    assert (np.abs(p.power_factor[:, low][flowing]) > 0.7).all()


def test_a_transformers_currents_are_those_of_its_phases() -> None:
    grid, stretch = quiet()
    flows, areas = stretch.flows, grid.network.areas
    masters = [next(i for i, m in enumerate(grid.recorded.meters) if m.unit == a.code) for a in areas]
    seen = stretch.phases.current_a[:, masters]
    volts = flows.area_phase_voltage * 400 / 3**0.5
    amperes = np.hypot(flows.area_phase_w, flows.area_phase_var) / volts
    ampere_hours = stretch.steps.by_interval(amperes * stretch.steps.hours[:, None, None])
    np.testing.assert_allclose(seen / 4, ampere_hours, rtol=1e-9)
    # Phases differ: a third of the whole in each would not do.
    assert (np.ptp(seen, axis=2) > 0.05 * seen.mean(axis=2)).mean() > 0.5


def test_means_by_hand() -> None:
    steps = make_steps(BEGIN_S, 1)
    volts = np.array([[[230.0, 0.0, 200.0]], [[230.0, 220.0, 200.0]], [[0.0, 0.0, 0.0]]])
    apparent = np.array([[690.0], [1_380.0], [0.0]])
    active = np.array([[-690.0], [-690.0], [0.0]])
    means = phase_means(steps, volts, apparent, active, np.full((1, 3), 1 / 3)).take(0)
    assert means.voltage_v.tolist() == [[230.0, 220.0, 200.0]]
    np.testing.assert_allclose(means.current_a, [[1.5, 460 / 220, 1.725]])
    np.testing.assert_allclose(means.power_factor, [-2 / 3])
    dark = phase_means(steps, np.zeros((3, 1, 3)), np.zeros((3, 1)), np.zeros((3, 1)), np.full((1, 3), 1 / 3)).take(0)
    assert not dark.voltage_v.any()
    assert not dark.current_a.any()
    assert np.isnan(dark.power_factor).all()


def changed(kind: EventKind, code: str, size: float) -> tuple[PhaseMeans, PhaseMeans, float]:
    """One meter's first hour without and with something from its begin on, and what it counts of its energy."""
    grid, before = quiet()
    other = city(an_event(kind, code, size, (0, 1)))
    (after,) = other.stretches(BEGIN_S, 4)
    at = position(grid, code)
    one, two = (
        PhaseMeans(p.voltage_v[:, at], p.current_a[:, at], p.power_factor[:, at]) for p in (before.phases, after.phases)
    )
    return one, two, float(after.metered_w[0, at] / before.metered_w[0, at])


def test_a_theft_inside_the_meter_takes_the_current_too() -> None:
    before, after, counted = changed(K.THEFT_SCALING, a_point(three=False), 0.6)
    assert counted == pytest.approx(0.4)
    np.testing.assert_allclose(after.current_a[:, 0], 0.4 * before.current_a[:, 0])
    np.testing.assert_allclose(after.power_factor, before.power_factor)


def test_a_stopped_meter_shows_its_current() -> None:
    before, after, counted = changed(K.METER_STOPPED, a_point(three=False), 1.0)
    assert counted == 0
    np.testing.assert_array_equal(after.current_a[:, 0], before.current_a[:, 0])


def test_a_reversed_current_transformer_turns_the_power_factor() -> None:
    before, after, counted = changed(K.CT_REVERSED, a_point(three=True), 1.0)
    assert counted == pytest.approx(-1)
    np.testing.assert_allclose(after.power_factor, -before.power_factor)
    np.testing.assert_allclose(after.current_a, before.current_a)


def test_a_lost_phase_has_no_voltage_and_goes_on_carrying_current() -> None:
    before, after, counted = changed(K.PHASE_LOST, a_point(three=True), 1 / 3)
    assert counted == pytest.approx(2 / 3)
    np.testing.assert_array_equal(after.current_a, before.current_a)
    lost = np.flatnonzero((after.voltage_v == 0).all(axis=0))
    assert len(lost) == 1
    others = np.delete(np.arange(3), lost)
    np.testing.assert_array_equal(after.voltage_v[:, others], before.voltage_v[:, others])
    grid = city(an_event(K.PHASE_LOST, a_point(three=True), 1 / 3, (0, 1)))
    bodies = [m for m in CityPlay(grid).made(BEGIN_S, 8) if m.kind is MessageKind.BLOCK and m.unit == 1]
    column = f"voltage_{'abc'[int(lost[0])]}_v"
    values = [json.loads(b"{" + m.body) for m in bodies]
    at = values[0]["meter"].index(a_point(three=True))
    assert [v[column][at] == 0 for v in values] == [True] * 4 + [False] * 4


def messages(grid: City) -> Iterator[tuple[str, dict[str, Any], tuple[Rejection, ...]]]:
    for m in CityPlay(grid).made(BEGIN_S, 2):
        if m.kind is MessageKind.BLOCK:
            body = b'{"sequence":1,' + m.body
            decoded = decode_message(m.topic, body, m.end_s * 1_000_000 + 10_000_000, AllKnown())
            yield grid.units[m.unit].code, json.loads(body), decoded.rejections


def test_messages_hold_them_and_ingest_takes_all() -> None:
    grid = city(exact=False)
    areas = {a.code for a in grid.network.areas}
    seen = 0
    for unit, body, rejections in messages(grid):
        assert rejections == ()
        columns = ("voltage_b_v", "voltage_c_v", "current_a_a", "current_b_a", "current_c_a", "power_factor")
        if unit not in areas:
            assert not set(columns) & set(body)
            continue
        for name in columns:
            assert len(body[name]) == len(body["meter"])
        single = [b is None and v is not None for v, b in zip(body["voltage_a_v"], body["voltage_b_v"], strict=True)]
        assert any(single)
        assert not all(single)
        for alone, current, second in zip(single, body["current_a_a"], body["current_b_a"], strict=True):
            assert not alone or (current is not None and second is None)
        master = body["meter"].index(next(m.code for m in grid.recorded.meters if m.unit == unit))
        if body["voltage_a_v"][master] is not None:
            assert body["voltage_c_v"][master] is not None
            assert all(body[f"current_{phase}_a"][master] > 0 for phase in "abc")
        seen += 1
    assert seen > 20


def test_errors_are_of_the_size_that_was_asked_for() -> None:
    codes = [f"M-{n}" for n in range(4_000)]
    true = PhaseMeans(np.full((4_000, 3), 230.0), np.full((4_000, 3), 10.0), np.full(4_000, 0.95))
    display = PhaseDisplay(codes, [2.0] * 4_000, MeterErrors(), 1)
    shown = display.shown(BEGIN_S, true).columns
    assert shown["voltage_b_v"].std() == pytest.approx((0.4**2 + 0.2**2) ** 0.5, rel=0.05)
    assert shown["current_c_a"].std() == pytest.approx(0.088, rel=0.05)  # cut at two σ
    assert (np.abs(shown["current_c_a"] - 10) <= 0.2 + 1e-9).all()
    assert np.corrcoef(shown["voltage_b_v"], shown["voltage_c_v"])[0, 1] == pytest.approx(0, abs=0.05)
    exact = PhaseDisplay(codes, [2.0] * 4_000, MeterErrors.none(), 1).shown(BEGIN_S, true).columns
    assert {float(v) for v in exact["voltage_b_v"]} == {230.0}
    assert {float(v) for v in exact["current_a_a"]} == {10.0}
    many = PhaseMeans(true.voltage_v, np.full((4_000, 3), MAX_CURRENT_A * 1.05), true.power_factor)
    assert np.isnan(display.shown(BEGIN_S, many).columns["current_a_a"]).all()
