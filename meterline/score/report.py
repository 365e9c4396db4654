"""The score as one object, and as tables to read; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from meterline.score.association import AssociationScore
from meterline.score.conflicts import ConflictScore
from meterline.score.detection import Detection, Level, Recall
from meterline.score.losses import LossError
from meterline.score.reports import ReportCounts, ReportScore

#: Units with the greatest errors that the tables show.
_WORST = 10


@dataclass(frozen=True, slots=True)
class Truth:
    """What the system was compared with."""

    city: str
    seed: int
    from_: str
    to: str
    interval_s: int
    units: int
    meters: int | None
    events: int


@dataclass(frozen=True, slots=True)
class UnitError:
    """The error of one unit; `kind` None where the database doesn't know it."""

    unit: str
    kind: str | None
    error: LossError


@dataclass(frozen=True, slots=True)
class Score:
    """All of it.

    Attributes
    ----------
    loss
        By kind of unit; ``unknown`` are units that the database doesn't know.
    units
        By code.
    alerts_elsewhere, alerts_outside
        Alerts that weren't judged: of units that aren't the truth's, and of another time.
    """

    truth: Truth
    loss: dict[str, LossError]
    units: list[UnitError]
    detection: Detection
    alerts_elsewhere: int
    alerts_outside: int
    device_events: ReportScore
    association: AssociationScore
    conflicts: ConflictScore


def as_json(score: Score) -> dict[str, Any]:
    """The score as plain values with keys that stay; see docs/explanation/scoring.md."""
    truth = asdict(score.truth)
    truth["from"] = truth.pop("from_")
    units = [{"unit": u.unit, "kind": u.kind, **asdict(u.error)} for u in score.units]
    elsewhere = {"alerts_elsewhere": score.alerts_elsewhere, "alerts_outside": score.alerts_outside}
    return {
        "truth": truth,
        "loss": {"kinds": {kind: asdict(error) for kind, error in score.loss.items()}, "units": units},
        "detection": asdict(score.detection) | elsewhere,
        "device_events": asdict(score.device_events),
        "association": asdict(score.association),
        "conflicts": asdict(score.conflicts),
    }


def render(score: Score) -> Group:
    """The score as tables."""
    truth = score.truth
    meters = "an unknown number of" if truth.meters is None else f"{truth.meters:,}"
    head = (
        f"{truth.city}, seed {truth.seed}, {truth.from_} to {truth.to}: "
        f"{truth.units:,} units, {meters} meters, {truth.events:,} events"
    )
    worst = sorted(
        (u for u in score.units if u.error.mean_abs_rate is not None),
        key=lambda u: (-(u.error.mean_abs_rate or 0.0), u.unit),
    )[:_WORST]
    parts: list[RenderableType] = [
        Text(head),
        Text(),
        _losses("Loss: stored − true, by kind of unit", score.loss.items()),
        Text(),
        _losses("Units with the greatest mean error", ((u.unit, u.error) for u in worst)),
        Text(),
        _detection(score),
        Text(),
        _false_alarms(score),
        Text(),
        _reports(score.device_events),
        Text(),
        _associations(score.association),
        Text(),
        _conflicts(score.conflicts),
    ]
    return Group(*parts)


def _losses(title: str, rows: Iterable[tuple[str, LossError]]) -> Table:
    table = _table(title, "", "intervals", "complete", "mean", "median", "p95 Wh", "mean", "median", "p95 %", "bias %",
                   "within 2σ %", "")  # fmt: skip
    for name, e in rows:
        energies = [_number(v, 1) for v in (e.mean_abs_wh, e.median_abs_wh, e.p95_abs_wh)]
        rates = [_percent(v, 3) for v in (e.mean_abs_rate, e.median_abs_rate, e.p95_abs_rate, e.bias_rate)]
        complete = "–" if e.completeness is None else f"{_percent(e.completeness)} %"
        table.add_row(
            Text(name), f"{e.intervals:,}", complete, *energies, *rates, _percent(e.band_coverage), Text(e.reason or "")
        )
    return table


