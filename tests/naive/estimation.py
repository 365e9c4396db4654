"""Oracle of the estimation of missing energies in plain Python; imports nothing of the package."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import NormalDist
from typing import NamedTuple

STRATA = 24
NORMAL = NormalDist()


class Settings(NamedTuple):
    days: int
    memory_days: float
    other_day_type: float
    beside: float
    neighbours: int
    fast: float
    slow: float
    common_pairs: float
    fast_hours: float
    slow_hours: float
    error_fast: float
    error_slow: float


class Filled(NamedTuple):
    energy_wh: list[int | None]
    variance_wh2: list[float]
    #: Variance of the sum of each run of missing values, by its first interval; without registers only.
    sum_variance_wh2: dict[int, float]


class Case(NamedTuple):
    wh: list[int | None]
    slot: list[int]
    day_type: list[int]
    minutes: float
    online: bool
    settings: Settings


def runs(wh: list[int | None]) -> list[tuple[int, int]]:
    begins = [t for t, x in enumerate(wh) if x is None and (t == 0 or wh[t - 1] is not None)]
    return [(b, next((t for t in range(b, len(wh)) if wh[t] is not None), len(wh))) for b in begins]


def history(case: Case, t: int, end: int) -> list[tuple[float, float]]:
    """Values and weights, sorted by value."""
    alike = [u for u in range(len(case.wh)) if case.slot[u] == case.slot[t]]
    own = alike.index(t)
    out = []
    for index, u in enumerate(alike):
        away = abs(index - own)
        if not 1 <= away <= case.settings.days:
            continue
        weight = math.exp(-away / case.settings.memory_days)
        weight *= 1.0 if case.day_type[u] == case.day_type[t] else case.settings.other_day_type
        for v, share in ((u - 1, case.settings.beside), (u, 1.0), (u + 1, case.settings.beside)):
            if 0 <= v < end and weight * share > 0:
                x = case.wh[v]
                if x is not None:
                    out.append((float(x), weight * share))
    return sorted(out)


def strata(values: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Mean and mean square of each of equally likely parts, by integrating the step-like quantile function."""
    total = math.fsum(w for _, w in values)
    edges = [0.0]
    for _, w in values:
        edges.append(edges[-1] + w / total)
    edges[-1] = 1.0
    out = []
    for j in range(STRATA):
        low, high = j / STRATA, (j + 1) / STRATA
        parts = [(max(min(edges[i + 1], high) - max(edges[i], low), 0.0), x) for i, (x, _) in enumerate(values)]
        out.append((math.fsum(p * x for p, x in parts) * STRATA, math.fsum(p * x * x for p, x in parts) * STRATA))
    return out


def quantile(means: list[float], z: float) -> float:
    at = STRATA * NORMAL.cdf(z) - 0.5
    if at < 0:
        return means[0] * (1 + 2 * at)
    if at >= STRATA - 1:
        return means[-1]
    j = math.floor(at)
    return means[j] + (at - j) * (means[j + 1] - means[j])


def place(values: list[tuple[float, float]], x: float) -> tuple[float, float]:
    if not values:
        return 0.0, 0.0
    below = math.fsum(w for v, w in values if v < x) + 0.5 * math.fsum(w for v, w in values if v == x)
    z = NORMAL.inv_cdf((below + 0.5) / (math.fsum(w for _, w in values) + 1.0))
    return z, x - quantile([m for m, _ in strata(values)], z)


def correlation(case: Case, apart: int) -> float:
    if apart == 0:
        return 1.0
    s, hours = case.settings, apart * case.minutes / 60
    return s.fast * math.exp(-hours / s.fast_hours) + s.slow * math.exp(-hours / s.slow_hours)


