"""Every channel to a real receiver: Alertmanager with amtool, Kafka, a mail server, and HTTP like Grafana's."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.header import decode_header, make_header
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import Controller
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from cloudevents.core.formats.json import JSONFormat
from kafka import KafkaConsumer
from typer.testing import CliRunner

from alerts.evaluate import evaluate
from alerts.formats import events_of
from alerts.lifecycle import Action
from alerts.operate import operate
from alerts.routing import Channel, Routing
from alerts.rules import AlertPolicy
from alerts.sense import SenseRule, SenseRules
from grid.finding import Finding, Severity
from meterline import cli
from meterline.bootstrap import make_producer
from meterline.channels import make_sender
from meterline.config import Settings
from store.connection import Connection, connect
from store.deliveries import DeliveryCounts, Queue, Target, deliver_due
from store.findings import add_findings
from sync.load import load_grid
from tests.integration.conftest import Database
from tests.small_grid import small_model
from tests.waiting import PATIENCE_S, until

NOW = datetime.now(UTC).replace(microsecond=0)
BEGAN = NOW - timedelta(hours=1)
RULES = SenseRules({"theft_bypass": SenseRule()})


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, small_model())
        yield opened


def theft(holds: bool = True, unit: str = "A1") -> Finding:
    return Finding(
        "theft_bypass", Severity.WARNING, unit, f"theft_bypass:{unit}/{unit}-m1", BEGAN, BEGAN, holds, f"{unit}-m1",
        {"expected_wh": 120_000, "confidence": 0.9}, {"series": [1, 2, 3]},
    )  # fmt: skip


class Sends:
    """Owes a target what was found, and sends it."""

    def __init__(self, connection: Connection, settings: Settings, target: Target) -> None:
        self.connection = connection
        self.target = target
        self.send = make_sender(threading.Event(), lambda: make_producer(settings, linger_ms=1))
        self.at = NOW - timedelta(minutes=30)
        self.routing = Routing(Routing.to_all([target.name]).channels, link="https://console.example.org")

    def __call__(self, *findings: Finding) -> DeliveryCounts:
        self.at += timedelta(minutes=2)
        add_findings(self.connection, findings)
        evaluate(self.connection, AlertPolicy(), self.routing, self.at, rules=RULES)
        return deliver_due(self.connection, Queue.ALERTS, [self.target], self.send, lambda: self.at, lambda: 0.0)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[str]:
    """Alertmanager of the Debian package, alone."""
    binary = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    assert binary, "Debian package prometheus-alertmanager is missing: ./test installs it"
    config = tmp_path / "alertmanager.yml"
    config.write_text("route:\n  receiver: none\nreceivers:\n  - name: none\n")
    url = f"http://127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [binary, f"--config.file={config}", f"--storage.path={tmp_path / 'data'}",
         f"--web.listen-address={url.removeprefix('http://')}", "--cluster.listen-address="],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def is_ready() -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{url}/-/ready", trust_env=False).is_success
        return False

    until(is_ready, "alertmanager starts")
    yield url
    process.terminate()
    process.wait(PATIENCE_S)


def amtool(url: str, *arguments: str) -> list[dict[str, Any]]:
    command = ["amtool", f"--alertmanager.url={url}", "-o", "json", "alert", "query", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_alerts_show_in_alertmanager_and_amtool(connection: Connection, settings: Settings, alertmanager: str) -> None:
    sends = Sends(connection, settings, Target("am", alertmanager, allow_private=True, channel="alertmanager"))
    assert sends(theft(), theft(unit="A2")).delivered == 1  # one group, one notice
    shown = {alert["labels"]["code"]: alert for alert in amtool(alertmanager)}
    assert set(shown) == {"theft_bypass:A1/A1-m1", "theft_bypass:A2/A2-m1"}
    found = shown["theft_bypass:A1/A1-m1"]
    assert found["labels"]["alertname"] == "meterline_theft_bypass"
    assert (found["labels"]["unit"], found["labels"]["meter"], found["labels"]["role"]) == ("A1", "A1-m1", "marketing")
    assert found["annotations"]["expected_wh"] == "120000"
    assert found["generatorURL"].startswith("https://console.example.org/alerts/")
    assert "series" not in json.dumps(shown)
    # The same again is the same alert, and what is over goes.
    again = Finding(
        "theft_bypass",
        Severity.WARNING,
        "A1",
        "theft_bypass:A1/A1-m1",
        BEGAN,
        BEGAN + timedelta(seconds=1),
        holds=False,
    )
    assert sends(again).delivered == 1
    assert [alert["labels"]["code"] for alert in amtool(alertmanager)] == ["theft_bypass:A2/A2-m1"]


def test_what_is_suppressed_leaves_alertmanager_until_it_is_open_again(
    connection: Connection, settings: Settings, alertmanager: str
) -> None:
    sends = Sends(connection, settings, Target("am", alertmanager, allow_private=True, channel="alertmanager"))
    sends.routing = Routing((Channel("am", every_end=True), Channel("others")))
    assert sends(theft()).delivered == 1
    assert len(amtool(alertmanager)) == 1
    ((alert_id,),) = connection.execute("select alert_id from alerts.alert").fetchall()
    until_at = sends.at + timedelta(minutes=3)
    operate(connection, alert_id, Action.SUPPRESS, "clerk", "meter on order", sends.at, until=until_at)
    assert sends().delivered == 1
    assert amtool(alertmanager) == []
    assert sends().delivered == 1  # the suppression is over
    assert len(amtool(alertmanager)) == 1
    rows = connection.execute("select payload from alerts.delivery where target = 'others' order by created_at")
    # Nothing was sent to them, so all of it stands in one notice.
    assert [event["type"] for (payload,) in rows for event in events_of(payload)] == ["alert.opened", "alert.reopened"]


def test_of_a_storm_every_end_comes_to_alertmanager(
    connection: Connection, settings: Settings, alertmanager: str
) -> None:
    """The first hundred alerts are told one by one; what is over shows nowhere any more, however many they are."""
    target = Target("am", alertmanager, allow_private=True, channel="alertmanager")
    routing = Routing((Channel("am", every_end=True),))
    send, at = make_sender(threading.Event(), lambda: make_producer(settings, linger_ms=1)), NOW - timedelta(minutes=30)
    shown = []
    for minute, holds in ((0, True), (2, False)):
        seen_at = BEGAN + timedelta(minutes=minute)
        storm = [
            Finding("theft_bypass", Severity.WARNING, "A1", f"theft_bypass:{n}", BEGAN, seen_at, holds, f"m-{n}")
            for n in range(250)
        ]
        # In two looks, so that the second adds to what the first has owed.
        for part in (storm[:120], storm[120:]):
            add_findings(connection, part)
            evaluate(connection, AlertPolicy(), routing, at + timedelta(minutes=minute), rules=RULES)
        now = at + timedelta(minutes=minute)
        done = deliver_due(connection, Queue.ALERTS, [target], send, lambda now=now: now, lambda: 0.0)  # type: ignore[misc]
        assert (done.delivered, done.failed) == (1, 0)
        shown.append(len(amtool(alertmanager)))
    assert shown == [100, 0]


def test_a_channel_that_cannot_send_is_its_own_failure(connection: Connection, settings: Settings) -> None:
    """Its attempts have failed, and are tried again; what the others send is sent."""
    secret = b"json://127.0.0.1:9/\xff"
    sends = Sends(connection, settings, Target("chat", "", secret, allow_private=True, channel="apprise"))
    assert sends(theft()).failed == 1
    # A label longer than a name's may be.
    name = f"mailto://8.8.8.8?from=m@example.org&to=li@example.org&smtp={'x' * 70}.org".encode()
    sends = Sends(connection, settings, Target("chat2", "", name, channel="apprise"))
    assert sends(theft(unit="A2")).failed == 1
    rows = connection.execute("select target, last_error from alerts.delivery").fetchall()
    errors: dict[str, str] = dict(rows)
    assert errors["chat"] == "UnicodeDecodeError: see the log"
    assert "too long" in errors["chat2"]


def test_roles_that_no_target_reaches_are_named(
    database: Database, config_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels = [{"name": "bus", "type": "kafka", "roles": ["control_room", "customer_service", "marketing"]}]
    monkeypatch.setenv("METERLINE_CONFIG", str(config_path))
    monkeypatch.setenv("METERLINE_DATABASE__NAME", database.section.name)
    monkeypatch.setenv("METERLINE_ALERTS__CHANNELS", json.dumps(channels))
    result = CliRunner().invoke(cli.app, ["alert", "targets", "--json"], catch_exceptions=False)
    assert [row["target"] for row in json.loads(result.stdout)] == ["bus"]
    assert result.stderr == "no target reaches: field_crew, leading_group, metering, working_group\n"
    monkeypatch.setenv("METERLINE_ALERTS__CHANNELS", json.dumps([{"name": "bus", "type": "kafka"}]))
    assert CliRunner().invoke(cli.app, ["alert", "targets"], catch_exceptions=False).stderr == ""


def test_cloud_events_in_kafka(connection: Connection, settings: Settings) -> None:
    sends = Sends(connection, settings, Target("bus", "", channel="kafka"))
    assert sends(theft()).delivered == 1
    consumer = KafkaConsumer(
        "alert", bootstrap_servers=settings.kafka.bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=120_000
    )
    (delivery_id,) = connection.execute("select delivery_id::text from alerts.delivery").fetchall()
    # Tests of other files tell of the like, on the same broker.
    record = next(record for record in consumer if delivery_id[0].encode() in record.value)
    consumer.close()
    assert record.key == b"A1"
    assert dict(record.headers)["content-type"].startswith(b"application/cloudevents+json")
    # The reference library reads and checks it.
    event = from_kafka_event(KafkaMessage(dict(record.headers), record.key, record.value), JSONFormat())
    assert event.get_id() == delivery_id[0]
    assert event.get_type() == "meterline.alert.opened"
    assert event.get_source() == "/meterline/alerts"
    assert event.get_subject() == "theft_bypass:A1/A1-m1"
    at, data = event.get_time(), event.get_data()
    assert at is not None
    assert at.tzinfo is not None
    assert isinstance(data, dict)
    assert data["figures"] == {"expected_wh": 120_000, "confidence": 0.9}


class Mailbox:
    """A mail server's end."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    async def handle_DATA(  # noqa: N802  # the server's name
        self, _server: object, _session: object, envelope: Any
    ) -> str:
        self.messages.append(envelope.content)
        return "250 taken"


