"""Any order, repetition and splitting of messages ends in the same rows."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.block import Block, decode_block, encode_block
from grid.memberships import Membership
from grid.model import UnitKind
from grid.quality import MISSING_WH, Quality
from grid.roster import BEGINNING_US, END_US, Parentage, UnitView
from grid.rows import FIGURES
from grid.unit_energy import UnitEnergies, decode_unit_energies, encode_unit_energies
from streams.steps.contribution import from_block, from_energies
from streams.steps.settle import Settled
from tests.memory import MemoryStore

HOUR_US = 3_600_000_000
KEY = (5, HOUR_US, 900)
METERS = ["gateway", "c1", "c2", "c3"]


def view() -> UnitView:
    members = tuple(
        Membership(i, code, None, 1 if i == 0 else 2, 10 if i == 0 else 1, 1.0, BEGINNING_US, END_US)
        for i, code in enumerate(METERS)
    )
    return UnitView(5, "A1", UnitKind.AREA, members, (Parentage(9, "F1", BEGINNING_US, END_US),))


def block(
    sequence: int, readings: dict[str, int | None], hour: int, interval_s: int = 900, received_at_us: int | None = None
) -> Block:
    import_wh = np.array([MISSING_WH if v is None else v for v in readings.values()], np.int64)
    end_us = hour * HOUR_US
    return Block(
        unit="A1",
        gateway="g",
        observed_at_us=end_us,
        interval_s=interval_s,
        received_at_us=end_us + sequence if received_at_us is None else received_at_us,
        meters=pa.array(list(readings), pa.string()),
        sequence=np.full(len(readings), sequence, np.int64),
        channels={
            "import_wh": import_wh,
            "export_wh": np.where(import_wh == MISSING_WH, MISSING_WH, 0),
            "voltage_a_dv": np.full(len(readings), 2300, np.int16),
        },
        quality=np.where(import_wh == MISSING_WH, Quality.MISSING, 0).astype(np.uint8),
    )


class Table(MemoryStore):
    """Rows as the store would keep them."""

    def take_blocks(self, blocks: list[Block]) -> Settled:
        held = view()
        return self.take([from_block(b, held, "telemetry.area", b"")[0] for b in blocks])

    def state(self) -> Any:
        """What doesn't depend on the order of arrival: values, their precedence and receipt, and figures."""
        return {
            key: (
                {name: values.tobytes() for name, values in row.channels.items()},
                {name: values.tobytes() for name, values in row.precedence.items()},
                {name: values.tobytes() for name, values in row.received_us.items()},
                row.quality.tobytes(),
                {name: row.balance[name] for name in FIGURES},
            )
            for key, row in self.rows.items()
        }

    def history(self) -> Any:
        """What follows from the order of receipt, and not from batches."""
        return (
            self.state(),
            self.superseded,
            {k: (r.version, r.received_at_us, r.balance) for k, r in self.rows.items()},
        )


def figures(table: Table) -> tuple[int, int, int, bool]:
    loss = table.losses[KEY]
    return loss.inflow_wh, loss.outflow_wh, loss.loss_wh, loss.computable


