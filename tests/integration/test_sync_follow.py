"""Changes that come over Kafka as Debezium's envelopes, and tables of another database, by command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kafka
import psycopg
from kafka.admin import NewTopic
from typer.testing import CliRunner

from meterline.cli import app
from meterline.config import Settings
from store.connection import connect

TOPIC = "sync.test.changes"


def envelope(op: str, key: int, name: str | None, at_ms: int) -> bytes:
    row = {"id": key, "name": name}
    before, after = (row, None) if op == "d" else (None, row)
    source = {"table": "equipment", "ts_ms": at_ms}
    return json.dumps({"payload": {"op": op, "before": before, "after": after, "source": source}}).encode()


def call(config_path: Path, *arguments: str) -> Any:
    done = CliRunner().invoke(app, ["sync", *arguments, "--config", str(config_path), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_changes_of_a_topic_become_records_once(settings: Settings, config_path: Path) -> None:
    admin = kafka.KafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)
    admin.create_topics([NewTopic(TOPIC, num_partitions=2, replication_factor=1)])
    admin.close()
    producer = kafka.KafkaProducer(bootstrap_servers=settings.kafka.bootstrap, acks="all")
    messages = [("c", 1, "a", 1_000), ("c", 2, "b", 2_000), ("u", 1, "c", 3_000), ("d", 2, None, 4_000)]
    for op, key, name, at_ms in messages:
        producer.send(TOPIC, envelope(op, key, name, at_ms), key=str(key).encode())
    producer.flush()
    follow = ("follow", TOPIC, "--system", "erp", "--key", "id", "--dataset", "equipment=assets", "--once")
    taken = call(config_path, *follow)
    assert taken["records"] == 4
    with connect(settings.database.conninfo("app"), "test") as connection:
        rows = connection.execute(
            "select dataset, key, body ->> 'name', lower(valid) from sync.record "
            "where system = 'erp' and upper_inf(recorded)"
        ).fetchall()
    assert [row[:3] for row in rows] == [("assets", "1", "c")]
    assert rows[0][3].timestamp() == 3.0
    producer.send(TOPIC, b"no envelope")
    producer.flush()
    refused = CliRunner().invoke(app, ["sync", *follow, "--config", str(config_path)])
    assert refused.exit_code == 1
    assert "not an envelope" in refused.output
    assert call(config_path, *follow, "--in-part")["refused"] == 1
    assert call(config_path, *follow)["records"] == 0


def test_a_table_is_taken_by_command_and_then_what_is_new(
    settings: Settings, config_path: Path, tmp_path: Path
) -> None:
    conninfo = settings.database.conninfo("owner")
    file = tmp_path / "source.conninfo"
    file.write_text(conninfo)
    with psycopg.connect(conninfo, autocommit=True) as source:
        source.execute(
            "create table public.erp_area (id int primary key, name text, changed timestamptz, "
            "until timestamptz default 'infinity', since date default '0044-03-15 BC')"
        )
        source.execute("insert into public.erp_area values (1, 'a', '2026-01-01Z'), (2, 'b', '2026-01-02Z')")
        take = ("take-table", "public.erp_area", "--system", "erp2", "--conninfo-file", str(file), "--key", "id")
        first = call(config_path, *take, "--changed", "changed")
        assert (first["since"], first["added"]) == (None, 2)
        source.execute("update public.erp_area set name = 'c', changed = '2026-01-03Z' where id = 1")
        second = call(config_path, *take, "--changed", "changed")
        assert (second["records"], second["changed"], second["removed"]) == (2, 1, 0)
        with connect(settings.database.conninfo("app"), "test") as connection:
            said = connection.execute(
                "select body ->> 'until', body ->> 'since' from sync.record "
                "where system = 'erp2' and key = '1' and upper_inf(recorded)"
            ).fetchall()
        assert said == [("infinity", "0044-03-15 BC")]
        source.execute("delete from public.erp_area where id = 2")
        whole = call(config_path, *take)
        assert (whole["records"], whole["removed"]) == (1, 1)
        source.execute("drop table public.erp_area")
    gone = CliRunner().invoke(app, ["sync", *take, "--config", str(config_path)])
    assert gone.exit_code == 1
    assert "erp_area" in gone.output
