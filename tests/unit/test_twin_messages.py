from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from itertools import chain

import msgspec
import numpy as np

from grid.model import Role
from ingest.messages import BlockMessage
from tests.unit.twin_grid import full_grid, one_feeder, quarter_hours
from twin.messages import MessageBuilder
from twin.registers import Registers
from twin.scenario import Interval

START = datetime(2026, 7, 5, 10, tzinfo=UTC)


def test_a_message_is_as_published() -> None:
    twin = full_grid()
    readings = next(twin.readings(quarter_hours(START, 1)))
    messages = list(MessageBuilder(twin, first_sequence=17).build(readings))
    assert len(messages) == 412 + 70 + 36
    decoder = msgspec.json.Decoder(BlockMessage)
    numbers: dict[str, list[int]] = defaultdict(list)
    seen: list[str] = []
    for message in messages:
        unit = twin.units[message.unit]
        assert message.topic == f"meterline/v1/{message.gateway}/block/{unit.code}"
        block = decoder.decode(message.payload)
        assert block.observed_at == datetime(2026, 7, 5, 10, 15, tzinfo=UTC)
        assert block.interval_s == 900
        assert block.import_wh is not None
        assert len(block.meter) == message.readings == len(block.import_wh)
        assert sum(v for v in block.import_wh if v is not None) == message.import_wh
        assert block.export_wh is not None
        assert sum(v for v in block.export_wh if v is not None) == message.export_wh
        if block.voltage_a_v is not None:
            assert all(v is not None and 200 < v < 260 for v in block.voltage_a_v)
        numbers[message.gateway].append(block.sequence)
        seen += block.meter
    assert seen == [m.code for m in twin.model.meters]
    for own in numbers.values():
        assert own == list(range(17, 17 + len(own)))


def test_the_same_times_give_the_same_bytes() -> None:
    twin = one_feeder()
    intervals = [*quarter_hours(START, 3), Interval(int(START.timestamp()) + 2_760, 60)]

    def payloads() -> list[bytes]:
        builder = MessageBuilder(twin)
        return [m.payload for m in chain.from_iterable(builder.build(r) for r in twin.readings(intervals))]

    first = payloads()
    assert first == payloads()
    assert json.loads(first[-1])["interval_s"] == 60


def test_what_the_registers_show_is_the_truth_but_for_the_last_step() -> None:
    twin = one_feeder()
    intervals = quarter_hours(START, 96)
    shown_in = np.zeros(len(twin.model.meters), dtype=np.int64)
    shown_out = np.zeros_like(shown_in)
    for readings in twin.readings(intervals):
        shown_in += readings.import_wh
        shown_out += readings.export_wh
    multipliers = np.array([m.multiplier for m in twin.model.meters])
    flows = twin.solve(intervals)
    power_w = np.concatenate([flows.point_w, flows.area_w, flows.feeder_w], axis=1)[:, twin._source_of_meter]
    true_in, true_out = np.maximum(power_w, 0).sum(axis=0) / 4, np.maximum(-power_w, 0).sum(axis=0) / 4
    assert (np.abs(shown_in * multipliers - true_in) <= multipliers).all()
    assert (np.abs(shown_out * multipliers - true_out) <= multipliers).all()
    assert (shown_out[[m.role is Role.GATEWAY for m in twin.model.meters]] > 0).any()  # back-feed is export


def test_registers_carry_their_remainder() -> None:
    registers = Registers(["a", "b"], [1, 100])
    total = np.zeros((2, 2), dtype=np.int64)
    for _ in range(1_000):
        total += registers.advance(np.array([0.3, -33.0]))
    assert abs(total[0, 0] - 300) <= 1
    assert abs(total[1, 1] - 330) <= 1
    assert total[0, 1] == total[1, 0] == 0


def test_minutes_and_quarter_hours_count_the_same_energy_at_customers() -> None:
    twin = one_feeder()
    start = int(START.timestamp())
    minutes = [Interval(start + 60 * (i + 1), 60) for i in range(15)]
    by_minute = sum(r.import_wh for r in twin.readings(minutes))
    by_quarter = next(twin.readings([Interval(start + 900, 900)])).import_wh
    customers = np.array([m.role is Role.CUSTOMER for m in twin.model.meters])
    assert np.abs(by_minute - by_quarter)[customers].max() <= 1
