"""Starts, watches and stops a stack. supervisord keeps its programs up and outlives who started it."""

from __future__ import annotations

import contextlib
import enum
import fcntl
import getpass
import os
import time
import xmlrpc.client
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from supervisor.xmlrpc import SupervisorTransport

from deploy.stack.accounts import ensure_secrets, write_password_file, write_token_file
from deploy.stack.config_files import config_toml, mosquitto_acl, supervisord_conf
from deploy.stack.errors import StackError
from deploy.stack.host import is_root, java_major, need_tool, privileged, run
from deploy.stack.install import ensure_kafka, ensure_postgres, remove_tree
from deploy.stack.kafka_storage import ensure_storage
from deploy.stack.postgres import destroy_cluster, ensure_cluster, ensure_database
from deploy.stack.probes import PROBES, port_is_free
from deploy.stack.processes import POLL_S, busy_port_message, stop_leftovers, supervisor_pid, wait_for
from deploy.stack.programs import SERVERS, SERVICES, mosquitto_settings, server_port, stack_programs
from deploy.stack.spec import StackSpec, write_atomically

JAVA_MIN: Final = 17


class ProcessState(enum.StrEnum):
    """States of a process, as supervisord names them."""

    STOPPED = "STOPPED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    BACKOFF = "BACKOFF"
    STOPPING = "STOPPING"
    EXITED = "EXITED"
    FATAL = "FATAL"
    UNKNOWN = "UNKNOWN"

    @property
    def is_down(self) -> bool:
        """No process lives, and none is being started."""
        return self in {ProcessState.STOPPED, ProcessState.EXITED, ProcessState.FATAL}


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process of a stack; `group` is its program, `name` tells the instances of a program apart."""

    name: str
    group: str
    state: ProcessState
    pid: int | None = None
    uptime_s: float = 0.0
    port: int | None = None
    log: Path | None = None


def start_servers(spec: StackSpec, *, timeout_s: float = 120) -> None:
    """Bring Mosquitto, Kafka and TimescaleDB up and wait until they answer; what is missing is fetched first.

    Idempotent: what runs with the same settings is left alone. Meterline's own services are started by
    `start_programs`, after the migrations.

    Raises
    ------
    StackError
        Something is missing, a port is taken, or a server doesn't come up.
    """
    with _stack_lock(spec):
        mosquitto = need_tool("mosquitto", "mosquitto")
        java = need_tool("java", "default-jre-headless")
        if java_major(java) < JAVA_MIN:
            raise StackError(f"Kafka needs Java {JAVA_MIN} and {java} is older: install default-jre-headless")
        libs = ensure_kafka(spec)
        place = ensure_postgres(spec)
        alive = is_alive(spec)
        if not alive:
            stop_leftovers(spec)
        _refuse_busy_ports(spec)
        _write_settings(spec)
        ensure_storage(spec, libs)
        cluster = ensure_cluster(spec, place)
        programs = stack_programs(spec, mosquitto=mosquitto, java=java, libs=libs, cluster=cluster)
        owner = None if is_root() else getpass.getuser()
        conf = spec.home / "supervisor" / "supervisord.conf"
        write_atomically(conf, supervisord_conf(spec, programs, owner=owner))
        if alive:
            _apply_changes(spec)
        else:
            _launch(spec, conf)
        _start_groups(spec, SERVERS)
        wait_ready(spec, timeout_s)
        ensure_database(spec)


def start_programs(spec: StackSpec, names: Sequence[str] = SERVICES) -> None:
    """Start Meterline's services by name; those that run are left alone."""
    unknown = sorted(set(names) - set(SERVICES))
    if unknown:
        raise StackError(f"no such service: {', '.join(unknown)} (there are {', '.join(SERVICES)})")
    _start_groups(spec, names)


def stop_programs(spec: StackSpec, names: Sequence[str] = SERVICES) -> None:
    """Stop some services, or servers, and wait until they are down."""
    if is_alive(spec):
        _stop_groups(spec, names)


