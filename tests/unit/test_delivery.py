from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from grid.model import UnitKind
from grid.quality import MISSING_WH
from ingest.decode import decode_message
from ingest.messages import BlockMessage
from ingest.sources.files import read_messages
from twin.delivery import Delivery
from twin.delivery_faults import NOT_DELIVERED, DeliveryFaults, DeliveryTruth, Fate
from twin.message_files import MessageLog, write_messages
from twin.metering import MeterReadings
from twin.outbox import Made, MessageKind, Outbox, Sent, in_order_of_sending

MONDAY = 1_780_272_000  # 2026-06-01T00:00:00Z
UNITS, SIZE = 40, 25
NONE = DeliveryFaults.none()


@dataclass(frozen=True)
class Unit:
    code: str
    gateway: str
    first: int
    last: int
    has_voltage: bool


UNIT_LIST = [Unit(f"A{i}", f"headend-{i % 2}", i * SIZE, (i + 1) * SIZE, i % 4 != 0) for i in range(UNITS)]
CODES = [f"M-{i}" for i in range(UNITS * SIZE)]


class AllKnown:
    """A directory that has every unit."""

    zone: tzinfo = UTC

    def unit_kind(self, unit: str) -> UnitKind | None:
        return UnitKind.AREA

    def may_send(self, gateway: str, unit: str) -> bool:
        return True


def readings(count: int, first: int = 0) -> list[MeterReadings]:
    """Quarter-hours from Monday on; a meter's energy says which meter and interval it is."""
    own = np.arange(len(CODES))
    return [
        MeterReadings(
            MONDAY + 900 * (n + 1), 900, own * 1_000 + n, own % 3, 10**9 + own * n, 10**8 + own,
            np.round(230 + own / 100, 1),
        )
        for n in range(first, first + count)
    ]  # fmt: skip


def played(
    faults: DeliveryFaults, count: int = 96, seed: int = 1, zone: tzinfo | None = None
) -> tuple[list[Sent], DeliveryTruth, Delivery]:
    delivery = Delivery(UNIT_LIST, CODES, seed, faults, frozen_zone=zone)
    sent = list(in_order_of_sending(m for r in readings(count) for m in delivery.make(r)))
    return sent, delivery.truth, delivery


def delivered(sent: Sequence[Sent]) -> set[tuple[int, int]]:
    """Meter and end of interval of each reading that came in a block."""
    found = set()
    decoder = msgspec.json.Decoder(BlockMessage)
    for message in sent:
        if message.made.kind is MessageKind.BLOCK:
            block = decoder.decode(message.payload)
            for code, wh in zip(block.meter, block.import_wh or [], strict=True):
                if wh is not None:
                    found.add((int(code[2:]), message.made.end_s))
    return found


def test_without_faults_everything_comes_once_and_in_time() -> None:
    sent, truth, _ = played(NONE, 8)
    assert len(sent) == 8 * UNITS
    assert len(truth.take()) == 0
    assert [s.send_at_us for s in sent] == sorted(s.send_at_us for s in sent)
    assert all(5 <= s.send_at_us / 1e6 - s.made.end_s <= 30 for s in sent)
    assert not any(s.again for s in sent)


def test_the_decoder_takes_messages_as_they_were_meant() -> None:
    sent, _, _ = played(replace(NONE, missing_share=0.2), 2, zone=UTC)
    all_readings = {r.end_s: r for r in readings(2)}
    absent = 0
    for message in sent:
        decoded = decode_message(message.topic, message.payload, message.send_at_us, AllKnown())
        assert decoded.rejections == ()
        block, made = decoded.block, message.made
        assert block is not None
        unit = UNIT_LIST[made.unit]
        assert (block.unit, block.gateway, block.interval_s) == (unit.code, unit.gateway, 900)
        assert block.meters.to_pylist() == CODES[unit.first : unit.last]
        energy = block.channels["import_wh"]
        there = energy != MISSING_WH
        whole = all_readings[made.end_s].import_wh[unit.first : unit.last]
        assert (energy[there] == whole[there]).all()
        assert (made.readings, made.import_wh) == (there.sum(), energy[there].sum())
        assert ("voltage_a_dv" in block.channels) == unit.has_voltage
        absent += int((~there).sum())
    assert absent / (2 * len(CODES)) == pytest.approx(0.2, abs=0.03)


