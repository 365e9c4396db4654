"""An oracle in plain Python: which of some values differ from the rest, and which pairs of rows go together."""

from __future__ import annotations


def differing(values: list[tuple[str, float]], order: list[str]) -> set[int]:
    """Positions of values that aren't what most say; with equal counts the model's, else the first system's, stands."""
    counts: dict[float, int] = {}
    for _, value in values:
        counts[value] = counts.get(value, 0) + 1
    most = max(counts.values())
    best = [value for value, count in counts.items() if count == most]
    for name in ["model", *order]:
        for system, value in values:
            if system == name and value in best:
                return {i for i, (_, other) in enumerate(values) if other != value}
    raise AssertionError("every system has a rank")


def agreeing(
    left: list[dict[str, str | None]], right: list[dict[str, str | None]], blocks: list[list[str]]
) -> set[tuple[int, int]]:
    """Rows of both lists that agree in all columns of one of the blocks, what isn't said agreeing with nothing."""
    found = set()
    for i, mine in enumerate(left):
        for j, other in enumerate(right):
            for block in blocks:
                if all(mine[column] is not None and mine[column] == other[column] for column in block):
                    found.add((i, j))
    return found


def one_to_one(scores: list[tuple[float, int, int]], possible: float) -> list[tuple[float, int, int]]:
    """The most probable pair first; those that compete with it for either side take their part of its probability."""
    rest = sorted((s for s in scores if s[0] >= possible / 10), key=lambda s: (-s[0], s[1], s[2]))
    found = []
    open_pairs = list(rest)
    for pair in rest:
        if pair not in open_pairs:
            continue
        score, record, candidate = pair
        rivals = [s for s, r, c in open_pairs if (r == record) != (c == candidate)]
        odds = score / max(1 - score, 1e-12)
        shared = odds / (odds + 1 + sum(s / max(1 - s, 1e-12) for s in rivals))
        if shared >= possible:
            found.append((shared, record, candidate))
            open_pairs = [s for s in open_pairs if s[1] != record and s[2] != candidate]
    return found


def pair_shares(odds: list[list[float]]) -> list[list[float]]:
    """Probability of each pair when each set of pairs without a common row or column weighs the product of its odds."""
    width = len(odds[0])
    total = 0.0
    shares = [[0.0] * width for _ in odds]

    def go_on(row: int, free: frozenset[int], weight: float, chosen: list[tuple[int, int]]) -> None:
        nonlocal total
        if row == len(odds):
            total += weight
            for i, j in chosen:
                shares[i][j] += weight
            return
        go_on(row + 1, free, weight, chosen)
        for j in free:
            go_on(row + 1, free - {j}, weight * odds[row][j], [*chosen, (row, j)])

    go_on(0, frozenset(range(width)), 1.0, [])
    return [[share / total for share in row] for row in shares]
