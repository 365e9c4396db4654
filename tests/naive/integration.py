"""Oracle of the integration of reported power in plain Python; imports nothing of the package.

It doesn't go from report to report: the interval is cut at every instant at which anything could change, and for each
piece each point is looked up anew.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import NamedTuple

UNKNOWN, SUBSTITUTED, GOOD = 0, 1, 2


class Report(NamedTuple):
    point: int
    at_us: int
    power_w: float
    state: int


class Result(NamedTuple):
    import_wh: float
    export_wh: float
    coverage: float
    sigma_wh: float
    substituted: bool


def integrate(
    begin_us: int, end_us: int, dead_band_w: list[float], hold_us: list[int], reports: list[Report]
) -> Result:
    cuts = {begin_us, end_us}
    for report in reports:
        cuts |= {report.at_us, report.at_us + hold_us[report.point]}
    edges = sorted(cut for cut in cuts if begin_us <= cut <= end_us)
    imported: list[float] = []
    exported: list[float] = []
    holds: dict[tuple[int, int], int] = {}
    known_us = 0
    substituted = False
    for start, stop in itertools.pairwise(edges):
        current = []
        for point, hold in enumerate(hold_us):
            # The last in the list of those at the same instant stands.
            found = [i for i, r in enumerate(reports) if r.point == point and r.at_us <= start]
            last = max(found, key=lambda i: (reports[i].at_us, i), default=None)
            if last is None or reports[last].state == UNKNOWN or start >= reports[last].at_us + hold:
                break
            current.append(last)
        if len(current) < len(hold_us) or not hold_us:
            continue
        known_us += stop - start
        power = sum(reports[i].power_w for i in current)
        energy = float(Fraction(power) * (stop - start) / 3_600_000_000)
        (imported if power > 0 else exported).append(abs(energy))
        substituted |= any(reports[i].state == SUBSTITUTED for i in current)
        for i in current:
            holds[reports[i].point, i] = holds.get((reports[i].point, i), 0) + stop - start
    variance = math.fsum((dead_band_w[point] * length / 3.6e9) ** 2 / 3 for (point, _), length in holds.items())
    return Result(
        math.fsum(imported), math.fsum(exported), known_us / (end_us - begin_us), math.sqrt(variance), substituted
    )
