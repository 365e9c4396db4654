"""Consensus of unequally sure values in plain Python. Imports nothing of the project."""

from __future__ import annotations


def excess(value: list[float], variance: list[float], between: float) -> float:
    """Weighted squares about the weighted mean, less n − 1."""
    weights = [1 / (v + between) for v in variance]
    mean = sum(w * x for w, x in zip(weights, value, strict=True)) / sum(weights)
    return sum(w * (x - mean) ** 2 for w, x in zip(weights, value, strict=True)) - (len(value) - 1)


def mean_at(value: list[float], variance: list[float], between: float) -> tuple[float, float]:
    """Weighted mean and its variance."""
    weights = [1 / (v + between) for v in variance]
    return sum(w * x for w, x in zip(weights, value, strict=True)) / sum(weights), 1 / sum(weights)
