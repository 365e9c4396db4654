"""A storm of findings: how fast they are taken, and how many notices come of them."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from alerts.evaluate import evaluate
from alerts.routing import Routing
from alerts.rules import AlertPolicy
from alerts.sense import SenseRule, SenseRules
from grid.finding import Finding, Severity
from grid.model import Feeder, GridModel, Meter, Role, Substation, TransformerArea, UnitKind
from store.connection import Connection
from store.deliveries import Attempt, Outcome, Outgoing, Queue, Target, deliver_due
from store.findings import FindingFilter, add_findings, list_findings

KIND = "theft_bypass"
BATCH = 5_000


def storm_model(feeders: int, areas: int) -> GridModel:
    """So many feeders of so many areas."""
    codes = [(f"F{f}", f"F{f}-A{a}") for f in range(feeders) for a in range(areas)]
    return GridModel(
        substations=(Substation("S", "S", 110_000, 20_000),),
        feeders=tuple(Feeder(f"F{f}", f"F{f}", "S") for f in range(feeders)),
        areas=tuple(TransformerArea(a, a, UnitKind.AREA, "headend", f, 400_000) for f, a in codes),
        meters=tuple(Meter(f"F{f}-head", f"F{f}", Role.GATEWAY, 40, 0.2) for f in range(feeders)),
        feeder_gateways={f"F{f}": "rtu" for f in range(feeders)},
    )


@dataclass(frozen=True, slots=True)
class Storm:
    """What became of a storm.

    Attributes
    ----------
    stored, alerts
        Rows.
    listed
        Different findings that come when they are asked for page by page.
    told
        Alerts that notices counted.
    most
        Notices of one group within a minute, at most.
    adding_s, looking_s
        By the wall clock, without what lies between.
    """

    stored: int
    listed: int
    alerts: int
    told: int
    notices: int
    most: int
    adding_s: float
    looking_s: float

    @property
    def rate(self) -> float:
        """Findings a second."""
        return self.stored / (self.adding_s + self.looking_s)


def storm(connection: Connection, findings: int, feeders: int, areas: int, seed: int | None = None) -> Storm:
    """Findings of a minute, taken as they come, and ten minutes after; the clock of notices is virtual.

    They come feeder after feeder; with `seed` in any order.
    """
    begin = datetime.now(UTC).replace(microsecond=0)
    rules, routing = SenseRules({KIND: SenseRule()}), Routing.to_all(["m"])
    sent: Counter[tuple[str, str]] = Counter()
    counted = 0

    def send(batch: Sequence[Outgoing]) -> list[Attempt]:
        nonlocal counted
        for outgoing in batch:
            body = json.loads(outgoing.body)
            group = body["data"].get("group") or body["data"]["code"]
            sent[group, f"{(clock - begin) // timedelta(seconds=60)}"] += 1
            counted += body["data"].get("count", 1)
        return [Attempt(Outcome.DELIVERED)] * len(batch)

    order = list(range(findings))
    if seed is not None:
        random.Random(seed).shuffle(order)  # noqa: S311  # the same at each run
    adding_s = looking_s = 0.0
    done, clock, second = 0, begin, 0
    while second < 660:
        clock = begin + timedelta(seconds=second)
        if second < 60 and done < findings:
            upto = min(findings, findings * (second + 3) // 60)
            batch = [
                Finding(
                    KIND, Severity.WARNING, f"F{n % feeders}-A{n // feeders % areas}", f"{KIND}:{n}", clock, clock,
                    meter=f"m{n}", figures={"expected_wh": n}, evidence={"day": "2026-11-21"},
                )
                for n in order[done:upto]
            ]  # fmt: skip
            started = time.perf_counter()
            with connection.transaction():
                add_findings(connection, batch)
            adding_s += time.perf_counter() - started
            done = upto
        started = time.perf_counter()
        while len(evaluate(connection, AlertPolicy(), routing, clock, rules=rules, limit=BATCH)) == BATCH:
            pass
        looking_s += time.perf_counter() - started
        now = clock
        while deliver_due(connection, Queue.ALERTS, [Target("m", "")], send, lambda now=now: now, lambda: 0.0).claimed:  # type: ignore[misc]
            pass
        second += 3 if second < 60 else 30
    (alerts,) = connection.execute("select count(*) from alerts.alert").fetchone() or (0,)
    (stored,) = connection.execute("select count(*) from alerts.finding").fetchone() or (0,)
    return Storm(
        stored=stored,
        listed=_listed(connection),
        alerts=alerts,
        told=counted,
        notices=sum(sent.values()),
        most=max(sent.values()),
        adding_s=adding_s,
        looking_s=looking_s,
    )


def _listed(connection: Connection) -> int:
    """How many different findings come page by page."""
    fingerprints, after = set[str](), 0
    while page := list_findings(connection, FindingFilter(kind=KIND), after, BATCH):
        fingerprints.update(row.fingerprint for row in page)
        after = page[-1].finding_id
    return len(fingerprints)
