"""Oracle of days and months in plain Python, hour by hour; imports nothing of the package.

Time is whole hours. A piece is a list of versions in the order of their revision.
"""

from __future__ import annotations

import math
from typing import NamedTuple

NO_TECHNICAL = 8_192
OF_THE_LENGTH = 128 | 1_024 | 131_072
MISSING_GATEWAY = 2


class Version(NamedTuple):
    published_h: int
    final: bool
    covered_s: int
    inflow_wh: int
    outflow_wh: int
    technical_wh: float | None
    random_wh2: float
    imported_wh: float
    exported_wh: float
    ends_wh2: float
    reasons: int


class Piece(NamedTuple):
    begin_h: int
    end_h: int
    whole: bool
    versions: list[Version]


class Rule(NamedTuple):
    early_h: int
    late_h: int
    until_h: int
    min_share: float
    low_rate: float
    high_rate: float
    min_inflow_wh_per_h: float


class State(NamedTuple):
    covered_s: int
    intervals: int
    inflow_wh: int
    outflow_wh: int
    technical_wh: float | None
    sigma_wh: float
    ends_wh: float
    judged_s: int
    judged_inflow_wh: int
    judged_loss_wh: int
    judged_random_wh: float
    computable: bool
    loss_class: str
    reasons: int


class Revision(NamedTuple):
    number: int
    status: str
    published_h: int | None
    state: State


def is_judged(version: Version) -> bool:
    """Whether its gateway was measured, and little of it was guessed."""
    little = version.random_wh2 <= (0.05 * max(version.inflow_wh, 1)) ** 2
    return version.covered_s > 0 and not version.reasons & MISSING_GATEWAY and little


def version_at(piece: Piece, hour: int) -> Version | None:
    there = [v for v in piece.versions if v.published_h <= hour]
    return there[-1] if there else None


def covers(pieces: list[Piece], begin_h: int, end_h: int) -> bool:
    return all(any(p.begin_h <= h < p.end_h for p in pieces) for h in range(begin_h, end_h))


def state_at(pieces: list[Piece], hour: int, length_h: int, rule: Rule) -> State:
    known = [(p, v) for p in pieces if (v := version_at(p, hour)) is not None]
    there = [(p, v) for p, v in known if v.covered_s > 0]
    used = [(p, v) for p, v in there if not p.whole]
    whole = [(p, v) for p, v in there if p.whole]
    if whole and sum(v.covered_s for _, v in used) < length_h * 3_600:
        used = whole
    reasons = 0
    for p, v in known:
        if not p.whole or used is whole:
            reasons |= v.reasons
    reasons &= ~(OF_THE_LENGTH | NO_TECHNICAL)
    covered = sum(v.covered_s for _, v in used)
    inflow = sum(v.inflow_wh for _, v in used)
    outflow = sum(v.outflow_wh for _, v in used)
    technical: float | None = None
    if used and all(v.technical_wh is not None for _, v in used):
        technical = math.fsum(v.technical_wh for _, v in used if v.technical_wh is not None)
    else:
        reasons |= NO_TECHNICAL
    ends = 0.0
    for p, v in used:
        ends += 0 if any(q.end_h == p.begin_h for q, _ in used) else v.ends_wh2 / 2
        ends += 0 if any(q.begin_h == p.end_h for q, _ in used) else v.ends_wh2 / 2
    shared = math.hypot(math.fsum(v.imported_wh for _, v in used), math.fsum(v.exported_wh for _, v in used))
    sigma = math.sqrt(shared**2 + math.fsum(v.random_wh2 for _, v in used) + ends)
    judged = [v for _, v in used if is_judged(v)]
    judged_s = sum(v.covered_s for v in judged)
    judged_inflow = sum(v.inflow_wh for v in judged)
    judged_loss = judged_inflow - sum(v.outflow_wh for v in judged)
    judged_random = math.sqrt(math.fsum(v.random_wh2 + v.ends_wh2 for v in judged))
    computable = covered > 0 and covered >= rule.min_share * length_h * 3_600
    loss_class = "not_computable"
    if computable and judged_s < 0.4 * length_h * 3_600:
        reasons |= 131_072
    elif computable:
        missing = max(0.0, 1 - covered / (length_h * 3_600))
        guessed = (covered - judged_s) / (length_h * 3_600)
        guessed_wh = math.sqrt(max(0.0, sigma**2 - shared**2 - judged_random**2))
        others = missing * abs(judged_loss) + min(guessed * abs(judged_loss), guessed_wh)
        part = min(1.0, judged_inflow / max(inflow, 1))
        band = 2 * math.hypot(part * shared, judged_random, others)
        if judged_inflow <= 0 or judged_inflow < rule.min_inflow_wh_per_h * judged_s / 3_600:
            reasons |= 128
        elif judged_loss - band > rule.high_rate * judged_inflow:
            loss_class = "high"
        elif judged_loss + band < rule.low_rate * judged_inflow:
            loss_class = "negative"
        elif 2 * band <= (rule.high_rate - rule.low_rate) * judged_inflow:
            loss_class = "normal"
        else:
            reasons |= 1_024
    return State(
        covered, len(used), inflow, outflow, technical, sigma, math.sqrt(ends),
        judged_s, judged_inflow, judged_loss, judged_random, computable, loss_class, reasons,
    )  # fmt: skip


def revisions(pieces: list[Piece], begin_h: int, end_h: int, rule: Rule, last_h: int) -> list[Revision]:
    """Revisions of the period from `begin_h` to `end_h`, looking at every hour up to `last_h`."""
    length_h = end_h - begin_h

    def complete(hour: int) -> bool:
        final = [p for p in pieces if not p.whole and any(v.final and v.published_h <= hour for v in p.versions)]
        return hour >= end_h and covers(final, begin_h, end_h)

    # What has completed it has happened, whatever the clock says.
    until_h = max([rule.until_h, *[h for h in range(last_h + 1) if complete(h)][:1]])

    def is_over(hour: int) -> bool:
        return complete(hour) or (until_h >= rule.late_h and hour >= rule.late_h)

    found: list[Revision] = []
    over = False
    for hour in range(last_h + 1):
        ends_now = not over and is_over(hour)
        over = over or ends_now
        early = until_h >= rule.early_h and hour >= rule.early_h
        if not (over or early):
            continue
        state = state_at(pieces, hour, length_h, rule)
        if not found or ends_now or state != found[-1].state:
            status = "final" if ends_now else "restated" if over else "provisional"
            found.append(Revision(len(found) + 1, status, hour, state))
    if found:
        return found
    return [Revision(0, "provisional", None, state_at(pieces, last_h, length_h, rule))]
