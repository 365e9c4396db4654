"""Steps in a series of differences that are known in shape and not in size: how much of each is there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: An effect is taken when it is this many of its standard deviations.
_CLEAR = 3.0
#: The same where the beginning was looked for, so that chance has had many tries (Andrews 1993).
_CLEAR_LATE = 4.0
#: Above this variance inflation two effects are one.
_INFLATION = 100.0
#: Differences beyond the number of effects, below which nothing is looked for.
_SPARE = 10
#: Share of what is to be explained that a slope must explain.
_FITS = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """What a recorded change would make of each difference if its record were wrong; shape (n,), NaN = not known.

    Attributes
    ----------
    step_wh
        If nothing has changed in truth.
    late_wh
        If it had changed earlier than recorded; None = that can't be.
    least
        Least share of it that can be there: 0, or −1 where the sense is open. The greatest is 1.
    """

    step_wh: Floats
    late_wh: Floats | None
    least: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What of a candidate is there.

    Attributes
    ----------
    wh, sigma_wh
        Its effect over all differences; NaN where none can be told.
    share
        Share of the candidate that is there: 0, the record is right; 1, wrong by all of it.
    first
        Where the record came late, rather than being of something that didn't happen: the first difference that it is
        wrong in; else None.
    note
        Why nothing is told: ``few_pairs``, ``no_energy``, ``not_separable``, ``not_clear``; else empty.
    """

    wh: int = 0
    sigma_wh: float = 0.0
    share: float = 0.0
    first: int | None = None
    note: str = ""


def fit_steps(rest_wh: Floats, candidates: Sequence[Candidate]) -> list[Outcome]:
    """Say how much of each candidate is in the differences, all at once beside an unknown change of them all.

    Parameters
    ----------
    rest_wh
        Differences in the order of time, shape (n,), finite.

    Returns
    -------
    list of Outcome
        One for each candidate.

    Notes
    -----
    Ordinary least squares with an intercept. What isn't clear is left out one by one, the least clear first, so that
    the result doesn't depend on an order of causes. Standard errors allow for residuals that follow each other: n
    counts as n (1 − ρ) / (1 + ρ) (Bartlett 1935). All arithmetic is symmetric under a change of sign.
    """
    outcomes, columns = [], []
    for candidate in candidates:
        first = _late_from(rest_wh, candidate)
        column = candidate.step_wh
        if first is not None and candidate.late_wh is not None:
            column = np.where(np.arange(len(rest_wh)) < first, 0.0, candidate.late_wh)
        there = column[np.isfinite(column)]
        columns.append(column)
        note = "" if np.any(there) else "no_energy" if len(there) < len(column) else "nothing"
        outcomes.append(Outcome(first=first, note=note))
    kept = [n for n, outcome in enumerate(outcomes) if not outcome.note]
    while kept:
        known = np.all([np.isfinite(columns[n]) for n in kept], axis=0)
        share = sigma = np.zeros(len(kept))
        lacking, note = list(kept), "few_pairs"
        if np.count_nonzero(known) > len(kept) + _SPARE:
            share, sigma, apart = _fit(rest_wh[known], np.column_stack([columns[n][known] for n in kept]))
            lacking, note = [n for n, of in zip(kept, apart, strict=True) if not of], "not_separable"
            if not lacking:
                lacking, note = _least_clear(kept, share, sigma, candidates, outcomes), "not_clear"
        if not lacking:
            for n, of, error in zip(kept, share, sigma, strict=True):
                outcomes[n] = _taken(outcomes[n], columns[n], max(candidates[n].least, float(of)), float(error))
            break
        for n in lacking:
            unsure = math.nan
            if note == "not_clear":  # as much may be hidden
                unsure = abs(float(sigma[kept.index(n)]) * math.fsum(columns[n][np.isfinite(columns[n])]))
            outcomes[n] = Outcome(note=note, sigma_wh=unsure)
        kept = [n for n in kept if n not in lacking]
    return [replace(outcome, note="") if outcome.note == "nothing" else outcome for outcome in outcomes]


def _taken(outcome: Outcome, column: Floats, share: float, sigma: float) -> Outcome:
    """A candidate that is there, with at most all of its size."""
    total = math.fsum(column[np.isfinite(column)])
    share = min(1.0, share)
    return replace(outcome, wh=round(share * total), sigma_wh=abs(sigma * total), share=share)


