"""A week of a city: what meters and switches say of fifty events comes to a receiver that fails, each effect once.

On a virtual clock: half of the requests fail, some after they were taken; some get no answer in time; for six hours
nothing listens; and the service is killed three times. A seed draws it all.
"""

from __future__ import annotations

import heapq
import math
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import count
from typing import Any

from alerts.evaluate import evaluate
from alerts.formats import events_of
from alerts.outage_watch import OutageWatch
from alerts.routing import Routing
from alerts.rules import AlertPolicy
from alerts.sense import SenseRule, SenseRules
from grid.finding import Finding, Severity
from grid.model import Role, UnitKind
from ingest.decode_events import decode_events_message
from meterline.webhook import WebhookSender
from store.alerts import AlertFilter, list_alerts
from store.breaker import Breaker
from store.connection import Connection, connect
from store.deliveries import Attempt, Outgoing, Queue, Target, deliver_due
from store.events import write_events
from store.findings import add_findings
from store.topology import apply_switch_position
from streams.usage_live import LiveSettings, LiveWatch
from sync.load import load_grid
from tests.integration.conftest import Database
from tests.switched_database import CLOSED, OPEN
from tests.webhook_receiver import SECRET, SILENCE, TAKEN_IN_SILENCE, Receiver, receive
from twin.city import City, CityPlan
from twin.delivery_faults import DeliveryFaults
from twin.device_events import DeviceEvents, ReportShares
from twin.events import Event, EventKind
from twin.telemetry_points import head_switches

DAY_S, HOUR_S, MINUTE_S = 86_400, 3_600, 60
BEGIN_S = int(datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()) - 20 * DAY_S
#: Nothing listens for six hours from the first event on that begins then; the service is killed, once while it was
#: sending; a storm.
AWAY_FROM_S, AWAY_S = BEGIN_S + 2 * DAY_S, 6 * HOUR_S
STORM_S, STORM = BEGIN_S + 4 * DAY_S, 150
KILLED = (BEGIN_S + DAY_S + HOUR_S, BEGIN_S + 3 * DAY_S, STORM_S + 12)
OUTAGES, FEEDERS_OUT, OPENED = 20, 10, 20
#: A service looks each second; on a virtual clock it looks so long after something came, at whole multiples of this.
LOOKS_S, EACH_S = (0, 5, 25, 70), 5
NOBODY = "http://127.0.0.1:9/"
#: Nothing is read in this week that tells whether data are there.
RULES = SenseRules({"suspected_tampering": SenseRule(), "storm": SenseRule()})


def instant(second: float) -> datetime:
    return datetime.fromtimestamp(second, UTC)


class AnySender:
    """Every gateway may speak for every unit; that is shown elsewhere."""

    zone: tzinfo = UTC

    def unit_kind(self, unit: str) -> UnitKind | None:
        return UnitKind.AREA

    def may_send(self, gateway: str, unit: str) -> bool:
        return True


def city_of(events: Sequence[Event]) -> City:
    return City(
        CityPlan(
            begin_s=BEGIN_S, days=7, zone=UTC, areas=40, seed=3, events=tuple(events),
            reports=ReportShares(cover=1.0, magnet=1.0, delivered=1.0),
        )
    )  # fmt: skip


def fifty_events(chance: random.Random) -> tuple[list[Event], list[str]]:
    """Outages of areas and feeders, no two of one feeder at once, and meters that are opened; and what alerts say."""
    plain = city_of(())
    customers: dict[str, list[str]] = {}
    for meter in plain.model.meters:
        if meter.role is Role.CUSTOMER:
            customers.setdefault(meter.unit, []).append(meter.code)
    areas = [
        (area.code, area.feeder)
        for area in plain.model.areas
        if area.kind is UnitKind.AREA and area.feeder is not None and len(customers.get(area.code, ())) >= 8
    ]
    heads = {head.feeder for head in head_switches(plain.network.switched)}
    feeders = sorted({feeder for _, feeder in areas} & heads)
    numbers, busy, events, codes = count(1), dict[str, list[int]](), list[Event](), list[str]()
    while len(events) < OUTAGES + FEEDERS_OUT:
        entity, feeder = chance.choice(areas)
        if len(events) >= OUTAGES:
            entity = feeder = chance.choice(feeders)
        begin_s = BEGIN_S + chance.randrange(HOUR_S, 6 * DAY_S)
        if any(abs(begin_s - other) < 6 * HOUR_S for other in busy.get(feeder, ())):
            continue
        busy.setdefault(feeder, []).append(begin_s)
        end_s = begin_s + chance.randrange(10 * MINUTE_S, 4 * HOUR_S)
        events.append(Event(begin_s, next(numbers), EventKind.OUTAGE, entity, end_s, 1.0))
        codes.append(f"outage:{entity}")
    for area, _ in chance.sample(areas, OPENED):
        code = chance.choice(customers[area])
        begin_s = BEGIN_S + chance.randrange(2 * HOUR_S, 6 * DAY_S)
        kind = chance.choice((EventKind.METER_STOPPED, EventKind.THEFT_NIGHT))
        events.append(Event(begin_s, next(numbers), kind, code, None, 1.0))
        codes.append(f"suspected_tampering:{area}/{code}")
    return events, codes


