"""The servers that a site works with: TimescaleDB, Kafka and the MQTT broker, asked as Meterline's own accounts."""

from __future__ import annotations

import secrets
import threading
from importlib.resources import files
from typing import Any

import psycopg
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from meterline.settings.section import ConfigError, read_secret
from meterline.settings.servers import DatabaseSection, KafkaSection, MqttSection
from meterline.topics import TOPICS, serves
from sync.rollout.acceptance import Check

_WITHIN_S = 5
_POSTGRESQL = 150_000
#: Without each of these an acknowledged reading can be lost when a machine fails, or a password be read.
_SETTINGS = {
    "fsync": {"on"},
    "full_page_writes": {"on"},
    "synchronous_commit": {"on", "remote_apply", "remote_write", "local"},
    "password_encryption": {"scram-sha-256"},
}
_PACKET = 1 << 20


def check_database(section: DatabaseSection) -> list[Check]:
    """Release, extension, settings that durability rests on, migrations, and that no role may more than it needs."""
    try:
        with psycopg.connect(section.conninfo("app"), connect_timeout=_WITHIN_S) as connection:
            checks = _ask_database(connection)
    except (psycopg.Error, ConfigError) as error:
        return [Check("database", "connection", ok=False, found=_line(error), wanted=f"{section.user} can connect")]
    return [*checks, _check_migrations(section)]


def _ask_database(connection: psycopg.Connection[tuple[Any, ...]]) -> list[Check]:
    def one(statement: str) -> tuple[Any, ...]:
        return connection.execute(statement).fetchone() or (None,)

    (number, shown) = one("select current_setting('server_version_num')::integer, current_setting('server_version')")
    (timescale,) = one("select max(extversion) from pg_extension where extname = 'timescaledb'")
    (edition,) = one("select current_setting('timescaledb.license', true)")
    found = [
        Check("database", "postgresql", number >= _POSTGRESQL, shown, "at least 15"),
        Check(
            "database", "timescaledb", timescale is not None, f"{timescale or 'none'} ({edition or '-'})", "installed"
        ),
    ]
    for name, good in _SETTINGS.items():
        value = connection.execute("select current_setting(%s)", [name]).fetchone()
        shown = "" if value is None else value[0]
        found.append(Check("database", name, shown in good, shown, " or ".join(sorted(good))))
    powers = one(
        "select concat_ws(', ', case when rolsuper then 'superuser' end, case when rolcreaterole then 'createrole' end,"
        " case when rolcreatedb then 'createdb' end, case when rolreplication then 'replication' end,"
        " case when rolbypassrls then 'bypassrls' end) from pg_roles where rolname = current_user"
    )[0]
    return [*found, Check("database", "rights of the application", not powers, powers or "ordinary", "ordinary")]


def _check_migrations(section: DatabaseSection) -> Check:
    ours = {
        path.name.removesuffix(".sql")
        for path in (files("store") / "migrations").iterdir()
        if path.name.endswith(".sql")
    }
    try:
        with psycopg.connect(section.conninfo("owner"), connect_timeout=_WITHIN_S) as connection:
            applied = {row[0] for row in connection.execute("select migration_id from public._yoyo_migration")}
    except (psycopg.Error, ConfigError) as error:
        return Check("database", "migrations", ok=False, found=_line(error), wanted="all applied")
    missing, unknown = sorted(ours - applied), sorted(applied - ours)
    said = ", ".join([*(f"{name} is missing" for name in missing), *(f"{name} is unknown" for name in unknown)])
    return Check("database", "migrations", not said, said or f"{len(ours)}, all applied", "all applied, and no other")


def check_kafka(section: KafkaSection) -> list[Check]:
    """Brokers, and each topic's partitions, replicas and settings."""
    try:
        admin = KafkaAdminClient(bootstrap_servers=section.bootstrap, bootstrap_timeout_ms=_WITHIN_S * 1_000)
        try:
            return _ask_kafka(admin, section)
        finally:
            admin.close()
    except KafkaError as error:
        return [Check("middleware", "kafka", ok=False, found=_line(error), wanted=f"answers at {section.bootstrap}")]


