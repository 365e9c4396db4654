"""Makes findings of what was concluded day by day, and hands to alerts those that matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from grid.finding import Finding, Scalar, Severity
from grid.period import midnight_us
from store.blocks import to_datetime
from store.connection import Connection
from store.findings import add_findings
from store.usage import Area, read_conclusions
from store.usage_findings import (
    FindingValues,
    HeldFinding,
    add_finding,
    end_finding,
    link_alerts,
    read_daily_findings,
    update_finding,
)
from streams.steps.usage_decide import UsageKind
from streams.steps.usage_findings import QUIET_DAYS, Run, make_runs

#: What alerts calls it; other kinds stay in the list of suspects.
ALERT_KINDS: Mapping[str, str] = {
    UsageKind.THEFT: "suspected_theft",
    UsageKind.NO_CONTRACT: "uncontracted_use",
    UsageKind.METER_FAULT: "meter_fault",
    UsageKind.WRONG_RECORD: "wrong_record",
    # Of the live rules.
    "zero_with_current": "meter_zero_with_current",
    "reverse_energy": "meter_reverse_energy",
    "voltage": "voltage_violation",
    "overload": "transformer_overload",
    "tampering": "suspected_tampering",
}
#: What the daily job concludes and hands on.
_OF_DAYS = frozenset({UsageKind.THEFT, UsageKind.NO_CONTRACT, UsageKind.METER_FAULT, UsageKind.WRONG_RECORD})
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of findings.

    Attributes
    ----------
    min_confidence, min_wh
        A finding becomes an alert from these on; one that has one keeps it until it is over.
    prices
        Money a kWh by tariff class.
    """

    min_confidence: float = 0.6
    min_wh: int = 20_000
    prices: Mapping[str, float] = field(default_factory=dict)

    def money(self, energy_wh: int, tariff_class: str | None) -> float | None:
        """What an energy is worth; None where the tariff has no price."""
        price = self.prices.get(tariff_class or "")
        return None if price is None else round(energy_wh / 1_000 * price, 2)


def keep_findings(
    connection: Connection, area: Area, through: date, told: Told, zone: ZoneInfo, history_days: int
) -> None:
    """Bring the findings of an area up to a day, inside the caller's transaction."""
    first = max(area.first_day, through - timedelta(days=history_days))
    runs = make_runs(read_conclusions(connection, area.unit_id, first, through), through)
    held = read_daily_findings(connection, area.unit_id, to_datetime(midnight_us(first, zone)))
    told_of: dict[int, Finding] = {}
    for run in runs:
        values = _values(run, told, zone)
        known = _same(held, run, values)
        if known is None:
            finding_id = add_finding(connection, area.unit_id, run.newest.meter, run.newest.kind, "daily", values)
        else:
            held.remove(known)
            finding_id = known.finding_id
            update_finding(connection, finding_id, values)
        alerted = known is not None and known.alert_finding_id is not None
        if alerted or (values.ended_at is None and _matters(run, told)):
            told_of[finding_id] = finding_for_alerts(finding_id, area.unit, run.newest.meter, run.newest.kind, values)
    end = to_datetime(midnight_us(through + _DAY, zone))
    for gone in held:
        # Late data have taken away what it rested on.
        if gone.ended_at is None and gone.source == "daily":
            end_finding(connection, gone.finding_id, max(end, gone.seen_at))
            if gone.alert_finding_id is not None:
                told_of[gone.finding_id] = over_for_alerts(
                    gone.finding_id, area.unit, gone.meter, gone.kind, gone.opened_at, max(end, gone.seen_at)
                )
    add_findings(connection, told_of.values())
    link_alerts(connection, sorted(told_of))


def finding_for_alerts(finding_id: int, unit: str, meter: str | None, kind: str, values: FindingValues) -> Finding:
    """A finding as alerts takes it; the same number makes the same condition."""
    figures: dict[str, Scalar] = {
        "usage_finding": finding_id,
        "confidence": round(values.confidence, 3),
        "expected_wh": values.expected_wh,
        "expected_money": values.expected_money,
        "begin_at": values.begin_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "reasons": ", ".join(values.reasons),
    }
    return Finding(
        kind=ALERT_KINDS.get(kind, kind),
        severity=Severity.WARNING,
        unit=unit,
        fingerprint=_fingerprint(finding_id),
        begin=values.begin_at,
        seen_at=max(values.ended_at or values.seen_at, values.begin_at),
        holds=values.ended_at is None,
        meter=meter,
        figures={name: value for name, value in figures.items() if value is not None},
        evidence=values.evidence,
    )


def over_for_alerts(
    finding_id: int, unit: str, meter: str | None, kind: str, opened_at: datetime, at: datetime
) -> Finding:
    """That a finding is over, as alerts takes it."""
    return Finding(
        kind=ALERT_KINDS.get(kind, kind),
        severity=Severity.WARNING,
        unit=unit,
        fingerprint=_fingerprint(finding_id),
        begin=min(opened_at, at),
        seen_at=at,
        holds=False,
        meter=meter,
    )


def _fingerprint(finding_id: int) -> str:
    return f"usage:{finding_id}"


def _matters(run: Run, told: Told) -> bool:
    newest = run.newest
    if newest.kind not in _OF_DAYS or newest.confidence < told.min_confidence:
        return False
    return newest.expected_wh >= told.min_wh or newest.kind == UsageKind.WRONG_RECORD


def _values(run: Run, told: Told, zone: ZoneInfo) -> FindingValues:
    newest = run.newest

    def end_of(day: date) -> datetime:
        return to_datetime(midnight_us(day + _DAY, zone))

    return FindingValues(
        confidence=newest.confidence,
        begin_at=to_datetime(midnight_us(newest.begin_day, zone)),
        opened_at=end_of(run.first),
        seen_at=end_of(run.last),
        ended_at=end_of(run.last + timedelta(days=QUIET_DAYS)) if run.over else None,
        expected_wh=newest.expected_wh,
        expected_money=told.money(newest.expected_wh, newest.tariff_class),
        reasons=newest.reasons,
        evidence=newest.evidence,
    )


def _same(held: Sequence[HeldFinding], run: Run, values: FindingValues) -> HeldFinding | None:
    """The stored finding that a run is: of the same meter and kind, at a common time."""
    until = values.ended_at or values.seen_at
    for one in held:
        overlap = one.opened_at <= until and values.opened_at <= (one.ended_at or one.seen_at)
        if (one.meter, one.kind) == (run.newest.meter, run.newest.kind) and overlap:
            return one
    return None