messages = st.lists(
    st.builds(
        block,
        sequence=st.integers(0, 5),
        readings=st.dictionaries(
            st.sampled_from(METERS), st.one_of(st.none(), st.integers(0, 1000)), min_size=1, max_size=4
        ),
        hour=st.integers(1, 3),
        interval_s=st.sampled_from([900, 900, 3600]),
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(messages, st.randoms(use_true_random=False), st.integers(1, 4))
def test_order_repetition_and_batching_make_no_difference(
    blocks: list[Block], shuffle: random.Random, batch: int
) -> None:
    straight = Table()
    straight.take_blocks(blocks)
    again = blocks + shuffle.sample(blocks, k=len(blocks) // 2)
    shuffle.shuffle(again)
    other = Table()
    for start in range(0, len(again), batch):
        other.take_blocks(again[start : start + batch])
    assert straight.state() == other.state()


@settings(deadline=None)
@given(messages, st.randoms(use_true_random=False), st.integers(1, 4))
def test_batches_and_repeats_make_no_difference_to_what_was_published(
    blocks: list[Block], shuffle: random.Random, batch: int
) -> None:
    """In order of receipt, however cut into batches, with repeats: the same revisions of the same figures."""
    ordered = sorted((at_time(b, shuffle) for b in blocks), key=lambda b: b.received_at_us)
    straight = Table()
    straight.take_blocks(ordered)
    other = Table()
    for start in range(0, len(ordered), batch):
        other.take_blocks(ordered[start : start + batch])
        other.take_blocks(ordered[: start + 1])
    assert straight.history() == other.history()


def at_time(b: Block, shuffle: random.Random) -> Block:
    """The block received within the limits, between them, or after."""
    return replace(b, received_at_us=b.observed_at_us + shuffle.choice([1, 2, 310, 400, 90_000, 95_000]) * 1_000_000)


def test_a_repeat_writes_nothing_but_tells_again() -> None:
    table = Table()
    first = table.take_blocks([block(1, {"gateway": 10, "c1": 30, "c2": 30, "c3": 30}, 1)])
    repeat = table.take_blocks([block(1, {"gateway": 10, "c1": 30, "c2": 30, "c3": 30}, 1)])
    assert len(first.rows) == 1
    assert len(repeat.rows) == 0
    assert figures(table) == (100, 90, 10, True)
    for settled in (first, repeat):
        (energies,) = settled.energies
        assert (energies.parent, energies.taken_wh.tolist(), energies.loss_wh.tolist()) == ("F1", [100], [10])
        assert energies.version.tolist() == [2]


def test_a_correction_after_the_final_figure_restates_it() -> None:
    table = Table()
    whole: dict[str, int | None] = {"gateway": 10, "c1": 30, "c2": 30, "c3": 30}
    table.take_blocks([block(1, {**whole, "c3": None}, 1)])
    assert table.rows[KEY].balance["status"] == 0
    table.take_blocks([block(2, whole, 1)])
    assert table.rows[KEY].balance["status"] == 1
    table.take_blocks([block(3, {"c3": 25}, 1)])
    assert table.rows[KEY].balance["status"] == 2
    assert figures(table) == (100, 85, 15, True)


def test_a_reading_that_is_sent_again_confirms_a_final_figure() -> None:
    table = Table()
    whole: dict[str, int | None] = {"gateway": 10, "c1": 30, "c2": 30, "c3": 30}
    table.take_blocks([block(1, whole, 1)])
    table.take_blocks([block(2, whole, 1)])
    assert (table.rows[KEY].balance["status"], table.rows[KEY].balance["revision"]) == (1, 1)
    table.take_blocks([block(3, {"c3": 25}, 1)])
    table.take_blocks([block(4, {"c3": 25}, 1)])
    assert table.rows[KEY].balance["status"] == 2


def test_intervals_of_two_lengths_that_end_together_are_two_rows() -> None:
    table = Table()
    table.take_blocks([block(1, {"gateway": 10, "c1": i}, 1, i) for i in (900, 3600)])
    assert sorted(table.rows) == [(5, HOUR_US, 900), (5, HOUR_US, 3600)]
    assert [table.rows[key].channels["import_wh"].tolist()[:2] for key in sorted(table.rows)] == [[10, 900], [10, 3600]]


def test_a_block_of_strangers_alone_tells_nothing() -> None:
    settled = Table().take_blocks([block(1, {"stranger": 1}, 1)])
    assert len(settled.rows) == 0
    assert settled.energies == []


def test_children_of_two_intervals_are_kept_apart() -> None:
    one = Table().take_blocks([block(1, {"gateway": 10}, 1)]).energies[0]
    names = [name for name in UnitEnergies.__dataclass_fields__ if name != "parent"]
    both = UnitEnergies(one.parent, *(np.repeat(getattr(one, name), 2) for name in names))
    both.interval_s[1] = 60
    child = Membership(0, None, 5, 4, 1, 1.0, BEGINNING_US, END_US)
    contributions = from_energies(both, UnitView(9, "F1", UnitKind.FEEDER, (child,), ()))
    assert sorted(c.interval_s for c in contributions) == [60, 900]


def test_sums_beyond_all_reason_are_told_as_missing() -> None:
    """4,096 children of 4 × 10¹⁸ Wh each would go round int64 in their parent."""
    size = 4_096
    members = tuple(Membership(i, f"m{i}", None, 1, 1_000_000, 1.0, BEGINNING_US, END_US) for i in range(size))
    huge = UnitView(5, "A1", UnitKind.AREA, members, (Parentage(9, "F1", BEGINNING_US, END_US),))
    table = MemoryStore()
    sent = block(1, {f"m{i}": 1_000_000_000 for i in range(size)}, 1)
    (energies,) = table.take([from_block(sent, huge, "telemetry.area", b"")[0]]).energies
    assert table.losses[KEY].inflow_wh == size * 10**15
    assert energies.taken_wh.tolist() == energies.loss_wh.tolist() == [MISSING_WH]
    assert energies.quality.tolist() == [Quality.MISSING]


def test_without_its_gateway_a_unit_tells_that_it_is_missing() -> None:
    (energies,) = Table().take_blocks([block(1, {"c1": 1}, 1)]).energies
    assert energies.quality.tolist() == [Quality.MISSING]
    assert energies.taken_wh.tolist() == [MISSING_WH]


def test_a_meter_that_is_no_member_goes_to_quarantine_and_the_rest_is_kept() -> None:
    contribution, rejections = from_block(block(1, {"c1": 1, "stranger": 2}, 1), view(), "telemetry.area", b"raw")
    assert contribution.positions.tolist() == [1, -1]
    (rejection,) = rejections
    assert rejection.meters == ("stranger",)
    assert rejection.quarantined
    assert rejection.original == b"raw"


@given(messages)
def test_blocks_and_energies_survive_kafka(blocks: list[Block]) -> None:
    for original in blocks:
        restored = decode_block(encode_block(original))
        assert replace(restored, meters=original.meters).unit == original.unit
        assert restored.meters.equals(original.meters)
        assert {n: v.tolist() for n, v in restored.channels.items()} == {
            n: v.tolist() for n, v in original.channels.items()
        }
        assert restored.quality.tolist() == original.quality.tolist()
        assert restored.sequence.tolist() == original.sequence.tolist()
        assert restored.observed_at_us == original.observed_at_us
    for energies in Table().take_blocks(blocks).energies:
        (back,) = decode_unit_energies(encode_unit_energies([energies]))
        assert back.parent == energies.parent
        assert back.taken_wh.tolist() == energies.taken_wh.tolist()
