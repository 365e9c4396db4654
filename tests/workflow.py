"""A utility's work, simulated: each step is taken through the functions by which the system takes it, at its own time.

Times are lognormal about a median for each step; a bottleneck makes one step at one department some times longer. The
code that looks for bottlenecks has no part in it.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import numpy as np

from alerts.lifecycle import Action as AlertAction
from alerts.operate import operate
from alerts.work_orders import cancel, issue, report
from grid.calendar import Calendar
from store.alerts import NewAlert, open_alerts, resolve_alerts
from store.connection import Connection
from store.deliveries import Attempt, Outcome, Queue, Target, deliver_due
from store.sync_conflicts import ConflictRow, write_conflicts
from sync.delivery import Subscriber
from sync.proposals.lifecycle import Action as ReviewAction
from sync.proposals.lifecycle import ReviewRules
from sync.proposals.review import propose, review
from sync.relay import relay_batch
from sync.rollout.desk import open_ticket, take_step
from sync.rollout.tickets import Action as TicketAction
from sync.rollout.tickets import DeskRules, Kind, Priority
from tests.webhook_receiver import SECRET

T = TypeVar("T")
#: Hours of each step at the median.
MEDIAN_H = {
    "alert": {"open": 2.0, "acknowledged": 3.0, "in_progress": 18.0, "resolved": 6.0},
    "ticket": {"open": 2.0, "in_progress": 6.0, "waiting": 9.0, "resolved": 5.0},
    "conflict": {"unproposed": 8.0, "open": 6.0, "approved": 20.0, "applied": 1.0},
    "delivery": {"owed": 0.2},
}
SPREAD = 0.7
ROLES = ("control_room", "marketing", "metering")
DEPARTMENTS = ("marketing", "metering", "operation")
UNITS = ("county-01", "county-02", "county-03")
SYSTEMS = ("billing", "gis", "pms")
DESK = DeskRules(Calendar(ZoneInfo("Asia/Shanghai"), frozenset(range(7)), time(0), time(23)))
TWO = ReviewRules(approvals_model=2, approvals_correction=2)
Slow = Mapping[tuple[str, str, str], float]
"""How many times longer a step takes: by process, stage and department."""


class Workflow:
    """Cases that come at random over some days, and what becomes of them."""

    def __init__(
        self, connection: Connection, seed: int, slow: Slow | None = None, begin: datetime | None = None
    ) -> None:
        # Later than now: what the database itself notes has happened before it.
        self.begin = begin or datetime.now(UTC) + timedelta(days=1)
        self.end = self.begin
        self._connection = connection
        self._random = np.random.default_rng(seed)
        self._slow = slow or {}
        self._numbers = itertools.count(1)
        self._due: list[tuple[datetime, int, Callable[[datetime], None]]] = []
        self._open: dict[int, ConflictRow] = {}

    def run(self, process: str, cases: int, days: float = 30) -> None:
        """Let cases of a process come over some days, and live on to their end or until ten days later."""
        self.end = self.begin + timedelta(days=days + 10)
        for _ in range(cases):
            at = self.begin + timedelta(days=float(self._random.uniform(0, days)))
            self._at(at, {"alert": self._alert, "ticket": self._ticket, "conflict": self._conflict}[process])
        while self._due and self._due[0][0] <= self.end:
            at, _, work = heapq.heappop(self._due)
            work(at)

    def _one_of(self, things: Sequence[T]) -> T:
        return things[int(self._random.integers(len(things)))]

    def _at(self, at: datetime, work: Callable[[datetime], None]) -> None:
        heapq.heappush(self._due, (at, next(self._numbers), work))

    def _after(self, at: datetime, process: str, stage: str, department: str, work: Callable[[datetime], None]) -> None:
        times = self._slow.get((process, stage, department), 1.0)
        hours = MEDIAN_H[process][stage] * float(self._random.lognormal(0, SPREAD)) * times
        self._at(at + timedelta(hours=hours), work)

    # Alerts.

    def _alert(self, at: datetime) -> None:
        role, kind = self._one_of(ROLES), self._one_of(("high_loss", "negative_loss"))
        row = self._connection.execute("select min(unit_id) from grid.unit").fetchone()
        assert row is not None
        new = NewAlert(f"{kind}:{next(self._numbers)}", kind, "warning", row[0], at, {"expected_wh": 1_000}, role=role)
        with self._connection.transaction():
            (alert_id,) = open_alerts(self._connection, [new], "the condition holds").values()
        if self._random.random() < 0.1:  # it passes by itself before anybody looks
            self._at(at + timedelta(minutes=30), partial(self._passes, alert_id))
        else:
            self._after(at, "alert", "open", role, partial(self._take, alert_id, role))

    def _passes(self, alert_id: int, at: datetime) -> None:
        with self._connection.transaction():
            resolve_alerts(self._connection, [(alert_id, {})], at, "the condition has passed")

    def _take(self, alert_id: int, role: str, at: datetime) -> None:
        operate(self._connection, alert_id, AlertAction.ACKNOWLEDGE, f"on duty at {role}", "seen", at)
        self._after(at, "alert", "acknowledged", role, partial(self._send, alert_id, role))

    def _send(self, alert_id: int, role: str, at: datetime) -> None:
        order = issue(self._connection, alert_id, "crew 1", f"on duty at {role}", at)
        self._after(at, "alert", "in_progress", role, partial(self._report, alert_id, order.work_order_id, role))

    def _report(self, alert_id: int, number: int, role: str, at: datetime) -> None:
        if self._random.random() < 0.05:
            cancel(self._connection, number, "crew 1", "nobody at home", at)
            self._send(alert_id, role, at)
            return
        report(self._connection, number, "confirmed", "crew 1", "bypass", at, found_wh=500)
        self._after(at, "alert", "resolved", role, partial(self._close, alert_id, role))

    def _close(self, alert_id: int, role: str, at: datetime) -> None:
        operate(self._connection, alert_id, AlertAction.CLOSE, f"head of {role}", "done", at)

    # Tickets.

    def _ticket(self, at: datetime) -> None:
        unit = self._one_of(UNITS)
        number = open_ticket(
            self._connection, DESK, self._one_of((Kind.CHANGE, Kind.GUIDANCE)), unit, Priority.NORMAL, "Swaps",
            "Record in one step", f"clerk of {unit}", at,
        )  # fmt: skip
        self._after(at, "ticket", "open", "desk tier 1", partial(self._work, number, unit, 1))

    def _work(self, number: int, unit: str, tier: int, at: datetime) -> None:
        self._step(number, TicketAction.TAKE, at, assignee=f"tier {tier}")
        self._after(at, "ticket", "in_progress", f"desk tier {tier}", partial(self._go_on, number, unit, tier))

    def _go_on(self, number: int, unit: str, tier: int, at: datetime) -> None:
        drawn = self._random.random()
        if drawn < 0.4 and tier == 1:
            self._step(number, TicketAction.UP, at)
            self._after(at, "ticket", "open", "desk tier 2", partial(self._work, number, unit, 2))
        elif drawn < 0.8:
            self._step(number, TicketAction.WAIT, at)
            self._after(at, "ticket", "waiting", unit, partial(self._resolve, number, unit))
        else:
            self._resolve(number, unit, at)

    def _resolve(self, number: int, unit: str, at: datetime) -> None:
        self._step(number, TicketAction.RESOLVE, at)
        self._after(at, "ticket", "resolved", unit, partial(self._step, number, TicketAction.CLOSE))

    def _step(self, number: int, action: TicketAction, at: datetime, assignee: str | None = None) -> None:
        take_step(self._connection, DESK, number, action, assignee or "clerk", "so", at, assignee=assignee)

    # Conflicts.

    def _conflict(self, at: datetime) -> None:
        number, department = next(self._numbers), self._one_of(DEPARTMENTS)
        model = self._random.random() < 0.4
        system = "model" if model else "gis"
        believed, given = (str(300_000 + number), "1") if model else ("1", "2")
        # Against the model and another system gis is asked to correct its record.
        said = {
            "model": given if model else believed,
            "pms.areas/1": believed,
            "gis.areas/1": believed if model else given,
        }
        self._open[number] = ConflictRow(
            number.to_bytes(16, "big"), self._one_of(("field_differs", "outdated")), "area", self._area(),
            "rating_va", system, "areas", "1", department, believed, given, said, 1.0,
        )  # fmt: skip
        self._compare(at)
        row = self._connection.execute(
            "select conflict_id from sync.conflict where fingerprint = %s", [number.to_bytes(16, "big")]
        ).fetchone()
        assert row is not None
        conflict_id = int(row[0])
        self._after(at, "conflict", "unproposed", department, partial(self._propose, number, conflict_id, model))

    def _area(self) -> int:
        self._connection.execute(
            "insert into sync.entity (entity_id, kind, code)"
            " select 1, 'area', min(code) from grid.unit where kind = 'area' on conflict do nothing"
        )
        return 1

    def _compare(self, at: datetime) -> None:
        with self._connection.transaction():
            write_conflicts(self._connection, self._open.values(), at)

    def _propose(self, number: int, conflict_id: int, model: bool, at: datetime) -> None:
        (done,) = propose(self._connection, [conflict_id], "the clerk", "plate read", TWO, at)
        assert done.proposal_id is not None, done.reason
        first, second = (DEPARTMENTS[n] for n in self._random.permutation(3)[:2])
        self._after(at, "conflict", "open", first, partial(self._approve,
            number, done.proposal_id or 0, model, first, second))  # fmt: skip

    def _approve(self, number: int, proposal: int, model: bool, by: str, following: str | None, at: datetime) -> None:
        review(self._connection, proposal, ReviewAction.APPROVE, f"head of {by}", by, None, at)
        if following is not None:
            self._after(at, "conflict", "open", following, partial(self._approve,
                number, proposal, model, following, None))  # fmt: skip
            return
        stage, keeper = ("applied", "meterline") if model else ("approved", self._open[number].department)
        self._after(at, "conflict", stage, keeper, partial(self._corrected, number))
        if model:
            relay_batch(self._connection, _Kafka(), [Subscriber(_target(name)) for name in SYSTEMS])
            for name in SYSTEMS:
                self._after(at, "delivery", "owed", name, partial(self._deliver, name))

    def _corrected(self, number: int, at: datetime) -> None:
        del self._open[number]
        self._compare(at)

    def _deliver(self, name: str, at: datetime) -> None:
        # Changes of one entity go out one after the other.
        while deliver_due(
            self._connection, Queue.SYNC, [_target(name)], lambda batch: [Attempt(Outcome.DELIVERED) for _ in batch],
            lambda: at, lambda: 0.5,
        ).claimed:  # fmt: skip
            pass


def _target(name: str) -> Target:
    return Target(name, "http://127.0.0.1:1/", SECRET, allow_private=True)


class _Kafka:
    """Takes every record."""

    def send(self, topic: str, value: bytes | None = None, key: bytes | None = None) -> Any:
        return self

    def get(self, timeout: float | None = None) -> object:
        return None

    def flush(self, timeout: float | None = None) -> None:
        pass
