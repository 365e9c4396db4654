"""The main job, started as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import psutil

from deploy.stack import StackSpec
from tests.waiting import until


def start(spec: StackSpec, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "meterline", "run", "--home", str(spec.home), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str], timeout_s: float) -> dict[str, Any]:
    """The report of a run that ends well."""
    out, err = process.communicate(timeout=timeout_s)
    assert process.returncode == 0, f"{out}\n{err[-3000:]}"
    report: dict[str, Any] = json.loads(out)
    return report


def until_streaming(spec: StackSpec, process: subprocess.Popen[str]) -> None:
    """Wait until some messages have been published."""

    def streams() -> bool:
        assert process.poll() is None, process.communicate()[1][-3000:]
        return any(f.stat().st_size > 10_000 for f in spec.home.glob("ledger/*/published.bin"))

    # All is brought up by then: three servers, a grid, six programs.
    until(streams, "messages are published", 400)


def working_for(spec: StackSpec) -> list[psutil.Process]:
    """Processes that name the stack's folder, other than this one."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if process.pid != os.getpid() and str(spec.home) in " ".join(process.info["cmdline"] or [])
    ]


def left_behind(spec: StackSpec) -> list[str]:
    """What still works in the stack's folder or for it."""
    return [" ".join(process.info["cmdline"])[:200] for process in working_for(spec)]