def stop(spec: StackSpec) -> None:
    """Stop everything: services, Mosquitto, Kafka, PostgreSQL, the supervisor; leave no process behind."""
    with _stack_lock(spec):
        if is_alive(spec):
            for names in (SERVICES, ("mosquitto",), ("kafka",), ("postgres",)):
                _stop_groups(spec, names)
            with contextlib.suppress(OSError, xmlrpc.client.Error):
                _supervisor(spec).shutdown()
        wait_for(lambda: supervisor_pid(spec) is None, 10)
        stop_leftovers(spec)


def destroy(spec: StackSpec) -> None:
    """Stop the stack and remove all it wrote: data, secrets, logs. What is cached for other stacks stays."""
    if not spec.home.is_dir():
        return
    stop(spec)
    destroy_cluster(spec)
    remove_tree(spec.home)
    if not spec.control_socket.is_relative_to(spec.home):
        remove_tree(spec.control_socket.parent)


def status(spec: StackSpec) -> list[ProcessStatus]:
    """Every process of the stack; all STOPPED where no supervisor runs."""
    try:
        infos = _supervisor(spec).getAllProcessInfo()
    except (OSError, xmlrpc.client.Error):
        return [
            ProcessStatus(name, name, ProcessState.STOPPED, port=server_port(spec, name)) for name in SERVERS + SERVICES
        ]
    found = [
        ProcessStatus(
            name=info["name"],
            group=info["group"],
            state=ProcessState(info["statename"]),
            pid=info["pid"] or None,
            uptime_s=float(info["now"] - info["start"]) if info["pid"] else 0.0,
            port=_port_of(spec, info["group"], info["name"]),
            log=Path(info["stdout_logfile"]),
        )
        for info in infos
    ]
    order = {name: place for place, name in enumerate(SERVERS + SERVICES)}
    return sorted(found, key=lambda process: (order.get(process.group, len(order)), process.name))


def _port_of(spec: StackSpec, group: str, name: str) -> int | None:
    port = server_port(spec, group)
    number = name.rpartition("-")[2]
    return port + int(number) if port is not None and group == "worker" and number.isdecimal() else port


def pid_of(spec: StackSpec, name: str) -> int | None:
    """Process id of a process, or of a program's first instance; None while it isn't up."""
    return next((p.pid for p in status(spec) if name in {p.name, p.group} and p.pid is not None), None)


def is_alive(spec: StackSpec) -> bool:
    """Whether the stack's supervisor answers."""
    try:
        _supervisor(spec).getState()
    except (OSError, xmlrpc.client.Error):
        return False
    return True


def wait_ready(spec: StackSpec, timeout_s: float = 120) -> None:
    """Wait until all three servers answer a real question.

    Raises
    ------
    StackError
        One doesn't in time, or has failed for good; the line ends with the last thing that it logged.
    """
    deadline = time.monotonic() + timeout_s
    for name in SERVERS:
        while (fault := PROBES[name](spec)) is not None:
            state = next((p.state for p in status(spec) if p.group == name), ProcessState.UNKNOWN)
            if time.monotonic() > deadline or state.is_down:
                raise StackError(f"{name} is {state} and {fault}; {_last_words(spec, name)}")
            time.sleep(POLL_S)


def set_gateways(spec: StackSpec, names: Sequence[str]) -> None:
    """Give each gateway an account at the broker; those that exist keep their passwords and their connections."""
    with _stack_lock(spec):
        if write_password_file(spec, names) and is_alive(spec):
            with contextlib.suppress(xmlrpc.client.Fault):  # not running: it reads the file when it starts
                _supervisor(spec).signalProcess("mosquitto", "HUP")


