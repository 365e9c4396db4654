"""How precedences and times of receipt are laid out in a row: as one number where one stands for all.

Three layouts, told apart by their length, for a row of n positions and k voting channels (`grid.channels.VOTING`):
one element for all values; n, one a position for all its channels; n × k, channel by channel. The first two say
nothing of missing values, which have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from grid.channels import CHANNELS, EXPORT, FOLLOWING, IMPORT, VOTING, Values
from grid.quality import NO_PRECEDENCE, Quality
from grid.rows import NEVER_US, BlockRows, any_by_row


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Columns of a batch's k rows; row r's elements lie at starts[r]:starts[r + 1] in both.

    `there` says of each channel in which rows it has its column.
    """

    precedence: NDArray[np.int64]
    received_us: NDArray[np.int64]
    starts: NDArray[np.int64]
    there: Mapping[str, NDArray[np.bool_]]


def pack(rows: BlockRows) -> Layout:
    """Lay out the precedences and times of receipt of rows."""
    k = len(rows)
    one, one_us = np.full(k, NO_PRECEDENCE), np.full(k, NEVER_US)
    differs = np.zeros(k, np.bool_)
    there: dict[str, NDArray[np.bool_]] = {}
    for name, precedence in rows.precedence.items():
        there[name] = np.full(k, name in (IMPORT, EXPORT))
        # Energies that were derived from registers weren't received.
        not_received = np.uint8(Quality.DERIVED if name in (IMPORT, EXPORT) else 0)
        held = (rows.channels[name], precedence, rows.received_us[name], rows.quality)
        _fold(rows.starts, *held, CHANNELS[name].missing, not_received, one, one_us, differs, there[name])
    for name in FOLLOWING:
        if name in rows.channels:
            there[name] = any_by_row(rows.channels[name] != CHANNELS[name].missing, rows.starts)
    if not differs.any():
        return Layout(one, one_us, np.arange(k + 1), there)
    pieces = {r: _piece(rows, r, there) for r in np.flatnonzero(differs).tolist()}
    sizes = np.ones(k, np.int64)
    sizes[list(pieces)] = [len(precedence) for precedence, _ in pieces.values()]
    starts = np.concatenate(([0], np.cumsum(sizes)))
    columns = np.empty((2, starts[-1]), np.int64)
    columns[0, starts[:-1]], columns[1, starts[:-1]] = one, one_us
    for r, piece in pieces.items():
        columns[:, starts[r] : starts[r + 1]] = piece
    return Layout(columns[0], columns[1], starts, there)


@njit(cache=True, nogil=True)
def _fold(  # type: ignore[no-untyped-def]  # numba infers
    starts, values, precedence, received_us, quality, missing, not_received, one, one_us, differs, there
):
    """Find rows of which one number doesn't tell all that a channel has, and whether the channel has anything."""
    for r in range(len(one)):
        for i in range(np.uint64(starts[r]), np.uint64(starts[r + 1])):
            said = precedence[i] != NO_PRECEDENCE
            has_value = values[i] != missing
            if said or has_value:
                there[r] = True
            if said != (has_value and quality[i] & not_received == 0):
                differs[r] = True
            elif said:
                if one[r] == NO_PRECEDENCE:
                    one[r], one_us[r] = precedence[i], received_us[i]
                elif one[r] != precedence[i] or one_us[r] != received_us[i]:
                    differs[r] = True


def _piece(rows: BlockRows, r: int, there: Mapping[str, NDArray[np.bool_]]) -> NDArray[np.int64]:
    """Precedence and time of receipt of a row that needs more than one number: of its positions, or of its values."""
    part = rows.part(r)
    names = [name for name in VOTING if name in rows.precedence and there[name][r]]
    precedence = np.array([rows.precedence[name][part] for name in names])
    received_us = np.array([rows.received_us[name][part] for name in names])
    said = precedence != NO_PRECEDENCE
    literal = said != [_says(name, rows.channels[name][part], rows.quality[part]) for name in names]
    highest, last = precedence.max(axis=0), np.where(said, received_us, NEVER_US).max(axis=0)
    if literal.any() or np.any(said & ((precedence != highest) | (received_us != last))):
        return np.array([precedence.ravel(), received_us.ravel()])
    return np.array([highest, last])


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
