"""Holds what is stored against the ledger of what the broker acknowledged."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grid.quality import MISSING_WH, Quality
from grid.rows import StoredBlock
from store.blocks import read_blocks
from store.connection import Connection
from twin.ledger import read_ledger

_CHUNK = 2_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """Messages and readings of one run.

    A message is missing when its row isn't there or holds less than was sent, doubled when it holds more: by the sums,
    since a keyed row hides a repeat.
    """

    messages_published: int
    messages_acknowledged: int
    messages_stored: int
    messages_missing: int
    messages_doubled: int
    readings_published: int
    readings_acknowledged: int
    readings_stored: int

    @property
    def ok(self) -> bool:
        """Whether every acknowledged reading is stored once."""
        return self.messages_missing == 0 and self.messages_doubled == 0


def verify(connection: Connection, ledger_dir: Path, patience_s: float) -> Verdict:
    """Compare, waiting up to `patience_s` for what is still on its way."""
    ledger = read_ledger(ledger_dir)
    rows = ledger.acknowledged
    units = connection.execute("select code, unit_id, kind from grid.unit").fetchall()
    ids: dict[str, int] = {code: unit_id for code, unit_id, _ in units}
    kinds: dict[int, str] = {unit_id: kind for _, unit_id, kind in units}
    unit_id = np.array([ids.get(code, -1) for code in ledger.units], np.int32)[rows["unit"]]
    outcome = np.full(len(rows), -1, np.int8)
    stored_readings = np.zeros(len(rows), np.int64)
    deadline = time.monotonic() + patience_s
    while True:
        for at in _chunks(np.flatnonzero(outcome < 0)):
            found = read_blocks(connection, unit_id[at], rows["observed_at_us"][at])
            for r, block in found.items():
                i = int(at[r])
                # A feeder's own message holds its gateways, which stand first in its roster.
                first = int(rows["readings"][i]) if kinds[int(unit_id[i])] == "feeder" else None
                outcome[i], stored_readings[i] = _compare(block, rows[i], first)
        connection.commit()
        if np.all(outcome >= 0) or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    return Verdict(
        messages_published=len(ledger.published),
        messages_acknowledged=len(rows),
        messages_stored=int(np.sum(outcome == 0)),
        messages_missing=int(np.sum(outcome == -1)),
        messages_doubled=int(np.sum(outcome == 1)),
        readings_published=int(ledger.published["readings"].sum()),
        readings_acknowledged=int(rows["readings"].sum()),
        readings_stored=int(stored_readings.sum()),
    )


def _compare(block: StoredBlock, row: np.void, first: int | None) -> tuple[int, int]:
    there = (block.quality[:first] & Quality.MISSING) == 0
    import_wh = block.import_wh[:first][there]
    export_wh = block.export_wh[:first][there]
    readings = int(there.sum())
    sums = (readings, int(import_wh.sum()), int(export_wh[export_wh != MISSING_WH].sum()))
    expected = (int(row["readings"]), int(row["import_wh"]), int(row["export_wh"]))
    if sums == expected:
        return 0, readings
    return (1 if any(a > b for a, b in zip(sums, expected, strict=True)) else -1), readings


def _chunks(indexes: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    return [indexes[i : i + _CHUNK] for i in range(0, len(indexes), _CHUNK)]
