"""Variance of the sum of a gap's errors in plain Python. Imports nothing of the project."""

from __future__ import annotations

import math


def correlation(apart: int, minutes: float) -> float:
    """Of two errors of one gap: 0.4 fading over 1.5 h, and 0.08 over 25 h."""
    hours = apart * minutes / 60
    return 0.4 * math.exp(-hours / 1.5) + 0.08 * math.exp(-hours / 25) if apart else 1.0


def of_sum(intervals: int, minutes: float) -> float:
    """Variance of the sum of so many errors of variance 1."""
    return sum(correlation(abs(i - j), minutes) for i in range(intervals) for j in range(intervals))
