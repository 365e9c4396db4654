"""Live rules: what is wrong with a meter in this very interval, for all meters of a block at once.

Each rule is a condition on one interval; a condition must hold for so many intervals in a row before it is said, and
its end is said when it has failed as often. Counters are bytes, one a meter and rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.member import MISSING_WH

VERSION = 1
#: A missing voltage or current.
MISSING = np.iinfo(np.int16).min
#: Bits of `LiveBatch.account`.
ACTIVE, GENERATES, THREE_PHASE = 1, 2, 4
#: The lowest voltage of a phase that is there at all, tenths of a volt.
_PRESENT_DV = 500


class Rule(IntEnum):
    """Rules, in the order of the bits and counters."""

    NO_CONTRACT = 0  # use on a closed or absent account
    OVER_CAPACITY = 1
    REVERSE = 2  # energy given back without generation
    ZERO_WITH_CURRENT = 3
    PHASE_MISSING = 4
    VOLTAGE = 5


RULES = len(Rule)


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """When a condition holds, and for how many intervals it must.

    Attributes
    ----------
    least_wh
        Energy up to this is no use, and none given back: what a meter may count of its own.
    capacity_share
        Over contract capacity beyond this multiple of it.
    current_ca
        Current from this on is present, hundredths of an ampere.
    low_dv, high_dv
        Voltage band, tenths of a volt; by default 230 V ± 10 % (EN 50160).
    intervals
        Of each rule: intervals in a row before it is said, 1 … 127.
    """

    least_wh: int = 20
    capacity_share: float = 1.1
    current_ca: int = 30
    low_dv: int = 2070
    high_dv: int = 2530
    intervals: tuple[int, ...] = (4, 4, 2, 4, 2, 3)

    def __post_init__(self) -> None:
        if len(self.intervals) != RULES or not all(1 <= n <= 127 for n in self.intervals):
            raise ValueError(f"intervals has one number from 1 to 127 for each of {RULES} rules")
        if self.low_dv >= self.high_dv or self.least_wh < 0 or self.capacity_share <= 0:
            raise ValueError("limits are empty")


@dataclass(frozen=True, slots=True, eq=False)
class LiveState:
    """`count` int8 (meters, RULES): intervals in a row in which a condition held, negative counts down; `open` uint8
    (meters,): a bit for each rule that was said and hasn't ended.
    """

    count: NDArray[np.int8]
    open: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class LiveBatch:
    """One interval of a block; arrays of shape (meters,), voltages and currents (meters, 3) or None.

    Attributes
    ----------
    import_wh, export_wh
        int64, times the multiplier; `MISSING_WH` = missing: the energy's rules stay as they are.
    voltage_dv, current_ca
        int16, tenths of a volt, hundredths of an ampere; `MISSING` = missing.
    capacity_wh
        int64: contract capacity over the interval; 0 = none is known, and nobody is over it.
    account
        uint8: ACTIVE, GENERATES, THREE_PHASE.
    """

    import_wh: NDArray[np.int64]
    export_wh: NDArray[np.int64]
    voltage_dv: NDArray[np.int16] | None
    current_ca: NDArray[np.int16] | None
    capacity_wh: NDArray[np.int64]
    account: NDArray[np.uint8]

    def __post_init__(self) -> None:
        shape = self.import_wh.shape
        for values in (self.export_wh, self.capacity_wh, self.account):
            if values.shape != shape:
                raise ValueError(f"an array has shape {values.shape}, import_wh {shape}")
        for triple in (self.voltage_dv, self.current_ca):
            if triple is not None and triple.shape != (*shape, 3):
                raise ValueError(f"an array has shape {triple.shape}, wants {(*shape, 3)}")


@dataclass(frozen=True, slots=True, eq=False)
class LiveChanges:
    """Bits of rules, uint8 (meters,): what begins and what ends with this interval."""

    begun: NDArray[np.uint8]
    ended: NDArray[np.uint8]


def of_customers(
    wh: NDArray[np.int64], is_customer: NDArray[np.bool_], multiplier: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Energies of customers' meters times their multipliers, as `LiveBatch` wants them.

    Parameters
    ----------
    wh, is_customer, multiplier
        Of shape (meters,); Wh as counted, `MISSING_WH` = missing. In the result who is no customer is missing, too.

    Raises
    ------
    ValueError
        When shapes differ.
    """
    if not wh.shape == is_customer.shape == multiplier.shape:
        raise ValueError(f"shapes are {wh.shape}, {is_customer.shape}, {multiplier.shape}")
    out = np.empty(len(wh), np.int64)
    _of_customers(wh, is_customer, multiplier, out)
    return out


