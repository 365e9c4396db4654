"""Sends a city's messages to the broker: at the scenario's time, or as fast as it takes them."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

from twin.ahead import Ahead
from twin.city import City
from twin.city_play import CityPlay
from twin.gateway import GatewayClient
from twin.ledger import LedgerWriter
from twin.outbox import MessageKind, Sent, in_order_of_sending
from twin.sending import ScenarioClock, Sending, Summary, make_clients

#: Messages that are made ahead of the sender.
_AHEAD = 20_000
#: A live city plays so long, until it is stopped.
_NO_END_DAYS = 366


def play_city(
    city: City,
    *,
    host: str,
    port: int,
    credentials: Mapping[str, str],
    ledger_dir: Path,
    stop: Event,
    duration_s: float | None = None,
    speed: float | None = 1.0,
    rate: float = 1_200.0,
    in_flight: int = 200,
    tls: ssl.SSLContext | None = None,
    progress: Callable[[Summary], None] | None = None,
) -> Summary:
    """Send the city's messages over MQTT, blocks and SCADA points, each gateway by its own account.

    The ledger has each block once, however often it is sent.

    Parameters
    ----------
    speed
        Of the scenario's clock, which is never ahead of the wall's: what lies in the past is sent as fast as `rate`
        lets it, then each message at its time. Above 1 the city should begin further back. None = the planned days,
        as fast as it goes, and then the end.
    duration_s
        Ends the sending.

    Raises
    ------
    ValueError
        When a gateway has no password.
    twin.gateway.BrokerError
        When a gateway is not let in at the start.
    """
    plan = city.plan
    clients = make_clients((unit.gateway for unit in city.units), credentials, host, port, in_flight, tls)
    days = plan.days if speed is None else _NO_END_DAYS
    wall_s = time.time()
    start_s = wall_s if speed is None else wall_s - (speed - 1) * (duration_s or 0.0)
    clock = None if speed is None else ScenarioClock(lambda: datetime.now(UTC), wall_s, start_s, speed)
    messages = in_order_of_sending(
        CityPlay(city).made(plan.begin_s, days * 86_400 // plan.interval_s), first_sequence=int(wall_s) * 1_000_000
    )
    with LedgerWriter(ledger_dir, [unit.code for unit in city.units]) as ledger:
        sending = _CitySending(clients, ledger, stop, duration_s, progress)
        try:
            sending.connect()
            source = Ahead(messages, _AHEAD)
            try:
                sending.play(source, clock, rate)
            finally:
                source.close()
            sending.drain()
        finally:
            sending.close()
    return sending.summary


class _CitySending(Sending):
    #: Points and repeats aren't in the ledger: their numbers are below 0.
    _unlisted = 0

    def play(self, source: Iterator[Sent], clock: ScenarioClock | None, rate: float) -> None:
        """Send message after message until there are no more or it is over."""
        due = time.monotonic()
        for sent in source:
            while clock is not None and clock() * 1e6 < sent.send_at_us:
                if self.wait():
                    return
            client = self.clients[sent.made.gateway]
            if not self.until_ready(client, due):
                return
            self._send(client, sent)
            # Catches up after a short delay, not after a long one.
            due = max(due + 1 / rate, time.monotonic() - 10 / rate)

    def _send(self, client: GatewayClient, sent: Sent) -> None:
        made, summary = sent.made, self.summary
        if made.kind is MessageKind.BLOCK and not sent.again:
            number = self.ledger.published(
                made.unit,
                made.interval_s,
                made.end_s * 1_000_000,
                time.time_ns() // 1_000,
                made.readings,
                made.import_wh,
                made.export_wh,
            )
            observed_at = datetime.fromtimestamp(made.end_s, UTC)
            if summary.observed_at is None or observed_at > summary.observed_at:
                self.summary = replace(summary, observed_at=observed_at, intervals=summary.intervals + 1)
        else:
            self._unlisted -= 1
            number = self._unlisted
        self.send(client, sent.topic, sent.payload, number, made.readings, sent.sequence)
