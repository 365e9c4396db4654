"""Oracle of the flow of work in plain Python; imports nothing of the package."""

from __future__ import annotations

import math


def quantile(stays: list[tuple[float, bool]], share: float) -> float:
    """When `share` of the stays (length, whether it ended) are over, by going through every moment in turn."""
    lasting = 1.0
    for moment in sorted({length for length, ended in stays if ended}):
        at_risk = [stay for stay in stays if stay[0] >= moment]
        over = [stay for stay in at_risk if stay[0] == moment and stay[1]]
        lasting *= 1 - len(over) / len(at_risk)
        if lasting <= 1 - share + 1e-12:
            return moment
    return math.nan


def log_rank(mine: list[tuple[float, bool]], others: list[tuple[float, bool]]) -> float:
    """Chance of `mine` ending as late as they do: a table of two by two at each moment at which a stay ends."""
    less = variance = 0.0
    for moment in sorted({length for length, ended in mine + others if ended}):
        a = sum(length >= moment for length, _ in mine)
        b = sum(length >= moment for length, _ in others)
        d_mine = sum(length == moment and ended for length, ended in mine)
        d = d_mine + sum(length == moment and ended for length, ended in others)
        less += d * a / (a + b) - d_mine
        if a + b > 1:
            variance += d * (a / (a + b)) * (b / (a + b)) * (a + b - d) / (a + b - 1)
    if variance <= 0:
        return 1.0
    return 1 - 0.5 * (1 + math.erf(less / math.sqrt(variance) / math.sqrt(2)))


def stays(
    steps: list[tuple[float, str, str, str]], ended: set[str], until: float
) -> list[tuple[str, str, float, bool, bool]]:
    """Stays of a case (stage, department, length, whether it ended, whether it had been there or farther before).

    Steps are (instant, action, stage after it, department that has it then); a step that moves nothing ends nothing.
    """
    found: list[tuple[str, str, float, bool, bool]] = []
    places: list[tuple[str, str]] = []
    last, back = 0, False
    for n, (at, _, stage, department) in enumerate(steps):
        if n and (stage, department) == steps[n - 1][2:]:
            continue
        place = (stage, department)
        if place not in places:
            places.append(place)
            back = False
        elif places.index(place) < last:
            back = True
        last = places.index(place)
        following = next((later for later in steps[n + 1 :] if later[2:] != place), None)
        if stage in ended:
            continue
        end = until if following is None else following[0]
        found.append((stage, department, end - at, following is not None, back))
    return found
