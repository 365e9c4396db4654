"""Runs the services that tell other systems: of alerts, and of changes of the grid model.

The first also keeps days and months up to date, looks at closed days by validation rules, and lets milestones of the
roll-out judge themselves.
The second also brings the ledger of benefits up to date daily, and removes what is older than it has to be kept.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import structlog

from alerts.routing import DEFAULT_ROUTES, Channel, Route, Routing, Tier
from alerts.rules import AlertPolicy
from alerts.sense import SenseRules
from alerts.service import AlertCounts, AlertSettings, run_alerts
from benefit.update import LedgerAheadError, LedgerBusyError, NotApprovedError, update_ledger
from grid.calendar import Calendar
from grid.finding import Severity
from meterline.bootstrap import make_producer, opener
from meterline.channels import make_sender
from meterline.config import Settings
from meterline.periods import keep_up
from meterline.reports import check_reports, send_reports
from meterline.settings.alerts import (
    WEEKDAYS,
    AlertsSection,
    AlertWebhookTarget,
    CalendarSection,
    ChannelSection,
    RouteSection,
)
from meterline.settings.section import ConfigError, read_secret
from meterline.sync_targets import make_subscribers
from meterline.targets import check_names, make_targets
from meterline.validation import VALIDATE_EVERY_S, validate
from meterline.webhook import WebhookSender
from store.alert_desk import read_holidays
from store.connection import Connection
from store.deliveries import Target
from store.loop import keep_running, run_together
from store.retention import Rule, retention_rules, run_retention
from sync.rollout.planning import judge
from sync.rollout.watch import watch
from sync.service import SyncCounts, run_sync

log = structlog.get_logger("meterline.deliver")

#: Two processes that do it at once are kept apart by a lock in the database.
_DAILY_EVERY_S = 86_400.0
#: Promises are made in hours, milestones in days.
_ROLLOUT_EVERY_S = 60.0
#: What milestones are measured by changes once a day, at no hour that all share.
_JUDGE_EVERY_S = 3_600.0


def run_alert_service(settings: Settings, stop: threading.Event, counts: AlertCounts | None = None) -> None:
    """Sum the results up, look at them again and again, and tell the targets, until `stop` is set."""
    options = settings.alerts
    judged_by, targets = alert_settings(settings), alert_targets(options)
    check_reports(settings)
    if targets and (roles := unreached_roles(settings)):
        log.warning("alerts lead to roles that no target reaches", roles=roles)
    send = make_sender(stop, lambda: make_producer(settings, linger_ms=5))
    run_together(
        {
            "alerts": lambda: run_alerts(
                opener(settings, "meterline-alerts"), judged_by, targets, send, stop, options.every_s, counts
            ),
            "periods": lambda: keep_running(
                "periods",
                opener(settings, "meterline-periods"),
                lambda connection: keep_up(connection, settings, stop),
                stop,
                settings.settling.period_every_s,
            ),
            "validation": lambda: keep_running(
                "validation",
                opener(settings, "meterline-validation"),
                lambda connection: validate(connection, settings),
                stop,
                VALIDATE_EVERY_S,
            ),
            "reports": lambda: keep_running(
                "reports",
                opener(settings, "meterline-reports"),
                lambda connection: report_rollout(connection, settings),
                stop,
                _ROLLOUT_EVERY_S,
            ),
            "rollout": lambda: keep_running(
                "rollout",
                opener(settings, "meterline-rollout"),
                lambda connection: watch_rollout(connection, settings),
                stop,
                _ROLLOUT_EVERY_S,
            ),
            "milestones": lambda: keep_running(
                "milestones",
                opener(settings, "meterline-milestones"),
                lambda connection: judge_milestones(connection, settings),
                stop,
                _JUDGE_EVERY_S,
            ),
        },
        stop,
    )


def run_sync_service(settings: Settings, stop: threading.Event, counts: SyncCounts | None = None) -> None:
    """Relay changes of the grid model to Kafka and the targets, and remove what is old, until `stop` is set."""
    subscribers = make_subscribers(settings, stop)
    # A change is seen within milliseconds; they are few.
    with closing(make_producer(settings, linger_ms=5)) as producer:
        run_together(
            {
                "sync": lambda: run_sync(
                    opener(settings, "meterline-sync"),
                    producer,
                    subscribers,
                    WebhookSender(stop),
                    stop,
                    counts,
                    settings.sync.reconcile_every_s,
                ),
                "daily": lambda: keep_running(
                    "daily",
                    opener(settings, "meterline-daily"),
                    lambda connection: daily_round(connection, settings),
                    stop,
                    _DAILY_EVERY_S,
                ),
            },
            stop,
        )


def watch_rollout(connection: Connection, settings: Settings) -> bool:
    """Tell alerts what slipped in the roll-out; False, since there is no more to do for now."""
    watched = watch(connection, datetime.now(UTC), settings.settling.zone())
    if watched.begun or watched.ended:
        log.info("roll-out", begun=watched.begun, ended=watched.ended)
    return False


def judge_milestones(connection: Connection, settings: Settings) -> bool:
    """Let milestones judge themselves; False, since there is no more to do for now."""
    for told in judge(connection, datetime.now(UTC), settings.settling.zone()):
        if told["recorded"] is not None:
            log.info("milestone", programme=told["programme"], milestone=told["code"], result=told["recorded"])
    return False


def report_rollout(connection: Connection, settings: Settings) -> bool:
    """Owe the reports that are due; False, since there is no more to do for now."""
    if owed := send_reports(connection, settings, datetime.now(UTC)):
        log.info("reports", owed=owed)
    return False


def daily_round(connection: Connection, settings: Settings) -> bool:
    """What is done once a day; False, since there is no more to do today.

    The ledger comes first: it keeps ended outages, whose findings go when they are old.
    """
    update_benefit(connection, settings)
    return tidy_up(connection, settings)


def update_benefit(connection: Connection, settings: Settings) -> None:
    """Bring the ledger of benefits up to date, where parameters are approved that it can value by."""
    kept = timedelta(days=settings.retention.deliveries_d)
    try:
        done = update_ledger(connection, settings.settling.zone(), datetime.now(UTC), kept)
    except NotApprovedError:
        return
    except (LedgerAheadError, LedgerBusyError) as error:
        log.warning("the ledger of benefits isn't brought up to date", why=str(error))
        return
    log.info("benefit", written=done.written.total(), measured=done.measured, waiting=len(done.waiting))


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
        events=days.events_d,
        rejected=days.rejected_d,
        outbox=days.outbox_d,
        deliveries=days.deliveries_d,
        findings=days.findings_d,
    )


def alert_settings(settings: Settings) -> AlertSettings:
    """By what the configuration asks to judge, and whom to tell.

    Raises
    ------
    ConfigError
        When its settings contradict each other.
    """
    options = settings.alerts
    try:
        policy = AlertPolicy(options.super_high_rate, options.window_h, options.min_hours)
        # A rule of its own leaves what it depends on as it is.
        rules = {
            kind: replace(SenseRules().of(kind), hold_s=rule.hold_s, clear_s=rule.clear_s)
            for kind, rule in options.sense.items()
        }
        make_routing(options, settings.settling.zone(), {})
    except ValueError as error:
        raise ConfigError(f"alerts: {error}") from None
    return AlertSettings(
        policy,
        lambda connection: make_routing(options, settings.settling.zone(), read_holidays(connection)),
        SenseRules(rules),
        settings.thresholds.defaults(),
    )


def make_routing(options: AlertsSection, zone: ZoneInfo, holidays: Mapping[date, bool]) -> Routing:
    """Who is told, with the calendars' exceptions as they are now; raises ValueError where tiers are out of order."""
    calendars = {name: make_calendar(section, zone, holidays) for name, section in options.calendars.items()}
    routes = tuple(_route(section, calendars) for section in options.routes)
    targets: tuple[AlertWebhookTarget | ChannelSection, ...] = (*options.webhooks, *options.channels)
    channels = tuple(
        Channel(
            target.name,
            frozenset(target.roles),
            every_end=isinstance(target, ChannelSection) and target.type == "alertmanager",
        )
        for target in targets
    )
    return Routing(channels, routes or DEFAULT_ROUTES, options.notice_interval_s, options.link)


