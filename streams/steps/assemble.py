"""Rows of a batch as flat arrays, filled with what is stored; and readings merged into them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from grid.channels import CHANNELS, CLOSING, EXPORT, FOLLOWING, IMPORT, OPENING, SIGMA, VOTING, Values
from grid.quality import NO_PRECEDENCE, Quality
from grid.roster import UnitView
from grid.rows import NEVER_US, BlockRows, StoredBlock
from kernels.merge import Held, Said, merge_channel
from streams.steps.contribution import Contribution, Key


def assemble(
    keys: Sequence[Key],
    views: Sequence[UnitView],
    contributions: Sequence[Contribution],
    stored: Mapping[Key, StoredBlock],
) -> BlockRows:
    """Rows of the keys as they are stored, with room for what the contributions bring."""
    # A stored row is never longer than the roster: positions are append-only. A view that was loaded before the
    # roster grew must not cut it.
    found = [stored.get(key) for key in keys]
    sizes = [max(view.size, 0 if s is None else len(s.quality)) for view, s in zip(views, found, strict=True)]
    # Nor must what a row before it holds of members that are believed in no longer.
    number = {key: r for r, key in enumerate(keys)}
    for c in contributions:
        if (OPENING[0] in c.channels or OPENING[1] in c.channels) and len(c.positions):
            sizes[number[c.key]] = max(sizes[number[c.key]], 1 + int(c.positions.max()))
    starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    total = int(starts[-1])
    names = _names(contributions, found)
    voting = [name for name in names if name in VOTING]
    versions = np.array([0 if s is None else s.version for s in found], np.int64)
    rows = BlockRows(
        unit_id=np.array([key[0] for key in keys], np.int32),
        observed_at_us=np.array([key[1] for key in keys], np.int64),
        interval_s=np.array([key[2] for key in keys], np.int32),
        read_version=versions,
        version=versions.copy(),
        received_at_us=np.array([NEVER_US if s is None else s.received_at_us for s in found], np.int64),
        starts=starts,
        channels={name: CHANNELS[name].blank(total) for name in names},
        quality=np.full(total, Quality.MISSING, np.uint8),
        precedence={name: np.full(total, NO_PRECEDENCE, np.int64) for name in voting},
        received_us={name: np.full(total, NEVER_US, np.int64) for name in voting},
    )
    for r, row in enumerate(found):
        if row is not None:
            _place(rows, r, row)
    return rows


def _names(contributions: Sequence[Contribution], found: Sequence[StoredBlock | None]) -> list[str]:
    sets = {tuple(c.channels) for c in contributions} | {tuple(s.channels) for s in found if s is not None}
    used = {IMPORT, EXPORT}.union(*sets)
    if used & {*CLOSING, *OPENING} or any(part.is_read for c in contributions for part in c.roster.parts):
        used |= {*CLOSING, *OPENING, SIGMA}
    return [name for name in CHANNELS if name in used]


def _place(rows: BlockRows, r: int, stored: StoredBlock) -> None:
    begin = int(rows.starts[r])
    part = slice(begin, begin + len(stored.quality))
    rows.quality[part] = stored.quality
    for name, values in stored.channels.items():
        rows.channels[name][part] = values
        if name in VOTING:
            rows.precedence[name][part] = stored.precedence[name]
            rows.received_us[name][part] = stored.received_us[name]


def merge_round(rows: BlockRows, numbers: NDArray[np.intp], round_: Sequence[Contribution]) -> NDArray[np.bool_]:
    """Merge one contribution into each of some rows; returns, for all rows, which were changed, their versions raised.

    Parameters
    ----------
    numbers
        Shape (len(round_),): the row of each contribution, each row once.
    """
    changed = np.zeros(len(rows), np.bool_)
    groups: dict[tuple[bool, tuple[str, ...]], list[int]] = {}
    for i, c in enumerate(round_):
        groups.setdefault((c.child, tuple(c.channels)), []).append(i)
    for (child, names), members in groups.items():
        of_group = [round_[i] for i in members]
        of_row = numbers[members]
        sizes = np.array([len(c.positions) for c in of_group])
        begins = np.concatenate(([0], np.cumsum(sizes)))
        position = np.concatenate([c.positions for c in of_group])
        precedence = np.concatenate([c.precedence for c in of_group])
        received_us = np.concatenate([c.received_us for c in of_group])
        count_versions = _counter_of_versions(rows, np.repeat(of_row, sizes), position) if child else None
        for name in names:
            if name not in VOTING:
                continue
            value: Values = np.concatenate([c.channels[name] for c in of_group])
            # A missing value says nothing, unless it is known to be missing.
            silent = None if child else CHANNELS[name].missing
            held = Held(rows.channels[name], rows.precedence[name], rows.received_us[name])
            said = Said(of_row, begins, rows.starts, position, value, precedence, received_us, silent)
            taken, place = merge_channel(held, said, changed, keep_order=name == IMPORT)
            if name == IMPORT:
                _follow(rows, of_group, taken, place)
        if count_versions is not None:
            count_versions()
        else:
            of_meters = np.zeros(len(rows), np.bool_)
            of_meters[of_row] = [not c.part for c in of_group]
            rows.version[changed & of_meters] += 1
    return changed


def _follow(
    rows: BlockRows, contributions: Sequence[Contribution], taken: NDArray[np.int64], place: NDArray[np.int64]
) -> None:
    if not len(taken):
        return
    quality = np.concatenate([c.quality for c in contributions])
    rows.quality[place] = quality[taken]
    for name in FOLLOWING:
        if name not in rows.channels:
            continue
        blank = CHANNELS[name].blank
        values = np.concatenate(
            [c.channels[name] if name in c.channels else blank(len(c.positions)) for c in contributions]
        )
        rows.channels[name][place] = values[taken]


def _counter_of_versions(rows: BlockRows, row: NDArray[np.intp], position: NDArray[np.int32]) -> Callable[[], None]:
    """What, called after a merge, raises the versions of units of units by as much as their members' have grown."""
    # However their messages were gathered: each member counts once.
    there = np.flatnonzero(position >= 0)
    target = rows.starts[row[there]] + position[there]
    target, first = np.unique(target, return_index=True)
    before = _versions(rows, target)

    def count() -> None:
        np.add.at(rows.version, row[there[first]], _versions(rows, target) - before)

    return count


def _versions(rows: BlockRows, target: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.maximum(rows.precedence[IMPORT][target], 0)
