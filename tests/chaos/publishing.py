"""Ways to publish a twin's telemetry: in order and in time, or repeated, out of order and late."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from meterline.config import Settings
from meterline.demonstration import gateways_of, simulate
from meterline.settings.section import ConfigError, read_secret
from twin.ledger import LedgerWriter
from twin.messages import Message, MessageBuilder
from twin.scenario import Interval, Twin
from twin.sending import Sending, make_clients

HOUR_S = 3_600.0
DAY_S = 24 * HOUR_S
#: Older than this a message takes the backfill's lane here: what is published begins some days back.
BACKFILL_AFTER_S = 20 * DAY_S

#: Publishes into a ledger's folder until it is told to stop, or all is published.
Publish = Callable[[Settings, Twin, Path, threading.Event], None]
#: At which moments of the data's time a message is sent whose interval ends then.
Moments = Callable[[float, random.Random], list[float]]


def in_time(rate: float = 150.0, *, backfill: bool = False) -> Publish:
    """Days of the past, interval by interval, by the live lane or the backfill's; `rate` messages a second."""
    days = (BACKFILL_AFTER_S / DAY_S if backfill else 0.0) + 5.0

    def publish(settings: Settings, twin: Twin, folder: Path, stop: threading.Event) -> None:
        simulate(settings, twin, folder, stop=stop, days=days, rate=rate)

    return publish


@dataclass(frozen=True, slots=True)
class Span:
    """Quarter-hours of the past: `count` of them, one each `every_s`."""

    count: int
    every_s: int = 900

    def intervals(self, now_s: float) -> list[Interval]:
        """In the order of time; the last ends before now."""
        last_s = int(now_s // self.every_s) * self.every_s
        return [Interval(last_s - n * self.every_s, 900) for n in reversed(range(self.count))]


def three_times(end_s: float, chance: random.Random) -> list[float]:
    """Once in time and twice more within the hour."""
    return [end_s, *(end_s + chance.uniform(0.0, HOUR_S) for _ in range(2))]


def within_the_hour(end_s: float, chance: random.Random) -> list[float]:
    """Once, at any moment of an hour."""
    return [end_s + chance.uniform(0.0, HOUR_S)]


def late_sometimes(end_s: float, chance: random.Random) -> list[float]:
    """One in twenty late by an hour to seven days, even in the logarithm."""
    if chance.random() >= 0.05:
        return [end_s]
    return [end_s + math.exp(chance.uniform(math.log(HOUR_S), math.log(7 * DAY_S)))]


def out_of_order(span: Span, moments: Moments, rate: float, seed: int = 1) -> Publish:
    """All messages of a span at the moments of the data's time that are given, as fast as `rate` a second."""

    def publish(settings: Settings, twin: Twin, folder: Path, stop: threading.Event) -> None:
        # Beyond any number of an earlier load, as a gateway that starts anew.
        builder = MessageBuilder(twin, first_sequence=int(time.time()) * 1_000_000)
        messages = [
            (readings.interval, message)
            for readings in twin.readings(span.intervals(time.time()))
            for message in builder.build(readings)
        ]
        _send(settings, twin, folder, stop, _schedule(messages, moments, random.Random(seed)), rate)  # noqa: S311

    return publish


def _schedule(
    messages: list[tuple[Interval, Message]], moments: Moments, chance: random.Random
) -> list[tuple[Interval, Message]]:
    due = [(at, n) for n, (interval, _) in enumerate(messages) for at in moments(interval.end_s, chance)]
    return [messages[n] for _, n in sorted(due)]


def _send(
    settings: Settings,
    twin: Twin,
    folder: Path,
    stop: threading.Event,
    messages: list[tuple[Interval, Message]],
    rate: float,
) -> None:
    """Send messages in the order given; of one that is there again the first alone is the ledger's."""
    accounts = (unit.gateway for unit in twin.units)
    clients = make_clients(accounts, passwords(settings, twin), settings.mqtt.host, settings.mqtt.port, 200, None)
    sent: set[tuple[int, int]] = set()
    with LedgerWriter(folder, [unit.code for unit in twin.units]) as ledger:
        sending = Sending(clients, ledger, stop, None, None)
        try:
            sending.connect()
            due = time.monotonic()
            for turn, (interval, message) in enumerate(messages):
                client = clients[message.gateway]
                if not sending.until_ready(client, due):
                    break
                if (key := (message.unit, interval.end_s)) in sent:
                    sending.send(client, message.topic, message.payload, -1 - turn, message.readings)
                else:
                    sent.add(key)
                    number = ledger.published(
                        message.unit,
                        interval.length_s,
                        interval.end_s * 1_000_000,
                        time.time_ns() // 1_000,
                        message.readings,
                        message.import_wh,
                        message.export_wh,
                    )
                    sending.send(client, message.topic, message.payload, number, message.readings, message.sequence)
                due = max(due + 1 / rate, time.monotonic() - 10 / rate)
            sending.drain()
        finally:
            sending.close()


def passwords(settings: Settings, twin: Twin) -> dict[str, str]:
    """Of the gateways, by their accounts."""
    folder = settings.mqtt.gateway_passwords_dir
    if folder is None:
        raise ConfigError("mqtt.gateway_passwords_dir is not set")
    return {name: read_secret(folder / name) for name in gateways_of(twin.model)}
