"""PostgreSQL's binary COPY format, made from flat arrays: no Python per value.

One-dimensional arrays are laid out as ndim, has-null flag, element oid, length, lower bound and then (length, value)
pairs, all big-endian (PostgreSQL, ``src/backend/utils/adt/arrayfuncs.c``, ``array_recv``).
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
TRAILER = struct.pack(">h", -1)
NULL = struct.pack(">i", -1)

#: Microseconds from 1970 to 2000, PostgreSQL's epoch.
EPOCH_US = 946_684_800_000_000

_INT8_OID = 20
_INT2_OID = 21
_INT8_ELEMENT = np.dtype([("length", ">i4"), ("value", ">i8")])
_INT2_ELEMENT = np.dtype([("length", ">i4"), ("value", ">i2")])
_ARRAY_HEAD = struct.Struct(">iiiiii")


class ArrayColumn:
    """A flat array whose slices become values of a ``bigint[]`` or ``smallint[]`` column.

    Parameters
    ----------
    flat
        int64 or int16 of shape (m,).
    """

    def __init__(self, flat: NDArray[np.int64] | NDArray[np.int16]) -> None:
        wide = flat.dtype == np.int64
        element = _INT8_ELEMENT if wide else _INT2_ELEMENT
        self._oid = _INT8_OID if wide else _INT2_OID
        self._step = element.itemsize
        out = np.empty(len(flat), dtype=element)
        out["length"] = 8 if wide else 2
        out["value"] = flat
        self._bytes = out.tobytes()

    def field(self, start: int, stop: int) -> bytes:
        """The slice as a field of a COPY row, with its length word."""
        size = stop - start
        body = size * self._step
        return (
            _ARRAY_HEAD.pack(20 + body, 1, 0, self._oid, size, 1) + self._bytes[start * self._step : stop * self._step]
        )


def parse_array(data: bytes | memoryview) -> NDArray[np.int64] | NDArray[np.int16]:
    """Values of a one-dimensional ``bigint[]`` or ``smallint[]`` without NULLs, from its binary form."""
    dimensions, has_null, oid = struct.unpack_from(">iii", data)
    wide = oid == _INT8_OID
    if dimensions == 0:
        return np.empty(0, np.int64) if wide else np.empty(0, np.int16)
    if dimensions != 1 or has_null or oid not in (_INT8_OID, _INT2_OID):
        raise ValueError(f"not a plain integer array: {dimensions} dimensions, element oid {oid}")
    if wide:
        return np.frombuffer(data, dtype=_INT8_ELEMENT, offset=20)["value"].astype(np.int64)
    return np.frombuffer(data, dtype=_INT2_ELEMENT, offset=20)["value"].astype(np.int16)
