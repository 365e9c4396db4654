"""The probe of a site's channel: through a real broker with its access list, over a channel that is made worse."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from psycopg_pool import ConnectionPool

from console.api import add_routes, rollout_routers
from console.api.desk import Desk
from console.api.tokens import RateLimiter, Tokens, hash_of
from deploy.stack import StackSpec, set_gateways
from grid.channel import Limits, Shortfall, Traffic, shortfalls, summarise
from ingest.sources.mqtt import ProbeError, ProbeResult, ProbeSettings, measure_channel
from meterline.centre import Centre, CentreError
from store.connection import Connection, connect
from sync.load import load_grid
from sync.rollout.report import Level, make_report
from sync.rollout.timetable import Span
from sync.rollout.watch import watch
from tests.integration.test_rollout_api import RULES
from tests.rollout_grid import SHANGHAI, rollout_model
from tests.served_api import serve
from tests.slow_proxy import slow_proxy
from tests.waiting import PATIENCE_S, until

AREA = Traffic(400, 1, 900)


def settings_of(stack: StackSpec, port: int | None = None, **changes: Any) -> ProbeSettings:
    set_gateways(stack, ["site-7", "site-8"])
    password = (stack.secrets_dir / "gateways" / "site-7").read_text().strip()
    settings = ProbeSettings(
        "127.0.0.1", port or stack.ports.mqtt, "site-7", password, count=20, every_s=0.02, wait_s=10
    )
    return replace(settings, **changes)


def judged(found: ProbeResult, traffic: Traffic = AREA) -> tuple[Shortfall, ...]:
    return shortfalls(summarise(found.delays_s, found.bytes_per_s), traffic, Limits())


def measured(settings: ProbeSettings, is_right: Callable[[ProbeResult], bool]) -> ProbeResult:
    """Measure until it comes out right: a busy machine's own delay is measured too, but stays no minute."""
    found: list[ProbeResult] = []

    def measure() -> bool:
        found.append(measure_channel(settings))
        return is_right(found[-1])

    until(measure, "what is measured is right")
    return found[-1]


def test_a_good_channel_is_good(stack: StackSpec) -> None:
    found = measured(settings_of(stack), lambda each: judged(each) == ())
    assert len(found.delays_s) == 20


def delay_of(found: ProbeResult) -> float:
    return summarise(found.delays_s).delay_s or 0.0


def test_delay_is_measured_as_it_is(stack: StackSpec) -> None:
    with slow_proxy(stack.ports.mqtt) as channel:
        channel.delay_s = 0.6
        settings = settings_of(stack, channel.port, load_bytes=0)
        found = measured(settings, lambda each: delay_of(each) < 1.6 and judged(each) == (Shortfall.DELAY,))
    assert delay_of(found) >= 1.2
    assert found.bytes_per_s is None


def test_jitter_is_measured(stack: StackSpec) -> None:
    with slow_proxy(stack.ports.mqtt) as channel:
        channel.jitter_s = lambda number: 0.4 * (number % 2)
        found = measure_channel(settings_of(stack, channel.port, every_s=0.5, count=8, load_bytes=0))
    assert Shortfall.JITTER in judged(found)


def test_throughput_is_measured_as_it_is(stack: StackSpec) -> None:
    with slow_proxy(stack.ports.mqtt) as channel:
        settings = settings_of(stack, channel.port, load_bytes=64 * 1024)
        measured(settings, lambda each: (each.bytes_per_s or 0) > 5 * 25_000)
        channel.bytes_per_s = 20_000
        slow = measured(settings, lambda each: (each.bytes_per_s or 0) > 12_000).bytes_per_s
    assert slow is not None
    assert slow < 25_000
    found = ProbeResult((0.01, 0.01), slow)
    assert judged(found) == ()
    # A hundred thousand meters a quarter of an hour need 178 kB/s.
    assert judged(found, Traffic(100_000, 250, 900)) == (Shortfall.THROUGHPUT,)


def test_what_is_lost_stays_lost(stack: StackSpec) -> None:
    with slow_proxy(stack.ports.mqtt) as channel:
        channel.delay_s = 0.05
        settings = settings_of(stack, channel.port, count=40, every_s=0.05, wait_s=2, load_bytes=0)
        breaker = threading.Timer(0.8, channel.break_all)
        breaker.start()
        found = measure_channel(settings)
    lost = found.delays_s.count(None)
    assert 0 < lost < 40
    assert Shortfall.LOSS in judged(found)


def test_a_broker_that_is_away_is_unreachable(stack: StackSpec) -> None:
    with slow_proxy(stack.ports.mqtt) as channel:
        port = channel.port
    assert judged(measure_channel(settings_of(stack, port))) == (Shortfall.UNREACHABLE,)


