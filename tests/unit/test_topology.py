from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from grid.network import (
    AreaConnection,
    FeederHead,
    Network,
    Node,
    Segment,
    Switch,
    SwitchKind,
    SwitchPosition,
)
from grid.topology import (
    END_US,
    EdgeRow,
    HeadRow,
    Span,
    SupplyStatus,
    TapRow,
    Wiring,
    find_paths,
    taps_at,
    trace,
    wire,
    wire_network,
)
from tests.small_network import small_network


def closed(wiring: Wiring, **positions: bool) -> np.ndarray:
    mask = wiring.normal.copy()
    for code, value in positions.items():
        mask[wiring.switches.index(code.replace("_", "-"))] = value
    return mask


def areas_by_feeder(wiring: Wiring, mask: np.ndarray, previous: dict[str, str] | None = None) -> dict[str, str | None]:
    supply = trace(wiring, mask)
    known = previous or {}
    before = np.array([wiring.feeders.index(known[a]) if a in known else -1 for a in wiring.areas], np.int32)
    found = supply.assign(taps_at(wiring), before)
    return {a: None if f < 0 else wiring.feeders[f] for a, f in zip(wiring.areas, found, strict=True)}


def status_of(wiring: Wiring, mask: np.ndarray, node: str) -> SupplyStatus:
    return SupplyStatus(int(trace(wiring, mask).status[wiring.nodes.index(node)]))


def test_in_normal_state_every_area_is_on_its_own_feeder() -> None:
    wiring = wire_network(small_network())
    assert areas_by_feeder(wiring, wiring.normal) == {a: a[:2] for a in wiring.areas}
    assert status_of(wiring, wiring.normal, "F1-3") is SupplyStatus.RADIAL


def test_opening_a_switch_leaves_an_island_and_a_tie_ends_it() -> None:
    wiring = wire_network(small_network())
    island = closed(wiring, F1_Q=False)
    assert areas_by_feeder(wiring, island) == {**{a: a[:2] for a in wiring.areas}, "F1-C": None, "F1-D": None}
    assert status_of(wiring, island, "F1-3") is SupplyStatus.DEAD
    fed = closed(wiring, F1_Q=False, T12=True)
    assert areas_by_feeder(wiring, fed) == {**{a: a[:2] for a in wiring.areas}, "F1-C": "F2", "F1-D": "F2"}
    assert status_of(wiring, fed, "F1-3") is SupplyStatus.RADIAL


def test_two_feeders_in_parallel_leave_every_area_where_it_was() -> None:
    wiring = wire_network(small_network())
    tied = closed(wiring, T12=True)
    assert status_of(wiring, tied, "F1-3") is SupplyStatus.PARALLEL
    assert status_of(wiring, tied, "F3-3") is SupplyStatus.RADIAL
    assert trace(wiring, tied).feeders_of(wiring.nodes.index("F2-1")) == [0, 1]
    own = {a: a[:2] for a in wiring.areas}
    assert areas_by_feeder(wiring, tied, own) == own
    assert areas_by_feeder(wiring, tied, {**own, "F1-D": "F2"}) == {**own, "F1-D": "F2"}
    # A feeder that doesn't reach it can't keep it.
    assert areas_by_feeder(wiring, tied, {**own, "F1-D": "F3"}) == own


def test_a_ring_of_one_feeder_is_a_loop() -> None:
    nodes = tuple(Node(n, "S") for n in ("bus", "a", "b", "c"))
    segments = (Segment("ab", "a", "b"), Segment("bc", "b", "c"))
    breaker = Switch("B", SwitchKind.BREAKER, "bus", "a")
    ring = Switch("R", SwitchKind.LOAD_BREAK, "c", "a", SwitchPosition.OPEN)
    network = Network(nodes, segments, (breaker, ring), (FeederHead("F", "a", "B"),), (AreaConnection("A", "c"),))
    wiring = wire_network(network)
    assert status_of(wiring, wiring.normal, "c") is SupplyStatus.RADIAL
    assert status_of(wiring, closed(wiring, R=True), "c") is SupplyStatus.LOOP
    assert areas_by_feeder(wiring, closed(wiring, R=True)) == {"A": "F"}
    assert status_of(wiring, closed(wiring, R=True, B=False), "c") is SupplyStatus.DEAD


