"""Sums over a unit's members, and their variances, for `kernels.energy_balance`: one pass over all units."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from kernels.customer_sums import customer_gaps, customer_sums, next_other
from kernels.member import (
    CUSTOMER,
    ESTIMATED,
    GATEWAY,
    INNER,
    MISSING_WH,
    SUBSTITUTED,
    TIE_IN,
    TIE_OUT,
    UNCONTRACTED,
    UNIT,
)
from kernels.member_error import STEP_VARIANCE, class_variances, extra_variances

#: Of what may pass a meter that shows nothing, what is taken to have passed.
_UNCOUNTED = 0.25


@njit(cache=True, nogil=True)
def balance_sums(  # type: ignore[no-untyped-def]  # noqa: C901, PLR0912, PLR0915  # numba infers; one pass
    starts,
    import_wh,
    export_wh,
    loss_wh,
    multiplier,
    role,
    accuracy_class,
    extra_sigma_wh,
    quality,
    extra_systematic_wh,
    clock_share,
    start_wh,
    customer_power_step,
    unit_power_step,
    gap_sigma_wh,
    has_gaps,
):
    units = len(starts) - 1
    energies = np.zeros((8, units), np.int64)
    sigmas = np.zeros((9, units), np.float64)
    coverage = np.full(units, np.nan)
    complete = np.zeros(units, np.bool_)
    expects_gateway = np.zeros(units, np.bool_)
    gateways_complete = np.zeros(units, np.bool_)
    gateways_measured = np.zeros(units, np.bool_)
    qualities = np.zeros(units, np.uint8)
    for u in range(units):
        begin, end = np.uint64(starts[u]), np.uint64(starts[u + 1])
        # Of customers: variances, squares of their powers' differences, and multipliers of meters that show nothing.
        (
            expected,
            present,
            guessed,
            sold,
            fed_in,
            estimated,
            idle,
            flags,
            of_moves,
            customer_class,
            exported_class,
            customer_rest,
            customer_steps,
        ) = customer_sums(
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
        )
        of_moves *= customer_power_step * customer_power_step
        of_gaps = customer_gaps(begin, end, import_wh, multiplier, role, gap_sigma_wh) if has_gaps else 0.0
        through = np.float64(sold + fed_in)
        # Of other members that stand on one side only.
        of_class = of_rest = of_steps = 0.0
        gateways = gateways_present = gateways_guessed = 0
        taken = returned = members_loss = uncontracted = tied_in = tied_out = np.int64(0)
        # Of customers that are gateways too; of all gateways.
        both_class = both_rest = extra_of_gateways = same_of_gateways = 0.0
        has_gateway = False
        following = next_other(begin, end, role)
        while following < end:
            i = following
            following = next_other(i + np.uint64(1), end, role)
            kind = role[i]
            if kind == 0:
                continue
            expected += 1
            energy = import_wh[i]
            if kind & GATEWAY:
                gateways += 1
                gateways_present += energy != MISSING_WH
            if energy == MISSING_WH:
                continue
            present += 1
            ratio = multiplier[i]
            taken_i = energy * ratio
            given_i = export_wh[i]
            given_i = np.int64(0) if given_i == MISSING_WH else given_i * ratio
            taken_f, given_f = np.float64(taken_i), np.float64(given_i)
            class_i, exported_i = class_variances(accuracy_class[i], taken_f, given_f)
            class_i += exported_i
            ratio_f = np.float64(ratio)
            step_i = ratio_f * ratio_f
            same_i, extra_i = extra_variances(extra_sigma_wh[i], extra_systematic_wh[i], ratio_f)
            class_i += same_i
            gap_i = np.float64(max(gap_sigma_wh[i], np.int64(0))) * ratio_f
            gap_i *= gap_i
            flags |= quality[i]
            if quality[i] & (ESTIMATED | SUBSTITUTED):
                estimated += taken_i + given_i
                if quality[i] & ESTIMATED:
                    guessed += 1
                    gateways_guessed += kind & GATEWAY != 0
                    step_i = np.float64(0.0)
            if kind & (TIE_IN | TIE_OUT):
                tied_in += taken_i if kind & TIE_IN else given_i
                tied_out += given_i if kind & TIE_IN else taken_i
                move = unit_power_step * (taken_f - given_f)
                of_moves += move * move
                of_class += class_i
                exported_class += exported_i
                of_steps += step_i
                of_rest += extra_i
                of_gaps += gap_i
                continue
            if kind & UNIT and loss_wh[i] != MISSING_WH:
                members_loss += loss_wh[i]
            if kind & INNER:
                continue
            is_gateway = kind & GATEWAY != 0
            is_sink = kind & (CUSTOMER | UNIT) != 0
            if is_gateway:
                taken += taken_i
                returned += given_i
                extra_of_gateways += extra_i + gap_i
            if is_sink:
                sold += taken_i
                fed_in += given_i
                uncontracted += taken_i if kind & UNCONTRACTED else 0
            if is_gateway and is_sink:
                if kind & UNIT:
                    extra_of_gateways += class_i + STEP_VARIANCE * step_i
                    same_of_gateways += class_i
                both_class += class_i if kind & CUSTOMER else 0.0
                both_rest += STEP_VARIANCE * step_i + extra_i if kind & CUSTOMER else 0.0
                continue
            if kind & CUSTOMER:
                move = customer_power_step * (taken_f - given_f)
                of_moves += move * move
                through += taken_f + given_f
                customer_class += class_i
                exported_class += exported_i
                customer_steps += step_i
                customer_rest += extra_i
                of_gaps += gap_i
                idle += ratio * (taken_i + given_i == 0)
                continue
            of_class += class_i
            exported_class += exported_i
            of_steps += step_i
            of_rest += extra_i
            of_gaps += gap_i
            if is_gateway:
                has_gateway = True
            else:
                move = unit_power_step * (taken_f - given_f)
                of_moves += move * move
                through += taken_f + given_f
        if expected > 0:
            coverage[u] = (present - guessed) / expected
        complete[u] = expected > 0 and present == expected
        qualities[u] = flags
        expects_gateway[u] = gateways > 0
        gateways_complete[u] = gateways > 0 and gateways == gateways_present
        gateways_measured[u] = gateways_complete[u] and gateways_guessed == 0
        inflow, outflow = taken + fed_in + tied_in, returned + sold + tied_out
        energies[:, u] = (inflow, outflow, members_loss, uncontracted, taken, returned, estimated, fed_in)
        offset = clock_share[u]
        clocks = offset * offset * of_moves
        of_ends = STEP_VARIANCE * (of_steps + customer_steps) + clocks
        if has_gateway:
            of_ends += clocks + (offset * unit_power_step * through) ** 2
        uncounted = _UNCOUNTED * start_wh[u] * idle
        customer_class += uncounted * uncounted
        of_class += customer_class
        sold_class = customer_class + both_class
        sigmas[0, u] = math.sqrt(of_class + of_ends + of_rest + customer_rest)
        sigmas[1, u] = math.sqrt(of_class)
        sigmas[2, u] = math.sqrt(exported_class)
        sigmas[3, u] = math.sqrt(of_ends)
        sigmas[4, u] = math.sqrt(extra_of_gateways)
        sigmas[5, u] = math.sqrt(same_of_gateways)
        sigmas[6, u] = math.sqrt(sold_class + customer_rest + both_rest + STEP_VARIANCE * customer_steps + clocks)
        sigmas[7, u] = math.sqrt(sold_class)
        sigmas[8, u] = math.sqrt(of_gaps)
    return energies, sigmas, coverage, complete, expects_gateway, gateways_complete, gateways_measured, qualities
