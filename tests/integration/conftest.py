"""Real servers for the integration tests: one stack a session, beside whatever else runs on the machine.

A template database is migrated once and cloned for each test. What runs Meterline's own programs has servers of its
own: see `live`.
"""

from __future__ import annotations

import itertools
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from deploy.stack import StackSpec, destroy, start_servers
from deploy.stack.postgres import ensure_database, superuser_dsn
from deploy.stack.probes import port_answers
from meterline.bootstrap import prepare
from meterline.config import Settings, load_settings
from meterline.settings.servers import DatabaseSection
from store.migrate import migrate
from tests.waiting import until

_TEMPLATE = "meterline_template"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Database:
    """A freshly migrated database."""

    section: DatabaseSection

    def conninfo(self, role: str) -> str:
        """Connection string of `app`, `owner`, `board` or `revenue`."""
        return self.section.conninfo(role)  # type: ignore[arg-type]


@contextmanager
def running_servers(home: Path) -> Iterator[StackSpec]:
    """Mosquitto, Kafka and TimescaleDB; nothing of them is left at the end."""
    spec = StackSpec.with_free_ports(home)
    try:
        start_servers(spec)
        yield spec
    finally:
        destroy(spec)


def prepared(config_path: Path) -> Settings:
    """Settings of a stack whose own database is migrated and whose topics are made."""
    loaded = load_settings(config_path)
    prepare(loaded)
    return loaded


def migrated_template(stack: StackSpec) -> str:
    """Name of a migrated database that can be cloned."""
    ensure_database(stack, _TEMPLATE)
    section = load_settings(stack.config_path).database
    migrate(section.host, section.port, _TEMPLATE, section.owner, section.owner_password_file.read_text().strip())
    with psycopg.connect(superuser_dsn(stack), autocommit=True) as connection:
        # TimescaleDB's background worker would connect, and a database with sessions can't be cloned.
        connection.execute(sql.SQL("alter database {} allow_connections false").format(sql.Identifier(_TEMPLATE)))
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [_TEMPLATE])
    return _TEMPLATE


@contextmanager
def own_databases(stack: StackSpec, template: str) -> Iterator[Callable[[], Database]]:
    """Makes clones of a migrated template, which are gone at the end."""
    made: list[str] = []

    def make() -> Database:
        name = f"test_{next(_numbers)}"
        section = load_settings(stack.config_path).database.model_copy(update={"name": name})
        names = {
            "name": sql.Identifier(name),
            "template": sql.Identifier(template),
            "owner": sql.Identifier(section.owner),
            "app": sql.Identifier(section.user),
            "board": sql.Identifier(section.board),
            "revenue": sql.Identifier(section.revenue),
        }
        made.append(name)
        for statement in (
            "create database {name} template {template} owner {owner}",
            "revoke all on database {name} from public",
            "grant connect, temporary on database {name} to {app}",
            "grant connect on database {name} to {board}, {revenue}",
        ):
            superuser.execute(sql.SQL(statement).format(**names))
        return Database(section)

    with psycopg.connect(superuser_dsn(stack), autocommit=True) as superuser:
        yield make
        for name in made:
            superuser.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackSpec]:
    """Servers, started once."""
    with running_servers(tmp_path_factory.mktemp("stack") / "run") as spec:
        yield spec


@pytest.fixture(scope="session")
def config_path(stack: StackSpec) -> Path:
    """Meterline's settings file for that stack."""
    return stack.config_path


@pytest.fixture(scope="session")
def settings(config_path: Path) -> Settings:
    """Settings of the stack, its own database migrated and its topics made."""
    return prepared(config_path)


@pytest.fixture(scope="session")
def template(stack: StackSpec) -> str:
    """Name of the migrated database that tests clone."""
    return migrated_template(stack)


@pytest.fixture
def make_database(stack: StackSpec, template: str) -> Iterator[Callable[[], Database]]:
    """Makes databases of the test's own."""
    with own_databases(stack, template) as make:
        yield make


@pytest.fixture
def database(make_database: Callable[[], Database]) -> Database:
    """A database of the test's own."""
    return make_database()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[tuple[int, Callable[[], None]]]:
    """Port of a broker without accounts, and what kills it and starts it again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    settings = tmp_path / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 50\n")

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["mosquitto", "-c", str(settings)], stderr=subprocess.DEVNULL)
        until(lambda: port_answers(port), "mosquitto starts")
        return process

    running = [start()]

    def restart() -> None:
        running[0].kill()
        running[0].wait()
        running[0] = start()

    yield port, restart
    running[0].kill()
    running[0].wait()