def test_gateways_number_their_messages_and_what_is_lost_leaves_a_gap() -> None:
    sent, truth, _ = played(replace(NONE, lost_share=0.05, late_share=0.2, duplicate_share=0.1))
    lost = int((truth.take()["fate"] == Fate.LOST).sum())
    numbers: dict[str, dict[int, tuple[str, bytes]]] = defaultdict(dict)
    for message in sent:
        own = numbers[message.made.gateway]
        assert message.again == (message.sequence in own)
        before = own.setdefault(message.sequence, (message.topic, message.payload))
        assert before == (message.topic, message.payload)  # what comes again is the same
    gaps = 0
    for own in numbers.values():
        assert max(own) <= 96 * UNITS // 2
        gaps += 96 * UNITS // 2 - len(own)
    assert gaps == lost > 0
    for own in numbers.values():  # in the order in which they were made
        ends = [msgspec.json.decode(own[n][1])["observed_at"] for n in sorted(own)]
        assert ends == sorted(ends)


def test_each_fault_comes_about_as_often_as_it_says() -> None:
    faults = DeliveryFaults(
        missing_share=0.01, silent_share=0.02, concentrator_silences_a_week=0.5, lost_share=0.02, late_share=0.05,
        very_late_share=0.01, duplicate_share=0.03, backlog_lost_share=0.5,
    )  # fmt: skip
    delivery = Delivery(UNIT_LIST, CODES, 2, faults)
    sent = list(in_order_of_sending(m for r in readings(672) for m in delivery.make(r)))
    rows = delivery.truth.take()
    counts = delivery.truth.counts(rows)
    messages, cells = 672 * UNITS, 672 * len(CODES)
    assert counts[Fate.MISSING] / cells == pytest.approx(0.01, rel=0.1)
    assert counts[Fate.SILENT] / cells == pytest.approx(0.02, rel=0.15)
    assert counts[Fate.LOST] / messages == pytest.approx(0.02, rel=0.2)
    assert counts[Fate.LATE] / messages == pytest.approx(0.05, rel=0.15)
    assert counts[Fate.VERY_LATE] / messages == pytest.approx(0.01, rel=0.3)
    assert counts[Fate.DUPLICATE] / messages == pytest.approx(0.03, rel=0.15)
    silent = (counts[Fate.NEVER_CAME] + counts[Fate.BACKLOG]) / messages
    assert silent == pytest.approx(0.5 * 4.5 / 168, rel=0.6)  # of a mean of four and a half hours
    assert counts[Fate.NEVER_CAME] > 0 < counts[Fate.BACKLOG]
    assert sum(s.again for s in sent) == counts[Fate.DUPLICATE]
    gone = counts[Fate.LOST] + counts[Fate.NEVER_CAME]
    assert len(sent) == messages - gone + counts[Fate.DUPLICATE]


def test_each_fault_alone_is_alone() -> None:
    marks = {
        "missing_share": {Fate.MISSING},
        "silent_share": {Fate.SILENT},
        "concentrator_silences_a_week": {Fate.NEVER_CAME, Fate.BACKLOG},
        "lost_share": {Fate.LOST},
        "late_share": {Fate.LATE},
        "very_late_share": {Fate.VERY_LATE},
        "duplicate_share": {Fate.DUPLICATE},
    }
    shares = {f.name for f in fields(DeliveryFaults) if f.name.endswith("_share")} - {"backlog_lost_share"}
    assert shares <= set(marks)
    for name, wanted in marks.items():
        _, truth, _ = played(replace(NONE, backlog_lost_share=0.4, **{name: 0.4}), 672 if "week" in name else 12)
        assert {Fate(f) for f in np.unique(truth.take()["fate"]).tolist()} == wanted


def test_truth_names_exactly_what_did_not_come() -> None:
    faults = replace(DeliveryFaults(), lost_share=0.02, concentrator_silences_a_week=0.9, backlog_lost_share=0.5)
    off = np.zeros(len(CODES), np.bool_)
    off[: SIZE + 3] = True  # a whole unit and some of the next
    delivery = Delivery(UNIT_LIST, CODES, 4, faults)
    every = readings(96)
    sent = list(in_order_of_sending(m for r in every for m in delivery.make(r, off if r.end_s % 7_200 == 0 else None)))
    lacking = set()
    for row in delivery.truth.take():
        if Fate(row["fate"]) in NOT_DELIVERED:
            unit = UNIT_LIST[row["unit"]]
            meters = range(unit.first, unit.last) if row["meter"] < 0 else [int(row["meter"])]
            lacking |= {(meter, int(row["end_s"])) for meter in meters}
    whole = {(meter, r.end_s) for r in every for meter in range(len(CODES))}
    assert delivered(sent) == whole - lacking
    assert len(lacking) > 8 * SIZE


