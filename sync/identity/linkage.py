"""Two lists of records without a common key, linked one to one by what their fields say; pure.

Pairs are looked at where they agree in all fields of a **block**; each field's agreement, by how many letters differ,
multiplies the odds as in `sync.identity.scoring`. What isn't given of the weights is learnt from the records: how often
others agree from pairs at random, how often the same things do from the links that are found, again and again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import OSA
from rapidfuzz.process import cpdist

from sync.identity.scoring import POSSIBLE, SURE, assign

#: By column one value a record; None: it doesn't say.
Columns = Mapping[str, Sequence[str | None]]
#: Of each level of agreement its logarithm of the odds.
Weights = Mapping[str, NDArray[np.float64]]

#: Of one block; values that most records share are left to the other blocks.
_MOST_PAIRS = 20_000_000
#: Pairs at random from which it is learnt how often others agree.
_RANDOM_PAIRS = 1_000_000
_ROUNDS = 4
#: Counted as seen beside what was seen, so that nothing is impossible.
_UNSEEN = 0.5
#: Before anything is learnt: the share of the same things that differ in a field.
_DIFFER = 0.2


@dataclass(frozen=True, slots=True)
class Field:
    """A column that both lists have.

    Attributes
    ----------
    letters
        Levels of agreement between equal and different: at most so many letters otherwise, in rising order.
    same, other
        How often the same things, and others, come to each level: equal, each of `letters`, different. None: learnt.
    """

    column: str
    letters: tuple[int, ...] = ()
    same: tuple[float, ...] | None = None
    other: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if list(self.letters) != sorted(set(self.letters)) or any(n < 1 for n in self.letters):
            raise ValueError(f"{self.column}: letters rise from 1 on, not {self.letters}")
        for shares in (self.same, self.other):
            if shares is not None and (len(shares) != self.levels or min(shares) <= 0):
                raise ValueError(f"{self.column}: a share above 0 of each of {self.levels} levels")

    @property
    def levels(self) -> int:
        return len(self.letters) + 2


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """How records are linked: the fields that are compared, and blocks, each some columns that must be equal."""

    fields: tuple[Field, ...]
    blocks: tuple[tuple[str, ...], ...]


def link(left: Columns, right: Columns, plan: LinkPlan) -> list[tuple[float, int, int]]:
    """Which record of `left` is which of `right`: probability (at least 0.5) and both rows, the most probable first.

    Notes
    -----
    Fellegi and Sunter, "A theory for record linkage", J. Am. Stat. Assoc. 64 (1969).
    """
    pairs = blocked_pairs(left, right, plan.blocks)
    candidates = _length(right)
    if not len(pairs[0]):
        return []
    compared = {field.column: _levels(left, right, field, *pairs) for field in plan.fields}
    other = {field.column: _others(left, right, field) for field in plan.fields}
    same = {field.column: _first(field) for field in plan.fields}
    learnt = [field for field in plan.fields if field.same is None]
    links = _links(compared, _weights(plan, same, other), pairs, candidates)
    for _ in range(_ROUNDS if learnt else 0):
        sure = _rows_of(links, pairs)
        for field in learnt:
            same[field.column] = _shares(compared[field.column][sure], field.levels)
        links = _links(compared, _weights(plan, same, other), pairs, candidates)
    return links


def blocked_pairs(
    left: Columns, right: Columns, blocks: Sequence[Sequence[str]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of both lists that agree in all columns of a block, each pair once, in order.

    A record that doesn't say one of the columns isn't in that block. Of values that many share only so many pairs are
    made as a block may have, those of the rarest values first.
    """
    width = max(_length(right), 1)
    found = [_joined(_codes(left, right, block)) * np.array([width, 1]) for block in blocks]
    pairs = np.unique(np.concatenate([rows.sum(axis=1) for rows in found])) if found else np.empty(0, np.int64)
    return pairs // width, pairs % width


def _joined(codes: tuple[NDArray[np.int64], NDArray[np.int64]]) -> NDArray[np.int64]:
    """Rows (n, 2) of equal codes; -1 equals nothing."""
    mine, theirs = codes
    order = np.argsort(theirs, kind="stable")
    begin, end = np.searchsorted(theirs[order], mine), np.searchsorted(theirs[order], mine, "right")
    counts = np.where(mine < 0, 0, end - begin)
    rarest = np.argsort(counts, kind="stable")
    counts[rarest[np.cumsum(counts[rarest]) > _MOST_PAIRS]] = 0
    rows = np.repeat(np.arange(len(mine)), counts)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.stack([rows, order[begin[rows] + within]], axis=1)