def test_e_mail_by_apprise(connection: Connection, settings: Settings) -> None:
    mailbox = Mailbox()
    server = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    server.start()
    try:
        secret = f"mailto://127.0.0.1:{server.port}?from=meterline@example.org&to=li@example.org&mode=insecure"
        sends = Sends(connection, settings, Target("mail", "", secret.encode(), allow_private=True, channel="apprise"))
        assert sends(theft()).delivered == 1
    finally:
        server.stop()
    (raw,) = mailbox.messages
    message = message_from_bytes(raw)
    assert str(make_header(decode_header(message["subject"]))) == ("[warning] theft_bypass opened at A1, meter A1-m1")
    parts = [part for part in message.walk() if part.get_content_type() == "text/plain"]
    text = parts[0].get_payload(decode=True)
    assert isinstance(text, bytes)
    assert "expected_wh: 120000" in text.decode()
    assert "https://console.example.org/alerts/" in text.decode()


def test_a_mail_server_that_is_away_is_tried_again(connection: Connection, settings: Settings) -> None:
    secret = f"mailto://127.0.0.1:{free_port()}?from=m@example.org&to=li@example.org&mode=insecure"
    sends = Sends(connection, settings, Target("mail", "", secret.encode(), allow_private=True, channel="apprise"))
    assert sends(theft()).failed == 1
    assert connection.execute("select last_error from alerts.delivery").fetchall() == [
        ("Apprise could not deliver it",)
    ]


