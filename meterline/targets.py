"""Targets of webhooks from the configuration, with their secrets."""

from __future__ import annotations

from collections.abc import Sequence

from meterline.settings.alerts import WebhookTarget
from meterline.settings.section import ConfigError, read_secret
from meterline.webhook import signing_keys
from store.deliveries import Target


def make_targets(sections: Sequence[WebhookTarget]) -> list[Target]:
    """Targets with their secrets.

    Raises
    ------
    ConfigError
        When a secret can't be used, or two targets have one name.
    """
    check_names([section.name for section in sections])
    targets = []
    for section in sections:
        try:
            key, *old = signing_keys(read_secret(section.secret_file))
        except ValueError as error:
            raise ConfigError(f"{section.secret_file}: {error}") from None
        targets.append(Target(section.name, section.url, key, section.allow_private, tuple(old)))
    return targets


def check_names(names: Sequence[str]) -> None:
    """Raise ConfigError when two targets have one name."""
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two targets are named {name}")
