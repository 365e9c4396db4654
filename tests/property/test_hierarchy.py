"""Regions, elements, levels, lines and areas within each other against a tree in plain Python."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.block import Block
from grid.loss_class import LossClass, LossReason
from grid.memberships import Membership
from grid.model import UnitKind
from grid.roster import BEGINNING_US, END_US, Parentage, UnitView
from streams.steps.contribution import from_block, from_energies
from tests.memory import MemoryStore
from tests.naive.hierarchy import Node, figures, level, level_inflow

HOUR_US = 3_600_000_000
HIGH, MEDIUM, LOW = "110 kV", "10 kV", "0.4 kV"
LEVELS = {HIGH: ["transformer"], MEDIUM: ["busbar", "feeder"], LOW: ["area"]}
KINDS = {
    "region": UnitKind.REGION,
    "transformer": UnitKind.ELEMENT,
    "busbar": UnitKind.ELEMENT,
    "feeder": UnitKind.FEEDER,
    "area": UnitKind.AREA,
}
CLASS = 0.5

Tree = dict[str, Node]
reading = st.one_of(*[st.tuples(st.integers(0, 10**9), st.integers(0, 10**6))] * 12, st.none())


def kind_of(name: str) -> str:
    return name.rstrip("0123456789")


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """A region of transformers of busbars of feeders of areas; what is above the feeders may have no meters."""
    tree: Tree = {}

    def grow(kind: str, below: tuple[str, ...]) -> str:
        name = f"{kind}{sum(kind_of(n) == kind for n in tree)}"
        tree[name] = node = Node()
        metered = kind in ("feeder", "area") or draw(st.booleans())
        if metered:
            node.gateways = draw(st.lists(reading, min_size=1, max_size=2))
        if kind == "area":
            node.customers = draw(st.lists(reading, min_size=1, max_size=2))
        if below:
            node.parts = [grow(below[0], below[1:]) for _ in range(draw(st.integers(1, 2)))]
        return name

    grow("region", ("transformer", "busbar", "feeder", "area"))
    return tree


def members_of(tree: Tree, code: str) -> list[str]:
    return [name for name in tree if kind_of(name) in LEVELS[code]]


def views(tree: Tree) -> dict[str, UnitView]:
    names = [*tree, *LEVELS]
    ids = {name: n for n, name in enumerate(names, 1)}
    parts = {name: node.parts for name, node in tree.items()} | {code: members_of(tree, code) for code in LEVELS}
    found = {}
    for name in names:
        node = tree.get(name, Node())
        inside = {p for m in parts[name] for p in parts[m]} if name in LEVELS else set()
        members: list[tuple[str | None, int | None, int, float, bool]] = []
        members += [(f"{name}-g{i}", None, 1, CLASS, False) for i in range(len(node.gateways))]
        members += [(f"{name}-c{i}", None, 2, CLASS, False) for i in range(len(node.customers))]
        # A unit without gateways has no class for those above.
        members += [(None, ids[p], 4, CLASS if tree[p].gateways else 0.0, p in inside) for p in parts[name]]
        above = [other for other in names if name in parts[other]]
        kind = UnitKind.VOLTAGE_LEVEL if name in LEVELS else KINDS[kind_of(name)]
        found[name] = UnitView(
            ids[name],
            name,
            kind,
            tuple(
                Membership(n, meter, child, role, 1, accuracy, BEGINNING_US, END_US, inner=inner)
                for n, (meter, child, role, accuracy, inner) in enumerate(members)
            ),
            tuple(
                Parentage(ids[a], a, BEGINNING_US, END_US, UnitKind.VOLTAGE_LEVEL if a in LEVELS else KINDS[kind_of(a)])
                for a in above
            ),
        )
    return found


def settled(tree: Tree, interval_s: int = 900, *, registers: bool = False) -> dict[str, dict[str, Any]]:
    """Every unit's figures, from blocks of the units' own meters; nothing for a unit of which nothing has come."""
    seen, store = views(tree), MemoryStore()
    energies = []
    for name, node in tree.items():
        said = {f"{name}-g{i}": r for i, r in enumerate(node.gateways) if r is not None}
        said |= {f"{name}-c{i}": r for i, r in enumerate(node.customers) if r is not None}
        columns = np.array([*said.values()], np.int64).reshape(-1, 2).T
        blocks = [(HOUR_US, ("import_wh", "export_wh"), columns)]
        if registers:  # those of the day before, and of the day
            names = ("register_import_wh", "register_export_wh")
            blocks = [(HOUR_US - interval_s * 1_000_000, names, columns * 0 + 77), (HOUR_US, names, columns + 77)]
        for at, names, values in blocks:
            block = Block(
                unit=name,
                gateway="g",
                observed_at_us=at,
                interval_s=interval_s,
                received_at_us=HOUR_US + 1,
                meters=pa.array(list(said), pa.string()),
                sequence=np.ones(len(said), np.int64),
                channels=dict(zip(names, values, strict=True)),
                quality=np.zeros(len(said), np.uint8),
            )
            if said:
                energies += store.take([from_block(block, seen[name], "", b"")[0]]).energies
    while energies:
        contributions = [c for e in energies for c in from_energies(e, seen[e.parent])]
        energies = store.take(contributions).energies
    ids = {view.unit_id: name for name, view in seen.items()}
    return {ids[key[0]]: dict(row.balance) for key, row in store.rows.items() if key[1] == HOUR_US}


@settings(deadline=None, max_examples=60)
@given(trees())
def test_every_unit_agrees_with_the_tree_to_the_watt_hour(tree: Tree) -> None:
    found = settled(tree)
    for name in tree:
        expected = figures(tree, name)
        row = found.get(name)
        assert (row is not None and bool(row["computable"])) == (expected.own is not None), name
        if row is None or expected.own is None:
            continue
        assert row["loss_wh"] == expected.own
        assert bool(int(row["reasons"]) & LossReason.PART_UNKNOWN) == (expected.total is None)
        if expected.total is not None:
            assert row["loss_wh"] + row["members_loss_wh"] == expected.total
    for code in LEVELS:
        members = members_of(tree, code)
        loss = level(tree, members)
        row = found.get(code)
        assert (row is not None and bool(row["computable"])) == (loss is not None), code
        if row is not None and loss is not None:
            assert (row["loss_wh"], row["members_loss_wh"]) == (0, loss)
            assert row["inflow_wh"] == level_inflow(tree, members)
            own = [found[name]["sigma_wh"] for name in members]
            assert math.isclose(row["total_sigma_wh"], math.hypot(*own), rel_tol=1e-6, abs_tol=2 * len(own))


@settings(deadline=None, max_examples=60)
@given(trees())
def test_a_region_is_the_sum_of_its_levels_and_of_its_elements(tree: Tree) -> None:
    for node in tree.values():  # all has come
        node.gateways = [g or (5, 0) for g in node.gateways]
        node.customers = [c or (3, 0) for c in node.customers]
    found = settled(tree)
    total = found["region0"]["loss_wh"] + found["region0"]["members_loss_wh"]
    own = {name: found[name]["loss_wh"] for name in tree}
    assert total == sum(own.values())
    assert total - own["region0"] == sum(found[code]["members_loss_wh"] for code in LEVELS)


def chain(*, busbar_meter: bool) -> Tree:
    def area(taken: int) -> Node:
        return Node(gateways=[(taken, 0)], customers=[(taken - 100_000, 0)])

    return {
        "region0": Node(parts=["transformer0"]),
        "transformer0": Node(parts=["busbar0"]),
        "busbar0": Node(gateways=[(90_500_000, 0)] if busbar_meter else [], parts=["feeder0", "feeder1"]),
        "feeder0": Node(gateways=[(50_000_000, 0)], parts=["area0", "area1"]),
        "feeder1": Node(gateways=[(40_000_000, 0)], parts=["area2"]),
        "area0": area(20_000_000),
        "area1": area(29_000_000),
        "area2": area(39_000_000),
    }


def test_the_error_of_what_has_no_meter_is_that_of_the_meters_below() -> None:
    found = settled(chain(busbar_meter=False))
    share = 0.44 * CLASS / 100
    heads = math.hypot(50e6 * share, 40e6 * share)
    sold = math.hypot(19.9e6 * share, 28.9e6 * share, 38.9e6 * share)
    for name in ("busbar0", "transformer0", "region0"):
        assert found[name]["total_systematic_sigma_wh"] == pytest.approx(math.hypot(heads, sold), rel=1e-4)
        assert found[name]["sigma_wh"] == 0.0


def test_what_is_the_sum_of_its_parts_is_judged_by_their_loss() -> None:
    tree = chain(busbar_meter=False)
    assert LossClass(int(settled(tree)["region0"]["loss_class"])) is LossClass.NORMAL
    tree["feeder0"].gateways = [(69_000_000, 0)]
    found = settled(tree)
    high = {name for name in (*tree, *LEVELS) if found[name]["loss_class"] == LossClass.HIGH}
    assert high == {"feeder0", "busbar0", "transformer0", "region0", MEDIUM}


def test_with_a_meter_of_its_own_a_busbar_has_an_error_and_those_above_have_its() -> None:
    found = settled(chain(busbar_meter=True))
    share = 0.44 * CLASS / 100
    heads = math.hypot(50e6 * share, 40e6 * share)
    sold = math.hypot(19.9e6 * share, 28.9e6 * share, 38.9e6 * share)
    assert found["busbar0"]["systematic_sigma_wh"] == pytest.approx(math.hypot(90.5e6 * share, heads), rel=1e-4)
    for name in ("busbar0", "transformer0", "region0"):
        assert found[name]["total_systematic_sigma_wh"] == pytest.approx(math.hypot(90.5e6 * share, sold), rel=1e-4)


@pytest.mark.parametrize("interval_s", [82_800, 86_400, 90_000])
def test_a_day_of_frozen_registers_settles_every_kind(interval_s: int) -> None:
    tree = chain(busbar_meter=True)
    found = settled(tree, interval_s, registers=True)
    for name in tree:
        assert found[name]["loss_wh"] + found[name]["members_loss_wh"] == figures(tree, name).total
    for name in (*tree, *LEVELS):
        assert found[name]["computable"]
        assert int(found[name]["reasons"]) & LossReason.REGISTERS, name
