"""The daily usage model of one meter in plain Python, over a list of all days; imports nothing of Meterline."""

import math
from typing import Any

STEP = math.log(2) / 12


def code(power_w: Any) -> Any:
    return min(round(12 * math.log2(1 + max(power_w, 0.0) / 4)), 254)


def figures(readings: Any, per_hour: Any) -> Any:
    """Codes of mean, floor, crest, peak of a day's readings (None = missing); None when too few are there."""
    n = len(readings)
    there = [x for x in readings if x is not None]
    if len(there) < 0.75 * n:
        return None
    floors, crests = [], []
    for p in range(12):
        part = [x for x in readings[p * n // 12 : (p + 1) * n // 12] if x is not None]
        if part:
            floors.append(min(part))
    for p in range(6):
        part = [x for x in readings[p * 2 * n // 12 : (p + 1) * 2 * n // 12] if x is not None]
        if part:
            crests.append(max(part))
    return [
        code(sum(there) / len(there) * per_hour),
        code(sum(floors) / len(floors) * per_hour),
        code(sum(crests) / len(crests) * per_hour),
        code(max(crests) * per_hour),
    ]


def changes(days: Any) -> Any:
    """The twelve changes after a list of days, each None or four codes."""
    old, recent = days[:-28], days[-28:]
    keep = 0.5 ** (1 / 14)
    weight, base, highest = 0.0, [0.0] * 4, [0.0] * 4
    for day in old:
        if day is None:
            continue
        weight = weight * keep + 1 - keep
        for f in range(4):
            x = day[f] * STEP
            base[f] += (x - base[f]) * (1 - keep) / weight
            highest[f] = max(highest[f] - 0.01, x)
    known = [day for day in recent if day is not None]
    if weight < 0.74 or len(known) < 14:
        return None
    first = [day for day in recent[:7] if day is not None]
    before = [day for day in old[-7:] if day is not None]
    long = [base[f] - sum(d[f] for d in known) / len(known) * STEP for f in range(4)]
    top = [highest[f] - max(d[f] for d in known) * STEP for f in range(4)]
    week = long
    if len(first) >= 4 and len(before) >= 4:
        week = [
            (sum(d[f] for d in before) / len(before) - sum(d[f] for d in first) / len(first)) * STEP for f in range(4)
        ]
    return long + top + week


def agreement(of: Any, spreads: Any, shifts: Any) -> Any:
    """Log of the mean likelihood ratio of Cauchy changes about a shift against about 0."""
    ratios = []
    for shift in shifts:
        logs = [
            math.log(1 + (x / s) ** 2) - math.log(1 + ((x - shift) / s) ** 2) for x, s in zip(of, spreads, strict=True)
        ]
        ratios.append(math.exp(sum(logs)))
    return math.log(sum(ratios) / len(ratios))


def run(readings: Any, is_one: Any) -> Any:
    """Readings in a row, to the end, for which a condition holds; what is missing counts neither way."""
    count = 0
    for x in reversed([x for x in readings if x is not None]):
        if not is_one(x):
            break
        count += 1
    return count
