"""Finds and stops processes of a stack without its supervisor: what is left when that was killed."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import Final

import psutil

from deploy.stack.errors import StackError
from deploy.stack.host import privileged, run
from deploy.stack.install import cached_postgres, host_postgres
from deploy.stack.postgres import Cluster, cluster_of, running_pid
from deploy.stack.spec import StackSpec

POLL_S: Final = 0.1


def supervisor_pid(spec: StackSpec) -> int | None:
    """Process id of the stack's supervisor, found by its pid file."""
    try:
        pid = int((spec.home / "supervisor" / "supervisord.pid").read_text())
        command = psutil.Process(pid).cmdline()
    except (OSError, ValueError, psutil.Error):
        return None
    # A number may have been given to another process since.
    return pid if str(spec.home / "supervisor" / "supervisord.conf") in command else None


def leftovers(spec: StackSpec) -> list[psutil.Process]:
    """Processes of this stack that still live, found without the supervisor."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get("METERLINE_KEPT_BY") == spec.key:
                found[process.pid] = process
    # The home may have been deleted under a running stack; its cluster still has its name.
    place = host_postgres() or cached_postgres(spec)
    cluster = cluster_of(spec) or (Cluster(place, spec.key) if place else None)
    for pid in (supervisor_pid(spec), running_pid(cluster) if cluster else None):
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid) if pid else None
            if process and (process.name().startswith("postgres") or pid == supervisor_pid(spec)):
                # PostgreSQL writes its titles over its environment, so its children are found through their parent.
                found |= {p.pid: p for p in (process, *process.children(recursive=True))}
    return [process for process in found.values() if _lives(process)]


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def stop_leftovers(spec: StackSpec) -> None:
    """Ask what is left to stop, and kill what doesn't.

    Raises
    ------
    StackError
        Some of it cannot be stopped.
    """
    for ask, patience_s in ((signal.SIGTERM, 30.0), (signal.SIGKILL, 5.0)):
        alive = leftovers(spec)
        # The supervisor goes first, or it would start again what is stopped.
        for process in sorted(alive, key=lambda p: p.pid != supervisor_pid(spec)):
            send_signal(process, ask)
        if not alive or wait_for(lambda: not leftovers(spec), patience_s):
            return
    raise StackError(f"processes {', '.join(str(p.pid) for p in leftovers(spec))} of the stack cannot be stopped")


def send_signal(process: psutil.Process, number: signal.Signals) -> None:
    """Signal a process of the stack, with root's rights where it is not the user's; one that is gone is no fault."""
    try:
        # PostgreSQL waits for its clients at SIGTERM.
        if number is signal.SIGTERM and process.name().startswith("postgres"):
            number = signal.SIGINT
        process.send_signal(number)
    except psutil.NoSuchProcess:
        pass
    except psutil.AccessDenied:
        with contextlib.suppress(StackError):  # gone meanwhile; who stays is seen by the caller
            # The shell's own: a small system has no program of that name.
            run(privileged(["sh", "-c", f"kill -{int(number)} {process.pid}"]), what="stopping a process")


def wait_for(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Wait until `condition` holds; whether it did in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def busy_port_message(label: str, port: int) -> str:
    """The line that says who has a port and what to do."""
    return f"port {port} ({label}) is in use by {_listener(port)}: stop that, or give this stack another port"


def _listener(port: int) -> str:
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                with contextlib.suppress(psutil.Error):
                    return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return "another program"