class Grafana(BaseHTTPRequestHandler):
    """Takes annotations as Grafana's API does: token, path, body; and refuses what that wouldn't take."""

    taken: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        known = {"time": int, "timeEnd": int, "tags": list, "text": str, "dashboardUID": str, "panelId": int}
        right = body.get("text") and all(isinstance(body[name], known.get(name, ())) for name in body)
        if self.path != "/grafana/api/annotations" or not right:
            status = 404 if right else 400
        else:
            status = 200 if self.headers["authorization"] == "Bearer secret-token" else 401
        if status == 200:
            self.taken.append(body)
        answer = json.dumps({"message": "Annotation added", "id": len(self.taken)}).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        pass


def test_annotations_of_grafana(connection: Connection, settings: Settings) -> None:
    taken: list[dict[str, Any]] = []
    server = HTTPServer(("127.0.0.1", 0), type("Handler", (Grafana,), {"taken": taken}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/grafana/"
    wrong = Sends(connection, settings, Target("g", url, b"wrong", allow_private=True, channel="grafana"))
    assert wrong(theft()).failed == 1
    right = Sends(connection, settings, Target("g", url, b"secret-token", allow_private=True, channel="grafana"))
    right.at = NOW
    assert right().delivered == 1
    server.shutdown()
    (annotation,) = taken
    assert {"meterline", "theft_bypass", "A1", "alert.opened"} <= set(annotation["tags"])
    assert datetime.fromtimestamp(annotation["time"] / 1000, UTC) == NOW - timedelta(minutes=28)


def test_a_private_address_is_refused_for_every_channel(connection: Connection, settings: Settings) -> None:
    units = {"webhook": "A1", "alertmanager": "A2", "grafana": "F2", "apprise": "F1"}
    for channel, unit in units.items():
        secret = b"json://127.0.0.1:9/" if channel == "apprise" else b"x" * 24
        sends = Sends(connection, settings, Target(channel, "http://127.0.0.1:9/", secret, channel=channel))
        finding = theft(unit=unit)
        assert sends(finding).failed == 1
        (error,) = connection.execute("select last_error from alerts.delivery where target = %s", [channel]).fetchall()
        assert "127.0.0.1 is not a public address" in error[0]
