"""A stack under load, things that go wrong with it, and what it must have in the end."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import psycopg
import tenacity
from rich.console import Console

from deploy.stack import StackSpec, pid_of, start_servers, stop_programs
from grid.topics import TELEMETRY_READING
from meterline.bootstrap import make_producer, opener
from meterline.config import Settings
from meterline.demonstration import make_twin
from meterline.run import bring_up
from meterline.verify import verify
from store.connection import Connection
from tests.chaos.proxy import Proxy
from tests.chaos.publishing import BACKFILL_AFTER_S, Publish, in_time
from tests.chaos.recompute import recompute, values_sent
from tests.chaos.stored import results, values_stored
from tests.prometheus import prometheus_samples
from tests.waiting import PATIENCE_S, until
from twin.ledger import read_ledger
from twin.scenario import Twin

AREAS = 40
#: Meters in the refused readings of a topic: each once, and as often as it is named.
_UNKNOWN = "select count(distinct meter) from telemetry.rejected, unnest(meters) meter where topic = %s"
_UNKNOWN_OFTEN = "select coalesce(sum(cardinality(meters)), 0)::bigint from telemetry.rejected where topic = %s"


@dataclass
class Load:
    """Telemetry that is being published."""

    ledger_dir: Path
    stop: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None

    def published(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            return len(read_ledger(self.ledger_dir).published)
        return 0

    def goes_on(self, by: int = 200) -> None:
        """Wait until so many more messages are published."""
        before = self.published()
        until(lambda: self.published() > before + by or self.over.is_set(), "messages are published")

    def reaches(self, count: int) -> None:
        """Wait until so many messages are published in all."""
        until(lambda: self.published() >= count or self.over.is_set(), f"{count} messages are published", 240)

    def ends(self) -> None:
        """Wait until all is published."""
        until(self.over.is_set, "all is published", 240)


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
    poisons: int = 0
    """Different messages since the store was emptied that must be refused."""
    poisoned: int = 0
    """How often any of them was sent."""
    nobodys: int = 0
    """Single readings since then, each of another meter that nobody has."""

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
        """Remove all readings and results, chunks and all; again if a worker that still writes was in the way.

        A chunk of results is a week long: one that ends in the future goes too, or they would outlive their readings.
        All at once: readings that a worker writes in between would lose their result, and could never be written again.
        """
        tables = ("telemetry.block", "loss.balance", "loss.superseded")
        with psycopg.connect(self.settings.database.conninfo("owner")) as owner:
            owner.execute(f"lock table {', '.join(tables)} in access exclusive mode".encode())
            for table in tables:
                owner.execute(f"select drop_chunks('{table}', older_than => now() + interval '8 days')".encode())
            owner.execute("truncate telemetry.rejected")
        self.poisons = self.poisoned = self.nobodys = 0

    @contextlib.contextmanager
    def load(self, folder: Path, publish: Publish | None = None) -> Iterator[Load]:
        """Publish, from an empty store; the last acknowledgements are waited for at the end."""
        self.empty()
        made = Load(folder / "ledger")
        work = publish or in_time()

        def run() -> None:
            try:
                work(self.settings, self.twin, made.ledger_dir, made.stop)
            except BaseException as error:  # noqa: BLE001  # raised again below
                made.error = error
            made.over.set()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            made.goes_on(300)
            yield made
        finally:
            made.stop.set()
            thread.join(240)
        if made.error is not None:
            raise made.error
        assert not thread.is_alive()

    def check(self, load: Load, at_least: int) -> None:
        """Nothing is missing or doubled, by the sums and value by value; every result is what plain Python makes of the
        readings; what must be refused was.
        """
        with self.connect() as connection:
            verdict = verify(connection, load.ledger_dir, patience_s=240)
            assert verdict.messages_missing == verdict.messages_doubled == 0, verdict
            assert verdict.ok, verdict
            assert verdict.messages_acknowledged >= at_least
            assert verdict.feeder_intervals_settled > 0
            ledger = read_ledger(load.ledger_dir)
            expected = recompute(self.twin, ledger)
            stored = results(connection)
            wrong = {key: (figures, stored.get(key)) for key, figures in expected.items() if stored.get(key) != figures}
            assert wrong == {}
            assert len(expected) > at_least * 0.8
            sent = values_sent(self.twin, ledger)
            kept = values_stored(connection, list(sent))
            assert [key for key, values in sent.items() if kept.get(key) != values] == []
            # The same again is counted with the first, and what is taken twice after a crash is counted twice.
            until(lambda: self.refused(connection)[1] >= self.poisoned, "what can't be taken is refused", 240)
            said = connection.execute("select reason, left(detail, 200) from telemetry.rejected limit 20").fetchall()
            assert self.refused(connection)[0] == self.poisons, said
            # How many single readings are refused together is the gatherer's affair; after a crash others are.
            until(lambda: self._count(connection, _UNKNOWN_OFTEN) >= self.nobodys, "all are refused", 600)
            assert self._count(connection, _UNKNOWN) == self.nobodys

    def refused(self, connection: Connection) -> tuple[int, int]:
        """Different inputs that were refused, but for single readings, and how often they were."""
        row = connection.execute(
            "select count(*), coalesce(sum(seen), 0)::bigint from telemetry.rejected where topic <> %s",
            [TELEMETRY_READING],
        ).fetchone()
        assert row is not None
        return row[0], row[1]

    def _count(self, connection: Connection, query: str) -> int:
        row = connection.execute(query.encode(), [TELEMETRY_READING]).fetchone()
        assert row is not None
        return int(row[0])

    def rows_written(self, units: str) -> float:
        """Rows that the workers that run have written for `units` since each has started."""
        written = 0.0
        for number in range(self.spec.workers):
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.get(f"http://127.0.0.1:{self.spec.ports.worker_ops + number}/metrics", timeout=30)
                written += prometheus_samples(answer)["meterline_worker_rows_written_total", units]
        return written

    def start_servers(self) -> None:
        start_servers(self.spec)

    def stop(self, name: str) -> None:
        stop_programs(self.spec, [name])

    def kill(self, name: str) -> None:
        os.kill(self.pid(name), signal.SIGKILL)

    def pid(self, name: str) -> int:
        pid = until(lambda: pid_of(self.spec, name), f"{name} is up")
        assert pid is not None
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
                return "\nmeterline_bridge_gaps_open 0.0\n" in httpx.get(url, timeout=30).text
            return False

        until(filled, "no gap is open", 240)

    def send(self, topic: str, value: bytes, partition: int) -> None:
        """Put a record into Kafka."""
        with contextlib.closing(make_producer(self.settings)) as producer:
            producer.send(topic, value=value, partition=partition).get(timeout=PATIENCE_S)

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
            until(functools.partial(self._is_ready, number), f"worker {number} is ready", 240)

    def _is_ready(self, number: int) -> bool:
        return self._ready(number) == 200

    def _ready(self, number: int) -> int:
        with contextlib.suppress(httpx.TransportError):
            url = f"http://127.0.0.1:{self.spec.ports.worker_ops + number}/readyz"
            return httpx.get(url, timeout=30).status_code
        return 0


def make_stack(spec: StackSpec) -> Stack:
    """Bring a stack with two workers up, whose programs reach database and broker through proxies."""
    spec.home.mkdir(parents=True, exist_ok=True)
    database, mqtt = Proxy(spec.ports.postgres), Proxy(spec.ports.mqtt)
    (spec.home / "local.toml").write_text(
        f"[worker]\nstalled_s = 6\n[ingest]\ngap_wait_s = 1.0\nbackfill_after_s = {BACKFILL_AFTER_S}\n"
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
