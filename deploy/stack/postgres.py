"""PostgreSQL of one stack: its cluster, its roles, its databases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from deploy.stack.accounts import ensure_secret
from deploy.stack.config_files import hba_conf, postgresql_conf
from deploy.stack.errors import StackError
from deploy.stack.host import memory_mib, privileged, run
from deploy.stack.install import PostgresPlace
from deploy.stack.spec import StackSpec, write_atomically

DATABASE: Final = "meterline"
OWNER: Final = "meterline_owner"
APP: Final = "meterline_app"
BOARD: Final = "meterline_board"
REVENUE: Final = "meterline_revenue"
SECRETS: Final = {OWNER: "db-owner", APP: "db-app", BOARD: "db-board", REVENUE: "db-revenue"}
# The server's account, of the distribution's package; PostgreSQL refuses to run as root.
ACCOUNT: Final = "postgres"
PLACE_FILE: Final = "place.json"
# What goes with a role into every session. A client that stopped in the middle of a transaction, by a debugger or a
# frozen machine, keeps the rows that it wrote from its successor: the server ends it. Boards' statements are short, and
# compiling them would take longer than they do.
ROLE_SETTINGS: Final = {
    APP: {"idle_in_transaction_session_timeout": "30s", "statement_timeout": "5min"},
    BOARD: {
        "statement_timeout": "5s",
        "idle_in_transaction_session_timeout": "10s",
        "default_transaction_read_only": "on",
        "jit": "off",
    },
    # Not read-only: that a meter's series was read is written down.
    REVENUE: {"statement_timeout": "5s", "idle_in_transaction_session_timeout": "10s", "jit": "off"},
}
# The Apache edition schedules this job of its own and then refuses to run it, with an error in the log each time.
QUIET_JOBS: Final = """
update _timescaledb_config.bgw_job set scheduled = false
where proc_name = 'policy_job_stat_history_retention' and scheduled
  and current_setting('timescaledb.license') = 'apache'
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster of a stack: where its programs are and where its data lies."""

    place: PostgresPlace
    key: str

    @property
    def inside(self) -> str:
        """Directory of this stack as PostgreSQL sees it."""
        return f"/var/lib/meterline/{self.key}"

    @property
    def directory(self) -> Path:
        """The same as the machine sees it."""
        return self.place.root / self.inside.lstrip("/")

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def as_server(self, program: str, *arguments: str) -> tuple[str, ...]:
        """Command of root's that runs one of PostgreSQL's programs as its own account, inside its file system."""
        account = f"--userspec={ACCOUNT}:{ACCOUNT}"
        return ("/usr/sbin/chroot", account, str(self.place.root), f"{self.place.bin_dir}/{program}", *arguments)

    def command(self) -> tuple[str, ...]:
        """How the server is started; chroot becomes it, so a signal reaches it straight."""
        settings = f"{self.inside}/postgresql.conf"
        return self.as_server("postgres", "-D", f"{self.inside}/data", "-c", f"config_file={settings}")


def cluster_of(spec: StackSpec) -> Cluster | None:
    """The cluster that this stack made, if it made one."""
    try:
        place = json.loads((spec.home / "postgres" / PLACE_FILE).read_text())
    except FileNotFoundError:
        return None
    return Cluster(PostgresPlace(Path(place["root"]), place["bin_dir"]), spec.key)


def settings_text(spec: StackSpec) -> str:
    """All settings of the server, as one text to compare."""
    return postgresql_conf(spec, memory_mib=memory_mib()) + _paths(spec) + hba_conf()


def _paths(spec: StackSpec) -> str:
    inside = f"/var/lib/meterline/{spec.key}"
    return f"data_directory = '{inside}/data'\nhba_file = '{inside}/pg_hba.conf'\n"


def ensure_cluster(spec: StackSpec, place: PostgresPlace) -> Cluster:
    """The stack's cluster, initialised if it is new, with its settings written afresh."""
    cluster = cluster_of(spec)
    if cluster is None or not cluster.place.root.is_dir():
        cluster = Cluster(place, spec.key)
        # The home is new, so a cluster of its name is of a home that was deleted, and its passwords went with that.
        if cluster.directory.is_dir():
            run(privileged(["rm", "-rf", "--one-file-system", str(cluster.directory)]), what="removing an old cluster")
    home = spec.home / "postgres"
    write_atomically(home / "postgresql.conf", postgresql_conf(spec, memory_mib=memory_mib()) + _paths(spec))
    write_atomically(home / "pg_hba.conf", hba_conf())
    root = str(cluster.place.root)
    chroot = ["/usr/sbin/chroot", root]
    steps = [[*chroot, "install", "-d", "-m", "0755", "/var/lib/meterline"]]
    steps += [[*chroot, "install", "-d", "-o", ACCOUNT, "-g", ACCOUNT, "-m", "0755", cluster.inside]]
    steps += [
        ["install", "-m", "0644", str(home / name), str(cluster.directory)]
        for name in ("postgresql.conf", "pg_hba.conf")
    ]
    for step in steps:
        run(privileged(step), what="preparing PostgreSQL's directory")
    if not _initialised(cluster):
        _initialise(spec, cluster)
    write_atomically(home / PLACE_FILE, json.dumps({"root": root, "bin_dir": cluster.place.bin_dir}) + "\n")
    return cluster


