"""Readings of an area put into the store by the stream's own steps: settled a day at a time, with no broker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.channels import EXPORT, IMPORT
from grid.limits import Limits
from grid.loss_rules import LossRules
from grid.quality import MISSING_WH, Quality, precedence
from grid.roster import UnitView
from store.block_writer import write_blocks
from store.blocks import read_blocks
from store.connection import Connection
from streams.steps.contribution import Contribution
from streams.steps.settle import keys_to_read, settle

_US = 1_000_000


def store_readings(
    connection: Connection,
    view: UnitView,
    meters: Sequence[str],
    ends_s: NDArray[np.int64],
    interval_s: int,
    import_wh: NDArray[np.int64],
    *,
    export_wh: NDArray[np.int64] | None = None,
    channels: dict[str, NDArray[Any]] | None = None,
    sequence: int = 1,
    batch: int = 96,
) -> None:
    """Settle and write readings of shape (intervals, meters), `MISSING_WH` where there is none."""
    names = pa.array(meters, pa.string())
    given = np.zeros_like(import_wh) if export_wh is None else export_wh
    for begin in range(0, len(ends_s), batch):
        part = range(begin, min(begin + batch, len(ends_s)))
        said = [
            _contribution(
                view,
                names,
                int(ends_s[n]),
                interval_s,
                {IMPORT: import_wh[n], EXPORT: given[n], **{k: v[n] for k, v in (channels or {}).items()}},
                sequence,
            )
            for n in part
        ]
        settled = settle(said, read_blocks(connection, keys_to_read(said)), Limits(), LossRules())
        with connection.transaction():
            write_blocks(connection, settled.rows, settled.balances, settled.superseded)


def _contribution(
    view: UnitView, names: pa.StringArray, end_s: int, interval_s: int, channels: dict[str, NDArray[Any]], sequence: int
) -> Contribution:
    roster = view.roster(end_s * _US, interval_s)
    quality = np.where(channels[IMPORT] == MISSING_WH, int(Quality.MISSING), 0).astype(np.uint8)
    received_us = (end_s + 30) * _US
    return Contribution(
        view=view,
        roster=roster,
        observed_at_us=end_s * _US,
        interval_s=interval_s,
        received_at_us=received_us,
        positions=view.positions(roster, names),
        precedence=precedence(quality, sequence),
        received_us=np.full(len(names), received_us, np.int64),
        channels=channels,
        quality=quality,
    )
