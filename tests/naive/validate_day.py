"""Doubts about a meter's day in plain Python; imports nothing of the package.

Readings are lists over two days with None where missing; `own` is where the second day begins.
"""

from __future__ import annotations

Found = tuple[str, int, int, int, int]


def spikes(values: list[int | None], own: int, ratio: float, least: int) -> list[Found]:
    """Rule, first interval, interval after the last, energy and limit."""
    there = sorted((v for v in values[own:] if v is not None), reverse=True)
    if len(there) < 3:
        return []
    return [
        ("spike", own + t, own + t + 1, value, max(round(ratio * there[2]), least))
        for t, value in enumerate(values[own:])
        if value is not None and value > ratio * there[2] and value > least
    ]


def runs(values: list[int | None], own: int, zeros: int, flat: int) -> list[Found]:
    """The same of runs that reach into the second day."""
    found: list[Found] = []
    first = 0
    while first < len(values):
        after = first + 1
        while after < len(values) and values[after] == values[first]:
            after += 1
        value = values[first]
        if value is not None and after > own:
            if value == 0 and after - first >= zeros:
                # Told when it became long enough; what began before all that is known was told before.
                if not (own > 0 and (first == 0 or own - first >= zeros)):
                    found.append(("zero_run", first, after, 0, 0))
            elif value != 0 and after - first >= flat:
                found.append(("flat_run", max(first, own), after, value, 0))
        first = after
    return found
