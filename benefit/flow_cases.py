"""From the steps of cases to stays, loops and deviations; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from benefit.flow_events import By, Event
from benefit.flow_process import DeviationError, Process

#: Holder of a case that still waits for whoever acts next.
NOBODY = "not known yet"


@dataclass(frozen=True, slots=True)
class Stay:
    """A case in one stage with one department, from when it came there until it left.

    Attributes
    ----------
    action
        What ended it; None while it lasts.
    ended
        Whether the department dealt with it; False while it lasts, and where the case went by itself.
    again
        Whether the case had been as far before.
    """

    case: int | str
    kind: str
    stage: str
    department: str
    action: str | None
    begin: datetime
    end: datetime
    ended: bool
    again: bool

    @property
    def seconds(self) -> float:
        return (self.end - self.begin).total_seconds()


@dataclass(slots=True)
class Loop:
    """A step back to where a case had been before, and the time until it was as far again."""

    case: int | str
    kind: str
    stage: str
    action: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Deviation:
    """A step that the intended process doesn't have."""

    case: int | str
    kind: str
    at: datetime
    what: str


@dataclass(slots=True)
class Traced:
    """What the cases of a process came to.

    Attributes
    ----------
    lead_s, over
        Of each case: seconds from its begin to its end, or so far, and whether it is over.
    """

    stays: list[Stay] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    deviations: list[Deviation] = field(default_factory=list)
    lead_s: list[float] = field(default_factory=list)
    over: list[bool] = field(default_factory=list)


def trace(process: Process, events: Iterable[Event], until: datetime) -> Traced:
    """Follow each case through a process.

    Parameters
    ----------
    events
        Those of a case one after the other, as they were recorded.
    until
        When it is looked: what isn't over lasts until then.
    """
    traced = Traced()
    for _, of_case in groupby(events, key=lambda event: event.case):
        _Walk(process, traced, list(of_case)).go(until)
    return traced


class _Walk:
    """One case on its way."""

    def __init__(self, process: Process, traced: Traced, steps: Sequence[Event]) -> None:
        self._process = process
        self._traced = traced
        self._steps = steps
        self._stage = ""
        self._holder: str | None = None
        self._begin = steps[0].at
        #: Stages with their holders, by how early the case first came there.
        self._places: dict[tuple[str, str | None], int] = {}
        self._here = -1
        self._loop: Loop | None = None

    def go(self, until: datetime) -> None:
        owed = False
        for n, event in enumerate(self._steps):
            if event.at < self._begin:
                self._deviates(event, f"{event.action} was recorded after a later step")
            stage = self._next(n, event)
            place = (stage, self._process.holders.get(stage, event.holder))
            moved = place != (self._stage, self._holder)
            if not moved and event.action not in self._process.progress:
                continue
            at = max(event.at, self._begin)
            if owed:
                self._stayed(event.department, event, at)
            self._enter(place, event, at, moved=moved)
            owed = not self._is_over(event)
        end = max(until, self._begin) if owed else self._begin
        if owed:
            self._stayed(None, None, end)
        self._traced.lead_s.append((end - self._steps[0].at).total_seconds())
        self._traced.over.append(not owed)

    def _next(self, n: int, event: Event) -> str:
        """Where a step leads: as it was recorded, whatever was intended."""
        if n == 0:
            if (event.action, event.stage) != self._process.first:
                self._deviates(event, f"it begins with {event.action} to {event.stage}")
            return event.stage or self._process.first[1]
        stood = event.before or self._stage
        if stood != self._stage:
            self._deviates(event, f"{event.action} began in {stood}, and it was {self._stage}")
        try:
            intended = self._process.follow(stood, self._steps[:n], event)
        except DeviationError as error:
            self._deviates(event, str(error))
            return event.stage or stood
        if event.stage not in {None, intended}:
            self._deviates(event, f"{event.action} in {stood} led to {event.stage}, not to {intended}")
        return event.stage or intended

    def _enter(self, place: tuple[str, str | None], event: Event, at: datetime, *, moved: bool) -> None:
        new = place not in self._places
        there = self._places.setdefault(place, len(self._places))
        if new:
            self._loop = None
        elif there < self._here or (not moved and event.action in self._process.repeats):
            self._loop = Loop(event.case, event.kind, place[0], event.action)
            self._traced.loops.append(self._loop)
        (self._stage, self._holder), self._begin, self._here = place, at, there

    def _is_over(self, event: Event) -> bool:
        by_itself = event.by is By.SYSTEM and self._stage in self._process.done_by_system
        return by_itself or self._stage in self._process.ended

    def _stayed(self, department: str | None, event: Event | None, end: datetime) -> None:
        by_hand = event is not None and (event.by is not By.SYSTEM or self._stage in self._process.by_system)
        first = self._steps[0]
        stay = Stay(
            case=first.case, kind=first.kind, stage=self._stage, department=self._holder or department or NOBODY,
            action=None if event is None else event.action, begin=self._begin, end=end, ended=by_hand,
            again=self._loop is not None,
        )  # fmt: skip
        self._traced.stays.append(stay)
        if self._loop is not None:
            self._loop.seconds += stay.seconds

    def _deviates(self, event: Event, what: str) -> None:
        self._traced.deviations.append(Deviation(event.case, event.kind, event.at, what))
