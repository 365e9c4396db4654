"""Live rules on the intervals of an area, and what meters reported, as changes of findings. Pure.

A rule's name is a finding's kind. A voltage beyond its band and an overload are the area's; the others are a meter's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

import numpy as np
from numpy.typing import NDArray

from grid.model import Role
from grid.roster import UNCONTRACTED, Roster
from kernels.live_rules import (
    ACTIVE,
    GENERATES,
    MISSING,
    RULES,
    THREE_PHASE,
    LiveBatch,
    LiveLimits,
    LiveRules,
    LiveState,
    Rule,
    of_customers,
)

#: Kinds of findings by rule.
KINDS = {
    Rule.NO_CONTRACT: "no_contract",
    Rule.OVER_CAPACITY: "over_capacity",
    Rule.REVERSE: "reverse_energy",
    Rule.ZERO_WITH_CURRENT: "zero_with_current",
    Rule.PHASE_MISSING: "phase_missing",
    Rule.VOLTAGE: "voltage",
}
OVERLOAD = "overload"
#: Kinds that are the area's and not a meter's.
OF_AREA = frozenset({"voltage", OVERLOAD})
#: What meters report that a visit is worth, and that one customer alone is without voltage.
TAMPERING, SINGLE_OUTAGE = "tampering", "single_outage"

_THREE_PHASES = 7
_QUARTER_S = 900
#: So many neighbours that report the same about then: somebody works at the area, or it is out.
_LEAST_NEIGHBOURS, _NEIGHBOUR_SHARE = 2, 0.2
#: What was reported is over when it wasn't for so long.
QUIET = timedelta(days=7)


@dataclass(frozen=True, slots=True, eq=False)
class LiveInterval:
    """An interval of an area; arrays of shape (positions,), voltages and currents (positions, 3) or None."""

    end_us: int
    interval_s: int
    import_wh: NDArray[np.int64]
    export_wh: NDArray[np.int64]
    voltage_dv: NDArray[np.int16] | None
    current_ca: NDArray[np.int16] | None
    inflow_wh: int | None
    """None: not known."""


@dataclass(frozen=True, slots=True, eq=False)
class Contracts:
    """What marketing knows of each position.

    Attributes
    ----------
    capacity_w
        int64 (positions,): contract capacity; 0 = none is known.
    generates
        bool (positions,): may give energy back.
    """

    capacity_w: NDArray[np.int64]
    generates: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Change:
    """A finding begins or ends; `position` is None of the area's own."""

    kind: str
    position: int | None
    begins: bool
    at_us: int
    energy_wh: int = 0
    """Counted in the interval at which it was said."""


@dataclass(frozen=True, slots=True)
class OverloadRule:
    """A transformer is overloaded when its load was over a share of its rating for so many intervals in a row."""

    share: float = 1.0
    intervals: int = 4

    def __post_init__(self) -> None:
        if not self.share > 0 or self.intervals < 1:
            raise ValueError("share and intervals must be above 0")


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """What the rules know of an area's members while the same ones stand there; arrays of shape (positions,).

    Attributes
    ----------
    is_customer
        bool.
    account
        uint8: bits of `kernels.live_rules.LiveBatch.account`.
    capacity_w
        int64, as `Contracts` has it.
    """

    roster: Roster
    is_customer: NDArray[np.bool_]
    account: NDArray[np.uint8]
    capacity_w: NDArray[np.int64]


def standing_of(roster: Roster, contracts: Contracts) -> Standing:
    """Members and contracts as the rules want them."""
    account = (
        np.where(roster.role & UNCONTRACTED == 0, ACTIVE, 0)
        | np.where(contracts.generates, GENERATES, 0)
        | np.where(roster.phases == _THREE_PHASES, THREE_PHASE, 0)
    ).astype(np.uint8)
    return Standing(roster, roster.role & int(Role.CUSTOMER) != 0, account, contracts.capacity_w)


