"""Reads the steps of cases and tells the flow of the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from alerts.lifecycle import State as AlertState
from alerts.work_orders import DEADLINE
from benefit.flow_bottlenecks import FlowRules
from benefit.flow_cases import trace
from benefit.flow_events import By, Event
from benefit.flow_process import ALERT, DELIVERY, PROCESSES, TICKET
from benefit.flow_report import ProcessFlow, flow_of
from store.benefit_flow import read_steps
from store.connection import Connection
from sync.rollout.tickets import DEFAULT_PROMISES, Priority
from sync.rollout.tickets import State as TicketState

#: Cases of a process that are looked at: the newest.
MOST_CASES = 20_000
#: How long work may take by what the system itself promises: a crew's deadline, a ticket of normal priority.
ALLOWED_S: Mapping[str, Mapping[str, float]] = {
    ALERT.name: {AlertState.IN_PROGRESS: DEADLINE.total_seconds()},
    TICKET.name: {TicketState.IN_PROGRESS: DEFAULT_PROMISES[Priority.NORMAL].resolve_s},
}


def read_flow(
    connection: Connection,
    since: datetime,
    at: datetime,
    processes: Sequence[str] = tuple(PROCESSES),
    rules: FlowRules | None = None,
    limit: int = MOST_CASES,
    deliveries_since: datetime | None = None,
) -> list[ProcessFlow]:
    """The flow of the cases that began in [since, at], as it was known at `at`; what is older and open is told beside.

    Parameters
    ----------
    processes
        Names in `benefit.flow_process.PROCESSES`.
    limit
        Of cases of each process: the newest; of older ones the oldest.
    deliveries_since
        From when on all deliveries are kept: before, only what still waits is left, and would look slow.
    """
    found = []
    for name in processes:
        process = PROCESSES[name]
        begin = max(since, deliveries_since) if name == DELIVERY.name and deliveries_since is not None else since
        traced, older = (
            trace(process, map(_event, read_steps(connection, name, begin, at, limit, older=older)), at)
            for older in (False, True)
        )
        found.append(flow_of(process, traced, rules or FlowRules(), ALLOWED_S.get(name, {}), older.stays))
    return found


def _event(row: tuple[Any, ...]) -> Event:
    case, kind, at, action, stage, before, holder, department, by, person, needed, model = row
    return Event(case, kind, at, action, stage, before, holder, department, By(by), person, needed, model)
