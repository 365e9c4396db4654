"""Energy balance of assessment units (考核单元): what went in, what came out, what is missing, and how sure that is.

The definitions follow Chinese utility practice for synchronous line loss (同期线损): inflow is gateway import plus
generation fed in, outflow is sales plus gateway export, loss is inflow minus outflow. Many units are computed in
one call over ragged arrays, exactly, in integer watt-hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.balance_sums import balance_sums

#: By how much the power of a customer, and of a unit, differs at the ends of an interval, over its mean.
POWER_STEPS = (1.0, 0.15)


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
    generation_wh
        int64. Fed in by customers and smaller units; part of `inflow_wh`, as is what came in through ties.
    estimated_wh
        int64. Import and export of members that were estimated or substituted.
    taken_wh, returned_wh
        int64. Import and export of the gateways alone: what the unit took from its parent and gave back.
    sigma_wh
        float64. Standard deviation of `loss_wh` over present members, all parts together.
    systematic_sigma_wh
        float64. Part of it from classes of accuracy and starting currents, which the intervals of a meter share.
    export_sigma_wh
        float64. Part of the systematic one from what was exported; the rest is from what was imported. What goes out
        and what comes in have times of day and gains of their own.
    ends_sigma_wh
        float64. Part of it from register steps and clocks, which one interval takes from its neighbours.
    gap_sigma_wh
        float64. What the error adds to a sum over time beyond `sigma_wh`: root of the sum of the members' squares.
    gateway_extra_sigma_wh
        float64. Standard deviation of `taken_wh` from what is said of single gateways, beyond their class, as it counts
        in a sum over time; where the gateways are smaller units, with their class, which nobody above could know.
    gateway_systematic_sigma_wh
        float64. Part of it that the intervals share.
    sold_sigma_wh, sold_systematic_sigma_wh
        float64. Standard deviation of what customers took less what they fed in, and its systematic part.
    coverage
        float64, 0…1. Share of expected members that were measured; NaN for a unit that expects none.
    complete
        bool. Every expected member is there, be it estimated; there is at least one.
    has_gateway
        bool. At least one gateway is expected.
    gateways_complete
        bool. At least one gateway is expected and every expected one is there.
    gateways_measured
        bool. The same, and none of them is estimated.
    quality
        uint8. The bits of the present members' qualities together.
    """

    inflow_wh: NDArray[np.int64]
    outflow_wh: NDArray[np.int64]
    loss_wh: NDArray[np.int64]
    members_loss_wh: NDArray[np.int64]
    uncontracted_wh: NDArray[np.int64]
    generation_wh: NDArray[np.int64]
    estimated_wh: NDArray[np.int64]
    taken_wh: NDArray[np.int64]
    returned_wh: NDArray[np.int64]
    sigma_wh: NDArray[np.float64]
    systematic_sigma_wh: NDArray[np.float64]
    export_sigma_wh: NDArray[np.float64]
    ends_sigma_wh: NDArray[np.float64]
    gap_sigma_wh: NDArray[np.float64]
    gateway_extra_sigma_wh: NDArray[np.float64]
    gateway_systematic_sigma_wh: NDArray[np.float64]
    sold_sigma_wh: NDArray[np.float64]
    sold_systematic_sigma_wh: NDArray[np.float64]
    coverage: NDArray[np.float64]
    complete: NDArray[np.bool_]
    has_gateway: NDArray[np.bool_]
    gateways_complete: NDArray[np.bool_]
    gateways_measured: NDArray[np.bool_]
    quality: NDArray[np.uint8]


