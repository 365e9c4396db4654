"""The twin's grids, each read once for all tests."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from twin.scenario import Interval, Twin, demonstration_grid

#: Areas of the first feeder, MV1.101_Feeder1.
ONE_FEEDER = 10


@cache
def full_grid() -> Twin:
    return demonstration_grid()


@cache
def one_feeder() -> Twin:
    return demonstration_grid(areas=ONE_FEEDER)


def quarter_hours(start: datetime, count: int) -> list[Interval]:
    first = int(start.astimezone(UTC).timestamp())
    return [Interval(first + 900 * (i + 1), 900) for i in range(count)]
