"""Estimates in memory: neither order of arrival nor batches nor repeats make a difference, and readings win."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from grid.loss_rules import LossRules
from streams.replay import Replay
from tests.property.test_replay import Memory, Said
from tests.small_hierarchy import HIERARCHY, METERS, NOON_US, SECOND_US

DAY_S = 86_400
DAYS = 3
#: Quarter-hours of each day, counted from noon.
SLOTS = 2


def reading(unit: str, day: int, slot: int, place: int) -> int:
    """What a meter counted: always the same, however often it is said."""
    return 200 + random.Random(f"{unit} {day} {slot} {place}").randrange(60)  # noqa: S311


def days_of(seed: int) -> list[Said]:
    """Days of messages in order of receipt: some meters never come, some come late, some twice."""
    chance = random.Random(seed)  # noqa: S311
    said = []
    for day in range(DAYS):
        for slot in range(SLOTS):
            for unit in sorted(METERS):
                interval = day * 96 + slot
                end_us = NOON_US + interval * 900 * SECOND_US
                places = range(len(METERS[unit]))
                lost = {p for p in places if day > 0 and chance.random() < 0.25}
                late = {p for p in lost if chance.random() < 0.5}
                first = {p: (reading(unit, day, slot, p), None, None) for p in places if p not in lost}
                moment = chance.randrange(1, 60) * SECOND_US + chance.randrange(1_000)
                if first:
                    said.append(Said(end_us + moment, unit, interval, first, interval, ["import_wh"]))
                if first and chance.random() < 0.2:
                    said.append(said[-1]._replace(received_at_us=said[-1].received_at_us + 90 * SECOND_US))
                for p in late:
                    after_s = chance.choice([200, 290, 400, 4_000, DAY_S - 50, DAY_S + 700, 2 * DAY_S])
                    then = end_us + after_s * SECOND_US + moment
                    values = {p: (reading(unit, day, slot, p), None, None)}
                    said.append(Said(then, unit, interval, values, interval, ["import_wh"]))
    return sorted(said, key=lambda s: s.received_at_us)


def days() -> st.SearchStrategy[list[Said]]:
    return st.integers(0, 10_000).map(days_of)


def replayed(said: list[Said], cuts: list[int], page: int = 100, rules: LossRules | None = None) -> Memory:
    store = Memory(rules=rules)
    replay = Replay(store, store, HIERARCHY, page)
    messages = [s.received() for s in said]
    for start, end in zip([0, *cuts], [*cuts, len(messages)], strict=True):
        replay.take(messages[start:end])
    replay.publish_until(NOON_US + (DAYS + 3) * DAY_S * SECOND_US)
    return store


def estimated(store: Memory) -> list[Any]:
    return [key for key, row in store.rows.items() if row.balance["estimated_wh"] > 0]


@settings(deadline=None, max_examples=5)
@given(days(), st.data())
def test_estimates_have_one_history_whatever_the_batches(said: list[Said], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(said)))))
    some = replayed(said, cuts, data.draw(st.integers(1, 9)))
    whole = replayed(said, [])
    assert some.history() == whole.history()


@settings(deadline=None, max_examples=3)
@given(days())
def test_the_same_messages_again_change_nothing(said: list[Said]) -> None:
    store = replayed(said, [])
    before = store.history()
    again = Replay(store, store, HIERARCHY)
    again.take([s.received() for s in said])
    again.publish_until(NOON_US + (DAYS + 3) * DAY_S * SECOND_US)
    assert store.history() == before


@settings(deadline=None, max_examples=3)
@given(days())
def test_readings_take_the_place_of_estimates_all_the_way_up(said: list[Said]) -> None:
    """When all has come at last, every figure is that of a system that never estimated."""
    end_us = NOON_US + (DAYS + 2) * DAY_S * SECOND_US
    rest = []
    for n, (day, slot, unit) in enumerate(product(range(DAYS), range(SLOTS), sorted(METERS))):
        interval = day * 96 + slot
        values = {p: (reading(unit, day, slot, p), None, None) for p in range(len(METERS[unit]))}
        rest.append(Said(end_us + n, unit, interval, values, interval, ["import_wh"]))
    made, plain = (replayed([*said, *rest], [], rules=LossRules(estimate=on)) for on in (True, False))
    assert estimated(made) == []
    names = ("inflow_wh", "outflow_wh", "loss_wh", "members_loss_wh", "sigma_wh", "coverage", "computable")
    for key, row in plain.rows.items():
        assert [made.rows[key].balance[n] for n in names] == [row.balance[n] for n in names]


def test_there_are_estimates_of_both_kinds() -> None:
    store = replayed(days_of(1), [])
    assert store.estimates["online"] > 0
    assert store.estimates["offline"] > 0
    assert estimated(store)
