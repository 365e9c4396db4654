"""Scores in plain Python, from what a person would do with paper: an oracle that imports nothing of the package."""

from collections.abc import Mapping, Sequence
from typing import Any


def naive_score(weights: Sequence[Mapping[str, Any]], values: Mapping[str, float | None]) -> float | None:
    """Score of one organisation: weights as dictionaries, values by indicator."""
    earned = 0.0
    possible = 0.0
    for weight in weights:
        value = values[weight["indicator"]]
        if value is None and weight["unknown"] == "left_out":
            continue
        possible += weight["weight"]
        if value is None:
            continue
        low, high = weight["floor"], weight["target"]
        if low < high:
            if value >= high:
                earned += weight["weight"]
            elif value > low:
                earned += weight["weight"] * (value - low) / (high - low)
        elif value <= high:
            earned += weight["weight"]
        elif value < low:
            earned += weight["weight"] * (low - value) / (low - high)
    return None if possible == 0 else 100 * earned / possible
