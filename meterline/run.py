"""`./run`: brings the stack up, loads the demonstration grid, streams telemetry, shows it, checks it, stops."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from deploy.boards.registry import BOARDS
from deploy.stack import StackError, StackSpec, is_alive, set_gateways, start_programs, start_servers
from deploy.stack import stop as stop_stack
from deploy.stack.accounts import CONSOLE_TOKEN
from meterline.bootstrap import opener, prepare, stop_on_signals
from meterline.config import Settings, load_settings
from meterline.console import make_asker
from meterline.delay import Delay, DelayWatch
from meterline.demonstration import PublisherError, gateways_of, load_demonstration, make_twin
from meterline.group import leave_beyond
from meterline.ready import wait_for_console, wait_until_ready
from meterline.top import LiveView, show_live
from meterline.verify import Verdict, verify

#: Without anything more that comes; and for the last acknowledgements.
_PATIENCE_S = 90.0
_PUBLISHER_STOP_S = 120.0
_WATCH_S = 1.0
#: What a shell says of a command that Ctrl-C has ended.
_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What `./run` was asked for. `areas` makes the grid smaller; None is all of it."""

    duration_s: float | None
    as_json: bool
    keep: bool
    areas: int | None
    rate: float
    browser: bool = True


def run(spec: StackSpec, options: RunOptions) -> int:
    """Run the demonstration; returns the exit code: 0 when every acknowledged reading is stored once.

    Raises
    ------
    StackError
        What is missing, or a run goes on in this home already.
    meterline.demonstration.PublisherError
        When the publisher ends by itself, or had no time to publish anything.
    """
    say = Console(stderr=True, highlight=False, soft_wrap=True)
    with _one_run(spec):
        stays = options.keep and is_alive(spec)
        try:
            # Until all is up, Ctrl-C ends whatever is being waited for.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            started = time.monotonic()
            settings = bring_up(spec, options.areas, say)
            stays = options.keep
            stop = stop_on_signals()
            say.print(f"ready after {time.monotonic() - started:.0f} s; logs are in {spec.log_dir}")
            say.print(f"the console is at {settings.console.url}")
            say.print(f"to acknowledge an alert there, show the token in {spec.secret_path(CONSOLE_TOKEN)}")
            if options.browser and say.is_terminal and not options.as_json:
                open_browser(settings.console.url)
            report = stream(spec, settings, options, stop, say)
        except KeyboardInterrupt:
            say.print("stopped before it was ready")
            return _INTERRUPTED
        finally:
            stop_on_signals()  # a second Ctrl-C would leave half of it running
            if stays:
                say.print(f"the stack is left up: `meterline stack status` and `meterline stack stop`{_home(spec)}")
            else:
                say.print("stopping the stack")
                stop_stack(spec)
    if options.as_json:
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        sys.stdout.write(describe(report))
    return 0 if report["ok"] else 1


def stream(
    spec: StackSpec,
    settings: Settings,
    options: RunOptions,
    stop: threading.Event,
    say: Console,
) -> dict[str, Any]:
    """Stream until told to stop or the time is over; returns the run's figures."""
    with streaming(spec, settings, options) as (ledger_dir, watch, publisher):
        began = time.monotonic()
        if options.duration_s is not None:
            say.print(f"streaming for {options.duration_s:g} s")
        follow(settings, options, stop, publisher, spec)
        seconds = time.monotonic() - began
        stop_publisher(publisher)
        delay = watch.stop()
    say.print("checking what is stored against what was acknowledged")
    return check(settings, ledger_dir, delay, seconds)


def describe(report: dict[str, Any]) -> str:
    """The figures as lines of text, with the verdict last."""
    lines = []
    for name, value in report.items():
        if name != "ok":
            shown = "" if value is None else f"{value:,}"
            lines.append(f"{name:26}{shown:>14}\n")
    if report["ok"]:
        verdict = "every acknowledged reading is stored once, and all that is complete is settled"
    elif report["messages_acknowledged"] == 0:
        verdict = "nothing was published: a live interval ends at each full minute, and none ended meanwhile"
    else:
        verdict = (
            "NOT OK: compare acknowledged with stored, missing and doubled, and areas and feeders with those settled"
        )
    return "".join(lines) + verdict + "\n"


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
    say.print("starting bridge, workers, deliveries and the console")
    # Workers of a start before this one, when there were more of them.
    leave_beyond(settings.kafka, spec.workers)
    start_programs(spec)
    wait_until_ready(settings, spec.workers)
    wait_for_console(settings)
    return settings