@njit(cache=True, nogil=True)
def _of_customers(wh, is_customer, multiplier, out):  # type: ignore[no-untyped-def]  # numba infers
    for m in range(len(wh)):
        out[m] = wh[m] * multiplier[m] if is_customer[m] and wh[m] != MISSING_WH else MISSING_WH


class LiveRules:
    """The detector, as `kernels.detector.Detector` has it."""

    def __init__(self, limits: LiveLimits | None = None) -> None:
        limits = limits or LiveLimits()
        self._wanted = np.array(limits.intervals, np.int8)
        self._limits = limits

    def init(self, meters: int) -> LiveState:
        """Nothing counted, nothing open."""
        return LiveState(np.zeros((meters, RULES), np.int8), np.zeros(meters, np.uint8))

    def update(self, state: LiveState, batch: LiveBatch) -> tuple[LiveState, LiveChanges]:
        """Judge an interval.

        Raises
        ------
        ValueError
            When the batch has another number of meters.
        """
        if len(batch.import_wh) != len(state.open):
            raise ValueError(f"{len(batch.import_wh)} meters, the state has {len(state.open)}")
        meters = len(state.open)
        none = np.full((0, 3), MISSING, np.int16)
        limits = self._limits
        begun, ended = np.zeros(meters, np.uint8), np.zeros(meters, np.uint8)
        new = LiveState(state.count.copy(), state.open.copy())
        _judge(
            batch.import_wh,
            batch.export_wh,
            none if batch.voltage_dv is None else batch.voltage_dv,
            none if batch.current_ca is None else batch.current_ca,
            batch.capacity_wh,
            batch.account,
            limits.least_wh,
            limits.capacity_share,
            limits.current_ca,
            limits.low_dv,
            limits.high_dv,
            self._wanted,
            new.count,
            new.open,
            begun,
            ended,
        )
        return new, LiveChanges(begun, ended)


@njit(cache=True, nogil=True)
def _judge(  # type: ignore[no-untyped-def]  # numba infers  # noqa: C901, PLR0912, PLR0915
    import_wh, export_wh, voltage, current, capacity_wh, account, least_wh, share, least_ca, low_dv, high_dv, wanted,
    count, opened, begun, ended,
):  # fmt: skip
    with_voltage = len(voltage) > 0
    with_current = len(current) > 0
    for m in range(len(import_wh)):
        holds = 0
        known = 0
        taken = import_wh[m]
        if taken != MISSING_WH:
            known |= 3
            if taken > least_wh:
                if not account[m] & ACTIVE:
                    holds |= 1
                if capacity_wh[m] > 0 and taken > share * capacity_wh[m]:
                    holds |= 2
        given = export_wh[m]
        if given != MISSING_WH:
            known |= 4
            if given > least_wh and not account[m] & GENERATES:
                holds |= 4
        if with_current:
            # The type's least is what is missing: the greatest of three is missing when all are.
            top_ca = max(current[m, 0], current[m, 1], current[m, 2])
            if top_ca != MISSING and taken != MISSING_WH:
                known |= 8
                if taken == 0 and given <= 0 and max(top_ca, 0) >= least_ca:
                    holds |= 8
        if with_voltage:
            there = 0
            seen = 0
            outside = False
            for k in range(3):
                v = voltage[m, k]
                is_there = v >= _PRESENT_DV
                seen += v != MISSING
                there += is_there
                outside |= is_there & ((v < low_dv) | (v > high_dv))
            if outside:
                holds |= 32
            if there > 0:
                known |= 32
            # All phases gone is an outage, not a lost phase; who has one phase alone can't lack another.
            if not account[m] & THREE_PHASE:
                known |= 16 if seen > 0 else 0
            elif seen == 3:
                known |= 16
                if 0 < there < 3:
                    holds |= 16
        if known == 0 or (holds == 0 and opened[m] == 0 and _quiet(count, m)):
            continue
        for r in range(RULES):
            bit = 1 << r
            if not known & bit:
                continue
            if holds & bit:
                count[m, r] = min(max(count[m, r], 0) + 1, wanted[r])
                if count[m, r] >= wanted[r] and not opened[m] & bit:
                    opened[m] |= bit
                    begun[m] |= bit
            elif opened[m] & bit:
                count[m, r] = min(count[m, r], 0) - 1
                if -count[m, r] >= wanted[r]:
                    opened[m] &= 255 ^ bit
                    ended[m] |= bit
                    count[m, r] = 0
            else:
                count[m, r] = 0


@njit(cache=True, nogil=True)
def _quiet(count, m):  # type: ignore[no-untyped-def]
    any_bit = 0
    for r in range(RULES):
        any_bit |= count[m, r]
    return any_bit == 0
