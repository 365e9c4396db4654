"""When figures are published: by completeness, by limits, and again when something changes."""

from __future__ import annotations

import pytest

from grid.limits import Limit, Limits
from grid.memberships import Membership
from grid.model import UnitKind
from grid.roster import BEGINNING_US, END_US, UnitView
from grid.rows import NEVER_US, Status
from streams.steps.contribution import Cause, Contribution, from_block, from_energies, look_again
from tests.memory import MemoryStore
from tests.property.test_settle import HOUR_US, KEY, block, view

S = 1_000_000
LIMITS = Limits({UnitKind.AREA: Limit(300, 86_400), UnitKind.FEEDER: Limit(360, 90_000)})
WHOLE: dict[str, int | None] = {"gateway": 10, "c1": 30, "c2": 30, "c3": 30}


def said(sequence: int, readings: dict[str, int | None], after_s: int) -> Contribution:
    sent = block(sequence, readings, 1, received_at_us=HOUR_US + after_s * S)
    return from_block(sent, view(), "telemetry.area", b"")[0]


def tick(after_s: int) -> Contribution:
    return look_again(view(), HOUR_US, 900, HOUR_US + after_s * S, Cause.TICK)


def published(store: MemoryStore) -> list[tuple[float, ...]]:
    """(revision, status, seconds after the interval's end, inflow) of all revisions."""
    rows = [b for (key, _), b in sorted(store.superseded.items()) if key == KEY] + [store.rows[KEY].balance]
    return [
        (b["revision"], b["status"], (b["published_us"] - HOUR_US) / S, b["inflow_wh"]) for b in rows if b["revision"]
    ]


def due_s(store: MemoryStore) -> float | None:
    due_us = store.rows[KEY].balance["due_us"]
    return None if due_us == NEVER_US else (due_us - HOUR_US) / S


def test_a_whole_block_is_final_at_once() -> None:
    store = MemoryStore(LIMITS)
    store.take([said(1, WHOLE, 5)])
    assert published(store) == [(1, Status.FINAL, 5, 100)]
    assert due_s(store) is None


def test_the_limit_counts_from_what_came_first_though_it_is_worked_on_later() -> None:
    store = MemoryStore(LIMITS)
    store.take([said(1, {"gateway": 10}, 7)])
    store.take([said(2, {"c1": 30}, 5)])
    assert due_s(store) == 305
    store.take([said(3, {"c2": 30}, 8)])
    assert due_s(store) == 305


def test_figures_grow_unpublished_until_the_provisional_limit() -> None:
    store = MemoryStore(LIMITS)
    store.take([said(1, {"gateway": 10}, 5)])
    store.take([said(2, {"gateway": 11}, 6)])
    assert published(store) == []
    assert (store.rows[KEY].balance["status"], due_s(store)) == (Status.PROVISIONAL, 305)
    store.take([tick(305)])
    assert published(store) == []  # a limit is passed strictly after it
    store.take([tick(306)])
    assert published(store) == [(1, Status.PROVISIONAL, 305, 110)]
    assert due_s(store) == 86_400
    store.take([said(3, {"gateway": 12}, 400)])
    store.take([tick(100_000)])
    store.take([said(4, {"gateway": 13}, 110_000)])
    assert published(store) == [
        (1, Status.PROVISIONAL, 305, 110),
        (2, Status.PROVISIONAL, 400, 120),
        (3, Status.FINAL, 86_400, 120),
        (4, Status.RESTATED, 110_000, 130),
    ]


@pytest.mark.parametrize("swept", [True, False])
def test_a_message_after_its_limits_finds_them_passed_whether_swept_or_not(swept: bool) -> None:
    store = MemoryStore(LIMITS)
    store.take([said(1, {"gateway": 10}, 5)])
    if swept:
        store.take([tick(90_000)])
    store.take([said(2, WHOLE, 95_000)])
    assert published(store) == [
        (1, Status.PROVISIONAL, 305, 100),
        (2, Status.FINAL, 86_400, 100),
        (3, Status.RESTATED, 95_000, 100),
    ]


def test_what_comes_late_gathers_too() -> None:
    store = MemoryStore(LIMITS)
    store.take([said(1, {"gateway": 10}, 200_000), said(2, {"c1": 5}, 200_100)])
    assert (published(store), due_s(store)) == ([], 200_300)
    store.take([tick(200_301)])
    assert published(store) == [(1, Status.FINAL, 200_300, 100)]


def test_a_repeat_publishes_nothing() -> None:
    store = MemoryStore(LIMITS)
    for after_s in (5, 600, 100_000):
        store.take([said(1, WHOLE, after_s)])
    assert len(published(store)) == 1


def test_time_makes_no_rows() -> None:
    store = MemoryStore(LIMITS)
    store.take([tick(100_000)])
    assert store.rows == {}


def feeder() -> UnitView:
    members = tuple(Membership(i, None, i, 4, 1, 1.0, BEGINNING_US, END_US) for i in (0, 1))
    head = Membership(2, "head", None, 1, 1, 0.2, BEGINNING_US, END_US)
    return UnitView(9, "F1", UnitKind.FEEDER, (*members, head), ())


def test_a_unit_above_is_final_after_its_members() -> None:
    areas, feeders = MemoryStore(LIMITS), MemoryStore(LIMITS)
    above = feeder()

    def pass_on(contributions: list[Contribution], child: int) -> None:
        for energies in areas.take(contributions).energies:
            energies.child_id[:] = child
            feeders.take(from_energies(energies, above))

    head = block(1, {"head": 300}, 1, received_at_us=HOUR_US + S)
    feeders.take([from_block(head, above, "telemetry.scada", b"")[0]])
    pass_on([said(1, WHOLE, 5)], 0)
    areas.rows.clear()
    pass_on([said(1, {"gateway": 10}, 6)], 1)
    key = (9, HOUR_US, 900)
    # Every member has told what it took, but one may still change.
    assert feeders.rows[key].balance["coverage"] == 1.0
    assert feeders.rows[key].balance["status"] == Status.PROVISIONAL
    pass_on([said(2, WHOLE, 50)], 1)
    assert feeders.rows[key].balance["status"] == Status.FINAL
    assert feeders.rows[key].balance["published_us"] == HOUR_US + 50 * S
    pass_on([said(3, {"gateway": 12}, 100_000)], 1)
    assert feeders.rows[key].balance["status"] == Status.RESTATED
    assert feeders.rows[key].balance["loss_wh"] == 300 - 100 - 120


def test_limits_are_checked() -> None:
    with pytest.raises(ValueError, match="expected"):
        Limit(300, 300)
    with pytest.raises(ValueError, match="must not wait less"):
        Limits({UnitKind.AREA: Limit(300, 900), UnitKind.FEEDER: Limit(200, 1_000)})
