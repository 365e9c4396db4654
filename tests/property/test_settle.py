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
from grid.model import UnitKind
from grid.quality import MISSING_WH, Quality
from grid.roster import BEGINNING_US, END_US, Membership, Parentage, UnitView
from grid.unit_energy import decode_unit_energies, encode_unit_energies
from streams.steps.contribution import from_block
from streams.steps.settle import Settled
from tests.memory import MemoryStore

HOUR_US = 3_600_000_000
METERS = ["gateway", "c1", "c2", "c3"]


def view() -> UnitView:
    members = tuple(
        Membership(i, code, None, 1 if i == 0 else 2, 10 if i == 0 else 1, 1.0, BEGINNING_US, END_US)
        for i, code in enumerate(METERS)
    )
    return UnitView(5, "A1", UnitKind.AREA, members, (Parentage(9, "F1", BEGINNING_US, END_US),))


def block(sequence: int, readings: dict[str, int | None], hour: int) -> Block:
    import_wh = np.array([MISSING_WH if v is None else v for v in readings.values()], np.int64)
    return Block(
        unit="A1",
        gateway="g",
        observed_at_us=hour * HOUR_US,
        interval_s=900,
        received_at_us=1,
        sequence=sequence,
        meters=pa.array(list(readings), pa.string()),
        import_wh=import_wh,
        export_wh=np.where(import_wh == MISSING_WH, MISSING_WH, 0),
        voltage_dv=np.full(len(readings), 2300, np.int16),
        quality=np.where(import_wh == MISSING_WH, Quality.MISSING, 0).astype(np.uint8),
    )


class Table(MemoryStore):
    """Rows as the store would keep them."""

    def take_blocks(self, blocks: list[Block]) -> Settled:
        held = view()
        return self.take([from_block(b, held, "telemetry.area", b"")[0] for b in blocks])

    def state(self) -> Any:
        return {
            key: (row.sequence.tobytes(), row.import_wh.tobytes(), row.export_wh.tobytes(), row.quality.tobytes())
            for key, row in self.rows.items()
        }, self.losses


def figures(table: Table) -> tuple[int, int, int, bool]:
    loss = table.losses[(5, HOUR_US)]
    return loss.inflow_wh, loss.outflow_wh, loss.loss_wh, loss.computable


messages = st.lists(
    st.builds(
        block,
        sequence=st.integers(0, 5),
        readings=st.dictionaries(
            st.sampled_from(METERS), st.one_of(st.none(), st.integers(0, 1000)), min_size=1, max_size=4
        ),
        hour=st.integers(1, 3),
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
        assert energies.revision.tolist() == [1]


def test_a_correction_after_the_final_figure_restates_it() -> None:
    table = Table()
    whole: dict[str, int | None] = {"gateway": 10, "c1": 30, "c2": 30, "c3": 30}
    table.take_blocks([block(1, {**whole, "c3": None}, 1)])
    assert table.rows[(5, HOUR_US)].status == 0
    table.take_blocks([block(2, whole, 1)])
    assert table.rows[(5, HOUR_US)].status == 1
    table.take_blocks([block(3, {"c3": 25}, 1)])
    assert table.rows[(5, HOUR_US)].status == 2
    assert figures(table) == (100, 85, 15, True)


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
        for name in ("import_wh", "export_wh", "voltage_dv", "quality"):
            assert getattr(restored, name).tolist() == getattr(original, name).tolist()
        assert (restored.observed_at_us, restored.sequence) == (original.observed_at_us, original.sequence)
    for energies in Table().take_blocks(blocks).energies:
        back = decode_unit_energies(encode_unit_energies(energies))
        assert back.parent == energies.parent
        assert back.taken_wh.tolist() == energies.taken_wh.tolist()
