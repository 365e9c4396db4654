"""The story of one meter: what is usual, what has changed, what the area's loss says, and what was found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

from grid.usage import FoldedDay, MeterAccount
from kernels import usage
from kernels.detector import restore
from kernels.usage import UsageState, usage_scores
from meterline.usage import UsageError
from store.connection import Connection
from store.usage import Area, read_accounts, read_area_of, read_days, read_state
from store.usage_findings import FindingQuery, UsageFinding, list_usage_findings, read_finding_evidence
from streams.steps.usage_conclude import power_of_days
from streams.usage import UsageRules
from streams.usage_losses import day_end

_AREA_DAYS = 92


@dataclass(frozen=True, slots=True)
class Story:
    """What is known of a meter."""

    meter: str
    area: Area
    account: MeterAccount | None
    figures: dict[str, Any]
    days: list[FoldedDay]
    findings: list[UsageFinding]
    evidence: dict[str, Any] | None
    alert_finding_id: int | None
    """Of the newest finding, in `alerts.finding`."""

    def as_json(self) -> dict[str, Any]:
        """Plain values: no series of the meter's readings."""
        return {
            "meter": self.meter,
            "area": self.area.unit,
            "through": self.area.through,
            "account": None if self.account is None else asdict(self.account),
            "figures": self.figures,
            "area_abnormal_days": sum(day.abnormal for day in self.days[-28:]),
            "area_unexplained_wh": _sum(self.days[-28:]),
            "findings": [asdict(finding) for finding in self.findings],
            "evidence": self.evidence,
            "story": self.lines(),
        }

    def lines(self) -> list[str]:
        """The story in sentences."""
        f = self.figures
        said = [f"Meter {self.meter} on area {self.area.unit}, days through {self.area.through}."]
        if self.account is None or self.account.tariff_class is None:
            said.append("No account is served where it stands.")
        else:
            state = "active" if self.account.active else "closed"
            said.append(
                f"Its account is {state}, tariff {self.account.tariff_class}, contract {self.account.contract_w} W."
            )
        said += [
            text
            for name, text in (
                ("moved", "Another customer has come within the last 35 days."),
                ("tariff_changed", "Its tariff has changed within the last 35 days."),
                ("meter_changed", "The meter was changed within the last 35 days."),
            )
            if getattr(self.account, name, False)
        ]
        said += _use(f)
        known = [day for day in self.days[-28:] if day.unexplained_wh is not None]
        if not known:
            said.append("The area's unexplained loss is not known.")
        else:
            said.append(
                f"The area lost {_sum(known) / 1_000:.0f} kWh unexplained in its last {len(known)} known days,"
                f" {sum(day.abnormal for day in known)} of them abnormal."
            )
        if not self.findings:
            said.append("Nothing was found that is worth a visit.")
        said += [_finding(finding) for finding in self.findings]
        return said


def tell(connection: Connection, meter: str, rules: UsageRules) -> Story:
    """Put together what is known of a customer's meter.

    Raises
    ------
    UsageError
        When the meter is none that was looked at.
    """
    found = read_area_of(connection, meter)
    if found is None or found[0].through is None:
        raise UsageError(f"no day of a customer's meter {meter} was looked at yet")
    area, position = found
    through = found[0].through
    stored = read_state(connection, area.unit_id, through + timedelta(days=1))
    if stored is None or stored[1] != usage.VERSION:
        raise UsageError(f"the states of area {area.unit} are being made anew: ask again later")
    end = day_end(through, rules.zone)
    accounts = read_accounts(connection, area.unit_id, end - timedelta(microseconds=1), end - timedelta(days=35))
    findings = list_usage_findings(connection, FindingQuery(meter=meter, everything=True), 100)
    findings.sort(key=lambda finding: finding.finding_id, reverse=True)
    newest = read_finding_evidence(connection, findings[0].finding_id) if findings else None
    return Story(
        meter=meter,
        area=area,
        account=next((a for a in accounts if a.meter == meter), None),
        figures=_figures(restore(UsageState, stored[2], usage.VERSION), position),
        days=read_days(connection, area.unit_id, through - timedelta(days=_AREA_DAYS), through),
        findings=findings,
        evidence=None if newest is None else newest[0],
        alert_finding_id=None if newest is None else newest[1],
    )


def series_window(story: Story, rules: UsageRules) -> tuple[datetime, datetime]:
    """The time over which a meter is drawn: the last 92 days, of which the audited function gives no more."""
    through: date = story.area.through or story.area.first_day
    return day_end(through - timedelta(days=90), rules.zone), day_end(through, rules.zone)


def _figures(state: UsageState, position: int) -> dict[str, Any]:
    if position >= len(state.ring):
        return {}
    scores = usage_scores(state)
    figures = {name: getattr(scores, name)[position].item() for name in scores.__slots__}
    figures["yesterday_w"] = power_of_days(state, 1)[0, position].item()
    return {
        name: (round(value, 3) if math.isfinite(value) else None) if isinstance(value, float) else value
        for name, value in figures.items()
    }


def _use(f: dict[str, Any]) -> list[str]:
    if f.get("recent_w") is None:
        return ["There are not enough readings to say what is usual."]
    if f["usual_w"] is None:
        return [f"It has taken {f['recent_w']:.0f} W on average; there is no history to compare it with."]
    said = [f"It usually took {f['usual_w']:.0f} W and has taken {f['recent_w']:.0f} W over the last 28 days."]
    if f["fall"] is not None and f["fall"] > 0:
        said.append(
            f"That everything fell by {f['share']:.0%} explains its days better than chance by e^{f['fall']:.1f},"
            f" since about {f['since_days']} days."
        )
    for name, what in (("zero_run", "counted nothing"), ("negative_run", "counted backwards")):
        if f[name] > 1:
            said.append(f"To the end of the last day it {what} for {f[name]} readings in a row.")
    return said


def _finding(f: UsageFinding) -> str:
    ended = "holds" if f.ended_at is None else f"ended {f.ended_at:%Y-%m-%d}"
    money = "" if f.expected_money is None else f" ({f.expected_money:.2f})"
    result = "" if f.result is None else f"; a field check said: {f.result}"
    return (
        f"Finding {f.finding_id}: {f.kind} since {f.begin_at:%Y-%m-%d}, confidence {f.confidence:.2f},"
        f" {f.expected_wh / 1_000:.0f} kWh{money} in 28 days, {ended}; reasons: {', '.join(f.reasons)}{result}."
    )


def _sum(days: Sequence[FoldedDay]) -> float:
    return round(sum(day.unexplained_wh or 0.0 for day in days), 1)
