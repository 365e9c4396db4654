"""The load flow by phases, from the circuit on, against a dense nodal solve in plain Python."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.circuit import Bus, Capacitor, Circuit, Earthing, Line, Load, Source, Transformer, Winding
from streams.steps.circuit_flow import circuit_flow
from tests.naive.load_flow import EARTH, Nodal, Node, phasors

WYE, DELTA = Winding.WYE, Winding.DELTA
SQRT_3 = math.sqrt(3)
RATED_VA = 2e5
#: By vector group: for the second's winding a, the first's winding and its sign (IEC 60076-1, annex on clock numbers).
GROUPS = {
    (WYE, WYE, 0): (0, 1), (WYE, WYE, 6): (0, -1), (DELTA, DELTA, 0): (0, 1), (DELTA, DELTA, 6): (0, -1),
    (DELTA, WYE, 11): (0, 1), (DELTA, WYE, 5): (0, -1), (DELTA, WYE, 1): (2, -1), (DELTA, WYE, 7): (2, 1),
    (WYE, DELTA, 1): (0, 1), (WYE, DELTA, 7): (0, -1), (WYE, DELTA, 11): (1, -1), (WYE, DELTA, 5): (1, 1),
}  # fmt: skip


@dataclass
class Zone:
    nominal_v: float
    phases: str = "ABC"
    neutral: bool = False
    floating: bool = False


class Maker:
    """Draws a circuit and stamps the oracle's matrix with the same."""

    def __init__(self, random: Random, *, neutral: bool) -> None:
        self.random, self.neutral = random, neutral
        self.zones = {0: Zone(10e3)}
        self.lines: list[Line] = []
        self.transformers: list[Transformer] = []
        self.loads: list[Load] = []
        self.capacitors: list[Capacitor] = []
        self.earthings: list[Earthing] = []
        self.nodal = Nodal({(0, k): v for k, v in enumerate(phasors(10.3e3))})
        self.iron: list[tuple[Node, Node, float]] = []

    def grow(self, bus: int) -> None:
        above = self.random.choice(list(self.zones))
        zone = self.zones[above]
        if self.random.random() < 0.35 and zone.phases == "ABC":
            self.transformer(above, bus, zone)
        else:
            self.line(above, bus, zone)
        self.load(bus)
        if self.random.random() < 0.3:
            self.capacitor(bus)

    def line(self, above: int, bus: int, zone: Zone) -> None:
        keep = self.random.sample(zone.phases, self.random.choice([len(zone.phases)] * 3 + [1]))
        if zone.floating:
            keep = list("ABC")
        phases = "".join(sorted(keep))
        neutral = self.neutral and not zone.floating and self.random.random() < 0.7
        conductors = phases + ("N" if neutral else "")
        base = zone.nominal_v**2 / RATED_VA
        own, mutual = self.impedance(base), self.impedance(base) * 0.3
        z = [[own if i == k else mutual for k in range(len(conductors))] for i in range(len(conductors))]
        charging = 0j if zone.floating else 1j * self.random.choice([0.0, 1e-3]) / base
        c = [[charging if i == k else -charging / 5 for k in range(len(conductors))] for i in range(len(conductors))]
        ends = (f"{above}", f"{bus}") if self.random.random() < 0.7 else (f"{bus}", f"{above}")
        self.lines.append(Line(f"line {bus}", *ends, conductors, tuple(map(tuple, z)), tuple(map(tuple, c))))
        numbers = ["ABCN".index(x) for x in conductors]
        self.nodal.line(above, bus, numbers, z)
        for at in (above, bus):
            for i, ci in enumerate(numbers):
                for k, ck in enumerate(numbers):
                    self.nodal.stamp((at, ci), (at, ck), c[i][k] / 2)
        if neutral and not zone.neutral:
            self.nodal.fixed[above, 3] = 0j
        self.zones[bus] = Zone(zone.nominal_v, phases, neutral, zone.floating)
        if neutral and self.random.random() < 0.4:
            self.earthings.append(Earthing(f"rod {bus}", f"{bus}", self.random.uniform(0.1, 20.0)))
            self.nodal.between((bus, 3), EARTH, 1 / self.earthings[-1].resistance_ohm)

    def transformer(self, above: int, bus: int, zone: Zone) -> None:
        choices = [group for group in GROUPS if group[0] is DELTA or not zone.floating]
        first, second, clock = self.random.choice(choices)
        turned = self.random.random() < 0.3 and not (second is WYE and zone.floating)
        from_v = zone.nominal_v
        to_v = from_v / self.random.choice([1.0, 25.0] if from_v > 1_000.0 else [1.0])
        moved = (first, second) == (WYE, WYE)
        a, b, c = (self.random.uniform(0.95, 1.05) if moved else 1.0 for _ in range(3))
        tap = (a, b, c)
        if turned:
            from_v, to_v = to_v, from_v
        z = self.impedance(to_v**2 / RATED_VA)
        magnetising = complex(1e-3, -5e-3) * RATED_VA / from_v**2
        near, far = (bus, above) if turned else (above, bus)
        self.transformers.append(
            Transformer(
                f"transformer {bus}",
                f"{near}",
                f"{far}",
                "ABC",
                first,
                second,
                from_v,
                to_v,
                z,
                magnetising,
                tap,
                clock,
            )
        )
        shift, sign = GROUPS[first, second, clock]
        ratio = (to_v * (SQRT_3 if second is DELTA else 1)) / (from_v * (SQRT_3 if first is DELTA else 1))
        for k in range(3):
            one = self.across(near, (k + shift) % 3, first)
            other = self.across(far, k, second)
            self.nodal.winding(one, other, sign * ratio * tap[k], z * (3 if second is DELTA else 1))
            part = magnetising / (3 if first is DELTA else 1)
            x, y = self.across(near, k, first)
            self.nodal.between(x, y, part)
            self.iron.append((x, y, part.real))
        below = first if turned else second
        if below is DELTA:  # nothing else ties it to earth; the same for all three, so that the voltages sum to 0
            for k in range(3):
                self.nodal.between((bus, k), EARTH, 1e-6j * RATED_VA / (from_v if turned else to_v) ** 2)
        self.zones[bus] = Zone(from_v if turned else to_v, floating=below is DELTA)

    def load(self, bus: int) -> None:
        zone = self.zones[bus]
        delta = zone.phases == "ABC" and (zone.floating or self.random.random() < 0.4)
        phases = zone.phases if self.random.random() < 0.5 else self.random.choice(zone.phases)
        powers = tuple(complex(self.power(), self.power() / 2) for _ in phases)
        shares = self.random.choice([(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.3, 0.3, 0.4)])
        kind = DELTA if delta else WYE
        self.loads.append(Load(f"load {bus}", f"{bus}", phases, kind, powers, zone.nominal_v, shares, shares))
        nominal = zone.nominal_v / (1 if delta else SQRT_3)
        for phase, power in zip(phases, powers, strict=True):
            one, other = self.across(bus, "ABC".index(phase), kind)
            if not delta and zone.neutral:
                other = (bus, 3)
            self.nodal.loads.append((one, other, power, nominal, shares))

    def capacitor(self, bus: int) -> None:
        zone = self.zones[bus]
        kind = DELTA if zone.floating else WYE
        y = 0.05j * RATED_VA / zone.nominal_v**2
        self.capacitors.append(Capacitor(f"capacitor {bus}", f"{bus}", zone.phases, kind, (y,) * len(zone.phases)))
        for phase in zone.phases:
            one, other = self.across(bus, "ABC".index(phase), kind)
            self.nodal.between(one, (bus, 3) if zone.neutral else other, y)

    def across(self, bus: int, phase: int, winding: Winding) -> tuple[Node, Node]:
        return (bus, phase), (bus, (phase + 1) % 3) if winding is DELTA else EARTH

    def impedance(self, base: float) -> complex:
        return base * complex(self.random.uniform(0.003, 0.02), self.random.uniform(0.003, 0.02))

    def power(self) -> float:
        return self.random.uniform(-0.03, 0.1) * RATED_VA

    def circuit(self) -> Circuit:
        a, b, c = phasors(10.3e3)
        return Circuit(
            Source("grid", "0", (a, b, c)),
            tuple(Bus(f"{bus}", zone.nominal_v) for bus, zone in self.zones.items()),
            tuple(self.lines),
            (),
            tuple(self.transformers),
            tuple(self.loads),
            tuple(self.capacitors),
            tuple(self.earthings),
        )


