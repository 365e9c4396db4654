"""Rows of PostgreSQL's binary COPY, written a column at a time into one buffer by compiled loops.

The format is big-endian (PostgreSQL, ``COPY``, *Binary Format*): a row is its number of fields and then each field with
its length, −1 for NULL. Of arrays see `store.pgbinary`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from store.pgbinary import HEADER, TRAILER, oid_of

_NULL = -1
#: Bytes of an array before its elements.
_ARRAY_HEAD = 20


class Column(Protocol):
    """One column of many rows."""

    def sizes(self) -> NDArray[np.int64]:
        """Bytes of each row's field, of shape (k,); −1 = NULL."""

    def write(self, out: NDArray[np.uint8], at: NDArray[np.int64], rows: NDArray[np.intp]) -> None:
        """Write the fields of some rows at `at`, of their shape, which is moved behind them."""


class Values:
    """Numbers, truth values, or texts of ASCII (of a NumPy type ``S``), one a row.

    Parameters
    ----------
    values
        Of shape (k,).
    null
        bool of shape (k,): which are NULL; None = none is.
    """

    def __init__(self, values: NDArray[Any], null: NDArray[np.bool_] | None = None) -> None:
        if values.dtype.kind == "S":
            sizes = np.char.str_len(values).astype(np.int64)
        else:
            sizes = np.full(len(values), values.dtype.itemsize, np.int64)
        self._sizes = sizes if null is None else np.where(null, _NULL, sizes)
        raw = np.ascontiguousarray(values.astype(values.dtype.newbyteorder(">")))
        self._bytes = raw.view(np.uint8).reshape(len(values), values.dtype.itemsize)

    def sizes(self) -> NDArray[np.int64]:
        return self._sizes

    def write(self, out: NDArray[np.uint8], at: NDArray[np.int64], rows: NDArray[np.intp]) -> None:
        _write_values(out, at, rows, self._sizes, self._bytes)


class Arrays:
    """Parts of a flat array, one a row, as one-dimensional arrays of the server.

    Parameters
    ----------
    flat
        int64 or int16 of shape (m,).
    starts
        int64 of shape (k + 1,): row r has the elements starts[r]:starts[r + 1].
    there
        bool of shape (k,): rows that have the array; the others have NULL. None = all.
    """

    def __init__(
        self,
        flat: NDArray[np.int64] | NDArray[np.int16],
        starts: NDArray[np.int64],
        there: NDArray[np.bool_] | None = None,
    ) -> None:
        self._flat, self._starts = flat, starts
        sizes = _ARRAY_HEAD + np.diff(starts) * (4 + flat.itemsize)
        self._sizes = sizes if there is None else np.where(there, sizes, _NULL)

    def sizes(self) -> NDArray[np.int64]:
        return self._sizes

    def write(self, out: NDArray[np.uint8], at: NDArray[np.int64], rows: NDArray[np.intp]) -> None:
        _write_arrays(out, at, rows, self._sizes, self._flat, self._starts, oid_of(self._flat.dtype))


class Bytes:
    """Parts of a flat array of bytes, one a row; `starts` as of `Arrays`."""

    def __init__(self, flat: NDArray[np.uint8], starts: NDArray[np.int64]) -> None:
        self._flat, self._starts = flat, starts

    def sizes(self) -> NDArray[np.int64]:
        return np.diff(self._starts)

    def write(self, out: NDArray[np.uint8], at: NDArray[np.int64], rows: NDArray[np.intp]) -> None:
        _write_bytes(out, at, rows, self._flat, self._starts)


class Nulls:
    """A column of which all `k` rows have nothing."""

    def __init__(self, k: int) -> None:
        self._sizes = np.full(k, _NULL, np.int64)
        self._bytes = np.empty((k, 0), np.uint8)

    def sizes(self) -> NDArray[np.int64]:
        return self._sizes

    def write(self, out: NDArray[np.uint8], at: NDArray[np.int64], rows: NDArray[np.intp]) -> None:
        _write_values(out, at, rows, self._sizes, self._bytes)


def copy_data(columns: Sequence[Column], rows: NDArray[np.intp]) -> memoryview:
    """All that COPY is sent for some rows, in their order."""
    sizes = np.full(len(rows), 2, np.int64)
    for column in columns:
        sizes += 4 + np.maximum(column.sizes()[rows], 0)
    ends = len(HEADER) + np.cumsum(sizes)
    out = np.empty((int(ends[-1]) if len(rows) else len(HEADER)) + len(TRAILER), np.uint8)
    out[: len(HEADER)] = np.frombuffer(HEADER, np.uint8)
    out[-len(TRAILER) :] = np.frombuffer(TRAILER, np.uint8)
    at = ends - sizes
    _write_counts(out, at, len(columns))
    for column in columns:
        column.write(out, at, rows)
    return out.data


@njit(cache=True, nogil=True, inline="always")
def _put32(out, p, value):  # type: ignore[no-untyped-def]  # numba infers
    # Unsigned: an index that can't be negative isn't checked for it, and four neighbours become one store.
    out[p] = np.uint8(value >> 24)
    out[p + np.uint64(1)] = np.uint8(value >> 16)
    out[p + np.uint64(2)] = np.uint8(value >> 8)
    out[p + np.uint64(3)] = np.uint8(value)


@njit(cache=True, nogil=True)
def _write_counts(out, at, fields):  # type: ignore[no-untyped-def]
    for j in range(len(at)):
        out[at[j]] = np.uint8(fields >> 8)
        out[at[j] + 1] = np.uint8(fields)
        at[j] += 2


@njit(cache=True, nogil=True)
def _write_values(out, at, rows, sizes, data):  # type: ignore[no-untyped-def]
    for j in range(len(rows)):
        size = sizes[rows[j]]
        _put32(out, np.uint64(at[j]), size)
        at[j] += 4
        for b in range(size):
            out[at[j] + b] = data[rows[j], b]
        at[j] += max(size, 0)


@njit(cache=True, nogil=True)
def _write_bytes(out, at, rows, flat, starts):  # type: ignore[no-untyped-def]
    for j in range(len(rows)):
        begin, end = starts[rows[j]], starts[rows[j] + 1]
        _put32(out, np.uint64(at[j]), end - begin)
        at[j] += 4
        out[at[j] : at[j] + end - begin] = flat[begin:end]
        at[j] += end - begin


@njit(cache=True, nogil=True)
def _write_arrays(out, at, rows, sizes, flat, starts, oid):  # type: ignore[no-untyped-def]
    width = flat.itemsize
    for j in range(len(rows)):
        size = sizes[rows[j]]
        p = np.uint64(at[j])
        at[j] += 4 + max(size, 0)
        _put32(out, p, size)
        if size < 0:
            continue
        begin, end = starts[rows[j]], starts[rows[j] + 1]
        # Dimensions, no NULL inside, type, length, first index.
        for field in (1, 0, oid, end - begin, 1):
            p += np.uint64(4)
            _put32(out, p, field)
        p += np.uint64(4)
        for i in range(np.uint64(begin), np.uint64(end)):
            value = np.int64(flat[i])
            _put32(out, p, width)
            p += np.uint64(4)
            if width == 8:
                _put32(out, p, value >> 32)
                p += np.uint64(4)
                _put32(out, p, value)
                p += np.uint64(4)
            else:
                out[p] = np.uint8(value >> 8)
                out[p + np.uint64(1)] = np.uint8(value)
                p += np.uint64(2)
