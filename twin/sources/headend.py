"""The head-end's register (采集系统): under which code each meter sends, with the number that is written on it."""

from __future__ import annotations

import csv
from pathlib import Path

from twin.sources.faults import Injection
from twin.sources.marketing import SYSTEM as MARKETING
from twin.sources.table import Kind
from twin.sources.write import SourceTruth


def headend_register(truth: SourceTruth) -> list[tuple[str, str]]:
    """Code and asset number of every meter, in order of codes.

    Readings come under these codes, so this register has no faults: not a meter that marketing lost, and none twice.
    """
    of_meters = [i for i in truth.injections if (i.system, i.table) == (MARKETING, "meters")]
    repeated = {i.key for i in of_meters if i.kind is Kind.DUPLICATE}
    rows = [
        (r.code, r.key)
        for r in truth.references
        if (r.system, r.table) == (MARKETING, "meters") and r.key not in repeated
    ]
    return sorted(rows + [(i.code, i.key) for i in of_meters if _is_lost(i)])


def write_headend(truth: SourceTruth, folder: Path) -> None:
    """Write `headend/meters.csv` into the folder of the sources."""
    (folder / "headend").mkdir(exist_ok=True)
    with (folder / "headend" / "meters.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("meter_code", "asset_number"))
        writer.writerows(headend_register(truth))


def _is_lost(injection: Injection) -> bool:
    return injection.kind is Kind.MISSING
