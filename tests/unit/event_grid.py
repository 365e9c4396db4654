"""One feeder with phases and a Chinese or German clock, for the tests of events."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from grid.model import GridModel, Role
from tests.unit.twin_grid import one_feeder
from twin.effects import Effects
from twin.events import Event, EventKind
from twin.network import Network
from twin.steps import Steps, make_steps

BERLIN = ZoneInfo("Europe/Berlin")
#: A Monday, midnight in Berlin.
MONDAY = int(datetime(2016, 6, 6, tzinfo=BERLIN).timestamp())
HOUR, DAY = 3600, 86_400

Powers = NDArray[np.float64]


def network() -> Network:
    return one_feeder().network


@cache
def model() -> GridModel:
    """Every fourth meter of a customer has three phases."""
    true = one_feeder().model
    phases = ("A", "B", "C", "ABC")
    meters = [replace(m, phases="ABC" if m.role & Role.GATEWAY else phases[i % 4]) for i, m in enumerate(true.meters)]
    return replace(true, meters=tuple(meters))


def event(
    kind: EventKind, entity: str, begin_s: int, end_s: int | None = None, size: float = 1.0, other: str = ""
) -> Event:
    return Event(begin_s, 1, kind, entity, end_s, size, other)


def effects(*events: Event, seed: int = 1) -> Effects:
    return Effects(events, network(), model(), BERLIN, seed)


def day_steps(found: Effects | None = None, begin_s: int = MONDAY, hours: int = 24) -> Steps:
    return make_steps(begin_s, hours * 4, cuts=() if found is None else found.cuts())


def demanded(found: Effects, steps: Steps) -> tuple[Powers, Powers]:
    """What becomes of 100 W and 10 var at every point."""
    active = np.full((len(steps), len(network().points)), 100.0)
    reactive = np.full_like(active, 10.0)
    found.demand(steps, active, reactive)
    return active, reactive


def metered(found: Effects, steps: Steps) -> Powers:
    """What becomes of 100 W at every meter."""
    power = np.full((len(steps), len(model().meters)), 100.0)
    found.metered_w(steps, power)
    return power


def columns(changed: NDArray[np.bool_]) -> list[int]:
    return np.flatnonzero(changed.any(axis=0)).tolist()


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
