"""When the loss of a unit is worth an alert; pure.

Nothing alarms unless the whole band, loss ± z·σ, lies outside the threshold. Percent thresholds are for days, so the
rules see sums over a window and never one interval.

The σ of a sum is taken as the sum of the σ of its intervals. A meter's class error is systematic: it has the same
sign in every interval and doesn't shrink with their number. The linear sum is what follows when all of the error is
systematic, and an upper bound when part of it (register steps) is random: the band is never too narrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from grid.unit_loss import UnitLoss


class Kind(StrEnum):
    """What is wrong."""

    HIGH_LOSS = "high_loss"
    NEGATIVE_LOSS = "negative_loss"  # wrong data, not gain


class Severity(StrEnum):
    """How much it matters."""

    WARNING = "warning"
    CRITICAL = "critical"


class Event(StrEnum):
    """What became of an alert."""

    OPENED = "opened"
    UPDATED = "updated"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """When to alarm.

    Attributes
    ----------
    threshold_rate
        Loss over supply, in (0, 1). Utilities set 0.06 to 0.15 for areas.
    super_high_rate
        A band wholly above this is critical.
    min_inflow_wh
        Below this supply in the window a rate says nothing.
    window_h, min_hours
        Length of the window, and how much of it must be settled.
    min_coverage
        Intervals with a smaller share of their members are left out.
    z
        Half width of the band in standard deviations.
    hysteresis
        In (0, 1]: an alert ends when the band reaches back to this part of what opened it.
    """

    threshold_rate: float = 0.10
    super_high_rate: float = 0.30
    min_inflow_wh: int = 10_000
    window_h: float = 24.0
    min_hours: float = 6.0
    min_coverage: float = 0.98
    z: float = 2.0
    hysteresis: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.threshold_rate < self.super_high_rate:
            raise ValueError(f"thresholds must rise from above 0: {self.threshold_rate}, {self.super_high_rate}")
        if not 0 < self.hysteresis <= 1 or self.z < 0 or self.min_inflow_wh < 0:
            raise ValueError("hysteresis must be in (0, 1], z and min_inflow_wh not negative")
        if not 0 <= self.min_hours <= self.window_h or self.window_h <= 0:
            raise ValueError(f"{self.min_hours} of {self.window_h} hours can't be asked for")


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition that holds, with its band as rates of the supply."""

    kind: Kind
    severity: Severity
    loss_rate: float
    low_rate: float
    high_rate: float


@dataclass(frozen=True, slots=True)
class Step:
    """What is to become of the alert of one condition."""

    event: Event
    fingerprint: str
    loss: UnitLoss
    kind: Kind
    severity: Severity


def high_loss(
    supply_wh: float,
    loss_wh: float,
    sigma_wh: float,
    threshold_rate: float,
    min_inflow_wh: float,
    z: float = 2.0,
    super_high_rate: float = 0.30,
) -> Finding | None:
    """A finding when the whole band of the loss lies above `threshold_rate` of the supply.

    Parameters
    ----------
    supply_wh, loss_wh, sigma_wh
        Sums over a window; `sigma_wh` not negative. NaN anywhere finds nothing.
    """
    if not _has_rate(supply_wh, min_inflow_wh) or not loss_wh - z * sigma_wh > threshold_rate * supply_wh:
        return None
    critical = loss_wh - z * sigma_wh > super_high_rate * supply_wh
    severity = Severity.CRITICAL if critical else Severity.WARNING
    return _finding(Kind.HIGH_LOSS, severity, supply_wh, loss_wh, z * sigma_wh)


def negative_loss(
    supply_wh: float, loss_wh: float, sigma_wh: float, min_inflow_wh: float, z: float = 2.0
) -> Finding | None:
    """A finding when the whole band of the loss lies below zero; arguments as of `high_loss`."""
    if not _has_rate(supply_wh, min_inflow_wh) or not loss_wh + z * sigma_wh < 0:
        return None
    return _finding(Kind.NEGATIVE_LOSS, Severity.WARNING, supply_wh, loss_wh, z * sigma_wh)


def judge(loss: UnitLoss, policy: AlertPolicy) -> Finding | None:
    """What is wrong with a unit's loss, if anything; at most one condition can hold."""
    figures = (loss.supply_wh, loss.loss_wh, loss.sigma_wh)
    high = high_loss(*figures, policy.threshold_rate, policy.min_inflow_wh, policy.z, policy.super_high_rate)
    return high or negative_loss(*figures, policy.min_inflow_wh, policy.z)


def has_ended(kind: Kind, loss: UnitLoss, policy: AlertPolicy) -> bool:
    """Whether the band reaches back far enough for an open alert to end.

    It needs a supply by which to tell; an alert whose unit can't be computed stays as it is.
    """
    if not _has_rate(loss.supply_wh, policy.min_inflow_wh):
        return False
    band_wh = policy.z * loss.sigma_wh
    if kind is Kind.HIGH_LOSS:
        return loss.loss_wh - band_wh <= policy.hysteresis * policy.threshold_rate * loss.supply_wh
    return loss.loss_wh + policy.hysteresis * band_wh >= 0


def decide(
    losses: Iterable[UnitLoss], open_kinds: Mapping[str, tuple[Kind, Severity]], policy: AlertPolicy
) -> list[Step]:
    """Steps of all alerts, in the order of `losses`.

    Parameters
    ----------
    open_kinds
        Alerts that are open, by fingerprint.
    """
    steps: list[Step] = []
    for loss in losses:
        if loss.hours < policy.min_hours:
            continue
        finding = judge(loss, policy)
        for kind in Kind:
            fingerprint = fingerprint_of(kind, loss.unit)
            held = open_kinds.get(fingerprint)
            if finding is not None and finding.kind is kind:
                event = Event.OPENED if held is None else Event.UPDATED
                steps.append(Step(event, fingerprint, loss, kind, finding.severity))
            elif held is not None:
                event = Event.RESOLVED if has_ended(kind, loss, policy) else Event.UPDATED
                steps.append(Step(event, fingerprint, loss, kind, held[1]))
    return steps


def fingerprint_of(kind: Kind, unit: str) -> str:
    """Names one condition: while it lasts, it is one alert."""
    return f"{kind.value}:{unit}"


def _has_rate(supply_wh: float, min_inflow_wh: float) -> bool:
    return supply_wh > 0 and supply_wh >= min_inflow_wh


def _finding(kind: Kind, severity: Severity, supply_wh: float, loss_wh: float, band_wh: float) -> Finding:
    return Finding(
        kind=kind,
        severity=severity,
        loss_rate=loss_wh / supply_wh,
        low_rate=(loss_wh - band_wh) / supply_wh,
        high_rate=(loss_wh + band_wh) / supply_wh,
    )
