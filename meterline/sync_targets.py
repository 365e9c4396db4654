"""Builds the targets of the sync service from the settings, with their clients."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from kafka import KafkaConsumer

from meterline.bootstrap import make_producer
from meterline.config import Settings
from meterline.settings.alerts import WebhookTarget
from meterline.settings.section import read_secret
from meterline.settings.sync import SyncTarget
from meterline.targets import check_names, make_targets
from meterline.webhook import AskError, WebhookSender, ask_signed
from store.deliveries import Target
from sync.delivery import Subscriber
from sync.targets.cim_file import CimFile
from sync.targets.contract import Carrier, TargetError
from sync.targets.csv_file import CsvFolder
from sync.targets.kafka_topic import KafkaTopic
from sync.targets.postgres_table import PostgresTable
from sync.targets.webhook import Ask, WebhookCopy


def make_subscribers(settings: Settings, stop: threading.Event) -> list[Subscriber]:
    """All targets of the sync service; nothing is connected to yet.

    Raises
    ------
    ConfigError
        When a secret can't be used, or two targets have one name.
    """
    section = settings.sync
    check_names([*(each.name for each in section.webhooks), *(each.name for each in section.targets)])
    told = [Subscriber(target) for target in make_targets(section.webhooks)]
    return [*told, *(_subscriber(settings, each, stop) for each in section.targets)]


def _subscriber(settings: Settings, section: SyncTarget, stop: threading.Event) -> Subscriber:
    target = Target(section.name, section.url, allow_private=section.allow_private, channel=section.type)
    if section.secret_file is not None:
        as_webhook = WebhookTarget(
            name=section.name, url=section.url, secret_file=section.secret_file, allow_private=section.allow_private
        )
        (target,) = make_targets([as_webhook])
    return Subscriber(
        target,
        _MAKE[section.type](settings, section, target, stop),
        frozenset(section.subjects) - {"grid"},
        reads=section.type != "webhook" or bool(section.read_url),
        grid="grid" in section.subjects,
    )


def _webhook(_: Settings, section: SyncTarget, target: Target, stop: threading.Event) -> Carrier:
    return WebhookCopy(target, WebhookSender(stop), asker(section.read_url, target))


def asker(url: str, target: Target) -> Ask:
    """Puts signed questions to a target."""
    tls = ssl.create_default_context()

    def ask(question: bytes) -> Any:
        if not url:
            raise TargetError("it has no read_url")
        try:
            return json.loads(ask_signed(target, url, str(uuid4()), question, datetime.now(UTC), tls))
        except (AskError, ValueError) as error:
            raise TargetError(str(error)) from None

    return ask


def _kafka(settings: Settings, section: SyncTarget, _target: Target, _stop: threading.Event) -> Carrier:
    return KafkaTopic(
        section.topic,
        lambda: make_producer(settings, linger_ms=5),
        lambda: KafkaConsumer(
            bootstrap_servers=settings.kafka.bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
        ),
    )


def _postgres(_: Settings, section: SyncTarget, _target: Target, _stop: threading.Event) -> Carrier:
    assert section.conninfo_file is not None  # noqa: S101  # checked by the settings
    return PostgresTable(read_secret(section.conninfo_file), section.table)


def _csv(_: Settings, section: SyncTarget, _target: Target, _stop: threading.Event) -> Carrier:
    assert section.path is not None  # noqa: S101  # checked by the settings
    return CsvFolder(section.path)


def _cim(_: Settings, section: SyncTarget, _target: Target, _stop: threading.Event) -> Carrier:
    assert section.path is not None  # noqa: S101  # checked by the settings
    return CimFile(section.path, lambda: datetime.now(UTC))


_MAKE: dict[str, Callable[[Settings, SyncTarget, Target, threading.Event], Carrier]] = {
    "webhook": _webhook,
    "kafka": _kafka,
    "postgres": _postgres,
    "csv": _csv,
    "cim": _cim,
}