def _write_settings(spec: StackSpec) -> None:
    spec.log_dir.mkdir(parents=True, exist_ok=True)
    (spec.home / "mosquitto" / "data").mkdir(parents=True, exist_ok=True)
    ensure_secrets(spec)
    write_password_file(spec)
    write_token_file(spec)
    write_atomically(spec.home / "mosquitto" / "mosquitto.conf", mosquitto_settings(spec))
    # Mosquitto warns of an access list that others may read.
    write_atomically(spec.home / "mosquitto" / "acl", mosquitto_acl(), mode=0o600)
    write_atomically(spec.config_path, config_toml(spec))
    spec.save()


def _refuse_busy_ports(spec: StackSpec) -> None:
    ours = {process.group for process in status(spec) if not process.state.is_down}
    for name, ports in (
        ("postgres", ("postgres",)),
        ("kafka", ("kafka", "kafka_controller")),
        ("mosquitto", ("mqtt",)),
    ):
        if name in ours:
            continue
        for label in ports:
            port = getattr(spec.ports, label)
            if not port_is_free(port):
                raise StackError(busy_port_message(label, port))


def _launch(spec: StackSpec, conf: Path) -> None:
    directory = spec.control_socket.parent
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_uid != os.geteuid():
        raise StackError(f"{directory} belongs to another user: remove it")
    directory.chmod(0o700)
    spec.control_socket.unlink(missing_ok=True)
    # The mark lets `stop` find what a supervisor that was killed has left behind.
    mark = ["/usr/bin/env", f"METERLINE_KEPT_BY={spec.key}"]
    run(
        privileged([*mark, spec.python, "-m", "supervisor.supervisord", "-c", str(conf)]),
        what="starting the supervisor",
        timeout_s=60,
    )
    if not wait_for(lambda: is_alive(spec), 20):
        raise StackError(f"the supervisor doesn't answer; see {spec.log_dir / 'supervisord.log'}")


def _apply_changes(spec: StackSpec) -> None:
    [[added, changed, removed]] = _supervisor(spec).reloadConfig()
    _stop_groups(spec, [*changed, *removed])
    for name in [*changed, *removed]:
        _supervisor(spec).removeProcessGroup(name)
    for name in [*added, *changed]:
        _supervisor(spec).addProcessGroup(name)


def _start_groups(spec: StackSpec, names: Sequence[str]) -> None:
    try:
        for process in status(spec):
            if process.group in names and process.state.is_down:
                _supervisor(spec).startProcess(f"{process.group}:{process.name}", False)
    except xmlrpc.client.Fault as fault:
        raise StackError(f"the supervisor cannot start {', '.join(names)}: {fault.faultString}") from None
    except OSError:
        raise StackError("the stack is not running: start it with ./run --keep") from None


def _stop_groups(spec: StackSpec, names: Sequence[str]) -> None:
    def alive() -> list[ProcessStatus]:
        return [p for p in status(spec) if p.group in names and not p.state.is_down]

    for process in alive():
        with contextlib.suppress(xmlrpc.client.Fault):  # it went down by itself
            _supervisor(spec).stopProcess(f"{process.group}:{process.name}", False)
    # supervisord itself kills what outstays its stopwaitsecs; the longest is PostgreSQL's.
    wait_for(lambda: not alive(), 75)


def _supervisor(spec: StackSpec) -> Any:
    transport = SupervisorTransport(None, None, f"unix://{spec.control_socket}")
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor


def _last_words(spec: StackSpec, name: str) -> str:
    # Kafka writes a log of its own; what it prints besides matters only when that is empty.
    for log in (spec.log_dir / f"{name}-server.log", spec.log_dir / f"{name}.log"):
        with contextlib.suppress(OSError), log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
            if lines:
                return f"{log} ends with: {lines[-1][:200]}"
    return f"see {spec.log_dir}"


@contextmanager
def _stack_lock(spec: StackSpec) -> Iterator[None]:
    try:
        spec.home.mkdir(parents=True, exist_ok=True)
        lock = (spec.home / "lock").open("w")
    except OSError as error:
        raise StackError(f"cannot write {spec.home} ({error.strerror}): use a directory of your own") from None
    try:
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except PermissionError as error:
        raise StackError(f"no right to {error.filename}: another user started this stack, or root did") from None
