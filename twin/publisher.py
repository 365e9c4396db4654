"""Plays a twin to the broker: the past day quickly, then live, one interval after the other."""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

from twin.ahead import Ahead
from twin.gateway import GatewayClient
from twin.ledger import LedgerWriter
from twin.messages import Message, MessageBuilder
from twin.scenario import Interval, Readings, Twin
from twin.sending import ScenarioClock, Sending, Summary, make_clients

_FILL_S = 900
_DAY_S = 86_400
#: Live messages of one interval are spread over at most this long, as concentrators report one after the other.
_SPREAD_S = 5.0
#: Intervals that are computed ahead of the publisher.
_AHEAD = 8


def schedule(
    start_s: float, days: float = 1.0, live_interval_s: int = 60, since_s: float | None = None
) -> Iterator[Interval]:
    """Intervals of a run that goes live at `start_s`, without end.

    First quarter-hours, up to the last that has ended; then intervals of the live length, from there on. Where an
    earlier run has left off at `since_s`, this one takes up there: with live intervals up to the quarter-hour, so that
    no two intervals overlap.

    Raises
    ------
    ValueError
        When the live interval is not 60, 300 or 900 s.
    """
    if live_interval_s not in (60, 300, 900):
        raise ValueError(f"a live interval has 60, 300 or 900 s, not {live_interval_s}")
    filled_s = int(start_s // _FILL_S) * _FILL_S
    first_s = filled_s - round(days * _DAY_S / _FILL_S) * _FILL_S
    if since_s is not None and since_s > first_s:
        first_s = math.ceil(since_s / live_interval_s) * live_interval_s
    return _schedule(first_s, filled_s, live_interval_s)


def _schedule(first_s: int, filled_s: int, live_interval_s: int) -> Iterator[Interval]:
    end_s = first_s
    while end_s < filled_s:
        length_s = live_interval_s if end_s % _FILL_S else _FILL_S
        end_s += length_s
        yield Interval(end_s, length_s)
    while True:
        end_s += live_interval_s
        yield Interval(end_s, live_interval_s)


def simulate(
    twin: Twin,
    *,
    host: str,
    port: int,
    credentials: Mapping[str, str],
    ledger_dir: Path,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    stop: Event | None = None,
    days: float = 1.0,
    since: Mapping[str, datetime] | None = None,
    duration_s: float | None = None,
    live_interval_s: int = 60,
    speed: float = 1.0,
    rate: float = 1_200.0,
    in_flight: int = 200,
    tls: ssl.SSLContext | None = None,
    progress: Callable[[Summary], None] | None = None,
) -> Summary:
    """Publish the scenario until `stop` is set or `duration_s` is over, then wait for what is unacknowledged.

    Parameters
    ----------
    credentials
        Password of each gateway account that the twin's units name.
    ledger_dir
        Where what was published and acknowledged is written; see `twin.ledger`.
    now
        The wall clock; no interval is sent before it has ended by this clock.
    days
        Past that is filled first, in quarter-hours.
    since
        Where an earlier run has left off, by unit: of a unit, no interval that begins before is sent. The past is
        filled from there on when every unit is named.
    duration_s
        Also ends a fill that is not done.
    speed
        Of the scenario's clock. Above 1 the scenario goes live further back, so that it reaches the wall clock
        when `duration_s` is over.
    rate
        Most messages a second.
    in_flight
        Most unacknowledged messages of one gateway.

    Raises
    ------
    ValueError
        For a missing credential or arguments that do not fit together.
    twin.gateway.BrokerError
        When a gateway is not let in at the start. A connection that is lost later is made again.
    """
    if rate <= 0 or speed < 1 or (speed > 1 and duration_s is None):
        raise ValueError("rate must be positive, speed at least 1, and a speed above 1 needs a duration")
    clients = make_clients((unit.gateway for unit in twin.units), credentials, host, port, in_flight, tls)
    wall_s = now().timestamp()
    start_s = wall_s - (speed - 1) * (duration_s or 0.0)
    clock = ScenarioClock(now, wall_s, start_s, speed)
    left_off_s = [since[unit.code].timestamp() if since and unit.code in since else -math.inf for unit in twin.units]
    resumed_s = min(left_off_s)
    intervals = schedule(start_s, days, live_interval_s, None if math.isinf(resumed_s) else resumed_s)
    # Greater than any number of an earlier run, so that what is sent again supersedes it; and so far beyond that nobody
    # takes what lies between for missing messages.
    builder = MessageBuilder(twin, first_sequence=int(wall_s) * 1_000_000)
    with LedgerWriter(ledger_dir, [unit.code for unit in twin.units]) as ledger:
        sending = Sending(clients, ledger, stop or Event(), duration_s, progress)
        try:
            sending.connect()
            source = Ahead(twin.readings(intervals), _AHEAD)
            try:
                _play(sending, source, builder, clock, rate, len(twin.units), speed, live_interval_s, left_off_s)
            finally:
                source.close()
            sending.drain()
        finally:
            sending.close()
    return sending.summary


def _play(
    sending: Sending,
    source: Iterator[Readings],
    builder: MessageBuilder,
    clock: ScenarioClock,
    rate: float,
    units: int,
    speed: float,
    live_interval_s: int,
    left_off_s: Sequence[float],
) -> None:
    """Publish interval after interval until the run is over."""
    due = time.monotonic()
    for readings in source:
        interval = readings.interval
        while clock() < interval.end_s:
            if sending.wait():
                return
        behind = clock() >= interval.end_s + live_interval_s  # the next one has ended as well
        spread_s = 0.0 if behind else min(_SPREAD_S, live_interval_s / speed / 4)
        spacing_s = max(1 / rate, spread_s / units)
        due = max(due, time.monotonic())
        begin_s = interval.end_s - interval.length_s
        stored = {unit for unit, at_s in enumerate(left_off_s) if begin_s < at_s}
        for message in builder.build(readings, stored):
            client = sending.clients[message.gateway]
            if not sending.until_ready(client, due):
                return
            _publish(sending, client, message, interval)
            # Catches up after a short delay, not after a long one.
            due = max(due + spacing_s, time.monotonic() - 10 * spacing_s)
        summary = sending.summary
        sending.summary = replace(summary, intervals=summary.intervals + 1, observed_at=interval.observed_at)


def _publish(sending: Sending, client: GatewayClient, message: Message, interval: Interval) -> None:
    number = sending.ledger.published(
        message.unit,
        interval.length_s,
        interval.end_s * 1_000_000,
        time.time_ns() // 1_000,
        message.readings,
        message.import_wh,
        message.export_wh,
    )
    sending.send(client, message.topic, message.payload, number, message.readings, message.sequence)
