"""Which records are which things, one to one, with odds that are learnt from them."""

import numpy as np
import pytest

from sync.identity.bipartite import pair_shares, pair_up

LIKE, UNLIKE = 30.0, 0.01


def lines(*of: tuple[int, int]) -> np.ndarray:
    """Ratios where each line has so many records and so many things, all alike; those of other lines are unlike."""
    found = np.full((sum(records for records, _ in of), sum(things for _, things in of)), UNLIKE)
    row = column = 0
    for records, things in of:
        found[row : row + records, column : column + things] = LIKE
        row, column = row + records, column + things
    return found


def test_two_of_one_line_are_surely_the_two_that_it_lacks_though_neither_is_sure() -> None:
    found = pair_up(lines((2, 2), (1, 1)))
    assert found[:2].max() < 0.5
    assert found[:2].sum(axis=1).min() > 0.98
    assert found[2, 2] > 0.98


def test_many_that_are_renamed_don_t_make_each_other_improbable() -> None:
    few, many = pair_up(lines(*[(1, 1)] * 2)), pair_up(lines(*[(1, 1)] * 30))
    assert few.diagonal().min() > 0.97
    # Where none is left over on either side, that one meets the other by chance is hard to believe.
    assert many.diagonal().min() > few.diagonal().max()


def test_a_match_is_less_sure_the_more_are_new_and_the_more_are_missing() -> None:
    alone = pair_up(lines((1, 1)))[0, 0]
    beside_new = pair_up(lines((1, 1), *[(1, 0)] * 20))[0, 0]
    beside_missing = pair_up(lines((1, 1), *[(0, 1)] * 20))[0, 0]
    both = pair_up(lines((1, 1), *[(1, 0)] * 20, *[(0, 1)] * 20))[0, 0]
    assert both < min(beside_new, beside_missing)
    assert max(beside_new, beside_missing) < alone
    assert both < 0.5


def test_what_tells_two_apart_tells_them_both() -> None:
    ratios = lines((2, 2))
    ratios[0, 0] *= 100
    found = pair_up(ratios)
    assert found.diagonal().min() > 0.97


def test_of_a_large_group_each_is_weighed_against_all_its_rivals() -> None:
    odds = np.full((12, 12), 1.0)
    odds[3, 4] = 1e6
    found = pair_shares(odds)
    assert found[3, 4] == pytest.approx(1e6 / (1e6 + 23))
    assert found[0, 0] == pytest.approx(1 / 24)
    exact = pair_shares(np.full((10, 10), 1.0))
    assert exact.sum(axis=1) == pytest.approx(np.full(10, exact.sum() / 10))
    assert found[0, 0] < exact[0, 0]
