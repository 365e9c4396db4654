"""A city for the command line: made from its options, sent with its gateways' accounts."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from meterline.bootstrap import opener
from meterline.config import Settings
from meterline.settings.section import ConfigError, read_secret
from store.points import load_points
from sync.load import load_grid
from twin.city import City, CityPlan
from twin.city_live import play_city
from twin.city_play import CityPlay
from twin.device_events import ReportShares
from twin.event_text import parse_events, parse_plan
from twin.replicas import ReplicaSpec
from twin.sending import Summary

#: Where SimBench's grids and profiles are from.
ZONE = ZoneInfo("Europe/Berlin")
#: A week in which summer time begins.
_BEGIN = datetime(2026, 3, 24, tzinfo=ZONE)
#: In which a city may begin: zones have whole quarter-hours, and calendars go on.
_YEARS = (1971, 9000)
_DAY_S = 86_400
_INTERVAL_S = 900


class CityError(RuntimeError):
    """There is no city of these options; the message says why."""


def make_city(
    code: str,
    *,
    areas: int | None = None,
    begin: datetime | None = None,
    days: int = 1,
    seed: int = 0,
    events: str = "default",
    last_gasps: float | None = None,
    households: Path | None = None,
    live: bool = False,
    copy: int = 0,
) -> City:
    """The city of the given options.

    Parameters
    ----------
    begin
        Its day is taken, by the clock on the wall there; None = a week in March 2026, or, of a live city, so many days
        ago.
    events
        A plan, or the path of a JSON list.
    last_gasps
        Share of meters' last gasps that get through; None = as usual.
    copy
        Number of a copy for a load test: it has codes of its own, and a seed that follows from `seed`.

    Raises
    ------
    CityError
        For an unknown city, an unknown kind of event, too many of one, or a file that holds no events or households.
    OSError
        When a file can't be read.
    """
    if live and begin is None:
        begin_s = int(time.time()) // _INTERVAL_S * _INTERVAL_S - days * _DAY_S
    else:
        day = begin or _BEGIN
        if not _YEARS[0] <= day.year <= _YEARS[1]:
            raise CityError(f"no city begins on {day:%Y-%m-%d}: from {_YEARS[0]} to {_YEARS[1]}")
        begin_s = int(datetime(day.year, day.month, day.day, tzinfo=ZONE).timestamp())
    try:
        listed = parse_events(Path(events).read_text(encoding="utf-8")) if events.endswith(".json") else None
        return City(
            CityPlan(
                begin_s=begin_s,
                days=days,
                zone=ZONE,
                city=code,
                areas=areas,
                seed=ReplicaSpec(copy + 1, seed).seed_of(copy),
                copy=copy,
                counts=None if listed is not None else parse_plan(events),
                events=listed,
                households=households,
                interval_s=_INTERVAL_S,
                threads=os.cpu_count() or 1,
                reports=ReportShares() if last_gasps is None else ReportShares(last_gasp=last_gasps),
            )
        )
    except ValueError as error:
        raise CityError(str(error)) from error


def load(settings: Settings, city: City) -> None:
    """Load the city's grid as it is recorded, and its SCADA points, into the configured database. Safe to repeat."""
    with opener(settings, "meterline-load")() as connection:
        load_grid(connection, city.recorded)
        load_points(connection, CityPlay(city).points)
        connection.commit()


def publish(
    settings: Settings,
    city: City,
    ledger_dir: Path,
    *,
    stop: threading.Event,
    duration_s: float | None,
    rate: float,
    speed: float | None,
    progress: Callable[[Summary], None] | None = None,
) -> Summary:
    """Send the city's messages with its gateways' accounts; see `twin.city_live.play_city`.

    Raises
    ------
    ConfigError
        When a gateway has no password.
    """
    folder = settings.mqtt.gateway_passwords_dir
    if folder is None:
        raise ConfigError("mqtt.gateway_passwords_dir is not set: the gateways' passwords are read from there")
    accounts = sorted({unit.gateway for unit in city.units})
    if missing := [name for name in accounts if not (folder / name).exists()]:
        names = " ".join(missing)
        raise ConfigError(f"no password for {names} in {folder}; of our own stack: meterline stack gateways {names}")
    return play_city(
        city,
        host=settings.mqtt.host,
        port=settings.mqtt.port,
        credentials={name: read_secret(folder / name) for name in accounts},
        ledger_dir=ledger_dir,
        stop=stop,
        duration_s=duration_s,
        speed=speed,
        rate=rate,
        progress=progress,
    )
