"""The contract of every detector that is folded day by day or interval by interval, and how its state is kept.

A detector is three things: `init(meters)`, `update(state, batch)` and a state, a frozen dataclass of arrays. `update`
gives a new state and what can be said at that time; it changes nothing that it was given. So the same batches in the
same order give the same bytes, what was said is never changed by what comes later, and late data are taken in by
folding again from a stored state. tests/unit/test_detectors.py holds all detectors to that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Protocol, TypeVar

import numpy as np

_MAGIC = b"MLDS"
_MAX_HEADER = 65_536

State = TypeVar("State")
Batch_contra = TypeVar("Batch_contra", contravariant=True)
Said_co = TypeVar("Said_co", covariant=True)


class Detector(Protocol[State, Batch_contra, Said_co]):
    """What keeps a state for some meters and says something of them after each batch."""

    def init(self, meters: int) -> State:
        """State of meters of which nothing was seen."""
        ...

    def update(self, state: State, batch: Batch_contra) -> tuple[State, Said_co]:
        """Fold one batch."""
        ...


def dump(state: Any, version: int) -> bytes:
    """A state as bytes: a header of names, types and shapes, and the arrays as they lie in memory (little endian)."""
    arrays = {f.name: np.ascontiguousarray(getattr(state, f.name)) for f in fields(state)}
    header = json.dumps(
        {
            "state": type(state).__name__,
            "version": version,
            "arrays": {name: [a.dtype.newbyteorder("<").str, list(a.shape)] for name, a in arrays.items()},
        },
        separators=(",", ":"),
    ).encode()
    little = (a.astype(a.dtype.newbyteorder("<"), copy=False).tobytes() for a in arrays.values())
    return b"".join((_MAGIC, len(header).to_bytes(4, "little"), header, *little))


def restore(kind: type[State], data: bytes, version: int) -> State:
    """The state that `dump` was given.

    Raises
    ------
    ValueError
        When the bytes are of another kind of state, another version, or not whole.
    """
    if data[:4] != _MAGIC:
        raise ValueError("not a detector's state")
    size = int.from_bytes(data[4:8], "little")
    if size > _MAX_HEADER or len(data) < 8 + size:
        raise ValueError("the header of the state is not whole")
    header: Mapping[str, Any] = json.loads(data[8 : 8 + size])
    wanted = {"state": kind.__name__, "version": version}
    found = {name: header.get(name) for name in wanted}
    if found != wanted:
        raise ValueError(f"a state of {found}, wanted {wanted}")
    at = 8 + size
    arrays = {}
    for name, (code, shape) in header["arrays"].items():
        dtype = np.dtype(code)
        end = at + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if end > len(data):
            raise ValueError("the state's arrays are not whole")
        arrays[name] = np.frombuffer(data[at:end], dtype).reshape(shape).astype(dtype.newbyteorder("="))
        at = end
    if at != len(data):
        raise ValueError("bytes follow the state")
    return kind(**arrays)


def bytes_per_meter(state: Any, meters: int) -> float:
    """Memory that a state's arrays take, a meter."""
    return float(sum(np.asarray(getattr(state, f.name)).nbytes for f in fields(state)) / max(meters, 1))
