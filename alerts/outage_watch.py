"""Finds outages: looks where a switch has moved, and at the last gasps of meters."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from alerts.outages import (
    GASPS,
    SWITCH,
    TAKEN_OVER,
    GaspingArea,
    GaspRule,
    LostArea,
    bursts,
    dead_areas,
    ended,
    gasp_outages,
    switch_outages,
)
from grid.finding import Finding
from store.connection import Connection
from store.findings import add_findings
from store.outages import (
    HeldOutage,
    disturbed_substations,
    read_gasps,
    read_held_outages,
    read_last_supply,
    read_late_gasps,
    read_restored,
    switches_changed,
)
from store.wiring import joined_substations, read_wiring, to_us

#: Changes of the model looked at in one go.
_CHANGES = 10_000
#: Last gasps of one outage come within this time, delays of the network included.
_GASP_WINDOW = timedelta(minutes=3)
#: What comes later than that is looked at by itself: of the last day, when it was stored since the last look. The first
#: look takes what was stored while nobody looked.
_LATE = timedelta(days=1)
_STORED_WITHIN_S, _FIRST_WITHIN_S = 60.0, 86_400.0


class OutageWatch:
    """Looks for outages again and again; what it has seen it can see again without harm."""

    def __init__(self, rule: GaspRule | None = None) -> None:
        self._rule = rule or GaspRule()
        self._seen: int | None = None
        #: Substations where something is reported for a time that is still to come: clocks differ.
        self._ahead: dict[str, datetime] = {}

    def look(self, connection: Connection, now: datetime) -> int:
        """Write what has begun and what has ended; returns how many findings changed. One transaction."""
        with connection.transaction():
            if self._seen is None:
                seen, changed = disturbed_substations(connection, now)
            else:
                seen, changed = switches_changed(connection, self._seen, _CHANGES)
            substations = {*changed, *(code for code, at in self._ahead.items() if at <= now)}
            held = read_held_outages(connection)
            findings = _by_switches(connection, substations, held, now) if substations else []
            findings += self._by_gasps(connection, held, findings, now)
            written = add_findings(connection, findings)
        # What failed is looked at again.
        self._seen = seen
        self._ahead = {code: at for code, at in {**self._ahead, **changed}.items() if at > now}
        return written.begun + written.changed + written.ended

    def _by_gasps(
        self, connection: Connection, held: list[HeldOutage], found: list[Finding], now: datetime
    ) -> list[Finding]:
        out = {area: outage.unit for outage in held if outage.source == SWITCH for area in outage.areas}
        out |= {area: finding.unit for finding in found if finding.holds for area in finding.evidence["areas"]}
        # What a switch says of the same unit has taken their place.
        by_switch = {finding.unit for finding in found}
        known = {outage.unit: outage for outage in held if outage.source == GASPS and outage.unit not in by_switch}
        # A feeder's outage that holds grows, and takes in the areas that would be outages of their own.
        covered = {area for outage in known.values() for area in outage.areas}
        heard = _heard(connection, self._rule, known.values(), covered, now)
        new = gasp_outages(heard, self._rule, frozenset(out), now)
        findings = [f for f in new if not set(f.evidence["areas"]) <= covered]
        beside = covered.union(out, *(finding.evidence["areas"] for finding in findings))
        units = known.keys() | {finding.unit for finding in findings}
        findings += [f for f in self._late(connection, frozenset(beside), now) if f.unit not in units]
        replaced = {area: finding.unit for finding in findings for area in finding.evidence["areas"]}
        by = out | replaced
        for unit, outage in known.items():
            if unit not in {f.unit for f in findings} and set(outage.areas) <= by.keys():
                goes_on = {TAKEN_OVER: by[outage.areas[0]]} if outage.areas else {}
                findings.append(_ended(outage, now, goes_on))
                continue
            back = read_restored(connection, outage.areas, outage.begin_at, now, self._rule.settling_s)
            if back and all(back.values()):
                findings.append(_ended(outage, now))
        return findings

    def _late(self, connection: Connection, beside: frozenset[str], now: datetime) -> list[Finding]:
        """Outages of which is heard after the window, from areas that haven't their supply back."""
        within_s = _FIRST_WITHIN_S if self._seen is None else _STORED_WITHIN_S
        late = read_late_gasps(connection, within_s, now - _LATE, now - _GASP_WINDOW)
        found: dict[str, Finding] = {}
        for at in bursts(late, _GASP_WINDOW):
            rows = read_gasps(connection, at - _GASP_WINDOW, at + _GASP_WINDOW, self._rule.settling_s)
            heard = [area for area in (GaspingArea(*row) for row in rows) if area.area not in beside]
            begin = min((area.first_at for area in heard), default=at)
            back = read_restored(connection, [area.area for area in heard], begin, now, self._rule.settling_s)
            out = [area for area in heard if not back.get(area.area)]
            # The first to tell of a unit says since when.
            for finding in gasp_outages(out, self._rule, frozenset(), now):
                found.setdefault(finding.unit, finding)
        return list(found.values())


def _heard(
    connection: Connection, rule: GaspRule, known: Collection[HeldOutage], covered: set[str], now: datetime
) -> list[GaspingArea]:
    """Areas heard of lately; where one isn't known to be out, also those that are, however long ago they were heard."""
    heard = [GaspingArea(*row) for row in read_gasps(connection, now - _GASP_WINDOW, now, rule.settling_s)]
    lately = {area.area for area in heard}
    if known and lately - covered:
        since = min(outage.begin_at for outage in known) - timedelta(milliseconds=1)
        before = (GaspingArea(*row) for row in read_gasps(connection, since, now, rule.settling_s))
        heard += [area for area in before if area.area in covered - lately]
    return heard


def _by_switches(connection: Connection, substations: set[str], held: list[HeldOutage], now: datetime) -> list[Finding]:
    wiring, positions = read_wiring(connection, joined_substations(connection, substations, now), now)
    dead = dead_areas(wiring, positions, to_us(now))
    lost = [
        LostArea(s.area, s.feeder, min(now, s.until or now), s.meters)
        for s in read_last_supply(connection, sorted(dead), now)
    ]
    findings = switch_outages(lost, dead, now)
    still = {finding.unit for finding in findings}
    return findings + [
        _ended(outage, now)
        for outage in held
        if outage.source == SWITCH and outage.unit in wiring.feeders and outage.unit not in still
    ]


def _ended(outage: HeldOutage, now: datetime, figures: Mapping[str, object] | None = None) -> Finding:
    """Not before it was last seen: where the clock was set back meanwhile, it would hold for ever."""
    return ended(outage.unit, outage.begin_at, max(now, outage.seen_at), {**outage.figures, **(figures or {})})
