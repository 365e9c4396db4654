"""Energy balance of assessment units (考核单元): what went in, what came out, what is missing.

The definitions follow Chinese utility practice for synchronous line loss (同期线损): inflow is gateway import plus
generation fed in, outflow is sales plus gateway export, loss is inflow minus outflow. Many units are computed in
one call over ragged arrays, exactly, in integer watt-hours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

#: Bits of a member's role; the same as `grid.model.Role`, which kernels may not import.
GATEWAY = 1
CUSTOMER = 2
UNIT = 4
#: The same as `grid.roster.UNCONTRACTED`.
UNCONTRACTED = 8

#: A missing energy.
MISSING_WH = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True, eq=False)
class Balance:
    """Result of `line_loss`; all arrays have shape (units,).

    Attributes
    ----------
    inflow_wh, outflow_wh, loss_wh
        int64. Sums over the members that are there; `loss_wh` = inflow − outflow.
    members_loss_wh
        int64. Loss inside the smaller units; a line's loss with its areas is `loss_wh` + `members_loss_wh`.
    uncontracted_wh
        int64. Import of customers without an active account; part of `outflow_wh`.
    taken_wh, returned_wh
        int64. Import and export of the gateways alone: what the unit took from its parent and gave back.
    sigma_wh
        float64. Standard deviation of `loss_wh` from the meters' classes and register steps and from what is said of
        single members, over present members.
    gateway_extra_sigma_wh
        float64. Standard deviation of `taken_wh` from what is said of single gateways, beyond their class.
    coverage
        float64, 0…1. Share of expected members that are there; NaN for a unit that expects none.
    gateways_complete
        bool. At least one gateway is expected and every expected one is there.
    """

    inflow_wh: NDArray[np.int64]
    outflow_wh: NDArray[np.int64]
    loss_wh: NDArray[np.int64]
    members_loss_wh: NDArray[np.int64]
    uncontracted_wh: NDArray[np.int64]
    taken_wh: NDArray[np.int64]
    returned_wh: NDArray[np.int64]
    sigma_wh: NDArray[np.float64]
    gateway_extra_sigma_wh: NDArray[np.float64]
    coverage: NDArray[np.float64]
    gateways_complete: NDArray[np.bool_]


def no_balance(units: int) -> Balance:
    """Room for the balances of many units, all 0 so far; coverage NaN."""
    nothing = np.empty(0, np.int64)
    starts = np.zeros(units + 1, np.int64)
    return line_loss(starts, nothing, nothing, nothing, nothing, np.empty(0, np.uint8), np.empty(0, np.float64))


def line_loss(
    starts: NDArray[np.int64],
    import_wh: NDArray[np.int64],
    export_wh: NDArray[np.int64],
    loss_wh: NDArray[np.int64],
    multiplier: NDArray[np.int64],
    role: NDArray[np.uint8],
    accuracy_class: NDArray[np.float64],
    extra_sigma_wh: NDArray[np.int64] | None = None,
) -> Balance:
    """Balance many units at one interval each.

    Parameters
    ----------
    starts
        int64 of shape (units + 1,), non-decreasing from 0 to m: the members of unit u are at starts[u]:starts[u+1].
    import_wh, export_wh
        int64 of shape (m,), before the multiplier. `MISSING_WH` where missing; a member is there when its import is,
        and a missing export then counts as 0.
    loss_wh
        int64 of shape (m,): loss inside a member that is a unit; `MISSING_WH` where not known, which counts as 0.
    multiplier
        int64 of shape (m,): CT × PT ratio. The caller keeps sums inside int64 (see `grid.model.MAX_ENERGY_WH`).
    role
        uint8 of shape (m,): bits GATEWAY, CUSTOMER, UNIT, UNCONTRACTED; 0 = not a member at this interval, and is
        passed over.
    accuracy_class
        float64 of shape (m,), percent.
    extra_sigma_wh
        int64 of shape (m,), before the multiplier: standard deviation of a member's energy beyond its class and step,
        as of a substitute or a split; `MISSING_WH` counts as 0. None: 0 throughout.

    Returns
    -------
    Balance

    Raises
    ------
    ValueError
        When shapes disagree or `starts` isn't as described.

    Notes
    -----
    A meter of class c is taken as uniform within ±c % of its energy (IEC 62053), so σ = c/100 × energy / √3; the
    difference of two registers that step by one watt-hour has σ = multiplier × 1 Wh / √6. A member that is gateway
    and customer at once (dedicated transformer) enters both sides with the same register, hence without error.
    """
    members = len(import_wh)
    if extra_sigma_wh is None:
        extra_sigma_wh = np.zeros(members, np.int64)
    for name, array in (
        ("export_wh", export_wh),
        ("loss_wh", loss_wh),
        ("multiplier", multiplier),
        ("role", role),
        ("accuracy_class", accuracy_class),
        ("extra_sigma_wh", extra_sigma_wh),
    ):
        if array.shape != (members,):
            raise ValueError(f"{name} has shape {array.shape}, import_wh ({members},)")
    if len(starts) < 1 or starts[0] != 0 or starts[-1] != members or np.any(np.diff(starts) < 0):
        raise ValueError("starts must rise from 0 to the number of members")
    return Balance(*_line_loss(starts, import_wh, export_wh, loss_wh, multiplier, role, accuracy_class, extra_sigma_wh))


_STEP_VARIANCE = 1.0 / 6.0
_CLASS_TO_SIGMA = 1.0 / (100.0 * math.sqrt(3.0))


@njit(cache=True, nogil=True)
def _line_loss(starts, import_wh, export_wh, loss_wh, multiplier, role, accuracy_class, extra_sigma_wh):  # type: ignore[no-untyped-def]  # noqa: PLR0915  # numba infers; one pass
    units = len(starts) - 1
    inflow = np.zeros(units, np.int64)
    outflow = np.zeros(units, np.int64)
    members_loss = np.zeros(units, np.int64)
    uncontracted = np.zeros(units, np.int64)
    taken = np.zeros(units, np.int64)
    returned = np.zeros(units, np.int64)
    sigma = np.zeros(units, np.float64)
    gateway_sigma = np.zeros(units, np.float64)
    coverage = np.full(units, np.nan)
    complete = np.zeros(units, np.bool_)
    for u in range(units):
        expected = 0
        present = 0
        gateways = 0
        gateways_present = 0
        variance = 0.0
        gateway_variance = 0.0
        for i in range(starts[u], starts[u + 1]):
            kind = role[i]
            if kind == 0:
                continue
            expected += 1
            is_gateway = kind & GATEWAY != 0
            is_sink = kind & (CUSTOMER | UNIT) != 0
            gateways += is_gateway
            if import_wh[i] == MISSING_WH:
                continue
            present += 1
            gateways_present += is_gateway
            taken_i = import_wh[i] * multiplier[i]
            given_i = np.int64(0) if export_wh[i] == MISSING_WH else export_wh[i] * multiplier[i]
            if is_gateway:
                inflow[u] += taken_i
                outflow[u] += given_i
                taken[u] += taken_i
                returned[u] += given_i
            if is_sink:
                outflow[u] += taken_i
                inflow[u] += given_i
                uncontracted[u] += taken_i if kind & UNCONTRACTED else 0
            if loss_wh[i] != MISSING_WH:
                members_loss[u] += loss_wh[i]
            if is_gateway != is_sink:
                of_class = accuracy_class[i] * _CLASS_TO_SIGMA
                step = _STEP_VARIANCE * np.float64(multiplier[i]) * np.float64(multiplier[i])
                variance += (of_class * taken_i) ** 2 + (of_class * given_i) ** 2 + step
            if extra_sigma_wh[i] > 0:
                extra = (np.float64(extra_sigma_wh[i]) * multiplier[i]) ** 2
                gateway_variance += extra if is_gateway else 0.0
                variance += extra if is_gateway != is_sink else 0.0
        if expected > 0:
            coverage[u] = present / expected
        complete[u] = gateways > 0 and gateways == gateways_present
        sigma[u] = math.sqrt(variance)
        gateway_sigma[u] = math.sqrt(gateway_variance)
    loss = inflow - outflow
    return inflow, outflow, loss, members_loss, uncontracted, taken, returned, sigma, gateway_sigma, coverage, complete