def judge(
    state: LiveState, interval: LiveInterval, standing: Standing, limits: LiveLimits
) -> tuple[LiveState, list[Change]]:
    """Judge an interval of all meters; returns what begins and ends with it."""
    customer, multiplier = standing.is_customer, standing.roster.multiplier

    def energy(wh: NDArray[np.int64]) -> NDArray[np.int64]:
        return of_customers(wh, customer, multiplier)

    def triple(values: NDArray[np.int16] | None) -> NDArray[np.int16] | None:
        return None if values is None else np.where(customer[:, None], values, np.int16(MISSING))

    batch = LiveBatch(
        import_wh=energy(interval.import_wh),
        export_wh=energy(interval.export_wh),
        voltage_dv=triple(interval.voltage_dv),
        current_ca=triple(interval.current_ca),
        capacity_wh=standing.capacity_w * interval.interval_s // 3_600,
        account=standing.account,
    )
    before = state.open
    state, said = _rules(limits, interval.interval_s).update(state, batch)
    if not (said.begun.any() or said.ended.any()):  # most often; what is the area's begins and ends with a meter's
        return state, []
    changes: list[Change] = []
    for rule, kind in KINDS.items():
        bit = np.uint8(1 << rule)
        if kind in OF_AREA:
            was, now = bool((before & bit).any()), bool((state.open & bit).any())
            if was != now:
                changes.append(Change(kind, None, now, interval.end_us))
            continue
        for bits, begins in ((said.begun, True), (said.ended, False)):
            for position in np.flatnonzero(bits & bit).tolist():
                counted = int(batch.import_wh[position]) if rule is Rule.NO_CONTRACT else 0
                changes.append(Change(kind, position, begins, interval.end_us, max(counted, 0)))
    return state, changes


def grow_live(state: LiveState, size: int) -> LiveState:
    """The state with room for meters that were added."""
    more = size - len(state.open)
    return LiveState(
        np.concatenate([state.count, np.zeros((more, RULES), np.int8)]),
        np.concatenate([state.open, np.zeros(more, np.uint8)]),
    )


def reopened(state: LiveState, codes: Mapping[int, str], said: AbstractSet[tuple[str | None, str]]) -> LiveState:
    """The state in which rules of single meters hold that were said, by meter and kind; `codes` by position."""
    opened = state.open.copy()
    for position, code in codes.items():
        for rule, kind in KINDS.items():
            if (code, kind) in said:
                opened[position] |= np.uint8(1 << rule)
    return LiveState(state.count, opened)


def overload(last: Sequence[LiveInterval], rating_va: float, rule: OverloadRule, *, holds: bool) -> Change | None:
    """Whether a transformer's overload begins or ends with the last of some intervals; None: it stays as it is."""
    known = [i for i in last[-rule.intervals :] if i.inflow_wh is not None]
    if rating_va <= 0 or len(known) < rule.intervals:
        return None
    over = [(i.inflow_wh or 0) * 3_600 > rule.share * rating_va * i.interval_s for i in known]
    if (all(over) and not holds) or (holds and not any(over)):
        return Change(OVERLOAD, None, not holds, known[-1].end_us)
    return None


@dataclass(frozen=True, slots=True)
class Reported:
    """What a meter reported, and how many others of its area reported the same within an hour."""

    unit_id: int
    unit: str
    meter: str
    kind: str
    first_at: datetime
    last_at: datetime
    times: int
    neighbours: int
    meters: int
    restored: bool

    @property
    def is_shared(self) -> bool:
        """Whether the area did so, and not one customer: works on meters, or an outage."""
        return self.neighbours > max(_LEAST_NEIGHBOURS, _NEIGHBOUR_SHARE * self.meters)

    @property
    def finding(self) -> str | None:
        """Kind of the finding that it makes; None for none."""
        if self.is_shared:
            return None
        if self.kind == "last_gasp":
            return None if self.restored else SINGLE_OUTAGE
        return TAMPERING


@cache
def _rules(limits: LiveLimits, interval_s: int) -> LiveRules:
    """The rules for a length of interval: what counts as use grows with it from that of a quarter hour."""
    least_wh = max(round(limits.least_wh * interval_s / _QUARTER_S), 1)
    return LiveRules(
        LiveLimits(
            least_wh=least_wh,
            capacity_share=limits.capacity_share,
            current_ca=limits.current_ca,
            low_dv=limits.low_dv,
            high_dv=limits.high_dv,
            intervals=limits.intervals,
        )
    )