def _initialised(cluster: Cluster) -> bool:
    # The data directory is closed to others; the mark beside it is made after initdb has ended well.
    return (cluster.directory / "initialised").exists()


def _initialise(spec: StackSpec, cluster: Cluster) -> None:
    password = f"{cluster.inside}/password"
    _as_account(cluster, ["rm", "-rf", f"{cluster.inside}/data", password])
    _as_account(
        cluster, ["sh", "-c", f"umask 077 && cat > {password}"], stdin=ensure_secret(spec, "db-superuser") + "\n"
    )
    options = ["--username=postgres", f"--pwfile={password}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
    options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--data-checksums", "--no-instructions"]
    command = cluster.as_server("initdb", *options, "-D", f"{cluster.inside}/data")
    run(privileged(command), what="initdb")
    _as_account(cluster, ["rm", "-f", password])
    _as_account(cluster, ["touch", f"{cluster.inside}/initialised"])


def _as_account(cluster: Cluster, argv: Sequence[str], stdin: str | None = None) -> None:
    chroot = ["/usr/sbin/chroot", f"--userspec={ACCOUNT}:{ACCOUNT}", str(cluster.place.root)]
    run(privileged([*chroot, *argv]), what="preparing PostgreSQL's directory", stdin=stdin)


def destroy_cluster(spec: StackSpec) -> None:
    """Remove the stack's data; the server must be down."""
    cluster = cluster_of(spec)
    if cluster is not None and cluster.directory.is_dir():
        run(privileged(["rm", "-rf", "--one-file-system", str(cluster.directory)]), what="removing PostgreSQL's data")
        (spec.home / "postgres" / PLACE_FILE).unlink()


def superuser_dsn(spec: StackSpec, database: str = "postgres") -> str:
    """Connection string of the cluster's superuser: for set-up and for tests, not for services."""
    secret = ensure_secret(spec, "db-superuser")
    return psycopg.conninfo.make_conninfo(
        host="127.0.0.1", port=spec.ports.postgres, user="postgres", password=secret, dbname=database, connect_timeout=5
    )


def ensure_database(spec: StackSpec, name: str = DATABASE) -> None:
    """Roles with the least rights, and a database with TimescaleDB whose tables the roles may use. Idempotent.

    `meterline_owner` owns the database and runs migrations; `meterline_app` reads and writes rows; `meterline_board`
    may connect, read-only, for five seconds a statement (see `ROLE_SETTINGS`); `meterline_revenue` may do what boards
    may, and reads a meter's series through one function. Rights on schemas are given by the migrations that make them.
    """
    with psycopg.connect(superuser_dsn(spec), autocommit=True) as connection:
        for role, secret in SECRETS.items():
            _ensure_role(connection, role, ensure_secret(spec, secret))
        for role, settings in ROLE_SETTINGS.items():
            for setting, value in settings.items():
                alter = sql.SQL("alter role {} set {} = {}")
                connection.execute(alter.format(sql.Identifier(role), sql.Identifier(setting), sql.Literal(value)))
        if connection.execute("select from pg_database where datname = %s", [name]).fetchone() is None:
            connection.execute(
                sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(OWNER))
            )
    with psycopg.connect(superuser_dsn(spec, name), autocommit=True) as connection:
        for statement in (
            "create extension if not exists timescaledb",
            "revoke all on schema public from public",
            "grant usage on schema public to {app}, {board}",
            "grant usage, create on schema public to {owner}",
            "revoke all on database {database} from public",
            "grant connect, temporary on database {database} to {app}",
            "grant connect on database {database} to {board}, {revenue}",
            "grant {board} to {revenue}",
            "alter default privileges for role {owner} grant select, insert, update, delete on tables to {app}",
            "alter default privileges for role {owner} grant usage, select on sequences to {app}",
        ):
            names = {"owner": OWNER, "app": APP, "board": BOARD, "revenue": REVENUE, "database": name}
            connection.execute(sql.SQL(statement).format(**{k: sql.Identifier(v) for k, v in names.items()}))
        connection.execute(QUIET_JOBS)


def _ensure_role(connection: psycopg.Connection, role: str, password: str) -> None:
    exists = connection.execute("select from pg_roles where rolname = %s", [role]).fetchone() is not None
    verb = "alter" if exists else "create"
    # Hashed here: a statement that fails is written to the server's log.
    hashed = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    options = "login nosuperuser nocreatedb nocreaterole noreplication nobypassrls"
    statement = sql.SQL(f"{verb} role {{}} {options} password {{}}")
    connection.execute(statement.format(sql.Identifier(role), sql.Literal(hashed)))


def running_pid(cluster: Cluster) -> int | None:
    """Process id in the server's lock file, whether or not the process still lives."""
    try:
        text = run(privileged(["cat", str(cluster.data / "postmaster.pid")]), what="reading PostgreSQL's lock file")
        return int(text.split()[0])
    except (StackError, ValueError, IndexError):
        return None