@settings(deadline=None, max_examples=120)
@given(random=st.randoms(use_true_random=False), buses=st.integers(2, 8), neutral=st.booleans())
def test_agrees_with_a_dense_nodal_solve(random: Random, buses: int, neutral: bool) -> None:
    maker = Maker(random, neutral=neutral)
    for bus in range(1, buses):
        maker.grow(bus)
    flow = circuit_flow(maker.circuit(), tolerance=1e-11)
    v = maker.nodal.solve()
    load_w = maker.nodal.load_w(v)
    supply_w = maker.nodal.supply_w(v, {(0, k) for k in range(3)})
    iron = sum(g * abs(v[a] - (0j if b == EARTH else v[b])) ** 2 for a, b, g in maker.iron)
    for bus, zone in maker.zones.items():
        for phase in zone.phases:
            per_unit = abs(v[bus, "ABC".index(phase)]) / zone.nominal_v * SQRT_3
            assert flow.voltage_pu[f"{bus}"][phase] == pytest.approx(per_unit, rel=5e-7)
    assert flow.load_w == pytest.approx(load_w, rel=1e-6, abs=0.01)
    # The oracle has admittances of 1e-6 beside 1e2 per unit, and its loss is a difference of much greater powers.
    assert flow.loss_w == pytest.approx(supply_w - load_w, rel=1e-5, abs=5e-6 * RATED_VA)
    assert flow.no_load_loss_w == pytest.approx(iron, rel=1e-6)
    assert np.isfinite(flow.loss_w)
