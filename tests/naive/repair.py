"""Which meters to exchange between two areas, by trying every set up to a size."""

from itertools import combinations
from typing import Any


def best(first_loss: Any, second_loss: Any, first: Any, second: Any, size: Any) -> Any:
    """Set of at most `size` (area, meter) that leaves the least sum of squares, and that sum."""
    meters = [(0, m) for m in range(len(first))] + [(1, m) for m in range(len(second))]
    out: tuple[Any, ...] = (sum(x * x for x in [*first_loss, *second_loss]), ())
    for n in range(1, size + 1):
        for some in combinations(meters, n):
            a, b = list(first_loss), list(second_loss)
            for area, m in some:
                use = (first, second)[area][m]
                sign = 1 if area == 0 else -1
                a = [x + sign * u for x, u in zip(a, use, strict=True)]
                b = [x - sign * u for x, u in zip(b, use, strict=True)]
            value = sum(x * x for x in [*a, *b])
            if value < out[0]:
                out = (value, some)
    return out
