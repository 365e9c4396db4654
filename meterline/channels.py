"""Sends what alerts owe by the means that each target has: one `store.deliveries.Send` for all channels."""

from __future__ import annotations

import json
import socket
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import structlog
from kafka import KafkaProducer
from kafka.errors import KafkaError

from alerts.formats import key_of, to_alertmanager, to_annotation, to_cloud_event, to_text
from grid.topics import ALERT
from meterline.webhook import TIMEOUT_S, HttpPost, WebhookSender, is_public
from store.deliveries import Attempt, Outcome, Outgoing, Send

log = structlog.get_logger("meterline.channels")

#: Which part of the system CloudEvents come from.
SOURCE = "/meterline/alerts"
_KAFKA_WITHIN_S = 10.0
_APPRISE_THREADS = 4
#: Kinds of Apprise's addresses that lead to one service in the internet, whatever else they say.
_IN_THE_INTERNET = frozenset(
    {"dingtalk", "discord", "feishu", "lark", "pagerduty", "slack", "tgram", "twilio", "wecombot", "wxteams"}
)  # fmt: skip
#: Kinds that call the host they name; with an s at their end over TLS.
_AT_A_HOST = frozenset({"form", "gotify", "json", "mailto", "mmost", "rocket", "workflow", "xml"})


class ChannelSender:
    """Hands each delivery of a batch to its channel's sender; a `store.deliveries.Send`.

    A channel that raises has failed to send what it was given.
    """

    def __init__(self, senders: Mapping[str, Send]) -> None:
        self._senders = senders

    def __call__(self, batch: Sequence[Outgoing]) -> list[Attempt]:
        """Send a batch; returns an attempt for each, in order."""
        attempts: dict[int, Attempt] = {}
        for channel in sorted({outgoing.target.channel for outgoing in batch}):
            numbers = [n for n, outgoing in enumerate(batch) if outgoing.target.channel == channel]
            attempts.update(zip(numbers, self._send(channel, [batch[n] for n in numbers]), strict=True))
        return [attempts[number] for number in range(len(batch))]

    def _send(self, channel: str, batch: Sequence[Outgoing]) -> Sequence[Attempt]:
        try:
            return self._senders[channel](batch)
        except Exception as error:  # noqa: BLE001  # what one channel can't do must not silence the others
            # Where, and no more: messages and variables may hold the secret.
            where = traceback.extract_tb(error.__traceback__)[-1]
            log.error(  # noqa: TRY400
                "channel failed",
                channel=channel,
                targets=sorted({each.target.name for each in batch}),
                error=type(error).__name__,
                at=f"{where.filename}:{where.lineno}",
            )
            return [Attempt(Outcome.FAILED, f"{type(error).__name__}: see the log")] * len(batch)


def make_sender(stop: threading.Event, make_producer: Callable[[], KafkaProducer]) -> ChannelSender:
    """Senders of all channels; a Kafka producer is made when it is first needed."""
    return ChannelSender(
        {
            "webhook": WebhookSender(stop),
            "alertmanager": WebhookSender(stop, make_post=alertmanager_post),
            "grafana": WebhookSender(stop, make_post=grafana_post),
            "kafka": KafkaSender(make_producer),
            "apprise": AppriseSender(stop),
        }
    )


def alertmanager_post(outgoing: Outgoing, _now: datetime) -> HttpPost:
    """A request of Alertmanager's API v2."""
    body = json.dumps(to_alertmanager(json.loads(outgoing.body)), ensure_ascii=False).encode()
    return HttpPost(body, _bearer(outgoing), "/api/v2/alerts")


def grafana_post(outgoing: Outgoing, _now: datetime) -> HttpPost:
    """A request of Grafana's annotations API."""
    body = json.dumps(to_annotation(json.loads(outgoing.body), str(outgoing.delivery_id)), ensure_ascii=False)
    return HttpPost(body.encode(), _bearer(outgoing), "/api/annotations")


def _bearer(outgoing: Outgoing) -> dict[str, str]:
    token = outgoing.target.secret.decode()
    return {"authorization": f"Bearer {token}"} if token else {}


