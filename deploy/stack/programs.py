"""What the supervisor of a stack keeps up, and in what order it starts and stops."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Final

from deploy.stack.config_files import (
    Program,
    kafka_command,
    kafka_log4j2,
    kafka_properties,
    mosquitto_acl,
    mosquitto_conf,
)
from deploy.stack.host import SEARCH_PATH, is_root, memory_mib
from deploy.stack.postgres import Cluster, settings_text
from deploy.stack.spec import StackSpec

SERVERS: Final = ("postgres", "kafka", "mosquitto")
SERVICES: Final = ("bridge", "readings", "worker", "alerts", "sync", "usage", "console")
#: What looks at what is stored, and may do so later, takes the processors last (nice): under a flood readings, results
#: and alerts come first.
LAST: Final = {"usage": ("nice", "-n", "10")}
COMMANDS: Final = {
    "bridge": ("ingest", "mqtt"),
    "readings": ("ingest", "readings"),
    "worker": ("worker", "--instance", "%(process_num)s"),
    "alerts": ("alert", "deliver"),
    "sync": ("sync", "deliver"),
    "usage": ("usage", "run"),
    "console": ("console",),
}


def _ops(spec: StackSpec, name: str) -> tuple[str, ...]:
    ports = spec.ports
    ops = {
        "bridge": ports.bridge_ops,
        "readings": ports.readings_ops,
        "worker": ports.worker_ops,
        "usage": ports.usage_ops,
        "console": ports.console_ops,
    }
    port = ops.get(name)
    return () if port is None else ("--ops-port", str(port))


def server_port(spec: StackSpec, name: str) -> int | None:
    """Port of a program by its name in the supervisor: its own, or else where it tells of its health."""
    ports = spec.ports
    return {
        "mosquitto": ports.mqtt,
        "kafka": ports.kafka,
        "postgres": ports.postgres,
        "bridge": ports.bridge_ops,
        "readings": ports.readings_ops,
        "worker": ports.worker_ops,
        "usage": ports.usage_ops,
        "console": ports.console,
    }.get(name)


def mosquitto_settings(spec: StackSpec) -> str:
    queue = spec.home / "mosquitto" / "data" / "mosquitto.db"
    queue_mib = queue.stat().st_size >> 20 if queue.is_file() else 0
    return mosquitto_conf(spec, memory_mib=memory_mib(), queue_mib=queue_mib, as_root=is_root())


def stack_programs(spec: StackSpec, *, mosquitto: Path, java: Path, libs: Path, cluster: Cluster) -> list[Program]:
    """The servers and Meterline's own services."""
    # Where supervisord runs as root for an ordinary user, everything but PostgreSQL's chroot is that user's.
    user = None if is_root() else getpass.getuser()
    servers = [
        Program(
            "postgres",
            cluster.command(),
            10,
            settings=settings_text(spec),
            stop_signal="INT",  # "fast": open transactions are rolled back
            stop_wait_s=60,
        ),
        Program(
            "kafka",
            kafka_command(spec, java, libs),
            20,
            settings=kafka_properties(spec) + kafka_log4j2(spec),
            stop_wait_s=30,
            user=user,
        ),
        Program(
            "mosquitto",
            (str(mosquitto), "-c", str(spec.home / "mosquitto" / "mosquitto.conf")),
            30,
            settings=mosquitto_settings(spec) + mosquitto_acl(),
            user=user,
        ),
    ]
    environment = {
        "METERLINE_CONFIG": str(spec.config_path),
        "HOME": str(Path.home()),
        "PATH": f"{Path(spec.python).parent}:{SEARCH_PATH}",
        "PYTHONUNBUFFERED": "1",
    }
    services = [
        Program(
            name,
            (*LAST.get(name, ()), spec.python, "-m", "meterline", *COMMANDS[name], *_ops(spec, name)),
            40,
            stop_group=True,
            instances=spec.workers if name == "worker" else 1,
            user=user,
            environment=environment,
        )
        for name in SERVICES
    ]
    return servers + services
