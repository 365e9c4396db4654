"""The native stack on real servers: what is killed comes back, what is stopped is gone, rights are the least."""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from deploy.stack import (
    ProcessState,
    StackError,
    StackSpec,
    destroy,
    pid_of,
    set_gateways,
    start_servers,
    status,
    stop,
    wait_ready,
)
from deploy.stack.checks import doctor
from deploy.stack.host import is_root
from deploy.stack.postgres import APP, BOARD, DATABASE, OWNER, ROLE_SETTINGS, SECRETS
from deploy.stack.processes import leftovers, send_signal
from tests.waiting import PATIENCE_S

SERVERS = ("postgres", "kafka", "mosquitto")


def eventually(condition: Callable[[], bool], seconds: float = PATIENCE_S) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def connect(spec: StackSpec, role: str) -> psycopg.Connection:
    return psycopg.connect(
        host="127.0.0.1",
        port=spec.ports.postgres,
        dbname=DATABASE,
        user=role,
        password=spec.secret_path(SECRETS[role]).read_text().strip(),
        autocommit=True,
    )


def publish(spec: StackSpec, account: str, password: str, topic: str, payload: bytes = b"{}") -> str:
    """Connect and publish once; what came of it."""
    outcome: list[str] = []
    done = threading.Event()

    def finish(text: str) -> None:
        outcome.append(text)
        done.set()

    def on_connect(client: Client, _data: object, _flags: object, reason: Any, _properties: object) -> None:
        if reason.is_failure:
            finish(f"connect: {reason}")
        else:
            client.publish(topic, payload, qos=1)

    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    client.username_pw_set(account, password)
    client.on_connect = on_connect
    client.on_publish = lambda _c, _d, _mid, reason, _p: finish(f"publish: {reason}")
    client.on_disconnect = lambda _c, _d, _f, reason, _p: finish(f"disconnect: {reason}")
    client.connect("127.0.0.1", spec.ports.mqtt)
    client.loop_start()
    try:
        assert done.wait(PATIENCE_S), "the broker gave no answer"
        return outcome[0]
    finally:
        client.disconnect()
        client.loop_stop()


def password_of(spec: StackSpec, gateway: str) -> str:
    return spec.secret_path(f"gateways/{gateway}").read_text().strip()


def test_servers_answer_and_the_doctor_is_content(stack: StackSpec, config_path: Path) -> None:
    running = {process.group: process for process in status(stack) if process.group in SERVERS}
    assert {name: process.state for name, process in running.items()} == dict.fromkeys(SERVERS, ProcessState.RUNNING)
    assert config_path.is_file()
    assert [check for check in doctor(stack) if not check.ok and check.name not in {"disk", "memory"}] == []


def test_a_second_start_leaves_running_servers_alone(stack: StackSpec) -> None:
    before = {name: pid_of(stack, name) for name in SERVERS}
    start_servers(stack)
    assert {name: pid_of(stack, name) for name in SERVERS} == before


@pytest.mark.parametrize("name", SERVERS)
def test_a_killed_server_is_started_again(stack: StackSpec, name: str) -> None:
    first = pid_of(stack, name)
    assert first is not None
    send_signal(psutil.Process(first), signal.SIGKILL)
    assert eventually(lambda: pid_of(stack, name) not in {None, first})
    wait_ready(stack, 60)


def test_a_gateway_writes_below_its_own_name_only(stack: StackSpec) -> None:
    set_gateways(stack, ["GW-1", "GW-2"])
    # The broker reads its files again on a signal, a moment later.
    topic = "meterline/v1/GW-1/block/A-1"
    assert eventually(lambda: publish(stack, "GW-1", password_of(stack, "GW-1"), topic).startswith("publish:"))
    taken = publish(stack, "GW-1", password_of(stack, "GW-1"), topic)
    assert "Not authorized" not in taken
    assert "Not authorized" in publish(stack, "GW-2", password_of(stack, "GW-2"), topic)
    assert publish(stack, "GW-1", "wrong", topic).startswith("connect: Not authorized")


def test_ten_megabytes_pass_the_broker_and_what_is_over_its_limit_is_not_acknowledged(stack: StackSpec) -> None:
    set_gateways(stack, ["GW-1"])
    account = ("GW-1", password_of(stack, "GW-1"), "meterline/v1/GW-1/block/A-1")
    assert eventually(lambda: publish(stack, *account).startswith("publish:"))
    assert publish(stack, *account, b"x" * 10_000_000).startswith("publish:")
    assert publish(stack, *account, b"x" * 17_000_000).startswith("disconnect:")


def test_roles_have_the_least_rights(stack: StackSpec) -> None:
    with connect(stack, OWNER) as owner:
        owner.execute("create schema rights")
        owner.execute("create table rights.reading (observed_at timestamptz not null, id int)")
        owner.execute("select create_hypertable('rights.reading', 'observed_at')")
        owner.execute(f"grant usage on schema rights to {APP}, {BOARD}")
    try:
        with connect(stack, APP) as app:
            app.execute("insert into rights.reading values (now(), 1)")
            assert app.execute("select time_bucket('1 hour', observed_at) from rights.reading").fetchone() is not None
            for statement in ("drop table rights.reading", "create table public.x ()", "create schema x"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    app.execute(statement)
            app.execute("begin; insert into rights.reading values (now(), 2)")
            app.execute("set local idle_in_transaction_session_timeout = '100ms'")
            with connect(stack, OWNER) as owner:
                session = "select from pg_stat_activity where pid = %s"
                assert eventually(lambda: owner.execute(session, [app.info.backend_pid]).rowcount == 0)
            with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
                app.execute("select 1")
        for role, settings in ROLE_SETTINGS.items():
            with connect(stack, role) as connection:
                for setting, value in settings.items():
                    assert connection.execute(f"show {setting}").fetchone() == (value,)
        with connect(stack, BOARD) as board:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                board.execute("select from rights.reading")
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                board.execute("create temporary table x ()")
    finally:
        with connect(stack, OWNER) as owner:
            owner.execute("drop schema rights cascade")


@pytest.mark.slow
def test_a_second_stack_lives_beside_the_first_and_leaves_nothing(stack: StackSpec, tmp_path: Path) -> None:
    second = StackSpec.with_free_ports(tmp_path / "second")
    try:
        start_servers(second)
        assert not {pid_of(stack, name) for name in SERVERS} & {pid_of(second, name) for name in SERVERS}
        # The supervisor dies first: what it kept up is found without it.
        supervisor = next(p for p in leftovers(second) if "supervisor.supervisord" in p.cmdline())
        send_signal(supervisor, signal.SIGKILL)
        assert eventually(lambda: not supervisor.is_running())
        assert {p.state for p in status(second)} == {ProcessState.STOPPED}
        assert leftovers(second) != []
        stop(second)
        assert leftovers(second) == []
        start_servers(second)
        stop(second)
        assert leftovers(second) == []
        stop(second)
    finally:
        destroy(second)
    assert not second.home.exists()
    assert pid_of(stack, "kafka") is not None


def test_a_port_of_another_program_gives_one_line(stack: StackSpec, tmp_path: Path) -> None:
    taken = StackSpec(tmp_path / "other", stack.cache, ports=stack.ports)
    # Whose the port is, only root can see.
    who = r"postgres \(process \d+\)" if is_root() else "another program"
    line = rf"^port \d+ \(postgres\) is in use by {who}: stop that, or give this stack another port$"
    with pytest.raises(StackError, match=line):
        start_servers(taken)
    destroy(taken)
