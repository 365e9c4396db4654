"""Holds what is stored against the ledger of what the broker acknowledged."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grid.channels import EXPORT, IMPORT
from grid.quality import MISSING_WH, Quality
from grid.rows import Status, StoredBlock
from store.blocks import read_blocks
from store.connection import Connection
from twin.ledger import read_ledger

_CHUNK = 2_000
_MISSING, _STORED, _DOUBLED = -1, 0, 1

#: Low-voltage customers' meters by area; a generator's meter is a member too, and no customer's.
_CUSTOMERS = """
select m.unit_id, count(*)
from grid.unit u
join grid.member m using (unit_id)
join grid.meter on meter.code = m.meter
join grid.account a on a.code = meter.account
where u.kind = 'area' and a.tariff_class <> 'generation' and upper_inf(m.recorded)
group by m.unit_id
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Messages, readings and settled intervals of one run.

    A message is missing when its row isn't there or holds less than was sent, doubled when it holds more: by the sums,
    since a keyed row hides a repeat. An interval of a feeder is expected when all messages of that interval were
    acknowledged, and the run streams all of the feeder's members.
    """

    messages_published: int
    messages_acknowledged: int
    messages_stored: int
    messages_missing: int
    messages_doubled: int
    readings_published: int
    readings_acknowledged: int
    readings_stored: int
    customers: int
    """Greatest number of low-voltage customers' meters stored for one interval."""
    areas: int
    areas_settled: int
    """Areas whose every acknowledged interval is settled with all its members."""
    area_intervals_settled: int
    feeders: int
    feeders_settled: int
    """Feeders whose every expected interval is settled with all its members."""
    feeder_intervals_settled: int

    @property
    def ok(self) -> bool:
        """Whether every acknowledged reading is stored once, and all that is complete is settled."""
        return (
            self.messages_missing == 0
            and self.messages_doubled == 0
            and self.areas_settled == self.areas
            and self.feeders_settled == self.feeders
        )


def verify(connection: Connection, ledger_dir: Path, patience_s: float) -> Verdict:
    """Compare, waiting for what is still on its way until nothing more has come for `patience_s`."""
    ledger = read_ledger(ledger_dir)
    rows = ledger.acknowledged
    units = connection.execute("select code, unit_id, kind from grid.unit").fetchall()
    ids: dict[str, int] = {code: unit_id for code, unit_id, _ in units}
    kind_of: dict[int, str] = {unit_id: kind for _, unit_id, kind in units}
    customers_of: dict[int, int] = dict(connection.execute(_CUSTOMERS).fetchall())
    # Of a smaller part of a grid that was loaded whole, some feeders can't be settled.
    partial = {
        code
        for code, members in connection.execute(
            "select f.code, array_agg(c.code) from grid.member m join grid.unit f using (unit_id)"
            " join grid.unit c on c.unit_id = m.child_id"
            " where upper_inf(m.recorded) and upper_inf(m.valid) group by f.code"
        )
        if not set(members) <= set(ledger.units)
    }
    whole = np.array([code not in partial for code in ledger.units], np.bool_)[rows["unit"]]
    unit_id = np.array([ids.get(code, -1) for code in ledger.units], np.int32)[rows["unit"]]
    kind = np.array([kind_of.get(u, "") for u in unit_id.tolist()])
    _, interval, sent = np.unique(rows["observed_at_us"], return_inverse=True, return_counts=True)
    settles = (kind == "area") | ((kind == "feeder") & whole & (sent[interval] == len(ledger.units)))
    outcome = np.full(len(rows), _MISSING, np.int8)
    settled = np.zeros(len(rows), np.bool_)
    readings = np.zeros(len(rows), np.int64)
    came, deadline = 0, time.monotonic() + patience_s
    while True:
        # A row that holds more than was sent may still be that of an earlier run, soon to be replaced.
        for at in _chunks(np.flatnonzero((outcome != _STORED) | (settles & ~settled))):
            columns = (unit_id[at], rows["observed_at_us"][at], rows["interval_s"][at])
            number = dict(zip(zip(*(c.tolist() for c in columns), strict=True), at.tolist(), strict=True))
            for key, block in read_blocks(connection, list(number)).items():
                i = number[key]
                # A feeder's own message holds its gateways, which stand first in its roster.
                first = int(rows["readings"][i]) if kind[i] == "feeder" else None
                outcome[i], readings[i] = _compare(block, rows[i], first)
                settled[i] = block.balance["status"] >= Status.FINAL
        connection.commit()
        if (now := int(np.sum(outcome == _STORED)) + int(np.sum(settled))) > came:
            came, deadline = now, time.monotonic() + patience_s
        if (np.all(outcome == _STORED) and np.all(settled[settles])) or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    areas, areas_settled = _settled_units(unit_id, settled, settles & (kind == "area"))
    feeders, feeders_settled = _settled_units(unit_id, settled, settles & (kind == "feeder"))
    return Verdict(
        messages_published=len(ledger.published),
        messages_acknowledged=len(rows),
        messages_stored=int(np.sum(outcome == _STORED)),
        messages_missing=int(np.sum(outcome == _MISSING)),
        messages_doubled=int(np.sum(outcome == _DOUBLED)),
        readings_published=int(ledger.published["readings"].sum()),
        readings_acknowledged=int(rows["readings"].sum()),
        readings_stored=int(readings.sum()),
        customers=sum(customers_of.get(u, 0) for u in set(unit_id[(outcome == _STORED) & (kind == "area")].tolist())),
        areas=areas,
        areas_settled=areas_settled,
        area_intervals_settled=int(np.sum(settled & (kind == "area"))),
        feeders=feeders,
        feeders_settled=feeders_settled,
        feeder_intervals_settled=int(np.sum(settled & (kind == "feeder"))),
    )


def _settled_units(
    unit_id: NDArray[np.int32], settled: NDArray[np.bool_], expected: NDArray[np.bool_]
) -> tuple[int, int]:
    """Units with expected intervals, and those of them whose expected intervals are all settled."""
    units = set(unit_id[expected].tolist())
    return len(units), len(units - set(unit_id[expected & ~settled].tolist()))


def _compare(block: StoredBlock, row: np.void, first: int | None) -> tuple[int, int]:
    there = (block.quality[:first] & Quality.MISSING) == 0
    import_wh = block.channels[IMPORT][:first][there]
    export_wh = block.channels[EXPORT][:first][there]
    readings = int(there.sum())
    sums = (readings, int(import_wh.sum()), int(export_wh[export_wh != MISSING_WH].sum()))
    expected = (int(row["readings"]), int(row["import_wh"]), int(row["export_wh"]))
    if sums == expected:
        return _STORED, readings
    return (_DOUBLED if any(a > b for a, b in zip(sums, expected, strict=True)) else _MISSING), readings


def _chunks(indexes: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    return [indexes[i : i + _CHUNK] for i in range(0, len(indexes), _CHUNK)]
