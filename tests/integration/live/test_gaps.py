"""Gaps on real servers: kept by the store, shown to operators, asked for, and filled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import psycopg
import pytest

from deploy.boards.macros import expand
from deploy.boards.panels.pipeline import GAPS
from deploy.stack import StackSpec, pid_of, set_gateways, start_programs, stop_programs
from grid.numbering import Gap, Numbering
from meterline.bootstrap import opener
from meterline.config import Settings
from meterline.ready import wait_until_ready
from meterline.settings.section import read_secret
from store.connection import Connection, connect
from store.gaps import StoredGapLedger, list_gaps
from sync.load import load_grid
from tests.answering_gateway import AnsweringGateway
from tests.integration.conftest import Database
from tests.small_grid import small_model
from tests.waiting import until

MINUTE_US = 60_000_000
NOW_US = int(time.time()) * 1_000_000


def test_what_is_saved_is_loaded_and_only_what_can_be_asked_for(database: Database) -> None:
    open_connection = partial(connect, database.conninfo("app"), "test")
    ledger = StoredGapLedger(open_connection)
    numberings = [Numbering("a", 2, NOW_US, 0, 2**62 - 1, 7), Numbering("b", 1, NOW_US, 5, 9)]
    still_open = Gap("a", 2, 3, 2**62 - 2, ((3, 4), (2**61, 2**62 - 2)), NOW_US, 2, NOW_US + 1, 1)
    gaps = [
        still_open,
        Gap("a", 1, 3, 3, ((3, 3),), NOW_US),
        Gap("b", 1, 6, 7, (), NOW_US, 1, NOW_US, 0, NOW_US + MINUTE_US),
    ]
    for _ in range(2):
        assert ledger.save(numberings, gaps)
    assert ledger.load() == (numberings, [still_open])
    # A writer that was delayed doesn't take the numbers back.
    assert ledger.save([Numbering("a", 1, NOW_US, 0, 99)], [])
    assert sorted(ledger.load()[0], key=lambda n: n.gateway) == numberings
    ledger.close()
    with open_connection() as connection:
        rows = {(row.gateway, row.numbering): row for row in list_gaps(connection)}
        assert {key: (row.missing, row.out_of_reach) for key, row in rows.items()} == {
            ("a", 1): (1, True),
            ("a", 2): (2 + 2**61 - 1, False),
            ("b", 1): (0, False),
        }
        assert {row.gateway for row in list_gaps(connection, only_open=True)} == {"a"}
        assert [row.numbering for row in list_gaps(connection, gateway="b")] == [1]
        assert len(list_gaps(connection, limit=1)) == 1


def test_a_store_that_is_away_is_told_and_tried_again(database: Database) -> None:
    connections: list[Connection] = []

    def open_connection() -> Connection:
        connections.append(connect(database.conninfo("app"), "test"))
        return connections[-1]

    ledger = StoredGapLedger(open_connection)
    assert ledger.save([Numbering("a", 1, NOW_US, 0, 1)], [])
    connections[0].close()
    assert not ledger.save([Numbering("a", 1, NOW_US, 0, 2)], [])
    assert ledger.save([Numbering("a", 1, NOW_US, 0, 2)], [])
    assert len(connections) == 2
    ledger.close()


def test_what_is_long_past_is_forgotten(database: Database) -> None:
    ledger = StoredGapLedger(partial(connect, database.conninfo("app"), "test"))
    day_us = 86_400_000_000
    old, very_old = NOW_US - 31 * day_us, NOW_US - 401 * day_us
    ledger.save(
        [Numbering("a", 1, very_old, 0, 9)],
        [
            Gap("a", 1, 1, 1, (), old, filled_at_us=old),
            Gap("a", 1, 2, 2, ((2, 2),), old),
            Gap("a", 1, 3, 3, ((3, 3),), very_old),
        ],
    )
    assert [gap.first for gap in ledger.load()[1]] == [2]
    ledger.close()


def test_the_panel_shows_open_gaps_by_gateway(database: Database) -> None:
    ledger = StoredGapLedger(partial(connect, database.conninfo("app"), "test"))
    ledger.save(
        [Numbering("a", 2, NOW_US, 0, 9), Numbering("b", 1, NOW_US, 0, 9)],
        [
            Gap("a", 2, 1, 4, ((1, 4),), NOW_US, 3, NOW_US, 2),
            Gap("a", 1, 7, 7, ((7, 7),), NOW_US),
            Gap("b", 1, 2, 2, (), NOW_US, filled_at_us=NOW_US),
        ],
    )
    ledger.close()
    now = datetime.now(UTC)
    statement = expand(GAPS.sql, now - timedelta(hours=1), now, timedelta(minutes=1))
    with psycopg.connect(database.conninfo("board")) as board:
        ((gateway, gaps, missing, fruitless, out_of_reach, age_s),) = board.execute(statement.encode()).fetchall()
    assert (gateway, gaps, missing, fruitless, out_of_reach) == ("a", 2, 5.0, 2, 1)
    # The gaps are as old as this file's reading, which may be long ago in a long run of tests.
    assert age_s == pytest.approx(now.timestamp() - NOW_US / 1e6, abs=60)


@pytest.fixture(scope="module")
def pipeline(stack: StackSpec, settings: Settings) -> Iterator[Settings]:
    """Bridge and worker, with little patience, on the stack's own database with the small grid."""
    local = stack.home / "local.toml"
    local.write_text("[ingest]\ngap_wait_s = 1.0\ngap_outstanding = 20\ngather_linger_s = 0.1\n")
    with opener(settings, "test")() as connection:
        load_grid(connection, small_model())
    set_gateways(stack, ["headend", "rtu"])
    start_programs(stack, ["bridge", "worker"])
    try:
        wait_until_ready(settings, 1)
        yield settings
    finally:
        stop_programs(stack, ["bridge", "worker"])
        local.unlink()