class KafkaSender:
    """Writes CloudEvents to topic `alert`, in structured form, and waits for Kafka's acknowledgement."""

    def __init__(self, make_producer: Callable[[], KafkaProducer]) -> None:
        self._make_producer = make_producer
        self._producer: KafkaProducer | None = None

    def __call__(self, batch: Sequence[Outgoing]) -> list[Attempt]:
        """Send a batch; returns an attempt for each, in order."""
        try:
            if self._producer is None:
                self._producer = self._make_producer()
            sent = [self._send(self._producer, outgoing) for outgoing in batch]
            self._producer.flush(timeout=_KAFKA_WITHIN_S)
        except KafkaError as error:
            return [Attempt(Outcome.FAILED, f"Kafka: {type(error).__name__}: {error}")] * len(batch)
        return [_acknowledged(future) for future in sent]

    def _send(self, producer: KafkaProducer, outgoing: Outgoing) -> object:
        notice = json.loads(outgoing.body)
        event = to_cloud_event(notice, str(outgoing.delivery_id), SOURCE)
        return producer.send(
            ALERT,
            key=key_of(notice).encode(),
            value=json.dumps(event, ensure_ascii=False).encode(),
            headers=[("content-type", b"application/cloudevents+json; charset=UTF-8")],
        )


def _acknowledged(future: object) -> Attempt:
    try:
        future.get(timeout=_KAFKA_WITHIN_S)  # type: ignore[attr-defined]
    except KafkaError as error:
        return Attempt(Outcome.FAILED, f"Kafka: {type(error).__name__}: {error}")
    return Attempt(Outcome.DELIVERED)


class AppriseSender:
    """Sends e-mails and messages of chats by Apprise; the target's secret is its address."""

    def __init__(self, stop: threading.Event, timeout_s: float = TIMEOUT_S) -> None:
        self._stop = stop
        self._timeout_s = timeout_s

    def __call__(self, batch: Sequence[Outgoing]) -> list[Attempt]:
        """Send a batch; returns an attempt for each, in order."""
        if self._stop.is_set():
            return [Attempt(Outcome.NOT_SENT)] * len(batch)
        with ThreadPoolExecutor(_APPRISE_THREADS) as pool:
            return list(pool.map(self._notify, batch))

    def _notify(self, outgoing: Outgoing) -> Attempt:
        import apprise  # noqa: PLC0415  # a hundred services are imported with it, and few need one

        title, body = to_text(json.loads(outgoing.body))
        seconds = f"{self._timeout_s:g}"
        address = outgoing.target.secret.decode()
        address += ("&" if "?" in address else "?") + f"cto={seconds}&rto={seconds}"
        service = apprise.Apprise.instantiate(address, suppress_exceptions=True)
        if service is None:
            return Attempt(Outcome.FAILED, "Apprise doesn't know such an address")
        if not outgoing.target.allow_private and (refused := refusal(address, service)):
            return Attempt(Outcome.FAILED, f"{outgoing.target.name}: {refused} (allow_private isn't set)")
        # It says no more than whether; the reason stands in its own log.
        if service.notify(body=body, title=title, body_format=apprise.NotifyFormat.TEXT):
            return Attempt(Outcome.DELIVERED)
        return Attempt(Outcome.FAILED, "Apprise could not deliver it")


def refusal(address: str, service: Any) -> str | None:
    """Why an Apprise service may not be called without `allow_private`; None where it may.

    Services with one place in the internet may, and those whose host the address names when all its addresses are
    public. Of the others it can't be told where they are: some run on this machine.
    """
    kind = address.partition("://")[0].strip().lower()
    if kind in _IN_THE_INTERNET:
        return None
    if kind.removesuffix("s") not in _AT_A_HOST:
        return f"it can't be told whether {kind} is at a public address"
    host = (getattr(service, "smtp_host", None) or service.host).strip("[]")
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, service.port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:  # a name that can't be one
        return f"{host}: {error}"
    private = next((ip for ip in sorted(found) if not is_public(ip)), None)
    return None if private is None else f"{private} is not a public address"
