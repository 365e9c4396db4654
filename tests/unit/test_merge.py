"""Merging by position, against plain Python."""

from __future__ import annotations

import random

import numpy as np
import pytest

from kernels.merge import Held, Said, merge_channel

SIZES = (4, 0, 3)
STARTS = np.concatenate(([0], np.cumsum(SIZES))).astype(np.int64)
SILENT = -9


def held() -> Held:
    size = int(STARTS[-1])
    return Held(np.full(size, SILENT), np.full(size, -1, np.int64), np.zeros(size, np.int64))


def said(messages: list[tuple[int, list[tuple[int, int, int, int]]]], silent: int | None) -> Said:
    """Messages of (row, [(position, value, precedence, received)])."""
    begins = np.cumsum([0] + [len(values) for _, values in messages]).astype(np.int64)
    columns = np.array([each for _, values in messages for each in values], np.int64).reshape(-1, 4).T
    row = np.array([row for row, _ in messages], np.intp)
    return Said(row, begins, STARTS, columns[0].astype(np.int32), columns[1], columns[2], columns[3], silent)


@pytest.mark.parametrize("silent", [None, SILENT])
def test_the_greatest_precedence_stands_then_the_greatest_value_then_who_came_first(silent: int | None) -> None:
    chance = random.Random(5)  # noqa: S311  # which values meet
    for _ in range(50):
        messages = [
            (row, [(position, chance.choice((SILENT, 1, 2)), chance.randint(-1, 2), chance.randint(1, 3))])
            for row in (0, 2, 2, 0)
            for position in chance.sample(range(-1, SIZES[row]), 1)
        ]
        found, changed = held(), np.zeros(len(SIZES), np.bool_)
        taken, place = merge_channel(found, said(messages, silent), changed, keep_order=True)
        known: dict[int, tuple[int, int, int]] = {}
        for row, [(position, value, precedence, received_us)] in messages:
            if position >= 0 and precedence >= 0 and (silent is None or value != silent):
                at = int(STARTS[row]) + position
                known[at] = max(known.get(at, (-1, 0, 0)), (precedence, value, -received_us))
        for at, (precedence, value, received_us) in known.items():
            assert (found.precedence[at], found.value[at], -found.received_us[at]) == (precedence, value, received_us)
        assert set(place.tolist()) == set(known)
        assert len(taken) == len(place)
        assert [bool(c) for c in changed] == [any(STARTS[r] <= at < STARTS[r + 1] for at in known) for r in range(3)]


def test_a_position_outside_its_row_is_no_place_in_the_next() -> None:
    with pytest.raises(ValueError, match="outside the unit's roster"):
        merge_channel(held(), said([(0, [(4, 1, 1, 1)])], None), np.zeros(3, np.bool_))
