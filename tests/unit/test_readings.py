"""Single readings: where their meters are, what is refused together, and Kafka's batches by every codec."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import cramjam
import jsonschema
import numpy as np
import pyarrow as pa
import pytest
from aiokafka.codec import lz4_encode, snappy_encode, zstd_encode
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from kafka import TopicPartition
from kafka.errors import CorruptRecordError
from kafka.record.memory_records import MemoryRecords

from grid.block import Block
from grid.channels import MEASURED
from grid.errors import Reason
from grid.model import UnitKind
from grid.places import UnitPlaces
from grid.quality import Quality
from ingest.checks import MAX_PAYLOAD
from ingest.collect import SENDER, Collector
from ingest.decode_reading import decode_record
from ingest.place_table import NOWHERE, PlaceTable
from ingest.reading_lines import as_records
from ingest.reading_messages import reading_schema
from ingest.sources.kafka.batches import MAX_BATCH_BYTES, Batch, BatchError, Unpacker, _Batches

NOON_US = 1_795_262_400_000_000  # 2026-11-21T12:00:00Z
HOUR_US = 3_600_000_000
EVER_US = 2**60


def unit(code: str, kind: UnitKind, **stays: tuple[int, int]) -> UnitPlaces:
    begins, ends = (np.array(column, np.int64) for column in zip(*stays.values(), strict=True))
    return UnitPlaces(code, kind, pa.array(list(stays), pa.string()), begins, ends)


def where(table: PlaceTable, meter: str, observed_us: int, interval_s: int = 900) -> str | None:
    code = np.frombuffer(meter.encode(), np.uint8)
    (row,) = table.rows(
        code, np.array([0]), np.array([len(code)]), np.array([observed_us]), np.array([interval_s * 1_000_000])
    )
    return None if row == NOWHERE else table.units[table.unit_of[row]]


def reading(meter: str = "m1", **changes: Any) -> bytes:
    fields = {"meter": meter, "observed_at": "2026-11-21T12:00:00Z", "interval_s": 900, "import_wh": 1}
    return json.dumps(fields | changes).encode()


def take(collector: Collector, records: list[bytes]) -> list[Any]:
    ends = np.cumsum([len(record) for record in records])
    begins = ends - [len(record) for record in records]
    return collector.take(np.frombuffer(b"".join(records), np.uint8), begins, ends, NOON_US)


def one_area() -> Collector:
    return Collector([unit("A1", UnitKind.AREA, m1=(-EVER_US, EVER_US), m2=(-EVER_US, EVER_US))], UTC)


def test_a_reading_goes_where_its_meter_was_at_the_end_of_the_interval() -> None:
    table = PlaceTable.of(
        [
            unit("A1", UnitKind.AREA, m1=(-EVER_US, NOON_US), m2=(-EVER_US, EVER_US)),
            unit("A2", UnitKind.AREA, m1=(NOON_US, NOON_US + HOUR_US), m3=(NOON_US - HOUR_US, NOON_US - 1)),
            unit("F1", UnitKind.FEEDER, m2=(-EVER_US, EVER_US)),
        ]
    )
    assert where(table, "m1", NOON_US) == "A1"
    assert where(table, "m1", NOON_US + 900_000_000) == "A2"
    assert where(table, "m1", NOON_US + 60_000_000) == "A2"
    assert where(table, "m1", NOON_US + HOUR_US + 900_000_000) is None
    # Gone before the end: where it was last within the interval.
    assert where(table, "m3", NOON_US) == "A2"
    # Read for its area, which tells the feeder.
    assert where(table, "m2", NOON_US) == "A1"
    assert [where(table, meter, NOON_US) for meter in ("", "m", "m4", "m11")] == [None] * 4


def test_many_meters_are_told_apart_and_no_other_has_a_place() -> None:
    codes = [f"A{area}-{n}" for area in range(100) for n in range(50)]
    always = np.zeros(50, np.int64), np.full(50, EVER_US)
    table = PlaceTable.of(
        UnitPlaces(f"A{a}", UnitKind.AREA, pa.array(codes[50 * a :][:50]), *always) for a in range(100)
    )
    assert [where(table, code, NOON_US) for code in codes] == [code.split("-")[0] for code in codes]
    assert {where(table, f"B{n}", NOON_US) for n in range(5_000)} == {None}


def test_no_places_take_nothing() -> None:
    (rejection,) = take(Collector([], UTC), [reading()])
    assert (rejection.reason, rejection.meters) == (Reason.UNKNOWN_METER, ("m1",))


def test_what_is_refused_for_one_reason_goes_together_and_can_be_given_back() -> None:
    collector = one_area()
    sent = [reading(f"x{n}") for n in range(2_500)]
    rejections = take(collector, [*sent, reading("m1"), b"{", b"{\n"])
    assert collector.held == 1
    assert [r.reason for r in rejections].count(Reason.INVALID_JSON) == 2
    assert collector.refused == {Reason.INVALID_JSON: 2, Reason.UNKNOWN_METER: 2_500}
    unknown = [r for r in rejections if r.reason is Reason.UNKNOWN_METER]
    assert [len(r.meters) for r in unknown] == [1_000, 1_000, 500]
    assert b"\n".join(r.original for r in unknown).split(b"\n") == sent
    known = Collector([unit("B1", UnitKind.AREA, **{f"x{n}": (0, EVER_US) for n in range(2_500)})], UTC)
    assert take(known, [r.original for r in unknown]) == []
    ((block, _),) = known.blocks()
    assert (len(block), block.gateway) == (2_500, SENDER)


def test_a_flood_of_unknown_meters_takes_little_more_than_what_goes_on() -> None:
    collector = one_area()
    sent = [reading(f"x{n}") for n in range(50_000)]
    take(collector, sent[:1])
    tracemalloc.start()
    try:
        rejections = take(collector, sent)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(len(rejection.meters) for rejection in rejections) == 50_000
    assert most < 450 * len(sent)


def test_a_record_of_too_many_lines_is_refused_whole() -> None:
    collector = Collector([unit("A1", UnitKind.AREA, **{f"m{n}": (0, EVER_US) for n in range(1_000)})], UTC)
    readings = [reading(f"m{n}") for n in range(1_000)]
    assert take(collector, [b"\n".join(readings) + b"\n"]) == []
    assert collector.held == 1_000
    for record in (b"\n".join([*readings, reading("m0")]), b"1\n" * 1_001, b"1\n" * 524_288):
        (rejection,) = take(collector, [record])
        assert (rejection.reason, rejection.original) == (Reason.TOO_LARGE, record)
    assert (collector.held, collector.refused) == (1_000, {Reason.TOO_LARGE: 3})


def test_invented_meters_take_no_memory() -> None:
    collector = one_area()
    for n in range(5):
        take(collector, [reading(f"{n}-{m}") for m in range(2_000)])
    assert (collector.held, collector.uncommon, collector.blocks()) == (0, 0, [])


def test_a_day_of_the_utilitys_zone_is_taken_with_its_registers() -> None:
    collector = Collector([unit("A1", UnitKind.AREA, m1=(-EVER_US, EVER_US))], ZoneInfo("Asia/Shanghai"))
    day = reading(observed_at="2026-11-21T00:00:00+08:00", interval_s=86_400, register_import_wh=10**12, import_wh=None)
    assert take(collector, [day]) == []
    ((block, _),) = collector.blocks()
    assert (block.interval_s, list(block.channels), block.observed_at_us) == (
        86_400, ["register_import_wh"], NOON_US - 20 * HOUR_US,
    )  # fmt: skip


def test_places_change_only_while_nothing_is_held() -> None:
    collector = one_area()
    take(collector, [reading()])
    with pytest.raises(RuntimeError, match="held"):
        collector.place([])
    collector.blocks()
    collector.place([])
    assert len(take(collector, [reading()])) == 1


def test_the_schema_takes_what_is_taken() -> None:
    for changes in ({}, {"import_wh": None, "voltage_a_v": 230.1}, {"sequence": 2**60 - 1}):
        jsonschema.validate(json.loads(reading(**changes)), reading_schema())
        assert decode_record(reading(**changes), NOON_US, UTC)[1] == []
    for wrong in ({"meter": ""}, {"interval_s": None}, {"sequence": -1}, {"more": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(json.loads(reading(**wrong)), reading_schema())
        assert decode_record(reading(**wrong), NOON_US, UTC)[0] == []


@pytest.mark.parametrize("letter", ["\U00020bb7", "\x01", "x"])
def test_readings_of_a_block_are_records_that_can_be_taken(letter: str) -> None:
    size = 2_500
    whole = {name: np.full(size, 10**15) for name in list(MEASURED)[2:4]}
    energies = {name: np.full(size, 10**9) for name in list(MEASURED)[:2]}
    others = {name: np.full(size, 999, channel.dtype) for name, channel in list(MEASURED.items())[4:]}
    meters = [f"{n:04}{letter * 60}" for n in range(size)]
    quality = np.full(size, Quality.VALID, np.uint8)
    sequence, channels = np.full(size, 2**60 - 1), energies | whole | others
    block = Block("A1", SENDER, NOON_US, 900, NOON_US, pa.array(meters), sequence, channels, quality)
    records = as_records(block)
    assert all(len(record) <= MAX_PAYLOAD for record in records)
    found = [decode_record(record, NOON_US, UTC) for record in records]
    assert [reading.meter for readings, _ in found for reading, _ in readings] == meters
    assert [rejections for _, rejections in found] == [[]] * 3


def unpack(unpacker: Unpacker, batches: list[Batch]) -> list[bytes]:
    for batch in batches:
        unpacker.add(batch)
    found, begins, ends = unpacker.values()
    text = found.tobytes()
    return [text[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]


@pytest.mark.parametrize("codec", range(5))
def test_values_lie_where_kafkas_batches_have_them(codec: int) -> None:
    values = [reading(f"m{n}") * (1 + n % 7) for n in range(300)]
    data = b""
    for part in range(3):
        builder = DefaultRecordBatchBuilder(
            2, codec, is_transactional=False, producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=1 << 20
        )
        for n in range(100):
            key = None if n % 3 else b"k" * n
            value = None if n == 99 else values[part * 100 + n]
            builder.append(n, timestamp=n * 1_000, key=key, value=value, headers=[("h", b"v"), ("none", None)][: n % 3])
        batch = bytearray(builder.build())
        batch[:8] = (100 * part).to_bytes(8, "big")
        data += batch
    unpacked = _Batches(0, TopicPartition("t", 0), MemoryRecords(data))
    batches = unpacked.take(2)
    assert ([b.offset for b in batches], [b.records for b in batches], unpacked.next_fetch_offset) == (
        [99, 199], [100, 100], 200,
    )  # fmt: skip
    batches += unpacked.take(5)
    expected = [b"" if n % 100 == 99 else value for n, value in enumerate(values)]
    unpacker = Unpacker()
    assert unpack(unpacker, batches) == expected
    # Its memory is used again.
    assert unpack(unpacker, batches[1:]) == expected[100:]


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xff", b"\x02", b"\x7f" * 9, b"\x10\0\0\0\x01\x40abc", b"\x80" * 30, b"\x0c\0\0\0\x01\x01\0\0\0"],
)
def test_a_batch_that_isnt_what_it_says_is_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptRecordError):
        unpack(Unpacker(), [Batch(0, 0, 1, data)])


ZEROS = bytes(MAX_BATCH_BYTES + 1)


@pytest.mark.parametrize(
    "batch",
    [
        Batch(7, 8, 2, gzip.compress(ZEROS, 1), 1),
        Batch(7, 8, 2, bytes(cramjam.snappy.compress_raw(ZEROS)), 2),
        Batch(7, 8, 2, snappy_encode(ZEROS), 2),
        Batch(7, 8, 2, lz4_encode(ZEROS, 1), 3),
        Batch(7, 8, 2, zstd_encode(ZEROS, 1), 4),
        Batch(7, 8, 2, ZEROS),
        Batch(7, 8, 2, b"\x82SNAPPY\0" + b"\xff" * 20, 2),
        *(Batch(7, 8, 2, b"junk", codec) for codec in (1, 2, 3, 4)),
    ],
    ids=lambda batch: f"{batch.codec}-{len(batch.data)}",
)
def test_a_batch_that_expands_beyond_all_measure_is_refused_and_takes_no_memory(batch: Batch) -> None:
    unpacker = Unpacker()
    tracemalloc.start()
    with pytest.raises(BatchError, match="offsets 7 to 8 can't be uncompressed to 64 MiB"):
        unpacker.add(batch)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    # It holds what it had before, and takes more.
    assert unpack(unpacker, [Batch(0, 0, 1, b"\x0c\0\0\0\x01\0\0")]) == [b""]
