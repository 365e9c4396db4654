"""Oracle of scoring in plain Python; imports nothing of the package."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

Key = tuple[int, int, int]
DAY = 86_400


class TrueLoss(NamedTuple):
    loss_wh: float
    supply_wh: float


class Stored(NamedTuple):
    loss_wh: float
    sigma_wh: float
    computable: bool


class Happened(NamedTuple):
    number: int
    kind: str
    group: str  # "wanted", "innocent" or "operation"
    begin_s: int
    end_s: int | None
    names: set[str]
    units: set[str]
    everywhere: bool


class Raised(NamedTuple):
    alert_id: int
    critical: bool
    unit: str
    meter: str | None
    opened_s: int
    size_wh: float


def mean(values: list[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def percentile(values: list[float], percent: float) -> float | None:
    if not values:
        return None
    values = sorted(values)
    place = (len(values) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def losses(truth: dict[Key, TrueLoss], stored: dict[Key, Stored]) -> dict[str, Any]:
    errors, rates, within = [], [], []
    error_with_supply, supply = [], []
    rows = 0
    for key, true in truth.items():
        if key not in stored:
            continue
        rows += 1
        row = stored[key]
        if not row.computable:
            continue
        error = row.loss_wh - true.loss_wh
        errors.append(error)
        if true.supply_wh > 0:
            rates.append(abs(error) / true.supply_wh)
            error_with_supply.append(error)
            supply.append(true.supply_wh)
        if not math.isnan(row.sigma_wh):
            within.append(1.0 if abs(error) <= 2 * row.sigma_wh else 0.0)
    sizes = [abs(e) for e in errors]
    return {
        "intervals": len(truth),
        "stored": rows,
        "computable": len(errors),
        "completeness": len(errors) / len(truth) if truth else None,
        "mean_abs_wh": mean(sizes),
        "median_abs_wh": percentile(sizes, 50),
        "p95_abs_wh": percentile(sizes, 95),
        "mean_abs_rate": mean(rates),
        "median_abs_rate": percentile(rates, 50),
        "p95_abs_rate": percentile(rates, 95),
        "bias_wh": mean(errors),
        "bias_rate": math.fsum(error_with_supply) / math.fsum(supply) if supply else None,
        "band_intervals": len(within),
        "band_coverage": mean(within),
    }


def matches(event: Happened, alert: Raised, *, by_name: bool) -> bool:
    if alert.opened_s < event.begin_s:
        return False
    if event.end_s is not None and alert.opened_s > event.end_s and alert.opened_s > event.begin_s + 7 * DAY:
        return False
    if event.everywhere:
        return True
    own = alert.unit if alert.meter is None else alert.meter
    return own in event.names or (not by_name and (alert.unit in event.units | event.names or own in event.units))


def recall(
    events: list[Happened], alerts: list[Raised], begin_s: int, end_s: int, kind: str | None, *, by_name: bool
) -> tuple[int, int, list[float]]:
    sought = [
        e for e in events if e.group == "wanted" and begin_s <= e.begin_s < end_s and (kind is None or e.kind == kind)
    ]
    delays = []
    for event in sought:
        opened = [a.opened_s for a in alerts if matches(event, a, by_name=by_name)]
        if opened:
            delays.append(float(min(opened) - event.begin_s))
    return len(sought), len(delays), delays


def ranked(alerts: list[Raised]) -> list[Raised]:
    return sorted(alerts, key=lambda a: (0 if a.critical else 1, -a.size_wh, a.opened_s, a.alert_id))


def right_among(events: list[Happened], alerts: list[Raised], k: int, *, by_name: bool) -> int:
    wanted = [e for e in events if e.group == "wanted"]
    return sum(any(matches(e, a, by_name=by_name) for e in wanted) for a in ranked(alerts)[:k])


def false_alarms(events: list[Happened], alerts: list[Raised]) -> dict[str, int]:
    counts = {"alarms": 0, "during_innocent": 0, "during_operation": 0, "unexplained": 0}
    for alert in alerts:
        groups = {e.group for e in events if matches(e, alert, by_name=False)}
        if "wanted" in groups:
            continue
        counts["alarms"] += 1
        if "innocent" in groups:
            counts["during_innocent"] += 1
        elif "operation" in groups:
            counts["during_operation"] += 1
        else:
            counts["unexplained"] += 1
    return counts
