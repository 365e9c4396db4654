"""Least squares with coefficients that aren't negative, by trying every set of coefficients that are above 0."""

from itertools import combinations
from typing import Any


def solve(matrix: Any, right: Any) -> Any:
    """Gauss with pivots; None where singular."""
    n = len(right)
    rows = [[*matrix[i], right[i]] for i in range(n)]
    for i in range(n):
        p = max(range(i, n), key=lambda k: abs(rows[k][i]))
        rows[i], rows[p] = rows[p], rows[i]
        if abs(rows[i][i]) < 1e-12:
            return None
        for k in range(n):
            if k != i:
                f = rows[k][i] / rows[i][i]
                rows[k] = [a - f * b for a, b in zip(rows[k], rows[i], strict=True)]
    return [rows[i][n] / rows[i][i] for i in range(n)]


def not_negative(matrix: Any, right: Any) -> Any:
    """The best coefficients ≥ 0 of the quadratic form x'Ax − 2 b'x."""
    n, best, least = len(right), [0.0] * len(right), 0.0
    for size in range(1, n + 1):
        for some in combinations(range(n), size):
            x = solve([[matrix[i][j] for j in some] for i in some], [right[i] for i in some])
            if x is None or min(x) < 0:
                continue
            value = -sum(x[k] * right[i] for k, i in enumerate(some))
            if value < least:
                least, best = value, [0.0] * n
                for k, i in enumerate(some):
                    best[i] = x[k]
    return best
