"""Which outages there are, from the switches or from the meters' last gasps (停电上报); pure.

What one feeder has lost is one outage, with its areas and meters in it. Both sources name it alike, so the breaker's
point and the last gasps that follow it are one finding.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from grid.finding import Finding, Severity, fingerprint_of
from grid.switching import Positions
from grid.topology import Mask, SupplyStatus, Wiring, taps_at, trace

KIND = "outage"
SWITCH, GASPS = "switch", "last_gasps"
#: Figure of an ended outage that goes on as part of another one: its unit.
TAKEN_OVER = "taken_over_by"


@dataclass(frozen=True, slots=True)
class LostArea:
    """An area without supply."""

    area: str
    feeder: str
    """The one that supplied it last."""
    since: datetime
    meters: int
    """Of customers."""


@dataclass(frozen=True, slots=True)
class GaspingArea:
    """What was heard of an area lately."""

    area: str
    feeder: str
    first_at: datetime
    gasping: int
    """Meters that sent a last gasp and weren't heard of again."""
    meters: int
    areas_of_feeder: int


@dataclass(frozen=True, slots=True)
class GaspRule:
    """How many last gasps make an outage.

    Attributes
    ----------
    min_meters, min_share
        An area is out when at least so many, and this share of its meters, sent one. Only part of them gets through:
        the capacitor of a meter holds for seconds, and all send at once.
    feeder_share
        A feeder is out when this share of its areas is, and more than one.
    alone_s
        An area waits this long after its first last gasp before it is an outage of its own: gateways gather and send
        last gasps for some seconds, and until then the feeder's other areas may be on their way.
    settling_s
        A last gasp up to this long after a switch has supplied its area is from before that: a meter takes some
        seconds to send one, and clocks differ.
    """

    min_meters: int = 3
    min_share: float = 0.15
    feeder_share: float = 0.3
    alone_s: float = 20.0
    settling_s: float = 5.0


def dead_areas(wiring: Wiring, positions: Positions, at_us: int) -> dict[str, str | None]:
    """Areas that no feeder energises at an instant; each with the last switch that opened before, of those around."""
    closed = positions.closed_at(wiring.normal, at_us)
    taps = taps_at(wiring, at_us)
    status = trace(wiring, closed, at_us).status[taps]
    dead = np.flatnonzero((status == SupplyStatus.DEAD) & (taps >= 0)).tolist()
    return dict.fromkeys((wiring.areas[area] for area in dead), last_opened(wiring, positions, closed, at_us))


def last_opened(wiring: Wiring, positions: Positions, closed: Mask, at_us: int) -> str | None:
    """The switch that opened last of those that are open against their normal position; None for none."""
    abnormal = wiring.normal & ~closed
    holds = (positions.from_us <= at_us) & (at_us < positions.to_us) & ~positions.closed
    holds &= abnormal[positions.switch] if len(abnormal) else holds
    found = np.flatnonzero(holds)
    if not len(found):
        return None
    return wiring.switches[int(positions.switch[found[np.argmax(positions.from_us[found])]])]


def switch_outages(lost: Iterable[LostArea], switches: Mapping[str, str | None], now: datetime) -> list[Finding]:
    """One finding a feeder that has lost areas.

    Parameters
    ----------
    switches
        By area, the switch that is to blame.
    """
    by_feeder: dict[str, list[LostArea]] = defaultdict(list)
    for area in lost:
        by_feeder[area.feeder].append(area)
    findings = []
    for feeder, areas in sorted(by_feeder.items()):
        latest = max(areas, key=lambda area: (area.since, area.area))
        figures = {"switch": switches.get(latest.area)}
        findings.append(_finding(feeder, areas, min(now, *(a.since for a in areas)), now, SWITCH, figures))
    return findings


def gasp_outages(heard: Sequence[GaspingArea], rule: GaspRule, out: frozenset[str], now: datetime) -> list[Finding]:
    """Findings of feeders and areas from which last gasps came.

    Parameters
    ----------
    out
        Areas that are known to be out by a switch: nothing new is found of them.
    """
    by_feeder: dict[str, list[GaspingArea]] = defaultdict(list)
    for area in heard:
        enough = area.gasping >= max(rule.min_meters, rule.min_share * area.meters)
        if enough and area.area not in out:
            by_feeder[area.feeder].append(area)
    findings = []
    for feeder, areas in sorted(by_feeder.items()):
        lost = [LostArea(a.area, a.feeder, a.first_at, a.meters) for a in areas]
        gasping = sum(a.gasping for a in areas)
        if len(areas) > 1 and len(areas) >= rule.feeder_share * areas[0].areas_of_feeder:
            since = min(now, *(a.since for a in lost))
            findings.append(_finding(feeder, lost, since, now, GASPS, {"last_gasps": gasping}))
            continue
        findings += [
            _finding(a.area, [loss], min(now, loss.since), now, GASPS, {"last_gasps": a.gasping})
            for a, loss in zip(areas, lost, strict=True)
            if now - loss.since >= timedelta(seconds=rule.alone_s)
        ]
    return findings


def bursts(instants: Iterable[datetime], window: timedelta) -> list[datetime]:
    """The first of rising instants, and each that comes more than a window after the one before it that is named."""
    found: list[datetime] = []
    for at in instants:
        if not found or at - found[-1] > window:
            found.append(at)
    return found


def ended(unit: str, begin: datetime, now: datetime, figures: Mapping[str, object] | None = None) -> Finding:
    """That a unit has its supply back."""
    kept = {name: value for name, value in (figures or {}).items() if isinstance(value, int | float | str)}
    return Finding(
        KIND, Severity.CRITICAL, unit, fingerprint_of(KIND, unit), min(begin, now), now, holds=False, figures=kept
    )


def _finding(
    unit: str,
    areas: Sequence[LostArea],
    since: datetime,
    now: datetime,
    source: str,
    figures: Mapping[str, int | float | str | None],
) -> Finding:
    return Finding(
        kind=KIND,
        severity=Severity.CRITICAL,
        unit=unit,
        fingerprint=fingerprint_of(KIND, unit),
        begin=since,
        seen_at=now,
        figures={"areas": len(areas), "meters": sum(area.meters for area in areas), "source": source, **figures},
        evidence={"source": source, "areas": sorted(area.area for area in areas)},
    )