def _ask_kafka(admin: KafkaAdminClient, section: KafkaSection) -> list[Check]:
    brokers = admin.describe_cluster()["brokers"]
    wanted = f"at least {section.replication} brokers"
    checks = [Check("middleware", "kafka brokers", len(brokers) >= section.replication, str(len(brokers)), wanted)]
    broker = str(brokers[0]["node_id"] if "node_id" in brokers[0] else brokers[0]["broker_id"])
    kinds = ConfigResourceType
    (auto,) = admin.describe_configs([ConfigResource(kinds.BROKER, broker)], config_filter="all")["broker"].values()
    value = auto["auto.create.topics.enable"]["value"]
    checks.append(Check("middleware", "kafka auto.create.topics.enable", value == "false", value, "false"))
    there = set(admin.list_topics())
    present = sorted(set(TOPICS) & there)
    settings = admin.describe_configs([ConfigResource(kinds.TOPIC, name) for name in present], config_filter="all")
    by_name = {topic["name"]: topic for topic in admin.describe_topics(present)} if present else {}
    for name, needed in TOPICS.items():
        if name not in there:
            checks.append(Check("middleware", f"topic {name}", ok=False, found="not there", wanted="there"))
            continue
        partitions = by_name[name]["partitions"]
        replicas = min(len(partition["replica_nodes"]) for partition in partitions)
        faults = [
            f"{key}={settings['topic'][name][key]['value']} instead of {value}"
            for key, value in needed.items()
            if not serves(key, settings["topic"][name][key]["value"], value)
        ]
        if len(partitions) != section.partitions:
            faults.append(f"{len(partitions)} partitions instead of {section.partitions}")
        if replicas < section.replication:
            faults.append(f"{replicas} replicas instead of {section.replication}")
        checks.append(
            Check("middleware", f"topic {name}", not faults, "; ".join(faults) or "as configured", "as configured")
        )
    return checks


def check_mqtt(section: MqttSection) -> list[Check]:
    """The broker takes the bridge's account, and nobody without the right password."""
    try:
        password = read_secret(section.password_file)
    except ConfigError as error:
        return [Check("middleware", "mqtt account", ok=False, found=_line(error), wanted="accepted")]
    answer, packet = _connect(section, section.username, password)
    checks = [
        Check("middleware", "mqtt account", answer == "", answer or "accepted", "accepted"),
        Check(
            "middleware", "mqtt packet size", packet is None or packet >= _PACKET,
            "no limit" if packet is None else str(packet), f"at least {_PACKET}",
        ),
    ]  # fmt: skip
    if answer:
        return checks[:1]
    for name, username, wrong in (
        ("mqtt without an account", None, None),
        ("mqtt with a wrong password", section.username, secrets.token_urlsafe(16)),
    ):
        refused, _ = _connect(section, username, wrong)
        checks.append(Check("middleware", name, refused != "", refused or "accepted", "refused"))
    return checks


def _connect(section: MqttSection, username: str | None, password: str | None) -> tuple[str, int | None]:
    """Why the broker refuses, empty where it doesn't; and its largest packet."""
    answered, answers = threading.Event(), [("it doesn't answer", None)]

    def on_connect(_client: Client, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
        largest = getattr(properties, "MaximumPacketSize", None)
        answers.append((str(reason) if reason.is_failure else "", largest))
        answered.set()

    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    client.connect_timeout = _WITHIN_S
    client.on_connect = on_connect
    if username is not None:
        client.username_pw_set(username, password)
    try:
        if section.ca_file is not None:
            client.tls_set(ca_certs=str(section.ca_file))
        client.connect(section.host, section.port, keepalive=10)
    except OSError as error:
        return _line(error), None
    client.loop_start()
    answered.wait(_WITHIN_S)
    client.disconnect()
    client.loop_stop()
    return answers[1] if len(answers) > 1 else answers[0]


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:200]
