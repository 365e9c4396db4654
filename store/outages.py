"""What outages are found from: changes of switches, last suppliers of areas, last gasps. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("outages")


@dataclass(frozen=True, slots=True)
class LastSupply:
    """The feeder of which an area is or was a member last, until when (None: it still is), and its meters."""

    area: str
    feeder: str
    until: datetime | None
    meters: int


@dataclass(frozen=True, slots=True)
class HeldOutage:
    """An outage that holds."""

    unit: str
    begin_at: datetime
    source: str
    areas: tuple[str, ...]
    figures: dict[str, Any]
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class MeterOutage:
    """Whether a meter's area is out: since when, until when it is expected to be, and what is being done."""

    meter: str
    area: str
    alert_id: int | None
    since: datetime | None
    expected_at: datetime | None
    state: str | None
    cause: str | None


def switches_changed(connection: Connection, after: int, limit: int) -> tuple[int, dict[str, datetime]]:
    """Number of the last change of the model, and substations whose switches moved with changes after `after`: the
    latest instant from which one is to stand as it does.
    """
    last, substations = after, dict[str, datetime]()
    for number, substation, at in connection.execute(_SQL["changed"], {"after": after, "limit": limit}):
        last = max(last, int(number))
        if substation is not None:
            substations[substation] = max(at, substations.get(substation, at))
    return last, substations


def disturbed_substations(connection: Connection, now: datetime) -> tuple[int, dict[str, datetime]]:
    """The same of substations with a switch in another than its normal position, now or later, or with an outage."""
    rows = connection.execute(_SQL["disturbed"], {"now": now}).fetchall()
    return int(rows[0][0]), {row[1]: row[2] for row in rows if row[1] is not None}


def read_last_supply(connection: Connection, areas: Sequence[str], now: datetime) -> list[LastSupply]:
    """Of areas that ever had a feeder."""
    return [LastSupply(*row) for row in connection.execute(_SQL["last_supply"], {"areas": list(areas), "now": now})]


def read_held_outages(connection: Connection) -> list[HeldOutage]:
    """Outages that hold."""
    return [HeldOutage(r[0], r[1], r[2], tuple(r[3]), r[4], r[5]) for r in connection.execute(_SQL["held"])]


def read_gasps(connection: Connection, since: datetime, now: datetime, settling_s: float) -> list[tuple[Any, ...]]:
    """Areas from which last gasps came in (since, now] and nothing after: area, feeder, first, how many, meters,
    areas of the feeder.

    Parameters
    ----------
    settling_s
        What came up to so long after a switch had supplied the area is from before that.
    """
    return connection.execute(_SQL["gasps"], {"since": since, "now": now, "settling_s": settling_s}).fetchall()


def read_late_gasps(connection: Connection, within_s: float, since: datetime, until: datetime) -> list[datetime]:
    """Instants in (since, until] of the last gasps that were stored within the last `within_s` seconds, rising."""
    arguments = {"within_s": within_s, "since": since, "until": until}
    return [row[0] for row in connection.execute(_SQL["late_gasps"], arguments)]


def read_restored(
    connection: Connection, areas: Sequence[str], since: datetime, now: datetime, settling_s: float
) -> dict[str, bool]:
    """Whether areas whose meters gasped from `since` on have their supply back: most meters said so, all was read, or
    a switch brought it.
    """
    arguments = {"areas": list(areas), "since": since, "now": now, "settling_s": settling_s}
    return dict(connection.execute(_SQL["restored"], arguments).fetchall())


def find_meter_outage(connection: Connection, meter: str, now: datetime) -> list[MeterOutage]:
    """The area of a meter, and its outage if it has one; nothing where the meter is in no unit."""
    return [MeterOutage(*row) for row in connection.execute(_SQL["of_meter"], {"meter": meter, "now": now})]
