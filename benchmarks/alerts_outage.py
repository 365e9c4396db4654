"""Two feeders lose their supply, and the whole way is timed: MQTT, bridge, Kafka, worker, alert service, webhook.

One feeder's breaker says so. The other has no such point: what its meters say last is all that comes, drawn and
delayed by the twin's own rules (`twin.device_events`).
"""

from __future__ import annotations

import base64
import contextlib
import heapq
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from alerts.formats import events_of
from deploy.stack import StackSpec, set_gateways, start_programs, stop_programs
from grid.model import Feeder, GridModel, Meter, Role, Substation, TransformerArea, UnitKind
from grid.network import AreaConnection, FeederHead, Network, Node, Segment, Switch, SwitchKind
from grid.points import Point, PointKind
from meterline.bootstrap import opener
from meterline.config import Settings
from meterline.ready import wait_until_ready
from meterline.settings.section import read_secret
from store.connection import Connection
from store.points import load_points
from sync.load import load_grid
from twin.delivery_faults import DeliveryFaults
from twin.device_events import DeviceEvents
from twin.effects import Turn
from twin.scenario import units_of

if TYPE_CHECKING:
    from twin.effects import Effects

PROGRAMS = ("bridge", "worker", "alerts")
#: The feeder whose breaker reports, and the one of which only last gasps are heard.
BREAKER, GASPS = "OUT-B", "OUT-G"
_GATEWAYS = ("headend", "rtu")
_TIMEOUT_S = 120.0
#: A first run compiles the kernels.
_READY_S = 400.0


@dataclass(frozen=True, slots=True)
class Outage:
    """One outage as it was told.

    Attributes
    ----------
    alert_s, notice_s
        From the instant of the outage until its alert stood in the database, and until the receiver had its notice.
    alerts
        How many alerts there are of the feeder and of what is below it, when everything has been said.
    areas, meters
        In the alert then.
    sent
        Messages that said it.
    """

    alert_s: float
    notice_s: float
    alerts: int
    areas: int
    meters: int
    sent: int


def outage_model(areas: int, meters: int) -> GridModel:
    """Two feeders of so many areas of so many meters; the first has a breaker."""
    codes = {feeder: [f"{feeder}-A{n}" for n in range(areas)] for feeder in (BREAKER, GASPS)}
    chain = codes[BREAKER]
    network = Network(
        (Node("OUT-bus", "OUT"), *(Node(f"{area}-n", "OUT") for area in chain)),
        tuple(Segment(f"{near}-s", f"{near}-n", f"{far}-n", 100.0, 0.1, 0.1) for near, far in pairwise(chain)),
        (Switch(f"{BREAKER}-Q", SwitchKind.BREAKER, "OUT-bus", f"{chain[0]}-n"),),
        (FeederHead(BREAKER, f"{chain[0]}-n", f"{BREAKER}-Q"),),
        tuple(AreaConnection(area, f"{area}-n") for area in chain),
    )
    all_areas = [(area, feeder) for feeder, of_feeder in codes.items() for area in of_feeder]
    return GridModel(
        substations=(Substation("OUT", "OUT", 110_000, 20_000),),
        feeders=tuple(Feeder(feeder, feeder, "OUT") for feeder in codes),
        areas=tuple(TransformerArea(a, a, UnitKind.AREA, "headend", f, 400_000) for a, f in all_areas),
        meters=tuple(Meter(f"{a}-{n}", a, Role.CUSTOMER) for a, _ in all_areas for n in range(meters)),
        feeder_gateways=dict.fromkeys(codes, "rtu"),
        network=network,
    )


def time_outages(spec: StackSpec, settings: Settings, areas: int, meters: int) -> dict[str, Outage]:
    """Both outages, one after the other, with real processes; by feeder. The stack's servers are up."""
    model = outage_model(areas, meters)
    with receiver() as (url, notices), opener(settings, "benchmark")() as connection:
        connection.autocommit = True
        load_grid(connection, model)
        load_points(connection, [Point(f"{BREAKER}-CB", BREAKER, PointKind.SWITCH, switch=f"{BREAKER}-Q")])
        set_gateways(spec, _GATEWAYS)
        tell(spec, url)
        start_programs(spec, PROGRAMS)
        try:
            wait_until_ready(settings, 1, _READY_S)
            with _gateways(settings) as send:
                watch = _Watch(connection, notices)
                return {
                    BREAKER: _by_breaker(watch, send),
                    GASPS: _by_last_gasps(watch, send, model),
                }
        finally:
            stop_programs(spec, PROGRAMS)
            (spec.home / "local.toml").unlink()


def tell(spec: StackSpec, url: str) -> None:
    """Name the receiver at an address in the stack's own settings."""
    secret = spec.home / "benchmark.secret"
    secret.write_text(base64.b64encode(b"a secret of this benchmark alone").decode())
    (spec.home / "local.toml").write_text(
        f'[[alerts.webhooks]]\nname = "benchmark"\nurl = "{url}"\nsecret_file = "{secret}"\nallow_private = true\n'
    )


Send = Callable[[str, str, bytes], None]


def _by_breaker(watch: _Watch, send: Send) -> Outage:
    def report(sequence: int, at: datetime, value: int) -> None:
        body = {"sequence": sequence, "point": [f"{BREAKER}-CB"], "observed_at": [at.isoformat()], "value": [value]}
        send("rtu", f"meterline/v1/rtu/points/{BREAKER}", json.dumps({**body, "quality": [0]}).encode())

    # The processes have taken a point before: what is timed is not their first.
    closed = datetime.now(UTC) - timedelta(minutes=1)
    report(1, closed, 1)
    watch.wait(lambda: watch.has_point(closed), "the first point")
    opened = datetime.now(UTC)
    report(2, opened, 0)
    return watch.until_told(BREAKER, opened, sent=1)


