"""Sums over a unit's plain customers, for the energy balance: nearly all members of nearly all units are that."""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.member import CUSTOMER, ESTIMATED, MISSING_WH, SUBSTITUTED
from kernels.member_error import class_variances, extra_variances

#: So many members are looked at together for one that isn't a plain customer.
_TOGETHER = np.uint64(64)


@njit(cache=True, nogil=True)
def next_other(begin, end, role):  # type: ignore[no-untyped-def]  # numba infers
    """Where the first member from `begin` on is that isn't a plain customer; `end` where all are."""
    while begin + _TOGETHER <= end:
        odd = np.uint8(0)
        for i in range(begin, begin + _TOGETHER):
            odd |= role[i] ^ np.uint8(CUSTOMER)
        if odd:
            break
        begin += _TOGETHER
    while begin < end and role[begin] == CUSTOMER:
        begin += np.uint64(1)
    return begin


@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz"})
def customer_sums(  # type: ignore[no-untyped-def]  # numba infers
    begin,
    end,
    import_wh,
    export_wh,
    multiplier,
    role,
    accuracy_class,
    extra_sigma_wh,
    quality,
    extra_systematic_wh,
):
    """What the plain customers among the members begin:end moved, and how far that may be off.

    Parameters
    ----------
    begin, end
        uint64: an index that can't be negative isn't checked for it.
    import_wh, export_wh, multiplier, role, accuracy_class, extra_sigma_wh, quality, extra_systematic_wh
        Of shape (m,), as of `kernels.energy_balance.line_loss`.

    Returns
    -------
    expected, present, guessed : int
        Number of customers, of those that are there, and of those of these that are estimated.
    taken_wh, given_wh, estimated_wh, idle : int
        Sums of import, of export, of both where estimated or substituted, and of the multipliers of meters that show
        nothing.
    flags : uint8
        Bits of the qualities together.
    moves : float
        Sum of squares of import less export.
    of_class, of_export, rest : float
        Sums of variances: from the class and what else intervals share; its part from export; what they don't share.
    steps : float
        Sum of squares of the multipliers of meters that were read.

    Notes
    -----
    The loop has no branch, so that it works on as many members at once as the processor's vectors hold. Sums of
    integers are exact in any order. Those of variances are added in an order that depends on the number of members and
    the width of the vectors alone: their last digits may differ between kinds of processors.
    """
    expected = present = guessed = taken = given = estimated = idle = np.int64(0)
    flags = np.uint8(0)
    moves = of_class = of_export = rest = steps = 0.0
    for i in range(begin, end):
        is_customer = role[i] == CUSTOMER
        is_there = is_customer & (import_wh[i] != MISSING_WH)
        expected += is_customer
        present += is_there
        ratio = multiplier[i]
        taken_i = import_wh[i] * ratio if is_there else np.int64(0)
        given_i = export_wh[i] * ratio if is_there & (export_wh[i] != MISSING_WH) else np.int64(0)
        taken += taken_i
        given += given_i
        idle += ratio if is_there & (taken_i + given_i == 0) else np.int64(0)
        bits = quality[i] if is_there else np.uint8(0)
        flags |= bits
        is_guessed = bits & ESTIMATED != 0
        guessed += is_guessed
        estimated += taken_i + given_i if bits & (ESTIMATED | SUBSTITUTED) != 0 else np.int64(0)
        taken_f, given_f, ratio_f = np.float64(taken_i), np.float64(given_i), np.float64(ratio)
        move = taken_f - given_f
        moves += move * move
        imported_i, exported_i = class_variances(accuracy_class[i], taken_f, given_f)
        extra_i = extra_sigma_wh[i] if is_there else np.int64(0)
        shared_i, rest_i = extra_variances(extra_i, extra_systematic_wh[i], ratio_f)
        of_class += imported_i + exported_i + shared_i
        of_export += exported_i
        rest += rest_i
        step = ratio_f if is_there & (not is_guessed) else 0.0
        steps += step * step
    return expected, present, guessed, taken, given, estimated, idle, flags, moves, of_class, of_export, rest, steps


@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz"})
def customer_gaps(begin, end, import_wh, multiplier, role, gap_sigma_wh):  # type: ignore[no-untyped-def]  # numba infers
    """What plain customers' gaps add to sums over time: the sum of squares of `gap_sigma_wh` times the multiplier."""
    gaps = 0.0
    for i in range(begin, end):
        is_there = (role[i] == CUSTOMER) & (import_wh[i] != MISSING_WH)
        gap = np.float64(max(gap_sigma_wh[i], np.int64(0))) * np.float64(multiplier[i]) if is_there else 0.0
        gaps += gap * gap
    return gaps
