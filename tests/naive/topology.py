"""Which feeder an area belongs to over time, by walking the network from each head; for comparison.

Plain Python that imports nothing of the package. Areas that two feeders reach keep the one they came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Edge = tuple[str, str, str]
"""Code, and the two nodes."""


def reached_from(head: str, edges: Iterable[Edge]) -> set[str]:
    """Nodes that conducting edges join to `head`."""
    edges = list(edges)
    seen = {head}
    growing = True
    while growing:
        growing = False
        for _, a, b in edges:
            if (a in seen) != (b in seen):
                seen |= {a, b}
                growing = True
    return seen


def feeders_over_time(
    lines: list[Edge],
    switches: dict[str, tuple[str, str, bool]],
    heads: dict[str, tuple[str, str]],
    taps: dict[str, str],
    reports: Mapping[tuple[str, int], bool],
    end: int,
) -> dict[str, list[str | None]]:
    """Feeder of each area at the instants 0, 1, … `end` - 1.

    Parameters
    ----------
    switches
        Two nodes and whether it is closed in normal state, by code.
    heads
        Node and breaker of each feeder; the breaker is one of `switches`.
    reports
        Whether a switch was closed from an instant on, by switch and instant.
    """
    breakers = {breaker for _, breaker in heads.values()}
    closed = {code: normal for code, (_, _, normal) in switches.items()}
    belongs: dict[str, list[str | None]] = {area: [] for area in taps}
    # Before anything is reported.
    current = _assign(lines, switches, heads, taps, breakers, closed, dict.fromkeys(taps))
    for at in range(end):
        for (switch, when), position in reports.items():
            if when == at:
                closed[switch] = position
        current = _assign(lines, switches, heads, taps, breakers, closed, current)
        for area, feeder in current.items():
            belongs[area].append(feeder)
    return belongs


def _assign(
    lines: list[Edge],
    switches: dict[str, tuple[str, str, bool]],
    heads: dict[str, tuple[str, str]],
    taps: dict[str, str],
    breakers: set[str],
    closed: dict[str, bool],
    previous: Mapping[str, str | None],
) -> dict[str, str | None]:
    edges = lines + [(code, a, b) for code, (a, b, _) in switches.items() if closed[code] and code not in breakers]
    reach = {f: reached_from(node, edges) for f, (node, breaker) in heads.items() if closed[breaker]}
    now: dict[str, str | None] = {}
    for area, node in taps.items():
        feeding = sorted(feeder for feeder, nodes in reach.items() if node in nodes)
        before = previous[area]
        now[area] = before if before in feeding else next(iter(feeding), None)
    return now
