"""Settings files of the servers and of Meterline, each a function from the stack's place to text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.stack.accounts import TOKENS_FILE
from deploy.stack.spec import StackSpec

MIB: Final = 1 << 20
# The bridge refuses what is over its own limit, with the original bytes kept; the broker's and Kafka's lie above it.
MQTT_PACKET_MAX: Final = 16 * MIB
KAFKA_MESSAGE_MAX: Final = 24 * MIB
MAX_LOCKS_PER_TRANSACTION: Final = 256


def broker_memory_mib(memory_mib: int, queue_mib: int) -> int:
    """How much the broker may take: a quarter of the machine, 0.5…4 GiB, and always room for what it has on disk.

    A broker at its limit takes nothing and, seen, hands nothing out either: a reader's connection needs memory too. It
    keeps what it has; started again with room for it, it handed out all of it.
    """
    usual = max(512, min(4096, memory_mib // 4))
    return usual if queue_mib < usual // 2 else 2 * queue_mib + usual


def mosquitto_conf(spec: StackSpec, *, memory_mib: int, queue_mib: int = 0, as_root: bool) -> str:
    """Settings of the broker. Queues have no bound of their own: over one, Mosquitto drops what it has acknowledged.

    Parameters
    ----------
    memory_mib
        Memory of the machine.
    queue_mib
        Size of the queue that the broker has on disk.
    as_root
        Whether it is started by root.
    """
    home = spec.home / "mosquitto"
    return f"""\
# Written by Meterline at each start.
listener {spec.ports.mqtt} 127.0.0.1
allow_anonymous false
password_file {home / "passwords"}
acl_file {home / "acl"}
{"user root" if as_root else "# started by an ordinary user, so there is no user to change to"}

# A session and its queue outlive the broker; the file is small while the bridge keeps up.
persistence true
persistence_location {home}/data/
autosave_interval 2
persistent_client_expiration 7d

# 0 is "no limit". Both would drop in silence what the sender holds an acknowledgement for; memory_limit instead
# breaks the sender's connection, so that it keeps the message and sends it again. See broker_memory_mib.
max_queued_messages 0
max_queued_bytes 0
memory_limit {broker_memory_mib(memory_mib, queue_mib) * MIB}

# max_packet_size breaks the connection of who exceeds it; message_size_limit would acknowledge and drop.
max_packet_size {MQTT_PACKET_MAX}
max_inflight_messages 1000
set_tcp_nodelay true

log_dest stderr
log_type error
log_type warning
log_type notice
connection_messages false
"""


def mosquitto_acl() -> str:
    """A gateway writes below its own name and reads what it is asked; the bridge reads all, asks, and is seen.

    What a gateway writes to ``probe/echo`` it reads itself, to measure its channel; ``probe/load`` nobody reads.
    """
    return """\
user bridge
topic read meterline/v1/#
topic write meterline/v1/+/request
topic readwrite meterline/status/bridge

pattern write meterline/v1/%u/block/+
pattern write meterline/v1/%u/points/+
pattern write meterline/v1/%u/event/+
pattern read meterline/v1/%u/request
pattern readwrite meterline/v1/%u/probe/echo
pattern write meterline/v1/%u/probe/load
"""


def kafka_properties(spec: StackSpec) -> str:
    """Settings of a single Kafka node that is its own controller."""
    ports = spec.ports
    return f"""\
# Written by Meterline at each start.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{ports.kafka_controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{ports.kafka},CONTROLLER://127.0.0.1:{ports.kafka_controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{ports.kafka}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={spec.home / "kafka" / "data"}

# Topics are made by name, with their partitions; a misspelt one must not come into being.
auto.create.topics.enable=false
num.partitions=8
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# A node that was killed is let in again when its last session has ended.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500

message.max.bytes={KAFKA_MESSAGE_MAX}
replica.fetch.max.bytes={KAFKA_MESSAGE_MAX}
socket.request.max.bytes={4 * KAFKA_MESSAGE_MAX}

# A developer's disk: two days or 2 GiB a partition, whichever ends first.
log.retention.hours=48
log.retention.bytes={2048 * MIB}
log.segment.bytes={256 * MIB}
log.cleaner.dedupe.buffer.size={32 * MIB}
"""


def kafka_log4j2(spec: StackSpec) -> str:
    """Kafka's log: warnings and what it is started with, in one bounded file."""
    log = spec.log_dir / "kafka-server.log"
    return f"""\
status = error
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {log}
appender.file.filePattern = {log}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{ISO8601}} %p %m (%c)%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
rootLogger.level = warn
rootLogger.appenderRef.file.ref = file
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
"""


