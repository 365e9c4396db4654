"""From a circuit to its flow: what is refused and how, parallel branches, neutral, and many cases."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from grid.circuit import Bus, Capacitor, Circuit, Earthing, Line, Load, Matrix, Source, Switch, Transformer, Winding
from kernels.load_flow_phases import unbalanced_flow
from kernels.load_flow_sweep import LANES
from kernels.load_flow_tree import Outcome
from streams.steps.circuit_flow import CircuitError, circuit_flow, prepare
from tests.naive.load_flow import inverse, phasors

WYE, DELTA = Winding.WYE, Winding.DELTA
A, B, C = phasors(400.0)


def matrix(conductors: str, own: complex, mutual: complex = 0j) -> Matrix:
    size = range(len(conductors))
    return tuple(tuple(own if i == k else mutual for k in size) for i in size)


def line(code: str, one: str, other: str, conductors: str = "ABC", own: complex = 0.1 + 0.05j) -> Line:
    return Line(code, one, other, conductors, matrix(conductors, own, own / 5), matrix(conductors, 0j))


def load(code: str, bus: str, phases: str = "A", power: complex = 3e3 + 1e3j, winding: Winding = WYE) -> Load:
    return Load(code, bus, phases, winding, (power,) * len(phases), 400.0)


def circuit(**parts: Any) -> Circuit:
    """Buses s, a, b at 400 V; a line from s to a with a load, unless told otherwise."""
    buses = tuple(Bus(code, 400.0) for code in "sab")
    usual: dict[str, Any] = {"lines": (line("l1", "s", "a"),), "loads": (load("house", "a"),)}
    return Circuit(Source("grid", "s", (A, B, C)), buses, **(usual | parts))


def transformer(first: Winding = DELTA, second: Winding = WYE, clock: int = 11, **more: Any) -> Transformer:
    values: dict[str, Any] = {"phases": "ABC", "from_v": 400.0, "to_v": 400.0, "impedance_ohm": 0.02 + 0.08j}
    return Transformer("t1", "a", "b", from_winding=first, to_winding=second, clock=clock, **(values | more))


def test_what_the_source_gives_is_loads_and_loss() -> None:
    ready = prepare(circuit(lines=(line("l1", "s", "a"), line("l2", "a", "b"))), ["a"])
    flow = unbalanced_flow(ready.network, np.array([[3e3]]), np.array([[1e3]]), ready.source_v)
    current = (A - flow.voltage[0, 0]) / (0.1 + 0.05j)
    assert flow.load_w[0] == pytest.approx(3e3, rel=1e-7)
    assert (A * current.conjugate()).real == pytest.approx(flow.load_w[0] + flow.loss_w[0], rel=1e-7)
    assert flow.loss_w[0] == pytest.approx(0.1 * abs(current) ** 2, rel=1e-6)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"lines": (line("l1", "s", "a"), line("l2", "a", "b"), line("l3", "b", "s"))}, r"l3 closes a loop"),
        ({"loads": (load("far", "b"),)}, r"load far at bus b is out of the source's reach"),
        ({"lines": (line("l1", "s", "a", "BC"),)}, r"load house at bus a is on a phase that isn't there: A"),
        (
            {"lines": (line("l1", "s", "a", "BC"),), "loads": (load("two", "a", "A", winding=DELTA),)},
            r"load two at bus a",
        ),
        ({"transformers": (transformer(clock=0),)}, r"t1: no delta-wye transformer has clock 0"),
        ({"transformers": (transformer(WYE, WYE, 1),)}, r"t1: no wye-wye transformer has clock 1"),
        ({"transformers": (transformer(),), "lines": (line("l1", "s", "a", "AB"),)}, r"t1 has a winding on a phase"),
        ({"transformers": (transformer(DELTA, DELTA, 0),), "loads": (load("x", "b"),)}, r"load x joins bus b to earth"),
        (
            {"transformers": (transformer(DELTA, DELTA, 0),), "capacitors": (Capacitor("c1", "b", "A", WYE, (1j,)),)},
            r"c1 joins bus b to earth",
        ),
        ({"transformers": (transformer(WYE, DELTA, 11, impedance_ohm=0j),)}, r"t1: a closed delta needs an impedance"),
        ({"loads": (load("house", "a", power=1e6),)}, r"fed from grid hasn't converged"),
    ],
)
def test_refusals_name_the_object(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        circuit_flow(circuit(**parts))


def test_a_wye_winding_behind_a_delta_is_refused() -> None:
    buses = tuple(Bus(code, 400.0) for code in "sabc")
    second = replace(transformer(WYE, WYE, 0), code="t2", from_bus="b", to_bus="c")
    wrong = replace(circuit(), buses=buses, transformers=(transformer(DELTA, DELTA, 0), second))
    with pytest.raises(CircuitError, match="t2 is earthed at bus b, behind a delta"):
        circuit_flow(wrong)


def test_an_island_without_load_is_passed_over() -> None:
    flow = circuit_flow(circuit(loads=(load("house", "a"), load("empty", "b", power=0j))))
    assert set(flow.voltage_pu) == {"s", "a"}
    assert flow.loss_w > 0


@pytest.mark.parametrize("closed", [True, False])
def test_a_switch_joins_buses_while_closed(closed: bool) -> None:
    made = circuit(switches=(Switch("q1", "a", "b", "ABC", closed),), loads=(load("house", "b"),))
    if closed:
        flow = circuit_flow(made)
        assert flow.voltage_pu["b"] == pytest.approx(flow.voltage_pu["a"], rel=1e-12)
    else:
        with pytest.raises(CircuitError, match="house"):
            circuit_flow(made)


def test_two_lines_side_by_side_are_as_one_of_half_the_impedance() -> None:
    two = circuit_flow(circuit(lines=(line("l1", "s", "a"), line("l2", "a", "s"))))
    one = circuit_flow(circuit(lines=(line("l1", "s", "a", own=0.05 + 0.025j),)))
    assert two.loss_w == pytest.approx(one.loss_w, rel=1e-9)


def test_three_single_phase_regulators_are_as_one() -> None:
    taps = (1.05, 1.0, 0.975)
    loads = (load("house", "b", "ABC"),)
    one = circuit_flow(circuit(transformers=(transformer(WYE, WYE, 0, tap_ratio=taps),), loads=loads))
    single = tuple(replace(transformer(WYE, WYE, 0, phases=p, tap_ratio=taps), code=p) for p in "ABC")
    assert circuit_flow(circuit(transformers=single, loads=loads)).loss_w == pytest.approx(one.loss_w, rel=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "clock"), [(WYE, WYE, 0), (DELTA, WYE, 11), (WYE, DELTA, 1), (DELTA, DELTA, 0)]
)
def test_balanced_load_has_the_same_loss_through_every_connection(first: Winding, second: Winding, clock: int) -> None:
    loads = (load("x", "b", "ABC", winding=DELTA),)
    flow = circuit_flow(circuit(transformers=(transformer(first, second, clock),), loads=loads))
    plain = circuit_flow(circuit(transformers=(transformer(WYE, WYE, 6),), loads=loads))
    assert flow.loss_w == pytest.approx(plain.loss_w, rel=1e-8)


def test_an_open_delta_bank_of_two_feeds_three_phases() -> None:
    loads = (load("x", "b", "ABC", winding=DELTA),)
    flow = circuit_flow(circuit(transformers=(transformer(DELTA, DELTA, 0, phases="AB"),), loads=loads))
    assert set(flow.voltage_pu["b"]) == set("ABC")
    assert all(0.9 < value < 1.0 for value in flow.voltage_pu["b"].values())


def test_an_explicit_neutral_earthed_everywhere_is_the_kron_reduction() -> None:
    own, mutual = 0.3 + 0.2j, 0.05 + 0.1j
    full = matrix("ABCN", own, mutual)
    y = inverse([list(row) for row in full])
    reduced = inverse([row[:3] for row in y[:3]])  # the neutral's voltage is 0 at both ends
    loads = (load("house", "a", "AB"), load("shop", "b", "C", 5e3 + 0j))
    four = circuit(
        lines=tuple(
            Line(c, ends[0], ends[1], "ABCN", full, matrix("ABCN", 0j)) for c, ends in (("l1", "sa"), ("l2", "ab"))
        ),
        earthings=(Earthing("e1", "a", 0.0), Earthing("e2", "b", 0.0)),
        loads=loads,
    )
    kron: Matrix = tuple(map(tuple, reduced))
    three = circuit(
        lines=tuple(
            Line(c, ends[0], ends[1], "ABC", kron, matrix("ABC", 0j)) for c, ends in (("l1", "sa"), ("l2", "ab"))
        ),
        loads=loads,
    )
    assert circuit_flow(four).loss_w == pytest.approx(circuit_flow(three).loss_w, rel=1e-4)
    unearthed = circuit_flow(replace(four, earthings=()))
    assert unearthed.loss_w > 1.02 * circuit_flow(three).loss_w


def test_beyond_its_band_a_load_is_an_impedance() -> None:
    banded = circuit(loads=(replace(load("house", "a", power=9e3), band_pu=(1.0, 1.1)),))
    as_impedance = circuit(loads=(replace(load("house", "a", power=9e3), shares=(0.0, 0.0, 1.0)),))
    assert circuit_flow(banded).loss_w == pytest.approx(circuit_flow(as_impedance).loss_w, rel=1e-7)
    assert circuit_flow(banded).loss_w < 0.95 * circuit_flow(circuit(loads=(load("house", "a", power=9e3),))).loss_w


def test_small_loads_lose_with_the_square() -> None:
    one, ten = (circuit_flow(circuit(loads=(load("house", "a", power=p),))).loss_w for p in (1.0 + 0j, 10.0 + 0j))
    assert ten == pytest.approx(100 * one, rel=1e-3)


def test_many_cases_are_each_as_alone() -> None:
    ready = prepare(circuit(lines=(line("l1", "s", "a"), line("l2", "a", "b")), loads=(load("x", "b"),)), ["b"])
    cases = 2 * LANES + 5
    p = np.linspace(-5e3, 9e3, cases)[:, None]
    p[3], p[20] = np.nan, 1e7
    flow = unbalanced_flow(ready.network, p, 0.2 * p, ready.source_v, tolerance=1e-11)
    assert flow.outcome[3] == Outcome.MISSING
    assert flow.outcome[20] == Outcome.DIVERGED
    assert np.isnan(flow.loss_w[[3, 20]]).all()
    assert np.isnan(flow.voltage[[3, 20]].real).all()
    for k in (0, 2, 4, 19, 21, cases - 1):
        alone = unbalanced_flow(ready.network, p[k : k + 1], 0.2 * p[k : k + 1], ready.source_v, tolerance=1e-11)
        assert flow.loss_w[k] == pytest.approx(alone.loss_w[0], rel=1e-8)
        assert abs(flow.voltage[k, 0]) == pytest.approx(abs(alone.voltage[0, 0]), rel=1e-10)


def test_a_source_impedance_lowers_the_voltage_but_its_loss_does_not_count() -> None:
    weak = Source("grid", "s", (A, B, C), matrix("ABC", 0.2 + 0j))
    made = replace(circuit(), source=weak)
    flow = circuit_flow(made)
    assert flow.voltage_pu["s"]["A"] < 0.995
    volts = flow.voltage_pu["a"]["A"] * 400.0 / math.sqrt(3.0)
    assert flow.loss_w == pytest.approx(0.1 * abs(complex(3e3, 1e3) / volts) ** 2, rel=1e-6)
