"""Any sequence of switch operations, reported in any order, gives the memberships of the plain-Python oracle."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grid.network import SwitchPosition
from grid.switching import (
    NO_REPORTS,
    ParentPeriod,
    PositionPeriod,
    find_moves,
    move_memberships,
    report_position,
)
from grid.topology import BEGINNING_US, END_US, wire_network
from tests.naive.topology import feeders_over_time
from tests.small_network import small_network

NETWORK = small_network()
WIRING = wire_network(NETWORK)
HORIZON = 12


class Operation(NamedTuple):
    switch: str
    at: int
    closed: bool


operations = st.lists(
    st.builds(Operation, st.sampled_from(WIRING.switches), st.integers(0, HORIZON - 2), st.booleans()), max_size=14
)


class Believed:
    """What the store would hold."""

    def __init__(self) -> None:
        self.periods: dict[str, list[PositionPeriod]] = {s: [] for s in WIRING.switches}
        self.parents = {a: [ParentPeriod(a[:2], BEGINNING_US, END_US)] for a in WIRING.areas}

    def report(self, operation: Operation) -> bool:
        switch, at, closed = operation
        position = SwitchPosition.CLOSED if closed else SwitchPosition.OPEN
        before = NO_REPORTS
        for other, periods in self.periods.items():
            before = before.replaced(WIRING.switches.index(other), periods)
        given_up, recorded = report_position(self.periods[switch], position, at)
        if not recorded:
            return False
        self.periods[switch] = sorted(
            [p for p in self.periods[switch] if p != given_up] + recorded, key=lambda p: p.from_us
        )
        after = before.replaced(WIRING.switches.index(switch), self.periods[switch])
        until = next(p.to_us for p in recorded if p.from_us == at)
        moves = find_moves(WIRING, before, after, at, until, self.feeders_before(at))
        for area in WIRING.areas:
            self.parents[area] = move_memberships(self.parents[area], [m for m in moves if m.area == area])
        return True

    def feeders_before(self, at: int) -> np.ndarray:
        found = [self.feeder_at(area, at - 1) for area in WIRING.areas]
        return np.array([-1 if f is None else WIRING.feeders.index(f) for f in found], np.int32)

    def feeder_at(self, area: str, at: int) -> str | None:
        found = [p.feeder for p in self.parents[area] if p.from_us <= at < p.to_us]
        assert len(found) <= 1
        return found[0] if found else None


def oracle(reports: dict[tuple[str, int], bool]) -> dict[str, list[str | None]]:
    return feeders_over_time(
        [(s.code, s.from_node, s.to_node) for s in NETWORK.segments],
        {s.code: (s.from_node, s.to_node, not s.is_tie) for s in NETWORK.switches},
        {h.feeder: (h.node, str(h.breaker)) for h in NETWORK.heads},
        {c.area: c.node for c in NETWORK.connections},
        reports,
        HORIZON,
    )


@given(operations, st.randoms(use_true_random=False))
def test_memberships_are_those_of_the_oracle_in_any_order(ops: list[Operation], random: object) -> None:
    last = {(o.switch, o.at): o for o in ops}  # two reports of one switch at one instant: the later is a correction
    arriving = list(last.values())
    random.shuffle(arriving)  # type: ignore[attr-defined]
    believed = Believed()
    for operation in arriving:
        believed.report(operation)
    wanted = oracle({key: o.closed for key, o in last.items()})
    found = {a: [believed.feeder_at(a, t) for t in range(HORIZON)] for a in WIRING.areas}
    assert found == wanted
    for periods in believed.parents.values():
        assert all(p.from_us < p.to_us for p in periods)
        assert all(a.to_us <= b.from_us for a, b in pairwise(periods))


@given(operations)
def test_a_report_repeated_changes_nothing(ops: list[Operation]) -> None:
    believed = Believed()
    for operation in ops:
        believed.report(operation)
        state = ({s: list(p) for s, p in believed.periods.items()}, dict(believed.parents))
        assert not believed.report(operation)
        assert state == (believed.periods, believed.parents)


@given(operations)
def test_a_correction_leaves_no_trace_of_what_it_corrects(ops: list[Operation]) -> None:
    """The same instant reported twice: what counts is the later report."""
    believed, last = Believed(), {}
    for operation in ops:
        believed.report(operation)
        believed.report(operation._replace(closed=not operation.closed))
        last[operation.switch, operation.at] = not operation.closed
    wanted = oracle(last)
    assert {a: [believed.feeder_at(a, t) for t in range(HORIZON)] for a in WIRING.areas} == wanted