def make_calendar(section: CalendarSection, zone: ZoneInfo, holidays: Mapping[date, bool]) -> Calendar:
    """Working hours with the exceptions as they are now."""
    return Calendar(
        zone, frozenset(WEEKDAYS.index(day) for day in section.days), section.opens, section.closes, holidays
    )


def _route(section: RouteSection, calendars: Mapping[str, Calendar]) -> Route:
    return Route(
        role=section.role,
        kinds=section.kinds,
        units=section.units,
        min_severity=Severity(section.min_severity),
        calendar=None if section.calendar is None else calendars[section.calendar],
        hold=section.hold,
        tiers=tuple(Tier(tier.after_min * 60, tier.role) for tier in section.escalate),
    )


def unreached_roles(settings: Settings) -> list[str]:
    """Roles to which the configured routes lead, and that none of its targets reaches."""
    return make_routing(settings.alerts, settings.settling.zone(), {}).unreached()


def alert_targets(options: AlertsSection) -> list[Target]:
    """All targets of alerts, with their secrets.

    Raises
    ------
    ConfigError
        When a secret can't be used, or two targets have one name.
    """
    check_names([*(each.name for each in options.webhooks), *(each.name for each in options.channels)])
    return [*make_targets(options.webhooks), *map(_channel_target, options.channels)]


def _channel_target(section: ChannelSection) -> Target:
    secret = b"" if section.secret_file is None else read_secret(section.secret_file).strip().encode()
    return Target(section.name, section.url, secret, section.allow_private, channel=section.type)
