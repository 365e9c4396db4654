"""Kafka's record batches whole, and where the values lie in them: no Python object for each record.

kafka-python makes some ten objects of a record, which costs it more than all else that is done here for a reading. The
class that unpacks what was fetched is an attribute of its fetcher; this one hands out a batch as if it were one record.
The release is pinned, and a test takes what its own producer writes, by every codec.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from aiokafka import codec
from kafka import KafkaConsumer
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError, UnsupportedCodecError
from kafka.record.default_records import DefaultRecordBatch
from numba import njit
from numpy.typing import NDArray

_V2 = 2
_DECOMPRESS = {
    DefaultRecordBatch.CODEC_GZIP: codec.gzip_decode,
    DefaultRecordBatch.CODEC_SNAPPY: codec.snappy_decode,
    DefaultRecordBatch.CODEC_LZ4: codec.lz4_decode,
    DefaultRecordBatch.CODEC_ZSTD: codec.zstd_decode,
}


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one batch, from offset `first` to `offset`; `data` holds all of them, uncompressed."""

    first: int
    offset: int
    records: int
    data: bytes


def hand_out_batches(consumer: KafkaConsumer) -> None:
    """Have the consumer's `poll` return batches instead of records; its `max_records` then counts batches."""
    consumer._fetcher.PartitionRecords = _Batches  # noqa: SLF001  # see above


class _Batches(Fetcher.PartitionRecords):  # type: ignore[misc]  # kafka-python has no types
    def _unpack_records(self, tp: Any, records: Any, _key: Any, _value: Any) -> Iterator[Batch]:
        while (batch := records.next_batch()) is not None:
            if batch.magic != _V2 or (self.check_crcs and not batch.validate_crc()):
                raise CorruptRecordError(f"a batch of {tp} from offset {batch.base_offset} can't be read")
            self.leader_epoch = batch.leader_epoch
            self.next_fetch_offset = batch.next_offset
            if batch.is_control_batch:
                continue
            self.records_read += batch.records_count
            self.bytes_read += batch.size_in_bytes
            yield Batch(batch.base_offset, batch.last_offset, batch.records_count, _uncompressed(batch))
        self.drain()


def _uncompressed(batch: Any) -> bytes:
    data = memoryview(batch._buffer)[batch.HEADER_STRUCT.size :]  # noqa: SLF001  # see above
    kind = batch.compression_type
    if kind == DefaultRecordBatch.CODEC_NONE:
        return bytes(data)
    if kind not in _DECOMPRESS:
        raise UnsupportedCodecError(f"compression {kind} isn't known")
    return bytes(_DECOMPRESS[kind](bytes(data)))


def values_of(batches: Sequence[Batch]) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """The batches' bytes one after another, and where the value of each record begins and ends in them.

    A record without a value has an empty one.

    Raises
    ------
    CorruptRecordError
        When a batch isn't what it says.
    """
    data = np.frombuffer(b"".join(batch.data for batch in batches), np.uint8)
    counts = np.array([batch.records for batch in batches], np.int64)
    sizes = np.array([len(batch.data) for batch in batches], np.int64)
    begins, ends = np.empty(counts.sum(), np.int64), np.empty(counts.sum(), np.int64)
    if _values(data, np.cumsum(sizes), counts, begins, ends) != len(begins):
        raise CorruptRecordError("a batch doesn't have the records that it says")
    return data, begins, ends


def warm_batches() -> None:
    """Find the value of one record, so that what Numba compiles is there before the first one waits for it."""
    values_of([Batch(0, 0, 1, b"\x0c\0\0\0\x01\0\0")])


@njit(cache=True, nogil=True)
def _values(data, batch_ends, counts, begins, ends):  # type: ignore[no-untyped-def]  # numba infers
    n = 0
    p = 0
    for b in range(len(counts)):
        limit = batch_ends[b]
        for _ in range(counts[b]):
            size, p = _varint(data, p, limit)
            end = p + size
            if p < 0 or size < 0 or end > limit:
                return -1
            p += 1  # attributes
            for _ in range(2):  # differences of time and offset
                _, p = _varint(data, p, end)
            key, p = _varint(data, p, end)
            if p < 0:
                return -1
            value, p = _varint(data, p + max(key, 0), end)
            if p < 0 or p + value > end:
                return -1
            begins[n], ends[n] = p, p + max(value, 0)
            n += 1
            p = end
        if p != limit:
            return -1
    return n


@njit(cache=True, nogil=True)
def _varint(data, p, end):  # type: ignore[no-untyped-def]  # numba infers
    """A zigzag number and where it ends; −1 there where it isn't whole."""
    number = np.uint64(0)
    shift = np.uint64(0)
    while 0 <= p < end and shift < 64:
        byte = np.uint64(data[p])
        p += 1
        number |= (byte & np.uint64(127)) << shift
        if byte < 128:
            return np.int64(number >> np.uint64(1)) ^ -np.int64(number & np.uint64(1)), p
        shift += np.uint64(7)
    return np.int64(0), -1