def test_a_feeder_whose_breaker_is_open_can_be_fed_by_another() -> None:
    wiring = wire_network(small_network())
    fed = closed(wiring, F1_B=False, T12=True)
    assert {a: f for a, f in areas_by_feeder(wiring, fed).items() if a.startswith("F1")} == {
        "F1-A": "F2",
        "F1-C": "F2",
        "F1-D": "F2",
    }


def test_what_is_not_valid_is_not_there() -> None:
    edges = [EdgeRow("L", False, "a", "b", Span(10, 20)), EdgeRow("nowhere", False, "b", "z")]
    wiring = wire(["a", "b"], {}, edges, [HeadRow("F", "a", None, Span(0, END_US))], [TapRow("A", "b", Span(5, 30))])
    none = np.empty(0, bool)
    assert [int(trace(wiring, none, t).feeder[1]) for t in (-1, 9, 10, 19, 20)] == [-1, -1, 0, 0, -1]
    assert [taps_at(wiring, t).tolist() for t in (4, 5, 30)] == [[-1], [1], [-1]]


def test_the_way_from_the_head() -> None:
    wiring = wire_network(small_network())
    at = wiring.nodes.index
    ways = find_paths(wiring, wiring.normal, at("F1-1"))
    assert [wiring.nodes[n] for n in ways] == ["F1-1", "F1-1b", "F1-2", "F1-3"]
    assert ways[at("F1-1")] is None
    step = ways[at("F1-2")]
    assert step is not None
    assert (wiring.edges[step[0]].code, wiring.nodes[step[1]]) == ("F1-Q", "F1-1b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": (FeederHead("F1", "nowhere"),)}, "begins at an unknown node"),
        ({"heads": (FeederHead("F1", "F1-1", "none"),)}, "unknown breaker"),
        ({"connections": (AreaConnection("F1-A", "nowhere"),)}, "hangs on an unknown node"),
        ({"connections": (AreaConnection("F1-A", "F1-1"), AreaConnection("F1-A", "F1-2"))}, "appears twice"),
        ({"segments": (Segment("L", "F1-1", "nowhere"),)}, "unknown node"),
        ({"nodes": (Node("F1-1", "S"), Node("F1-1", "S"))}, "node F1-1 appears twice"),
    ],
)
def test_a_network_that_contradicts_itself_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(small_network(), **change)


@pytest.mark.parametrize("values", [{"length_m": -1.0}, {"resistance_ohm": float("nan")}, {"to_node": "a"}])
def test_a_segment_that_cannot_be_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"segment L|joins node a to itself"):
        Segment(**{"code": "L", "from_node": "a", "to_node": "b", **values})  # type: ignore[arg-type]


def test_a_chain_and_a_star_of_5000_nodes() -> None:
    """Each is the worst case of another way to trace."""
    names = [f"n{i}" for i in range(5_000)]
    head = [HeadRow("F", "n0")]
    chain = wire(names, {}, [EdgeRow(f"e{i}", False, names[i - 1], names[i]) for i in range(1, 5_000)], head, [])
    star = wire(names, {}, [EdgeRow(f"e{i}", False, "n4999", names[i]) for i in range(4_999)], head, [])
    shuffled = np.random.default_rng(0).permutation(5_000)
    mixed = wire(
        names,
        {},
        [EdgeRow(f"e{i}", False, names[shuffled[i - 1]], names[shuffled[i]]) for i in range(1, 5_000)],
        head,
        [],
    )
    for wiring in (chain, star, mixed):
        assert (trace(wiring, np.empty(0, bool)).feeder == 0).all()
