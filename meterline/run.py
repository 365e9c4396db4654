"""`./run`: brings the stack up, loads the demonstration grid, streams telemetry, shows it, checks it, stops."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from rich.console import Console
from rich.live import Live

from deploy.stack import StackSpec, set_gateways, start_programs, start_servers
from deploy.stack import stop as stop_stack
from meterline.bootstrap import opener, prepare, stop_on_signals
from meterline.config import Settings, load_settings
from meterline.delay import Delay, DelayWatch
from meterline.demonstration import gateways_of, load_demonstration, make_twin
from meterline.ready import wait_until_ready
from meterline.top import render
from meterline.verify import Verdict, verify
from store.overview import read_overview

_PATIENCE_S = 90.0
_PUBLISHER_STOP_S = 40.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What `./run` was asked for. `areas` makes the grid smaller; None is all of it."""

    duration_s: float | None
    as_json: bool
    keep: bool
    areas: int | None
    rate: float


def run(spec: StackSpec, options: RunOptions) -> int:
    """Run the demonstration; returns the exit code: 0 when every acknowledged reading is stored once."""
    say = Console(stderr=True, highlight=False)
    stop = stop_on_signals()
    started = time.monotonic()
    try:
        settings = bring_up(spec, options.areas, say)
        say.print(f"ready after {time.monotonic() - started:.0f} s")
        with streaming(spec, settings, options) as (ledger_dir, watch, publisher):
            began = time.monotonic()
            follow(settings, options, stop, publisher)
            seconds = time.monotonic() - began
            stop_publisher(publisher)
            delay = watch.stop()
        say.print("checking what is stored against what was acknowledged")
        report = check(settings, ledger_dir, delay, seconds)
    finally:
        if options.keep:
            say.print("the stack is left up: `meterline stack status`, `meterline stack stop`")
        else:
            stop_stack(spec)
    if options.as_json:
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        for name, value in report.items():
            say.print(f"{name:28} {value}")
    return 0 if report["ok"] else 1


def bring_up(spec: StackSpec, areas: int | None, say: Console) -> Settings:
    """Start the servers, migrate, load the demonstration grid, start the programs."""
    say.print("starting Mosquitto, Kafka and TimescaleDB")
    start_servers(spec)
    settings = load_settings(spec.config_path)
    prepare(settings)
    say.print("loading the demonstration grid")
    model = make_twin(areas).model
    load_demonstration(settings, model)
    set_gateways(spec, gateways_of(model))
    start_programs(spec)
    wait_until_ready(settings, spec.workers)
    return settings


@contextlib.contextmanager
def streaming(
    spec: StackSpec, settings: Settings, options: RunOptions
) -> Iterator[tuple[Path, DelayWatch, subprocess.Popen[bytes]]]:
    """Publish from a process of its own, as gateways would, and watch the delay."""
    ledger_dir = spec.home / "ledger" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    ledger_dir.mkdir(parents=True)
    units = _UnitIds(settings, ledger_dir)
    watch = DelayWatch(opener(settings, "meterline-delay"), ledger_dir, units)
    command = [sys.executable, "-m", "meterline", "simulate", "--ledger", str(ledger_dir), "--rate", str(options.rate)]
    if options.areas is not None:
        command += ["--areas", str(options.areas)]
    with (spec.log_dir / "simulate.log").open("ab") as log:
        publisher = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            # Ctrl-C in the terminal is for us; we tell the publisher ourselves, and wait for its last acknowledgement.
            start_new_session=True,
            env={**os.environ, "METERLINE_CONFIG": str(spec.config_path)},
        )
    watch.start()
    try:
        yield ledger_dir, watch, publisher
    finally:
        stop_publisher(publisher)
        watch.stop()


def stop_publisher(publisher: subprocess.Popen[bytes]) -> None:
    """Let the publisher wait for its last acknowledgements, and end it."""
    if publisher.poll() is None:
        publisher.send_signal(signal.SIGTERM)
        try:
            publisher.wait(_PUBLISHER_STOP_S)
        except subprocess.TimeoutExpired:
            publisher.kill()
            publisher.wait()


def follow(settings: Settings, options: RunOptions, stop: threading.Event, publisher: subprocess.Popen[bytes]) -> None:
    """Show the live view, or just wait, until told to stop or the time is over."""
    deadline = time.monotonic() + options.duration_s if options.duration_s is not None else float("inf")
    view = not options.as_json and sys.stderr.isatty()
    console = Console(stderr=True)
    with Live(console=console, screen=view, auto_refresh=False) if view else contextlib.nullcontext() as live:
        while not stop.is_set() and time.monotonic() < deadline:
            if publisher.poll() is not None:
                raise RuntimeError("the publisher ended by itself; its log is log/simulate.log in the stack's folder")
            if live is not None:
                with contextlib.suppress(psycopg.Error), opener(settings, "meterline-run")() as connection:
                    live.update(render(read_overview(connection), datetime.now(UTC), "Ctrl-C stops"), refresh=True)
            stop.wait(min(2.0, max(0.0, deadline - time.monotonic())))


def check(settings: Settings, ledger_dir: Path, delay: Delay, seconds: float) -> dict[str, Any]:
    """Compare the ledger with the store and gather the run's figures."""
    with opener(settings, "meterline-verify")() as connection:
        verdict: Verdict = verify(connection, ledger_dir, _PATIENCE_S)
        rejected = connection.execute("select coalesce(sum(seen), 0)::bigint from telemetry.rejected").fetchone()
    return {
        "ok": verdict.ok,
        "seconds": round(seconds, 1),
        **asdict(verdict),
        "readings_per_s": round(verdict.readings_stored / seconds) if seconds else None,
        "delay_p50_s": delay.p50_s,
        "delay_p99_s": delay.p99_s,
        "delay_max_s": delay.max_s,
        "delay_samples": delay.samples,
        "rejected": rejected[0] if rejected else 0,
    }


class _UnitIds:
    """Unit id by position in the ledger's list, read once the ledger is there."""

    def __init__(self, settings: Settings, ledger_dir: Path) -> None:
        self._settings = settings
        self._file = ledger_dir / "units.json"
        self._ids: NDArray[np.int32] | None = None

    def __call__(self) -> NDArray[np.int32]:
        if self._ids is None:
            with opener(self._settings, "meterline-delay")() as connection:
                known: dict[str, int] = dict(connection.execute("select code, unit_id from grid.unit").fetchall())
            codes = json.loads(self._file.read_text(encoding="utf-8"))
            self._ids = np.array([known.get(code, -1) for code in codes], np.int32)
        return self._ids