def postgresql_conf(spec: StackSpec, *, memory_mib: int) -> str:
    """Settings of PostgreSQL; commits are durable, because an acknowledgement rests on them."""
    shared = max(128, min(1024, memory_mib // 8))
    return f"""\
# Written by Meterline at each start.
listen_addresses = '127.0.0.1'
port = {spec.ports.postgres}
# Everything goes over TCP: inside a root file system of its own a socket would be hard to find.
unix_socket_directories = ''
max_connections = 100
# A transaction locks each chunk that it touches with its indexes, and up to 256 units besides.
max_locks_per_transaction = {MAX_LOCKS_PER_TRANSACTION}
password_encryption = 'scram-sha-256'

shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = off
max_worker_processes = 16
# /dev/shm is not there in every root file system.
dynamic_shared_memory_type = sysv

shared_buffers = {shared}MB
effective_cache_size = {max(256, memory_mib // 3)}MB
work_mem = 16MB
maintenance_work_mem = 128MB
jit = off

synchronous_commit = on
wal_compression = lz4
max_wal_size = 4GB
min_wal_size = 512MB
checkpoint_timeout = 15min
random_page_cost = 1.1
default_toast_compression = 'lz4'

timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d '
log_min_duration_statement = 5s
log_checkpoints = off
"""


def hba_conf() -> str:
    """Who may connect to PostgreSQL: over TCP from this machine, with a password."""
    return "# Written by Meterline at each start.\nhost all all 127.0.0.1/32 scram-sha-256\n"


def config_toml(spec: StackSpec) -> str:
    """Meterline's own settings file for this stack."""
    secret = spec.secret_path
    return f"""\
# Written by Meterline at each start of the stack.
[stack]
home = "{spec.home}"

[mqtt]
host = "127.0.0.1"
port = {spec.ports.mqtt}
username = "bridge"
password_file = "{secret("mqtt-bridge")}"
gateway_passwords_dir = "{secret("gateways")}"

[kafka]
bootstrap = "127.0.0.1:{spec.ports.kafka}"

[database]
host = "127.0.0.1"
port = {spec.ports.postgres}
name = "meterline"
user = "meterline_app"
password_file = "{secret("db-app")}"
owner = "meterline_owner"
owner_password_file = "{secret("db-owner")}"
board = "meterline_board"
board_password_file = "{secret("db-board")}"
revenue_password_file = "{secret("db-revenue")}"

[console]
port = {spec.ports.console}
tokens_file = "{secret(TOKENS_FILE)}"
"""


@dataclass(frozen=True, slots=True)
class Program:
    """One thing that the supervisor keeps up.

    Parameters
    ----------
    name
        Its name in the supervisor.
    command
        Program and arguments.
    priority
        Order of starting; stopping goes the other way.
    settings
        Text of its settings files: when it changes, the supervisor starts the program anew.
    """

    name: str
    command: tuple[str, ...]
    priority: int
    settings: str = ""
    autostart: bool = False
    stop_signal: str = "TERM"
    stop_wait_s: int = 20
    start_s: int = 1
    # Whether the stop goes to the whole group; PostgreSQL's and sudo's children are stopped by their parent.
    stop_group: bool = False
    instances: int = 1
    user: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def program_section(spec: StackSpec, program: Program) -> str:
    """Section of supervisord's settings for one program."""
    environment = {
        "METERLINE_KEPT_BY": spec.key,
        "METERLINE_SETTINGS": hashlib.sha256(program.settings.encode()).hexdigest()[:16],
        **program.environment,
    }
    pairs = ",".join(f'{key}="{value}"' for key, value in environment.items())
    numbered = program.instances > 1 or "%(process_num)s" in program.command
    lines = {
        "command": " ".join(program.command),
        "process_name": f"{program.name}-%(process_num)s" if numbered else program.name,
        "numprocs": program.instances,
        "priority": program.priority,
        "directory": spec.home,
        "environment": pairs,
        "autostart": str(program.autostart).lower(),
        "autorestart": "true",
        # A server that never comes up is told by wait_ready; a worker must outlast a long absence of its servers.
        "startretries": 1000,
        "startsecs": program.start_s,
        "stopsignal": program.stop_signal,
        "stopwaitsecs": program.stop_wait_s,
        "stopasgroup": str(program.stop_group).lower(),
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": spec.log_dir / (f"{program.name}-%(process_num)s.log" if numbered else f"{program.name}.log"),
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": 2,
        **({"user": program.user} if program.user else {}),
    }
    return f"[program:{program.name}]\n" + "".join(f"{key}={value}\n" for key, value in lines.items())


def supervisord_conf(spec: StackSpec, programs: Iterable[Program], *, owner: str | None) -> str:
    """Settings of supervisord.

    Parameters
    ----------
    owner
        Who may use the control socket, where supervisord itself runs as root for an ordinary user.
    """
    home = spec.home / "supervisor"
    head = f"""\
; Written by Meterline at each start.
[unix_http_server]
file={spec.control_socket}
chmod=0700
{f"chown={owner}" if owner else ""}

[supervisord]
pidfile={home / "supervisord.pid"}
logfile={spec.log_dir / "supervisord.log"}
logfile_maxbytes=5MB
logfile_backups=1
childlogdir={spec.log_dir}
directory={spec.home}
identifier=meterline-{spec.key}
umask=022
minfds=4096
environment=METERLINE_KEPT_BY="{spec.key}"

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{spec.control_socket}

"""
    return head + "\n".join(program_section(spec, program) for program in programs)


def kafka_command(spec: StackSpec, java: Path, libs: Path) -> tuple[str, ...]:
    """How Kafka is started."""
    home = spec.home / "kafka"
    options = ("-Xms256m", "-Xmx768m", "-XX:+UseG1GC", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true")
    log = f"-Dlog4j2.configurationFile={home / 'log4j2.properties'}"
    return (str(java), *options, log, "-cp", f"{libs}/*", "kafka.Kafka", str(home / "server.properties"))
