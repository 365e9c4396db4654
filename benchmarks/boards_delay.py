"""Delay from a value published on MQTT to a panel that shows it, at 100,000 readings a second.

250 areas of 400 meters publish an interval each second, evenly over it, over MQTT: to the bridge, Kafka, two workers
and the database. Of some messages the panel "Now" of the area's board is asked, as the boards' role, until it shows the
supply that the message brought. Intervals of a minute follow each other every second, so that 250 areas send what
15,000 would. The clock of a message runs from the instant at which it was due to be published.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg

from benchmarks.report import Result, main, result
from benchmarks.scene import METERS, make_model, meters_of, whole_intervals_us
from benchmarks.stack import benchmark_stack, processor_seconds
from deploy.boards.macros import bind
from deploy.boards.panels.area import AREA_NOW
from deploy.stack import StackSpec, set_gateways, start_programs
from meterline.bootstrap import opener
from meterline.config import Settings
from meterline.ready import wait_until_ready
from meterline.settings.section import read_secret
from store.blocks import to_datetime
from store.connection import Connection
from sync.load import load_grid
from twin.gateway import GatewayClient

_WORKERS = 2
_AREAS = 250
_WARM_S = 20
_SECONDS = 40
_EVERY = 25
_INTERVAL_S = 60
_MULTIPLIER = 40
_POLL_S = 0.05
_GIVE_UP_S = 60.0
_FIRST_S = 600.0
#: Energy at the area's own meter in its first interval; each further one has one more.
_FIRST_WH = 1_000


def measure() -> list[Result]:
    """Start everything, publish, ask."""
    with benchmark_stack(_WORKERS) as (spec, settings):
        model = make_model(_AREAS, feeders=20)
        with opener(settings, "benchmark")() as connection:
            load_grid(connection, model)
            connection.commit()
        messages = [_Area(code, meters.to_pylist()) for code, meters in meters_of(model).items()]
        set_gateways(spec, ["headend"])
        start_programs(spec, ["bridge", "worker"])
        # Before the bridge has subscribed, the broker has nobody to keep a message for.
        wait_until_ready(settings, _WORKERS, _FIRST_S)
        folder = settings.mqtt.gateway_passwords_dir
        assert folder is not None
        client = GatewayClient(settings.mqtt.host, settings.mqtt.port, "headend", read_secret(folder / "headend"))
        client.connect()
        try:
            return _measure(spec, settings, client, messages)
        finally:
            client.close()


class _Area:
    """Messages of one area, of which only what changes is filled in when one is sent."""

    def __init__(self, code: str, meters: list[str]) -> None:
        random = np.random.default_rng(len(code) + METERS)
        customers = random.gamma(0.8, 110, len(meters) - 1).astype(int).tolist()
        self.code = code
        self.topic = f"meterline/v1/headend/block/{code}"
        others = {
            "export_wh": [0] * len(meters),
            "voltage_a_v": np.round(random.normal(230, 2, len(meters)), 1).tolist(),
            "interval_s": _INTERVAL_S,
        }
        # The area's own meter comes first.
        self._begin = f'{{"meter": {json.dumps(meters)}, "import_wh": ['
        self._end = f", {', '.join(map(str, customers))}], {json.dumps(others)[1:-1]}, "

    def message(self, number: int, sequence: int, observed_at: datetime) -> bytes:
        """The message of the interval of that number."""
        instant = f'"sequence": {sequence}, "observed_at": "{observed_at.isoformat()}"}}'
        return f"{self._begin}{_FIRST_WH + number}{self._end}{instant}".encode()


def _measure(spec: StackSpec, settings: Settings, client: GatewayClient, areas: list[_Area]) -> list[Result]:
    watch = _Watch()
    # Young enough for the lane of live data, and old enough that the last of them lies in the past.
    first_us = whole_intervals_us(_INTERVAL_S) - 110 * _INTERVAL_S * 1_000_000
    sequences = itertools.count(1)

    def publish(number: int, area: _Area) -> None:
        while not client.ready:
            time.sleep(0.001)
            client.answers()
        observed_at = to_datetime(first_us + number * _INTERVAL_S * 1_000_000)
        sequence = next(sequences)
        client.publish(area.topic, area.message(number, sequence, observed_at), sequence)

    with psycopg.connect(settings.database.conninfo("board"), autocommit=True) as connection:
        for area in areas:
            publish(0, area)
        _wait_for_first(connection, areas)
        stop = threading.Event()
        follower = threading.Thread(target=watch.follow, args=(connection, stop), name="watch")
        follower.start()
        try:
            paced = _pace(spec, areas, publish, watch, client)
        finally:
            stop.set()
            follower.join()
    sent = len(paced.late_s) * METERS / paced.seconds
    delays_s = np.array(watch.delays_s)
    return [
        result("readings published", sent, "readings/s", 0.99 * _AREAS * METERS),
        result("published after its instant, p99", float(np.percentile(paced.late_s, 99)), "s"),
        result("values followed", len(delays_s), "values"),
        result("MQTT to the panel's answer, p50", float(np.percentile(delays_s, 50)), "s"),
        result("MQTT to the panel's answer, p99", float(np.percentile(delays_s, 99)), "s", 3.0, less_is_better=True),
        result("one answer of the panel, median", float(np.median(watch.answers_s)), "s"),
        *(result(f"processor time, {name}", s / paced.seconds, "cores") for name, s in sorted(paced.busy_s.items())),
    ]


@dataclass(frozen=True, slots=True)
class _Paced:
    """How late each message was published that counts, how long they took, and the programs' processor time then."""

    late_s: list[float]
    seconds: float
    busy_s: dict[str, float]