def test_nobody_else_reads_or_writes_what_is_measured(stack: StackSpec) -> None:
    settings = settings_of(stack)
    with pytest.raises(ProbeError, match="refuses account"):
        measure_channel(replace(settings, password="wrong"))
    heard: list[str] = []
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    other = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    other.username_pw_set("site-8", (stack.secrets_dir / "gateways" / "site-8").read_text().strip())
    other.on_message = lambda _client, _data, message: heard.append(message.topic)
    other.on_subscribe = lambda *_: answers.put(None)
    other.on_publish = lambda _client, _data, _mid, reason, _properties: answers.put(reason)
    other.connect("127.0.0.1", stack.ports.mqtt)
    other.loop_start()
    try:
        other.subscribe("meterline/v1/+/probe/#")
        answers.get(timeout=PATIENCE_S)
        measured(settings, lambda each: judged(each) == ())
        for topic in ("echo", "load"):
            other.publish(f"meterline/v1/site-7/probe/{topic}", b"x", qos=1)
            assert answers.get(timeout=PATIENCE_S).is_failure
        assert heard == []
        # Its own it may.
        other.publish("meterline/v1/site-8/probe/echo", b"x", qos=1)
        assert not answers.get(timeout=PATIENCE_S).is_failure
    finally:
        other.disconnect()
        other.loop_stop()


@dataclass
class Site:
    """A centre that is served, and what a site needs to reach it."""

    url: str
    folder: Path
    stack: StackSpec
    connection: Connection
    now: list[datetime]

    def _run(self, port: int, options: tuple[str, ...], gateway: str) -> tuple[int, dict[str, Any], str]:
        command = [
            sys.executable, "-m", "meterline", "probe", gateway, "--port", str(port), "--unit", "county-01",
            "--password-file", str(self.stack.secrets_dir / "gateways" / gateway), "--api", self.url,
            "--token-file", str(self.folder / "county1"), "--count", "10", "--every", "0.02", "--load", "32768",
            "--json", *options,
        ]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=dict(os.environ), timeout=PATIENCE_S
        )
        return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr

    def probe(self, port: int, *options: str, gateway: str = "gw-1") -> tuple[dict[str, Any], str]:
        """Measure a channel that falls short, or that can't be told."""
        code, answer, said = self._run(port, options, gateway)
        assert code == 1, said
        return answer, said

    def probe_good(self, *options: str, gateway: str = "gw-1") -> dict[str, Any]:
        """Measure straight until the channel is good, as `measured` does."""
        found: list[dict[str, Any]] = []

        def is_good() -> bool:
            code, answer, said = self._run(self.stack.ports.mqtt, options, gateway)
            assert code in {0, 1}, said
            found.append(answer)
            return code == 0

        until(is_good, "the channel is good")
        return found[-1]


@pytest.fixture
def site(stack: StackSpec, database: Any, tmp_path: Path) -> Iterator[Site]:
    set_gateways(stack, ["gw-1", "site-7", "headend"])
    entries = []
    for name, role in (("county1", "unit"), ("desk", "support"), ("leader", "leading_group")):
        (tmp_path / name).write_text(f"{name}\n")
        entry = f'[[tokens]]\nname = "{name}"\nsha256 = "{hash_of(name)}"\nroles = ["{role}"]\n'
        entries.append(entry + ('unit = "county-01"\n' if role == "unit" else ""))
    (tmp_path / "tokens.toml").write_text("\n".join(entries))
    app, now = FastAPI(), [datetime.now(UTC)]
    limiter = RateLimiter(100_000, 100_000, time.monotonic)
    shift = timedelta(0)
    with (
        connect(database.conninfo("app"), "test") as connection,
        ConnectionPool[Connection](
            database.conninfo("app"), kwargs={"autocommit": True, "options": "-c timezone=UTC"}, min_size=1, max_size=3
        ) as pool,
    ):
        connection.autocommit = True
        load_grid(connection, rollout_model())
        desk = Desk(pool, Tokens(tmp_path / "tokens.toml"), limiter, limiter, lambda: datetime.now(UTC) + shift)
        add_routes(app, rollout_routers(desk, SHANGHAI, lambda _: RULES))
        with serve(app) as url:
            yield Site(url, tmp_path, stack, connection, now)


