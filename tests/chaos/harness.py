"""A stack under load, things that go wrong with it, and what it must have in the end."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
import psycopg
import pytest
import structlog
import tenacity
from rich.console import Console

from deploy.stack import StackSpec, pid_of, start_servers, stop_programs
from deploy.stack.postgres import cluster_of, superuser_dsn
from meterline.bootstrap import make_producer, opener
from meterline.config import Settings
from meterline.demonstration import make_twin, simulate
from meterline.run import bring_up
from meterline.verify import verify
from store.connection import Connection
from tests.chaos.proxy import Proxy
from tests.chaos.recompute import Figures, recompute
from twin.ledger import read_ledger
from twin.scenario import Twin

AREAS = 40
#: More than the bridge may hold and its producer's buffer; less than what is sent while nothing can pass.
GROWTH_MAX = 192 << 20

log = structlog.get_logger("chaos")


def until(condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"in {timeout_s:g} s not: {what}"
        time.sleep(0.1)
    return answer


@dataclass
class Load:
    """Telemetry that is being published."""

    ledger_dir: Path
    stop: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None

    def published(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            return len(read_ledger(self.ledger_dir).published)
        return 0

    def goes_on(self, by: int = 200) -> None:
        """Wait until so many more messages are published."""
        before = self.published()
        until(lambda: self.published() > before + by or self.error, "messages are published")


@dataclass
class Stack:
    """Servers, bridge and two workers, with the demonstration grid."""

    spec: StackSpec
    settings: Settings
    """Past the proxies, straight to the servers."""
    twin: Twin
    database: Proxy
    """Between the programs and the database."""
    mqtt: Proxy
    """Between the bridge and the broker."""
    poisoned: int = 0
    """Messages since the store was emptied that must be refused."""

    def connect(self) -> Connection:
        connection = opener(self.settings, "chaos")()
        connection.autocommit = True
        return connection

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(psycopg.errors.DeadlockDetected),
        stop=tenacity.stop_after_attempt(20),
        wait=tenacity.wait_fixed(0.5),
        reraise=True,
    )
    def empty(self) -> None:
        """Remove all readings and results, chunks and all; again if a worker that still writes was in the way."""
        with psycopg.connect(self.settings.database.conninfo("owner"), autocommit=True) as owner:
            for table in ("telemetry.block", "loss.balance", "loss.superseded"):
                owner.execute(f"select drop_chunks('{table}', older_than => now() + interval '1 day')".encode())
            owner.execute("delete from telemetry.rejected")
        self.poisoned = 0

    @contextlib.contextmanager
    def load(self, folder: Path, rate: float = 150.0) -> Iterator[Load]:
        """Publish days of the past, from an empty store; the last acknowledgements are waited for at the end."""
        self.empty()
        made = Load(folder / "ledger")

        def publish() -> None:
            try:
                simulate(self.settings, self.twin, made.ledger_dir, stop=made.stop, days=5, rate=rate)
            except BaseException as error:  # noqa: BLE001  # raised again below
                made.error = error

        thread = threading.Thread(target=publish, daemon=True)
        thread.start()
        try:
            made.goes_on(300)
            yield made
        finally:
            made.stop.set()
            thread.join(60)
        if made.error is not None:
            raise made.error
        assert not thread.is_alive()

    def check(self, load: Load, at_least: int) -> None:
        """Nothing is missing or doubled, by the sums, and every result is what plain Python makes of the readings."""
        with self.connect() as connection:
            verdict = verify(connection, load.ledger_dir, patience_s=90)
            assert verdict.messages_missing == verdict.messages_doubled == 0, verdict
            assert verdict.ok, verdict
            assert verdict.messages_acknowledged >= at_least
            assert verdict.feeder_intervals_settled > 0
            expected = recompute(self.twin, read_ledger(load.ledger_dir))
            stored = results(connection)
            wrong = {key: (figures, stored.get(key)) for key, figures in expected.items() if stored.get(key) != figures}
            assert wrong == {}
            assert len(expected) > at_least * 0.8
            refused = connection.execute("select reason, left(detail, 200) from telemetry.rejected").fetchall()
            assert len(refused) == self.poisoned, refused[:5]

    def start_servers(self) -> None:
        start_servers(self.spec)

    def stop(self, name: str) -> None:
        stop_programs(self.spec, [name])

    def kill(self, name: str) -> None:
        os.kill(self.pid(name), signal.SIGKILL)

    def pid(self, name: str) -> int:
        pid: int = until(lambda: pid_of(self.spec, name), f"{name} is up")
        return pid

    @contextlib.contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Stop a process and its children as a frozen machine would; wake them at the end."""
        process = psutil.Process(self.pid(name))
        family = [process, *process.children(recursive=True)]
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.suspend()
        try:
            yield
        finally:
            for each in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.resume()

    def until_settled(self, since: float, within_s: float) -> float:
        """Wait until each area has a message settled that was received after `since`; how long that took after it."""
        query = (
            "select count(*) from grid.unit u where kind = 'area' and not exists"
            " (select from telemetry.block b where b.unit_id = u.unit_id and received_at > to_timestamp(%s))"
        )

        def settled() -> bool:
            with contextlib.suppress(psycopg.OperationalError), self.connect() as connection:
                return connection.execute(query, [since]).fetchone() == (0,)
            return False

        until(settled, "each area is settled again", within_s + since - time.time())
        return time.time() - since

    def until_no_gap(self) -> None:
        """Wait until the bridge has all that it has asked for again."""
        url = f"http://127.0.0.1:{self.spec.ports.bridge_ops}/metrics"

        def filled() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return "\nmeterline_bridge_gaps_open 0.0\n" in httpx.get(url, timeout=5).text
            return False

        until(filled, "no gap is open")

    def send(self, topic: str, value: bytes, partition: int) -> None:
        """Put a record into Kafka."""
        with contextlib.closing(make_producer(self.settings)) as producer:
            producer.send(topic, value=value, partition=partition).get(timeout=30)

    @contextlib.contextmanager
    def gone(self, name: str) -> Iterator[None]:
        """Kill a process that nobody starts again meanwhile."""
        pid = self.pid(name)  # the supervisor answers, while it can
        supervisor = psutil.Process(int((self.spec.home / "supervisor" / "supervisord.pid").read_text()))
        supervisor.suspend()
        try:
            os.kill(pid, signal.SIGKILL)
            yield
        finally:
            supervisor.resume()

    def until_unready(self) -> None:
        """Wait until a worker says that its commits stall."""
        until(lambda: 503 in {self._ready(0), self._ready(1)}, "a worker isn't ready")

    def until_ready(self) -> None:
        """Wait until both workers commit again."""
        for number in (0, 1):
            # While a worker catches up on a busy machine, single batches may take long.
            until(functools.partial(self._is_ready, number), f"worker {number} is ready", 120)

    def _is_ready(self, number: int) -> bool:
        return self._ready(number) == 200

    def _ready(self, number: int) -> int:
        with contextlib.suppress(httpx.TransportError):
            url = f"http://127.0.0.1:{self.spec.ports.worker_ops + number}/readyz"
            return httpx.get(url, timeout=5).status_code
        return 0