def fit_slope(x: Floats, y: Floats) -> tuple[float, float] | None:
    """Slope of y over x, beside an unknown change of all, with its standard deviation; None where it isn't clear.

    Only a slope above 0 that explains half of the variance of y counts.
    """
    if len(x) < 2 + _SPARE:
        return None
    share, sigma, apart = _fit(y, x[:, None])
    if not apart[0] or share[0] <= _CLEAR * sigma[0]:
        return None
    centred = y - np.mean(y)
    left = centred - share[0] * (x - np.mean(x))
    if np.sum(left * left) > (1 - _FITS) * np.sum(centred * centred):
        return None
    return float(share[0]), float(sigma[0])


def _fit(rest: Floats, columns: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Coefficients of columns with their standard deviations, and which can be told from each other and from 1."""
    centred = columns - np.mean(columns, axis=0)
    size = np.sqrt(np.sum(centred * centred, axis=0))
    apart = size > 1e-6 * np.sqrt(np.sum(columns * columns, axis=0))
    nothing = np.zeros(columns.shape[1])
    if not apart.all():
        return nothing, nothing, apart
    scaled = centred / size
    inverse = np.linalg.pinv(scaled.T @ scaled, rcond=1e-9, hermitian=True)
    alone = np.abs(scaled.T @ scaled @ inverse - np.eye(len(size))).max(axis=0) < 1e-6
    apart = alone & (np.diag(inverse) < _INFLATION)
    if not apart.all():
        return nothing, nothing, apart
    y = rest - np.mean(rest)
    found = inverse @ (scaled.T @ y)
    left = y - scaled @ found
    squares = float(np.sum(left * left))
    # Below what rounding to watt-hours makes nothing is clear.
    squares = max(squares, len(y) / 12)
    following = min(0.95, max(0.0, float(np.sum(left[1:] * left[:-1])) / squares))
    freedom = len(y) - len(size) - 1
    variance = squares / freedom * (1 + following) / (1 - following)
    return found / size, np.sqrt(variance * np.diag(inverse)) / size, apart


def _least_clear(
    kept: Sequence[int], share: Floats, sigma: Floats, candidates: Sequence[Candidate], outcomes: Sequence[Outcome]
) -> list[int]:
    """The candidate that is least clear of those that aren't; none where all are."""
    clear = []
    for n, of, error in zip(kept, share, sigma, strict=True):
        size = abs(of) if candidates[n].least < 0 else of
        clear.append(size / error / (_CLEAR if outcomes[n].first is None else _CLEAR_LATE))
    worst = int(np.argmin(clear))
    return [kept[worst]] if clear[worst] <= 1.0 else []


def _late_from(rest: Floats, candidate: Candidate) -> int | None:
    """From which difference on a late record is wrong; None where one of something that didn't happen fits better.

    Where both fit alike, as with an energy that is the same throughout, the one stands that leaves less to a change of
    all differences.
    """
    if candidate.late_wh is None:
        return None
    known = np.isfinite(candidate.step_wh) & np.isfinite(candidate.late_wh)
    step_wh, late_wh = candidate.step_wh[known], candidate.late_wh[known]
    if not np.any(late_wh):
        return None
    first = _first(rest[known], late_wh)
    step_left, step_level = _misfit(rest[known], step_wh)
    late_left, late_level = _misfit(rest[known], np.where(np.arange(len(late_wh)) < first, 0.0, late_wh))
    if abs(step_left - late_left) > 0.01 * max(step_left, late_left):
        late = late_left < step_left
    else:
        late = late_level < step_level
    return int(np.flatnonzero(known)[first]) if late else None


def _first(rest: Floats, late: Floats) -> int:
    """The beginning that lets a late record explain most: of all ends of the series, in one pass from its end."""
    y = rest - np.mean(rest)
    total = np.cumsum(late[::-1])[::-1]
    size = np.cumsum((late * late)[::-1])[::-1] - total * total / len(late)
    along = np.cumsum((late * y)[::-1])[::-1]
    share = np.clip(np.divide(along, size, out=np.zeros_like(size), where=size > 0), 0.0, 1.0)
    return int(np.argmax(share * (2 * along - share * size)))


def _misfit(rest: Floats, column: Floats) -> tuple[float, float]:
    """Squares that a candidate of at most all its size leaves, and the size of the change of all beside it."""
    centred, y = column - np.mean(column), rest - np.mean(rest)
    size = float(np.sum(centred * centred))
    share = min(1.0, max(0.0, float(np.sum(centred * y)) / size)) if size > 0 else 0.0
    left = y - share * centred
    return float(np.sum(left * left)), abs(float(np.mean(rest) - share * np.mean(column)))
