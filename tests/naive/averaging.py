"""What means over an interval hide of a loss, in plain Python: ways through a tree of lines, variances, sums."""

from __future__ import annotations

import cmath
import math


def way(parent: list[int], ohm: list[float], node: int) -> float:
    """Sum of the lines' values from node 0 to a node."""
    total = 0.0
    while node > 0:
        total += ohm[node]
        node = parent[node]
    return total


def own_loss(one_ohm: float, zero_ohm: float, phases: list[int], volts: float) -> float:
    """Loss in W of 1 W that is taken in equal shares from some phases, over resistances of a way by sequence.

    Each conductor's own current goes through its own resistance, and their sum comes back through what they share.
    """
    currents = [cmath.rect(1.0 / len(phases) / volts, -2.0 * math.pi / 3.0 * phase) for phase in phases]
    shared_ohm = (zero_ohm - one_ohm) / 3.0
    return one_ohm * sum(abs(i) ** 2 for i in currents) + shared_ohm * abs(sum(currents)) ** 2


def moments(samples: list[float], per_interval: int) -> list[tuple[float, float]]:
    """Size of the mean, and the variance, of each interval."""
    found = []
    for begin in range(0, len(samples), per_interval):
        part = samples[begin : begin + per_interval]
        mean = sum(part) / per_interval
        found.append((abs(mean), sum((x - mean) ** 2 for x in part) / per_interval))
    return found


def averaging(
    powers: list[float], own: list[float], of: tuple[float, float, float], spread: float, error: float, hours: float
) -> tuple[float, float]:
    """Expected energy of one interval that its means hide, and its standard deviation."""
    lost = [k * (of[0] + of[1] * abs(p) + of[2] * p * p) * hours for p, k in zip(powers, own, strict=True)]
    chance = sum((spread * x) ** 2 for x in lost)
    return sum(lost), math.sqrt(chance + (error * sum(lost)) ** 2)