def gateway_of(settings: Settings, account: str, **options: Any) -> AnsweringGateway:
    assert settings.mqtt.gateway_passwords_dir is not None
    password = read_secret(settings.mqtt.gateway_passwords_dir / account)
    return AnsweringGateway(settings.mqtt.host, settings.mqtt.port, account, password, **options)


def minute(back: int) -> str:
    start = int(time.time()) // 60 * 60
    return datetime.fromtimestamp(start - 60 * back, UTC).isoformat()


def gaps_of(settings: Settings, *options: str) -> list[dict[str, Any]]:
    """What the command prints."""
    command = [sys.executable, "-m", "meterline", "gaps", "list", "--json", *options]
    assert settings.stack is not None
    environment = {**os.environ, "METERLINE_CONFIG": str(settings.stack.home / "config.toml")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return list(json.loads(done.stdout))


def metric(stack: StackSpec, name: str) -> float | None:
    """Value of one of the bridge's metrics; None while it is being started again."""
    try:
        text = httpx.get(f"http://127.0.0.1:{stack.ports.bridge_ops}/metrics").text
    except httpx.ConnectError:
        return None
    values = {line.split()[0]: float(line.split()[-1]) for line in text.splitlines() if not line.startswith("#")}
    assert name in values, text
    return values[name]


@pytest.mark.timeout(600)
def test_what_was_lost_on_the_way_is_asked_for_and_arrives(stack: StackSpec, pipeline: Settings) -> None:
    # Every third message is lost, and a whole stretch; the bridge is killed in the middle.
    loses = [True]
    gateway = gateway_of(pipeline, "headend", loses=lambda n: loses[0] and (n % 3 == 1 or 120 <= n < 160), first=8)
    gateway.answers = False
    base = minute(1)
    at = [(datetime.fromisoformat(base) - timedelta(minutes=n)).isoformat() for n in range(100)]
    meters = ("A1-master", "A1-m1", "A1-m2")
    sent = {}
    try:
        assert gateway.refused == []
        for n in range(300):
            fields = {"observed_at": at[n // 3], "interval_s": 60, "meter": [meters[n % 3]], "import_wh": [n]}
            gateway.send("A1", fields)
            sent[meters[n % 3], at[n // 3]] = n
            if n == 150:
                time.sleep(2)
                pid = pid_of(stack, "bridge")
                assert pid is not None
                os.kill(pid, signal.SIGKILL)

        # It goes on: what comes tells of all before it, and only who is heard is asked.
        def go_on() -> None:
            for _ in range(2):
                gateway.send("A2", {"observed_at": at[0], "interval_s": 60, "meter": ["A2-m1"], "import_wh": [1]})

        go_on()
        # Meanwhile the gaps can be seen, and asking goes on.
        open_gaps = until(lambda: gaps_of(pipeline, "--open", "--gateway", "headend"), "gaps are seen")
        assert all(gap["missing"] > 0 and gap["state"] in ("waiting", "asked") for gap in open_gaps)
        until(lambda: gateway.requests, "the gateway is asked")
        until(lambda: metric(stack, "meterline_bridge_gaps_open"), "the bridge counts them")

        gateway.answers = True
        with opener(pipeline, "test")() as connection:
            connection.autocommit = True

            def stored() -> dict[tuple[str, str], int]:
                rows = connection.execute(
                    "select meter, observed_at, import_wh from telemetry.reading"
                    " where unit = 'A1' and import_wh is not null"
                )
                return {(meter, seen.isoformat()): int(wh) for meter, seen, wh in rows}

            def arrived() -> bool:
                go_on()
                time.sleep(0.2)
                found = stored()
                return all(key in found for key in sent)

            until(arrived, "what was lost has arrived", 240)
            found = stored()
            expected = {(m, t): n * (60 if m == "A1-master" else 1) for (m, t), n in sent.items()}
            assert {key: found[key] for key in sent} == expected
        loses[:] = [False]
        gateway.send("A2", {"observed_at": at[0], "interval_s": 60, "meter": ["A2-m1"], "import_wh": [1]})
        until(lambda: not gaps_of(pipeline, "--open", "--gateway", "headend"), "no gap is open")
        closed = gaps_of(pipeline, "--gateway", "headend")
        assert {gap["state"] for gap in closed} == {"filled"}
        assert metric(stack, "meterline_bridge_gaps_open") == 0
        assert (metric(stack, "meterline_bridge_gathered_total") or 0) > 0
    finally:
        gateway.close()


def test_a_counter_that_starts_anew_is_noticed_and_is_no_gap(stack: StackSpec, pipeline: Settings) -> None:
    gateway = gateway_of(pipeline, "rtu", first=2**59, loses=lambda n: n == 2**59 + 1)
    gateway.answers = False
    fields = {"interval_s": 60, "meter": ["F1-head"], "import_wh": [1]}
    try:
        for n in range(3):
            gateway.send("F1", {**fields, "observed_at": minute(n + 1)})
        until(lambda: gaps_of(pipeline, "--gateway", "rtu"))
        gateway.restart()
        for n in range(3):
            gateway.send("F1", {**fields, "observed_at": minute(n + 10)})
        with opener(pipeline, "test")() as connection:
            connection.autocommit = True
            query = (
                "select numbering, first_sequence, last_sequence from telemetry.gateway_sequence where gateway = 'rtu'"
            )
            until(lambda: connection.execute(query).fetchall() == [(2, 0, 2)])
        (gap,) = gaps_of(pipeline, "--gateway", "rtu", "--open")
        assert (gap["first_sequence"], gap["missing"], gap["state"]) == (2**59 + 1, 1, "out of reach")
    finally:
        gateway.close()


def test_a_gateway_reads_its_own_requests_only_and_writes_none(pipeline: Settings) -> None:
    mqtt = pipeline.mqtt
    rtu = gateway_of(pipeline, "rtu")
    asker = AnsweringGateway(mqtt.host, mqtt.port, mqtt.username, read_secret(mqtt.password_file))
    try:
        for topic in ("meterline/v1/headend/request", "meterline/v1/+/request", "meterline/v1/headend/block/A1"):
            rtu.subscribe(topic)
        for account in ("rtu", "headend"):
            assert not rtu.publish(f"meterline/v1/{account}/request", b'{"kind": "forged"}')
        for account in ("headend", "rtu"):
            assert asker.publish(f"meterline/v1/{account}/request", f'{{"kind": "for {account}"}}'.encode())
        until(lambda: rtu.seen)
        time.sleep(0.5)
        assert set(rtu.seen) == {b'{"kind": "for rtu"}'}
    finally:
        asker.close()
        rtu.close()