def line_loss(
    starts: NDArray[np.int64],
    import_wh: NDArray[np.int64],
    export_wh: NDArray[np.int64],
    loss_wh: NDArray[np.int64] | None,
    multiplier: NDArray[np.int64],
    role: NDArray[np.uint8],
    accuracy_class: NDArray[np.float64],
    extra_sigma_wh: NDArray[np.int64] | None = None,
    quality: NDArray[np.uint8] | None = None,
    clock_share: NDArray[np.float64] | None = None,
    extra_systematic_wh: NDArray[np.int64] | None = None,
    start_wh: NDArray[np.float64] | None = None,
    power_steps: tuple[float, float] = POWER_STEPS,
    gap_sigma_wh: NDArray[np.int64] | None = None,
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
        int64 of shape (m,): loss inside a member that is a unit; `MISSING_WH` where not known, which counts as 0. None:
        no member is a unit.
    multiplier
        int64 of shape (m,): CT × PT ratio. The caller keeps sums inside int64 (see `grid.model.MAX_ENERGY_WH`).
    role
        uint8 of shape (m,): bits GATEWAY, CUSTOMER, UNIT, UNCONTRACTED, INNER, TIE_IN, TIE_OUT; 0 = not a member at
        this interval, and is passed over.
    accuracy_class
        float64 of shape (m,), percent; of meter and instrument transformers together.
    extra_sigma_wh
        int64 of shape (m,), before the multiplier: standard deviation of a member's energy beyond its class and step,
        as of an estimate, a substitute or a split; `MISSING_WH` counts as 0. None: 0 throughout.
    quality
        uint8 of shape (m,): bits ESTIMATED and SUBSTITUTED. None: neither.
    clock_share
        float64 of shape (units,): standard deviation of the meters' clocks over the length of the interval. None: 0.
    extra_systematic_wh
        int64 of shape (m,): part of `extra_sigma_wh` that the intervals share; `MISSING_WH` counts as 0. None: 0.
    start_wh
        float64 of shape (units,): most that may pass a meter in the interval without being counted. None: 0.
    power_steps
        By how much a customer's power and a unit's differ at the ends of an interval, over their means (root mean
        square).
    gap_sigma_wh
        int64 of shape (m,), before the multiplier: what an estimate's error adds to a sum over time beyond
        `extra_sigma_wh`; `MISSING_WH` counts as 0. None: 0 throughout.

    Returns
    -------
    Balance

    Raises
    ------
    ValueError
        When shapes disagree or `starts` isn't as described.

    Notes
    -----
    **Class.** A meter that left its test is within ±c % of its energy (IEC 62053; IEC 61869 for transformers). Its
    error is taken as normal with the class at two σ, and cut off there: σ = 0.44 × c/100 × energy (JCGM 100:2008,
    4.3.4). It stays the same from one interval to the next. A member that is gateway and customer at once (dedicated
    transformer) enters both sides with the same register, hence without error.

    **Start.** Below its starting current a meter counts nothing (IEC 62053-21: 0.004 of the basic current). Of those
    customers whose meters show nothing some take nothing and some nearly as much as that, and all of them err the same
    way: a quarter of `start_wh` × multiplier, added up over them, is taken as a deviation that intervals share.

    **Register.** The difference of two registers that step by one watt-hour has σ = multiplier × 1 Wh / √6.

    **Clocks.** A meter whose clock is δ ahead measures a window that is shifted by δ: it misses what flows in the last
    δ and has what flowed in the δ before. With P the power, the error is δ (P(begin) − P(end)). That difference is
    taken to have a standard deviation of 1 × its mean power for a customer, of 0.15 × it for a unit (`power_steps`):
    of the one-minute profiles of the IEEE European low-voltage test feeder, taken a quarter-hour apart, a single one
    has 1.05 × the root mean square of its quarter-hours, and 55 together 0.23 ×, of which 1.05/√55 = 0.14 is chance
    and the rest, 0.18, common to all (PV and the hours of the day). Different members are taken as independent but for
    what is common, which enters by the one clock of the gateway.

    **Ties.** What flows through a meter between a unit and its neighbour is inflow or outflow, but neither was it taken
    from the unit above nor given back to it: `taken_wh` and `returned_wh` don't have it.
    """
    members, units = len(import_wh), max(len(starts) - 1, 0)
    nothing = np.zeros(
        members if any(a is None for a in (loss_wh, extra_sigma_wh, extra_systematic_wh, gap_sigma_wh)) else 0, np.int64
    )
    of_members: dict[str, NDArray[Any]] = {
        "export_wh": export_wh,
        "loss_wh": nothing if loss_wh is None else loss_wh,
        "multiplier": multiplier,
        "role": role,
        "accuracy_class": accuracy_class,
        "extra_sigma_wh": nothing if extra_sigma_wh is None else extra_sigma_wh,
        "quality": np.zeros(members, np.uint8) if quality is None else quality,
        "extra_systematic_wh": nothing if extra_systematic_wh is None else extra_systematic_wh,
        "gap_sigma_wh": nothing if gap_sigma_wh is None else gap_sigma_wh,
    }
    of_units: dict[str, NDArray[np.float64]] = {
        "clock_share": np.zeros(units) if clock_share is None else clock_share,
        "start_wh": np.zeros(units) if start_wh is None else start_wh,
    }
    for name, array in of_members.items():
        if array.shape != (members,):
            raise ValueError(f"{name} has shape {array.shape}, import_wh ({members},)")
    if len(starts) < 1 or starts[0] != 0 or starts[-1] != members or np.any(np.diff(starts) < 0):
        raise ValueError("starts must rise from 0 to the number of members")
    for name, array in of_units.items():
        if array.shape != (units,):
            raise ValueError(f"{name} has shape {array.shape}, not ({units},)")
    energies, sigmas, coverage, complete, has_gateway, gateways_complete, gateways_measured, flags = balance_sums(
        starts,
        import_wh,
        **of_members,
        **of_units,
        customer_power_step=power_steps[0],
        unit_power_step=power_steps[1],
        has_gaps=gap_sigma_wh is not None,
    )
    inflow, outflow, members_loss, uncontracted, taken, returned, estimated, fed_in = energies
    return Balance(
        inflow_wh=inflow,
        outflow_wh=outflow,
        loss_wh=inflow - outflow,
        members_loss_wh=members_loss,
        uncontracted_wh=uncontracted,
        generation_wh=fed_in,
        estimated_wh=estimated,
        taken_wh=taken,
        returned_wh=returned,
        **dict(zip(_SIGMAS, sigmas, strict=True)),
        coverage=coverage,
        complete=complete,
        has_gateway=has_gateway,
        gateways_complete=gateways_complete,
        gateways_measured=gateways_measured,
        quality=flags,
    )


_SIGMAS = (
    "sigma_wh",
    "systematic_sigma_wh",
    "export_sigma_wh",
    "ends_sigma_wh",
    "gateway_extra_sigma_wh",
    "gateway_systematic_sigma_wh",
    "sold_sigma_wh",
    "sold_systematic_sigma_wh",
    "gap_sigma_wh",
)
