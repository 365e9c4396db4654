"""Which records are which things, where a record is one thing at most and a thing has one record at most; pure.

Each set of pairs that share no record and no thing is as probable as the product of its pairs' odds: what one record
most probably is, the others aren't, and where as many records as things are left, they are these, though nobody can say
which is which. What odds any pair has before its features are looked at is learnt from the very records.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: More than that a feature's odds don't count, so that sums keep what is small beside it.
_MOST = 1e9
_ROUNDS = 200
_SETTLED = 1e-7


def pair_up(ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of each pair.

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
    matches, each counted as found with one more beside. The probabilities are the marginals of the monomer-dimer model
    by message passing (Bayati, Gamarnik, Katz, Nair, Tetali, "Simple deterministic approximation algorithms for
    counting matchings", STOC 2007): exact where pairs form no ring, else nearer to "none of these" than the truth. M.
    Sadinle, "Bayesian estimation of bipartite matchings for record linkage", J. Am. Stat. Assoc. 112 (2017).
    """
    records, things = ratios.shape
    weights = np.minimum(ratios, _MOST)
    to_things, to_records = np.ones_like(weights), np.ones_like(weights)
    matches = min(records, things) / 2
    found = np.zeros_like(weights)
    for _ in range(_ROUNDS):
        odds = weights * ((matches + 1) / ((records - matches + 1) * (things - matches + 1)))
        found, to_things, to_records = _pass(odds, to_things, to_records)
        former, matches = matches, float(found.sum())
        if abs(matches - former) <= _SETTLED * records:
            break
    return found


def _pass(
    odds: NDArray[np.float64], to_things: NDArray[np.float64], to_records: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """What each record and thing tells the other of being free for it, once more; halfway, or they would swing."""
    of_records, of_things = odds * to_records, odds * to_things
    rows, columns = of_records.sum(axis=1, keepdims=True), of_things.sum(axis=0, keepdims=True)
    # Seen from both sides, which agree once all is settled.
    found = np.minimum(of_records / (1 + rows), of_things / (1 + columns))
    to_things = np.sqrt(to_things / (1 + np.maximum(rows - of_records, 0)))
    to_records = np.sqrt(to_records / (1 + np.maximum(columns - of_things, 0)))
    return found, to_things, to_records
