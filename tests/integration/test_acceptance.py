"""The acceptance of a site: everything on the real servers, wrong settings that make it fail, and its signature."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from psycopg import sql
from psycopg_pool import ConnectionPool

from console.api import rollout_routers
from console.api.desk import Desk
from console.api.tokens import RateLimiter, Tokens, hash_of
from console.live import Hub, LiveLimits
from deploy.stack import StackSpec
from deploy.stack.postgres import superuser_dsn
from grid.calendar import Calendar
from meterline.acceptance.interfaces import check_interfaces, ntp_offset
from meterline.acceptance.machine import check_disk, check_pins
from meterline.acceptance.servers import check_database, check_kafka, check_mqtt
from meterline.config import Settings
from meterline.settings.servers import MqttSection
from meterline.settings.sync import AcceptanceSection, EndpointSection
from store.connection import Connection, connect
from store.rollout import read_figure
from sync.load import load_grid
from sync.rollout.acceptance import Check, file_acceptance, list_acceptances, read_acceptance, read_report, write_report
from sync.rollout.errors import NotFoundError, RolloutError
from sync.rollout.signing import prove, sign
from sync.rollout.tickets import DeskRules
from tests.console_server import serving
from tests.rollout_grid import MONDAY, SHANGHAI, rollout_model
from tests.waiting import until


def failed(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if not check.ok]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the keys of a site and of another, made as the documents say."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("site", "other"):
        private, public = folder / f"{name}.pem", folder / f"{name}.pub"
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
        subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    return folder


def test_the_real_servers_are_accepted(settings: Settings) -> None:
    checks = [*check_database(settings.database), *check_kafka(settings.kafka), *check_mqtt(settings.mqtt)]
    assert failed(checks) == []
    found = {check.name: check.found for check in checks}
    assert found["postgresql"].startswith("17")
    assert found["timescaledb"] == "2.19.3 (apache)"
    assert found["rights of the application"] == "ordinary"
    assert "all applied" in found["migrations"]
    assert found["mqtt packet size"] == str(16 << 20)
    assert found["mqtt without an account"] == "Not authorized"
    assert "topic telemetry.area" in found


def test_a_wrong_setting_of_the_database_is_found(database: Any, stack: StackSpec) -> None:
    assert failed(check_database(database.section)) == []
    name = sql.Identifier(database.section.name)
    with psycopg.connect(superuser_dsn(stack), autocommit=True) as superuser:
        superuser.execute(sql.SQL("alter database {} set synchronous_commit = off").format(name))
    assert failed(check_database(database.section)) == ["synchronous_commit"]
    with psycopg.connect(database.conninfo("owner"), autocommit=True) as owner:
        owner.execute("delete from public._yoyo_migration where migration_id = '0032.site_facts'")
    last = check_database(database.section)[-1]
    assert (last.name, last.ok, last.found) == ("migrations", False, "0032.site_facts is missing")


def test_a_database_that_is_away_is_one_check(settings: Settings) -> None:
    (check,) = check_database(settings.database.model_copy(update={"port": 1}))
    assert (check.name, check.ok) == ("connection", False)


def wait_for(settings: Settings, faults: list[str]) -> None:
    """A broker hears of a changed setting a moment later."""
    found: list[str] = []

    def heard() -> bool:
        found[:] = [check.found for check in check_kafka(settings.kafka) if not check.ok]
        return found == faults

    until(heard, f"the broker has {faults}")


def test_a_wrong_setting_of_kafka_is_found(settings: Settings) -> None:
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)

    def keep(milliseconds: str) -> None:
        resource = ConfigResource(ConfigResourceType.TOPIC, "telemetry.area", {"retention.ms": milliseconds})
        admin.alter_configs([resource])

    try:
        keep("60000")
        wait_for(settings, ["retention.ms=60000 instead of 1209600000"])
    finally:
        keep(str(14 * 86_400_000))
        admin.close()
    wait_for(settings, [])
    more = settings.kafka.model_copy(update={"replication": 3})
    assert "kafka brokers" in failed(check_kafka(more))
    assert "topic telemetry.area" in failed(check_kafka(more))
    assert failed(check_kafka(settings.kafka.model_copy(update={"bootstrap": "127.0.0.1:1"}))) == ["kafka"]


def test_a_broker_that_lets_everybody_in_is_found(settings: Settings, broker: Any) -> None:
    open_to_all = MqttSection(host="127.0.0.1", port=broker[0], password_file=settings.mqtt.password_file)
    assert failed(check_mqtt(open_to_all)) == ["mqtt without an account", "mqtt with a wrong password"]
    assert failed(check_mqtt(settings.mqtt.model_copy(update={"port": 1}))) == ["mqtt account"]
    assert failed(check_mqtt(settings.mqtt.model_copy(update={"username": "nobody"}))) == ["mqtt account"]
    (lost,) = check_mqtt(settings.mqtt.model_copy(update={"ca_file": Path("/nonexistent/ca.pem")}))
    assert (lost.ok, "No such file" in lost.found) == (False, True)


@contextmanager
def http_server(answer: bytes, status: int = 200) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["content-length"])))
            self.do_GET()

        def log_message(self, *_: Any) -> None: ...

    asked: list[bytes] = []
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()
    # What a printer was asked is IPP/1.1, Get-Printer-Attributes, its attributes ended.
    assert all((body[:4], body[-1]) == (b"\x01\x01\x00\x0b", 3) for body in asked)


def ipp_answer(status: int, state: int) -> bytes:
    name = b"printer-state"
    attribute = struct.pack(">BH", 0x23, len(name)) + name + struct.pack(">HI", 4, state)
    return struct.pack(">BBHI", 1, 1, status, 1) + b"\x04" + attribute + b"\x03"


def interfaces(**options: Any) -> dict[str, Check]:
    section = AcceptanceSection(**{"time_service": False, **options})
    return {check.name: check for check in check_interfaces(section)}


def test_endpoints_answer_by_their_protocol() -> None:
    with http_server(b"ok") as good, http_server(b"no", 503) as bad, socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        found = interfaces(
            endpoints=(
                EndpointSection(name="rtu", url=f"tcp://127.0.0.1:{port}"),
                EndpointSection(name="billing", url=f"http://127.0.0.1:{good}/health"),
                EndpointSection(name="gis", url=f"http://127.0.0.1:{bad}/"),
                EndpointSection(name="nothing", url="tcp://127.0.0.1:1"),
                EndpointSection(name="no port", url="tcp://127.0.0.1"),
                EndpointSection(name="wrong port", url="tcp://127.0.0.1:99999"),
                EndpointSection(name="plain", url=f"tls://127.0.0.1:{good}"),
            )
        )
    assert {name for name, check in found.items() if check.ok} == {"endpoint rtu", "endpoint billing"}
    assert found["endpoint gis"].found == "answers 503"
    assert found["endpoint no port"].found == "its address names no port"


@pytest.mark.parametrize(
    ("status", "state", "expected"),
    [
        (0, 3, (True, "idle")),
        (0, 5, (False, "the printer is stopped")),
        (0x0406, 3, (False, "refuses with IPP status 0x0406")),
    ],
)
def test_a_printer_of_certificates_is_asked_for_its_state(status: int, state: int, expected: tuple[bool, str]) -> None:
    with http_server(ipp_answer(status, state)) as port:
        printer = EndpointSection(name="certificates", url=f"ipp://127.0.0.1:{port}/ipp/print")
        check = interfaces(printers=(printer,))["printer certificates"]
    assert (check.ok, check.found) == expected


@pytest.mark.parametrize("left_out", range(1, 6))
def test_a_printer_whose_answer_breaks_off_is_not_accepted(left_out: int) -> None:
    with http_server(ipp_answer(0, 3)[:-left_out]) as port:
        printer = EndpointSection(name="certificates", url=f"ipp://127.0.0.1:{port}/ipp/print")
        check = interfaces(printers=(printer,))["printer certificates"]
    # The last byte only ends the attributes.
    assert (check.ok, check.found) == ((True, "idle") if left_out == 1 else (False, "its answer breaks off"))


def test_lpstat_is_asked_in_english(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says of a stopped queue is looked for in English, whatever language the machine has."""
    program = tmp_path / "lpstat"
    said = {True: "printer office disabled since Monday", False: "Drucker office deaktiviert"}
    program.write_text(f'#!/bin/sh\n[ "$LC_ALL" = C ] && echo "{said[True]}" || echo "{said[False]}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    check = interfaces(printers=(EndpointSection(name="office", url="cups://office"),))["printer office"]
    assert (check.ok, "disabled" in check.found) == (False, True)


@pytest.mark.parametrize(
    ("family", "host", "shown"),
    [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]")],
    ids=["IPv4", "IPv6"],
)
def test_a_clock_is_compared_with_a_time_server(family: socket.AddressFamily, host: str, shown: str) -> None:
    """A server of SNTP whose clock is a hundred seconds ahead."""
    with socket.socket(family, socket.SOCK_DGRAM) as server:
        server.bind((host, 0))

        def answer(first: int) -> None:
            _, who = server.recvfrom(512)
            at = time.time() + 100 + 2_208_988_800
            stamp = struct.pack(">II", int(at), int(at % 1 * 2**32))
            server.sendto(struct.pack(">BB", first, 2) + bytes(22) + bytes(8) + stamp + stamp, who)

        address = f"{shown}:{server.getsockname()[1]}"
        threading.Thread(target=answer, args=(0x24,), daemon=True).start()
        offset, error = ntp_offset(address)
        assert abs(offset + 100) <= error + 0.01
        threading.Thread(target=answer, args=(0x24,), daemon=True).start()
        assert not interfaces(time_server=address)["time server"].ok
        # Leap indicator 3: it isn't synchronised itself.
        threading.Thread(target=answer, args=(0xE4,), daemon=True).start()
        with pytest.raises(ValueError, match="isn't synchronised"):
            ntp_offset(address)


@pytest.mark.parametrize("address", ["::1", "[::1]", "127.0.0.1", "localhost:99999", "[::1"])
def test_an_address_of_a_time_server_that_cant_be_asked_is_a_failed_check(address: str) -> None:
    """Nobody answers at port 123 here, and the others aren't addresses."""
    check = interfaces(time_server=address)["time server"]
    assert (check.ok, check.found != "") == (False, True)


@pytest.mark.parametrize(
    ("tracking", "good"),
    [
        ("A1,ntp,2,1.0,0.000012,0,0,0,0,0,0,0,64,Normal", True),
        ("A1,ntp,2,1.0,-2.5,0,0,0,0,0,0,0,64,Normal", False),
        ("7F7F0101,,0,1.0,0.0,0,0,0,0,0,0,0,0,Not synchronised", False),
        ("506 Cannot talk to daemon", False),
    ],
)
def test_what_chrony_says_is_believed(
    tracking: str, good: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "chronyc"
    program.write_text(f'#!/bin/sh\necho "{tracking}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert interfaces(time_service=True)["time service"].ok is good


def test_the_machine_is_measured_against_what_is_asked(tmp_path: Path) -> None:
    assert check_disk(tmp_path, 0.001).ok
    assert not check_disk(tmp_path, 1e9).ok
    assert not check_disk(tmp_path / "nothing", 1).ok
    assert [check.ok for check in check_pins(["paho-mqtt==2.2.0", "numpy>=2", "paho-mqtt==9", "nonsense-x==1"])] == [
        True, False, False,
    ]  # fmt: skip


ALWAYS = Calendar(SHANGHAI, frozenset(range(7)), clock(0), clock(0))
GOOD = (Check("hardware", "memory", ok=True, found="8 GiB"),)
BAD = (*GOOD, Check("database", "fsync", ok=False, found="off", wanted="on"))


def test_a_report_is_filed_once_with_the_sites_key_and_counts(database: Any, keys: Path) -> None:
    now = MONDAY
    private, public = (keys / "site.pem").read_bytes(), (keys / "site.pub").read_bytes()
    with connect(database.conninfo("app"), "test") as connection:
        connection.autocommit = True
        load_grid(connection, rollout_model())

        def accepted(at: datetime) -> tuple[float | None, float | None]:
            figure = read_figure(connection, "sites_accepted", None, at, SHANGHAI.key)
            return figure.part, figure.whole

        good = sign(write_report("county-01", now, "li.wei", "0.1.0", GOOD), private)
        bad = sign(write_report("county-01", now, "li.wei", "0.1.0", BAD), private)
        filed = file_acceptance(connection, good, public, "li.wei", now + timedelta(seconds=1))
        assert filed["passed"] is True
        with pytest.raises(RolloutError, match="filed already"):
            file_acceptance(connection, good, public, "li.wei", now + timedelta(seconds=2))
        assert accepted(now) == (0, 12)
        assert accepted(now + timedelta(seconds=1)) == (1, 12)
        file_acceptance(connection, bad, public, "li.wei", now + timedelta(seconds=3))
        assert accepted(now + timedelta(seconds=3)) == (0, 12)
        assert [row["passed"] for row in list_acceptances(connection, now + timedelta(seconds=3), "county-01")] == [
            False, True,
        ]  # fmt: skip
        assert list_acceptances(connection, now + timedelta(seconds=3), "county-02") == []
        # One that was examined before and is filed later says nothing of now.
        old = sign(write_report("county-01", now - timedelta(days=1), "li.wei", "0.1.0", GOOD), private)
        file_acceptance(connection, old, public, "li.wei", now + timedelta(seconds=4))
        assert accepted(now + timedelta(seconds=4)) == (0, 12)
        # A site's clock may be a little ahead.
        ahead = sign(write_report("county-01", now + timedelta(minutes=4), "li.wei", "0.1.0", GOOD), private)
        file_acceptance(connection, ahead, public, "li.wei", now + timedelta(seconds=5))
        assert accepted(now + timedelta(seconds=5)) == (1, 12)
        # As it was filed, it is still proved.
        row = read_acceptance(connection, filed["acceptance_id"], now + timedelta(seconds=3))
        assert prove(replace(good, text=row["report"], signature=row["signature"]), public) == row["key_id"]
        _refuses(connection, keys, now)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("update rollout.acceptance set passed = true")


def _refuses(connection: Connection, keys: Path, now: datetime) -> None:
    private, public = (keys / "site.pem").read_bytes(), (keys / "site.pub").read_bytes()
    bad = sign(write_report("county-01", now, "li.wei", "0.1.0", BAD), private)
    forged = replace(bad, text=bad.text.replace('"ok":false', '"ok":true').replace('"passed":false', '"passed":true'))
    with pytest.raises(RolloutError, match="signature isn't"):
        file_acceptance(connection, forged, public, "x", now)
    with pytest.raises(RolloutError, match="signature isn't"):
        file_acceptance(connection, bad, (keys / "other.pub").read_bytes(), "x", now)
    with pytest.raises(RolloutError, match="signature isn't"):
        file_acceptance(connection, replace(bad, signature="not base64!"), public, "x", now)
    contradicts = sign(bad.text.replace('"passed":false', '"passed":true'), private)
    with pytest.raises(RolloutError, match="contradicts"):
        file_acceptance(connection, contradicts, public, "x", now)
    future = sign(write_report("county-01", now + timedelta(hours=1), "x", "0", GOOD), private)
    with pytest.raises(RolloutError, match="later time"):
        file_acceptance(connection, future, public, "x", now)
    with pytest.raises(NotFoundError, match="county-77"):
        file_acceptance(connection, sign(write_report("county-77", now, "x", "0", GOOD), private), public, "x", now)
    with pytest.raises(RolloutError, match="not the report"):
        read_report("[]")
    with pytest.raises(RolloutError, match="Ed25519"):
        sign(
            "x", subprocess.run(["openssl", "genpkey", "-algorithm", "x25519"], check=True, capture_output=True).stdout
        )


@pytest.mark.timeout(600)
def test_commands(config_path: Path, settings: Settings, keys: Path, tmp_path: Path) -> None:
    with connect(settings.database.conninfo("app"), "test") as opened:
        load_grid(opened, rollout_model())
    environment = {
        **os.environ,
        "METERLINE_ROLLOUT__ACCEPTANCE__TIME_SERVICE": "false",
        "METERLINE_ROLLOUT__ACCEPTANCE__MEMORY_GIB": "0.5",
        "METERLINE_ROLLOUT__ACCEPTANCE__CPUS": "1",
        "METERLINE_ROLLOUT__ACCEPTANCE__DISK_GIB": "0",
        "METERLINE_ROLLOUT__ACCEPTANCE__KEYS": json.dumps({"county-01": str(keys / "site.pub")}),
    }

    def run(*arguments: str, code: int = 0, **variables: str) -> str:
        command = [sys.executable, "-m", "meterline", *arguments, "--config", str(config_path)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**environment, **variables}, timeout=90
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    out, examine = tmp_path / "county-01.json", ("doctor", "--acceptance", "--site", "county-01", "--key")
    signed = json.loads(run(*examine, str(keys / "site.pem"), "--out", str(out), "--json"))
    assert json.loads(out.read_text()) == signed
    report = json.loads(signed["text"])
    assert {check["area"] for check in report["checks"]} == {"hardware", "software", "database", "middleware"}
    assert report["passed"] is True
    assert '"passed": true' in run("doctor", "--verify", str(out), "--public-key", str(keys / "site.pub"), "--json")
    assert "signature isn't" in run("doctor", "--verify", str(out), "--public-key", str(keys / "other.pub"), code=1)
    number = json.loads(run("rollout", "acceptance", "file", str(out), "--json"))["acceptance_id"]
    assert "filed already" in run("rollout", "acceptance", "file", str(out), code=1)
    assert [row["site"] for row in json.loads(run("rollout", "acceptance", "list", "--json"))] == ["county-01"]
    assert json.loads(run("rollout", "acceptance", "show", str(number), "--json")) == signed
    # A wrong setting fails, and is told.
    said = run(*examine, str(keys / "site.pem"), code=1, METERLINE_ROLLOUT__ACCEPTANCE__MEMORY_GIB="99999")
    assert "county-01 isn't accepted: memory" in said
    assert "wanted: at least 99999 GiB" in said
    assert "no key of county-02" in run(
        "rollout", "acceptance", "file", _signed_for("county-02", keys, tmp_path), code=1
    )
    assert "needs --site and --key" in run("doctor", "--acceptance", code=2)
    # A site that has a gateway alone looks at no servers of others.
    mine = json.loads(
        run(*examine, str(keys / "site.pem"), "--json", METERLINE_ROLLOUT__ACCEPTANCE__SERVERS='["mqtt"]')
    )
    names = {check["name"].split()[0] for check in json.loads(mine["text"])["checks"]}
    assert "mqtt" in names
    assert not {"postgresql", "kafka", "topic"} & names
    _files_at_the_centre(run, (*examine, str(keys / "site.pem")), settings, keys, tmp_path)


def _files_at_the_centre(
    run: Callable[..., str], examine: tuple[str, ...], settings: Settings, keys: Path, folder: Path
) -> None:
    """By the console's API as it is served, with a token of the unit."""
    tokens, token = folder / "tokens.toml", folder / "token"
    token.write_text("secret\n")
    tokens.write_text(
        f'[[tokens]]\nname = "Li"\nsha256 = "{hash_of("secret")}"\nroles = ["unit"]\nunit = "county-01"\n'
    )
    pool = ConnectionPool[Connection](settings.database.conninfo("app"), kwargs={"autocommit": True}, open=False)
    limiter = RateLimiter(1_000, 1_000, time.monotonic)
    public = {"county-01": (keys / "site.pub").read_bytes()}
    with pool:
        desk = Desk(pool, Tokens(tokens), limiter, limiter, lambda: datetime.now(UTC))
        routers = rollout_routers(desk, SHANGHAI, lambda _: DeskRules(ALWAYS), None, public.get)
        with serving(Hub({}, {}, LiveLimits()), routers) as base:
            assert "filed as acceptance" in run(*examine, "--api", base, "--token-file", str(token))
            token.write_text("wrong")
            assert "examined, and not filed: the centre refuses (401)" in run(
                *examine, "--api", base, "--token-file", str(token), code=1
            )
    with connect(settings.database.conninfo("app"), "test") as opened:
        assert list_acceptances(opened, datetime.now(UTC), "county-01")[0]["actor"] == "Li"
    assert "--token-file go together" in run(*examine, "--api", "http://127.0.0.1:1", code=2)


def _signed_for(site: str, keys: Path, folder: Path) -> str:
    signed = sign(write_report(site, datetime.now(UTC), "x", "0", GOOD), (keys / "site.pem").read_bytes())
    file = folder / f"{site}.json"
    file.write_text(json.dumps({"text": signed.text, "signature": signed.signature, "key_id": signed.key_id}))
    return str(file)
