"""Oracle of the change of a loss in plain Python; imports nothing of the package."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple


class Row(NamedTuple):
    slot: int
    computable: bool
    loss_wh: int
    technical_wh: float | None


class Result(NamedTuple):
    change_wh: int
    length_wh: int
    gaps_wh: int
    technical_wh: int
    pairs: int


def change(before: list[Row], after: list[Row]) -> Result:
    first, second = ({row.slot: row for row in rows} for rows in (before, after))
    counted = [{slot for slot, row in rows.items() if row.computable} for rows in (first, second)]
    both = counted[0] & counted[1]
    length = gaps = 0
    for slot in counted[1] - both:
        if slot in first:
            gaps += second[slot].loss_wh
        else:
            length += second[slot].loss_wh
    for slot in counted[0] - both:
        if slot in second:
            gaps -= first[slot].loss_wh
        else:
            length -= first[slot].loss_wh
    technical = Fraction(0)
    for slot in both:
        a, b = first[slot].technical_wh, second[slot].technical_wh
        if a is not None and b is not None:
            technical += Fraction(b) - Fraction(a)
    total = sum(second[s].loss_wh for s in counted[1]) - sum(first[s].loss_wh for s in counted[0])
    return Result(total, length, gaps, round(technical), len(both))


def slope(x: list[float], y: list[float]) -> float:
    """Of a straight line through points, by least squares."""
    n = len(x)
    xs, ys = [Fraction(v) for v in x], [Fraction(v) for v in y]
    mean_x, mean_y = sum(xs) / n, sum(ys) / n
    along = sum((a - mean_x) * (b - mean_y) for a, b in zip(xs, ys, strict=True))
    return float(along / sum((a - mean_x) ** 2 for a in xs))
