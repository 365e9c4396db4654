"""Merging readings of one unit by position: a value is set, never added, and the order of arrival doesn't matter."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

I64 = NDArray[np.int64]

#: What a merge came to: nothing, a reading that says the same (a later sequence, a voltage, a flag), another energy.
UNCHANGED, CONFIRMED, CHANGED = 0, 1, 2


def merge_readings(
    into: tuple[I64, I64, I64, I64, NDArray[np.int16], NDArray[np.uint8]],
    positions: NDArray[np.int32],
    source: tuple[I64, I64, I64, I64, NDArray[np.int16], NDArray[np.uint8]],
    rank: NDArray[np.int8],
) -> int:
    """Set readings of `source` in `into` where they take precedence.

    Each tuple holds (sequence, import_wh, export_wh, loss_wh, voltage_dv, quality). The greatest of (rank of the
    quality, sequence, then the values in this order) wins, and a missing reading says nothing: a total order, so any
    permutation and repetition of messages ends in the same state.

    Parameters
    ----------
    into
        Arrays of shape (members,), changed in place.
    positions
        int32 of shape (n,): where each reading of `source` belongs, within 0…members − 1; −1 = nowhere.
    source
        Arrays of shape (n,).
    rank
        int8 of shape (256,): precedence of a quality byte (`grid.quality`).

    Returns
    -------
    int
        `CHANGED` when any import, export or loss is another one now, `CONFIRMED` when only other things were set,
        `UNCHANGED` when nothing was.

    Raises
    ------
    ValueError
        When a position lies outside.
    """
    if len(positions) and (positions.max() >= len(into[0]) or positions.min() < -1):
        raise ValueError("a position lies outside the unit's roster")
    return int(_merge(*into, positions, *source, rank))


@njit(cache=True, nogil=True)
def _merge(a_seq, a_imp, a_exp, a_loss, a_volt, a_qual, positions, b_seq, b_imp, b_exp, b_loss, b_volt, b_qual, rank):  # type: ignore[no-untyped-def]  # numba infers
    outcome = UNCHANGED
    for j in range(len(positions)):
        i = positions[j]
        b_rank = rank[b_qual[j]]
        if i < 0 or b_rank == 0:
            continue
        a = (rank[a_qual[i]], a_seq[i], a_imp[i], a_exp[i], a_loss[i], a_volt[i], a_qual[i])
        b = (b_rank, b_seq[j], b_imp[j], b_exp[j], b_loss[j], b_volt[j], b_qual[j])
        if not a < b:
            continue
        if a_imp[i] != b_imp[j] or a_exp[i] != b_exp[j] or a_loss[i] != b_loss[j]:
            outcome = CHANGED
        elif outcome == UNCHANGED:
            outcome = CONFIRMED
        a_seq[i] = b_seq[j]
        a_imp[i] = b_imp[j]
        a_exp[i] = b_exp[j]
        a_loss[i] = b_loss[j]
        a_volt[i] = b_volt[j]
        a_qual[i] = b_qual[j]
    return outcome
