"""Oracles of the economy and of shares in plain Python: decimals and one flow at a time."""

from __future__ import annotations

from decimal import Decimal, getcontext

getcontext().prec = 60


def present_value(flows: list[tuple[int, str, int]], rate: str) -> Decimal:
    """Of (years from the first, kind, cents): investment at the begin of its year, all else at its end."""
    total = Decimal(0)
    for year, kind, cents in flows:
        sign = -1 if kind in ("investment", "running", "people") else 1
        at = year if kind == "investment" else year + 1
        total += sign * Decimal(cents) / (1 + Decimal(rate)) ** at
    return total


def years_to_pay(at_begin: list[int], over_year: list[int], steps: int = 1_000) -> float | None:
    """The same by walking through the years in small steps: the last moment below zero."""
    level, last_negative, moment = Decimal(0), None, Decimal(0)
    for year, (first, during) in enumerate(zip(at_begin, over_year, strict=True)):
        level += first
        for step in range(steps):
            moment = year + Decimal(step) / steps
            if level + Decimal(during) * step / steps < 0:
                last_negative = moment
        level += during
        if level < 0:
            last_negative = Decimal(year + 1)
    if level < 0:
        return None
    return 0.0 if last_negative is None else float(last_negative)


def largest_remainders(total: int, weights: list[int]) -> list[int]:
    """One unit at a time to whoever is owed the most of it, by the fraction below the whole."""
    exact = [Decimal(total) * w / sum(weights) for w in weights]
    parts = [int(e) for e in exact]
    left = total - sum(parts)
    taken: set[int] = set()
    for _ in range(left):
        best = None
        for i in range(len(weights)):
            if i not in taken and (best is None or exact[i] - parts[i] > exact[best] - parts[best]):
                best = i
        assert best is not None
        taken.add(best)
    return [p + (i in taken) for i, p in enumerate(parts)]


def reliability(outages: list[tuple[float, int]], customers: int) -> dict[str, float]:
    """SAIDI, SAIFI and CAIDI of (minutes, customers), customer by customer."""
    minutes = interruptions = 0.0
    for lasted, concerned in outages:
        if lasted > 5:
            for _ in range(concerned):
                minutes += lasted
                interruptions += 1
    found = {"saidi": minutes / customers, "saifi": interruptions / customers}
    if interruptions:
        found["caidi"] = minutes / interruptions
    return found