def test_what_comes_late_comes_when_the_truth_says() -> None:
    faults = replace(NONE, late_share=0.1, very_late_share=0.05, duplicate_share=0.1, concentrator_silences_a_week=0.9)
    sent, truth, _ = played(faults, 192)
    rows = truth.take()
    times = {(s.made.unit, s.made.end_s, s.again): s.send_at_us for s in sent}
    bounds = {Fate.LATE: (120, 21_700), Fate.VERY_LATE: (86_400, 432_100)}
    for row in rows:
        at_us = times[int(row["unit"]), int(row["end_s"]), row["fate"] == Fate.DUPLICATE]
        assert at_us == row["sent_us"]
        if (bound := bounds.get(Fate(row["fate"]))) is not None:
            assert bound[0] < at_us / 1e6 - row["end_s"] <= bound[1]
    backlog = rows[rows["fate"] == Fate.BACKLOG]
    for unit in np.unique(backlog["unit"]):
        own = backlog[backlog["unit"] == unit]
        assert (np.diff(own["sent_us"]) > 0).all()  # the oldest first
    assert len(backlog) > 0


def test_the_same_seed_gives_the_same_bytes_and_parts_give_the_whole() -> None:
    faults = replace(DeliveryFaults(), missing_share=0.05)

    def bodies(parts: Sequence[tuple[int, int]], seed: int = 1) -> list[tuple[bytes, tuple[int, ...]]]:
        made = []
        for first, count in parts:
            delivery = Delivery(UNIT_LIST, CODES, seed, faults)
            made += [(m.body, m.send_at_us) for r in readings(count, first) for m in delivery.make(r)]
        return made

    assert bodies([(0, 96)]) == bodies([(0, 96)]) == bodies([(0, 40), (40, 56)])
    assert bodies([(0, 96)]) != bodies([(0, 96)], seed=2)


def test_frozen_registers_come_once_a_local_day() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    sent, _, _ = played(NONE, 96, zone=zone)
    frozen = [s for s in sent if s.made.kind is MessageKind.FROZEN]
    assert len(frozen) == UNITS
    directory = AllKnown()
    directory.zone = zone
    for message in frozen:
        decoded = decode_message(message.topic, message.payload, message.send_at_us, directory, zone)
        assert decoded.rejections == ()
        block = decoded.block
        assert block is not None
        assert (block.interval_s, block.observed_at_us) == (86_400, (MONDAY + 16 * 3_600) * 1_000_000)
        assert set(block.channels) == {"register_import_wh", "register_export_wh"}
        unit = UNIT_LIST[message.made.unit]
        expected = readings(1, 63)[0].import_register_wh[unit.first : unit.last]
        assert (block.channels["register_import_wh"] == expected).all()


def test_registers_can_come_along() -> None:
    delivery = Delivery(UNIT_LIST, CODES, 1, NONE, registers=True)
    body = msgspec.json.decode(b"{" + next(delivery.make(readings(1)[0])).body)
    assert body["register_import_wh"][:3] == [10**9] * 3


def test_wrong_faults_are_refused() -> None:
    with pytest.raises(ValueError, match="late"):
        DeliveryFaults(late_from_s=0)
    with pytest.raises(ValueError, match="more than all"):
        DeliveryFaults(late_share=0.7, lost_share=0.4)


def test_an_outbox_gives_out_what_is_due() -> None:
    outbox = Outbox(first_sequence=7)
    for i, times in enumerate([(30,), (), (20, 40)]):
        outbox.put(Made(i, times, "g", f"t{i}", b'"n":1}', MessageKind.BLOCK, 0, 1))
    assert [(s.sequence, s.again) for s in outbox.take(30)] == [(9, False)]
    rest = list(outbox.take())
    assert [(s.sequence, s.again, s.topic) for s in rest] == [(7, False, "t0"), (9, True, "t2")]
    assert rest[0].payload == b'{"sequence":7,"n":1}'


def test_a_log_is_read_as_it_was_sent(tmp_path: Path) -> None:
    sent, _, _ = played(DeliveryFaults(), 12)
    path = tmp_path / "log.parquet"
    with MessageLog(path, group_messages=100) as log:
        for message in sent:
            log.add(message)
        assert not path.exists()
    assert log.messages == len(sent)
    assert pq.ParquetFile(path).num_row_groups == -(-len(sent) // 100)
    found = list(read_messages(path, lambda rejection: pytest.fail(str(rejection))))
    assert [(m.topic, m.payload, m.received_at_us) for m in found] == [(s.topic, s.payload, s.send_at_us) for s in sent]


def test_a_log_has_the_same_bytes_again(tmp_path: Path) -> None:
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for path in paths:
        assert write_messages(path, played(DeliveryFaults(), 8)[0]) > 0
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_log_is_in_order_of_receipt_or_not_there(tmp_path: Path) -> None:
    sent, _, _ = played(NONE, 1)
    with pytest.raises(ValueError, match="comes after"):
        write_messages(tmp_path / "log.parquet", sent[::-1])
    assert list(tmp_path.iterdir()) == []
