"""Replay in memory: whatever the batches, the history is that of one message after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.block import Block, decode_block, encode_block
from grid.due import decode_due, is_due
from grid.quality import MISSING_WH, Quality
from grid.resettle import Resettle
from grid.rows import NEVER_US
from grid.topics import ENERGY_UNIT
from grid.unit_energy import UnitEnergies, decode_unit_energies
from store.replaying import Hierarchy
from streams.join import Record
from streams.replay import Received, Replay, levels_of
from streams.steps.contribution import Cause, Contribution, from_block, from_energies, look_again
from tests.memory import MemoryStore
from tests.small_hierarchy import HIERARCHY, METERS, NOON_US, SECOND_US, VIEWS


class Memory(MemoryStore):
    """Processor and limits over rows in memory."""

    def process(self, records: Sequence[Record]) -> list[UnitEnergies]:
        contributions: list[Contribution] = []
        for record in records:
            if is_due(record.value):
                due = decode_due(record.value)
                view = VIEWS[due.unit]
                contributions += [look_again(view, at, s, due.until_us, Cause.TICK) for at, s in due.intervals]
            elif record.topic == ENERGY_UNIT:
                for energies in decode_unit_energies(record.value):
                    contributions += from_energies(energies, VIEWS[energies.parent])
            else:
                block = decode_block(record.value)
                contributions.append(from_block(block, VIEWS[block.unit], "", b"")[0])
        return self.take(contributions).energies

    def settle_again(self, order: Resettle) -> Iterator[list[UnitEnergies]]:
        view = VIEWS[order.unit]
        concerned = [
            (at_us, interval_s)
            for unit_id, at_us, interval_s in self.rows
            if unit_id == view.unit_id and at_us > order.from_us and at_us - interval_s * SECOND_US < order.to_us
        ]
        yield self.take([look_again(view, *key, order.recorded_us, Cause.MODEL) for key in concerned]).energies

    def between(self, unit_ids: Sequence[int], from_us: int, until_us: int, limit: int) -> list[tuple[str, int, int]]:
        found = [
            (int(row.balance["due_us"]), HIERARCHY.units[key[0]], key[1], key[2])
            for key, row in self.rows.items()
            if key[0] in unit_ids and from_us <= row.balance["due_us"] < until_us
        ]
        return [due[1:] for due in sorted(found)[:limit]]

    def horizon(self, from_us: int, until_us: int, n: int) -> int | None:
        due = sorted(int(row.balance["due_us"]) for row in self.rows.values())
        found = [at for at in due if at != NEVER_US and from_us <= at < until_us]
        return found[n] if len(found) > n else None

    def history(self) -> Any:
        """Every column of every result."""
        return {
            key: (
                row.version,
                row.received_at_us,
                {name: values.tobytes() for name, values in row.channels.items() if has_values(values)},
                {name: values.tobytes() for name, values in row.precedence.items() if has_values(row.channels[name])},
                {name: values.tobytes() for name, values in row.received_us.items() if has_values(row.channels[name])},
                row.quality.tobytes(),
                dict(row.balance),
            )
            for key, row in sorted(self.rows.items())
        } | dict(sorted(self.superseded.items()))


def has_values(values: Any) -> bool:
    """Whether a channel has a value: what has none isn't stored."""
    return bool(np.any(values != np.iinfo(values.dtype).min))


class Said(NamedTuple):
    """A message of one unit; readings are (import, register of import, register of export) by place in the roster."""

    received_at_us: int
    unit: str
    interval: int
    readings: Mapping[int, tuple[int | None, int | None, int | None]]
    sequence: int
    channels: Sequence[str]

    def received(self) -> Received:
        values = {
            name: np.array([MISSING_WH if r[n] is None else r[n] for r in self.readings.values()], np.int64)
            for n, name in enumerate(("import_wh", "register_import_wh", "register_export_wh"))
            if name in self.channels
        }
        energy = values.get("import_wh", np.full(len(self.readings), MISSING_WH))
        block = Block(
            unit=self.unit,
            gateway="g",
            observed_at_us=NOON_US + self.interval * 900 * SECOND_US,
            interval_s=900,
            received_at_us=self.received_at_us,
            meters=pa.array([METERS[self.unit][n] for n in self.readings], pa.string()),
            sequence=np.full(len(self.readings), self.sequence, np.int64),
            channels=values,
            quality=np.where(energy == MISSING_WH, Quality.MISSING, Quality.VALID).astype(np.uint8),
        )
        return Received(self.received_at_us, self.unit, Record("telemetry.area", encode_block(block)))