def what_of(alert: dict[str, Any]) -> str:
    """The condition that a notice is about; findings of usage are numbered."""
    return alert["code"] if alert["kind"] == "outage" else f"{alert['kind']}:{alert['unit']}/{alert['meter']}"


class Service:
    """Watches, looks and sends as the alert service does; killed, another takes its place."""

    def __init__(self, database: Database, chance: random.Random) -> None:
        self._database, self._chance = database, chance
        self.refused = 0
        self._start()

    def _start(self) -> None:
        self.connection: Connection = connect(self._database.conninfo("app"), "alerts")
        self.connection.autocommit = True
        self._outages, self._usage = OutageWatch(), LiveWatch(LiveSettings())
        self._send, self._breaker = WebhookSender(threading.Event(), timeout_s=0.25), Breaker()

    def kill(self, target: Target, at: datetime) -> bool:
        """While it sends, if anything is to be sent: what came of that is noted nowhere."""

        def send(batch: Sequence[Outgoing]) -> Sequence[Attempt]:
            self._send(batch)
            raise KeyboardInterrupt

        try:
            deliver_due(self.connection, Queue.ALERTS, [target], send, lambda: at, self._chance.random)
        except KeyboardInterrupt:
            self.connection.close()
            self._start()
            return True
        return False

    def look(self, at: datetime, *, usage: bool) -> None:
        if usage:
            self._usage.look(self.connection, at)
        self._outages.look(self.connection, at)
        evaluate(self.connection, AlertPolicy(), Routing.to_all(["m"]), at, rules=RULES)

    def deliver(self, target: Target, at: datetime) -> bool:
        """Whether anything could be tried."""
        clock = lambda: at  # noqa: E731
        done = deliver_due(
            self.connection, Queue.ALERTS, [target], self._send, clock, self._chance.random, self._breaker
        )
        self.refused += done.failed if target.url == NOBODY else 0
        return done.claimed > 0

    def owed_from(self) -> datetime | None:
        row = self.connection.execute("select min(due_at) from alerts.delivery where delivered_at is null").fetchone()
        return None if row is None else row[0]


Act = Callable[[Connection], object]


def what_comes(city: City) -> list[tuple[float, int, bool, Act | None]]:
    """When what comes or is looked at, in order: the instant, a number, whether usage is looked at too, what to do."""
    numbers, queue = count(), list[tuple[float, int, bool, Act | None]]()
    looks: dict[float, bool] = {}

    def put(at_s: float, act: Act, *, usage: bool = False) -> None:
        queue.append((at_s, next(numbers), False, act))
        for after in LOOKS_S:
            look_s = math.ceil((at_s + after) / EACH_S) * EACH_S
            looks[look_s] = looks.get(look_s, False) or (usage and after == 0)

    said = DeviceEvents(
        city.events, city.effects, city.recorded_at, city.units, begin_s=BEGIN_S, seed=3, shares=city.plan.reports,
        faults=DeliveryFaults.none(),
    )  # fmt: skip
    for message in said.made(BEGIN_S, BEGIN_S + 8 * DAY_S, lambda place, _: city.recorded.meters[place].code):
        for at_us in message.send_at_us:
            body = b'{"sequence":%d,' % next(numbers) + message.body
            decoded = decode_events_message(message.topic, body, at_us, AnySender())
            batch = decoded.batch
            assert batch is not None, decoded.rejections
            is_usage = "last_gasp" not in message.body.decode() and "power_restored" not in message.body.decode()
            put(at_us / 1e6, lambda c, b=batch: _stored(c, b), usage=is_usage)  # type: ignore[misc]
            if is_usage:
                # Nothing more was heard of that meter for a week.
                looks[at_us / 1e6 + 7 * DAY_S + HOUR_S] = True
    breaker = {head.feeder: head.switch for head in head_switches(city.network.switched)}
    for event in city.events:
        if event.entity in breaker and event.end_s is not None:
            for at_s, position in ((event.begin_s, OPEN), (event.end_s, CLOSED)):
                move = (breaker[event.entity], position, instant(at_s))
                put(at_s + 1, lambda c, m=move: apply_switch_position(c, *m))  # type: ignore[misc]
    area = next(a.code for a in city.recorded.areas)
    for holds, begin_s in ((True, STORM_S), (False, STORM_S + 2 * HOUR_S)):
        for part in range(3):
            at_s = begin_s + 10 * part
            storm = [
                Finding("storm", Severity.WARNING, area, f"storm:{n}", instant(STORM_S), instant(at_s), holds)
                for n in range(part, STORM, 3)
            ]
            put(at_s, lambda c, found=storm: add_findings(c, found))  # type: ignore[misc]
    queue += [(at_s, next(numbers), usage, None) for at_s, usage in looks.items()]
    return sorted(queue, key=lambda each: each[:2])


