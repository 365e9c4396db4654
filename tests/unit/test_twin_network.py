from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from grid.model import GridModel, Role, UnitKind, check_code
from grid.topology import SupplyStatus, taps_at, trace, wire_network
from tests.unit.twin_grid import ONE_FEEDER, full_grid, one_feeder
from twin.network import Network, read_network
from twin.scenario import Twin, demonstration_grid
from twin.simbench import data_folder
from twin.ties import Section, Tie


def test_the_grid_has_what_simbench_has() -> None:
    network, model = full_grid().network, full_grid().model
    assert len(model.substations) == 4
    assert len(model.feeders) == 36
    assert Counter(a.kind for a in model.areas) == {UnitKind.AREA: 412, UnitKind.DEDICATED: 70}
    low = [p for p in network.points if p.area >= 0]
    assert sum(not p.generation for p in low) == 32_511
    assert sum(p.generation for p in low) == 2_646
    assert Counter(m.role for m in model.meters) == {
        Role.GATEWAY: 412 + 36,
        Role.CUSTOMER: 32_511 + 2_646,
        Role.GATEWAY | Role.CUSTOMER: 70,
    }
    assert len(model.accounts) == 32_511 + 2_646 + 70


def test_every_area_reaches_a_feeder_of_its_own_grid() -> None:
    model = full_grid().model
    substation = {f.code: f.substation for f in model.feeders}
    for area in model.areas:
        if area.kind is UnitKind.AREA:
            assert area.feeder is not None
            assert area.gateway == f"headend-{substation[area.feeder]}"
    on_busbar = [a.code for a in model.areas if a.feeder is None]
    assert len(on_busbar) == 6
    assert {a.kind for a in model.areas if a.feeder is None} == {UnitKind.DEDICATED}


def test_an_open_loop_line_belongs_to_the_feeder_that_energises_it() -> None:
    network = full_grid().network
    lines = network.lines
    assert ((lines.area >= 0) != (lines.feeder >= 0)).all()
    # One line or transformer above each node but the busbars: the grid is a forest, so no loop line joins feeders.
    above = [*lines.end.tolist(), *(a.low_node for a in network.areas)]
    assert sorted([*above, *(node for node, _ in network.sources)]) == list(range(len(network.nodes)))


def test_a_switching_station_hands_its_areas_to_the_feeder_before_it() -> None:
    # Feeders 11 and 12 leave a station in the field that feeder 2 supplies.
    model = full_grid().model
    codes = {f.code for f in model.feeders}
    assert "MV3.101_Feeder2" in codes
    assert not {"MV3.101_Feeder11", "MV3.101_Feeder12", "MV4.101_RS_Line"} & codes
    assert sum(a.feeder == "MV3.101_Feeder2" and a.kind is UnitKind.AREA for a in model.areas) == 15


def test_codes_can_be_used_everywhere() -> None:
    model = full_grid().model
    for code in [m.code for m in model.meters] + [a.code for a in model.accounts] + [a.code for a in model.areas]:
        assert check_code(code) == code
        assert " " not in code


def test_tariff_classes_come_from_the_profiles() -> None:
    classes = Counter(account.tariff_class for account in full_grid().model.accounts)
    assert set(classes) == {"household", "commercial", "agricultural", "industrial", "generation"}
    assert classes["household"] == 28_777
    assert all(account.contract_w > 0 for account in full_grid().model.accounts)


def test_heads_stand_on_current_transformers() -> None:
    multipliers = {m.unit: m.multiplier for m in full_grid().model.meters if m.code.endswith("-head")}
    assert set(multipliers.values()) <= {20, 30, 40, 60, 80, 120}
    assert len(multipliers) == 36


def test_a_part_of_the_grid_is_whole_in_itself() -> None:
    model = one_feeder().model
    assert [f.code for f in model.feeders] == ["MV1.101_Feeder1"]
    assert sum(a.kind is UnitKind.AREA for a in model.areas) == ONE_FEEDER
    assert {a.feeder for a in model.areas} == {"MV1.101_Feeder1"}
    full = {a.code: a for a in full_grid().model.areas}
    assert all(full[a.code] == a for a in model.areas)


