"""The balanced load flow: statuses, models of load, transformers, refusals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from kernels.load_flow import LANES, BalancedFlow, Outcome, RadialNetworks, Shape, balanced_flow, radial_networks


def chain(buses: int = 3, *, extra: tuple[tuple[int, int], ...] = (), cut: bool = False, **more: Any) -> RadialNetworks:
    """Buses one after the other, 1 + j0.5 Ω a step, 10 kV."""
    ends = [(i, i + 1) for i in range(buses - 1)]
    ends = [*(ends[:-1] if cut else ends), *extra]
    from_bus, to_bus = np.array(ends, np.int64).reshape(-1, 2).T.copy()
    count = len(ends)
    return radial_networks(
        np.array([0, buses]),
        np.array([0]),
        np.full(buses, 10e3),
        from_bus,
        to_bus,
        np.full(count, 1.0),
        np.full(count, 0.5),
        **more,
    )


def loaded(networks: RadialNetworks, *p_w: float, **more: Any) -> BalancedFlow:
    p = np.array([p_w])
    return balanced_flow(networks, p, np.zeros_like(p), 10e3, **more)


def test_two_buses_have_the_loss_of_the_quadratic_equation() -> None:
    p, r, x = 2e6, 1.0, 0.5
    # |V|⁴ + (2 r P − E²) |V|² + |z|² P² = 0
    b = 2 * r * p - 10e3**2
    v2 = (-b + math.sqrt(b * b - 4 * (r * r + x * x) * p * p)) / 2
    flow = loaded(chain(2), 0.0, p, tolerance=1e-12)
    assert flow.loss_w[0, 0] == pytest.approx(r * p * p / v2, rel=1e-10)
    assert flow.min_voltage_pu[0, 0] == pytest.approx(math.sqrt(v2) / 10e3, rel=1e-10)
    assert flow.outcome[0, 0] == Outcome.CONVERGED


def test_one_bus_without_branch_loses_nothing() -> None:
    flow = loaded(chain(1), 5e3)
    assert (flow.loss_w[0, 0], flow.min_voltage_pu[0, 0], flow.outcome[0, 0]) == (0.0, 1.0, Outcome.CONVERGED)


@pytest.mark.parametrize(
    ("networks", "shape"),
    [
        (chain(3, extra=((0, 2),)), Shape.MESHED),
        (chain(3, extra=((0, 1),)), Shape.MESHED),
        (chain(3, cut=True), Shape.ISLANDED),
        (chain(4, cut=True, extra=((0, 2),)), Shape.MESHED),
    ],
)
def test_what_is_not_radial_has_no_number(networks: RadialNetworks, shape: Shape) -> None:
    flow = balanced_flow(networks, np.ones((2, len(networks.parent))), np.zeros((2, len(networks.parent))), 10e3)
    assert networks.shape.tolist() == [shape]
    assert set(flow.outcome.ravel().tolist()) == {Outcome.NOT_SOLVED}
    assert np.isnan(flow.loss_w).all()
    assert np.isnan(flow.no_load_loss_w).all()
    assert np.isnan(flow.min_voltage_pu).all()


def test_a_meshed_network_leaves_its_neighbours_alone() -> None:
    from_bus, to_bus = np.array([0, 2, 3, 4]), np.array([1, 3, 4, 2])
    ones = np.ones(4)
    networks = radial_networks(np.array([0, 2, 5]), np.array([0, 2]), np.full(5, 10e3), from_bus, to_bus, ones, ones)
    flow = balanced_flow(networks, np.full((3, 5), 1e5), np.zeros((3, 5)), 10e3)
    assert networks.shape.tolist() == [Shape.RADIAL, Shape.MESHED]
    assert (flow.loss_w[:, 0] > 0).all()
    assert np.isnan(flow.loss_w[:, 1]).all()


def test_too_much_load_diverges_and_spoils_no_other_case() -> None:
    network = chain(2)
    p = np.full((3 * LANES, 2), 1e6)
    p[LANES, 1] = 1e9
    flow = balanced_flow(network, p, np.zeros_like(p), 10e3)
    assert flow.outcome[LANES, 0] == Outcome.DIVERGED
    assert np.isnan(flow.loss_w[LANES, 0])
    others = np.delete(flow.loss_w[:, 0], LANES)
    assert others == pytest.approx(np.full(len(others), loaded(network, 1e6, 1e6).loss_w[0, 0]), rel=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_missing_power_takes_its_own_case_alone(bad: float) -> None:
    p, q = np.full((2 * LANES + 1, 2), 1e6), np.zeros((2 * LANES + 1, 2))
    q[5, 1] = bad
    volts = np.full((2 * LANES + 1, 1), 10e3)
    volts[7, 0] = bad
    flow = balanced_flow(chain(2), p, q, volts)
    missing = np.flatnonzero(flow.outcome[:, 0] == Outcome.MISSING)
    assert missing.tolist() == [5, 7]
    assert np.isnan(flow.loss_w[missing]).all()
    assert np.isfinite(np.delete(flow.loss_w[:, 0], missing)).all()


def test_loads_of_constant_impedance_and_current() -> None:
    z = 10e3**2 / 1e6
    current = 10e3 / (z + 1.0)  # the source sees 1 Ω and the load in series, without reactance
    network = radial_networks(
        np.array([0, 2]), np.array([0]), np.full(2, 10e3), np.array([0]), np.array([1]), np.ones(1), np.zeros(1)
    )
    assert loaded(network, 0.0, 1e6, shares=(0.0, 0.0, 1.0)).loss_w[0, 0] == pytest.approx(current**2, rel=1e-6)
    assert loaded(network, 0.0, 1e6, shares=(0.0, 1.0, 0.0)).loss_w[0, 0] == pytest.approx(100.0**2, rel=1e-6)
    by_bus = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    assert loaded(network, 0.0, 1e6, shares=by_bus).loss_w[0, 0] == pytest.approx(current**2, rel=1e-6)


@pytest.mark.parametrize("turned", [False, True])
def test_a_transformer_is_its_impedance_on_the_side_of_to_bus(turned: bool) -> None:
    """10 kV to 400 V: 0.01 Ω at 400 V is 6.25 Ω at 10 kV; iron on the low-voltage side."""
    ends = (np.array([1]), np.array([0])) if turned else (np.array([0]), np.array([1]))
    r = np.array([6.25 if turned else 0.01])
    network = radial_networks(
        np.array([0, 2]),
        np.array([0]),
        np.array([10e3, 400.0]),
        *ends,
        r,
        np.zeros(1),
        ratio=np.array([1 / 25.0 if turned else 25.0]),
        shunt_g_s=np.array([0.0, 0.005]),
    )
    flow = loaded(network, 0.0, 100e3, tolerance=1e-12)
    v = flow.min_voltage_pu[0, 0] * 400.0
    current = 100e3 / v + 0.005 * v
    assert v == pytest.approx(400.0 - 0.01 * current, rel=1e-10)
    assert flow.no_load_loss_w[0, 0] == pytest.approx(0.005 * v * v, rel=1e-10)
    assert flow.loss_w[0, 0] - flow.no_load_loss_w[0, 0] == pytest.approx(0.01 * current**2, rel=1e-9)


def test_a_capacitor_takes_reactive_load_from_the_line() -> None:
    p, q = np.array([[0.0, 1e6]]), np.array([[0.0, 1e6]])
    compensated = chain(2, shunt_b_s=np.array([0.0, 1e6 / 10e3**2]))
    assert balanced_flow(compensated, p, q, 10e3).loss_w[0, 0] < 0.6 * balanced_flow(chain(2), p, q, 10e3).loss_w[0, 0]


def test_export_raises_the_voltage() -> None:
    assert loaded(chain(2), 0.0, -1e6).min_voltage_pu[0, 0] == 1.0
    assert loaded(chain(2), 0.0, -1e6).loss_w[0, 0] > 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"starts": np.array([0, 2])},
        {"starts": np.array([0, 0, 3])},
        {"source": np.array([3])},
        {"nominal_v": np.array([10e3, 0.0, 10e3])},
        {"from_bus": np.array([0, 7])},
        {"from_bus": np.array([0, -1])},
        {"from_bus": np.array([0, 2])},
        {"from_bus": np.array([0])},
        {"r_ohm": np.array([1.0, np.nan])},
        {"x_ohm": np.ones(3)},
        {"ratio": np.array([1.0, -1.0])},
    ],
)
def test_refuses_networks_that_make_no_sense(wrong: dict[str, Any]) -> None:
    right: dict[str, Any] = {
        "starts": np.array([0, 3]),
        "source": np.array([0]),
        "nominal_v": np.full(3, 10e3),
        "from_bus": np.array([0, 1]),
        "to_bus": np.array([1, 2]),
        "r_ohm": np.ones(2),
        "x_ohm": np.ones(2),
    }
    radial_networks(**right)
    with pytest.raises(ValueError, match="."):
        radial_networks(**(right | wrong))


def test_refuses_a_branch_between_two_networks() -> None:
    with pytest.raises(ValueError, match="two networks"):
        radial_networks(
            np.array([0, 1, 2]), np.array([0, 1]), np.ones(2), np.array([0]), np.array([1]), np.ones(1), np.ones(1)
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"p_w": np.zeros((1, 2))},
        {"q_var": np.zeros((2, 3))},
        {"shares": (0.5, 0.0, 0.0)},
        {"shares": np.ones((3, 2))},
        {"tolerance": 0.0},
        {"max_iterations": 0},
        {"source_v": np.ones((5, 1))},
    ],
)
def test_refuses_cases_of_another_shape(wrong: dict[str, Any]) -> None:
    right: dict[str, Any] = {"p_w": np.zeros((1, 3)), "q_var": np.zeros((1, 3)), "source_v": 10e3}
    balanced_flow(chain(3), **right)
    with pytest.raises(ValueError, match="."):
        balanced_flow(chain(3), **(right | wrong))
