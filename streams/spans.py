"""Stored rows taken apart into the records that would make them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.block import Block, encode_block
from grid.channels import CHANNELS, IMPORT, MEASURED, SIGMA, Values
from grid.quality import COUNTED, MAX_SEQUENCE, NO_PRECEDENCE, Quality, quality_rank
from grid.roster import Roster, UnitView
from grid.topics import TELEMETRY_AREA
from store.replaying import SpanRow
from streams.join import Record
from streams.replay import Received

#: Flags that stand for a rank, for a channel beside the import, whose own flags the row doesn't keep.
_FLAGS = np.array([Quality.MISSING, Quality.ESTIMATED, Quality.SUBSTITUTED, Quality.SUSPECT, Quality.VALID], np.uint8)


def said_again(row: SpanRow, view_of: Callable[[str], UnitView | None]) -> Iterator[Received]:
    """What a row holds, as one record for each time of receipt and precedence; derived energies are left out.

    Values keep their precedence and their time of receipt. What a unit was told by smaller ones is left to these, and
    so is what it holds of meters that are no members of it in the interval.
    """
    view = view_of(row.unit)
    if view is None:
        return
    block = row.block
    known = _known(row, view.roster(row.observed_at_us, row.interval_s))
    names = [name for name in MEASURED if name in block.channels]
    if not names or not known.any():
        return
    said = np.array(
        [
            known & ~np.isin(block.precedence[n], (NO_PRECEDENCE, COUNTED)) & (block.channels[n] != CHANNELS[n].missing)
            for n in names
        ]
    )
    precedence = np.array([block.precedence[n] for n in names])
    received_us = np.array([block.received_us[n] for n in names])
    pairs = np.unique(np.stack((received_us[said], precedence[said])), axis=1)
    for received_at_us in np.unique(pairs[0]).tolist():
        # Meters of several sequences and qualities go together, channels of one meter that differ in them don't.
        at = said & (received_us == received_at_us)
        while at.any():
            first = np.where(at, precedence, NO_PRECEDENCE).max(axis=0)
            now = at & (precedence == first)
            record = _record(row, names, now, first, received_at_us)
            yield Received(received_at_us, row.unit, record, int(now.any(axis=0).sum()))
            at &= ~now


def _known(row: SpanRow, roster: Roster) -> NDArray[np.bool_]:
    # A meter whose multiplier changed in the interval has two positions, which say the same: the later one is read.
    place = {meter: p for p, meter in sorted(row.meters.items()) if p < len(row.block.quality)}
    known = np.zeros(len(row.block.quality), np.bool_)
    known[[p for meter, p in place.items() if meter in roster.position_of_meter]] = True
    return known


def _record(
    row: SpanRow, names: list[str], now: NDArray[np.bool_], precedence: NDArray[np.int64], received_at_us: int
) -> Record:
    block = row.block
    at = np.flatnonzero(now.any(axis=0))
    channels: dict[str, Values] = {}
    quality = _FLAGS[precedence[at] // MAX_SEQUENCE]
    for name, mask in zip(names, now[:, at], strict=True):
        if mask.any():
            channels[name] = np.where(mask, block.channels[name][at], CHANNELS[name].missing)
        if name == IMPORT and mask.any():
            kept = block.quality[at] & np.uint8(0xFF ^ (Quality.DERIVED | Quality.MISSING))
            quality = np.where(mask & (quality_rank(kept) == precedence[at] // MAX_SEQUENCE), kept, quality)
            if SIGMA in block.channels:
                channels[SIGMA] = np.where(mask, block.channels[SIGMA][at], CHANNELS[SIGMA].missing)
    absent = ~now[names.index(IMPORT), at] if IMPORT in names else np.ones(len(at), np.bool_)
    quality = np.where(absent, quality | np.uint8(Quality.MISSING), quality)
    return Record(
        TELEMETRY_AREA,
        encode_block(
            Block(
                unit=row.unit,
                gateway="",
                observed_at_us=row.observed_at_us,
                interval_s=row.interval_s,
                received_at_us=received_at_us,
                meters=pa.array([row.meters[p] for p in at.tolist()], pa.string()),
                sequence=precedence[at] % MAX_SEQUENCE,
                channels={name: np.ascontiguousarray(values) for name, values in channels.items()},
                quality=quality.astype(np.uint8),
            )
        ),
    )