def test_units_cover_all_meters_in_order() -> None:
    twin = full_grid()
    assert [u.first for u in twin.units[1:]] == [u.last for u in twin.units[:-1]]
    assert twin.units[-1].last == len(twin.model.meters)
    for unit in twin.units:
        assert {m.unit for m in twin.model.meters[unit.first : unit.last]} == {unit.code}


def traced(model: GridModel, **positions: bool) -> dict[str, str | None]:
    assert model.network is not None
    wiring = wire_network(model.network)
    closed = wiring.normal.copy()
    for code, position in positions.items():
        closed[wiring.switches.index(code)] = position
    none = np.full(len(wiring.areas), -1, np.int32)
    found = trace(wiring, closed).assign(taps_at(wiring), none)
    return {a: None if f < 0 else wiring.feeders[f] for a, f in zip(wiring.areas, found, strict=True)}


@pytest.mark.parametrize("twin", [full_grid, one_feeder], ids=["all", "one feeder"])
def test_the_traced_topology_is_that_of_the_records(twin: Callable[[], Twin]) -> None:
    model = twin().model
    assert traced(model) == {a.code: a.feeder for a in model.areas if a.feeder is not None}


def test_the_records_have_every_switch() -> None:
    network = full_grid().model.network
    assert network is not None
    assert len(network.heads) == 36
    assert all(head.breaker for head in network.heads)
    # Of 37 open ones: not the couplers of busbars, and not those to reserve lines that supply nothing.
    assert sum(s.is_tie for s in network.switches) == 32
    assert len(network.segments) == 474
    assert {c.area for c in network.connections} == {a.code for a in full_grid().model.areas if a.feeder}
    supply = trace(wire_network(network), wire_network(network).normal)
    assert set(supply.status.tolist()) == {SupplyStatus.RADIAL, SupplyStatus.DEAD}


def test_the_impedance_of_a_feeder_is_that_of_the_physics() -> None:
    network, model = full_grid().network, full_grid().model
    assert model.network is not None
    medium = network.lines.feeder >= 0
    assert sum(s.resistance_ohm for s in model.network.segments) == pytest.approx(
        network.lines.resistance_ohm[medium].sum()
    )
    assert sum(s.reactance_ohm for s in model.network.segments) == pytest.approx(
        network.lines.reactance_ohm[medium].sum()
    )


def test_closing_a_tie_and_opening_a_breaker_moves_a_feeder() -> None:
    model = full_grid().model
    own = {a.code: a.feeder for a in model.areas if a.feeder is not None}
    assert model.network is not None
    breaker = next(h.breaker for h in model.network.heads if h.feeder == "MV1.101_Feeder1")
    assert breaker is not None
    dark = traced(model, **{breaker: False})
    assert {a for a, f in dark.items() if f is None} == {a for a, f in own.items() if f == "MV1.101_Feeder1"}
    moved = traced(model, **{breaker: False, "MV1.101-loop_line_switch-1.2": True})
    assert moved == {a: "MV1.101_Feeder5" if f == "MV1.101_Feeder1" else f for a, f in own.items()}


def test_no_areas_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        read_network(data_folder(), 0)


def test_a_hook_in_an_unknown_area_is_refused() -> None:
    with pytest.raises(ValueError, match="no area LV9"):
        demonstration_grid(areas=1, unmetered_w={"LV9": 1.0})


