"""Oracle of what is stored of SCADA points, in plain Python; imports nothing of the package."""

from __future__ import annotations

import math
from typing import NamedTuple

MINUTE_US = 60_000_000


class Report(NamedTuple):
    point: int
    observed_at_us: int
    value: float
    quality: int


class Message(NamedTuple):
    digest: int
    sequence: int
    received_at_us: int
    reports: tuple[Report, ...]


def rank(quality: int) -> int:
    if quality & (1 | 16 | 64 | 128):
        return 0
    return 1 if quality & 32 else 2


def _ordered(value: float) -> tuple[bool, float]:
    return (True, 0.0) if math.isnan(value) else (False, value)


def history(messages: list[Message]) -> dict[tuple[int, int], tuple[int, list[tuple[int, int, str, int]]]]:
    """By (minute, digest): earliest receipt, and the reports as a multiset."""
    rows: dict[tuple[int, int], tuple[int, list[tuple[int, int, str, int]]]] = {}
    for message in messages:
        minutes: dict[int, list[tuple[int, int, str, int]]] = {}
        for r in message.reports:
            minute = r.observed_at_us - r.observed_at_us % MINUTE_US
            minutes.setdefault(minute, []).append((r.point, r.observed_at_us, repr(r.value), r.quality))
        for minute, reports in minutes.items():
            key = (minute, message.digest)
            received = min(message.received_at_us, rows[key][0]) if key in rows else message.received_at_us
            rows[key] = (received, sorted(reports))
    return rows


def last(messages: list[Message]) -> dict[int, tuple[int, str, int, int, int]]:
    """By point: instant, value, quality, sequence and receipt of the report that stands."""
    best: dict[int, tuple[tuple[object, ...], tuple[int, str, int, int, int]]] = {}
    for message in messages:
        for r in message.reports:
            key = (
                r.observed_at_us,
                rank(r.quality),
                _ordered(r.value),
                r.quality,
                message.sequence,
                -message.received_at_us,
            )
            row = (r.observed_at_us, repr(r.value), r.quality, message.sequence, message.received_at_us)
            if r.point not in best or key > best[r.point][0]:
                best[r.point] = (key, row)
    return {point: row for point, (_, row) in best.items()}
