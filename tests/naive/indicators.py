"""An oracle in plain Python: what conflicts, and disagreements, come to over a period."""

from __future__ import annotations

#: Number, hour at which it opened or closed, and which of both.
Step = tuple[int, float, bool]


def open_at(steps: list[Step], at: float) -> dict[int, float]:
    """Since when each conflict that is open then has been open."""
    found: dict[int, float] = {}
    for number, hour, is_open in steps:
        if hour <= at:
            if is_open:
                found[number] = hour
            else:
                found.pop(number, None)
    return found


def resolved(steps: list[Step], since: float, at: float) -> list[float]:
    """Hours that each conflict was open which was closed in a period."""
    opened: dict[int, float] = {}
    hours = []
    for number, hour, is_open in steps:
        if is_open:
            opened[number] = hour
        elif since <= hour < at:
            hours.append(hour - opened[number])
    return sorted(hours)


def overlap(spans: list[tuple[float, float | None]], since: float, at: float) -> float:
    """Hours of a period that lie in spans; one without an end still lasts."""
    return sum(max(0.0, min(at if end is None else end, at) - max(begin, since)) for begin, end in spans)
