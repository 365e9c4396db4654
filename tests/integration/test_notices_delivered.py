"""Delivery of notices to receivers that fail, die, come back and change their secrets."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.evaluate import evaluate
from alerts.formats import events_of
from alerts.routing import Routing
from alerts.rules import AlertPolicy
from alerts.sense import SenseRule, SenseRules
from grid.finding import Finding, Severity
from meterline.webhook import WebhookSender
from store.breaker import Breaker
from store.connection import Connection, connect
from store.deliveries import Attempt, Outcome, Queue, Target, deliver_due, replay_target
from store.findings import add_findings
from sync.load import load_grid
from tests.notice_steps import NOW, fixed, found, look, owed_since, s
from tests.small_grid import small_model
from tests.webhook_receiver import SECRET, SILENCE, TAKEN_IN_SILENCE, receive

#: Where nothing listens.
NOBODY = "http://127.0.0.1:9/"


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, small_model())
        yield opened


class TestDelivery:
    def test_fifty_events_of_a_week_at_a_receiver_that_fails(self, connection: Connection) -> None:
        """Over HTTP, on a virtual clock: half of the requests fail, some after the receiver took them; some get no
        answer in time; and for six hours nothing listens.
        """
        chance = random.Random(7)  # noqa: S311
        begins = sorted(chance.uniform(0, 6 * 86_400) for _ in range(50))
        ends = [begin + chance.uniform(60, 86_400) for begin in begins]
        away = (s(2 * 86_400), s(2 * 86_400 + 6 * 3_600))
        events = sorted([*((t, n, True) for n, t in enumerate(begins)), *((t, n, False) for n, t in enumerate(ends))])
        answers: Counter[int] = Counter()

        def answer(_: int) -> int:
            status = chance.choices((204, 500, 503, TAKEN_IN_SILENCE, SILENCE), (50, 25, 15, 6, 4))[0]
            answers[status] += 1
            return status

        routing, breaker, refused = Routing.to_all(["m"]), Breaker(), 0
        with receive(answer) as receiver:
            receiver.headers = {"retry-after": "30"}
            sender = WebhookSender(threading.Event(), timeout_s=0.25)
            clock = NOW
            while (due_at := owed_since(connection)) is not None or events:
                if events and (due_at is None or s(events[0][0]) <= max(clock, due_at)):
                    second, n, holds = events.pop(0)
                    clock = max(clock, s(second))
                    unit = ("A1", "A2", "F1", "F2")[n % 4]
                    finding = Finding("x", Severity.WARNING, unit, f"x:{n}", s(begins[n]), s(second), holds)
                    add_findings(connection, [finding])
                    look(connection, routing, clock)
                    continue
                assert due_at is not None
                clock = max(clock, due_at)
                is_away = away[0] <= clock < away[1]
                target = Target("m", NOBODY if is_away else receiver.url, SECRET, allow_private=True)
                done = deliver_due(connection, Queue.ALERTS, [target], sender, fixed(clock), chance.random, breaker)
                refused += done.failed * is_away
                # The breaker is open, or an earlier notice of the group must be taken first.
                clock += timedelta(seconds=0 if done.claimed else 5)
                assert clock < s(30 * 86_400)
        assert receiver.forged == 0
        assert min(answers[status] for status in (204, 500, 503, TAKEN_IN_SILENCE, SILENCE)) > 0
        assert refused > 0
        assert max(receiver.accepted.values()) > 1, "nothing was repeated: this shows nothing"
        effects: Counter[str] = Counter()
        for bodies in receiver.taken.values():
            assert all(body == bodies[0] for body in bodies), "a repeat says what was said before"
            effects.update(f"{event['type']} {event['data']['code']}" for event in events_of(bodies[0]))
        assert effects == Counter(f"alert.{what} x:{n}" for n in range(50) for what in ("opened", "resolved"))

    def test_the_breaker_leaves_a_dead_receiver_alone(self, connection: Connection) -> None:
        routing = Routing.to_all(["m"], interval_s=0)
        breaker, tried = Breaker(), 0

        def send(batch: Any) -> list[Attempt]:
            nonlocal tried
            tried += len(batch)
            return [Attempt(Outcome.FAILED, "down")] * len(batch)

        for n in range(200):
            add_findings(connection, [found(f"x:{n}", s(n), unit=("A1", "F2")[n % 2], kind=f"k{n}")])
        evaluate(
            connection, AlertPolicy(), routing, s(200), rules=SenseRules({f"k{n}": SenseRule() for n in range(200)})
        )
        for second in range(200, 1_200):
            deliver_due(
                connection,
                Queue.ALERTS,
                [Target("m", "")],
                send,
                fixed(s(second)),
                lambda: 0.0,
                breaker,
            )
        # One batch, then one trial after 5, 10, 20 … s.
        assert 32 <= tried <= 32 + 10

    def test_replay_sends_again_with_the_same_ids(self, connection: Connection) -> None:
        with receive() as receiver:
            target = Target("m", receiver.url, SECRET, allow_private=True)
            sender = WebhookSender(threading.Event())
            add_findings(connection, [found("x:1", NOW)])
            look(connection, Routing.to_all(["m"]), NOW)
            at = datetime.now(UTC) + timedelta(seconds=1)
            deliver_due(connection, Queue.ALERTS, [target], sender, lambda: at, lambda: 0.5)
            assert replay_target(connection, "m", at - timedelta(hours=1), at) == 1
            deliver_due(connection, Queue.ALERTS, [target], sender, lambda: at, lambda: 0.5)
        assert list(receiver.accepted.values()) == [2]

    def test_a_secret_that_changes(self, connection: Connection) -> None:
        """Signed with both keys: a receiver that knows either takes it."""
        new = b"another secret, of 24 bytes at least"
        with receive() as receiver:
            target = Target("m", receiver.url, new, allow_private=True, old_secrets=(SECRET,))
            add_findings(connection, [found("x:1", NOW)])
            look(connection, Routing.to_all(["m"]), NOW)
            at = datetime.now(UTC) + timedelta(seconds=1)
            sender = WebhookSender(threading.Event())
            done = deliver_due(connection, Queue.ALERTS, [target], sender, lambda: at, lambda: 0.5)
        assert (done.delivered, receiver.forged) == (1, 0)
