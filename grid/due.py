"""The order to publish what a unit's limits ask for, as it goes to the unit's own place in the stream."""

from __future__ import annotations

import json
from dataclasses import dataclass

from grid.arrow import InvalidBlockError


@dataclass(frozen=True, slots=True)
class Due:
    """Limits of some intervals of a unit have passed.

    It travels behind the unit's readings, in the same partition: what was received before a limit comes first.

    Attributes
    ----------
    until_us
        Limits before this instant are meant, microseconds since 1970 UTC.
    intervals
        End in microseconds and length in seconds of each.
    """

    unit: str
    until_us: int
    intervals: tuple[tuple[int, int], ...]


def encode_due(due: Due) -> bytes:
    """`due` as JSON, which no Arrow stream begins like."""
    return json.dumps({"unit": due.unit, "until_us": due.until_us, "intervals": due.intervals}).encode()


def is_due(data: bytes) -> bool:
    """Whether a record of a telemetry topic is such an order, and no readings."""
    return data.startswith(b"{")


def decode_due(data: bytes) -> Due:
    """Inverse of `encode_due`.

    Raises
    ------
    InvalidBlockError
        When `data` is no such record.
    """
    try:
        order = json.loads(data)
        intervals = tuple((int(observed_at_us), int(interval_s)) for observed_at_us, interval_s in order["intervals"])
        return Due(str(order["unit"]), int(order["until_us"]), intervals)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidBlockError(f"not an order: {error!r}") from None
