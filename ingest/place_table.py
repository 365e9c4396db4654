"""Places of meters by the bytes of their code, asked for a hundred thousand times a poll."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from grid.model import GREATER_KINDS, UnitKind
from grid.places import UnitPlaces

#: No place.
NOWHERE = -1

_CODE_AT, _CODE_END, _FROM, _TO, _NEXT, _RANK, _FIELDS = range(7)


@dataclass(frozen=True, slots=True, eq=False)
class PlaceTable:
    """A row for each stay of a meter in a unit, unit after unit; rows by a hash of the meter's code.

    Memory grows with the meters of the grid model, whatever is asked for: some 80 bytes a stay and its code.

    Attributes
    ----------
    units, kinds
        Codes and kinds of the units.
    unit_of
        int32 of shape (rows,): which of them.
    meters
        Codes of the meters, an Arrow string array of as many rows.
    """

    units: tuple[str, ...]
    kinds: tuple[UnitKind, ...]
    unit_of: NDArray[np.int32]
    meters: pa.StringArray
    _codes: NDArray[np.uint8]
    _stays: NDArray[np.int64]
    _slots: NDArray[np.int32]

    @classmethod
    def of(cls, places: Iterable[UnitPlaces]) -> PlaceTable:
        """The table of some units."""
        units = list(places)
        sizes = [len(unit.meters) for unit in units]
        meters = pa.concat_arrays([unit.meters for unit in units]) if units else pa.array([], pa.string())
        _, offsets, codes = meters.buffers()
        rows = len(meters)
        code_at = np.frombuffer(offsets, np.int32, rows + 1).astype(np.int64) if rows else np.zeros(1, np.int64)
        text = np.frombuffer(codes, np.uint8) if codes is not None and codes.size else np.zeros(1, np.uint8)
        # A row's fields lie side by side: at random, each array would be a miss of the cache.
        stays = np.empty((rows, _FIELDS), np.int64)
        stays[:, _CODE_AT], stays[:, _CODE_END], stays[:, _NEXT] = code_at[:-1], code_at[1:], NOWHERE
        if units:
            stays[:, _FROM] = np.concatenate([unit.from_us for unit in units])
            stays[:, _TO] = np.concatenate([unit.to_us for unit in units])
            # Of two units that have a meter at once, the one that it is read for; the worker tells the other.
            stays[:, _RANK] = np.repeat([unit.kind in GREATER_KINDS for unit in units], sizes)
        slots = np.full(1 << max(4, (2 * rows).bit_length()), NOWHERE, np.int32)
        _insert(text, stays, slots)
        return cls(
            units=tuple(unit.unit for unit in units),
            kinds=tuple(unit.kind for unit in units),
            unit_of=np.repeat(np.arange(len(units), dtype=np.int32), sizes),
            meters=meters,
            _codes=text,
            _stays=stays,
            _slots=slots,
        )

    def __len__(self) -> int:
        return len(self.unit_of)

    def rows(
        self,
        data: NDArray[np.uint8],
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        observed_us: NDArray[np.int64],
        interval_us: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Rows of the meters whose codes lie at `begins` to `ends` of `data`, over intervals; `NOWHERE` for none.

        A meter belongs where it is at the interval's end, or else where it was last within it: what others that had it
        in the interval must be told of it is the worker's to say.
        """
        found = np.empty(len(begins), np.int64)
        _find(data, begins, ends, observed_us, interval_us, found, self._codes, self._stays, self._slots)
        return found


@njit(cache=True, nogil=True, inline="always")
def _hash(data, begin, end):  # type: ignore[no-untyped-def]  # numba infers
    """FNV-1a."""
    h = np.uint64(14_695_981_039_346_656_037)
    for i in range(begin, end):
        h = (h ^ np.uint64(data[i])) * np.uint64(1_099_511_628_211)
    return h ^ (h >> np.uint64(32))


@njit(cache=True, nogil=True, inline="always")
def _same(a, a_at, a_end, b, b_at, b_end):  # type: ignore[no-untyped-def]  # numba infers
    if a_end - a_at != b_end - b_at:
        return False
    for i in range(a_end - a_at):  # noqa: SIM110  # a loop is what numba compiles
        if a[a_at + i] != b[b_at + i]:
            return False
    return True


@njit(cache=True, nogil=True)
def _insert(codes, stays, slots):  # type: ignore[no-untyped-def]  # numba infers
    mask = np.uint64(len(slots) - 1)
    for row in range(len(stays)):
        begin, end = stays[row, _CODE_AT], stays[row, _CODE_END]
        slot = _hash(codes, begin, end) & mask
        while slots[slot] >= 0:
            there = slots[slot]
            if _same(codes, stays[there, _CODE_AT], stays[there, _CODE_END], codes, begin, end):
                stays[row, _NEXT] = there
                break
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = row


@njit(cache=True, nogil=True)
def _find(  # type: ignore[no-untyped-def]  # numba infers
    data, begins, ends, observed_us, interval_us, found, codes, stays, slots
):
    mask = np.uint64(len(slots) - 1)
    n = len(begins)
    # Step by step for all: each step waits for memory, and many of one kind wait together.
    slot = np.empty(n, np.uint64)
    for i in range(n):
        slot[i] = _hash(data, begins[i], ends[i]) & mask
    for i in range(n):
        found[i] = slots[slot[i]]
    first = np.empty(n, np.int64)
    for i in range(n):
        first[i] = stays[max(found[i], 0), _CODE_AT] if len(stays) else 0
    for i in range(n):
        first[i] = codes[first[i]] if first[i] < len(codes) else 0
    for i in range(n):
        begin, end, at = begins[i], ends[i], slot[i]
        row = found[i]
        found[i] = NOWHERE
        while row >= 0:
            if _same(codes, stays[row, _CODE_AT], stays[row, _CODE_END], data, begin, end):
                found[i] = _stay(stays, row, observed_us[i] - interval_us[i], observed_us[i])
                break
            at = (at + np.uint64(1)) & mask
            row = np.int64(slots[at])


@njit(cache=True, nogil=True)
def _stay(stays, row, begin_us, end_us):  # type: ignore[no-untyped-def]  # numba infers
    best, best_us, best_rank = np.int64(NOWHERE), np.int64(0), np.int64(0)
    while row >= 0:
        # The interval is (begin, end]: a stay that begins at its end has no part of it.
        if stays[row, _FROM] < end_us and stays[row, _TO] > begin_us:
            until_us = min(stays[row, _TO], end_us)
            rank = stays[row, _RANK]
            if best < 0 or until_us > best_us or (until_us == best_us and rank < best_rank):
                best, best_us, best_rank = row, until_us, rank
        row = stays[row, _NEXT]
    return best
