"""Any split of a unit's readings into small messages, gathered with any timing, ends in the same stored state."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.block import Block, decode_block, encode_block
from grid.model import UnitKind
from ingest.gather import Gatherer, GatherLimits
from tests.property.test_settle import METERS, Table, block

LIMITS = GatherLimits(below=3, linger_us=50, messages=5)
readings = st.lists(
    st.tuples(st.sampled_from(METERS), st.one_of(st.none(), st.integers(0, 1_000)), st.integers(1, 2)),
    min_size=1,
    max_size=25,
)


def pieces(rows: list[tuple[str, int | None, int]], cuts: random.Random) -> list[Block]:
    """The readings in messages of one to four meters; each message has its number."""
    blocks: list[Block] = []
    while rows:
        size = cuts.randint(1, 4)
        hour = rows[0][2]
        part = {meter: value for meter, value, of in rows[:size] if of == hour}
        piece = block(len(blocks), part, hour, received_at_us=6 * 3_600_000_000)
        blocks.append(replace(piece, channels=dict(list(piece.channels.items())[: cuts.randint(1, 3)])))
        rows = [row for n, row in enumerate(rows) if n >= size or row[2] != hour]
    return blocks


def gather(blocks: list[Block], ticks: list[int]) -> list[Block]:
    gatherer = Gatherer(LIMITS)
    gathered: list[Block] = []
    now_us = 0
    for piece, tick in zip(blocks, ticks, strict=True):
        now_us += tick
        if not gatherer.add(piece, UnitKind.AREA, 100, now_us):
            gathered.append(piece)
        if not gatherer.wait_us(now_us):
            gathered += [joined for joined, _ in gatherer.take()]
    return gathered + [joined for joined, _ in gatherer.take()]


def stored(blocks: list[Block]) -> object:
    table = Table()
    table.take_blocks([decode_block(encode_block(b)) for b in blocks])
    return table.state()


@settings(deadline=None)
@given(readings, st.randoms(use_true_random=False), st.data())
def test_gathering_changes_nothing(
    rows: list[tuple[str, int | None, int]], cuts: random.Random, data: st.DataObject
) -> None:
    blocks = pieces(rows, cuts)
    ticks = data.draw(st.lists(st.integers(0, 60), min_size=len(blocks), max_size=len(blocks)))
    cuts.shuffle(blocks)
    assert stored(gather(blocks, ticks)) == stored(blocks)


def test_each_reading_keeps_its_number_and_a_repeated_meter_a_block_of_its_own() -> None:
    gatherer = Gatherer(LIMITS)
    for number, meter in enumerate(("c1", "c2", "c1", "c3")):
        assert gatherer.add(block(number, {meter: number}, 1), UnitKind.AREA, 100, 0)
    gathered = [joined for joined, _ in gatherer.take()]
    assert [joined.meters.to_pylist() for joined in gathered] == [["c1", "c2"], ["c1", "c3"]]
    assert [joined.sequence.tolist() for joined in gathered] == [[0, 1], [2, 3]]
    assert [joined.received_at_us for joined in gathered] == [3_600_000_001, 3_600_000_003]


@pytest.mark.parametrize("change", [{"gateway": "h"}, {"interval_s": 60}, {"unit": "B"}, {"channels": {}}])
def test_what_differs_in_more_than_its_meters_stays_apart(change: dict[str, Any]) -> None:
    gatherer = Gatherer(LIMITS)
    gatherer.add(block(1, {"c1": 1}, 1), UnitKind.AREA, 100, 0)
    gatherer.add(replace(block(2, {"c2": 1}, 1), **change), UnitKind.AREA, 100, 0)
    assert [len(joined) for joined, _ in gatherer.take()] == [1, 1]


def test_a_joined_block_stays_within_the_greatest_unit_and_little_waits() -> None:
    gatherer = Gatherer(GatherLimits(below=2_000, held_bytes=1_000))
    for n in range(5):
        meters: dict[str, int | None] = {f"m{n}-{i}": i for i in range(1_000)}
        assert gatherer.add(block(n, meters, 1), UnitKind.AREA, 100, 0)
    assert gatherer.wait_us(0) == 200_000
    assert gatherer.add(block(9, {"c1": 1}, 1), UnitKind.AREA, 500, 0)
    assert gatherer.wait_us(0) == 0  # too many bytes wait
    assert [len(joined) for joined, _ in gatherer.take()] == [4_000, 1_001]
    assert gatherer.take() == []
