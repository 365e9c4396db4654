"""Runs the services that tell other systems: of alerts, and of changes of the grid model."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing

from alerts.rules import AlertPolicy
from alerts.service import run_alerts
from meterline.bootstrap import make_producer, opener
from meterline.config import ConfigError, Settings, WebhookTarget, read_secret
from meterline.webhook import WebhookSender, signing_key
from store.deliveries import Target
from sync.service import run_sync


def run_alert_service(settings: Settings, stop: threading.Event) -> None:
    """Look at the results again and again, and tell the targets, until `stop` is set."""
    options = settings.alerts
    run_alerts(
        opener(settings, "meterline-alerts"),
        alert_policy(settings),
        make_targets(options.webhooks),
        WebhookSender(stop),
        stop,
        options.every_s,
    )


def run_sync_service(settings: Settings, stop: threading.Event) -> None:
    """Relay changes of the grid model to Kafka and the targets, until `stop` is set."""
    targets = make_targets(settings.sync.webhooks)
    # A change is seen within milliseconds; they are few.
    with closing(make_producer(settings, linger_ms=5)) as producer:
        run_sync(opener(settings, "meterline-sync"), producer, targets, WebhookSender(stop), stop)


def alert_policy(settings: Settings) -> AlertPolicy:
    """The policy that the configuration asks for.

    Raises
    ------
    ConfigError
        When its settings contradict each other.
    """
    options = settings.alerts
    try:
        return AlertPolicy(
            threshold_rate=options.threshold_rate,
            super_high_rate=max(0.30, options.threshold_rate * 1.5),
            min_inflow_wh=options.min_inflow_wh,
            window_h=options.window_h,
            min_hours=options.min_hours,
        )
    except ValueError as error:
        raise ConfigError(f"alerts: {error}") from None


def make_targets(sections: Sequence[WebhookTarget]) -> list[Target]:
    """Targets with their secrets.

    Raises
    ------
    ConfigError
        When a secret can't be used, or two targets have one name.
    """
    names = [section.name for section in sections]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two webhook targets are named {name}")
    targets = []
    for section in sections:
        try:
            key = signing_key(read_secret(section.secret_file))
        except ValueError as error:
            raise ConfigError(f"{section.secret_file}: {error}") from None
        targets.append(Target(section.name, section.url, key, section.allow_private))
    return targets