def own_scale(case: Case, begin: int, end: int, until: int) -> float:
    """What the common correlation is multiplied by for the meter's own, from other days at both ends of a gap."""
    s, pairs = case.settings, []
    for t in (begin,) if case.online else (begin, end):
        if not 1 <= t < len(case.wh):
            continue
        here, before = history(case, t, until), history(case, t - 1, until)
        alike = [u for u in range(len(case.wh)) if case.slot[u] == case.slot[t]]
        own = alike.index(t)
        for index, u in enumerate(alike):
            away = abs(index - own)
            if not (1 <= away <= s.days and 1 <= u < until and here and before):
                continue
            x, y = case.wh[u], case.wh[u - 1]
            if x is None or y is None or case.slot[u - 1] != case.slot[t - 1]:
                continue
            weight = math.exp(-away / s.memory_days) * (
                1.0 if case.day_type[u] == case.day_type[t] else s.other_day_type
            )
            pairs.append((weight, share_below(here, x), share_below(before, y)))
    expected = correlation(case, 1)
    squares = math.fsum(w * p * p for w, p, _ in pairs) * math.fsum(w * q * q for w, _, q in pairs)
    if not squares > 0 or not expected > 0:
        return 1.0
    seen = math.fsum(w * p * q for w, p, q in pairs) / math.sqrt(squares)
    count = math.fsum(w for w, _, _ in pairs) ** 2 / math.fsum(w * w for w, _, _ in pairs)
    joined = (count * seen + s.common_pairs * expected) / (count + s.common_pairs)
    return min(max(joined / expected, 0.0), 0.97 / (s.fast + s.slow))


def share_below(values: list[tuple[float, float]], x: float) -> float:
    """Less a half; ties count half."""
    below = math.fsum(w for v, w in values if v < x) + 0.5 * math.fsum(w for v, w in values if v == x)
    return below / math.fsum(w for _, w in values) - 0.5


class Guess(NamedTuple):
    means: list[float]
    z: float
    spread: float
    expected: float
    sigma: float


def beside(case: Case, begin: int, end: int, until: int) -> list[tuple[int, float]]:
    """Known values next to a gap, with their intervals, as far as each has a history."""
    out = []
    for side in (range(begin - 1, -1, -1), range(end, len(case.wh) if not case.online else end)):
        for u in side[: case.settings.neighbours]:
            x = case.wh[u]
            if x is None:
                break
            if history(case, u, until):
                out.append((u, float(x)))
    return out


def solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Gauss and Jordan's elimination with pivots."""
    rows = [[*line, r] for line, r in zip(matrix, right, strict=True)]
    for i in range(len(rows)):
        best = max(range(i, len(rows)), key=lambda k: abs(rows[k][i]))
        rows[i], rows[best] = rows[best], rows[i]
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for k in range(len(rows)):
            if k != i:
                rows[k] = [x - rows[k][i] * y for x, y in zip(rows[k], rows[i], strict=True)]
    return [line[-1] for line in rows]


def guess(case: Case, t: int, begin: int, end: int) -> Guess | None:
    until = begin if case.online else len(case.wh)
    left = case.wh[begin - 1] if begin > 0 else None
    right = case.wh[end] if end < len(case.wh) and not case.online else None
    values = history(case, t, until)
    if not values:
        if left is None and right is None:
            return None
        a = float(left if left is not None else right or 0)
        b = float(right if right is not None else left or 0)
        level = a + (b - a) * (t - begin + 1) / (end - begin + 1)
        return Guess([level] * STRATA, 0.0, 1.0, level, math.sqrt((b - a) ** 2 / 4 + level**2 / 4))
    known = beside(case, begin, end, until)
    own = own_scale(case, begin, end, until)
    apart = [[1.0 if u == v else own * correlation(case, abs(u - v)) for v, _ in known] for u, _ in known]
    towards = [own * correlation(case, abs(u - t)) for u, _ in known]
    by = solved(apart, towards)
    placed = [place(history(case, u, until), x) for u, x in known]
    z = math.fsum(w * score for w, (score, _) in zip(by, placed, strict=True))
    spread = math.sqrt(1 - math.fsum(w * c for w, c in zip(by, towards, strict=True)))
    passing = math.exp(-case.minutes / 60 / case.settings.fast_hours)
    shift = math.fsum(
        w * beyond * passing ** (abs(u - t) - 1)
        for w, (_, beyond), (u, _) in zip(by, placed, known, strict=True)
        if u in (begin - 1, end)
    )
    moved = [(max(m + shift, 0.0), s - m**2 + max(m + shift, 0.0) ** 2) for m, s in strata(values)]
    limits = [-math.inf, *(NORMAL.inv_cdf(j / STRATA) for j in range(1, STRATA)), math.inf]
    chance = [NORMAL.cdf((high - z) / spread) - NORMAL.cdf((low - z) / spread) for low, high in pairwise(limits)]
    first = math.fsum(p * m for p, (m, _) in zip(chance, moved, strict=True))
    second = math.fsum(p * s for p, (_, s) in zip(chance, moved, strict=True))
    return Guess([m for m, _ in moved], z, spread, first, math.sqrt(max(second - first**2, 0.0)))


