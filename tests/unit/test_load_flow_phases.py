"""The load flow by phases on bare arrays: statuses, merged chains, two-ports, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kernels.load_flow_phases import Elements, PhaseNetwork, phase_network, unbalanced_flow
from kernels.load_flow_tree import Outcome, Shape, orient
from kernels.load_flow_windings import Windings, side_by_side, two_port
from tests.naive.load_flow import phasors

SOURCE_V = np.array(phasors(400.0))
DELTA = np.array([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0], [-1.0, 0.0, 1.0]])


def elements(*positions: int) -> Elements:
    count = len(positions)
    return Elements(
        np.array(positions, np.int64),
        np.zeros(count, np.int64),
        np.full(count, -1),
        np.full(count, 230.0),
        np.tile([1.0, 0.0, 0.0], (count, 1)),
        np.tile([1.0, 0.0, 0.0], (count, 1)),
        np.tile([0.0, np.inf], (count, 1)),
    )


def network(ends: tuple[tuple[int, int], ...], buses: int, *loaded: int, watch: int = 0, **wrong: Any) -> PhaseNetwork:
    from_bus, to_bus = np.array(ends, np.int64).reshape(-1, 2).T.copy()
    tree = orient(np.array([0, buses]), np.array([0]), from_bus, to_bus)
    unit = np.tile(np.eye(3, dtype=np.complex128), (buses, 1, 1))
    nothing = np.zeros_like(unit)
    parts: dict[str, Any] = {
        "two_ports": (unit, unit * (0.1 + 0.1j), unit, nothing),
        "shunt": nothing,
        "iron": nothing,
        "nominal_v": np.full(buses, 230.0),
        "elements": elements(*loaded),
        "watch": np.array([[watch, 0]]),
    }
    return phase_network(tree, **(parts | wrong))


@pytest.mark.parametrize(
    ("ends", "shape"),
    [(((0, 1), (1, 2), (2, 0)), Shape.MESHED), (((0, 1),), Shape.ISLANDED), (((1, 2),), Shape.ISLANDED)],
)
def test_what_is_not_radial_has_no_number(ends: tuple[tuple[int, int], ...], shape: Shape) -> None:
    made = network(ends, 3, 1)
    flow = unbalanced_flow(made, np.ones((4, 1)), np.ones((4, 1)), SOURCE_V)
    assert made.shape is shape
    assert set(flow.outcome.tolist()) == {Outcome.NOT_SOLVED}
    for values in (flow.loss_w, flow.load_w, flow.no_load_loss_w, flow.voltage.real):
        assert np.isnan(values).all()


def test_a_chain_without_load_becomes_one_branch() -> None:
    chain = tuple((i, i + 1) for i in range(9))
    merged, kept = network(chain, 10, 9), network(chain, 10, 4, 9)
    assert len(merged.parent) == 2
    assert len(kept.parent) == 3
    p = np.array([[2e3]])
    one = unbalanced_flow(merged, p, p, SOURCE_V, tolerance=1e-12)
    two = unbalanced_flow(kept, np.array([[0.0, 2e3]]), np.array([[0.0, 2e3]]), SOURCE_V, tolerance=1e-12)
    assert one.loss_w == pytest.approx(two.loss_w, rel=1e-10)


def test_merged_chains_keep_their_admittances() -> None:
    """Nine branches with a capacitor at each bus, all looked at or only the end."""
    chain = tuple((i, i + 1) for i in range(9))
    shunt = np.tile(0.01j * np.eye(3), (10, 1, 1))
    p = np.array([[2e3]])
    alone = unbalanced_flow(network(chain, 10, 9, watch=9, shunt=shunt), p, p, SOURCE_V, tolerance=1e-12)
    many = network(chain, 10, 9, watch=9, shunt=shunt * 0, iron=shunt)  # what may have iron loss is never merged
    each = unbalanced_flow(many, p, p, SOURCE_V, tolerance=1e-12)
    assert len(many.parent) == 10
    assert alone.loss_w == pytest.approx(each.loss_w, rel=1e-10)
    assert alone.voltage == pytest.approx(each.voltage, rel=1e-12)
    assert each.no_load_loss_w == pytest.approx([0.0], abs=1e-9)


def test_two_ports_of_kerstings_delta_to_wye() -> None:
    """Step-down Dyn1 as in his chapter 8: his d is our D, his a_t⁻¹ our A but for the sum of the voltages."""
    turns = 12.47 / 2.4  # line to line over phase
    windings = Windings(DELTA[[2, 0, 1]], np.eye(3), np.full(3, -1 / turns), 0.1j * np.eye(3, dtype=np.complex128))
    a, b, d, y = two_port(windings)
    assert d == pytest.approx(np.array([[1, -1, 0], [0, 1, -1], [-1, 0, 1]]) / turns, abs=1e-12)
    assert a == pytest.approx(np.array([[1, 0, -1], [-1, 1, 0], [0, -1, 1]]) / turns, abs=1e-12)
    assert b == pytest.approx(0.1j * np.eye(3), abs=1e-12)
    assert y == pytest.approx(np.zeros((3, 3)), abs=1e-12)


def test_a_delta_behind_a_wye_draws_the_zero_sequence() -> None:
    z = 0.3j * np.eye(3, dtype=np.complex128)
    a, b, d, y = two_port(Windings(np.eye(3), DELTA, np.ones(3), z))
    assert (y @ np.ones(3)) == pytest.approx(np.full(3, 1 / 0.3j), rel=1e-9)
    assert (a @ np.ones(3)) == pytest.approx(np.zeros(3), abs=1e-12)
    assert np.abs(d.T - a).max() < 1e-12
    assert (b @ np.array([1, -1, 0])) == pytest.approx(np.array([0.1j, -0.1j, 0]), abs=1e-12)


def test_turning_twice_changes_nothing() -> None:
    windings = Windings(DELTA, np.eye(3), np.array([2.0, 2.1, -2.0]), np.diag([1j, 2j, 3j]))
    again = windings.turned().turned()
    assert again.ratio == pytest.approx(windings.ratio)
    assert again.impedance_ohm == pytest.approx(windings.impedance_ohm)


def test_unequal_parallel_transformers_share_by_impedance() -> None:
    pieces = [Windings(np.eye(3), np.eye(3), np.ones(3), z * np.eye(3, dtype=np.complex128)) for z in (1j, 3j)]
    assert two_port(side_by_side(pieces))[1] == pytest.approx(0.75j * np.eye(3), abs=1e-12)


@pytest.mark.parametrize(
    "wrong",
    [
        {"shunt": np.zeros((2, 3, 3), np.complex128)},
        {"iron": np.full((3, 3, 3), np.nan + 0j)},
        {"nominal_v": np.zeros(3)},
        {"watch": np.array([[3, 0]])},
        {"watch": np.array([[0, 3]])},
        {"elements": elements(7)},
        {"meter": -1},
    ],
)
def test_refuses_networks_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        network(((0, 1), (1, 2)), 3, 1, **wrong)


def test_resonance_is_told() -> None:
    shunt = np.zeros((2, 3, 3), np.complex128)
    shunt[1] = -np.eye(3) / (0.1 + 0.1j)
    with pytest.raises(ValueError, match="resonate"):
        network(((0, 1),), 2, 1, shunt=shunt)


@pytest.mark.parametrize(
    "wrong",
    [
        {"p_w": np.zeros((1, 2))},
        {"q_var": np.zeros((2, 1))},
        {"source_v": SOURCE_V[:2]},
        {"tolerance": 0.0},
        {"max_iterations": 0},
    ],
)
def test_refuses_cases_of_another_shape(wrong: dict[str, Any]) -> None:
    right: dict[str, Any] = {"p_w": np.zeros((1, 1)), "q_var": np.zeros((1, 1)), "source_v": SOURCE_V}
    with pytest.raises(ValueError, match=r".+"):
        unbalanced_flow(network(((0, 1),), 2, 1), **(right | wrong))


def test_elements_are_checked() -> None:
    one = elements(1)
    with pytest.raises(ValueError, match="shares"):
        Elements(
            one.position, one.from_conductor, one.to_conductor, one.nominal_v, one.shares * 2, one.shares, one.band_v
        )
    with pytest.raises(ValueError, match="itself"):
        Elements(
            one.position, one.from_conductor, one.from_conductor, one.nominal_v, one.shares, one.shares, one.band_v
        )