@contextlib.contextmanager
def small_disk(stack: Stack, size_mib: int) -> Iterator[Path]:
    """A file system of its own for the chunks that are made from now on; yields its folder."""
    cluster = cluster_of(stack.spec)
    assert cluster is not None
    folder = cluster.directory / "small"
    folder.mkdir()
    owner = cluster.directory.stat()
    options = f"size={size_mib}m,uid={owner.st_uid},gid={owner.st_gid},mode=700"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "small", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        folder.rmdir()
        pytest.skip(f"a file system can't be mounted here: {mounted.stderr.strip()}")
    try:
        with psycopg.connect(superuser_dsn(stack.spec, "meterline"), autocommit=True) as root:
            root.execute(f"create tablespace small location '{cluster.inside}/small'".encode())
            root.execute("grant create on tablespace small to meterline_owner")
            for table in ("telemetry.block", "loss.balance"):
                root.execute(f"select attach_tablespace('small', '{table}')".encode())
        yield folder
    finally:
        try:
            with psycopg.connect(superuser_dsn(stack.spec, "meterline"), autocommit=True) as root:
                root.execute("select detach_tablespaces('telemetry.block'), detach_tablespaces('loss.balance')")
                stack.empty()
                root.execute("checkpoint")
                root.execute("drop tablespace small")
        finally:
            # Lazily: a server's process may still have a removed file open.
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def make_stack(spec: StackSpec) -> Stack:
    """Bring a stack with two workers up, whose programs reach database and broker through proxies."""
    spec.home.mkdir(parents=True, exist_ok=True)
    database, mqtt = Proxy(spec.ports.postgres), Proxy(spec.ports.mqtt)
    (spec.home / "local.toml").write_text(
        f"[worker]\nstalled_s = 6\n[ingest]\ngap_wait_s = 1.0\n"
        f"[database]\nport = {database.port}\n[mqtt]\nport = {mqtt.port}\n"
    )
    settings = bring_up(spec, AREAS, Console(stderr=True, quiet=True))
    straight = settings.model_copy(
        update={
            "database": settings.database.model_copy(update={"port": spec.ports.postgres}),
            "mqtt": settings.mqtt.model_copy(update={"port": spec.ports.mqtt}),
        }
    )
    return Stack(spec, straight, make_twin(AREAS), database, mqtt)


def results(connection: Connection) -> dict[tuple[str, int], Figures]:
    """Settled figures by unit and end of the interval."""
    rows = connection.execute(
        "select code, (extract(epoch from observed_at) * 1000000)::bigint, inflow_wh, outflow_wh, loss_wh,"
        " members_loss_wh, computable from loss.balance join grid.unit using (unit_id)"
    )
    return {(code, at): Figures(*figures) for code, at, *figures in rows}


def versions(connection: Connection) -> dict[tuple[int, int], tuple[int, Any]]:
    """Version and time of writing of every stored block."""
    rows = connection.execute(
        "select unit_id, (extract(epoch from observed_at) * 1000000)::bigint, version, recorded_at from telemetry.block"
    )
    return {(unit, at): (version, recorded_at) for unit, at, version, recorded_at in rows}


class Memory:
    """Watches the resident memory of bridge and workers."""

    def __init__(self, spec: StackSpec) -> None:
        self._spec = spec
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.first: dict[str, int] = {}
        self.most: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def growth(self) -> dict[str, int]:
        """Bytes by process, from the first sample to the greatest."""
        return {name: self.most[name] - self.first[name] for name in self.first}

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            self._sample()

    def _sample(self) -> None:
        for name in ("bridge", "worker-0", "worker-1"):
            with contextlib.suppress(psutil.NoSuchProcess):
                if (pid := pid_of(self._spec, name)) is not None:
                    size = psutil.Process(pid).memory_info().rss
                    self.first.setdefault(name, size)
                    self.most[name] = max(self.most.get(name, 0), size)
