"""Which records are which things, where a record is one thing at most and a thing has one record at most; pure.

Each set of pairs that share no record and no thing is as probable as the product of its pairs' odds: what one record
most probably is, the others aren't, and where as many records as things are left, they are these, though nobody can say
which is which. What odds any pair has before its features are looked at is learnt from the very records.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

#: More than that a pair's features don't count, so that sums keep what is small beside it.
_MOST = 1e9
#: Of a group the records or things, whichever are fewer, all of whose sets are gone through; and the others.
_MOST_EXACT, _MOST_OTHERS = 10, 1_000
_ROUNDS = 50
_SETTLED = 1e-4


def pair_up(ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of each pair; 0 of one whose features speak against it.

    Parameters
    ----------
    ratios
        Of each record (row) and thing (column): how many times as often what both say is said by two records of one
        thing as by others; see `sync.identity.scoring.likelihood_ratio`.

    Returns
    -------
    probabilities
        Of the same shape. A row's sum is the probability that the record is one of these things, a column's that the
        thing has one of these records; neither is more than 1.

    Notes
    -----
    Before its features a pair has the odds of matches, over records that match nothing, over things that nothing
    matches, each counted as found with one more beside: a record that is nothing and a thing without a record seldom
    meet by chance where there are few of either. M. Sadinle, "Bayesian estimation of bipartite matchings for record
    linkage", J. Am. Stat. Assoc. 112 (2017).
    """
    records, things = ratios.shape
    weights = np.where(ratios > 1, np.minimum(ratios, _MOST), 0.0)
    groups = [np.ix_(rows, columns) for rows, columns in _groups(weights)]
    found = np.zeros_like(weights)
    matches = min(records, things) / 2
    for _ in range(_ROUNDS):
        before = (matches + 1) / ((records - matches + 1) * (things - matches + 1))
        for group in groups:
            found[group] = pair_shares(before * weights[group])
        former, matches = matches, float(found.sum())
        if abs(matches - former) <= _SETTLED:
            break
    return found


def pair_shares(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each pair the weight of all sets of pairs that it is in, as a share of all sets' weight.

    Of a large group each pair is weighed against all of its rivals at once, which makes it less probable than it is.
    """
    rows, columns = odds.shape
    if rows > columns:
        return pair_shares(odds.T).T
    if rows > _MOST_EXACT or columns > _MOST_OTHERS:
        return np.asarray(odds / (1 + odds.sum(axis=1, keepdims=True) + odds.sum(axis=0, keepdims=True) - odds))
    # By column: what the columns before it weigh that have taken a set of rows, and those from it on for what is left.
    sets = np.arange(2**rows)
    without = [sets[sets >> row & 1 == 0] for row in range(rows)]
    before, after = np.zeros((columns + 1, len(sets))), np.ones((columns + 1, len(sets)))
    before[0, 0] = 1
    for column in range(columns):
        before[column + 1] = before[column]
        for row, free in enumerate(without):
            before[column + 1, free | 1 << row] += odds[row, column] * before[column, free]
    for column in reversed(range(columns)):
        after[column] = after[column + 1]
        for row, free in enumerate(without):
            after[column, free] += odds[row, column] * after[column + 1, free | 1 << row]
    found = np.empty_like(odds)
    for row, free in enumerate(without):
        found[row] = odds[row] * np.einsum("cs,cs->c", before[:-1, free], after[1:, free | 1 << row])
    return np.asarray(found / after[0, 0])


def _groups(weights: NDArray[np.float64]) -> Iterator[tuple[list[int], list[int]]]:
    """Records and things that pairs join, directly or by others."""
    things = [np.flatnonzero(row).tolist() for row in weights]
    records = [np.flatnonzero(column).tolist() for column in weights.T]
    seen: set[int] = set()
    for first in range(len(things)):
        if first in seen or not things[first]:
            continue
        rows, columns, waiting = {first}, set[int](), [first]
        while waiting:
            for column in set(things[waiting.pop()]) - columns:
                columns.add(column)
                waiting += set(records[column]) - rows
                rows.update(records[column])
        seen |= rows
        yield sorted(rows), sorted(columns)
