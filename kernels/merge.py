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
    """What is said of one channel; arrays of shape (n,).

    Attributes
    ----------
    target
        int64: place of each value in the held arrays; −1 = nowhere.
    row
        int64: which row has changed when the value is set.
    value
        As the held ones.
    precedence
        int64: the greater stands; negative = nothing is said.
    received_us
        int64: when it came.
    """

    target: I64
    row: I64
    value: Values
    precedence: I64
    received_us: I64


def merge_channel(held: Held, said: Said, changed: NDArray[np.bool_], *, keep_order: bool = False) -> NDArray[np.int64]:
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
    int64 array
        Indexes into `said` of values that were set, in order; empty unless `keep_order`.

    Raises
    ------
    ValueError
        When a target lies outside.
    """
    if len(said.target) and (said.target.max() >= len(held.value) or said.target.min() < -1):
        raise ValueError("a position lies outside the unit's roster")
    taken = np.empty(len(said.target) if keep_order else 0, np.int64)
    count = _merge(
        held.value,
        held.precedence,
        held.received_us,
        said.target,
        said.row,
        said.value,
        said.precedence,
        said.received_us,
        changed,
        taken,
    )
    return taken[:count]


@njit(cache=True, nogil=True)
def _merge(a_value, a_prec, a_recv, target, row, b_value, b_prec, b_recv, changed, taken):  # type: ignore[no-untyped-def]  # numba infers
    count = 0
    for j in range(len(target)):
        i = target[j]
        if i < 0 or b_prec[j] < 0 or b_prec[j] < a_prec[i]:
            continue
        same = b_value[j] == a_value[i]
        if b_prec[j] == a_prec[i]:
            if same:
                if b_recv[j] < a_recv[i]:
                    a_recv[i] = b_recv[j]
                    changed[row[j]] = True
                continue
            if b_value[j] < a_value[i]:
                continue
        changed[row[j]] = True
        a_value[i] = b_value[j]
        a_prec[i] = b_prec[j]
        a_recv[i] = b_recv[j]
        if len(taken):
            taken[count] = j
            count += 1
    return count
