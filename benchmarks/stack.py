"""A stack of a benchmark's own, beside any other, removed at the end; and what is asked of it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
from prometheus_client.parser import text_string_to_metric_families

from deploy.stack import StackSpec, destroy, start_programs, start_servers, status, stop
from deploy.stack.programs import SERVICES
from meterline.bootstrap import opener, prepare
from meterline.config import Settings, load_settings

_TIMEOUT_S = 600.0


@contextlib.contextmanager
def benchmark_stack(workers: int = 1, keep: Path | None = None) -> Iterator[tuple[StackSpec, Settings]]:
    """Servers that are up, migrated, with topics; no programs yet.

    Parameters
    ----------
    keep
        Where the stack lives and stays when it is stopped; one that is there already goes on. None: it is removed.
    """
    with contextlib.ExitStack() as stack:
        if keep is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="meterline-benchmark-"))
            spec = StackSpec.with_free_ports(Path(folder) / "run", workers=workers)
            stack.callback(destroy, spec)
        else:
            spec = StackSpec.with_free_ports(keep / "run", workers=workers)
            if (spec.home / "stack.json").exists():
                stop(StackSpec.load(spec.home))  # what an interrupted run left
            stack.callback(stop, spec)
        start_servers(spec)
        settings = load_settings(spec.config_path)
        prepare(settings)
        yield spec, settings


def start_others(spec: StackSpec, last: str) -> None:
    """Start all programs but one, which is to find its work waiting."""
    start_programs(spec, [name for name in SERVICES if name != last])


@contextlib.contextmanager
def peers(module: str, arguments: list[str], environment: Mapping[str, str], count: int = 1) -> Iterator[None]:
    """Processes of a peer while the block runs."""
    command = [sys.executable, "-m", module, *arguments]
    running = [
        subprocess.Popen(command, env=dict(environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(count)
    ]
    try:
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(30)


def bytes_on_disk(settings: Settings, table: str) -> int:
    """Bytes of a hypertable with its indexes and toasted arrays."""
    with opener(settings, "benchmark")() as connection:
        row = connection.execute("select coalesce(hypertable_size(%s), 0)", [table]).fetchone()
    return int(row[0]) if row else 0


def worker_sums(spec: StackSpec, metric: str, **labels: str) -> list[float]:
    """A metric of each worker of the stack; 0 where it doesn't answer yet."""
    return [_metric(spec.ports.worker_ops + number, metric, labels) for number in range(spec.workers)]


def gatherer_sum(spec: StackSpec, metric: str) -> float:
    """A metric of the gatherer of single readings; 0 where it doesn't answer yet."""
    return _metric(spec.ports.readings_ops, metric, {})


def _metric(port: int, metric: str, labels: Mapping[str, str]) -> float:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, OSError):
        return 0.0
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == metric and labels.items() <= sample.labels.items()
    )


def processor_seconds(spec: StackSpec) -> dict[str, float]:
    """Processor time so far by program, that of its child processes included, of those that run."""
    seconds: dict[str, float] = {}
    for process in status(spec):
        if process.pid is not None:
            parent = psutil.Process(process.pid)
            for each in (parent, *parent.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    times = each.cpu_times()
                    seconds[process.group] = seconds.get(process.group, 0.0) + times.user + times.system
    return seconds


def event_loop_seconds(spec: StackSpec) -> float:
    """Processor time of the workers' first threads: what takes messages from Kafka, and does nothing else."""
    pids = [process.pid for process in status(spec) if process.group == "worker" and process.pid is not None]
    threads = [thread for pid in pids for thread in psutil.Process(pid).threads() if thread.id == pid]
    return float(sum(thread.user_time + thread.system_time for thread in threads))


def worker_memory_mib(spec: StackSpec) -> float:
    """Resident memory of the largest worker."""
    return max((psutil.Process(pid).memory_info().rss / 2**20 for pid in _worker_pids(spec)), default=0.0)


def worker_peak_mib(spec: StackSpec) -> float:
    """The most resident memory that a worker has had since its start."""
    status_of = [Path(f"/proc/{pid}/status").read_text(encoding="ascii") for pid in _worker_pids(spec)]
    return max((int(text.split("VmHWM:")[1].split()[0]) / 2**10 for text in status_of), default=0.0)


def _worker_pids(spec: StackSpec) -> list[int]:
    return [process.pid for process in status(spec) if process.group == "worker" and process.pid is not None]


@dataclass(frozen=True, slots=True)
class Measured:
    """Rows that came in a time, and what processor time programs took for them."""

    rows: int
    seconds: float
    processor_s: dict[str, float]

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


def measured(
    spec: StackSpec, count: Callable[[], int], wanted: int, begun: Callable[[], bool], every_s: float = 0.1
) -> Measured:
    """From the moment at which every worker has begun until all rows are there, asked for every so many seconds.

    Raises
    ------
    TimeoutError
        When they don't come.
    AssertionError
        When most had come before all workers had begun: then this measures nothing.
    """
    deadline = time.monotonic() + _TIMEOUT_S

    def wait(done: Callable[[], bool], what: str) -> None:
        while not done():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}; {count():,} of {wanted:,} rows came")
            time.sleep(every_s)

    wait(begun, "not every worker has begun")
    before = processor_seconds(spec)
    started, first = time.monotonic(), count()
    assert first < wanted / 2, f"{first:,} of {wanted:,} rows came before all workers had begun"
    wait(lambda: count() >= wanted, "rows are lacking")
    seconds = time.monotonic() - started
    after = processor_seconds(spec)
    return Measured(wanted - first, seconds, {name: after[name] - before.get(name, 0.0) for name in after})
