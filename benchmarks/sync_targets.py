"""Changes at a steady rate: how long until each is visible in all four targets and read back.

On servers of its own: ``python -m benchmarks.sync_targets --seconds 600 --rate 50 --json``. Webhook, Kafka, PostgreSQL
and CSV; the webhook's receiver and the service share the machine with the servers.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil
from kafka.admin import KafkaAdminClient, NewTopic

from benchmarks.stack import benchmark_stack
from meterline.bootstrap import opener
from meterline.city import make_city
from meterline.config import Settings, load_settings
from meterline.sync_targets import make_subscribers
from store.connection import Connection
from store.sync_targets import count_owed
from sync.change import apply_change, read_change
from sync.load import load_grid
from sync.reconcile import owe_repairs, reconcile
from tests.copy_receiver import keep_copy
from tests.webhook_receiver import SECRET

TARGETS = ("webhook", "kafka", "postgres", "csv")
_TOPIC = "benchmark-copy"
_DELAYS = """
select
  count(*)::integer,
  percentile_cont(0.5) within group (order by delay),
  percentile_cont(0.99) within group (order by delay),
  max(delay)
from (
  select extract(epoch from max(d.read_at) - c.recorded_at)::float8 as delay
  from sync.delivery d
  join grid.outbox c on c.id = d.outbox_id
  where c.recorded_at >= %s and d.read_at is not null
  group by c.id, c.recorded_at
  having count(*) = 4
) e
"""


@contextmanager
def service(settings_path: Path, url: str, settings: Settings, folder: Path) -> Iterator[tuple[Path, psutil.Process]]:
    """The sync service as a process of its own, with the four targets."""
    (folder / "secret").write_text(b64encode(SECRET).decode())
    (folder / "conninfo").write_text(settings.database.conninfo("owner"))
    path = folder / "config.toml"
    path.write_text(
        settings_path.read_text()
        + f"""
[[sync.targets]]
name = "webhook"
type = "webhook"
url = "{url}"
read_url = "{url}"
secret_file = "{folder}/secret"
allow_private = true
[[sync.targets]]
name = "kafka"
type = "kafka"
topic = "{_TOPIC}"
[[sync.targets]]
name = "postgres"
type = "postgres"
conninfo_file = "{folder}/conninfo"
table = "public.benchmark_copy"
[[sync.targets]]
name = "csv"
type = "csv"
path = "{folder}/files"
"""
    )
    command = [sys.executable, "-m", "meterline", "sync", "deliver", "--config", str(path)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield path, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(30)


def changes(connection: Connection, rate: float, seconds: float, seed: int) -> int:
    """Make changes of units, meters and accounts at a steady rate; returns how many."""
    drawn = random.Random(seed)  # noqa: S311
    codes = {
        name: [row[0] for row in connection.execute(f"select code from grid.{name} order by code limit 2000")]  # noqa: S608
        for name in ("unit", "meter", "account")
    }
    started, made = time.monotonic(), 0
    while (passed := time.monotonic() - started) < seconds:
        if made >= passed * rate:
            time.sleep(0.002)
            continue
        kind = drawn.randrange(3)
        if kind == 0:
            said: dict[str, object] = {"kind": "unit_name", "unit": drawn.choice(codes["unit"])}
            said["name"] = f"name {drawn.random():.9f}"
        elif kind == 1:
            said = {"kind": "meter_class", "meter": drawn.choice(codes["meter"]), "valid_from": _now()}
            said["accuracy_class"] = round(drawn.uniform(0.1, 3), 6)
        else:
            said = {"kind": "account_contract", "account": drawn.choice(codes["account"])}
            said["contract_w"] = drawn.randrange(1_000, 1_000_000)
        if apply_change(connection, read_change(json.dumps(said).encode())).outbox_id is not None:
            made += 1
    return made


def _now() -> str:
    return datetime.now(UTC).isoformat()


def main() -> None:
    """Print the delays."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rate", type=float, default=50, help="changes a second")
    parser.add_argument("--areas", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with benchmark_stack() as (spec, settings), tempfile.TemporaryDirectory() as name, keep_copy() as receiver:
        admin = KafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)
        admin.create_topics([NewTopic(_TOPIC, 4, 1, topic_configs={"cleanup.policy": "compact"})])
        admin.close()
        with opener(settings, "benchmark")() as connection:
            connection.autocommit = True
            load_grid(connection, make_city("demonstration", areas=arguments.areas, events="none").recorded)
            with service(spec.config_path, receiver.url, settings, Path(name)) as (config, process):
                _wait(connection)
                # The network's equipment isn't told when a model is loaded: a repair brings it.
                for subscriber in make_subscribers(load_settings(config), threading.Event()):
                    reconcile(connection, subscriber, lambda: datetime.now(UTC))
                    owe_repairs(connection, subscriber.name)
                _wait(connection)
                begun, spent = datetime.now(UTC), process.cpu_times()
                started = time.monotonic()
                made = changes(connection, arguments.rate, arguments.seconds, 1)
                took = time.monotonic() - started
                _wait(connection)
                after = process.cpu_times()
                count, p50, p99, worst = connection.execute(_DELAYS, [begun]).fetchone() or (0, 0, 0, 0)
            compared = [
                reconcile(connection, subscriber, lambda: datetime.now(UTC))
                for subscriber in make_subscribers(load_settings(config), threading.Event())
            ]
    row = {
        "changes": made,
        "a_second": round(made / took, 1),
        "visible_and_read_back": count,
        "p50_s": round(p50, 3),
        "p99_s": round(p99, 3),
        "worst_s": round(worst, 3),
        "service_cores": round((after.user + after.system - spent.user - spent.system) / took, 2),
        "entities": compared[0].compared,
        "drifted": sum(each.drifted for each in compared),
        "doubled": sum(count - 1 for count in receiver.effects.values()),
    }
    if arguments.json:
        print(json.dumps(row, indent=2))
    else:
        print(", ".join(f"{key} {value}" for key, value in row.items()))


def _wait(connection: Connection, within_s: float = 300.0) -> None:
    """Until nothing is owed to a target, and all of the outbox is relayed."""
    deadline = time.monotonic() + within_s
    relayed = "select (select max(outbox_id) from sync.relay) >= (select max(id) from grid.outbox)"
    while connection.execute(relayed).fetchone() != (True,) or any(count_owed(connection, t) for t in TARGETS):
        if time.monotonic() > deadline:
            raise TimeoutError(str([(t, count_owed(connection, t)) for t in TARGETS]))
        time.sleep(0.2)


if __name__ == "__main__":
    main()
