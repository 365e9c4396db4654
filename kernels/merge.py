"""Merging readings by position: a value is set, never added, and the order of arrival doesn't matter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

I64 = NDArray[np.int64]
Values = NDArray[np.int64] | NDArray[np.int16]


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """One channel of many rows, changed in place; arrays of shape (m,)."""

    value: Values
    precedence: I64
    received_us: I64


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What is said of one channel by k messages, each of one row; values one message after another, of shape (n,).

    Attributes
    ----------
    row, begins
        int64 of shapes (k,) and (k + 1,): message c is of row[c] and has the values begins[c]:begins[c + 1].
    starts
        int64 of shape (rows + 1,): the row's places in the held arrays are starts[row]:starts[row + 1].
    position
        int32: place of each value in its row; negative = nowhere.
    value
        As the held ones.
    precedence
        int64: the greater stands; negative = nothing is said.
    received_us
        int64: when it came.
    silent
        The value that says nothing; None = each says something.
    """

    row: NDArray[np.intp]
    begins: I64
    starts: I64
    position: NDArray[np.int32]
    value: Values
    precedence: I64
    received_us: I64
    silent: int | None = None


def merge_channel(held: Held, said: Said, changed: NDArray[np.bool_], *, keep_order: bool = False) -> tuple[I64, I64]:
    """Set values of `said` where they take precedence.

    The greatest of (precedence, value) stands, and of two that agree in both the one that was received first: a total
    order, so any permutation and repetition of messages ends in the same state.

    Parameters
    ----------
    changed
        bool of shape (rows,), set in place for rows of which anything was set.
    keep_order
        Also return which values were set.

    Returns
    -------
    two int64 arrays
        Indexes into `said` of values that were set, in order, and their places in the held arrays; empty unless
        `keep_order`.

    Raises
    ------
    ValueError
        When a position lies outside its row.
    """
    taken, place = np.empty((2, len(said.position) if keep_order else 0), np.int64)
    count = _merge(
        held.value,
        held.precedence,
        held.received_us,
        said.row,
        said.begins,
        said.starts,
        said.position,
        said.value,
        said.precedence,
        said.received_us,
        0 if said.silent is None else said.silent,
        said.silent is not None,
        changed,
        taken,
        place,
    )
    if count < 0:
        raise ValueError("a position lies outside the unit's roster")
    return taken[:count], place[:count]


@njit(cache=True, nogil=True)
def _merge(  # type: ignore[no-untyped-def]  # numba infers
    a_value,
    a_prec,
    a_recv,
    row,
    begins,
    starts,
    position,
    b_value,
    b_prec,
    b_recv,
    silent,
    has_silent,
    changed,
    taken,
    place,
):
    count = 0
    for c in range(len(row)):
        r = row[c]
        begin, size = starts[r], starts[r + 1] - starts[r]
        for j in range(begins[c], begins[c + 1]):
            if position[j] >= size:
                return -1
            if position[j] < 0 or b_prec[j] < 0 or (has_silent and b_value[j] == silent):
                continue
            i = begin + position[j]
            if b_prec[j] < a_prec[i]:
                continue
            same = b_value[j] == a_value[i]
            if b_prec[j] == a_prec[i]:
                if same:
                    if b_recv[j] < a_recv[i]:
                        a_recv[i] = b_recv[j]
                        changed[r] = True
                    continue
                if b_value[j] < a_value[i]:
                    continue
            changed[r] = True
            a_value[i] = b_value[j]
            a_prec[i] = b_prec[j]
            a_recv[i] = b_recv[j]
            if len(taken):
                taken[count], place[count] = j, i
                count += 1
    return count
