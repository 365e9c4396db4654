"""The service of abnormal usage, and what its commands do."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import psycopg
import structlog

from alerts.lifecycle import OUTCOMES, IllegalTransitionError, State
from alerts.operate import OperationError, operate
from alerts.work_orders import issue, report
from kernels.live_rules import LiveLimits
from meterline.bootstrap import opener
from meterline.config import Settings
from meterline.pace import rest
from store.connection import Connection
from store.loop import keep_running, run_together
from store.usage_findings import (
    FieldResult,
    FindingQuery,
    UsageFinding,
    add_check,
    list_usage_findings,
    read_checked,
    read_results,
)
from streams.steps.usage_decide import UsageKind, UsageLimits
from streams.steps.usage_live import KINDS as LIVE_KINDS
from streams.steps.usage_live import OVERLOAD, SINGLE_OUTAGE, TAMPERING, OverloadRule
from streams.steps.usage_rank import HitRates, Visit
from streams.usage import RecordRules, UsageCounts, UsageRules, fold_due, take_up_changes
from streams.usage_association import compare_due
from streams.usage_findings import Told
from streams.usage_live import LiveSettings, LiveWatch

log = structlog.get_logger("meterline.usage")

#: What a person says, and what a work order calls it.
RESULTS = {"confirmed": "confirmed", "innocent": "refuted", "not-found": "not_found"}
#: What findings say: of days, of records, of live rules and of what meters reported.
FINDING_KINDS = tuple(dict.fromkeys(map(str, (*UsageKind, *LIVE_KINDS.values(), OVERLOAD, TAMPERING, SINGLE_OUTAGE))))
_ACTIONS = {outcome: action for action, outcome in OUTCOMES.items()}
#: Results from before that don't move the ranking any more.
_LEARNT = timedelta(days=730)
#: Characters of a reason, as alerts takes them.
_MAX_REASON = 1_000
#: Findings that are ranked; there are fewer that hold.
_MOST = 50_000


class UsageError(RuntimeError):
    """It can't be done; the message says why."""


def rules_of(settings: Settings) -> UsageRules:
    """By what the configuration asks to work."""
    options = settings.usage
    return UsageRules(
        zone=settings.settling.zone(),
        limits=settings.settling.limits(),
        judged_by=UsageLimits(fall=options.fall, blame=options.blame, blame_share=options.blame_share),
        told=Told(options.min_confidence, round(options.min_kwh * 1_000), options.prices),
        generating=frozenset(options.generating_tariffs),
        history_days=options.history_d,
    )


def run_usage_service(settings: Settings, stop: threading.Event, counts: UsageCounts | None = None) -> None:
    """Fold each area's days when they are closed, and judge intervals as they come, until `stop` is set."""
    rules, counted, options = rules_of(settings), counts or UsageCounts(), settings.usage
    watch = LiveWatch(live_settings(settings), counted.live)

    def daily(connection: Connection) -> bool:
        return run_round(connection, rules, rules.last_closed(datetime.now(UTC)), counted, stop=stop)

    def live(connection: Connection) -> bool:
        return watch.look(connection, datetime.now(UTC), lambda worked_s: rest(worked_s, stop))

    compared_by = record_rules(settings)

    def records(connection: Connection) -> bool:
        target = rules.last_closed(datetime.now(UTC))
        return compare_due(connection, rules, compared_by, target, counted.records, stopped=stop.is_set)

    open_daily, open_live = opener(settings, "meterline-usage"), opener(settings, "meterline-usage-live")
    open_records = opener(settings, "meterline-usage-records")
    run_together(
        {
            "usage": lambda: keep_running("usage", open_daily, daily, stop, options.every_s),
            "live rules": lambda: keep_running("live rules", open_live, live, stop, options.live_every_s),
            "records": lambda: keep_running("records", open_records, records, stop, options.every_s),
        },
        stop,
    )


def live_settings(settings: Settings) -> LiveSettings:
    """By what the configuration asks the live rules to work."""
    options = settings.usage
    return LiveSettings(
        limits=LiveLimits(
            least_wh=options.least_wh,
            capacity_share=options.capacity_share,
            low_dv=round(options.low_v * 10),
            high_dv=round(options.high_v * 10),
        ),
        overload=OverloadRule(share=options.overload_share),
        generating=frozenset(options.generating_tariffs),
        lag_s=options.live_lag_s,
    )


