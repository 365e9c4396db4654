"""The machine of a site: processors, memory, room on the disk, releases of software."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import psutil

from meterline.settings.sync import AcceptanceSection
from sync.rollout.acceptance import Check

_GIB = 1 << 30
_PYTHON = (3, 11)


def check_machine(options: AcceptanceSection) -> list[Check]:
    """Hardware and software."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0
    memory = psutil.virtual_memory().total / _GIB
    return [
        Check("hardware", "architecture", ok=True, found=platform.machine()),
        Check("hardware", "processors", cpus >= options.cpus, str(cpus), f"at least {options.cpus}"),
        Check(
            "hardware", "memory", memory >= options.memory_gib, f"{memory:.1f} GiB",
            f"at least {options.memory_gib:g} GiB",
        ),
        check_disk(options.disk_path, options.disk_gib),
        Check("software", "system", ok=True, found=_system()),
        Check(
            "software", "python", sys.version_info >= _PYTHON, platform.python_version(),
            f"at least {'.'.join(map(str, _PYTHON))}",
        ),
        Check("software", "meterline", ok=True, found=release()),
        *check_pins(requires("meterline") or []),
    ]  # fmt: skip


def release() -> str:
    """Release of Meterline that is installed."""
    try:
        return version("meterline")
    except PackageNotFoundError:
        return "not installed"


def check_disk(path: Path, gib: float) -> Check:
    """Room where the site keeps its data."""
    wanted = f"at least {gib:g} GiB free at {path}"
    try:
        free = psutil.disk_usage(str(path)).free / _GIB
    except OSError as error:
        return Check("hardware", "disk", ok=False, found=str(error.strerror), wanted=wanted)
    return Check("hardware", "disk", free >= gib, f"{free:.1f} GiB", wanted)


def check_pins(requirements: list[str]) -> list[Check]:
    """The libraries of which Meterline needs one release and no other."""
    checks = []
    for requirement in requirements:
        pin = re.match(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.]+)$", requirement)
        if pin is None:
            continue
        name, wanted = pin.groups()
        try:
            # Some name theirs v0.0.21, which PEP 440 takes for the same.
            found = version(name).removeprefix("v")
        except PackageNotFoundError:
            found = "not installed"
        checks.append(Check("software", name, found == wanted, found, wanted))
    return checks


def _system() -> str:
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        name = ""
    return f"{name or platform.system()}, {platform.release()}"
