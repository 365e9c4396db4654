"""What every change of the grid model has in common: its outcome, its errors, and how it is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store.connection import Connection
from store.outbox import add_change, add_resettle, next_model_version


class ChangeError(ValueError):
    """A change that can't be made; nothing was written."""


class InvalidChangeError(ChangeError):
    """The change doesn't say what it must."""


class UnknownMeterError(ChangeError):
    """No such meter."""


class UnknownAccountError(ChangeError):
    """No such account."""


class UnknownUnitError(ChangeError):
    """No such unit."""


class UnknownOrganisationError(ChangeError):
    """No such organisation or person."""


class MeterNotInstalledError(ChangeError):
    """The meter belongs to no unit at the time from which the change is to hold."""


class SwitchChangeError(ChangeError):
    """No such switch, or it is connected to nothing at the time from which the change is to hold."""


class ContradictionError(ChangeError):
    """The change contradicts what else is believed."""


@dataclass(frozen=True, slots=True)
class AppliedChange:
    """What a change came to.

    Attributes
    ----------
    outbox_id
        Row that tells of it; None when the model said so already, and nothing was written.
    units
        Codes of the units concerned.
    resettled
        Codes of the units that are to be settled again.
    """

    outbox_id: int | None
    units: tuple[str, ...]
    recorded_at: datetime | None
    resettled: tuple[str, ...] = ()


UNCHANGED = AppliedChange(None, (), None)

#: Unit → from when to when its results may be others; None = without end.
Spans = Mapping[str, tuple[datetime, datetime | None]]


def tell(
    connection: Connection,
    what: tuple[str, str, str],
    payload: dict[str, Any],
    units: Iterable[str],
    recorded_at: datetime,
    resettle: Spans | None = None,
) -> AppliedChange:
    """Write the outbox rows of a change: the one that tells of it, and an order for each unit to be settled again.

    Parameters
    ----------
    what
        Aggregate type, aggregate id and type of the row.
    """
    named = sorted(units)
    payload["units"] = named
    if len(named) == 1:
        payload["unit"] = named[0]
    version = next_model_version(connection)
    outbox_id = add_change(connection, *what, payload, recorded_at)
    spans = resettle or {}
    for unit in sorted(spans):
        add_resettle(connection, unit, *spans[unit], version, recorded_at)
    return AppliedChange(outbox_id, tuple(named), recorded_at, tuple(sorted(spans)))