def _codes(left: Columns, right: Columns, columns: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Equal numbers where all columns are equal; -1 where one isn't said."""
    known: dict[tuple[str | None, ...], int] = {}
    mine, theirs = (
        np.array(
            [
                -1 if None in values else known.setdefault(values, len(known))
                for values in zip(*(side[column] for column in columns), strict=True)
            ],
            np.int64,
        )
        for side in (left, right)
    )
    return mine, theirs


def _levels(
    left: Columns, right: Columns, field: Field, rows: NDArray[np.int64], others: NDArray[np.int64]
) -> NDArray[np.int8]:
    """Of each pair its level of agreement in a field, 0 = equal; -1 where one doesn't say."""
    codes = _codes(left, right, [field.column])
    mine, theirs = codes[0][rows], codes[1][others]
    levels = np.where(mine == theirs, 0, field.levels - 1).astype(np.int8)
    unlike = np.flatnonzero((mine != theirs) & (mine >= 0) & (theirs >= 0))
    if field.letters and len(unlike):
        # Each two words are compared once, however many records have them.
        width = int(max(codes[0].max(), codes[1].max())) + 1
        _, first, back = np.unique(mine[unlike] * width + theirs[unlike], return_index=True, return_inverse=True)
        at = unlike[first]
        distances = cpdist(
            [left[field.column][row] for row in rows[at]],
            [right[field.column][row] for row in others[at]],
            scorer=OSA.distance,
            score_cutoff=field.letters[-1],
        )
        levels[unlike] = (1 + np.searchsorted(field.letters, distances)).astype(np.int8)[back]
    levels[(mine < 0) | (theirs < 0)] = -1
    return levels


def _others(left: Columns, right: Columns, field: Field) -> NDArray[np.float64]:
    """How often records come to each level that have nothing to do with each other."""
    if field.other is not None:
        return np.array(field.other)
    draw = np.random.default_rng(0)
    count = min(_RANDOM_PAIRS, _length(left) * _length(right))
    rows, others = draw.integers(_length(left), size=count), draw.integers(_length(right), size=count)
    return _shares(_levels(left, right, field, rows, others), field.levels)


def _first(field: Field) -> NDArray[np.float64]:
    if field.same is not None:
        return np.array(field.same)
    between = _DIFFER / (field.levels - 1)
    return np.array([1 - _DIFFER] + [between] * (field.levels - 1))


def _shares(levels: NDArray[np.int8], of: int) -> NDArray[np.float64]:
    counts = np.bincount(levels[levels >= 0], minlength=of) + _UNSEEN
    return np.asarray(counts / counts.sum())


def _weights(
    plan: LinkPlan, same: Mapping[str, NDArray[np.float64]], other: Mapping[str, NDArray[np.float64]]
) -> Weights:
    return {f.column: np.log(same[f.column] / other[f.column]) for f in plan.fields}


def _links(
    compared: Mapping[str, NDArray[np.int8]],
    weights: Weights,
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
    candidates: int,
) -> list[tuple[float, int, int]]:
    odds = np.full(len(pairs[0]), -np.log(max(candidates, 1)))
    for column, levels in compared.items():
        # What isn't said weighs nothing: level -1 is the last of these.
        odds += np.append(weights[column], 0.0)[levels]
    likely = np.flatnonzero(odds >= np.log(POSSIBLE / 10))
    probability = 1 / (1 + np.exp(-odds[likely]))
    return assign(zip(probability.tolist(), pairs[0][likely].tolist(), pairs[1][likely].tolist(), strict=True))


def _rows_of(
    links: Sequence[tuple[float, int, int]], pairs: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Where among the pairs the sure links are."""
    width = int(pairs[1].max()) + 1
    wanted = np.array([row * width + other for sure, row, other in links if sure >= SURE], np.int64)
    return np.searchsorted(pairs[0] * width + pairs[1], np.sort(wanted))


def _length(columns: Columns) -> int:
    return len(next(iter(columns.values()))) if columns else 0
