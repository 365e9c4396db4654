"""Finds figures whose limits have passed and orders their publication, through the units' own places in the stream."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from grid.due import Due, encode_due
from grid.model import UnitKind
from grid.topics import ENERGY_UNIT, TELEMETRY_AREA, TELEMETRY_BACKFILL
from store.blocks import to_datetime
from store.connection import Connection
from store.resettling import become_sweeper, due_intervals

#: What was received before a limit may still be on its way to Kafka for this long.
_GRACE_US = 5_000_000
_LIMIT = 20_000
#: Intervals in one order.
_PAGE = 200
#: An order that hasn't come through is given again after this long.
_AGAIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Order:
    """A record to send."""

    topic: str
    key: bytes
    value: bytes


class Sweeper:
    """Orders what is due, through one of all workers at a time.

    Parameters
    ----------
    backfill_after_s
        Blocks that are older when they come travel in the backfill's lane, so orders for such intervals do too.
    """

    def __init__(self, open_connection: Callable[[], Connection], backfill_after_s: float = 7_200) -> None:
        self._open = open_connection
        self._backfill_after_us = round(backfill_after_s * 1e6)
        self._ordered: dict[tuple[str, int, int], float] = {}

    def orders(self, now_us: int) -> list[Order]:
        """Orders for all limits that have passed at `now_us`; none while another worker looks.

        Raises
        ------
        psycopg.Error
            When the store can't be used.
        """
        until_us = now_us - _GRACE_US
        with self._open() as connection:
            if not become_sweeper(connection):
                return []
            found = due_intervals(connection, to_datetime(until_us), _LIMIT)
        now = time.monotonic()
        self._ordered = {key: at for key, at in self._ordered.items() if now - at < _AGAIN_S}
        by_unit: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for unit, kind, observed_at_us, interval_s in found:
            if (unit, observed_at_us, interval_s) not in self._ordered:
                self._ordered[(unit, observed_at_us, interval_s)] = now
                late = until_us - observed_at_us > self._backfill_after_us
                by_unit.setdefault((unit, _topic(kind, late=late)), []).append((observed_at_us, interval_s))
        return [
            Order(topic, unit.encode(), encode_due(Due(unit, until_us, tuple(intervals[i : i + _PAGE]))))
            for (unit, topic), intervals in by_unit.items()
            for i in range(0, len(intervals), _PAGE)
        ]


def _topic(kind: UnitKind, *, late: bool) -> str:
    if kind not in (UnitKind.AREA, UnitKind.DEDICATED):
        return ENERGY_UNIT
    return TELEMETRY_BACKFILL if late else TELEMETRY_AREA
