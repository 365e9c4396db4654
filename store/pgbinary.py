"""PostgreSQL's binary COPY format, made from flat arrays: no Python per value.

One-dimensional arrays are laid out as ndim, has-null flag, element oid, length, lower bound and then (length, value)
pairs, all big-endian (PostgreSQL, ``src/backend/utils/adt/arrayfuncs.c``, ``array_recv``).
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
TRAILER = struct.pack(">h", -1)

#: Microseconds from 1970 to 2000, PostgreSQL's epoch.
EPOCH_US = 946_684_800_000_000

_INT8_OID = 20
_INT2_OID = 21
_INT8_ELEMENT = np.dtype([("length", ">i4"), ("value", ">i8")])
_INT2_ELEMENT = np.dtype([("length", ">i4"), ("value", ">i2")])
#: Element type on the server, its oid and its layout, by the type of a NumPy array.
_ELEMENTS: dict[np.dtype[Any], tuple[int, np.dtype[Any]]] = {
    np.dtype(np.int64): (_INT8_OID, _INT8_ELEMENT),
    np.dtype(np.int16): (_INT2_OID, _INT2_ELEMENT),
    np.dtype(np.int32): (23, np.dtype([("length", ">i4"), ("value", ">i4")])),
    np.dtype(np.float64): (701, np.dtype([("length", ">i4"), ("value", ">f8")])),
}
_TYPES = {oid: (native, element) for native, (oid, element) in _ELEMENTS.items()}
_ARRAY_HEAD = struct.Struct(">iiiiii")


def oid_of(native: np.dtype[Any]) -> int:
    """The server's number of the type of a NumPy array's elements."""
    return _ELEMENTS[native][0]


class ArrayColumn:
    """A flat array whose slices become values of a ``bigint[]``, ``smallint[]``, ``integer[]`` or ``float8[]`` column.

    Parameters
    ----------
    flat
        int64, int16, int32 or float64 of shape (m,).
    """

    def __init__(self, flat: NDArray[np.int64] | NDArray[np.int16] | NDArray[np.int32] | NDArray[np.float64]) -> None:
        self._oid, element = _ELEMENTS[flat.dtype]
        self._step = element.itemsize
        out = np.empty(len(flat), dtype=element)
        out["length"] = flat.dtype.itemsize
        out["value"] = flat
        self._bytes = out.tobytes()

    def field(self, start: int, stop: int) -> bytes:
        """The slice as a field of a COPY row, with its length word."""
        size = stop - start
        body = size * self._step
        return (
            _ARRAY_HEAD.pack(20 + body, 1, 0, self._oid, size, 1) + self._bytes[start * self._step : stop * self._step]
        )


def parse_array(
    data: bytes | memoryview,
) -> NDArray[np.int64] | NDArray[np.int16] | NDArray[np.int32] | NDArray[np.float64]:
    """Values of a one-dimensional array of integers or ``float8`` without NULLs, from its binary form."""
    dimensions, has_null, oid = struct.unpack_from(">iii", data)
    if oid not in _TYPES or dimensions > 1 or has_null:
        raise ValueError(f"not a plain array of numbers: {dimensions} dimensions, element oid {oid}")
    native, element = _TYPES[oid]
    if dimensions == 0:
        return np.empty(0, native)
    return np.frombuffer(data, dtype=element, offset=20)["value"].astype(native)
