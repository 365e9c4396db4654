"""Alerts against what happened: recall, precision, false alarms and delay; pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from twin.events import INNOCENT, Event, EventKind

#: An alert that opens so long after an event began may still be meant for it, ended or not.
FOUND_WITHIN_S = 7 * 86_400
RANKED_BY = "severity, then size of the loss in the evidence, then opening"
_SEVERITIES = {"critical": 0, "warning": 1}
#: Positions of the alerts that match, by position of the event.
_Matches = Sequence[Sequence[int]]
NO_NAMES = "no alert can name a meter: their use was never looked at, see meterline usage run"


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as the system raised it.

    Attributes
    ----------
    unit, meter
        What it is about: a unit, or a meter in it; `meter` None = the unit itself.
    opened_s
        Seconds since 1970 UTC.
    size_wh
        Size of the loss in its evidence; 0 where it has none.
    """

    alert_id: int
    severity: str
    unit: str
    meter: str | None
    opened_s: float
    size_wh: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event can be seen.

    Attributes
    ----------
    names
        Codes of the entity itself: an alert about one of them is of the entity.
    units
        Units in which its effect shows.
    everywhere
        It concerns everybody.
    """

    names: frozenset[str]
    units: frozenset[str]
    everywhere: bool = False


@dataclass(frozen=True, slots=True)
class Recall:
    """Events that should be found, and those that were; figures are None where `reason` says why.

    `left_out` are events at meters where alerts can name units only; they aren't among `events`.
    """

    events: int
    left_out: int
    found: int | None
    recall: float | None
    delay_median_s: float | None
    delay_p90_s: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Precision:
    """Of the `of` alerts that rank first, `right` are explained by an event to be found."""

    k: int
    of: int
    right: int | None
    precision: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Level:
    """What was found when an alert must be of the entity itself (level ``entity``) or may be of its area."""

    recall: Recall
    by_kind: dict[str, Recall]
    precision_at: list[Precision]


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """Alerts that no event to be found explains, and what else was going on there.

    Attributes
    ----------
    alarms
        All of them; each is counted in exactly one of the three that follow.
    during_innocent, during_operation, unexplained
        While something innocent, else an operation, else nothing went on there.
    meters, days
        What was watched.
    per_1000_meter_days
        None where `reason` says why.
    by_kind
        Events of other kinds, and how many of them such an alert coincides with.
    """

    alarms: int
    during_innocent: int
    during_operation: int
    unexplained: int
    meters: int | None
    days: float
    per_1000_meter_days: float | None
    by_kind: dict[str, dict[str, int]]
    reason: str | None


@dataclass(frozen=True, slots=True)
class Detection:
    """Alerts against events."""

    alerts: int
    ranked_by: str
    entity: Level
    area: Level
    false_alarms: FalseAlarms


def place_of(
    event: Event, units_of_meter: Mapping[str, Iterable[str]], meters_of_account: Mapping[str, Iterable[str]]
) -> Place:
    """Where an event can be seen.

    Parameters
    ----------
    units_of_meter
        Units that a meter hangs on, in truth and by the records.
    meters_of_account
        Meters that serve an account.
    """
    if event.kind is EventKind.HOLIDAY:
        return Place(frozenset(), frozenset(), everywhere=True)
    meters = {event.entity, f"{event.entity}-meter", *meters_of_account.get(event.entity, ())}
    units = {unit for meter in meters for unit in units_of_meter.get(meter, ())}
    # The other is a unit by these kinds: the area of a wrong record, the feeder that takes over.
    others = {event.other} if event.kind in (EventKind.RECORD_AREA, EventKind.CUT_OVER) else set()
    return Place(frozenset(meters), frozenset(units | others | {event.entity}))


def is_in_time(event: Event, opened_s: float) -> bool:
    """Whether an alert opens while the event lasts, or within seven days of its begin."""
    last_s = float("inf") if event.end_s is None else max(event.end_s, event.begin_s + FOUND_WITHIN_S)
    return event.begin_s <= opened_s <= last_s


def rank(alerts: Iterable[Alert]) -> list[Alert]:
    """The gravest first: `RANKED_BY`."""
    return sorted(
        alerts,
        key=lambda a: (_SEVERITIES.get(a.severity, len(_SEVERITIES)), -a.size_wh, a.opened_s, a.alert_id),
    )


def detect(
    events: Sequence[Event],
    places: Sequence[Place],
    alerts: Sequence[Alert],
    begin_s: int,
    end_s: int,
    unit_codes: frozenset[str],
    meters: int | None,
    ks: Sequence[int] = (10, 50),
    *,
    names_meters: bool = False,
) -> Detection:
    """Score the alerts of a span.

    Parameters
    ----------
    events, places
        All events of the city and where each can be seen. Those that begin within the span are to be found; those
        before and after explain alerts too.
    alerts
        Of the span.
    unit_codes
        Units that the system knows: what an alert can name.
    meters
        How many are watched; None = not known.
    ks
        Lengths of the lists whose precision is asked for.
    names_meters
        Whether alerts can name a meter; if not, an event at a meter can't be found by its own name.
    """
    ranked = rank(alerts)
    wanted = [i for i, e in enumerate(events) if e.is_to_be_found]
    begun = [i for i in wanted if begin_s <= events[i].begin_s < end_s]
    by_name = _matches(events, places, ranked, [p.names for p in places], [{a.meter or a.unit} for a in ranked])
    by_area = _matches(
        events, places, ranked, [p.names | p.units for p in places], [{a.unit, a.meter or a.unit} for a in ranked]
    )
    nameable = [names_meters or bool(place.names & unit_codes) for place in places]

    def level(matches: _Matches, reachable: Sequence[bool], reason: str | None) -> Level:
        right = {a for i in wanted for a in matches[i]}
        kinds = sorted({events[i].kind for i in begun})
        of_kind = {kind: [i for i in begun if events[i].kind is kind] for kind in kinds}
        return Level(
            recall=_recall(events, begun, matches, ranked, reachable),
            by_kind={str(kind): _recall(events, of_kind[kind], matches, ranked, reachable) for kind in kinds},
            precision_at=[_precision(k, len(ranked), right, reason) for k in ks],
        )

    explained = {a for i in wanted for a in by_area[i]}
    return Detection(
        alerts=len(ranked),
        ranked_by=RANKED_BY,
        entity=level(by_name, nameable, None if names_meters else NO_NAMES),
        area=level(by_area, [True] * len(events), None),
        false_alarms=_false_alarms(events, by_area, set(range(len(ranked))) - explained, begin_s, end_s, meters),
    )


def _matches(
    events: Sequence[Event],
    places: Sequence[Place],
    ranked: Sequence[Alert],
    codes_of_event: Sequence[Iterable[str]],
    codes_of_alert: Sequence[Iterable[str]],
) -> _Matches:
    """Positions of the alerts that share a code with each event and open in its time."""
    about: dict[str, list[int]] = defaultdict(list)
    for a, codes in enumerate(codes_of_alert):
        for code in codes:
            about[code].append(a)
    found = []
    for event, place, codes in zip(events, places, codes_of_event, strict=True):
        near = range(len(ranked)) if place.everywhere else sorted({a for code in codes for a in about.get(code, ())})
        found.append([a for a in near if is_in_time(event, ranked[a].opened_s)])
    return found


def _recall(
    events: Sequence[Event],
    which: Sequence[int],
    matches: _Matches,
    ranked: Sequence[Alert],
    reachable: Sequence[bool],
) -> Recall:
    sought = [i for i in which if reachable[i]]
    left_out = len(which) - len(sought)
    if not sought:
        nothing = NO_NAMES if which else "nothing to be found begins in the span"
        return Recall(0, left_out, None, None, None, None, nothing)
    delays = [min(ranked[a].opened_s for a in matches[i]) - events[i].begin_s for i in sought if matches[i]]
    median, p90 = (float(v) for v in np.percentile(delays, [50, 90])) if delays else (None, None)
    reason = None if delays else "none is found"
    return Recall(len(sought), left_out, len(delays), len(delays) / len(sought), median, p90, reason)


def _precision(k: int, alerts: int, right: set[int], reason: str | None) -> Precision:
    of = min(k, alerts)
    if reason is not None or not of:
        return Precision(k, of, None, None, reason or "no alert was opened in the span")
    hits = sum(a < of for a in right)
    return Precision(k, of, hits, hits / of, None)


def _false_alarms(
    events: Sequence[Event],
    matches: _Matches,
    false: set[int],
    begin_s: int,
    end_s: int,
    meters: int | None,
) -> FalseAlarms:
    others = [i for i, e in enumerate(events) if not e.is_to_be_found]
    innocent = {a for i in others if events[i].kind in INNOCENT for a in matches[i]} & false
    operation = {a for i in others if events[i].kind not in INNOCENT for a in matches[i]} & false - innocent
    count: Counter[str] = Counter()
    alarmed: Counter[str] = Counter()
    for i in others:
        if begin_s <= events[i].begin_s < end_s:
            count[events[i].kind] += 1
            alarmed[events[i].kind] += bool(false.intersection(matches[i]))
    days = (end_s - begin_s) / 86_400
    watched = (meters or 0) * days
    return FalseAlarms(
        alarms=len(false),
        during_innocent=len(innocent),
        during_operation=len(operation),
        unexplained=len(false - innocent - operation),
        meters=meters,
        days=days,
        per_1000_meter_days=len(false) / watched * 1_000 if watched > 0 else None,
        by_kind={str(kind): {"events": count[kind], "alarmed": alarmed[kind]} for kind in sorted(count)},
        reason=None if watched > 0 else "the truth doesn't say how many meters there are",
    )