def test_a_slowed_channel_is_in_the_days_report_and_told_at_its_unit(site: Site) -> None:
    good = site.probe_good("--meters", "400")
    assert good["shortfalls"] == []
    assert abs(good["clock_offset_s"]) <= good["clock_error_s"] + 0.05
    assert watch(site.connection, datetime.now(UTC), SHANGHAI).begun == 0
    with slow_proxy(site.stack.ports.mqtt) as channel:
        channel.delay_s = 0.7
        slow, said = site.probe(channel.port, "--meters", "400")
    assert slow["shortfalls"] == ["delay"]
    assert "falls short in: delay" in said
    now = datetime.now(UTC)
    for level, unit in ((Level.UNIT, "county-01"), (Level.WORKING, None), (Level.LEADING, None)):
        report = make_report(site.connection, Span.DAILY, level, now, SHANGHAI, unit)
        assert [(row["unit"], row["gateway"], row["shortfalls"]) for row in report.channels] == [
            ("county-01", "gw-1", ["delay"])
        ]
        figures = {figure.name: figure.value for figure in report.figures}
        assert (figures["channels_slow"], figures["channels_good"]) == (1, 0)
    # Not at another unit, and not before.
    assert make_report(site.connection, Span.DAILY, Level.UNIT, now, SHANGHAI, "county-02").channels == ()
    assert make_report(site.connection, Span.DAILY, Level.WORKING, site.now[0], SHANGHAI).channels == ()
    assert watch(site.connection, now, SHANGHAI).begun == 1
    (finding,) = site.connection.execute(
        "select f.fingerprint, u.code from alerts.finding f join grid.unit u using (unit_id) where ended_at is null"
    ).fetchall()
    assert finding == ("channel_slow:county-01/gw-1", "F1")
    # The grid model knows this one, so nobody needs to say what it sends, nor can: two areas of three meters each.
    known = site.probe_good("--meters", "9999", gateway="headend")
    assert (known["meters"], known["blocks"], known["interval_s"]) == (6, 2, 900)
    # It is well again: the finding ends.
    assert site.probe_good("--meters", "400")["shortfalls"] == []
    assert watch(site.connection, datetime.now(UTC), SHANGHAI).ended == 1


def test_a_token_measures_for_its_unit_and_the_centre_tells_why_not(site: Site) -> None:
    _, said = site.probe(site.stack.ports.mqtt, "--meters", "9", "--unit", "county-02")
    assert "county-01 sees itself" in said
    _, said = site.probe(site.stack.ports.mqtt, gateway="site-7")
    assert "grid model has no meters of site-7" in said
    with Centre(site.url, "leader") as centre, pytest.raises(CentreError, match="403"):
        centre.post("channels", {"unit": "county-01", "gateway": "x", "measured_at": "2026-01-01T00:00:00Z", "sent": 1,
                                 "returned": 0})  # fmt: skip
    with Centre(site.url, "nobody") as centre, pytest.raises(CentreError, match="401"):
        centre.clock_offset()


def test_a_broker_that_is_away_is_filed_and_critical(site: Site) -> None:
    with slow_proxy(site.stack.ports.mqtt) as channel:
        port = channel.port
    gone, said = site.probe(port, "--meters", "400")
    assert (gone["shortfalls"], gone["returned"], gone["delay_s"]) == (["unreachable"], 0, None)
    assert "falls short in: unreachable" in said
    watch(site.connection, datetime.now(UTC), SHANGHAI)
    assert site.connection.execute("select severity from alerts.finding").fetchall() == [("critical",)]


def test_without_the_centre_it_is_told_here(stack: StackSpec) -> None:
    set_gateways(stack, ["gw-1"])
    password = stack.secrets_dir / "gateways" / "gw-1"

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "meterline", "probe", "gw-1", "--password-file", str(password), *options]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)

    small = ("--port", str(stack.ports.mqtt), "--count", "5", "--every", "0.01", "--load", "16384")
    answers: list[subprocess.CompletedProcess[str]] = []

    def is_good() -> bool:
        answers.append(run(*small, "--meters", "400"))
        assert answers[-1].returncode in {0, 1}, answers[-1].stderr
        return answers[-1].returncode == 0

    until(is_good, "the channel is good")
    done = answers[-1]
    assert "gw-1: 5 of 5 came back" in done.stdout
    # 400 meters of 112 bytes and a message of 512 more, in 90 s.
    assert "bytes/s (needed 503)" in done.stdout
    much = run(*small, "--meters", "1000000", "--interval", "1", "--json")
    assert (much.returncode, json.loads(much.stdout)["shortfalls"]) == (1, ["throughput"])
    assert run(*small).returncode == 2
    assert run(*small, "--api", "http://127.0.0.1:1").returncode == 2


def test_a_clock_that_is_off_is_found(site: Site) -> None:
    with Centre(site.url, "county1") as centre:
        offset, error = centre.clock_offset(lambda: time.time() + 90)
    assert abs(offset - 90) <= error + 0.01
    assert error < 2
    assert shortfalls(summarise([0.01, 0.01], None, (offset, error)), AREA, Limits()) == (Shortfall.CLOCK,)
