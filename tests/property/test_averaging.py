from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kernels.averaging import Variation, averaging_loss, fit_variation, own_loss, own_loss_of_ways
from kernels.load_flow_phases import Elements, PhaseNetwork, phase_network, unbalanced_flow
from kernels.load_flow_tree import orient
from tests.naive import averaging as naive

VOLTS = 230.0
SOURCE_V = VOLTS * np.exp(-2j * np.pi / 3 * np.arange(3))

numbers = st.floats(0.0, 1e3)
variations = st.builds(
    Variation, st.just(900), numbers, numbers, st.floats(0.0, 2.0), st.floats(0.0, 4.0), st.floats(0.0, 1.0)
)
Tree = tuple[list[int], list[float], list[float]]
Hung = list[tuple[int, list[int]]]


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Parent of each node; resistances of the line to it in the positive and the zero sequence."""
    nodes = draw(st.integers(2, 8))
    parent = [-1, *(draw(st.integers(0, node - 1)) for node in range(1, nodes))]
    ohm = [0.0, *(draw(st.floats(0.01, 0.2)) for _ in range(1, nodes))]
    return parent, ohm, [draw(st.floats(1.0, 4.0)) * r for r in ohm]


def network_of(tree: Tree, hung: Hung) -> tuple[PhaseNetwork, np.ndarray, np.ndarray]:
    """The tree with loads, each of some phases at a node: the network, and load and share of each of its elements."""
    parent, one, zero = (np.array(x) for x in tree)
    size = len(parent)
    oriented = orient(np.array([0, size]), np.zeros(1, np.int64), parent[1:].copy(), np.arange(1, size))
    eye = np.broadcast_to(np.eye(3, dtype=np.complex128), (size, 3, 3)).copy()
    mutual = (zero - one)[oriented.bus][:, None, None] / 3.0
    series = (mutual + one[oriented.bus][:, None, None] * np.eye(3)).astype(np.complex128)
    nothing = np.zeros((size, 3, 3), np.complex128)
    load = np.array([i for i, (_, phases) in enumerate(hung) for _ in phases])
    count = len(load)
    constant = np.tile([1.0, 0.0, 0.0], (count, 1))
    elements = Elements(
        position=np.argsort(oriented.bus)[[hung[i][0] for i in load]],
        from_conductor=np.array([phase for _, phases in hung for phase in phases]),
        to_conductor=np.full(count, -1),
        nominal_v=np.full(count, VOLTS),
        shares=constant,
        reactive_shares=constant,
        band_v=np.tile([0.0, np.inf], (count, 1)),
    )
    no_watch = np.empty((0, 2), np.int64)
    made = phase_network(
        oriented, (eye, series, eye, nothing), nothing, nothing, np.full(size, VOLTS), elements, no_watch
    )
    return made, load, np.array([1.0 / len(hung[i][1]) for i in load])


@settings(deadline=None, max_examples=40)
@given(trees(), st.data())
def test_a_loads_own_loss_is_the_resistance_of_its_way(tree: Tree, data: st.DataObject) -> None:
    parent, one, zero = tree
    on = st.sampled_from([[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]])
    hung = data.draw(st.lists(st.tuples(st.integers(1, len(parent) - 1), on), min_size=1, max_size=5))
    network, load, share = network_of(tree, hung)
    found = own_loss(network, load, share, SOURCE_V)
    reactive = own_loss(network, load, share, SOURCE_V, tangent=0.5)
    connected = np.array([[phase in phases for phase in range(3)] for _, phases in hung])
    nodes = np.array([node for node, _ in hung])
    ways = own_loss_of_ways(np.array(parent), np.array(one), np.array(zero), nodes, connected, VOLTS)
    for k, more, of_ways, (node, phases) in zip(found, reactive, ways, hung, strict=True):
        expected = naive.own_loss(naive.way(parent, one, node), naive.way(parent, zero, node), phases, VOLTS)
        assert of_ways == pytest.approx(expected, rel=1e-9)
        assert k == pytest.approx(expected, rel=1e-3)
        assert more == pytest.approx(expected * 1.25, rel=1e-3)


def test_independent_loads_lose_their_means_and_their_own_variances() -> None:
    # Every state of four loads that are on or off by themselves has the same probability.
    tree = ([-1, 0, 1, 1, 3], [0.0, 0.05, 0.03, 0.04, 0.05], [0.0, 0.2, 0.12, 0.16, 0.2])
    network, load, share = network_of(tree, [(2, [0]), (4, [0]), (4, [1]), (3, [0, 1, 2])])
    low, high = np.array([100.0, 0.0, 300.0, 500.0]), np.array([900.0, 1_200.0, 700.0, 2_500.0])
    states = np.array([np.where(on, high, low) for on in product([False, True], repeat=4)])
    mean, variance = states.mean(axis=0), states.var(axis=0)

    def loss(powers: np.ndarray) -> float:
        per_element = powers[:, load] * share
        flow = unbalanced_flow(network, per_element, 0.3 * per_element, SOURCE_V, tolerance=1e-11)
        return float(flow.loss_w.mean())

    hidden = loss(states) - loss(mean[None])
    assert hidden > 0.2 * loss(mean[None])
    about = own_loss(network, load, share, SOURCE_V, tangent=0.3, base_w=mean)
    assert variance @ about == pytest.approx(hidden, rel=2e-3)
    # Without load the voltage is higher and the currents are less.
    assert variance @ own_loss(network, load, share, SOURCE_V, tangent=0.3) == pytest.approx(hidden, rel=0.05)


@settings(deadline=None)
@given(
    variations,
    st.lists(st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3), min_size=1, max_size=5),
    st.lists(st.floats(0.0, 1e-5), min_size=3, max_size=3),
)
def test_sums_agree_with_plain_python(variation: Variation, power_w: list[list[float]], own: list[float]) -> None:
    found = averaging_loss(np.array(power_w), np.array(own), variation)
    of = (variation.constant_w2, variation.linear_w, variation.square)
    for k, powers in enumerate(power_w):
        wh, sigma_wh = naive.averaging(powers, own, of, variation.spread, variation.error, 0.25)
        assert math.isclose(found.wh[k], wh, rel_tol=1e-9, abs_tol=1e-12)
        assert math.isclose(found.sigma_wh[k], sigma_wh, rel_tol=1e-9, abs_tol=1e-12)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.floats(0.0, 5e3), min_size=12, max_size=12), min_size=2, max_size=6))
def test_what_is_learned_is_unbiased_in_the_sum_and_can_not_be_bettered(samples: list[list[float]]) -> None:
    found = [m for load in samples for m in naive.moments(load, 3)]
    assume(sum(v for _, v in found) > 1.0)
    variation = fit_variation(np.array(samples), 3, 300)
    assert variation.interval_s == 900
    of = (variation.constant_w2, variation.linear_w, variation.square)
    expected = [of[0] + of[1] * p + of[2] * p * p for p, _ in found]
    total = sum(v for _, v in found)
    assert sum(expected) == pytest.approx(total, rel=1e-4)
    rest = [v - mu for (_, v), mu in zip(found, expected, strict=True)]
    spread = math.sqrt(sum(r * r for r in rest) / sum(mu * mu for mu in expected))
    assert variation.spread == pytest.approx(spread, rel=1e-3, abs=1e-5)

    def likelihood(a: float, b: float, c: float) -> float:
        parts = [(v, a + b * p + c * p * p) for p, v in found]
        if any(mu <= 0.0 < v for v, mu in parts):
            return -math.inf
        return sum((v * math.log(mu) if v else 0.0) - mu for v, mu in parts)

    # The steps end before the very top, but other coefficients of the same sum are hardly likelier.
    best = likelihood(*of)
    power = sum(p for p, _ in found)
    squares = sum(p * p for p, _ in found)
    alone = [(total / len(found), 0.0, 0.0), (0.0, total / power, 0.0), (0.0, 0.0, total / squares)]
    for other in alone:
        for share in (0.01, 0.1, 1.0):
            a, b, c = ((1.0 - share) * x + share * y for x, y in zip(of, other, strict=True))
            assert likelihood(a, b, c) <= best + 1e-4 * total
