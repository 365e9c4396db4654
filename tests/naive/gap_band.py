"""Variance of the sum of a gap's errors in plain Python. Imports nothing of the project."""

from __future__ import annotations

import math


def correlation(apart: int, minutes: float, part: float = 0.0) -> float:
    """Of two errors of one gap: 0.4 fading over 1.5 h and 0.08 over 25 h; of a part of them all of it over 5 h."""
    hours = apart * minutes / 60
    common = 0.4 * math.exp(-hours / 1.5) + 0.08 * math.exp(-hours / 25)
    return (1 - part) * common + part * math.exp(-hours / 5) if apart else 1.0


def of_sum(intervals: int, minutes: float, part: float = 0.0) -> float:
    """Variance of the sum of so many errors of variance 1."""
    return sum(correlation(abs(i - j), minutes, part) for i in range(intervals) for j in range(intervals))


def lasting_part(days: list[tuple[float | None, float | None, float | None]], minutes: float) -> float:
    """How far a meter is from a household towards one whose errors last, by values two intervals apart."""
    means = []
    for slot in range(3):
        known = [day[slot] for day in days if day[slot] is not None]
        means.append(sum(v for v in known if v is not None) / len(known) if known else 0.0)
    pairs = [(a - means[0], b - means[2]) for a, _, b in days if a is not None and b is not None]
    squares = math.sqrt(sum(a * a for a, _ in pairs) * sum(b * b for _, b in pairs))
    common, most = correlation(2, minutes), correlation(2, minutes, 1.0)
    if squares <= 0 or most <= common:
        return 0.0
    seen = max(-0.995, min(0.995, sum(a * b for a, b in pairs) / squares))
    before, sure = 1 / 0.7**2, max(len(pairs) - 3, 0)
    own = math.tanh((before * math.atanh(common) + sure * math.atanh(seen)) / (before + sure))
    return max(0.0, min(1.0, (own - common) / (most - common)))
