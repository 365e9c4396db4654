"""What a ledger's readings come to, in plain Python: the twin's meters read again, summed up by the oracle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from grid.model import Role
from tests.naive.energy_balance import MISSING, Member, balance
from twin.ledger import Ledger
from twin.scenario import Interval, Readings, Twin

#: Unit, end of its interval in microseconds, and the interval's length in seconds.
Key = tuple[str, int, int]
#: Bytes of the channels by their names' order, in the units of the store, and of the quality.
Values = tuple[bytes, ...]


class Figures(NamedTuple):
    """Of one unit and interval."""

    inflow_wh: int
    outflow_wh: int
    loss_wh: int
    members_loss_wh: int
    computable: bool


def recompute(twin: Twin, ledger: Ledger) -> dict[tuple[str, int], Figures]:
    """Figures by unit and end of the interval: of every area whose message was acknowledged, and of every feeder whose
    members' all were.

    Raises
    ------
    AssertionError
        When the twin's meters show something else than what the ledger says was published.
    """
    sums = {
        (ledger.units[row["unit"]], int(row["observed_at_us"])): (int(row["import_wh"]), int(row["export_wh"]))
        for row in ledger.acknowledged
    }
    whole = {at for at, count in Counter(at for _, at in sums).items() if count == len(ledger.units)}
    feeder_of = {area.code: area.feeder for area in twin.model.areas}
    figures: dict[tuple[str, int], Figures] = {}
    for readings in _readings(twin, ledger):
        at = readings.interval.end_s * 1_000_000
        children: dict[str, list[Member]] = {}
        for unit in twin.units:
            members = _members(twin, readings, unit.first, unit.last)
            sent = sums.get((unit.code, at))
            if sent is None:
                continue
            assert (sum(m.import_wh for m in members), sum(m.export_wh for m in members)) == sent
            if unit.code in feeder_of:
                result = balance(members)
                figures[unit.code, at] = Figures(*result[:4], result.gateways_complete)
                known = result.loss_wh + result.members_loss_wh
                child = Member(result.taken_wh, result.returned_wh, known, 1, int(Role.UNIT), 0.5)
                children.setdefault(feeder_of[unit.code] or "", []).append(child)
            elif at in whole:
                # The twin's units have the feeders last: their areas are there.
                result = balance(members + children.get(unit.code, []))
                figures[unit.code, at] = Figures(*result[:4], result.gateways_complete)
    return figures


def values_sent(twin: Twin, ledger: Ledger) -> dict[Key, Values]:
    """What each acknowledged message said, as the store has it if nothing went wrong."""
    acknowledged = {(ledger.units[row["unit"]], int(row["observed_at_us"])) for row in ledger.acknowledged}
    sent: dict[Key, Values] = {}
    for readings in _readings(twin, ledger):
        at_us = readings.interval.end_s * 1_000_000
        for unit in twin.units:
            if (unit.code, at_us) not in acknowledged:
                continue
            part = slice(unit.first, unit.last)
            values = [readings.export_wh[part].astype(np.int64), readings.import_wh[part].astype(np.int64)]
            if unit.has_voltage:
                values.append(np.rint(readings.voltage_v[part] * 10).astype(np.int16))
            values.append(np.zeros(unit.last - unit.first, np.uint8))
            sent[unit.code, at_us, readings.interval.length_s] = tuple(value.tobytes() for value in values)
    return sent


def _readings(twin: Twin, ledger: Ledger) -> Iterator[Readings]:
    """What the meters showed in the intervals of the ledger, from the first on."""
    spans = sorted({(int(row["observed_at_us"]), int(row["interval_s"])) for row in ledger.published})
    return twin.readings(Interval(at_us // 1_000_000, length_s) for at_us, length_s in spans)


def _members(twin: Twin, readings: Readings, first: int, last: int) -> list[Member]:
    return [
        Member(
            int(readings.import_wh[i]),
            int(readings.export_wh[i]),
            MISSING,
            meter.multiplier,
            int(meter.role),
            meter.accuracy_class,
        )
        for i, meter in enumerate(twin.model.meters[first:last], start=first)
    ]
