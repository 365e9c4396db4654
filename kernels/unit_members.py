"""What units above the areas take over from their members: technical loss and errors of all that is below.

Between a unit and the units in it a meter stands that is on both sides: it moves loss from the one to the other, and
plays no part in the loss of all that is below. So the error of that total is not the sum of the errors of its parts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.member import CUSTOMER, GATEWAY, MISSING_WH, TIE_IN, TIE_OUT, UNIT
from kernels.member_error import STEP_VARIANCE, class_variances, extra_variances


@dataclass(frozen=True, slots=True, eq=False)
class Below:
    """Result of `total_of_members`; all arrays have shape (units,).

    Attributes
    ----------
    loss_known
        bool. The loss inside every smaller unit that is expected is known.
    technical_wh
        float64. Technical loss inside the smaller units; NaN where it isn't known of one of them.
    total_sigma_wh, total_systematic_sigma_wh
        float64. Standard deviation of the loss of all that is below, and its systematic part.
    sold_sigma_wh, sold_systematic_sigma_wh
        float64. The same of what all customers below took less what they fed in.
    """

    loss_known: NDArray[np.bool_]
    technical_wh: NDArray[np.float64]
    total_sigma_wh: NDArray[np.float64]
    total_systematic_sigma_wh: NDArray[np.float64]
    sold_sigma_wh: NDArray[np.float64]
    sold_systematic_sigma_wh: NDArray[np.float64]


def total_of_members(
    starts: NDArray[np.int64],
    import_wh: NDArray[np.int64],
    export_wh: NDArray[np.int64],
    loss_wh: NDArray[np.int64],
    multiplier: NDArray[np.int64],
    role: NDArray[np.uint8],
    accuracy_class: NDArray[np.float64],
    extra_sigma_wh: NDArray[np.int64],
    technical_milli_wh: NDArray[np.int64],
    sold_sigma_wh: NDArray[np.int64],
    sold_systematic_wh: NDArray[np.int64],
    extra_systematic_wh: NDArray[np.int64] | None = None,
    of_own: NDArray[np.bool_] | None = None,
) -> Below:
    """Sum what members that are units say of all that is below them.

    Parameters
    ----------
    starts, import_wh, export_wh, loss_wh, multiplier, role, accuracy_class, extra_sigma_wh
        As of `kernels.energy_balance.line_loss`.
    technical_milli_wh
        int64 of shape (m,), thousandths of a watt-hour: technical loss of a member with all below; `MISSING_WH` where
        not known.
    sold_sigma_wh, sold_systematic_wh
        int64 of shape (m,): standard deviation of what was sold below a member, and its systematic part; `MISSING_WH`
        counts as 0.
    extra_systematic_wh
        As of `kernels.energy_balance.line_loss`.
    of_own
        bool of shape (units,): members tell of their own loss alone, each with its whole error, in the arrays of what
        is below them. None: of no unit.

    Raises
    ------
    ValueError
        When shapes disagree.

    Notes
    -----
    Errors of different members are taken as independent. A unit that is its parent's gateway as well stands for a part
    of a parent that is the sum of its parts: there what it took is measured by its own gateway, whose error stays.
    Where members tell of their own loss alone, the errors of their gateways are in what they tell.
    """
    for name, array in (
        ("technical_milli_wh", technical_milli_wh),
        ("sold_sigma_wh", sold_sigma_wh),
        ("sold_systematic_wh", sold_systematic_wh),
        ("extra_sigma_wh", extra_sigma_wh),
        ("extra_systematic_wh", extra_systematic_wh),
    ):
        if array is not None and array.shape != import_wh.shape:
            raise ValueError(f"{name} has shape {array.shape}, import_wh {import_wh.shape}")
    if of_own is not None and of_own.shape != (len(starts) - 1,):
        raise ValueError(f"of_own has shape {of_own.shape}, not ({len(starts) - 1},)")
    return Below(
        *_total(
            starts,
            import_wh,
            export_wh,
            loss_wh,
            multiplier,
            role,
            accuracy_class,
            extra_sigma_wh,
            technical_milli_wh,
            sold_sigma_wh,
            sold_systematic_wh,
            np.zeros(len(role), np.int64) if extra_systematic_wh is None else extra_systematic_wh,
            np.zeros(len(starts) - 1, np.bool_) if of_own is None else of_own,
        )
    )


@njit(cache=True, nogil=True)
def _total(  # type: ignore[no-untyped-def]  # numba infers
    starts,
    import_wh,
    export_wh,
    loss_wh,
    multiplier,
    role,
    accuracy_class,
    extra_sigma_wh,
    technical,
    sold_sigma,
    sold_same,
    extra_same,
    of_own,
):
    units = len(starts) - 1
    known = np.ones(units, np.bool_)
    inside = np.zeros(units, np.float64)
    total = np.zeros(units, np.float64)
    total_same = np.zeros(units, np.float64)
    sold = np.zeros(units, np.float64)
    sold_of_class = np.zeros(units, np.float64)
    for u in range(units):
        gateway_same = 0.0
        gateway_rest = 0.0
        own_same = 0.0  # customers that are no gateways
        own_rest = 0.0
        both_same = 0.0
        both_rest = 0.0
        below_same = 0.0
        below_rest = 0.0
        for i in range(starts[u], starts[u + 1]):
            kind = role[i]
            if kind & UNIT:
                known[u] &= loss_wh[i] != MISSING_WH
                inside[u] += np.nan if technical[i] == MISSING_WH else technical[i] * 1e-3
            if kind == 0 or import_wh[i] == MISSING_WH:
                continue
            ratio = np.float64(multiplier[i])
            given = 0.0 if export_wh[i] == MISSING_WH else np.float64(export_wh[i])
            of_import, of_export = class_variances(accuracy_class[i], np.float64(import_wh[i]) * ratio, given * ratio)
            same = of_import + of_export
            rest = STEP_VARIANCE * ratio * ratio
            if extra_sigma_wh[i] > 0:
                shared, beyond = extra_variances(extra_sigma_wh[i], extra_same[i], ratio)
                same += shared
                rest += beyond
            if kind & (GATEWAY | TIE_IN | TIE_OUT) and not kind & CUSTOMER and not of_own[u]:
                gateway_same += same
                gateway_rest += rest
            if kind & CUSTOMER and kind & GATEWAY:
                both_same += same
                both_rest += rest
            elif kind & CUSTOMER:
                own_same += same
                own_rest += rest
            if kind & UNIT:
                of_all = max(np.float64(sold_sigma[i]), 0.0) ** 2
                of_class = max(np.float64(sold_same[i]), 0.0) ** 2
                below_same += of_class
                below_rest += max(of_all - of_class, 0.0)
        total_same[u] = math.sqrt(gateway_same + own_same + below_same)
        total[u] = math.sqrt(gateway_same + gateway_rest + own_same + own_rest + below_same + below_rest)
        sold_of_class[u] = math.sqrt(own_same + both_same + below_same)
        sold[u] = math.sqrt(own_same + own_rest + both_same + both_rest + below_same + below_rest)
    return known, inside, total, total_same, sold, sold_of_class