class Contracted:
    """The contracted medium-voltage network with some ties closed and some line ends opened, by union-find."""

    def __init__(self, network: Network, closed: Tie, opened: Section) -> None:
        self.network = network
        lines = network.lines
        self.medium = [i for i, feeder in enumerate(lines.feeder.tolist()) if feeder >= 0]
        heads = {f.head for f in network.feeders}
        self.parent = list(range(len(network.nodes) + len(lines.start)))
        self.is_forest = self.join(closed.start, closed.end)
        for i in self.medium:
            own = len(network.nodes) + i
            # A head's line isn't joined to the busbar, so that feeders of one busbar stay apart.
            if i not in heads and not (opened.line == i and opened.at_start):
                self.is_forest &= self.join(own, int(lines.start[i]))
            if not (opened.line == i and not opened.at_start):
                self.is_forest &= self.join(own, int(lines.end[i]))
        self.dead = {f.code for f in network.feeders if opened.line == f.head and opened.at_start}

    def root(self, node: int) -> int:
        while self.parent[node] != node:
            node = self.parent[node]
        return node

    def join(self, a: int, b: int) -> bool:
        a, b = self.root(a), self.root(b)
        self.parent[a] = b
        return a != b

    def feeders(self) -> dict[str, str]:
        network = self.network
        of_root: dict[int, str] = {}
        for feeder in network.feeders:
            if feeder.code not in self.dead:
                root = self.root(len(network.nodes) + feeder.head)
                assert root not in of_root, "two feeders in parallel"
                of_root[root] = feeder.code
        supplied = {a.code: of_root[self.root(a.high_node)] for a in network.areas}
        return supplied | {p.code: of_root[self.root(p.node)] for p in network.points if p.area < 0 and p.feeder >= 0}


def loop_of(network: Network, tie: Tie) -> list[int]:
    """The lines between a tie's ends, through the busbars if these are of two feeders."""
    above = {int(network.lines.end[i]): i for i in np.flatnonzero(network.lines.feeder >= 0).tolist()}

    def upwards(node: int) -> list[int]:
        lines = []
        while node in above:
            lines.append(above[node])
            node = int(network.lines.start[above[node]])
        return lines

    return sorted(set(upwards(tie.start)) ^ set(upwards(tie.end)))


def test_closing_a_tie_and_opening_a_section_of_its_loop_supplies_everything() -> None:
    network = full_grid().network
    assert len(network.ties) == 32
    assert sum(t.start_feeder != t.end_feeder for t in network.ties) == 26
    by_line: dict[int, list[Section]] = {}
    for section in network.sections.values():
        by_line.setdefault(section.line, []).append(section)
    wiring = wire_network(network.switched)
    none = np.full(len(wiring.areas), -1, np.int32)
    tried = 0
    for tie in network.ties:
        loop = [i for i in loop_of(network, tie) if i in by_line]
        for section in {s for i in (loop[0], loop[len(loop) // 2], loop[-1]) for s in by_line[i]}:
            contracted = Contracted(network, tie, section)
            assert contracted.is_forest
            found = contracted.feeders()
            closed = wiring.normal.copy()
            closed[wiring.switches.index(tie.switch)] = True
            closed[wiring.switches.index(section.switch)] = False
            supply = trace(wiring, closed)
            feeder = supply.assign(taps_at(wiring), none)
            assert found == {a: wiring.feeders[f] for a, f in zip(wiring.areas, feeder, strict=True)}
            assert (supply.status[taps_at(wiring)] == SupplyStatus.RADIAL).all()
            tried += 1
    assert tried > 150


def test_every_feeder_can_be_cut_nearly_everywhere() -> None:
    network = full_grid().network
    ends = {(s.line, s.at_start) for s in network.sections.values()}
    # The rest are lines that leave a node together behind one switch.
    assert len(ends) == 915
    assert int((network.lines.feeder >= 0).sum()) == 474
    assert {network.sections[h.breaker or ""].line for h in network.switched.heads} == {f.head for f in network.feeders}
    assert set(network.sections) <= {s.code for s in network.switched.switches if not s.is_tie}


def test_ties_of_a_part_are_those_between_its_feeders() -> None:
    network = one_feeder().network
    assert network.ties
    assert {(t.start_feeder, t.end_feeder) for t in network.ties} == {(0, 0)}
