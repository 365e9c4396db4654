"""What the rows must come to, from the set of acknowledged messages alone: neither order nor number matters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from grid.loss_class import LossReason
from tests.memory import MemoryStore
from tests.naive.hierarchy import Node, figures
from tests.small_hierarchy import METERS, NOON_US, SECOND_US, VIEWS


class Said(NamedTuple):
    """A message of a unit about an interval: energies by place in its roster, None where a reading is missing."""

    unit: str
    interval: int
    readings: tuple[tuple[int, int | None], ...]
    sequence: int

    @property
    def observed_at_us(self) -> int:
        return NOON_US + self.interval * 900 * SECOND_US


class Faults(NamedTuple):
    """Readings missing, readings that aren't what was acknowledged, figures that differ from the oracle's."""

    missing: list[Any]
    doubled: list[Any]
    differing: list[Any]

    def __bool__(self) -> bool:
        return any(self)


#: Place of the unit's own meters in its roster, and the multiplier of the first, its gateway.
_GATEWAY = 10


def faults(said: Iterable[Said], store: MemoryStore) -> Faults:
    """Compare rows with what the messages come to: of each reading the one of the greatest sequence, then value."""
    best: dict[tuple[str, int, int], tuple[int, int]] = {}
    spoken: set[tuple[str, int]] = set()
    for message in said:
        at = message.observed_at_us
        spoken.add((message.unit, at))
        for place, value in message.readings:
            if value is not None:
                rank = (message.sequence, value)
                best[message.unit, at, place] = max(best.get((message.unit, at, place), rank), rank)
    found = Faults([], [], [])
    for (unit, at, place), (_, value) in best.items():
        stored = _reading(store, unit, at, place)
        if stored is None:
            found.missing.append((unit, at, place, value))
        elif stored != value:
            found.doubled.append((unit, at, place, value, stored))
    for at in sorted({at for _, at in spoken}):
        tree = _tree(best, at)
        for unit in VIEWS:
            if (seen := _figures(store, unit, at)) != (wanted := _wanted(tree, unit)):
                found.differing.append((unit, at, wanted, seen))
    return found


def _tree(best: dict[tuple[str, int, int], tuple[int, int]], at: int) -> dict[str, Node]:
    names = {view.unit_id: code for code, view in VIEWS.items()}
    tree = {}
    for code, view in VIEWS.items():
        values = [best.get((code, at, place)) for place in range(len(METERS[code]))]
        energies = [None if v is None else (v[1] * (1 if n else _GATEWAY), 0) for n, v in enumerate(values)]
        parts = [names[member.child_id] for member in view.members if member.child_id is not None]
        tree[code] = Node(energies[:1], energies[1:], parts)
    return tree


def _wanted(tree: dict[str, Node], unit: str) -> tuple[int, int | None] | None:
    """Its own loss and the loss of all below, where they can be told."""
    its = figures(tree, unit)
    return None if its.own is None else (its.own, its.total)


def _figures(store: MemoryStore, unit: str, at: int) -> tuple[int, int | None] | None:
    row = store.rows.get((VIEWS[unit].unit_id, at, 900))
    if row is None or not row.balance["computable"]:
        return None
    balance = row.balance
    whole = (
        None
        if int(balance["reasons"]) & LossReason.PART_UNKNOWN
        else int(balance["loss_wh"] + balance["members_loss_wh"])
    )
    return int(balance["loss_wh"]), whole


def _reading(store: MemoryStore, unit: str, at: int, place: int) -> int | None:
    row = store.rows.get((VIEWS[unit].unit_id, at, 900))
    if row is None or place >= len(row.channels["import_wh"]):
        return None
    value = int(row.channels["import_wh"][place])
    return None if value == -(2**63) else value
