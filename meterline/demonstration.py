"""The demonstration: a real grid, its telemetry, and one hidden consumer to be found."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from grid.model import GridModel
from meterline.bootstrap import opener
from meterline.config import Settings
from meterline.settings.section import ConfigError, read_secret
from store.grid_writer import LoadReport
from sync.load import load_grid
from twin.publisher import simulate as publish
from twin.scenario import DEMONSTRATION_UNMETERED, Twin, demonstration_grid
from twin.sending import Summary

_LEFT_OFF = """
select u.code, newest.observed_at - newest.interval_s * interval '1 second'
from grid.unit u
cross join lateral (
  select observed_at, interval_s
  from loss.balance
  where unit_id = u.unit_id and status <> 'provisional' and observed_at > now() - interval '2 days'
  order by observed_at desc
  limit 1
) newest
where u.code = any(%(codes)s)
"""


class PublisherError(RuntimeError):
    """The demonstration's publisher didn't do its work; the message says where to look."""


def make_twin(areas: int | None = None) -> Twin:
    """The demonstration grid with its hidden consumer; only the first `areas` of it where given."""
    return demonstration_grid(areas=areas, unmetered_w=DEMONSTRATION_UNMETERED)


def gateways_of(model: GridModel) -> list[str]:
    """Accounts that send for the model's units."""
    return sorted({area.gateway for area in model.areas} | set(model.feeder_gateways.values()))


def load_demonstration(settings: Settings, model: GridModel) -> LoadReport | None:
    """Load the model into the master data; None when its units are there already.

    A load would take back what was changed by hand since the last one.
    """
    with opener(settings, "meterline-load")() as connection:
        known = {code for (code,) in connection.execute("select code from grid.unit")}
        connection.rollback()
        if known.issuperset({area.code for area in model.areas} | {feeder.code for feeder in model.feeders}):
            return None
        return load_grid(connection, model)


def left_off(settings: Settings, model: GridModel) -> dict[str, datetime]:
    """Where an earlier run has left off, by unit: the beginning of its newest whole interval of the last two days.

    So that interval is sent once more, and a run always has something to send; nothing overlaps.
    """
    codes = [area.code for area in model.areas] + [feeder.code for feeder in model.feeders]
    with opener(settings, "meterline-simulate")() as connection:
        return dict(connection.execute(_LEFT_OFF, {"codes": codes}).fetchall())


def simulate(
    settings: Settings,
    twin: Twin,
    ledger_dir: Path,
    *,
    stop: threading.Event,
    duration_s: float | None = None,
    days: float = 1.0,
    resume: bool = False,
    rate: float = 1_200.0,
    speed: float = 1.0,
    progress: Callable[[Summary], None] | None = None,
) -> Summary:
    """Publish the twin's telemetry with its gateways' accounts; see `twin.publisher.simulate`.

    Raises
    ------
    ConfigError
        When a gateway has no password.
    """
    folder = settings.mqtt.gateway_passwords_dir
    if folder is None:
        raise ConfigError("mqtt.gateway_passwords_dir is not set: the gateways' passwords are read from there")
    credentials = {name: read_secret(folder / name) for name in gateways_of(twin.model)}
    return publish(
        twin,
        host=settings.mqtt.host,
        port=settings.mqtt.port,
        credentials=credentials,
        ledger_dir=ledger_dir,
        stop=stop,
        days=days,
        since=left_off(settings, twin.model) if resume else None,
        duration_s=duration_s,
        speed=speed,
        rate=rate,
        progress=progress,
    )
