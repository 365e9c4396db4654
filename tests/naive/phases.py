"""An area's three phases by a backward and forward sweep in plain Python: loads, lines, voltages, losses."""

from __future__ import annotations

import cmath
from collections import defaultdict

Phases = tuple[complex, complex, complex]


def sweep(
    root: int,
    at_root: Phases,
    lines: list[tuple[int, int, complex, complex, complex, complex]],
    loads: dict[int, Phases],
) -> tuple[dict[int, Phases], Phases, float]:
    """Voltages by node, power into the root, and the loss of the lines, watts.

    Parameters
    ----------
    at_root
        Voltage of each phase against earth.
    lines
        From (nearer to the root), to, series impedance and shunt admittance in the positive and the zero sequence.
    loads
        Power that is drawn from each phase at a node.
    """
    children: dict[int, list[int]] = defaultdict(list)
    for n, line in enumerate(lines):
        children[line[0]].append(n)
    order = [root]
    for node in order:
        order += [lines[n][1] for n in children[node]]
    volts = dict.fromkeys(order, at_root)
    into: dict[int, list[complex]] = {}
    for _ in range(60):
        for node in reversed(order):
            current = [(s / v).conjugate() for s, v in zip(loads.get(node, (0, 0, 0)), volts[node], strict=True)]
            for n in children[node]:
                _, far, _, _, y1, y0 = lines[n]
                shunt = [a + b for a, b in zip(coupled(y1 / 2, y0 / 2, volts[node]), into[far], strict=True)]
                current = [a + b for a, b in zip(current, shunt, strict=True)]
            own = next((line for line in lines if line[1] == node), None)
            if own is not None:
                end = coupled(own[4] / 2, own[5] / 2, volts[node])
                current = [a + b for a, b in zip(current, end, strict=True)]
            into[node] = current
        for node in order:
            for n in children[node]:
                _, far, z1, z0, _, _ = lines[n]
                drop = coupled(z1, z0, into[far])
                a, b, c = (v - d for v, d in zip(volts[node], drop, strict=True))
                volts[far] = (a, b, c)
    power = [v * i.conjugate() for v, i in zip(at_root, into[root], strict=True)]
    drawn = sum(s.real for phases in loads.values() for s in phases)
    return volts, (power[0], power[1], power[2]), sum(s.real for s in power) - drawn


def coupled(one: complex, zero: complex, of: list[complex] | Phases) -> list[complex]:
    """A symmetric three-phase element, by its sequence values, applied to phase values."""
    own, mutual = (zero + 2 * one) / 3, (zero - one) / 3
    return [(own - mutual) * x + mutual * sum(of) for x in of]


def polar(size: float, angle_rad: float) -> complex:
    """A complex number by size and angle."""
    return cmath.rect(size, angle_rad)
