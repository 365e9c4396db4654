"""How precedences and times of receipt are laid out in a row: as one number where one stands for all.

Three layouts, told apart by their length, for a row of n positions and k voting channels (`grid.channels.VOTING`):
one element for all values; n, one a position for all its channels; n × k, channel by channel. The first two say
nothing of missing values, which have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid.channels import CHANNELS, EXPORT, FOLLOWING, IMPORT, VOTING, Values
from grid.quality import NO_PRECEDENCE, Quality
from grid.rows import NEVER_US, BlockRows, any_by_row
from store.pgbinary import ArrayColumn

_I64 = np.iinfo(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Columns of a batch's rows; row r's elements lie at span(r) in both.

    `there` says of each channel in which rows it has its column.
    """

    precedence: ArrayColumn
    received_us: ArrayColumn
    starts: list[int]
    there: Mapping[str, list[bool]]

    def span(self, row: int) -> tuple[int, int]:
        """Where a row's elements lie."""
        return self.starts[row], self.starts[row + 1]


def pack(rows: BlockRows) -> Layout:
    """Lay out the precedences and times of receipt of rows."""
    starts, sizes = rows.starts, np.diff(rows.starts)
    total = len(rows.quality)
    lowest, highest = np.full(total, _I64.max), np.full(total, NO_PRECEDENCE)
    first, last = np.full(total, _I64.max), np.full(total, NEVER_US)
    literal = np.zeros(total, np.bool_)
    there: dict[str, NDArray[np.bool_]] = {}
    for name, precedence in rows.precedence.items():
        received_us = rows.received_us[name]
        said = precedence != NO_PRECEDENCE
        literal |= said != _says(name, rows.channels[name], rows.quality)
        lowest = np.where(said, np.minimum(lowest, precedence), lowest)
        highest = np.maximum(highest, precedence)
        first = np.where(said, np.minimum(first, received_us), first)
        last = np.where(said, np.maximum(last, received_us), last)
        there[name] = any_by_row(said | (rows.channels[name] != CHANNELS[name].missing), starts)
    for name in (IMPORT, EXPORT):
        there[name] = np.ones(len(rows), np.bool_)
    for name in FOLLOWING:
        if name in rows.channels:
            there[name] = any_by_row(rows.channels[name] != CHANNELS[name].missing, starts)
    # A position of which nothing is said goes with any.
    silent = highest == NO_PRECEDENCE
    literal |= ~silent & ((lowest != highest) | (first != last))
    by_channel = any_by_row(literal, starts)
    one = np.maximum.reduceat(highest, starts[:-1])
    one_us = np.maximum.reduceat(last, starts[:-1])
    differs = ~silent & ((highest != np.repeat(one, sizes)) | (last != np.repeat(one_us, sizes)))
    by_position = any_by_row(differs, starts) & ~by_channel
    if not by_channel.any() and not by_position.any():
        return Layout(ArrayColumn(one), ArrayColumn(one_us), list(range(len(rows) + 1)), _lists(there))
    return _ragged(rows, (one, one_us), (highest, last), by_channel, by_position, there)


def _ragged(
    rows: BlockRows,
    one: tuple[NDArray[np.int64], NDArray[np.int64]],
    of_position: tuple[NDArray[np.int64], NDArray[np.int64]],
    by_channel: NDArray[np.bool_],
    by_position: NDArray[np.bool_],
    there: Mapping[str, NDArray[np.bool_]],
) -> Layout:
    pieces: tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]] = ([], [])
    for r in range(len(rows)):
        part = rows.part(r)
        if by_channel[r]:
            names = [name for name in VOTING if name in rows.precedence and there[name][r]]
            pieces[0].append(np.concatenate([rows.precedence[name][part] for name in names]))
            pieces[1].append(np.concatenate([rows.received_us[name][part] for name in names]))
        elif by_position[r]:
            pieces[0].append(of_position[0][part])
            pieces[1].append(of_position[1][part])
        else:
            pieces[0].append(one[0][r : r + 1])
            pieces[1].append(one[1][r : r + 1])
    starts = np.concatenate(([0], np.cumsum([len(p) for p in pieces[0]])))
    columns = [ArrayColumn(np.concatenate(p)) for p in pieces]
    return Layout(columns[0], columns[1], starts.tolist(), _lists(there))


def unpack(
    channels: Mapping[str, Values],
    quality: NDArray[np.uint8],
    precedence: NDArray[np.int64],
    received_us: NDArray[np.int64],
) -> tuple[dict[str, NDArray[np.int64]], dict[str, NDArray[np.int64]]]:
    """Inverse of `pack` for one row: precedence and time of receipt by voting channel, arrays of shape (n,)."""
    n = len(quality)
    names = [name for name in VOTING if name in channels]
    precedences: dict[str, NDArray[np.int64]] = {}
    times: dict[str, NDArray[np.int64]] = {}
    for k, name in enumerate(names):
        if len(precedence) in (1, n):
            says = _says(name, channels[name], quality)
            precedences[name] = np.where(says, precedence, NO_PRECEDENCE)
            times[name] = np.where(says, received_us, NEVER_US)
        else:
            precedences[name] = precedence[k * n : (k + 1) * n]
            times[name] = received_us[k * n : (k + 1) * n]
    return precedences, times


def _says(name: str, values: Values, quality: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a channel's value was received, as far as its value tells: what is derived from registers was not."""
    there = values != CHANNELS[name].missing
    if name in (IMPORT, EXPORT):
        there &= quality & np.uint8(Quality.DERIVED) == 0
    return np.asarray(there)


def _lists(there: Mapping[str, NDArray[np.bool_]]) -> dict[str, list[bool]]:
    return {name: mask.tolist() for name, mask in there.items()}
