"""Energies from registers and the openings they need: the same from any order and batching of messages."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.block import Block
from grid.loss_rules import LossRules
from grid.memberships import Membership
from grid.model import UnitKind
from grid.quality import MISSING_WH, NO_PRECEDENCE, Quality
from grid.roster import BEGINNING_US, END_US, UnitView
from grid.rows import FIGURES, NEVER_US
from store.precedence import pack, unpack
from streams.steps.contribution import Contribution, from_block
from tests.memory import MemoryStore

QUARTER = 900_000_000
START = 100 * QUARTER
HEAD = Membership(0, "head", None, 1, 1, 1.0, BEGINNING_US, END_US)
STAYS = Membership(1, "m1", None, 2, 1, 1.0, BEGINNING_US, END_US)
#: Removed in the middle of the second interval, with 150 on its register.
REMOVED = Membership(1, "m1", None, 2, 1, 1.0, BEGINNING_US, START + QUARTER + QUARTER // 2, end_import_wh=150)


def block(n: int, meter: str, sequence: int, quality: int = 0, **channels: int) -> Block:
    """What one meter says at the end of the n-th interval; received in the order of `sequence`."""
    return Block(
        unit="A",
        gateway="g",
        observed_at_us=START + n * QUARTER,
        interval_s=900,
        received_at_us=START + 3 * QUARTER + sequence,
        meters=pa.array([meter], pa.string()),
        sequence=np.array([sequence], np.int64),
        channels={name: np.array([value], np.int64) for name, value in channels.items()},
        quality=np.array([quality], np.uint8),
    )


SUBSTITUTED = int(Quality.SUBSTITUTED)
HEADS = [block(2, "head", 1, import_wh=60, export_wh=0)]
CASES = {
    "a corrected closing below the opening": (
        STAYS,
        [
            block(2, "m1", 7, SUBSTITUTED, import_wh=55, export_wh=0),
            block(1, "m1", 1, register_import_wh=100),
            block(2, "m1", 2, register_import_wh=150),
            block(2, "m1", 3, register_import_wh=90),
        ],
        None,
    ),
    "an own energy beside a substitute": (
        STAYS,
        [
            block(2, "m1", 7, SUBSTITUTED, import_wh=55),
            block(1, "m1", 1, register_import_wh=100),
            block(2, "m1", 2, register_import_wh=150),
            block(2, "m1", 3, int(Quality.SUSPECT), import_wh=51),
        ],
        51,
    ),
    "an own energy that its registers contradict, until they are corrected": (
        STAYS,
        [
            block(2, "m1", 7, import_wh=70, export_wh=0),
            block(1, "m1", 1, register_import_wh=100),
            block(2, "m1", 2, register_import_wh=150),
            block(2, "m1", 3, register_import_wh=171),
        ],
        70,
    ),
    "two substitutes, one export": (
        STAYS,
        [
            block(2, "m1", 7, SUBSTITUTED, import_wh=55, export_wh=3),
            block(2, "m1", 8, int(Quality.ESTIMATED), import_wh=56, export_wh=4),
            block(1, "m1", 1, register_import_wh=100),
            block(2, "m1", 2, register_import_wh=150),
        ],
        50,
    ),
    "a meter removed, of which the interval brings nothing": (
        REMOVED,
        [
            block(1, "m1", 1, register_import_wh=100),
            block(1, "m1", 2, register_import_wh=110),
            *HEADS,
            block(2, "head", 2, import_wh=61),
        ],
        40,
    ),
    "a meter removed, and a substitute": (
        REMOVED,
        [
            block(2, "m1", 7, SUBSTITUTED, import_wh=55),
            block(1, "m1", 1, register_import_wh=140),
            block(1, "m1", 2, register_import_wh=160),
            *HEADS,
        ],
        None,
    ),
}


def contributions(blocks: Sequence[Block], view: UnitView) -> list[Contribution]:
    return [from_block(b, view, "telemetry.area", b"")[0] for b in blocks]


def state(store: MemoryStore) -> Any:
    return {
        key: (
            {name: values.tolist() for name, values in row.channels.items() if name in ("import_wh", "export_wh")},
            {name: values.tolist() for name, values in row.precedence.items() if values.max() != NO_PRECEDENCE},
            {name: values.tolist() for name, values in row.received_us.items() if values.max() != NEVER_US},
            row.quality.tolist(),
            {name: row.balance[name] for name in FIGURES},
        )
        for key, row in store.rows.items()
    }


def batchings(blocks: Sequence[Block]) -> Iterator[list[Sequence[Block]]]:
    for cuts in itertools.product((False, True), repeat=len(blocks) - 1):
        edges = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), len(blocks)]
        yield [blocks[a:b] for a, b in itertools.pairwise(edges)]


@pytest.mark.parametrize("case", CASES)
def test_every_order_and_batching_ends_in_the_same_rows(case: str) -> None:
    member, blocks, wanted_wh = CASES[case]
    view = UnitView(5, "A", UnitKind.AREA, (HEAD, member), ())
    first, store = None, MemoryStore()
    for order in itertools.permutations(blocks):
        for batches in batchings(order):
            store = MemoryStore()
            for batch in batches:
                store.take(contributions(batch, view))
            first = first or state(store)
            assert state(store) == first, [[blocks.index(b) for b in batch] for batch in batches]
        for again in order:  # repeats change nothing
            assert not len(store.take(contributions([again], view)).rows)
    assert first is not None
    energy = first[(5, START + 2 * QUARTER, 900)][0]["import_wh"][1]
    assert energy == (MISSING_WH if wanted_wh is None else wanted_wh)


def history(store: MemoryStore) -> Any:
    """What follows from the order of receipt."""
    return state(store), store.superseded, {k: (r.version, r.received_at_us, r.balance) for k, r in store.rows.items()}


messages = st.lists(
    st.builds(
        lambda n, meter, sequence, quality, channels: block(n, meter, sequence, quality, **channels),
        st.integers(1, 3),
        st.sampled_from(["m1", "head"]),
        st.integers(0, 9),
        st.sampled_from([0, 0, SUBSTITUTED, int(Quality.ESTIMATED), int(Quality.SUSPECT)]),
        st.dictionaries(
            st.sampled_from(["import_wh", "export_wh", "register_import_wh", "register_export_wh"]),
            st.integers(0, 300),
            min_size=1,
        ),
    ),
    min_size=1,
    max_size=10,
)


@settings(deadline=None, max_examples=60)
@given(messages, st.sampled_from([STAYS, REMOVED]), st.randoms(use_true_random=False), st.integers(1, 4))
def test_any_messages_with_registers_and_substitutes(
    blocks: list[Block], member: Membership, shuffle: Any, size: int
) -> None:
    view = UnitView(5, "A", UnitKind.AREA, (HEAD, member), ())
    straight = MemoryStore()
    straight.take(contributions(blocks, view))
    again = blocks + shuffle.sample(blocks, k=len(blocks) // 2)
    shuffle.shuffle(again)
    other = MemoryStore()
    for begin in range(0, len(again), size):
        other.take(contributions(again[begin : begin + size], view))
    assert state(straight) == state(other)


@settings(deadline=None, max_examples=60)
@given(messages, st.sampled_from([STAYS, REMOVED]), st.randoms(use_true_random=False), st.integers(1, 4))
def test_in_order_of_receipt_batches_and_repeats_make_no_difference(
    blocks: list[Block], member: Membership, shuffle: Any, size: int
) -> None:
    view = UnitView(5, "A", UnitKind.AREA, (HEAD, member), ())
    late_us = [shuffle.choice([1, 2, 310, 400, 90_000, 95_000]) * 1_000_000 for _ in blocks]
    timed = [replace(b, received_at_us=b.observed_at_us + us) for b, us in zip(blocks, late_us, strict=True)]
    timed.sort(key=lambda b: b.received_at_us)
    # Without estimates: a register that was corrected after a limit, before the limit was worked on, plays no part in
    # the estimate (docs/explanation/estimation.md), so there batches do make a difference. test_estimates.py has the
    # rest.
    rules = LossRules(estimate=False)
    straight, other = MemoryStore(rules=rules), MemoryStore(rules=rules)
    straight.take(contributions(timed, view))
    for begin in range(0, len(timed), size):
        other.take(contributions(timed[begin : begin + size], view))
        other.take(contributions(timed[: begin + 1], view))
    assert history(straight) == history(other)


@settings(deadline=None, max_examples=100)
@given(messages, st.sampled_from([STAYS, REMOVED]))
def test_what_counts_from_registers_is_kept_as_it_is_laid_out(blocks: list[Block], member: Membership) -> None:
    rows = MemoryStore().take(contributions(blocks, UnitView(5, "A", UnitKind.AREA, (HEAD, member), ()))).rows
    layout = pack(rows)
    for r in range(len(rows)):
        part, span = rows.part(r), slice(layout.starts[r], layout.starts[r + 1])
        kept = {name: values[part] for name, values in rows.channels.items() if layout.there[name][r]}
        precedence, received_us = unpack(kept, rows.quality[part], layout.precedence[span], layout.received_us[span])
        for name in precedence:
            assert precedence[name].tolist() == rows.precedence[name][part].tolist()
            assert received_us[name].tolist() == rows.received_us[name][part].tolist()
