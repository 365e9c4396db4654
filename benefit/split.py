"""Divides whole numbers so that the parts add up: largest remainders (Hamilton's method); pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def split(total: int, weights: Sequence[int]) -> list[int]:
    """`total` by weights; the parts add up to it. Equal remainders: the first in order gets the unit that is left.

    A negative total is divided as the positive one is.

    Raises
    ------
    ValueError
        When a weight is negative, or none is positive.
    """
    whole = sum(weights)
    if whole <= 0 or min(weights) < 0:
        raise ValueError("weights are not negative, and one is positive")
    sign, size = (-1 if total < 0 else 1), abs(total)
    parts = [size * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: -(size * weights[i] % whole))
    for i in by_remainder[: size - sum(parts)]:
        parts[i] += 1
    return [sign * part for part in parts]


def split_by_name(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    """The same by name, in the order of names."""
    names = sorted(weights)
    return dict(zip(names, split(total, [weights[name] for name in names]), strict=True))
