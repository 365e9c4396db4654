"""Buffers for COPY against the same rows written field by field."""

import struct

import numpy as np

from store.pgcopy import Arrays, Bytes, Column, Nulls, Values, copy_data

_HEAD, _TAIL = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"


def field(data: bytes | None) -> bytes:
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


def array(values: list[int], oid: int, code: str) -> bytes:
    elements = b"".join(field(struct.pack(">" + code, value)) for value in values)
    return struct.pack(">iiiii", 1, 0, oid, len(values), 1) + elements


def test_every_kind_of_column() -> None:
    starts = np.array([0, 3, 3, 4])
    wide = np.array([1, -(2**63), 2**63 - 1, -2], np.int64)
    narrow = np.array([258, -32_768, 0, 7], np.int16)
    columns: list[Column] = [
        Values(np.array([1, -2, 2**31 - 1], np.int32)),
        Values(np.array([0.5, np.nan, -1.25]), np.array([False, True, False])),
        Values(np.array([True, False, True])),
        Values(np.array([b"high", b"normal", b""])),
        Arrays(wide, starts),
        Arrays(narrow, starts, np.array([True, True, False])),
        Nulls(3),
        Bytes(np.array([1, 2, 255, 0], np.uint8), starts),
    ]
    rows = [
        [
            struct.pack(">i", 1),
            struct.pack(">d", 0.5),
            b"\1",
            b"high",
            array([1, -(2**63), 2**63 - 1], 20, "q"),
            array([258, -32_768, 0], 21, "h"),
            None,
            b"\1\2\xff",
        ],
        [struct.pack(">i", -2), None, b"\0", b"normal", array([], 20, "q"), array([], 21, "h"), None, b""],
        [struct.pack(">i", 2**31 - 1), struct.pack(">d", -1.25), b"\1", b"", array([-2], 20, "q"), None, None, b"\0"],
    ]
    for some in ([0, 1, 2], [2, 0], [1], []):
        wanted = b"".join(struct.pack(">h", 8) + b"".join(map(field, rows[r])) for r in some)
        assert bytes(copy_data(columns, np.array(some, np.intp))) == _HEAD + wanted + _TAIL
