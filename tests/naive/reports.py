"""Oracle of the score of device events in plain Python; imports nothing of the package."""

from __future__ import annotations

from statistics import median
from typing import Any

#: Number of the event, unit, meter, kind, instant, and when it was sent (0 = never), in microseconds.
Row = tuple[int, str, str, str, int, int]
Key = tuple[str, str, str, int]


def naive_reports(truth: list[Row], stored: dict[Key, int]) -> dict[str, Any]:
    kinds: dict[str, tuple[int, int, int, int]] = {}
    for kind in {row[3] for row in truth} | {key[2] for key in stored}:
        said = sent = kept = unexpected = 0
        for row in truth:
            if row[3] == kind:
                said += 1
                sent += row[5] != 0
                kept += row[5] != 0 and row[1:5] in stored
        for key in stored:
            if key[2] == kind and not any(row[1:5] == key and row[5] for row in truth):
                unexpected += 1
        kinds[kind] = (said, sent, kept, unexpected)
    outages: dict[int, list[Row]] = {}
    for row in truth:
        if row[3] == "last_gasp":
            outages.setdefault(row[0], []).append(row)
    delays = []
    for gasps in outages.values():
        received = [stored[row[1:5]] for row in gasps if row[1:5] in stored]
        if received:
            delays.append((min(received) - min(row[4] for row in gasps)) / 1e6)
    return {
        "kinds": kinds,
        "outages": len(outages),
        "known": len(delays),
        "median_s": median(delays) if delays else None,
    }
