"""The roll-out's rules as the configuration says them."""

from __future__ import annotations

from meterline.config import Settings
from meterline.deliver import make_calendar
from meterline.settings.section import ConfigError, read_secret
from store.alert_desk import read_holidays
from store.connection import Connection
from sync.rollout.tickets import DEFAULT_PROMISES, DeskRules, Priority, Promise


def site_key(settings: Settings, site: str) -> bytes | None:
    """The public key that proves the reports of a site, PEM; None where none is configured.

    Raises
    ------
    ConfigError
        When its file can't be read.
    """
    file = settings.rollout.acceptance.keys.get(site)
    return None if file is None else read_secret(file).encode()


def desk_rules(connection: Connection, settings: Settings) -> DeskRules:
    """How the service desk works, with the holidays as they are now.

    Raises
    ------
    ConfigError
        When a promise contradicts itself.
    """
    section = settings.rollout
    promises = dict(DEFAULT_PROMISES)
    try:
        for name, said in section.promises.items():
            promises[Priority(name)] = Promise(round(said.respond_h * 3_600), round(said.resolve_h * 3_600))
    except ValueError as error:
        raise ConfigError(f"rollout.promises: {error}") from None
    hours = make_calendar(section.hours, settings.settling.zone(), read_holidays(connection))
    return DeskRules(hours, section.tiers, promises)
