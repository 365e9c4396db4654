"""The balanced load flow against a dense nodal solve in plain Python."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.load_flow import balanced_flow, radial_networks
from kernels.load_flow_tree import Outcome
from tests.naive.load_flow import EARTH, Nodal

SOURCE_V, NOMINAL_V = 10.4e3, 10e3


@settings(deadline=None, max_examples=60)
@given(random=st.randoms(use_true_random=False), sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3))
def test_agrees_with_a_dense_nodal_solve(random: Random, sizes: list[int]) -> None:
    starts = np.cumsum([0, *sizes])
    source, ends, z, nominal, shunt, ratio = [], [], [], np.empty(starts[-1]), np.zeros(starts[-1], complex), []
    expected = []
    cases = random.randint(1, 20)
    p, q = np.zeros((2, cases, starts[-1]))
    shares = np.empty((3, starts[-1]))
    for first, size in zip(starts[:-1], sizes, strict=True):
        order = random.sample(range(first, first + size), size)
        source.append(order[0])
        nominal[order[0]] = NOMINAL_V
        nodal = Nodal({(order[0], 0): SOURCE_V + 0j})
        for i, bus in enumerate(order):
            if i > 0:
                above = random.choice(order[:i])
                step = random.choice([1.0, 1.0, 25.0, 0.95])
                nominal[bus] = nominal[above] / step
                value = nominal[bus] ** 2 / 1e6 * complex(random.uniform(0.001, 0.02), random.uniform(0.001, 0.02))
                nodal.winding(((above, 0), EARTH), ((bus, 0), EARTH), 1.0 / step, value)
                turned = random.random() < 0.3
                ends.append((bus, above) if turned else (above, bus))
                ratio.append(1.0 / step if turned else step)
                z.append(value * step**2 if turned else value)
            per_unit = random.choice([0j, complex(random.uniform(0, 0.01), random.uniform(-0.2, 0.2))])
            shunt[bus] = per_unit * 1e6 / nominal[bus] ** 2
            nodal.between((bus, 0), EARTH, shunt[bus])
            parts = random.choice([(1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.4, 0.35, 0.25)])
            shares[:, bus] = parts
            p[:, bus] = [random.uniform(-2e5, 4e5) for _ in range(cases)]
            q[:, bus] = [random.uniform(-1e5, 2e5) for _ in range(cases)]
            nodal.loads.append(((bus, 0), EARTH, complex(p[-1, bus], q[-1, bus]), float(nominal[bus]), parts))
        v = nodal.solve()
        iron = sum((shunt[bus].real * abs(v[bus, 0]) ** 2 for bus in order), 0.0)
        loss = nodal.supply_w(v, {(order[0], 0)}) - nodal.load_w(v)
        expected.append((loss, iron, min(abs(v[bus, 0]) / nominal[bus] for bus in order)))
    from_bus, to_bus = np.array(ends, np.int64).reshape(-1, 2).T.copy()
    networks = radial_networks(
        starts,
        np.array(source),
        nominal,
        from_bus,
        to_bus,
        np.array([x.real for x in z]),
        np.array([x.imag for x in z]),
        ratio=np.array(ratio, np.float64),
        shunt_g_s=shunt.real.copy(),
        shunt_b_s=shunt.imag.copy(),
    )
    flow = balanced_flow(networks, p, q, SOURCE_V, shares=shares, tolerance=1e-11)
    assert (flow.outcome == Outcome.CONVERGED).all()
    for u, (loss, iron, low) in enumerate(expected):
        assert flow.loss_w[-1, u] == pytest.approx(loss, rel=1e-7, abs=1e-3)
        assert flow.no_load_loss_w[-1, u] == pytest.approx(iron, rel=1e-8)
        assert flow.min_voltage_pu[-1, u] == pytest.approx(low, rel=1e-9)
