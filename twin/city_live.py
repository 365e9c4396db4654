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
from twin.publisher import ScenarioClock, Summary

_POLL_S = 0.005
_PROGRESS_S = 0.5
_DRAIN_S = 20.0
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
    accounts = sorted({unit.gateway for unit in city.units})
    if missing := [account for account in accounts if account not in credentials]:
        raise ValueError(f"no password for {', '.join(missing)}")
    days = plan.days if speed is None else _NO_END_DAYS
    wall_s = time.time()
    start_s = wall_s if speed is None else wall_s - (speed - 1) * (duration_s or 0.0)
    clock = None if speed is None else ScenarioClock(lambda: datetime.now(UTC), wall_s, start_s, speed)
    clients = {
        account: GatewayClient(host, port, account, credentials[account], in_flight=in_flight, tls=tls)
        for account in accounts
    }
    messages = in_order_of_sending(
        CityPlay(city).made(plan.begin_s, days * 86_400 // plan.interval_s), first_sequence=int(wall_s) * 1_000_000
    )
    deadline = None if duration_s is None else time.monotonic() + duration_s
    with LedgerWriter(ledger_dir, [unit.code for unit in city.units]) as ledger:
        sending = _Sending(clients, ledger, stop, deadline, progress)
        try:
            for client in clients.values():
                client.connect()
            source = Ahead(messages, _AHEAD)
            try:
                sending.play(source, clock, rate)
            finally:
                source.close()
            sending.drain()
        finally:
            for client in clients.values():
                client.close()
    return sending.summary


class _Sending:
    """The sending thread's state."""

    def __init__(
        self,
        clients: Mapping[str, GatewayClient],
        ledger: LedgerWriter,
        stop: Event,
        deadline: float | None,
        progress: Callable[[Summary], None] | None,
    ) -> None:
        self.summary = Summary()
        self._clients, self._ledger, self._stop = clients, ledger, stop
        self._deadline, self._progress = deadline, progress
        self._reported = 0.0
        self._outstanding: dict[int, int] = {}
        #: Points and repeats aren't in the ledger: their numbers are below 0.
        self._unlisted = 0

    @property
    def over(self) -> bool:
        return self._stop.is_set() or (self._deadline is not None and time.monotonic() >= self._deadline)

    def play(self, source: Iterator[Sent], clock: ScenarioClock | None, rate: float) -> None:
        """Send message after message until there are no more or it is over."""
        due = time.monotonic()
        for sent in source:
            while clock is not None and clock() * 1e6 < sent.send_at_us:
                if self._wait():
                    return
            client = self._clients[sent.made.gateway]
            while not client.ready or time.monotonic() < due:
                if self._wait():
                    return
            self._note()
            if self.over:
                return
            self._send(client, sent)
            # Catches up after a short delay, not after a long one.
            due = max(due + 1 / rate, time.monotonic() - 10 / rate)

    def _send(self, client: GatewayClient, sent: Sent) -> None:
        made, summary = sent.made, self.summary
        if made.kind is MessageKind.BLOCK and not sent.again:
            number = self._ledger.published(
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
                summary = replace(summary, observed_at=observed_at, intervals=summary.intervals + 1)
        else:
            self._unlisted -= 1
            number = self._unlisted
        self._outstanding[number] = made.readings
        client.publish(sent.topic, sent.payload, number)
        self.summary = replace(summary, published=summary.published + 1, readings=summary.readings + made.readings)

    def _wait(self) -> bool:
        """Note what has come and pause; true when the run is over."""
        self._note()
        if self.over:
            return True
        time.sleep(_POLL_S)
        return False

    def _note(self) -> None:
        acked = refused = readings = 0
        for client in self._clients.values():
            for number, at_us, taken in client.answers():
                count = self._outstanding.pop(number)
                if not taken:
                    refused += 1
                    continue
                acked, readings = acked + 1, readings + count
                if number >= 0:
                    self._ledger.acked(number, at_us)
        summary = self.summary
        if acked or refused:
            self.summary = replace(
                summary,
                acked=summary.acked + acked,
                refused=summary.refused + refused,
                readings_acked=summary.readings_acked + readings,
            )
        self._ledger.flush()
        if self._progress and time.monotonic() - self._reported >= _PROGRESS_S:
            self._reported = time.monotonic()
            self._progress(self.summary)

    def drain(self) -> None:
        """Wait for outstanding acknowledgements, for a while."""
        deadline = time.monotonic() + _DRAIN_S
        self._note()
        while self._outstanding and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            self._note()
        if self._progress:
            self._progress(self.summary)
