"""Numbers drawn by name: the same for a code and a seed, whatever else is drawn."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray


def draw(seed: int, purpose: str, codes: Iterable[str]) -> NDArray[np.float64]:
    """A number in [0, 1) for each code, uniform: the first 53 bits of blake2b over seed, purpose and code."""
    start = blake2b(f"{seed}/{purpose}/".encode(), digest_size=8)
    digests = bytearray()
    for code in codes:
        state = start.copy()
        state.update(code.encode())
        digests += state.digest()
    bits: NDArray[np.uint64] = np.frombuffer(bytes(digests), dtype="<u8").astype(np.uint64)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def draw_seed(seed: int, purpose: str) -> int:
    """A seed of its own for a purpose, 0 … 2⁶³ − 1."""
    return int.from_bytes(blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest(), "little") >> 1
