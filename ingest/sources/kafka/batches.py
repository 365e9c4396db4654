"""Kafka's record batches whole, and where the values lie in them: no Python object for each record.

kafka-python makes some ten objects of a record, which costs it more than all else that is done here for a reading. The
class that unpacks what was fetched is an attribute of its fetcher; this one hands out a batch as if it were one record.
The release is pinned, and a test takes what its own producer writes, by every codec.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cramjam
import numpy as np
from kafka import KafkaConsumer
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError, UnsupportedCodecError
from kafka.record.default_records import DefaultRecordBatch
from numba import njit
from numpy.typing import NDArray

_V2 = 2
#: What one batch may expand to, and from how much on no further one is uncompressed beside those that are.
MAX_BATCH_BYTES, _ENOUGH_BYTES = 64 << 20, 32 << 20
_PAUSE_S = 0.1
#: Java's clients write Snappy in pieces: behind a head of so many bytes, each with its length before it.
_PIECES, _HEAD = b"\x82SNAPPY\0", 16


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one batch, from offset `first` to `offset`; `data` holds all of them, compressed by `codec`."""

    first: int
    offset: int
    records: int
    data: bytes
    codec: int = DefaultRecordBatch.CODEC_NONE


class BatchError(Exception):
    """A batch can't be uncompressed, or expands to more than any producer means."""


def hand_out_batches(consumer: KafkaConsumer) -> None:
    """Have the consumer's `poll` return batches instead of records; its `max_records` then counts batches."""
    consumer._fetcher.PartitionRecords = _Batches  # noqa: SLF001  # see above


def pause_between_looks(consumer: KafkaConsumer) -> None:
    """Have the consumer wait `_PAUSE_S` before it looks again for what it has asked for.

    It wants to be back when the next heartbeat is due, which another task sends anyway. While Kafka doesn't answer the
    last one that is always now: `poll` took a whole core then, and left something with the request that is out at each
    turn, 440 MB in the 30 s for which a Kafka slept.
    """
    coordinator = consumer._coordinator  # noqa: SLF001  # see above
    until_next_s = coordinator.time_to_next_poll
    coordinator.time_to_next_poll = lambda: max(until_next_s(), _PAUSE_S)


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
            data = bytes(memoryview(batch._buffer)[batch.HEADER_STRUCT.size :])  # noqa: SLF001  # see above
            yield Batch(batch.base_offset, batch.last_offset, batch.records_count, data, batch.compression_type)
        self.drain()


class Unpacker:
    """Uncompresses batches one after another into memory that is bounded and used again."""

    def __init__(self) -> None:
        # What isn't written to costs nothing.
        self._memory = np.empty(_ENOUGH_BYTES + MAX_BATCH_BYTES, np.uint8)
        self._ends: list[int] = []
        self._counts: list[int] = []
        #: Records of the batches that are held.
        self.records = 0

    @property
    def is_full(self) -> bool:
        """Whether `values` must come before another batch."""
        return bool(self._ends) and self._ends[-1] >= _ENOUGH_BYTES

    def add(self, batch: Batch) -> None:
        """Hold what a batch has.

        Raises
        ------
        BatchError
            When it can't be uncompressed, or not to `MAX_BATCH_BYTES`.
        CorruptRecordError
            When it can't have the records that it says.
        """
        begin = self._ends[-1] if self._ends else 0
        room = self._memory.data[begin : begin + MAX_BATCH_BYTES]
        try:
            size = _uncompress(batch, room)
        except (cramjam.DecompressionError, ValueError) as error:
            raise BatchError(
                f"the batch of offsets {batch.first} to {batch.offset} can't be uncompressed to"
                f" {MAX_BATCH_BYTES >> 20} MiB: {error}"
            ) from error
        if not 0 <= batch.records <= size:
            raise CorruptRecordError("a batch doesn't have the records that it says")
        self._ends.append(begin + size)
        self._counts.append(batch.records)
        self.records += batch.records

    def values(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
        """The batches' bytes one after another, and where the value of each record begins and ends in them.

        A record without a value has an empty one. The bytes are there until the next `add`, which begins anew.

        Raises
        ------
        CorruptRecordError
            When a batch isn't what it says.
        """
        data = self._memory[: self._ends[-1] if self._ends else 0]
        batch_ends, counts = np.array(self._ends, np.int64), np.array(self._counts, np.int64)
        self._ends, self._counts, self.records = [], [], 0
        begins, ends = np.empty(counts.sum(), np.int64), np.empty(counts.sum(), np.int64)
        if _values(data, batch_ends, counts, begins, ends) != len(begins):
            raise CorruptRecordError("a batch doesn't have the records that it says")
        return data, begins, ends


def _uncompress(batch: Batch, room: memoryview) -> int:
    """Bytes of a batch, written to the beginning of `room`; raises where there is none for all of them."""
    data, kind = batch.data, batch.codec
    if kind == DefaultRecordBatch.CODEC_NONE:
        room[: len(data)] = data
        return len(data)
    if kind == DefaultRecordBatch.CODEC_GZIP:
        return int(cramjam.gzip.decompress_into(data, room))
    if kind == DefaultRecordBatch.CODEC_LZ4:
        return int(cramjam.lz4.decompress_into(data, room))
    if kind == DefaultRecordBatch.CODEC_ZSTD:
        return int(cramjam.zstd.decompress_into(data, room))
    if kind != DefaultRecordBatch.CODEC_SNAPPY:
        raise UnsupportedCodecError(f"compression {kind} isn't known")
    if not data.startswith(_PIECES):
        return int(cramjam.snappy.decompress_raw_into(data, room))
    size, at = 0, _HEAD
    while at < len(data):
        begin = at + 4
        at = begin + int.from_bytes(data[at:begin], "big")
        size += int(cramjam.snappy.decompress_raw_into(data[begin:at], room[size:]))
    return size


def warm_batches() -> None:
    """Find the value of one record, so that what Numba compiles is there before the first one waits for it."""
    unpacker = Unpacker()
    unpacker.add(Batch(0, 0, 1, b"\x0c\0\0\0\x01\0\0"))
    unpacker.values()


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