def record_rules(settings: Settings) -> RecordRules:
    """By what the configuration asks to compare records with voltages, energies and losses."""
    options = settings.usage
    return RecordRules(options.records_every_d, options.records_d, options.neighbours, options.sure)


def run_round(
    connection: Connection,
    rules: UsageRules,
    target: date,
    counts: UsageCounts,
    *,
    unit: str | None = None,
    stop: threading.Event | None = None,
) -> bool:
    """One round of the daily job towards a day; returns whether there is more to do at once."""
    started, before, worked = time.monotonic(), counts.area_days, time.thread_time()
    stopped = (stop or threading.Event()).is_set
    more = take_up_changes(connection, rules, target, counts) or fold_due(
        connection, rules, target, counts, unit=unit, stopped=stopped
    )
    counts.seconds += (spent_s := time.monotonic() - started)
    counts.processor_s += time.thread_time() - worked
    counts.last_at = time.time()
    if counts.area_days > before:
        log.info("folded", through=target.isoformat(), area_days=counts.area_days - before, seconds=round(spent_s, 2))
    return more


def run_through(connection: Connection, rules: UsageRules, day: date, unit: str | None = None) -> UsageCounts:
    """Fold all that is there through a day, and end."""
    counts = UsageCounts()
    while run_round(connection, rules, day, counts, unit=unit):
        pass
    return counts


@dataclass(frozen=True, slots=True)
class Suspect:
    """A finding with the chance that a visit confirms it, and the energy that a visit is expected to recover."""

    finding: UsageFinding
    chance: float
    worth_wh: float


def ranked(connection: Connection, wanted: FindingQuery, now: datetime, limit: int) -> list[Suspect]:
    """Findings by what a visit is expected to recover, the most first."""
    rates = HitRates(visits_of(read_results(connection, now - _LEARNT)))
    suspects = []
    for finding in list_usage_findings(connection, wanted, _MOST):
        chance = rates.chance(finding.kind, finding.unit, finding.confidence)
        suspects.append(Suspect(finding, chance, chance * finding.expected_wh))
    return sorted(suspects, key=lambda s: (-s.worth_wh, -s.chance, s.finding.finding_id))[:limit]


def visits_of(results: Iterable[FieldResult]) -> list[Visit]:
    """Results as the ranking learns from them."""
    return [
        Visit(r.kind, r.unit, r.result == "confirmed", r.checked_at.date().replace(day=1), r.expected_wh * r.confidence)
        for r in results
    ]


def check(connection: Connection, finding_id: int, result: str, by: str, note: str, now: datetime) -> str:
    """Record what a field check found; returns where: with the work order, the alert, or the finding itself.

    There is one place for a result. A finding with an alert has it in the alert's work order: the one that is out, or
    one that is issued and reported at once, in one transaction. Where the alert is over already, no order is issued for
    it any more, and the alert alone has it.

    Raises
    ------
    UsageError
        Nothing was written.
    """
    outcome = RESULTS[result]
    if not by.strip() or not note.strip():
        raise UsageError("who has checked and what was seen must be said")
    with connection.transaction():
        found = read_checked(connection, finding_id)
        if found is None:
            raise UsageError(f"no finding {finding_id}")
        if found.result is not None:
            raise UsageError(f"finding {finding_id} was checked already: {found.result}")
        if found.alert_id is None:
            try:
                add_check(connection, finding_id, outcome, now, by, note)
            except psycopg.errors.UniqueViolation:
                raise UsageError(f"finding {finding_id} was checked already") from None
            return "finding"
        try:
            order = found.work_order_id
            if order is None and found.alert_state in (State.RESOLVED, State.CLOSED):
                operate(connection, found.alert_id, _ACTIONS[outcome], by, note[:_MAX_REASON], now)
                return f"alert {found.alert_id}"
            if order is None:
                order = issue(connection, found.alert_id, by, by, now).work_order_id
            report(connection, order, outcome, by, note, now)
        except (OperationError, IllegalTransitionError) as error:
            raise UsageError(f"alert {found.alert_id}: {error}") from None
        return f"work order {order}"