def _pace(
    spec: StackSpec,
    areas: list[_Area],
    publish: Callable[[int, _Area], None],
    watch: _Watch,
    client: GatewayClient,
) -> _Paced:
    begin_s = time.time() + 0.5
    late_s: list[float] = []
    before: dict[str, float] = {}
    for second in range(_WARM_S + _SECONDS):
        if second == _WARM_S:
            before = processor_seconds(spec)
        for place, area in enumerate(areas):
            due_s = begin_s + second + place / len(areas)
            time.sleep(max(0.0, due_s - time.time()))
            publish(1 + second, area)
            client.answers()
            if second >= _WARM_S:
                late_s.append(time.time() - due_s)
                if len(late_s) % _EVERY == 0:
                    watch.waiting.append((due_s, area.code, 1 + second))
    seconds = time.time() - begin_s - _WARM_S - late_s[0]
    after = processor_seconds(spec)
    return _Paced(late_s, seconds, {name: s - before.get(name, 0.0) for name, s in after.items()})


class _Watch:
    """Asks the panel for sampled values until it shows them."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[float, str, int]] = deque()
        """When it was due, its area, its number."""
        self.delays_s: list[float] = []
        self.answers_s: list[float] = []

    def follow(self, connection: psycopg.Connection, stop: threading.Event) -> None:
        """Ask until told to stop and nothing is outstanding."""
        outstanding: list[tuple[float, str, int]] = []
        while outstanding or self.waiting or not stop.is_set():
            time.sleep(_POLL_S)
            while self.waiting:
                outstanding.append(self.waiting.popleft())
            missing = []
            for due_s, code, number in outstanding:
                asked_s = time.time()
                there = _shown(connection, code) >= number
                now_s = time.time()
                self.answers_s.append(now_s - asked_s)
                if there or now_s - due_s > _GIVE_UP_S:
                    self.delays_s.append(now_s - due_s)
                else:
                    missing.append((due_s, code, number))
            outstanding = missing


def _shown(connection: Connection, code: str) -> int:
    """Number of the interval whose supply the panel shows; -1 while there is none."""
    now = datetime.now(UTC)
    sql, values = bind(AREA_NOW.sql, now - timedelta(hours=24), now, timedelta(minutes=1), {"area": code})
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        row = cursor.execute(sql.encode(), values).fetchone()
    if row is None or row["supply_w"] is None:
        return -1
    return round(float(row["supply_w"]) * _INTERVAL_S / 3_600 / _MULTIPLIER) - _FIRST_WH


def _wait_for_first(connection: Connection, areas: list[_Area]) -> None:
    """Until every area shows its first value: workers compile, and fill their caches."""
    deadline = time.monotonic() + _FIRST_S
    while missing := [area.code for area in areas if _shown(connection, area.code) < 0]:
        if time.monotonic() > deadline:
            refused = connection.execute("select reason, count(*) from telemetry.rejected group by reason").fetchall()
            raise TimeoutError(f"{len(missing)} areas show nothing yet; refused: {refused}")
        time.sleep(1.0)


if __name__ == "__main__":
    main(measure, __doc__ or "")
