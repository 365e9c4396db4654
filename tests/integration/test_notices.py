"""Storms, routes, escalation, and delivery to receivers that fail, in a real database."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.evaluate import evaluate
from alerts.formats import events_of
from alerts.lifecycle import Action, IllegalTransitionError
from alerts.operate import LiveAlertError, UnknownAlertError, VersionConflictError, operate
from alerts.routing import Channel, Role, Route, Routing, Tier
from alerts.rules import AlertPolicy
from alerts.sense import SenseRule, SenseRules
from grid.finding import Finding, Severity
from meterline.webhook import WebhookSender
from store.alerts import AlertFilter, list_alerts, read_alerts, read_history
from store.breaker import Breaker
from store.connection import Connection, connect
from store.deliveries import Attempt, Outcome, Queue, Target, deliver_due, replay_target
from store.findings import FindingFilter, UnknownUnitError, add_findings, list_findings
from sync.load import load_grid
from tests.small_grid import small_model
from tests.webhook_receiver import SECRET, SILENCE, TAKEN_IN_SILENCE, receive

NOW = datetime.now(UTC).replace(microsecond=0)
#: Where nothing listens.
NOBODY = "http://127.0.0.1:9/"
#: What the tests find needs no data to be there.
RULES = SenseRules({"x": SenseRule(), "y": SenseRule()})


def s(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, small_model())
        yield opened


def found(code: str, at: datetime, holds: bool = True, unit: str = "A1", kind: str = "x", **more: Any) -> Finding:
    return Finding(kind, Severity.WARNING, unit, code, NOW, at, holds, figures={"n": 1, **more})


def owed_since(connection: Connection) -> datetime | None:
    row = connection.execute("select min(due_at) from alerts.delivery where delivered_at is null").fetchone()
    return None if row is None else row[0]


def look(connection: Connection, routing: Routing, at: datetime, limit: int = 5_000) -> list[tuple[str, str]]:
    done = evaluate(connection, AlertPolicy(), routing, at, rules=RULES, limit=limit)
    return [(event.event, event.fingerprint) for event in done]


def notices(connection: Connection) -> list[tuple[str, datetime, dict[str, Any]]]:
    return connection.execute("select target, due_at, payload from alerts.delivery order by due_at, target").fetchall()


def fixed(at: datetime) -> Callable[[], datetime]:
    """A clock that stands."""
    return lambda: at


class TestStorm:
    def test_a_group_has_one_notice_an_interval_and_everything_can_be_queried(self, connection: Connection) -> None:
        """In small: many findings in many batches; the full size is a benchmark."""
        routing = Routing.to_all(["m"])
        taken: list[tuple[datetime, dict[str, Any]]] = []

        def send(batch: Any) -> list[Attempt]:
            taken.extend((at, json.loads(outgoing.body)) for outgoing in batch)
            return [Attempt(Outcome.DELIVERED)] * len(batch)

        for second in range(0, 180, 3):
            at = s(second)
            if second < 60:
                add_findings(connection, [found(f"x:{second}-{n}", at) for n in range(50)])
            look(connection, routing, at)
            deliver_due(connection, Queue.ALERTS, [Target("m", "")], send, fixed(at), lambda: 0.0)
        assert connection.execute("select count(*) from alerts.alert").fetchone() == (1_000,)
        assert len(list_findings(connection, FindingFilter(kind="x"), 0, 10_000)) == 1_000
        assert [at for at, _ in taken] == [s(0), s(60)]
        assert [notice["data"]["count"] for _, notice in taken] == [50, 950]
        # Of the second a hundred are told one by one; all are in the list of alerts.
        assert [len(notice["data"]["events"]) for _, notice in taken] == [50, 100]

    def test_groups_and_targets_have_notices_of_their_own(self, connection: Connection) -> None:
        add_findings(connection, [found("x:1", NOW), found("x:2", NOW, unit="F2"), found("y:1", NOW, kind="y")])
        look(connection, Routing.to_all(["a", "b"]), NOW)
        told = sorted((target, payload["data"]["code"]) for target, _, payload in notices(connection))
        assert told == [(target, code) for target in "ab" for code in ("x:1", "x:2", "y:1")]

    def test_what_was_sent_once_is_never_added_to(self, connection: Connection) -> None:
        routing = Routing.to_all(["m"])
        add_findings(connection, [found("x:1", NOW)])
        look(connection, routing, NOW)
        failing = lambda batch: [Attempt(Outcome.FAILED, "500")] * len(batch)  # noqa: E731
        deliver_due(connection, Queue.ALERTS, [Target("m", "")], failing, lambda: s(1), lambda: 0.0)
        add_findings(connection, [found("x:2", s(2))])
        look(connection, routing, s(2))
        codes = [payload["data"]["code"] for _, _, payload in notices(connection)]
        assert sorted(codes) == ["x:1", "x:2"]
        assert max(due for _, due, _ in notices(connection)) == s(60)


class TestFindings:
    def test_the_same_again_changes_nothing(self, connection: Connection) -> None:
        first = add_findings(connection, [found("x:1", NOW)])
        assert (first.begun, first.changed, first.ended) == (1, 0, 0)
        again = add_findings(connection, [found("x:1", s(1))])
        assert (again.begun, again.changed, again.ended) == (0, 0, 0)
        more = add_findings(connection, [found("x:1", s(2), n2=2), found("x:1", s(3), n2=3)])
        assert (more.begun, more.changed, more.ended) == (0, 1, 0)
        ended = add_findings(connection, [found("x:1", s(4), holds=False), found("x:2", s(4), holds=False)])
        assert (ended.begun, ended.changed, ended.ended) == (0, 0, 1)

    def test_an_unknown_unit_is_refused_and_nothing_is_written(self, connection: Connection) -> None:
        with pytest.raises(UnknownUnitError, match="no unit A9"):
            add_findings(connection, [found("x:1", NOW), found("x:2", NOW, unit="A9")])
        assert list_findings(connection, FindingFilter(), 0, 10) == []

    def test_finding_and_alert_and_notice_are_one_transaction_each(self, connection: Connection) -> None:
        """A finding that is rolled back with what it was found in is owed to nobody."""
        with connection.transaction(force_rollback=True):
            add_findings(connection, [found("x:1", NOW)])
        assert look(connection, Routing.to_all(["m"]), NOW) == []

    def test_it_must_hold_and_be_gone_for_a_while(self, connection: Connection) -> None:
        rules = SenseRules({"x": SenseRule(hold_s=10, clear_s=10)})

        def at(second: float) -> list[str]:
            done = evaluate(connection, AlertPolicy(), Routing(), s(second), rules=rules)
            return [event.event for event in done]

        add_findings(connection, [found("x:1", NOW)])
        assert at(1) == at(9) == []
        assert at(10) == ["opened"]
        add_findings(connection, [found("x:1", s(20), holds=False)])
        assert at(21) == []
        # It comes back before it was over: the same alert goes on.
        back = Finding("x", Severity.WARNING, "A1", "x:1", s(25), s(25))
        add_findings(connection, [back])
        assert at(26) == ["updated"]
        assert at(40) == []
        add_findings(connection, [Finding("x", Severity.WARNING, "A1", "x:1", s(25), s(50), holds=False)])
        assert at(59) == []
        assert at(61) == ["resolved"]
        assert len(list_alerts(connection, AlertFilter(), 0, 10)) == 1


class TestPeople:
    @pytest.fixture
    def alert_id(self, connection: Connection) -> int:
        add_findings(connection, [found("x:1", NOW)])
        look(connection, Routing.to_all(["m"]), NOW)
        return list_alerts(connection, AlertFilter(), 0, 1)[0].alert_id

    def test_every_step_is_kept_with_who_when_and_why(self, connection: Connection, alert_id: int) -> None:
        operate(connection, alert_id, Action.ACKNOWLEDGE, "li", "seen", s(10))
        operate(connection, alert_id, Action.ASSIGN, "li", "his area", s(20), assignee="wang")
        operate(connection, alert_id, Action.CLOSE, "wang", "mended", s(30))
        alert = operate(connection, alert_id, Action.REOPEN, "li", "again", s(40))
        assert (alert.state, alert.assignee, alert.version, alert.closed_at) == ("open", "wang", 5, None)
        steps = [
            (h.at, h.actor, h.action, h.from_state, h.to_state, h.reason) for h in read_history(connection, alert_id)
        ]
        assert steps == [
            (NOW, "meterline", "open", None, "open", "the condition holds"),
            (s(10), "li", "acknowledge", "open", "acknowledged", "seen"),
            (s(20), "li", "assign", "acknowledged", "acknowledged", "his area"),
            (s(30), "wang", "close", "acknowledged", "closed", "mended"),
            (s(40), "li", "reopen", "closed", "open", "again"),
        ]

    def test_history_and_alerts_cannot_be_removed(self, connection: Connection, alert_id: int, database: Any) -> None:
        for role in ("app", "owner"):
            with connect(database.conninfo(role), "test") as other:
                other.autocommit = True
                for statement in (
                    "delete from alerts.alert",
                    "update alerts.transition set reason = ''",
                    "delete from alerts.transition",
                    "truncate alerts.transition",
                ):
                    with pytest.raises(Exception, match=r"history is never changed|permission denied"):
                        other.execute(statement)

    def test_what_was_closed_by_a_person_does_not_alarm_again(self, connection: Connection, alert_id: int) -> None:
        operate(connection, alert_id, Action.CLOSE, "li", "known", s(10))
        add_findings(connection, [found("x:1", s(20), more=1)])
        assert look(connection, Routing(), s(21)) == [("closed", "x:1")]
        # When it has ended and comes again, it does.
        add_findings(connection, [found("x:1", s(30), holds=False)])
        add_findings(connection, [Finding("x", Severity.WARNING, "A1", "x:1", s(40), s(40))])
        assert look(connection, Routing(), s(41)) == [("opened", "x:1")]
        with pytest.raises(LiveAlertError):
            operate(connection, alert_id, Action.REOPEN, "li", "again", s(50))

    def test_two_people_at_once(self, connection: Connection, alert_id: int) -> None:
        operate(connection, alert_id, Action.ACKNOWLEDGE, "li", "seen", s(10), version=1)
        with pytest.raises(VersionConflictError, match="at version 2, not 1"):
            operate(connection, alert_id, Action.CLOSE, "wang", "done", s(10), version=1)
        with pytest.raises(IllegalTransitionError):
            operate(connection, alert_id, Action.ACKNOWLEDGE, "li", "seen", s(10))
        with pytest.raises(UnknownAlertError):
            operate(connection, 999, Action.ACKNOWLEDGE, "li", "seen", s(10))

    def test_targets_are_told_what_people_did(self, connection: Connection, alert_id: int) -> None:
        routing = Routing.to_all(["m"], interval_s=0)
        operate(connection, alert_id, Action.ACKNOWLEDGE, "li", "seen", s(10))
        assert look(connection, routing, s(11)) == []
        operate(connection, alert_id, Action.CLOSE, "li", "mended", s(20))
        assert look(connection, routing, s(21)) == [("closed", "x:1")]
        told = [event["type"] for _, _, payload in notices(connection) for event in events_of(payload)]
        assert told == ["alert.opened", "alert.closed"]

    def test_a_suppression_ends_by_itself(self, connection: Connection, alert_id: int) -> None:
        operate(connection, alert_id, Action.SUPPRESS, "li", "on order", s(10), until=s(3_600))
        add_findings(connection, [found("x:1", s(20), more=1)])
        assert look(connection, Routing(), s(21)) == [("updated", "x:1")]
        assert look(connection, Routing(), s(3_601)) == [("reopened", "x:1")]
        assert read_history(connection, alert_id)[-1].actor == "meterline"

    def test_nobody_answers(self, connection: Connection) -> None:
        tiers = (Tier(600, Role.CONTROL_ROOM), Tier(1_800, Role.FIELD_CREW), Tier(3_600, Role.MARKETING))
        routing = Routing(
            (Channel("room", frozenset({"control_room"})), Channel("crew", frozenset({"field_crew"}))),
            (Route(Role.CONTROL_ROOM, kinds=("x",), tiers=tiers),),
            interval_s=0,
        )
        add_findings(connection, [found("x:1", NOW), found("x:2", NOW)])
        look(connection, routing, NOW)
        first, second = sorted(a.alert_id for a in list_alerts(connection, AlertFilter(), 0, 9))
        operate(connection, second, Action.ACKNOWLEDGE, "li", "seen", s(60))
        assert look(connection, routing, s(599)) == []
        assert look(connection, routing, s(600)) == [("escalated", "x:1")]
        assert look(connection, routing, s(1_799)) == []
        assert look(connection, routing, s(1_800)) == [("escalated", "x:1")]
        assert look(connection, routing, s(3_600)) == [("escalated", "x:1")]
        assert look(connection, routing, s(9_000)) == []
        assert read_alerts(connection, [first])[first].tier == 3
        told = [(target, event["type"]) for target, _, payload in notices(connection) for event in events_of(payload)]
        assert Counter(told) == {
            ("room", "alert.opened"): 2, ("room", "alert.escalated"): 1, ("crew", "alert.escalated"): 1,
        }  # fmt: skip


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
