"""When the loss of a unit is worth an alert; pure.

Nothing alarms unless the whole band, loss ± z·σ, lies outside the threshold that holds for the unit at the window's
end (考核指标, `grid.thresholds`). Percent thresholds are for days, so the rules see sums over a window and never one
interval.

The σ of a sum is taken as the sum of the σ of its intervals. A meter's class error is systematic: it has the same
sign in every interval and doesn't shrink with their number. The linear sum is what follows when all of the error is
systematic, and an upper bound when part of it (register steps) is random: the band is never too narrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from grid.finding import Finding, Scalar, Severity, fingerprint_of
from grid.model import UnitKind
from grid.thresholds import BAND, Threshold, Thresholds
from grid.unit_loss import UnitLoss

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Kind(StrEnum):
    """What is wrong."""

    HIGH_LOSS = "high_loss"
    NEGATIVE_LOSS = "negative_loss"  # wrong data, not gain


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """When to alarm, beside the thresholds.

    Attributes
    ----------
    super_high_rate
        A band wholly above this, and above 1.5 times the threshold, is critical.
    window_h, min_hours
        Length of the window, and how much of it must be settled.
    min_coverage
        Intervals with a smaller share of their members are left out.
    z
        Half width of the band in standard deviations.
    hysteresis
        In (0, 1]: an alert ends when the band reaches back to this part of what opened it.
    """

    super_high_rate: float = 0.30
    window_h: float = 24.0
    min_hours: float = 6.0
    min_coverage: float = 0.98
    z: float = BAND
    hysteresis: float = 0.9

    def __post_init__(self) -> None:
        if not self.super_high_rate > 0:
            raise ValueError(f"a super high rate of {self.super_high_rate}")
        if not 0 < self.hysteresis <= 1 or self.z < 0:
            raise ValueError("hysteresis must be in (0, 1], z not negative")
        if not 0 <= self.min_hours <= self.window_h or self.window_h <= 0:
            raise ValueError(f"{self.min_hours} of {self.window_h} hours can't be asked for")


@dataclass(frozen=True, slots=True)
class Excess:
    """A condition that holds."""

    kind: Kind
    severity: Severity
    limit_rate: float
    """The threshold that the band lies beyond."""


def judge(loss: UnitLoss, threshold: Threshold, policy: AlertPolicy) -> Excess | None:
    """What is wrong with a unit's loss, if anything; at most one condition can hold. NaN finds nothing."""
    supply_wh, band_wh = loss.supply_wh, policy.z * loss.sigma_wh
    if not _has_rate(loss, threshold):
        return None
    if loss.loss_wh - band_wh > threshold.high_rate * supply_wh:
        critical = loss.loss_wh - band_wh > max(policy.super_high_rate, 1.5 * threshold.high_rate) * supply_wh
        return Excess(Kind.HIGH_LOSS, Severity.CRITICAL if critical else Severity.WARNING, threshold.high_rate)
    if loss.loss_wh + band_wh < threshold.low_rate * supply_wh:
        return Excess(Kind.NEGATIVE_LOSS, Severity.WARNING, threshold.low_rate)
    return None


def has_ended(kind: Kind, loss: UnitLoss, threshold: Threshold, policy: AlertPolicy) -> bool:
    """Whether the band reaches back far enough for a condition to end.

    It needs a supply by which to tell; a condition whose unit can't be computed stays as it is.
    """
    if not _has_rate(loss, threshold):
        return False
    band_wh, slack = policy.z * loss.sigma_wh, 1 - policy.hysteresis
    if kind is Kind.HIGH_LOSS:
        limit_rate = threshold.high_rate - slack * abs(threshold.high_rate)
        return loss.loss_wh - band_wh <= limit_rate * loss.supply_wh
    limit_rate = threshold.low_rate + slack * abs(threshold.low_rate)
    return loss.loss_wh + policy.hysteresis * band_wh >= limit_rate * loss.supply_wh


def find_losses(
    losses: Iterable[UnitLoss], holding: Mapping[str, Severity], thresholds: Thresholds, policy: AlertPolicy
) -> list[Finding]:
    """Findings of all units, in the order of `losses`: what holds, and what has ended.

    Parameters
    ----------
    holding
        Severity of the findings that hold, by fingerprint.
    """
    found: list[Finding] = []
    for loss in losses:
        if loss.hours < policy.min_hours:
            continue
        until_us = (loss.until - _EPOCH) // timedelta(microseconds=1)
        threshold = thresholds.at(UnitKind(loss.unit_kind), until_us, loss.medium_voltage_v)
        excess = judge(loss, threshold, policy)
        for kind in Kind:
            held = holding.get(fingerprint_of(kind, loss.unit))
            if excess is not None and excess.kind is kind:
                found.append(_finding(kind, excess.severity, loss, excess.limit_rate, policy, holds=True))
            elif held is not None:
                limit_rate = threshold.high_rate if kind is Kind.HIGH_LOSS else threshold.low_rate
                holds = not has_ended(kind, loss, threshold, policy)
                found.append(_finding(kind, held, loss, limit_rate, policy, holds=holds))
    return found


def _has_rate(loss: UnitLoss, threshold: Threshold) -> bool:
    return loss.supply_wh > 0 and loss.supply_wh >= threshold.min_inflow_wh_per_h * loss.hours


def _finding(
    kind: Kind, severity: Severity, loss: UnitLoss, limit_rate: float, policy: AlertPolicy, *, holds: bool
) -> Finding:
    return Finding(
        kind=kind,
        severity=severity,
        unit=loss.unit,
        fingerprint=fingerprint_of(kind, loss.unit),
        begin=loss.since,
        seen_at=loss.until,
        holds=holds,
        figures=_figures(loss, limit_rate, policy),
    )


def _figures(loss: UnitLoss, limit_rate: float, policy: AlertPolicy) -> dict[str, Scalar]:
    band_wh = policy.z * loss.sigma_wh
    return {
        "supply_wh": loss.supply_wh,
        "loss_wh": loss.loss_wh,
        "sigma_wh": round(loss.sigma_wh, 1),
        "z": policy.z,
        "loss_rate": _rate(loss.loss_wh, loss.supply_wh),
        "low_rate": _rate(loss.loss_wh - band_wh, loss.supply_wh),
        "high_rate": _rate(loss.loss_wh + band_wh, loss.supply_wh),
        "threshold_rate": limit_rate,
        "window_from": _text(loss.since),
        "window_to": _text(loss.until),
        "settled_h": round(loss.hours, 2),
        "intervals": loss.intervals,
    }


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _rate(energy_wh: float, supply_wh: int) -> float:
    # An alert is held while its unit has no supply; no rate can be told then.
    return round(energy_wh / supply_wh, 6) if supply_wh > 0 else 0.0
