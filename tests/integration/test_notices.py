"""Storms, routes, escalation, and delivery to receivers that fail, in a real database."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from alerts.evaluate import evaluate
from alerts.formats import events_of
from alerts.lifecycle import Action, IllegalTransitionError
from alerts.operate import LiveAlertError, OperationError, UnknownAlertError, VersionConflictError, operate
from alerts.routing import Channel, Role, Route, Routing, Tier
from alerts.rules import AlertPolicy
from alerts.sense import SenseRule, SenseRules
from alerts.work_orders import issue, report
from grid.finding import Finding, Severity
from store.alert_desk import list_orders
from store.alerts import AlertFilter, list_alerts, read_alerts, read_history
from store.connection import Connection, connect
from store.deliveries import Attempt, Outcome, Queue, Target, deliver_due
from store.findings import FindingFilter, UnknownUnitError, add_findings, list_findings
from sync.load import load_grid
from tests.notice_steps import NOW, fixed, found, look, notices, s
from tests.small_grid import small_model
from tests.waiting import PATIENCE_S


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, small_model())
        yield opened


@contextmanager
def under_way(connection: Connection, database: Any, step: Callable[[Connection], Any]) -> Iterator[None]:
    """Somebody has done something, and it is committed when the block waits for it."""
    waited = False
    with connect(database.conninfo("app"), "other") as other:
        other.execute("select")  # begins the transaction
        step(other)

        def commit() -> None:
            nonlocal waited
            waits = "select from pg_locks where not granted and pid = %s"
            deadline = time.monotonic() + PATIENCE_S
            while not waited and time.monotonic() < deadline:
                waited = other.execute(waits, [connection.info.backend_pid]).rowcount > 0
            other.commit()

        thread = threading.Thread(target=commit)
        thread.start()
        yield
        thread.join()
    assert waited, "nothing waited: this shows nothing"


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

    def test_a_notice_of_several_leads_to_all_of_its_group(self, connection: Connection) -> None:
        add_findings(connection, [found("x:1", NOW), found("x:2", NOW), found("x:3", NOW, unit="F2")])
        look(connection, Routing.to_all(["a"]), NOW)
        look(connection, Routing((Channel("b"),), link="https://c.example.org/"), NOW)
        add_findings(connection, [found("x:4", NOW), found("x:5", NOW)])
        look(connection, Routing((Channel("b"),), link="https://c.example.org/"), NOW)
        links = {payload["data"]["link"] for target, _, payload in notices(connection) if target == "b"}
        assert links == {"https://c.example.org/alerts?group=x%3AF1"}
        group = list_alerts(connection, AlertFilter(group="x:F1"), 0, 9)
        assert [alert.fingerprint for alert in group] == ["x:5", "x:4", "x:2", "x:1"]

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

    def test_what_flaps_is_over_when_its_last_end_is_long_enough_ago(self, connection: Connection) -> None:
        rules = SenseRules({"x": SenseRule(clear_s=10)})

        def at(second: float) -> list[str]:
            done = evaluate(connection, AlertPolicy(), Routing(), s(second), rules=rules)
            return [event.event for event in done]

        add_findings(connection, [found("x:1", NOW)])
        assert at(1) == ["opened"]
        add_findings(connection, [found("x:1", s(20), holds=False)])
        assert at(21) == []
        add_findings(connection, [Finding("x", Severity.WARNING, "A1", "x:1", s(25), s(25))])
        assert at(26) == ["updated"]
        add_findings(connection, [Finding("x", Severity.WARNING, "A1", "x:1", s(25), s(28), holds=False)])
        # Ten seconds after the first end, and two after the second.
        assert at(30) == []
        assert at(37) == []
        assert at(38) == ["resolved"]

    def test_what_is_critical_doesnt_wait_for_a_storm(self, connection: Connection) -> None:
        add_findings(connection, [found(f"x:{n}", NOW) for n in range(50)])
        add_findings(connection, [Finding("y", Severity.CRITICAL, "F2", "y:F2", s(1), s(1))])
        assert look(connection, Routing(), s(2), limit=10)[0] == ("opened", "y:F2")


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

    def test_targets_learn_when_it_has_grown_worse(self, connection: Connection) -> None:
        routing = Routing.to_all(["m"], interval_s=0)

        def told() -> list[dict[str, Any]]:
            return [dict(event) for _, _, payload in notices(connection) for event in events_of(payload)]

        def told_of(second: float, severity: Severity, **figures: Any) -> int:
            add_findings(connection, [Finding("y", severity, "F1", "y:F1", NOW, s(second), figures=figures)])
            before = len(told())
            look(connection, routing, s(second))
            return len(told()) - before

        assert told_of(0, Severity.WARNING, meters=10) == 1
        assert told_of(10, Severity.WARNING, meters=19) == 0
        # Twice what was told last, however slowly it grew.
        assert told_of(20, Severity.WARNING, meters=20) == 1
        assert told_of(30, Severity.WARNING, meters=39) == 0
        assert told_of(40, Severity.CRITICAL, meters=39) == 1
        # What goes down and up again is no news.
        assert told_of(50, Severity.WARNING, meters=5) == 0
        assert told_of(60, Severity.CRITICAL, meters=39) == 0
        assert [(e["type"], e["data"]["severity"], e["data"]["figures"]["meters"]) for e in told()] == [
            ("alert.opened", "warning", 10), ("alert.updated", "warning", 20), ("alert.updated", "critical", 39),
        ]  # fmt: skip

    def test_nobody_is_told_of_what_is_suppressed_until_it_is_over(self, connection: Connection, alert_id: int) -> None:
        routing = Routing.to_all(["m"], interval_s=0)
        operate(connection, alert_id, Action.SUPPRESS, "li", "on order", s(10), until=s(100))
        add_findings(connection, [Finding("x", Severity.CRITICAL, "A1", "x:1", NOW, s(20))])
        assert look(connection, routing, s(21)) == [("updated", "x:1")]
        assert look(connection, routing, s(100)) == [("reopened", "x:1")]
        add_findings(connection, [Finding("x", Severity.CRITICAL, "A1", "x:1", NOW, s(110), figures={"n": 2})])
        assert look(connection, routing, s(111)) == [("updated", "x:1")]
        told = [(e["type"], e["data"]["severity"]) for _, _, p in notices(connection) for e in events_of(p)]
        assert told == [("alert.opened", "warning"), ("alert.reopened", "critical")]

    def test_until_when_it_is_expected_to_last_can_be_said_again(self, connection: Connection, alert_id: int) -> None:
        routing = Routing.to_all(["m"], interval_s=0)
        operate(connection, alert_id, Action.ACKNOWLEDGE, "li", "crew is out", s(10), expected_at=s(3_600))
        assert look(connection, routing, s(11)) == [("updated", "x:1")]
        later = operate(connection, alert_id, Action.EXPECT, "li", "a second fault", s(20), expected_at=s(7_200))
        assert (later.state, later.expected_at) == ("acknowledged", s(7_200))
        assert look(connection, routing, s(21)) == [("updated", "x:1")]
        told = [(e["type"], e["data"]["expected_at"]) for _, _, p in notices(connection) for e in events_of(p)]
        assert [kind for kind, _ in told] == ["alert.opened", "alert.updated", "alert.updated"]
        assert [at and datetime.fromisoformat(at) for _, at in told] == [None, s(3_600), s(7_200)]
        for action, expected_at in ((Action.EXPECT, s(29)), (Action.EXPECT, None), (Action.CLOSE, s(60))):
            with pytest.raises(OperationError, match="expected to last"):
                operate(connection, alert_id, action, "li", "x", s(30), expected_at=expected_at)
        # What isn't told yet stays to be told.
        operate(connection, alert_id, Action.CLOSE, "li", "mended", s(40))
        operate(connection, alert_id, Action.REOPEN, "li", "again", s(50))
        again = operate(connection, alert_id, Action.EXPECT, "li", "soon", s(60), expected_at=s(9_000))
        assert again.expected_at == s(9_000)
        assert look(connection, routing, s(61)) == [("reopened", "x:1")]

    def test_a_work_order_that_is_late_is_an_alert_until_its_result(
        self, connection: Connection, alert_id: int
    ) -> None:
        first = issue(connection, alert_id, "crew-3", "li", s(10), deadline=s(3_600)).work_order_id
        assert look(connection, Routing(), s(3_599)) == []
        assert look(connection, Routing(), s(3_600)) == [("opened", f"order_overdue:{first}")]
        assert look(connection, Routing(), s(3_700)) == []
        (late,) = list_alerts(connection, AlertFilter(kinds=("order_overdue",)), 0, 9)
        assert (late.role, late.unit, late.figures["alert"]) == ("field_crew", "A1", alert_id)
        assert [o.work_order_id for o in list_orders(connection, None, None, None, None, 0, 9, s(3_700))] == [first]
        assert list_orders(connection, None, None, None, None, 0, 9, s(3_599)) == []
        report(connection, first, "not_found", "crew-3", "nobody there", s(4_000))
        assert ("resolved", f"order_overdue:{first}") in look(connection, Routing(), s(4_001))
        assert list_orders(connection, None, None, None, None, 0, 9, s(4_001)) == []

    def test_a_suppression_ends_by_itself(self, connection: Connection, alert_id: int) -> None:
        operate(connection, alert_id, Action.SUPPRESS, "li", "on order", s(10), until=s(3_600))
        add_findings(connection, [found("x:1", s(20), more=1)])
        assert look(connection, Routing(), s(21)) == [("updated", "x:1")]
        assert look(connection, Routing(), s(3_601)) == [("reopened", "x:1")]
        assert read_history(connection, alert_id)[-1].actor == "meterline"

    def test_a_reopening_that_is_under_way_stops_nothing(
        self, connection: Connection, alert_id: int, database: Any
    ) -> None:
        """Another finding of the condition is due while a person reopens its alert: it waits for that alert."""
        operate(connection, alert_id, Action.CLOSE, "li", "known", s(10))
        look(connection, Routing(), s(11))
        add_findings(connection, [found("x:1", s(20), holds=False)])
        add_findings(connection, [Finding("x", Severity.WARNING, "A1", "x:1", s(30), s(30)), found("x:2", s(30))])
        step = partial(operate, alert_id=alert_id, action=Action.REOPEN, actor="li", reason="again", now=s(31))
        with under_way(connection, database, step):
            assert look(connection, Routing(), s(32)) == [("opened", "x:2"), ("reopened", "x:1")]
        assert look(connection, Routing(), s(33)) == [("updated", "x:1")]

    def test_what_a_person_closes_while_it_ends_stays_closed(
        self, connection: Connection, alert_id: int, database: Any
    ) -> None:
        add_findings(connection, [found("x:1", s(20), holds=False)])
        step = partial(operate, alert_id=alert_id, action=Action.CLOSE, actor="li", reason="mended", now=s(21))
        with under_way(connection, database, step):
            assert look(connection, Routing(), s(22)) == [("closed", "x:1")]
        assert read_alerts(connection, [alert_id])[alert_id].state == "closed"
        assert [step.action for step in read_history(connection, alert_id)] == ["open", "close"]

    def test_a_field_check_is_noted_after_its_alert_was_closed(self, connection: Connection, alert_id: int) -> None:
        order = issue(connection, alert_id, "crew-3", "li", s(10))
        operate(connection, alert_id, Action.CLOSE, "li", "by mistake", s(20))
        done = report(connection, order.work_order_id, "confirmed", "crew-3", "hook", s(3_600))
        alert = read_alerts(connection, [alert_id])[alert_id]
        assert (done.state, alert.state, alert.outcome, alert.closed_at) == ("done", "closed", "confirmed", s(20))
        assert [f.result for f in list_findings(connection, FindingFilter(), 0, 9)] == ["confirmed"]
        # Who opens it again asks for another check.
        operate(connection, alert_id, Action.REOPEN, "li", "again", s(4_000))
        assert read_alerts(connection, [alert_id])[alert_id].outcome is None
        assert [f.result for f in list_findings(connection, FindingFilter(), 0, 9)] == [None]

    def test_what_was_reopened_escalates_again(self, connection: Connection) -> None:
        tiers = (Tier(600, Role.CONTROL_ROOM), Tier(1_800, Role.FIELD_CREW))
        routing = Routing(routes=(Route(Role.CONTROL_ROOM, tiers=tiers),))
        add_findings(connection, [found("x:1", NOW)])
        look(connection, routing, NOW)
        (alert,) = list_alerts(connection, AlertFilter(), 0, 9)
        assert look(connection, routing, s(600)) == [("escalated", "x:1")]
        operate(connection, alert.alert_id, Action.CLOSE, "li", "known", s(700))
        operate(connection, alert.alert_id, Action.REOPEN, "li", "again", s(5_000))
        assert look(connection, routing, s(5_000)) == [("reopened", "x:1")]
        assert read_alerts(connection, [alert.alert_id])[alert.alert_id].tier == 0
        assert look(connection, routing, s(5_599)) == []
        assert look(connection, routing, s(5_600)) == [("escalated", "x:1")]
        assert look(connection, routing, s(6_799)) == []
        assert look(connection, routing, s(6_800)) == [("escalated", "x:1")]
        operate(connection, alert.alert_id, Action.SUPPRESS, "li", "on order", s(7_000), until=s(8_000))
        assert look(connection, routing, s(8_000)) == [("reopened", "x:1")]
        assert look(connection, routing, s(8_600)) == [("escalated", "x:1")]

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
