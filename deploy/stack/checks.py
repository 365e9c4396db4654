"""What `meterline doctor` looks at. Each check returns a value; none raises and none changes anything."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.stack.host import find_tool, is_root, java_major, memory_mib
from deploy.stack.install import KAFKA_VERSION, cached_postgres, host_postgres, kafka_libs
from deploy.stack.probes import PROBES, port_is_free
from deploy.stack.processes import busy_port_message
from deploy.stack.spec import StackSpec
from deploy.stack.supervise import JAVA_MIN, is_alive, status

DISK_MIN_GIB: Final = 5
MEMORY_MIN_MIB: Final = 3_500
PYTHON_MIN: Final = (3, 11)
PORT_OWNERS: Final = {
    "mqtt": "mosquitto",
    "kafka": "kafka",
    "kafka_controller": "kafka",
    "postgres": "postgres",
    "console": "console",
    "bridge_ops": "bridge",
    "console_ops": "console",
    "usage_ops": "usage",
    "readings_ops": "readings",
    "worker_ops": "worker",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: `detail` is what was found, `todo` what to do about it, empty when it is good."""

    name: str
    ok: bool
    detail: str
    todo: str = ""


def doctor(spec: StackSpec) -> list[Check]:
    """Look at everything that the native stack needs, from the tools to the running servers."""
    return [
        check_python(sys.version_info[:3]),
        check_java(),
        check_maven(spec),
        check_tool("mosquitto", "mosquitto"),
        check_timescaledb(spec),
        check_rights(),
        check_disk(spec),
        check_memory(memory_mib()),
        *check_ports(spec),
        check_config(spec),
        *check_servers(spec),
    ]


def check_python(version: tuple[int, ...]) -> Check:
    shown = ".".join(map(str, version))
    good = version >= PYTHON_MIN
    return Check("python", good, shown, "" if good else "install Python 3.11 or newer and remove .venv")


def check_java() -> Check:
    java = find_tool("java")
    todo = f"install a Java runtime of version {JAVA_MIN} or newer: apt-get install default-jre-headless"
    if java is None:
        return Check("java", ok=False, detail="not installed", todo=todo)
    major = java_major(java)
    good = major >= JAVA_MIN
    return Check("java", good, f"version {major} ({java})", "" if good else todo)


def check_maven(spec: StackSpec) -> Check:
    """Maven fetches Kafka, so it is needed only until Kafka is cached."""
    if kafka_libs(spec).is_dir():
        return Check("kafka", ok=True, detail=f"{KAFKA_VERSION} in {kafka_libs(spec)}")
    if find_tool("mvn") is None:
        return Check("kafka", ok=False, detail="not fetched, and Maven is not installed", todo="apt-get install maven")
    return Check("kafka", ok=True, detail=f"{KAFKA_VERSION} is fetched at the first start")


def check_tool(tool: str, package: str) -> Check:
    found = find_tool(tool)
    return Check(tool, found is not None, str(found or "not installed"), "" if found else f"apt-get install {package}")


def check_timescaledb(spec: StackSpec) -> Check:
    """The machine's own, or the file system made for it, or the tool that makes that."""
    place = host_postgres() or cached_postgres(spec)
    if place is not None:
        return Check("timescaledb", ok=True, detail="on this machine" if place.is_host else str(place.root))
    if find_tool("mmdebstrap") is None:
        return Check(
            "timescaledb",
            ok=False,
            detail="not on this machine, and mmdebstrap is not installed",
            todo="apt-get install mmdebstrap debian-archive-keyring",
        )
    return Check("timescaledb", ok=True, detail="is made at the first start")


def check_rights() -> Check:
    """PostgreSQL is started as its own account, which only root can do."""
    if is_root():
        return Check("rights", ok=True, detail="root")
    if shutil.which("sudo") is None:
        return Check("rights", ok=False, detail="neither root nor sudo", todo="run as root, or install sudo")
    asked = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False)
    if asked.returncode == 0:
        return Check("rights", ok=True, detail="sudo")
    if sys.stdin.isatty():
        return Check("rights", ok=True, detail="sudo, which will ask for a password")
    return Check("rights", ok=False, detail="sudo asks for a password", todo="run `sudo -v` first, in this terminal")


def check_disk(spec: StackSpec) -> Check:
    """Room where the stack writes, and where the cache lies."""
    free = {path: shutil.disk_usage(_existing(path)).free >> 30 for path in (spec.home, spec.cache)}
    path, least = min(free.items(), key=lambda item: item[1])
    writable = all(os.access(_existing(path), os.W_OK) for path in free)
    if not writable:
        return Check(
            "disk", ok=False, detail=f"no right to write {spec.home} or {spec.cache}", todo="choose other folders"
        )
    good = least >= DISK_MIN_GIB
    todo = "" if good else f"make room: a day of the demonstration takes up to {DISK_MIN_GIB} GiB"
    return Check("disk", good, f"{least} GiB free at {path}", todo)


def check_memory(mib: int) -> Check:
    good = mib >= MEMORY_MIN_MIB
    return Check(
        "memory",
        good,
        f"{mib / 1024:.1f} GiB",
        "" if good else "the whole stack wants 4 GiB: use --areas to run a part",
    )


def check_ports(spec: StackSpec) -> list[Check]:
    """Each port is free, or ours."""
    ours = {process.group for process in status(spec) if not process.state.is_down}
    checks = []
    for label, port in spec.ports.items():
        if PORT_OWNERS[label] in ours:
            checks.append(Check(f"port {label}", ok=True, detail=f"{port}, this stack's"))
        elif port_is_free(port):
            checks.append(Check(f"port {label}", ok=True, detail=f"{port}, free"))
        else:
            found, todo = busy_port_message(label, port).split(": ", 1)
            checks.append(Check(f"port {label}", ok=False, detail=found, todo=todo))
    return checks


def check_config(spec: StackSpec) -> Check:
    """The settings file that the stack writes can be read."""
    path = spec.config_path
    try:
        tomllib.loads(path.read_text())
    except FileNotFoundError:
        return Check("config", ok=True, detail=f"{path} is written at the first start")
    except (OSError, ValueError) as error:
        return Check("config", ok=False, detail=f"{path}: {error}", todo="mend or remove it; a start writes it again")
    return Check("config", ok=True, detail=str(path))


def check_servers(spec: StackSpec, names: Sequence[str] = tuple(PROBES)) -> list[Check]:
    """The servers answer, where the stack is up."""
    if not is_alive(spec):
        return [Check("servers", ok=True, detail="not started")]
    faults = {name: PROBES[name](spec) for name in names}
    todo = f"look into {spec.log_dir}"
    return [Check(name, fault is None, fault or "answers", todo if fault else "") for name, fault in faults.items()]


def _existing(path: Path) -> Path:
    return next(p for p in (path, *path.parents) if p.exists())