def _stored(connection: Connection, batch: Any) -> None:
    with connection.transaction():
        write_events(connection, [batch])


@dataclass(frozen=True, slots=True)
class Week:
    """What a week came to, whose effects each came once.

    Attributes
    ----------
    notices
        Deliveries, by their ids.
    requests
        Those that a receiver was sent.
    taken
        Those that it took, repeats of one id included.
    refused
        Attempts while nothing listened.
    """

    notices: int
    requests: int
    taken: int
    refused: int

    def __str__(self) -> str:
        return (
            f"{self.notices} notices, each effect once: {self.requests} requests, {self.taken} taken,"
            f" {self.refused} attempts while nothing listened"
        )


def play_week(database: Database, seed: int) -> Week:
    """Play a week.

    Raises
    ------
    AssertionError
        When an effect is missing, comes twice or differs from what was said first.
    """
    chance = random.Random(seed)  # noqa: S311  # the same week at each run
    events, codes = fifty_events(chance)
    assert (len(events), len(codes)) == (50, 50)
    away_s = min(event.begin_s for event in events if event.begin_s >= AWAY_FROM_S)
    city = city_of(events)
    service = Service(database, chance)
    try:
        load_grid(service.connection, city.recorded)
        receiver = _play(service, city, away_s, chance)
        assert receiver.forged == 0
        assert service.refused > 0
        assert max(receiver.accepted.values()) > 1, "nothing was repeated: this shows nothing"
        _check_effects(receiver, codes)
        # Of the storm each can be asked for.
        (group,) = {alert.group_key for alert in list_alerts(service.connection, AlertFilter(kinds=("storm",)), 0, 1)}
        assert len(list_alerts(service.connection, AlertFilter(group=group), 0, 10_000)) == STORM
    finally:
        service.connection.close()
    return Week(len(receiver.taken), receiver.seen.total(), receiver.accepted.total(), service.refused)


def _play(service: Service, city: City, away_s: int, chance: random.Random) -> Receiver:
    """Until nothing is left to come and nothing is owed."""
    queue, kills = what_comes(city), list(KILLED)
    heapq.heapify(queue)

    def answer(_: int) -> int:
        return chance.choices((204, 500, 503, TAKEN_IN_SILENCE, SILENCE), (50, 25, 15, 6, 4))[0]

    with receive(answer) as receiver:
        receiver.headers = {"retry-after": "30"}
        clock = instant(BEGIN_S)

        def target() -> Target:
            away = instant(away_s) <= clock < instant(away_s + AWAY_S)
            return Target("m", NOBODY if away else receiver.url, SECRET, allow_private=True)

        service.look(clock, usage=True)
        while (due_at := service.owed_from()) is not None or queue:
            if queue and (due_at is None or instant(queue[0][0]) <= max(clock, due_at)):
                at_s, _, usage, act = heapq.heappop(queue)
                clock = max(clock, instant(at_s))
                if act is None:
                    service.look(clock, usage=usage)
                else:
                    act(service.connection)
                continue
            assert due_at is not None
            clock = max(clock, due_at)
            if kills and clock >= instant(kills[0]) and service.kill(target(), clock):
                kills.pop(0)
            elif not service.deliver(target(), clock):
                clock += timedelta(seconds=5)
            assert clock < instant(BEGIN_S + 30 * DAY_S)
    assert kills == []
    return receiver


def _check_effects(receiver: Receiver, codes: Sequence[str]) -> None:
    """Each event is told once when it begins and once when it ends, whatever came again."""
    effects: Counter[str] = Counter()
    stormy = 0
    for bodies in receiver.taken.values():
        assert all(body == bodies[0] for body in bodies), "a repeat says what was said before"
        is_storm = any(event["data"]["kind"] == "storm" for event in events_of(bodies[0]))
        stormy += bodies[0]["data"].get("count", 1) if is_storm else 0
        if not is_storm:
            effects.update(f"{event['type']} {what_of(event['data'])}" for event in events_of(bodies[0]))
    # Outages that nobody takes are told again after 10 and 30 minutes.
    escalated = {name: effects.pop(name) for name in list(effects) if name.startswith("alert.escalated outage:")}
    times = Counter(codes)
    assert all(number <= 2 * times[name.removeprefix("alert.escalated ")] for name, number in escalated.items())
    assert effects == Counter(f"alert.{what} {code}" for code in codes for what in ("opened", "resolved"))
    # Of the storm each is counted.
    assert stormy == 2 * STORM