def laid_out(total: int, guesses: list[Guess]) -> list[int]:
    low, high = -8.0, 8.0
    shape = [0.0] * len(guesses)
    for _ in range(40):
        k = (low + high) / 2
        shape = [quantile(g.means, g.z + g.spread * k) for g in guesses]
        low, high = (k, high) if math.fsum(shape) < total else (low, k)
    reached = math.fsum(shape)
    shape = [x * total / reached if reached > 0 else total / len(shape) for x in shape]
    out = [math.floor(x) for x in shape]
    for i in sorted(range(len(shape)), key=lambda i: out[i] - shape[i])[: total - sum(out)]:
        out[i] += 1
    return out


def error_covariance(case: Case, at: list[int], sigma: list[float]) -> list[list[float]]:
    s = case.settings

    def correlated(apart: int) -> float:
        hours = apart * case.minutes / 60
        return s.error_fast * math.exp(-hours / s.fast_hours) + s.error_slow * math.exp(-hours / s.slow_hours)

    return [
        [a * b * (1.0 if t == u else correlated(abs(t - u))) for b, u in zip(sigma, at, strict=True)]
        for a, t in zip(sigma, at, strict=True)
    ]


def fill(case: Case) -> Filled:
    """Without registers."""
    energy, variance, sums = list(case.wh), [0.0] * len(case.wh), {}
    for begin, end in runs(case.wh):
        guesses = [guess(case, t, begin, end) for t in range(begin, end)]
        known = [(t, g) for t, g in zip(range(begin, end), guesses, strict=True) if g is not None]
        for t, g in zip(range(begin, end), guesses, strict=True):
            variance[t] = math.nan if g is None else 0.0
        if not known:
            continue
        if case.online:
            values = [math.floor(g.expected + 0.5) for _, g in known]
        else:
            values = laid_out(math.floor(math.fsum(g.expected for _, g in known) + 0.5), [g for _, g in known])
        for (t, g), x in zip(known, values, strict=True):
            energy[t], variance[t] = x, g.sigma**2 + (x - g.expected) ** 2
        covariance = error_covariance(case, [t for t, _ in known], [g.sigma for _, g in known])
        sums[begin] = math.fsum(math.fsum(line) for line in covariance)
    return Filled(energy, variance, sums)


def fill_to_register(case: Case, begin: int, end: int, total: int, step: float) -> Filled:
    """One run of missing values, the sum of which is known; its intervals must all have a history or a neighbour."""
    guesses = [g for t in range(begin, end) if (g := guess(case, t, begin, end)) is not None]
    at = list(range(begin, end))
    values = laid_out(total, guesses)
    prior = math.fsum(g.expected for g in guesses)
    scale = math.sqrt(total / prior) if prior > 0 else 1.0
    covariance = error_covariance(case, at, [g.sigma * scale for g in guesses])
    of_sum = math.fsum(math.fsum(line) for line in covariance)
    energy, variance = list(case.wh), [0.0] * len(case.wh)
    for i, t in enumerate(at):
        with_sum = math.fsum(covariance[i])
        learned = with_sum / (of_sum + step) if of_sum > 0 else 0.0
        off = values[i] - guesses[i].expected - learned * (total - prior)
        energy[t] = values[i]
        variance[t] = max(covariance[i][i] - learned * with_sum, 0.0) + off**2
    left = of_sum - of_sum**2 / (of_sum + step) if of_sum + step > 0 else 0.0
    return Filled(energy, variance, {begin: left})
