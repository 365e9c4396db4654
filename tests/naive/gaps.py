"""Which numbers are missing, with sets: the oracle of the gaps."""

from __future__ import annotations

from collections.abc import Sequence


def missing(numbers: Sequence[int]) -> set[int]:
    """Numbers between the first that came and the greatest that nobody has seen."""
    if not numbers:
        return set()
    seen = set(numbers)
    return {n for n in range(numbers[0], max(numbers)) if n not in seen}
