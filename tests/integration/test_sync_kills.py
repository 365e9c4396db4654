"""The sync service is killed again and again while changes are made: each target ends equal to the model."""

from __future__ import annotations

import base64
import json
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from kafka.admin import KafkaAdminClient, NewTopic

from meterline.config import load_settings
from meterline.sync_targets import make_subscribers
from meterline.topics import ensure_topics
from store.connection import connect
from store.sync_targets import count_owed
from sync.change import apply_change, read_change
from sync.load import load_grid
from sync.reconcile import reconcile
from tests.copy_receiver import keep_copy
from tests.small_grid import small_model
from tests.waiting import PATIENCE_S
from tests.webhook_receiver import SECRET

KILLS = 10
OF_CHANGES = "from grid.outbox where aggregatetype <> 'resettle'"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kill_9_of_the_service_loses_and_doubles_nothing(
    stack: Any, config_path: Path, database: Any, make_database: Any, tmp_path: Path
) -> None:
    ensure_topics(f"127.0.0.1:{stack.ports.kafka}", 8, 1)
    topic = f"copy-{uuid4().hex[:8]}"
    admin = KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{stack.ports.kafka}")
    admin.create_topics([NewTopic(topic, 2, 1, topic_configs={"cleanup.policy": "compact"})])
    admin.close()
    copy = make_database().conninfo("owner")
    (tmp_path / "conninfo").write_text(copy)
    (tmp_path / "secret").write_text(base64.b64encode(SECRET).decode())
    drawn = random.Random(11)  # noqa: S311
    with keep_copy() as receiver:
        config = tmp_path / "config.toml"
        config.write_text(
            config_path.read_text()
            + f"""
[[sync.targets]]
name = "billing"
type = "webhook"
url = "{receiver.url}"
read_url = "{receiver.url}"
secret_file = "{tmp_path}/secret"
allow_private = true
[[sync.targets]]
name = "events"
type = "kafka"
topic = "{topic}"
[[sync.targets]]
name = "table"
type = "postgres"
conninfo_file = "{tmp_path}/conninfo"
table = "copy"
[[sync.targets]]
name = "files"
type = "csv"
path = "{tmp_path}/files"
[[sync.targets]]
name = "network"
type = "cim"
path = "{tmp_path}/network.xml"
"""
        )
        environment = {"METERLINE_DATABASE__NAME": database.section.name, "PATH": "/usr/bin:/bin"}
        command = [sys.executable, "-m", "meterline", "sync", "deliver", "--config", str(config)]
        with connect(database.conninfo("app"), "test") as connection, (tmp_path / "log").open("wb") as log:
            connection.autocommit = True
            load_grid(connection, small_model())
            for number in range(KILLS):
                service = subprocess.Popen(
                    command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                deadline = time.monotonic() + drawn.uniform(1.5, 6.0)
                while time.monotonic() < deadline:
                    unit = drawn.choice(["A1", "A2", "F1", "F2"])
                    said = {"kind": "unit_name", "unit": unit, "name": f"{number} {drawn.random():.6f}"}
                    apply_change(connection, read_change(json.dumps(said).encode()))
                    # One of an entity is on its way at a time: more would only queue up.
                    time.sleep(0.25)
                service.send_signal(signal.SIGKILL)
                service.wait()
                # Its leases would last a minute.
                connection.execute("update sync.delivery set due_at = now() where delivered_at is null")
            service = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=log)
            names = ("billing", "events", "table", "files", "network")
            deadline = time.monotonic() + 180
            relayed = f"select max(outbox_id) >= (select max(id) {OF_CHANGES}) from sync.relay"
            while connection.execute(relayed).fetchone() != (True,) or any(count_owed(connection, n) for n in names):
                if time.monotonic() > deadline:
                    service.kill()
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()[-2_000:]
                time.sleep(0.2)
            service.send_signal(signal.SIGTERM)
            service.wait(PATIENCE_S)
            changes = connection.execute(
                "select count(*) from grid.outbox where aggregatetype <> 'resettle'"
            ).fetchone()
            for subscriber in make_subscribers(load_settings(config), threading.Event()):
                done = reconcile(connection, subscriber, lambda: datetime.now(UTC))
                assert (done.drifted, done.waiting) == (0, 0), subscriber.name
            assert changes is not None
            assert set(receiver.effects.values()) == {1}
            assert len(receiver.effects) == changes[0]
            with psycopg.connect(copy) as other:
                taken = other.execute("select count(*), count(distinct delivery_id) from copy_taken").fetchone()
            assert taken == (changes[0], changes[0])
