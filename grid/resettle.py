"""The order to settle a unit again, as it goes out on topic `grid.resettle`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from grid.roster import END_US

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Resettle:
    """Settle again what a unit has of the time [from_us, to_us), with a view at least as new as `model_version`.

    Attributes
    ----------
    from_us, to_us
        Microseconds since 1970; `grid.roster.END_US` = without end. An interval is concerned when it reaches into the
        period: its end is later than `from_us` and its beginning earlier than `to_us`.
    """

    unit: str
    from_us: int
    to_us: int
    model_version: int
    recorded_us: int
    """When the change was recorded that makes it necessary."""


def decode_resettle(value: bytes) -> Resettle:
    """An order from its record.

    Raises
    ------
    ValueError
        When the record isn't one.
    """
    try:
        order: dict[str, Any] = json.loads(value)
        payload = order["payload"]
        end = payload["to"]
        return Resettle(
            unit=str(payload["unit"]),
            from_us=_microseconds(payload["from"]),
            to_us=END_US if end is None else _microseconds(end),
            model_version=int(payload["model_version"]),
            recorded_us=_microseconds(order["recorded_at"]),
        )
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not an order to settle again: {error!r}") from None


def _microseconds(text: str) -> int:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"an instant without its offset: {text}")
    return (at - _EPOCH) // timedelta(microseconds=1)
