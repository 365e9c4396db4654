"""Runs the services that tell other systems: of alerts, and of changes of the grid model.

The first also keeps days and months up to date. The second also removes daily what is older than it has to be kept.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime

import structlog

from alerts.rules import AlertPolicy
from alerts.service import run_alerts
from meterline.bootstrap import make_producer, opener
from meterline.config import ConfigError, Settings, WebhookTarget, read_secret
from meterline.periods import keep_up
from meterline.webhook import WebhookSender, signing_key
from store.connection import Connection
from store.deliveries import Target
from store.loop import keep_running, run_together
from store.retention import Rule, retention_rules, run_retention
from sync.service import run_sync

log = structlog.get_logger("meterline.deliver")

#: Two processes that do it at once are kept apart by a lock in the database.
_RETENTION_EVERY_S = 86_400.0


def run_alert_service(settings: Settings, stop: threading.Event) -> None:
    """Sum the results up, look at them again and again, and tell the targets, until `stop` is set."""
    options = settings.alerts
    policy, targets = alert_policy(settings), make_targets(options.webhooks)
    run_together(
        {
            "alerts": lambda: run_alerts(
                opener(settings, "meterline-alerts"), policy, targets, WebhookSender(stop), stop, options.every_s
            ),
            "periods": lambda: keep_running(
                "periods",
                opener(settings, "meterline-periods"),
                lambda connection: keep_up(connection, settings, stop),
                stop,
                settings.settling.period_every_s,
            ),
        },
        stop,
    )


def run_sync_service(settings: Settings, stop: threading.Event) -> None:
    """Relay changes of the grid model to Kafka and the targets, and remove what is old, until `stop` is set."""
    targets = make_targets(settings.sync.webhooks)
    # A change is seen within milliseconds; they are few.
    with closing(make_producer(settings, linger_ms=5)) as producer:
        run_together(
            {
                "sync": lambda: run_sync(
                    opener(settings, "meterline-sync"), producer, targets, WebhookSender(stop), stop
                ),
                "retention": lambda: keep_running(
                    "retention",
                    opener(settings, "meterline-retention"),
                    lambda connection: tidy_up(connection, settings),
                    stop,
                    _RETENTION_EVERY_S,
                ),
            },
            stop,
        )


def tidy_up(connection: Connection, settings: Settings) -> bool:
    """Remove what is older than it has to be kept; False, since there is no more to do today."""
    for removed in run_retention(connection, rules_of(settings), datetime.now(UTC)) or ():
        if removed.chunks or removed.rows:
            log.info("removed", table=removed.table, chunks=len(removed.chunks), rows=removed.rows)
    return False


def rules_of(settings: Settings) -> tuple[Rule, ...]:
    """What is kept how long, as the configuration says."""
    days = settings.retention
    return retention_rules(
        blocks=days.blocks_d,
        balances=days.balances_d,
        scada=days.scada_d,
        rejected=days.rejected_d,
        outbox=days.outbox_d,
        deliveries=days.deliveries_d,
    )


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