def open_browser(url: str) -> None:
    """Open `url` on the desktop that this machine shows, if it shows one; without waiting."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    threading.Thread(target=webbrowser.open, args=(url,), name="browser", daemon=True).start()


@contextlib.contextmanager
def streaming(
    spec: StackSpec, settings: Settings, options: RunOptions
) -> Iterator[tuple[Path, DelayWatch, subprocess.Popen[bytes]]]:
    """Publish from a process of its own, as gateways would, and watch the delay."""
    ledger_dir = spec.home / "ledger" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    ledger_dir.mkdir(parents=True)
    units = _UnitIds(settings, ledger_dir)
    watch = DelayWatch(opener(settings, "meterline-delay"), ledger_dir, units)
    command = [
        sys.executable,
        "-m",
        "meterline",
        "simulate",
        "--resume",
        "--ledger",
        str(ledger_dir),
        "--rate",
        str(options.rate),
    ]
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
            # With the supervisor's mark, so that stopping the stack ends it too when we were killed.
            env={**os.environ, "METERLINE_CONFIG": str(spec.config_path), "METERLINE_KEPT_BY": spec.key},
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


def follow(
    settings: Settings, options: RunOptions, stop: threading.Event, publisher: subprocess.Popen[bytes], spec: StackSpec
) -> None:
    """Show the live view, or just wait, until told to stop or the time is over."""
    deadline = time.monotonic() + options.duration_s if options.duration_s is not None else float("inf")

    def goes_on() -> bool:
        return publisher.poll() is None and time.monotonic() < deadline

    console = Console(stderr=True)
    if console.is_terminal and not options.as_json:
        with make_asker(settings, "meterline-run") as asker:
            note = "Ctrl-C stops" if not options.keep else "Ctrl-C ends"
            show_live(LiveView(asker, BOARDS[0], settings.settling.zone(), note), stop, console, goes_on)
    else:
        while goes_on() and not stop.wait(min(_WATCH_S, max(0.0, deadline - time.monotonic()))):
            pass
    if publisher.poll() is not None and not stop.is_set():
        raise PublisherError(f"the publisher ended by itself; {_last_line(spec.log_dir / 'simulate.log')}")


def check(settings: Settings, ledger_dir: Path, delay: Delay, seconds: float) -> dict[str, Any]:
    """Compare the ledger with the store and gather the run's figures."""
    if not (ledger_dir / "acked.bin").is_file():
        raise PublisherError("nothing was published: it was stopped too early")
    with opener(settings, "meterline-verify")() as connection:
        verdict: Verdict = verify(connection, ledger_dir, _PATIENCE_S)
        rejected = connection.execute("select coalesce(sum(seen), 0)::bigint from telemetry.rejected").fetchone()
    return {
        "ok": verdict.ok and verdict.messages_acknowledged > 0,
        "seconds": round(seconds, 1),
        **asdict(verdict),
        "readings_per_s": round(verdict.readings_stored / seconds) if seconds else None,
        "delay_p50_s": delay.p50_s,
        "delay_p99_s": delay.p99_s,
        "delay_max_s": delay.max_s,
        "delay_samples": delay.samples,
        "rejected": rejected[0] if rejected else 0,
    }


@contextlib.contextmanager
def _one_run(spec: StackSpec) -> Iterator[None]:
    """Two runs on one home would take each other's gateways, and the first to end would stop the other's servers."""
    try:
        spec.home.mkdir(parents=True, exist_ok=True)
        lock = (spec.home / "run.lock").open("w")
    except OSError as error:
        raise StackError(f"cannot write {spec.home} ({error.strerror}): use a directory of your own") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(
                f"a run goes on in {spec.home} already: end it, or give this one its own --home and --port-offset"
            ) from None
        yield


def _home(spec: StackSpec) -> str:
    return "" if spec.home == StackSpec.default(Path.cwd()).home else f" with --home {spec.home}"


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
    last = next((line for line in reversed(lines) if line.strip()), "")
    return f"{log} ends with: {last[:200]}" if last else f"see {log}"


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