def _detection(score: Score) -> Group:
    detection = score.detection
    table = _table("Events to be found", "", "events", "found", "recall %", "delay h, median", "p90",
                   "found by name", "of")  # fmt: skip
    rows = [("all", detection.area.recall, detection.entity.recall)]
    rows += [(kind, recall, detection.entity.by_kind[kind]) for kind, recall in detection.area.by_kind.items()]
    for name, area, entity in rows:
        table.add_row(name, *_recall(area), "–" if entity.found is None else str(entity.found), f"{entity.events:,}")
    lines = [Text(line) for line in _notes(score)]
    return Group(table, *lines)


def _recall(recall: Recall) -> list[str]:
    found = "–" if recall.found is None else f"{recall.found:,}"
    hours = [_number(None if v is None else v / 3600, 1) for v in (recall.delay_median_s, recall.delay_p90_s)]
    return [f"{recall.events:,}", found, _percent(recall.recall), *hours]


def _notes(score: Score) -> list[str]:
    detection = score.detection
    lines = [f"{detection.alerts:,} alerts; ranked by {detection.ranked_by}"]
    levels: tuple[tuple[str, Level], ...] = (("in the event's area", detection.area), ("by name", detection.entity))
    for name, level in levels:
        lines += [
            f"right {name} among the first {p.k}: " + (p.reason or f"{p.right} of {p.of} ({_percent(p.precision)} %)")
            for p in level.precision_at
        ]
        if level.recall.reason:
            lines.append(f"found {name}: {level.recall.reason}")
    if score.alerts_elsewhere or score.alerts_outside:
        lines.append(
            f"not judged: {score.alerts_elsewhere:,} alerts of other units, {score.alerts_outside:,} of another time"
        )
    return lines


def _false_alarms(score: Score) -> Group:
    false = score.detection.false_alarms
    rate = false.reason or f"{_number(false.per_1000_meter_days, 4)} for 1,000 meters and days"
    table = _table(
        f"False alarms: {false.alarms:,}, {rate}; {false.unexplained:,} with nothing at all there",
        "what went on", "events", "alarmed",
    )  # fmt: skip
    for kind, counts in false.by_kind.items():
        table.add_row(kind, f"{counts['events']:,}", f"{counts['alarmed']:,}")
    return Group(table)


def _associations(score: AssociationScore) -> Table:
    table = _table("Meters' records and what the system concluded", "", "meters", "records right %",
                   "conclusions right %", "corrected", "spoilt", "")  # fmt: skip
    for name in ("unit", "phase", "multiplier"):
        a = getattr(score, name)
        corrected, spoilt = ("–" if v is None else f"{v:,}" for v in (a.corrected, a.spoilt))
        table.add_row(
            name, f"{a.meters:,}", _percent(a.recorded_accuracy, 3), _percent(a.concluded_accuracy, 3), corrected,
            spoilt, Text(a.reason or ""),
        )  # fmt: skip
    return table


def _reports(score: ReportScore) -> Group:
    table = _table("Device events", "", "said", "sent", "stored", "stored, never sent")
    rows: list[tuple[str, ReportCounts]] = [] if score.all is None else [("all", score.all), *score.by_kind.items()]
    for name, c in rows:
        table.add_row(name, *(f"{v:,}" for v in (c.said, c.sent, c.stored, c.unexpected)))
    delays = " and ".join(_number(v, 1) for v in (score.delay_median_s, score.delay_p90_s))
    known = f"{score.known} of {score.outages} outages known by a last gasp, after {delays} s (median and p90)"
    return Group(table, Text(score.reason or known))


def _conflicts(score: ConflictScore) -> Table:
    table = _table("Conflicts between source systems", "", "put in", "found", "recall %", "")
    for name, share in (("all", score.all), *score.by_kind.items()):
        injected, found = ("–" if v is None else f"{v:,}" for v in (share.injected, share.found))
        table.add_row(Text(name), injected, found, _percent(share.recall), Text(share.reason or ""))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(box=None, header_style="bold", title=title, title_justify="left", title_style="bold")
    for i, name in enumerate(columns):
        # On a narrow terminal figures may fold; a name that is cut says nothing.
        table.add_column(name, justify="right" if i and name else "left", no_wrap=not i, overflow="fold")
    return table


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f}"