def _by_last_gasps(watch: _Watch, send: Send, model: GridModel) -> Outage:
    at_s = int(time.time()) + 1
    below = [n for n, meter in enumerate(model.meters) if meter.unit.startswith(GASPS)]
    said = DeviceEvents(
        [],
        cast("Effects", _Dark(Turn(at_s, np.array(below), 1))),
        np.arange(len(model.meters)),
        units_of(model),
        begin_s=at_s,
        seed=7,
        faults=DeliveryFaults.none(),
    )
    made = said.made(at_s, at_s + 60, lambda position, _: model.meters[position].code)
    queue = [(at_us, n, message) for n, message in enumerate(made) for at_us in message.send_at_us]
    heapq.heapify(queue)
    sequence = iter(range(1, len(queue) + 1))

    def send_all() -> None:
        while queue:
            at_us, _, message = heapq.heappop(queue)
            time.sleep(max(0.0, at_us / 1e6 - time.time()))
            send(message.gateway, message.topic, b'{"sequence":%d,' % next(sequence) + message.body)

    count = len(queue)
    sender = threading.Thread(target=send_all, name="last gasps", daemon=True)
    sender.start()
    return watch.until_told(GASPS, datetime.fromtimestamp(at_s, UTC), sent=count, said=sender.join)


@dataclass(frozen=True, slots=True)
class _Dark:
    """What `DeviceEvents` asks of the twin's effects: one outage that lasts."""

    turn: Turn

    def last_gasps(self) -> tuple[Turn, ...]:
        return (self.turn,)

    def restorations(self) -> tuple[Turn, ...]:
        return ()


@dataclass(slots=True)
class _Watch:
    connection: Connection
    notices: list[tuple[datetime, dict[str, Any]]]

    def wait(self, happened: Callable[[], bool], what: str) -> datetime:
        """When it had happened."""
        deadline = time.monotonic() + _TIMEOUT_S
        while not happened():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} didn't come in {_TIMEOUT_S:g} s")
            time.sleep(0.01)
        return datetime.now(UTC)

    def has_point(self, at: datetime) -> bool:
        sql = "select 1 from telemetry.point_report where point = %s and observed_at = %s"
        return self.connection.execute(sql, [f"{BREAKER}-CB", at]).fetchone() is not None

    def alerts(self, feeder: str) -> list[tuple[str, dict[str, Any]]]:
        """Code and figures of every alert of a feeder and of its areas, whatever has become of it."""
        sql = (
            "select a.fingerprint, a.evidence from alerts.alert a join grid.unit u using (unit_id)"
            " where u.code = %s or starts_with(u.code, %s) order by a.alert_id"
        )
        return self.connection.execute(sql, [feeder, f"{feeder}-"]).fetchall()

    def told(self, feeder: str) -> datetime | None:
        """When its notice came."""
        return next(
            (at for at, body in self.notices for event in events_of(body) if event["data"]["unit"] == feeder), None
        )

    def until_told(
        self, feeder: str, at: datetime, sent: int, said: Callable[[float], object] = lambda _: None
    ) -> Outage:
        alerted = self.wait(lambda: any(code == f"outage:{feeder}" for code, _ in self.alerts(feeder)), feeder)
        self.wait(lambda: self.told(feeder) is not None, f"the notice of {feeder}")
        told = self.told(feeder)
        assert told is not None
        said(_TIMEOUT_S)

        def is_over() -> bool:
            # What comes late would be another alert now, or more in this one.
            before = self.alerts(feeder)
            time.sleep(4.0)
            return self.alerts(feeder) == before

        self.wait(is_over, f"the end of what is told of {feeder}")
        alerts = self.alerts(feeder)
        figures = dict(alerts)[f"outage:{feeder}"]
        return Outage(
            alert_s=(alerted - at).total_seconds(),
            notice_s=(told - at).total_seconds(),
            alerts=len(alerts),
            areas=figures["areas"],
            meters=figures["meters"],
            sent=sent,
        )


@contextlib.contextmanager
def _gateways(settings: Settings) -> Iterator[Send]:
    """Publishes as one of the accounts, and waits for the broker."""
    folder = settings.mqtt.gateway_passwords_dir
    assert folder is not None
    clients = {}
    for account in _GATEWAYS:
        client = Client(CallbackAPIVersion.VERSION2, client_id=f"benchmark-{account}", protocol=MQTTv5)
        client.username_pw_set(account, read_secret(folder / account))
        client.connect(settings.mqtt.host, settings.mqtt.port)
        client.loop_start()
        clients[account] = client
    try:
        yield lambda account, topic, body: clients[account].publish(topic, body, qos=1).wait_for_publish(_TIMEOUT_S)
    finally:
        for client in clients.values():
            client.disconnect()
            client.loop_stop()


@contextlib.contextmanager
def receiver() -> Iterator[tuple[str, list[tuple[datetime, dict[str, Any]]]]]:
    """A webhook's address, and what it was sent with the times."""
    got: list[tuple[datetime, dict[str, Any]]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            got.append((datetime.now(UTC), body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        # Its own default of 5 drops what connects together, which then tries again a second later.
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/", got
    finally:
        server.shutdown()
        server.server_close()
