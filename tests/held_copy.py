"""Targets that hold a copy of the model, on a virtual clock, and one that is away for six hours."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from meterline.sync_targets import asker
from meterline.webhook import WebhookSender
from store.breaker import Breaker
from store.connection import Connection
from store.deliveries import Attempt, Outcome, Queue, Target, deliver_due
from store.sync_targets import count_owed, list_drift
from sync.change import apply_change, read_change
from sync.delivery import Subscriber, read_back, sender
from sync.load import load_grid
from sync.reconcile import reconcile
from sync.relay import relay_batch
from sync.targets.contract import Carrier, Parcel
from sync.targets.postgres_table import PostgresTable
from sync.targets.webhook import WebhookCopy
from tests.copy_receiver import CopyReceiver
from tests.integration.test_sync import FakeProducer
from tests.small_grid import small_model
from tests.webhook_receiver import SECRET


@dataclass
class Place:
    """A target and what a test may do to what it holds."""

    make: Callable[[], Carrier]
    spoil: Callable[[], None]
    """Change something in it behind our back."""
    receiver: CopyReceiver | None = None
    effects: Callable[[], int] | None = None
    """Greatest number of effects of one delivery."""


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC) + timedelta(hours=1)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **delta: float) -> None:
        self.now += timedelta(**delta)


def webhook_place(receiver: CopyReceiver) -> Place:
    target = Target("webhook", receiver.url, SECRET, allow_private=True)
    sending = WebhookSender(threading.Event(), timeout_s=30.0)

    def spoil() -> None:
        receiver.held["meter", "A1-m1"]["members"][0]["multiplier"] = 99
        del receiver.held["unit", "A2"]

    def make() -> Carrier:
        return WebhookCopy(target, sending, asker(receiver.url, target))

    return Place(make, spoil, receiver, lambda: max(receiver.effects.values()))


def postgres_place(conninfo: str) -> Place:
    def spoil() -> None:
        with psycopg.connect(conninfo) as other:
            other.execute("update copy set body = body || '{\"x\": 1}' where code = 'A1-m1'")
            other.execute("delete from copy where code = 'A2'")

    def effects() -> int:
        with psycopg.connect(conninfo) as other:
            row = other.execute("select count(*), count(distinct delivery_id) from copy_taken").fetchone()
            assert row is not None
            return int(row[0] // max(row[1], 1))

    return Place(lambda: PostgresTable(conninfo, "copy"), spoil, effects=effects)


def subscriber_of(kind: str, place: Place, **more: Any) -> Subscriber:
    return Subscriber(Target(kind, "", channel=kind), place.make(), **more)


def change(connection: Connection, **said: Any) -> None:
    apply_change(connection, read_change(json.dumps(said).encode()))


def settle(
    connection: Connection, subscriber: Subscriber, clock: Callable[[], datetime], breaker: Breaker | None = None
) -> None:
    """Deliver and read back until nothing is to be done."""
    assert subscriber.carrier is not None
    send = sender(connection, subscriber.carrier)
    while deliver_due(connection, Queue.SYNC, [subscriber.target], send, clock, lambda: 0.5, breaker).delivered:
        pass
    while read_back(connection, subscriber, clock())[0]:
        pass


def assert_equal(connection: Connection, subscriber: Subscriber, clock: Callable[[], datetime]) -> None:
    """The target holds what the model says, and nothing else: read from it anew by another reader."""
    done = reconcile(connection, subscriber, clock)
    assert done.compared == 17
    assert (done.drifted, done.waiting) == (0, 0)
    assert list_drift(connection, subscriber.name, 10) == []


def down_for_six_hours(connection: Connection, kind: str, place: Place, seed: int) -> int:
    """On a virtual clock: changes go on while the target is away; the breaker leaves it alone. Then it fails and takes
    what it says that it hasn't; in the end it holds what the model says, each effect once.

    Returns how often it was tried while it was away.
    """
    chance = random.Random(seed)  # noqa: S311  # the same at each run
    clock, breaker = Clock(), Breaker()
    load_grid(connection, small_model())
    good = place.make()
    tries = 0

    class Away:
        def __getattr__(self, name: str) -> Any:
            return getattr(good, name)

        def send(self, parcels: Sequence[Parcel]) -> list[Attempt]:
            nonlocal tries
            tries += 1
            return [Attempt(Outcome.FAILED, "connection refused")] * len(parcels)

    away = Subscriber(Target(kind, "", channel=kind), Away())
    assert place.receiver is not None or kind == "postgres"
    for minute in range(0, 360, 2):
        if minute % 20 == 0:
            change(connection, kind="unit_name", unit=chance.choice(["A1", "A2", "F1"]), name=f"at minute {minute}")
            relay_batch(connection, FakeProducer(), [away])
        settle(connection, away, clock, breaker)
        clock.advance(minutes=2)
    assert tries < 120
    assert count_owed(connection, kind) == 22
    subscriber = Subscriber(Target(kind, "", channel=kind), good)
    if place.receiver is not None:
        place.receiver.lose_answers = 3
        answers = iter([500, *chance.choices((500, 503, 204), k=10)])
        place.receiver.answer = lambda: next(answers, 204)
    for _ in range(40):
        settle(connection, subscriber, clock, breaker)
        clock.advance(minutes=30)
    assert count_owed(connection, kind) == 0
    assert_equal(connection, subscriber, clock)
    if place.effects is not None:
        assert place.effects() == 1
    return tries
