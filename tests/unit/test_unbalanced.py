"""The unbalanced physics of a city: energy closes, phases are their own, and the grid can be switched."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from power_grid_model import CalculationMethod, ComponentType, DatasetType, initialize_array

from tests.naive.phases import polar, sweep
from tests.unit.twin_grid import one_feeder
from twin.topology import Topology, owners
from twin.unbalanced import THREE_PHASE, StepFlows, Unbalanced

NETWORK = one_feeder().network
RNG = np.random.default_rng(5)
PHASE = RNG.integers(0, 4, len(NETWORK.points)).astype(np.int8)
RATED_W = np.array([p.active_w * (-1 if p.generation else 1) for p in NETWORK.points])
OMEGA = 2 * np.pi * 50


@cache
def physics() -> Unbalanced:
    lines = NETWORK.lines
    zero = (4 * lines.resistance_ohm, 3.5 * lines.reactance_ohm, 0.6 * lines.capacitance_f)
    return Unbalanced(NETWORK, PHASE, zero)


def demand(steps: int, seed: int = 1) -> NDArray[np.float64]:
    return RATED_W * np.random.default_rng(seed).uniform(0, 0.6, (steps, len(RATED_W)))


def solve(
    active: NDArray[np.float64], hidden: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None
) -> StepFlows:
    return physics().solve(active, 0.3 * np.abs(active), hidden)


def test_energy_closes_in_every_area_and_feeder() -> None:
    hidden = np.array([3, 40]), np.full((20, 2), 2_500.0)
    flows = solve(demand(20), hidden)
    area = flows.area_sold_w - flows.area_generation_w + flows.area_hidden_w + flows.area_line_loss_w
    feeder = flows.feeder_sold_w - flows.feeder_generation_w + flows.feeder_loss_w
    np.testing.assert_allclose(flows.area_w, area, rtol=1e-6, atol=0.01)
    np.testing.assert_allclose(flows.feeder_w, feeder, rtol=1e-6)
    assert flows.area_hidden_w.sum() == pytest.approx(20 * 5_000.0)
    assert (flows.area_line_loss_w > 0).all()


def test_a_batch_is_solved_like_its_steps_one_by_one() -> None:
    active = demand(19)
    together = solve(active)
    alone = [solve(active[i : i + 1]) for i in range(len(active))]
    np.testing.assert_allclose(together.area_w, np.concatenate([f.area_w for f in alone]), rtol=1e-8)


def test_an_area_agrees_with_a_sweep_of_its_phases_in_plain_python() -> None:
    u, lines = physics(), NETWORK.lines
    active = demand(1)
    flows = solve(active)
    loads = u._by_phase(active)[0] + 1j * u._by_phase(0.3 * np.abs(active))[0]
    load = {int(n): i for i, n in enumerate(u._load_nodes)}
    result = u._model.calculate_power_flow(
        symmetric=False,
        calculation_method=CalculationMethod.newton_raphson,
        error_tolerance=1e-10,
        update_data={
            ComponentType.asym_load: _updates(u, loads),
        },
    )
    nodes = result[ComponentType.node]
    for number in (0, 4):
        area = NETWORK.areas[number]
        own = np.flatnonzero(lines.area == number)
        described = [
            (
                int(lines.start[n]),
                int(lines.end[n]),
                complex(lines.resistance_ohm[n], lines.reactance_ohm[n]),
                complex(4 * lines.resistance_ohm[n], 3.5 * lines.reactance_ohm[n]),
                1j * OMEGA * lines.capacitance_f[n],
                0.6j * OMEGA * lines.capacitance_f[n],
            )
            for n in own
        ]
        reached = {area.low_node, *(line[1] for line in described)}
        drawn = {n: tuple(loads[load[n]].tolist()) for n in reached if n in load}
        a, b, c = map(polar, nodes["u"][0, area.low_node], nodes["u_angle"][0, area.low_node])
        volts, into, loss_w = sweep(area.low_node, (a, b, c), described, drawn)
        assert flows.area_line_loss_w[0, number] == pytest.approx(loss_w, rel=1e-5)
        np.testing.assert_allclose(flows.area_phase_w[0, number], [s.real for s in into], rtol=1e-6)
        for i, point in enumerate(NETWORK.points):
            if point.area == number:
                sizes = [abs(v) / (NETWORK.node_voltage_v[point.node] / 3**0.5) for v in volts[point.node]]
                expected = np.mean(sizes) if PHASE[i] == THREE_PHASE else sizes[PHASE[i]]
                assert flows.point_voltage[0, i] == pytest.approx(expected, rel=1e-7)


def _updates(u: Unbalanced, loads: NDArray[np.complex128]) -> NDArray[np.void]:
    update = initialize_array(DatasetType.update, ComponentType.asym_load, (1, len(loads)))
    update["id"] = u._components.first_load + np.arange(len(loads))
    update["p_specified"], update["q_specified"] = loads.real, loads.imag
    return update


def test_one_phase_loads_its_own_phase() -> None:
    point = next(i for i, p in enumerate(NETWORK.points) if p.area == 0 and PHASE[i] == 1)
    active = np.zeros((1, len(RATED_W)))
    base = solve(active)
    active[0, point] = 5_000.0
    flows = solve(active)
    more = (flows.area_phase_w - base.area_phase_w)[0, 0]
    assert more[1] > 5_000
    assert np.abs(more[[0, 2]]).max() < 10
    assert flows.point_voltage[0, point] < base.point_voltage[0, point] - 1e-4


def test_a_dark_area_takes_nothing_and_its_feeder_less() -> None:
    u, active = physics(), demand(2)
    dark = active.copy()
    dark[:, [i for i, p in enumerate(NETWORK.points) if p.area == 2]] = 0
    before = solve(active)
    try:
        u.switch(Topology(dark_areas=frozenset({2})))
        flows = solve(dark)
    finally:
        u.switch(Topology())
    assert (flows.area_w[:, 2] == 0).all()
    assert (flows.area_voltage[:, 2] == 0).all()
    # Without what the area took, or gave.
    np.testing.assert_allclose(before.feeder_w[:, 0] - flows.feeder_w[:, 0], before.area_w[:, 2], rtol=0.2)
    after = solve(active)
    np.testing.assert_allclose(after.feeder_w, before.feeder_w, rtol=1e-8)


def test_a_dark_feeder_takes_nothing() -> None:
    u = physics()
    try:
        u.switch(Topology(dark_feeders=frozenset({0})))
        flows = solve(np.zeros((1, len(RATED_W))))
        assert (u.owners.of_area == -1).all()
    finally:
        u.switch(Topology())
    assert np.abs(flows.feeder_w).max() < 1e-6
    assert flows.point_voltage.max() == 0


def test_a_tap_shifts_the_voltage_of_its_area_alone() -> None:
    u, active = physics(), demand(1)
    before = solve(active)
    try:
        u.switch(Topology(taps=((1, 10),)))
        flows = solve(active)
    finally:
        u.switch(Topology())
    shift = flows.area_voltage[0] - before.area_voltage[0]
    assert shift[1] == pytest.approx(0.05, abs=0.006)
    assert np.abs(np.delete(shift, 1)).max() < 1e-3


def test_owners_follow_what_is_open_and_closed() -> None:
    lines = NETWORK.lines
    none = np.empty((0, 2), np.int64)
    normal = owners(NETWORK, Topology(), none)
    np.testing.assert_array_equal(normal.of_area, [a.feeder for a in NETWORK.areas])
    medium = lines.feeder >= 0
    np.testing.assert_array_equal(normal.of_line[medium], lines.feeder[medium])
    # Cut between the first two areas' nodes, what lies behind is supplied through a tie from the node before the cut.
    chain = [n for n in np.flatnonzero(medium).tolist() if n != NETWORK.feeders[0].head]
    cut = chain[len(chain) // 2]
    ties = np.array([[lines.start[cut], lines.end[cut]]])
    state = Topology(open_lines=frozenset({cut}), closed_ties=frozenset({0}))
    switched = owners(NETWORK, state, ties)
    np.testing.assert_array_equal(switched.of_area, normal.of_area)
    alone = owners(NETWORK, Topology(open_lines=frozenset({cut})), ties)
    assert (alone.of_area == -1).any()
    with pytest.raises(ValueError, match="not radial"):
        owners(NETWORK, Topology(closed_ties=frozenset({0})), ties)


def test_what_is_between_steps_of_different_load_is_not_the_loss_of_their_mean() -> None:
    """The loss of the mean power is less than the mean loss: the reason for steps inside an interval."""
    active = demand(6)
    mean = np.broadcast_to(active.mean(axis=0), active.shape[1:])[None]
    assert solve(mean).area_line_loss_w.sum() < solve(active).area_line_loss_w.mean(axis=0).sum()
    assert all(a is not b for a, b in pairwise(active))
