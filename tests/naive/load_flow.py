"""Oracle of the load flow in plain Python: one dense system of node voltages, solved again and again.

Every conductor of every bus is a node. Loads are currents at the last voltages; what is constant admittance is in the
matrix. It knows nothing of trees, so it can't be wrong in the way that a sweep can. Imports nothing of the package.
"""

from __future__ import annotations

import cmath
from dataclasses import dataclass, field

Node = tuple[int, int]  # bus, conductor
EARTH: Node = (-1, -1)


@dataclass
class Nodal:
    fixed: dict[Node, complex]
    admittance: dict[tuple[Node, Node], complex] = field(default_factory=dict)
    loads: list[tuple[Node, Node, complex, float, tuple[float, float, float]]] = field(default_factory=list)

    def stamp(self, one: Node, other: Node, y: complex) -> None:
        """An entry of the node admittance matrix; earth has none."""
        if EARTH not in (one, other):
            self.admittance[one, other] = self.admittance.get((one, other), 0j) + y

    def between(self, one: Node, other: Node, y: complex) -> None:
        """An admittance between two nodes, or from one to earth."""
        for a, b, sign in ((one, one, 1), (other, other, 1), (one, other, -1), (other, one, -1)):
            self.stamp(a, b, sign * y)

    def line(self, one: int, other: int, conductors: list[int], z: list[list[complex]]) -> None:
        y = inverse(z)
        for i, ci in enumerate(conductors):
            for k, ck in enumerate(conductors):
                for a, b, sign in ((one, one, 1), (other, other, 1), (one, other, -1), (other, one, -1)):
                    self.stamp((a, ci), (b, ck), sign * y[i][k])

    def winding(self, first: tuple[Node, Node], second: tuple[Node, Node], ratio: float, z: complex) -> None:
        """One transformer winding: V_second = ratio × V_first − z J."""
        weights = [(first[0], ratio), (first[1], -ratio), (second[0], -1.0), (second[1], 1.0)]
        for a, wa in weights:
            for b, wb in weights:
                self.stamp(a, b, wa * wb / z)

    def solve(self, rounds: int = 200) -> dict[Node, complex]:
        nodes = sorted({n for pair in self.admittance for n in pair} - set(self.fixed))
        place = {n: i for i, n in enumerate(nodes)}
        matrix = [[0j] * len(nodes) for _ in nodes]
        drive = [0j] * len(nodes)
        for (a, b), y in self.admittance.items():
            if a in place and b in place:
                matrix[place[a]][place[b]] += y
            elif a in place:
                drive[place[a]] -= y * self.fixed[b]
        # Rows and columns of like size: ohms of 10 kV and of 400 V in one matrix cost the digits otherwise.
        size = [abs(matrix[i][i]) ** 0.5 or 1.0 for i in range(len(nodes))]
        solved = inverse([[y / size[i] / size[k] for k, y in enumerate(row)] for i, row in enumerate(matrix)])
        solved = [[s / size[i] / size[k] for k, s in enumerate(row)] for i, row in enumerate(solved)]
        v = dict(self.fixed)
        injected = [0j] * len(nodes)
        for _ in range(rounds):
            right = [d + i for d, i in zip(drive, injected, strict=True)]
            new = {n: sum(s * r for s, r in zip(solved[place[n]], right, strict=True)) for n in nodes}
            moved = max((abs(new[n] - v.get(n, 0j)) for n in nodes), default=0.0)
            v |= new
            injected = [0j] * len(nodes)
            for one, other, current in self.currents(v):
                if one in place:
                    injected[place[one]] -= current
                if other in place:
                    injected[place[other]] += current
            if moved < 1e-11 * max(map(abs, self.fixed.values())):
                break
        return v

    def currents(self, v: dict[Node, complex]) -> list[tuple[Node, Node, complex]]:
        found = []
        for one, other, power, nominal, (constant, current, impedance) in self.loads:
            across = v[one] - (0j if other == EARTH else v[other])
            x = abs(across) / nominal
            taken = power * (constant + current * x + impedance * x * x)
            found.append((one, other, (taken / across).conjugate()))
        return found

    def load_w(self, v: dict[Node, complex]) -> float:
        return sum(
            ((v[one] - (0j if other == EARTH else v[other])) * i.conjugate()).real for one, other, i in self.currents(v)
        )

    def supply_w(self, v: dict[Node, complex], at: set[Node]) -> float:
        """Power that the fixed nodes `at` give."""
        total = 0j
        for (a, b), y in self.admittance.items():
            if a in at:
                total += v[a] * (y * v[b]).conjugate()
        loads = sum((v[one] * i.conjugate()).real for one, _, i in self.currents(v) if one in at)
        return total.real + loads


def inverse(matrix: list[list[complex]]) -> list[list[complex]]:
    size = len(matrix)
    rows = [list(row) + [complex(i == k) for k in range(size)] for i, row in enumerate(matrix)]
    for k in range(size):
        pivot = max(range(k, size), key=lambda i: abs(rows[i][k]))
        rows[k], rows[pivot] = rows[pivot], rows[k]
        head = rows[k][k]
        rows[k] = [x / head for x in rows[k]]
        for i in range(size):
            if i != k and rows[i][k] != 0:
                factor = rows[i][k]
                rows[i] = [x - factor * y for x, y in zip(rows[i], rows[k], strict=True)]
    return [row[size:] for row in rows]


def phasors(line_to_line_v: float) -> list[complex]:
    """Phases A, B, C to earth."""
    return [cmath.rect(line_to_line_v / 3**0.5, -k * 2 * cmath.pi / 3) for k in range(3)]
