"""Gathers what single meters send into blocks, pure: many small messages of a unit's interval become one record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from grid.block import Block
from grid.model import MAX_MEMBERS, UnitKind


@dataclass(frozen=True, slots=True)
class GatherLimits:
    """What is gathered, and for how long.

    Attributes
    ----------
    below
        Blocks of fewer meters than this are gathered; 0 gathers none.
    linger_us
        How long the first may wait for others.
    messages, held_bytes
        What may wait: reached, all of it goes on.
    """

    below: int = 32
    linger_us: int = 200_000
    messages: int = 500
    held_bytes: int = 4 << 20

    def __post_init__(self) -> None:
        if self.below < 0 or self.linger_us < 0 or min(self.messages, self.held_bytes) < 1:
            raise ValueError(f"no limits: {self}")


_Key = tuple[str, str, int, int, tuple[str, ...]]


class Gatherer:
    """Small blocks that wait for others of their unit and interval.

    All of them go on together, so that messages can be acknowledged in the order in which they came.
    """

    def __init__(self, limits: GatherLimits) -> None:
        self._limits = limits
        self._groups: dict[_Key, tuple[UnitKind, list[Block]]] = {}
        self._messages = self._bytes = 0
        self._since_us: int | None = None

    def add(self, block: Block, kind: UnitKind, size: int, now_us: int) -> bool:
        """Keep `block`, of a message of `size` bytes; false when it is large enough to go by itself.

        `now_us` is of any clock that doesn't go back.
        """
        if len(block) >= self._limits.below:
            return False
        key = (block.unit, block.gateway, block.observed_at_us, block.interval_s, tuple(block.channels))
        self._groups.setdefault(key, (kind, []))[1].append(block)
        self._messages += 1
        self._bytes += size
        if self._since_us is None:
            self._since_us = now_us
        return True

    def wait_us(self, now_us: int) -> int:
        """How long what is held may still wait; 0 when nothing is held or it must go on now."""
        full = self._messages >= self._limits.messages or self._bytes >= self._limits.held_bytes
        if self._since_us is None or full:
            return 0
        return max(0, self._since_us + self._limits.linger_us - now_us)

    def take(self) -> list[tuple[Block, UnitKind]]:
        """All that is held, a block for each unit and interval; more where they don't fit together."""
        groups, self._groups = self._groups, {}
        self._messages = self._bytes = 0
        self._since_us = None
        return [(join_blocks(part), kind) for kind, blocks in groups.values() for part in _parts(blocks)]


def _parts(blocks: list[Block]) -> list[list[Block]]:
    """Blocks that fit together: no meter twice, since of two of its readings the store knows which stands."""
    parts: list[tuple[set[str], list[Block]]] = []
    for block in blocks:
        meters = set(block.meters.to_pylist())
        # Repeats are rare: there is one part, as a rule, and only the last is looked at.
        if not parts or len(parts[-1][0]) + len(meters) > MAX_MEMBERS or not meters.isdisjoint(parts[-1][0]):
            parts.append((set(), []))
        parts[-1][0].update(meters)
        parts[-1][1].append(block)
    return [part for _, part in parts]


def join_blocks(blocks: Sequence[Block]) -> Block:
    """One block with the readings of several of the same unit, gateway, interval and channels; no meter in two of them.

    Each reading keeps the number of its message; all count as received when the last of them was.
    """
    first = blocks[0]
    if len(blocks) == 1:
        return first
    return Block(
        unit=first.unit,
        gateway=first.gateway,
        observed_at_us=first.observed_at_us,
        interval_s=first.interval_s,
        received_at_us=max(block.received_at_us for block in blocks),
        meters=pa.concat_arrays([block.meters for block in blocks]),
        sequence=np.concatenate([block.sequence for block in blocks]),
        channels={name: np.concatenate([block.channels[name] for block in blocks]) for name in first.channels},
        quality=np.concatenate([block.quality for block in blocks]),
    )