def optional(greatest: int) -> st.SearchStrategy[int | None]:
    return st.one_of(st.none(), st.integers(0, greatest))


#: Seconds from noon: around the intervals' ends, the limits of areas, feeder and region, and a day later.
RECEIPTS_S = st.one_of(
    st.integers(-60, 2_000), st.sampled_from([300, 301, 360, 361, 420, 421, 86_400, 86_401, 90_000, 93_600, 100_000])
)


@st.composite
def days(draw: st.DrawFn, channels: Sequence[str]) -> list[Said]:
    """Messages in order of receipt: partial, late, repeated, out of order, and none received with another."""
    messages: list[Said] = []
    for n, second in enumerate(sorted(draw(st.lists(RECEIPTS_S, min_size=1, max_size=14)))):
        at_us = NOON_US + second * SECOND_US + n
        if messages and draw(st.integers(0, 5)) == 0:
            messages.append(draw(st.sampled_from(messages))._replace(received_at_us=at_us))
            continue
        unit = draw(st.sampled_from(sorted(VIEWS)))
        places = draw(st.sets(st.integers(0, len(METERS[unit]) - 1), min_size=1))
        readings = {place: (draw(optional(50)), draw(optional(90)), draw(optional(90))) for place in sorted(places)}
        wanted = [name for name in channels if draw(st.booleans())] or channels
        messages.append(Said(at_us, unit, draw(st.integers(0, 2)), readings, draw(st.integers(0, 5)), wanted))
    return messages


def replayed(said: Sequence[Said], cuts: Sequence[int], page: int = 100) -> Any:
    """History after a replay that takes the messages in batches that end at `cuts`."""
    store = Memory()
    replay = Replay(store, store, HIERARCHY, page)
    messages = [s.received() for s in said]
    for start, end in zip([0, *cuts], [*cuts, len(messages)], strict=True):
        replay.take(messages[start:end])
    replay.publish_until(NOON_US + 110_000 * SECOND_US)
    return store.history()


def one_by_one(said: Sequence[Said]) -> Any:
    return replayed(said, range(1, len(said)))


@settings(deadline=None, max_examples=150)
@given(days(["import_wh"]), st.data())
def test_energies_have_one_history_whatever_the_batches(said: list[Said], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(said)))))
    assert replayed(said, cuts, data.draw(st.integers(1, 5))) == one_by_one(said)


@settings(deadline=None, max_examples=150)
@given(days(["import_wh", "register_import_wh", "register_export_wh"]), st.data())
def test_registers_have_one_history_whatever_the_batches(said: list[Said], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(said)))))
    assert replayed(said, cuts, data.draw(st.integers(1, 5))) == one_by_one(said)


@settings(deadline=None, max_examples=100)
@given(days(["import_wh", "register_import_wh"]))
def test_a_replay_of_what_is_there_changes_nothing(said: list[Said]) -> None:
    store = Memory()
    histories = []
    for _ in range(2):
        replay = Replay(store, store, HIERARCHY)
        replay.take([s.received() for s in said])
        replay.publish_until(NOON_US + 110_000 * SECOND_US)
        histories.append(store.history())
    assert histories[0] == histories[1]


def test_what_was_received_earlier_comes_earlier() -> None:
    store = Memory()
    replay = Replay(store, store, HIERARCHY)
    early, late = (Said(NOON_US + s, "A", 0, {0: (1, None, None)}, 1, ["import_wh"]).received() for s in (1, 2))
    with pytest.raises(ValueError, match="order of receipt"):
        replay.take([late, early])
    replay.take([late])
    with pytest.raises(ValueError, match="order of receipt"):
        replay.take([early])


def test_every_unit_lies_above_its_members() -> None:
    assert [sorted(level.values()) for level in levels_of(HIERARCHY)] == [["A", "B", "C"], ["F"], ["R"]]


def test_units_that_were_above_each_other_share_the_last_level() -> None:
    assert [sorted(level) for level in levels_of(Hierarchy({1: "a", 2: "b", 3: "c"}, [(1, 2), (2, 1), (3, 1)]))] == [
        [3],
        [1, 2],
    ]
