"""Files what was measured of a site's channel, judged by what the site's traffic needs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from grid.channel import Limits, Measured, Traffic, bytes_per_s_needed, shortfalls
from store.connection import Connection
from store.rollout import Row, UnknownCodeError, add_row, read_rows
from sync.rollout.errors import NotFoundError, RolloutError

#: Of an interval where neither the store nor the site says how long one is.
_USUAL_INTERVAL_S = 900


def file_probe(
    connection: Connection,
    unit: str,
    gateway: str,
    measured_at: datetime,
    measured: Measured,
    limits: Limits,
    by: str,
    at: datetime,
    said: Traffic | None = None,
) -> Row:
    """File a measurement. Returns it with its shortfalls.

    Parameters
    ----------
    unit, gateway
        Organisation of the site, and the account with which it was measured.
    measured_at
        By the site's clock.
    said
        The traffic as the site tells it, for a gateway that the grid model doesn't know yet.

    Raises
    ------
    RolloutError
        When nobody knows the site's traffic, or there is no such organisation.
    """
    with connection.transaction():
        traffic = find_traffic(connection, gateway, at, said)
        if traffic is None:
            raise RolloutError(f"the grid model has no meters of {gateway}: say how many, in how many messages")
        values = {
            "meters": traffic.meters, "blocks": traffic.blocks, "interval_s": traffic.interval_s,
            "needed": {**asdict(limits), "bytes_per_s": bytes_per_s_needed(traffic, limits)},
            "shortfalls": [str(shortfall) for shortfall in shortfalls(measured, traffic, limits)],
        }  # fmt: skip
        try:
            number = add_row(
                connection, "site", "add_probe",
                unit=unit, gateway=gateway, measured_at=measured_at, **asdict(measured), **values, at=at, actor=by,
            )  # fmt: skip
        except UnknownCodeError:
            raise NotFoundError(f"no organisation {unit}") from None
    return {
        "probe_id": number, "unit": unit, "gateway": gateway, "measured_at": measured_at, **asdict(measured), **values
    }  # fmt: skip


def find_traffic(connection: Connection, gateway: str, at: datetime, said: Traffic | None) -> Traffic | None:
    """What a gateway sends: by the grid model where that has meters of it, else as the site says."""
    (found,) = read_rows(connection, "site", "traffic", gateway=gateway, at=at)
    if not found["meters"]:
        return said
    usual = _USUAL_INTERVAL_S if said is None else said.interval_s
    return Traffic(found["meters"], found["blocks"], found["interval_s"] or usual)


def list_channels(
    connection: Connection, at: datetime, unit: str | None = None, slow: bool = False, after: int = 0, limit: int = 200
) -> list[Row]:
    """Channels as last measured within a week before an instant, the newest first; `slow`: those that fall short."""
    return read_rows(connection, "site", "channels", at=at, unit=unit, slow=slow, after=after, limit=limit)


def list_short(connection: Connection, since: datetime, at: datetime, unit: str | None, limit: int) -> list[Row]:
    """Channels that fall short, or did since, by the last measurement that says so; `is_good_again` once they do."""
    return read_rows(connection, "site", "fell_short", since=since, at=at, unit=unit, limit=limit)


def list_silent(connection: Connection, at: datetime, unit: str | None, limit: int) -> list[Row]:
    """Channels that were measured before and not for a week, as they were last measured."""
    return read_rows(connection, "site", "silent", at=at, unit=unit, limit=limit)
