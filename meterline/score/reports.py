"""Device events that were stored against those that meters sent, and how soon an outage was known; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from grid.device_events import DeviceEventKind
from twin.truth_reports import ReportRows

NOT_TOLD = "the truth has no device events"
#: Unit, meter, kind and instant in microseconds.
Key = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True)
class ReportCounts:
    """Device events of one kind, or of all: what meters said, what of it was sent, and what of that is stored."""

    said: int
    sent: int
    stored: int
    unexpected: int
    """Stored, and never sent."""


@dataclass(frozen=True, slots=True)
class ReportScore:
    """Device events; figures are None where `reason` says why.

    Attributes
    ----------
    by_kind
        What the truth or the store has any of.
    outages
        Of which a meter could tell; `known` by a stored last gasp of one meter at least, `delay_median_s` and
        `delay_p90_s` after their begin as meters saw it, by the time of receipt.
    """

    all: ReportCounts | None
    by_kind: dict[str, ReportCounts]
    outages: int | None
    known: int | None
    delay_median_s: float | None
    delay_p90_s: float | None
    reason: str | None


def score_reports(truth: ReportRows | None, stored: Mapping[Key, int]) -> ReportScore:
    """Compare what meters said with what is stored.

    Parameters
    ----------
    stored
        When each stored event was first received, microseconds.
    """
    if truth is None:
        return ReportScore(None, {}, None, None, None, None, NOT_TOLD)
    observed, sent_us = truth.observed_us.tolist(), truth.sent_us.tolist()
    keys: list[Key] = list(zip(truth.unit, truth.meter, truth.kind, observed, strict=True))
    sent = {key for key, at_us in zip(keys, sent_us, strict=True) if at_us}
    kinds = sorted({key[2] for key in keys} | {key[2] for key in stored})
    begun: dict[int, int] = {}
    heard: dict[int, int] = {}
    for key, number in zip(keys, truth.number.tolist(), strict=True):
        if key[2] == DeviceEventKind.LAST_GASP:
            begun[number] = min(key[3], begun.get(number, key[3]))
            if key in stored:
                heard[number] = min(stored[key], heard.get(number, stored[key]))
    delays_s = [(heard[number] - begun[number]) / 1e6 for number in heard]
    return ReportScore(
        all=_counts(keys, sent, stored),
        by_kind={
            kind: _counts(_of(keys, kind), set(_of(sent, kind)), dict.fromkeys(_of(stored, kind), 0)) for kind in kinds
        },
        outages=len(begun),
        known=len(heard),
        delay_median_s=float(np.median(delays_s)) if delays_s else None,
        delay_p90_s=float(np.percentile(delays_s, 90)) if delays_s else None,
        reason=None,
    )


def _of(keys: Iterable[Key], kind: str) -> list[Key]:
    return [key for key in keys if key[2] == kind]


def _counts(said: list[Key], sent: set[Key], stored: Mapping[Key, int]) -> ReportCounts:
    return ReportCounts(len(said), len(sent), len(sent & stored.keys()), len(stored.keys() - sent))
