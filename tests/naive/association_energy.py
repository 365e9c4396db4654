"""Products of columns in an inverse covariance: the covariance is written down and inverted, element by element."""

from __future__ import annotations


def inverse_products(columns: list[list[float]], free: list[int], deviation: list[float]) -> list[list[float]]:
    """`a' C⁻¹ b` of all columns a and b, where C = 1 + Σ deviation² f f' over the free columns f."""
    size = len(columns[0])
    covariance = [[float(i == j) for j in range(size)] for i in range(size)]
    for column, sigma in zip(free, deviation, strict=True):
        values = columns[column]
        for i in range(size):
            for j in range(size):
                covariance[i][j] += sigma * sigma * values[i] * values[j]
    inverse = invert(covariance)
    return [
        [sum(a[i] * inverse[i][j] * b[j] for i in range(size) for j in range(size)) for b in columns] for a in columns
    ]


def invert(matrix: list[list[float]]) -> list[list[float]]:
    """By Gauss and Jordan, of a positive definite matrix."""
    size = len(matrix)
    rows = [[*row, *(float(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    for i in range(size):
        pivot = rows[i][i]
        rows[i] = [value / pivot for value in rows[i]]
        for j in range(size):
            if j != i:
                factor = rows[j][i]
                rows[j] = [a - factor * b for a, b in zip(rows[j], rows[i], strict=True)]
    return [row[size:] for row in rows]
