"""Collects single readings into blocks, pure: what many devices say of an interval becomes a block of each unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, tzinfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.block import DAYS_S, INTERVALS_S, Block
from grid.channels import IMPORT, MEASURED, Values
from grid.errors import Reason, Rejection
from grid.model import UnitKind
from grid.places import UnitPlaces
from grid.quality import MISSING_WH, Quality
from grid.topics import TELEMETRY_READING
from ingest.decode_reading import MAX_LINES, Reading, decode_record
from ingest.place_table import NOWHERE, PlaceTable
from ingest.reading_kernel import MINUTE_SHIFT, OTHER, ROW_BITS, TAKEN, UNKNOWN, read_common

#: Who sent the blocks that are made here; no account has such a name.
SENDER = f"kafka:{TELEMETRY_READING}"

_LENGTHS_S = np.array((*INTERVALS_S, *DAYS_S), np.int64)
_KINDS = {int(length): n for n, length in enumerate(_LENGTHS_S)}
_MINUTE_US = 60_000_000
#: The end of the interval that `warm_collector` takes.
_WARM_US = 1_780_272_000_000_000
#: What is refused for one reason goes on together, a line each, up to so many readings and bytes.
_BUNDLE, _BUNDLE_BYTES = MAX_LINES, 256 << 10

Bytes = NDArray[np.uint8]
Longs = NDArray[np.int64]


class Collector:
    """Readings that wait for others of their unit and interval, and the places that their meters have.

    Parameters
    ----------
    places
        Where meters are read.
    zone
        The utility's time zone, in which its days begin.
    """

    def __init__(self, places: Iterable[UnitPlaces], zone: tzinfo) -> None:
        self._zone = zone
        self._table = PlaceTable.of(places)
        # Of each poll: keys, sequences, and values by channel, of those that any of its readings has.
        self._keys: list[Longs] = []
        self._sequences: list[Longs] = []
        self._values: list[dict[str, Longs]] = []
        self._received_us = 0
        #: Readings that wait.
        self.held = 0
        #: Readings that had another form than the common one.
        self.uncommon = 0
        #: Readings refused, by reason.
        self.refused: Counter[str] = Counter()

    def place(self, places: Iterable[UnitPlaces]) -> None:
        """Take newer places; nothing may be held, since it has its place by the older ones."""
        if self.held:
            raise RuntimeError("readings are held")
        self._table = PlaceTable.of(places)

    def take(self, data: Bytes, begins: Longs, ends: Longs, received_us: int) -> list[Rejection]:
        """Keep what n records at `begins` to `ends` of `data` say; returns what is refused."""
        n = len(begins)
        code_at, code_end, observed_us, kind, sequence = (np.zeros(n, np.int64) for _ in range(5))
        values = np.empty((len(MEASURED), n), np.int64)
        status = np.empty(n, np.uint8)
        read_common(
            data, begins, ends, received_us, code_at, code_end, observed_us, kind, sequence, values, status
        )  # fmt: skip
        row = self._table.rows(data, code_at, code_end, observed_us, _LENGTHS_S[kind] * 1_000_000)
        status[(status == TAKEN) & (row == NOWHERE)] = UNKNOWN
        self._received_us = received_us
        taken = np.flatnonzero(status == TAKEN)
        # A copy of the readings that are left, where it isn't all of them.
        some = slice(None) if len(taken) == n else taken
        self._keep(observed_us[some], kind[some], row[some], sequence[some], values[:, some])
        others = np.flatnonzero(status == OTHER).tolist()
        self.uncommon += len(others)

        def rejections() -> Iterator[Rejection]:
            for i in np.flatnonzero(status == UNKNOWN).tolist():
                code = data[code_at[i] : code_end[i]].tobytes().decode()
                yield _unknown(code, data[begins[i] : ends[i]].tobytes())
            readings: list[tuple[Reading, bytes]] = []
            for i in others:
                found, refused = decode_record(data[begins[i] : ends[i]].tobytes(), received_us, self._zone)
                readings += found
                yield from refused
            yield from self._keep_decoded(readings)

        return bundled(self._counted(rejections()))

    def _counted(self, rejections: Iterable[Rejection]) -> Iterator[Rejection]:
        for rejection in rejections:
            self.refused[rejection.reason.value] += 1
            yield rejection

    def _keep_decoded(self, readings: Sequence[tuple[Reading, bytes]]) -> list[Rejection]:
        """Keep readings that were decoded one by one; refuses those whose meters have no place."""
        if not readings:
            return []
        # A lone surrogate, which JSON can name, is in no code of the model.
        codes = [reading.meter.encode("utf-8", "replace") for reading, _ in readings]
        ends = np.cumsum([len(code) for code in codes])
        begins = ends - [len(code) for code in codes]
        of_all = [reading for reading, _ in readings]
        observed_us = np.array([reading.observed_at_us for reading in of_all], np.int64)
        kind = np.array([_KINDS[reading.interval_s] for reading in of_all], np.int64)
        sequence = np.array([reading.sequence for reading in of_all], np.int64)
        values = np.array([reading.values for reading in of_all], np.int64).T
        text = np.frombuffer(b"".join(codes), np.uint8)
        row = self._table.rows(text, begins, ends, observed_us, _LENGTHS_S[kind] * 1_000_000)
        there = row != NOWHERE
        self._keep(observed_us[there], kind[there], row[there], sequence[there], values[:, there])
        return [_unknown(of_all[i].meter, readings[i][1]) for i in np.flatnonzero(~there).tolist()]

    def _keep(self, observed_us: Longs, kind: Longs, row: Longs, sequence: Longs, values: Longs) -> None:
        if not len(row):
            return
        self._keys.append(observed_us // _MINUTE_US << MINUTE_SHIFT | kind << ROW_BITS | row)
        self._sequences.append(sequence)
        there = (values != MISSING_WH).any(axis=1)
        self._values.append({name: values[n] for n, name in enumerate(MEASURED) if there[n]})
        self.held += len(row)

    def drop(self) -> None:
        """Forget what is held: it comes again."""
        self._keys, self._sequences, self._values, self.held = [], [], [], 0

    def blocks(self) -> list[tuple[Block, UnitKind]]:
        """All that is held, a block of each unit and interval; more where a meter says different things of one."""
        if not self.held:
            return []
        keys, sequence = np.concatenate(self._keys), np.concatenate(self._sequences)
        sizes = [len(part) for part in self._keys]
        names = [name for name in MEASURED if any(name in part for part in self._values)]
        values = {
            name: np.concatenate(
                [
                    part[name] if name in part else np.full(size, MISSING_WH)
                    for part, size in zip(self._values, sizes, strict=True)
                ]
            )
            for name in names
        }
        self.drop()
        order = np.argsort(keys)
        keys, sequence = keys[order], sequence[order]
        values = {name: column[order] for name, column in values.items()}
        again = keys[1:] == keys[:-1]
        if not again.any():
            return self._cut(keys, sequence, values, np.zeros(len(keys), np.int64))
        return self._cut(*_merged(keys, sequence, values))

    def _cut(self, keys: Longs, sequence: Longs, values: dict[str, Longs], turn: Longs) -> list[tuple[Block, UnitKind]]:
        """Blocks of readings in the order of their keys; those of one key differ in their turn."""
        if turn.any():
            order = np.lexsort((keys, turn))
            keys, sequence, turn = keys[order], sequence[order], turn[order]
            values = {name: column[order] for name, column in values.items()}
        row = keys & ((1 << ROW_BITS) - 1)
        unit = self._table.unit_of[row]
        interval = keys >> ROW_BITS
        differs = (interval[1:] != interval[:-1]) | (unit[1:] != unit[:-1]) | (turn[1:] != turn[:-1])
        begins = np.concatenate(([0], np.flatnonzero(differs) + 1))
        meters = self._table.meters.take(row)
        missing = values[IMPORT] == MISSING_WH if IMPORT in values else np.ones(len(keys), np.bool_)
        quality = np.where(missing, np.uint8(Quality.MISSING), np.uint8(Quality.VALID))
        there = {name: np.maximum.reduceat(column, begins) != MISSING_WH for name, column in values.items()}
        columns: dict[str, Values] = {
            name: np.where(column == MISSING_WH, MEASURED[name].missing, column).astype(MEASURED[name].dtype)
            for name, column in values.items()
        }
        minutes, kinds = interval >> (MINUTE_SHIFT - ROW_BITS), interval & 7
        blocks = []
        for i, (begin, end) in enumerate(zip(begins.tolist(), [*begins[1:].tolist(), len(keys)], strict=True)):
            part = slice(begin, end)
            number = unit[begin]
            block = Block(
                unit=self._table.units[number],
                gateway=SENDER,
                observed_at_us=int(minutes[begin]) * _MINUTE_US,
                interval_s=int(_LENGTHS_S[kinds[begin]]),
                received_at_us=self._received_us,
                meters=meters[part],
                sequence=sequence[part],
                channels={name: column[part] for name, column in columns.items() if there[name][i]},
                quality=quality[part],
            )
            blocks.append((block, self._table.kinds[number]))
        return blocks


def _merged(keys: Longs, sequence: Longs, values: dict[str, Longs]) -> tuple[Longs, Longs, dict[str, Longs], Longs]:
    """Readings with one key and sequence made one, by the greater value of each channel as the store has it.

    And the turn of each among those of its key, which differ in their sequence.
    """
    order = np.lexsort((sequence, keys))
    keys, sequence = keys[order], sequence[order]
    new = np.concatenate(([True], (keys[1:] != keys[:-1]) | (sequence[1:] != sequence[:-1])))
    begins = np.flatnonzero(new)
    keys, sequence = keys[begins], sequence[begins]
    values = {name: np.maximum.reduceat(column[order], begins) for name, column in values.items()}
    first = np.concatenate(([True], keys[1:] != keys[:-1]))
    turn = np.arange(len(keys)) - np.flatnonzero(first)[np.cumsum(first) - 1]
    return keys, sequence, values, turn


def warm_collector() -> None:
    """Take one reading the whole way, so that what Numba compiles is there before the first one waits for it."""
    always = np.array([[-(2**60)], [2**60]], np.int64)
    meter = UnitPlaces("warm", UnitKind.AREA, pa.array(["warm"], pa.string()), *always)
    collector = Collector([meter], UTC)
    text = b'{"meter": "warm", "observed_at": "2026-06-01T00:00:00Z", "interval_s": 900, "import_wh": 1}'
    ends = np.array([len(text)], np.int64)
    collector.take(np.frombuffer(text, np.uint8), np.zeros(1, np.int64), ends, _WARM_US)
    if not collector.blocks():
        raise AssertionError("the reading is of the common form")


def _unknown(meter: str, original: bytes) -> Rejection:
    detail = f"{meter!r} is in no unit at that time"
    return Rejection(Reason.UNKNOWN_METER, detail, TELEMETRY_READING, original, (meter,))


def bundled(rejections: Iterable[Rejection]) -> list[Rejection]:
    """Rejections of one reason together, a line of the original each, in bundles of bounded size.

    What has several lines by itself, or is large, stays alone. A bundle that is full becomes one at once: of a flood
    each rejection by itself would take several times the memory.
    """
    done: list[Rejection] = []
    begun: dict[Reason, list[Rejection]] = {}
    sizes: dict[Reason, int] = {}
    for rejection in rejections:
        reason, size = rejection.reason, len(rejection.original)
        if b"\n" in rejection.original or size > _BUNDLE_BYTES:
            done.append(rejection)
            continue
        if reason in begun and (len(begun[reason]) >= _BUNDLE or sizes[reason] + size > _BUNDLE_BYTES):
            done.append(_one_of(begun.pop(reason)))
        if reason not in begun:
            begun[reason], sizes[reason] = [], 0
        begun[reason].append(rejection)
        sizes[reason] += size
    return done + [_one_of(bundle) for bundle in begun.values()]


def _one_of(bundle: Sequence[Rejection]) -> Rejection:
    first = bundle[0]
    if len(bundle) == 1:
        return first
    original = b"\n".join(rejection.original for rejection in bundle)
    meters = tuple(dict.fromkeys(meter for rejection in bundle for meter in rejection.meters))
    detail = f"{len(bundle)} readings; the first: {first.detail}"
    return Rejection(first.reason, detail, first.topic, original, meters)
