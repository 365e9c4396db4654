"""The native stack's settings, ports, accounts and messages: everything that needs no server."""

import base64
import configparser
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import tomllib
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from console.api.tokens import Tokens
from deploy.stack import Ports, ProcessState, StackError, StackSpec, start_programs, status, stop
from deploy.stack.accounts import (
    CONSOLE_TOKEN,
    TOKENS_FILE,
    parse_password_file,
    password_entry,
    write_password_file,
    write_token_file,
)
from deploy.stack.checks import check_memory, check_ports, check_python, doctor
from deploy.stack.config_files import (
    KAFKA_MESSAGE_MAX,
    MQTT_PACKET_MAX,
    broker_memory_mib,
    config_toml,
    kafka_properties,
    mosquitto_acl,
    mosquitto_conf,
    postgresql_conf,
    supervisord_conf,
)
from deploy.stack.host import need_tool, run
from deploy.stack.install import KAFKA_POM, KAFKA_VERSION, PostgresPlace, parse_mirrors
from deploy.stack.postgres import ROLE_SETTINGS, Cluster
from deploy.stack.probes import port_is_free
from deploy.stack.programs import SERVERS, SERVICES, stack_programs
from deploy.stack.spec import SOCKET_PATH_MAX

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def spec(tmp_path: Path) -> StackSpec:
    return StackSpec.with_free_ports(tmp_path / "run", cache=tmp_path / "cache")


def programs_of(spec: StackSpec) -> configparser.RawConfigParser:
    cluster = Cluster(PostgresPlace(Path("/cache/root"), "/usr/lib/postgresql/17/bin"), spec.key)
    programs = stack_programs(
        spec,
        mosquitto=Path("/usr/sbin/mosquitto"),
        java=Path("/usr/bin/java"),
        libs=Path("/cache/libs"),
        cluster=cluster,
    )
    parsed = configparser.RawConfigParser()
    parsed.read_string(supervisord_conf(spec, programs, owner=None))
    return parsed


def properties(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


# What a stack is.


def test_a_stack_is_known_again_from_its_home(spec: StackSpec) -> None:
    spec.save()
    assert StackSpec.load(spec.home) == spec


def test_a_home_without_a_stack_or_with_a_damaged_one_gives_one_line(spec: StackSpec) -> None:
    with pytest.raises(StackError, match="no stack was started"):
        StackSpec.load(spec.home)
    spec.save()
    (spec.home / "stack.json").write_text("{")
    with pytest.raises(StackError, match="remove it and start the stack again"):
        StackSpec.load(spec.home)


def test_free_ports_differ_and_are_free() -> None:
    numbers = [port for _, port in Ports.free().items()]
    assert len(set(numbers)) == len(numbers) == 10
    assert all(port_is_free(port) for port in numbers)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ports(mqtt=80), "port mqtt = 80 is outside"),
        (lambda: Ports(mqtt=70_000), "outside 1024…65535"),
        (lambda: Ports(mqtt=19092), "ports mqtt and kafka are both 19092"),
        (lambda: StackSpec(Path("/x"), workers=0), "workers = 0 is outside"),
        (lambda: StackSpec(Path('/x/a"b')), "move it"),
        (lambda: StackSpec(Path("/x/100%")), "move it"),
    ],
)
def test_a_stack_that_could_not_work_is_refused_when_it_is_made(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(StackError, match=message):
        make()


def test_the_control_socket_fits_a_unix_socket_however_deep_the_home() -> None:
    assert StackSpec(Path("/h")).control_socket == Path("/h/supervisor/control.sock")
    deep = StackSpec(Path("/", *["directory"] * 20))
    assert len(str(deep.control_socket)) < SOCKET_PATH_MAX - 10


# What is written for the servers.


def test_meterline_reads_the_settings_that_the_stack_writes(spec: StackSpec) -> None:
    written = tomllib.loads(config_toml(spec))
    assert written["mqtt"]["port"] == spec.ports.mqtt
    assert written["kafka"]["bootstrap"] == f"127.0.0.1:{spec.ports.kafka}"
    assert written["database"]["port"] == spec.ports.postgres
    assert Path(written["mqtt"]["gateway_passwords_dir"]) == spec.home / "secrets" / "gateways"


def test_the_broker_listens_on_this_machine_only_and_drops_nothing_in_silence(spec: StackSpec) -> None:
    text = mosquitto_conf(spec, memory_mib=8_192, as_root=False)
    settings = [line.split(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
    assert ["listener", f"{spec.ports.mqtt} 127.0.0.1"] in settings
    assert ["allow_anonymous", "false"] in settings
    assert ["max_queued_messages", "0"] in settings
    assert ["max_queued_bytes", "0"] in settings
    assert not [line for line in settings if line[0] in {"message_size_limit", "user"}]


def test_a_broker_always_has_room_for_the_queue_it_has_on_disk() -> None:
    assert [broker_memory_mib(mib, 0) for mib in (1_000, 8_000, 64_000)] == [512, 2_000, 4_096]
    assert all(broker_memory_mib(8_000, queue) >= 2 * queue for queue in range(0, 20_000, 100))


def test_the_access_list_holds_a_gateway_to_its_own_name() -> None:
    assert "pattern write meterline/v1/%u/block/+" in mosquitto_acl()


def test_each_limit_lies_above_the_one_before_it(spec: StackSpec) -> None:
    kafka = properties(kafka_properties(spec))
    assert 10_000_000 < MQTT_PACKET_MAX < KAFKA_MESSAGE_MAX == int(kafka["message.max.bytes"])
    assert int(kafka["socket.request.max.bytes"]) > KAFKA_MESSAGE_MAX
    assert kafka["auto.create.topics.enable"] == "false"
    assert kafka["listeners"].startswith("PLAINTEXT://127.0.0.1:")


@pytest.mark.parametrize(("memory_mib", "buffers"), [(1_000, "128MB"), (4_096, "512MB"), (64_000, "1024MB")])
def test_postgresql_takes_an_eighth_of_the_memory_at_most(spec: StackSpec, memory_mib: int, buffers: str) -> None:
    text = postgresql_conf(spec, memory_mib=memory_mib)
    assert f"shared_buffers = {buffers}" in text
    assert "synchronous_commit = on" in text
    assert "listen_addresses = '127.0.0.1'" in text


def test_kafka_s_version_is_said_once_and_in_the_pom() -> None:
    assert f"<version>{KAFKA_VERSION}</version>" in KAFKA_POM.read_text()


# What the supervisor keeps up.


def test_every_program_is_started_again_and_logs_within_bounds(spec: StackSpec) -> None:
    parsed = programs_of(spec)
    names = [section.removeprefix("program:") for section in parsed.sections() if section.startswith("program:")]
    assert set(names) == {*SERVERS, *SERVICES}
    for name in names:
        section = parsed[f"program:{name}"]
        assert section["autorestart"] == "true"
        assert section["stdout_logfile_maxbytes"] == "10MB"
        assert spec.key in section["environment"]


def test_workers_have_fixed_names_of_their_own(tmp_path: Path) -> None:
    section = programs_of(StackSpec(tmp_path, workers=3))["program:worker"]
    ops_port = Ports().worker_ops
    assert section["numprocs"] == "3"
    assert section["command"].endswith(f"-m meterline worker --instance %(process_num)s --ops-port {ops_port}")
    assert section["process_name"] == "worker-%(process_num)s"


def test_other_settings_make_another_program_so_that_it_is_started_anew(spec: StackSpec, tmp_path: Path) -> None:
    other = StackSpec(spec.home, spec.cache, ports=Ports.free())
    for name in SERVERS:
        section = f"program:{name}"
        assert programs_of(spec)[section]["environment"] == programs_of(spec)[section]["environment"]
        assert programs_of(spec)[section]["environment"] != programs_of(other)[section]["environment"]


def test_a_stack_that_never_ran_is_stopped_and_stops(spec: StackSpec) -> None:
    assert {process.state for process in status(spec)} == {ProcessState.STOPPED}
    stop(spec)
    with pytest.raises(StackError, match="no such service: nonsense"):
        start_programs(spec, ["nonsense"])


def test_a_home_that_cannot_be_written_gives_one_line() -> None:
    with pytest.raises(StackError, match=r"^cannot write /proc/nothing \(.*\): use a directory of your own$"):
        stop(StackSpec(Path("/proc/nothing")))


# Accounts.


def test_a_password_entry_has_mosquitto_s_form() -> None:
    entry = password_entry("GW-1", "secret", b"0123456789ab")
    name, rest = entry.split(":", 1)
    _, kind, rounds, salt, digest = rest.split("$")
    assert (name, kind, rounds) == ("GW-1", "7", "101")
    expected = hashlib.pbkdf2_hmac("sha512", b"secret", base64.b64decode(salt), 101)
    assert base64.b64decode(digest) == expected


def test_gateways_are_added_and_those_that_were_there_keep_their_entry(spec: StackSpec) -> None:
    assert write_password_file(spec, ["GW-1"])
    path = spec.home / "mosquitto" / "passwords"
    before = parse_password_file(path.read_text())
    assert set(before) == {"bridge", "GW-1"}
    assert not write_password_file(spec, ["GW-1"])
    assert write_password_file(spec, ["GW-2"])
    after = parse_password_file(path.read_text())
    assert set(after) == {"bridge", "GW-1", "GW-2"}
    assert {name: after[name] for name in before} == before


def test_a_changed_secret_changes_the_entry(spec: StackSpec) -> None:
    write_password_file(spec, ["GW-1"])
    spec.secret_path("gateways/GW-1").write_text("another\n")
    assert write_password_file(spec)


def test_secrets_are_closed_to_others(spec: StackSpec) -> None:
    write_password_file(spec, ["GW-1"])
    secret = spec.secret_path("gateways/GW-1")
    assert [p.stat().st_mode & 0o777 for p in (secret, secret.parent, spec.secrets_dir)] == [0o600, 0o700, 0o700]
    assert (spec.home / "mosquitto" / "passwords").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "../x", ".hidden", "a b", "bridge", "a:b", "x" * 129])
def test_a_gateway_s_name_that_a_topic_or_path_would_read_is_refused(spec: StackSpec, name: str) -> None:
    with pytest.raises(StackError, match="cannot be a gateway's account"):
        write_password_file(spec, [name])


# What the machine says.


def test_the_mirror_is_the_distribution_s_own() -> None:
    output = """\
Debian|Debian|http://mirror.example/debian/
Debian|Debian-Security|http://mirror.example/debian-security/
Debian|Debian|http://mirror.example/debian/
nodistro|nodistro|https://third.example/debian/
Debian|Debian|file:/srv/debian/
Debian|Debian Backports|http://mirror.example/debian-backports/
Ubuntu|Ubuntu|http://mirror.example/ubuntu/

"""
    assert parse_mirrors(output) == {
        "Debian": ["http://mirror.example/debian/"],
        "Ubuntu": ["http://mirror.example/ubuntu/"],
    }


def test_a_missing_tool_gives_one_line_that_names_the_package() -> None:
    with pytest.raises(StackError, match=r"^no-such-tool is not installed: run `apt-get install a-package` as root"):
        need_tool("no-such-tool", "a-package")


def test_a_command_that_fails_is_told_in_one_line() -> None:
    with pytest.raises(StackError) as caught:
        run(["sh", "-c", "echo first; echo E: broken here >&2; echo last; exit 3"], what="the attempt")
    assert str(caught.value) == "the attempt failed (status 3): E: broken here"


def test_the_doctor_names_who_has_a_port(spec: StackSpec) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", spec.ports.mqtt))
        sock.listen()
        checks = {check.name: check for check in check_ports(spec)}
    assert not checks["port mqtt"].ok
    assert f"(process {os.getpid()})" in checks["port mqtt"].detail
    assert checks["port mqtt"].todo == "stop that, or give this stack another port"
    assert checks["port kafka"].ok


def test_the_doctor_says_what_to_do_about_all_that_is_not_well(spec: StackSpec) -> None:
    for check in (*doctor(spec), check_python((3, 10, 1)), check_memory(1_000)):
        assert check.ok == (check.todo == "")
        assert "\n" not in check.detail + check.todo
    assert not check_python((3, 10, 1)).ok


# The scripts and the compose file.


@pytest.mark.parametrize(
    "script",
    ["run", "test", ".ci/run", "deploy/setup.sh", *(f"deploy/compose/{name}.sh" for name in ("make-secrets",))],
)
def test_scripts_are_sound_bash(script: str) -> None:
    subprocess.run(["bash", "-n", str(ROOT / script)], check=True)


def test_compiled_kernels_go_when_a_source_of_theirs_changes(tmp_path: Path) -> None:
    kept = tmp_path / "kernels" / "__pycache__" / "caller.f-1.py311.nbi"
    kept.parent.mkdir(parents=True)
    (tmp_path / ".meterline").mkdir()
    called = tmp_path / "kernels" / "called.py"

    def kept_after(source: str) -> bool:
        called.write_text(source)
        script = f'set -euo pipefail; source "{ROOT}/deploy/setup.sh"; drop_stale_kernels'
        subprocess.run(["bash", "-c", script], check=True, cwd=tmp_path)
        found = kept.exists()
        kept.touch()
        return found

    assert not kept_after("import numba\n")
    assert kept_after("import numba\n")
    assert not kept_after("import numba  # another\n")
    assert kept_after("import numba  # another\n")


def test_compose_follows_its_schema_and_names_versions() -> None:
    package = find_spec("check_jsonschema")
    assert package is not None
    assert package.submodule_search_locations is not None
    schemas = Path(package.submodule_search_locations[0]) / "builtin_schemas" / "vendor"
    compose = YAML(typ="safe").load(ROOT / "deploy" / "compose.yaml")
    jsonschema.validate(compose, json.loads((schemas / "compose-spec.json").read_text()))
    for name, service in compose["services"].items():
        tag = service["image"].rpartition(":")[2]
        assert tag == "local" or tag[0].isdigit(), f"{name} has no pinned version"
        assert name in {"prepare", "grid"} or "healthcheck" in service, f"{name} has no health check"


def test_files_that_compose_mounts_are_there() -> None:
    compose = YAML(typ="safe").load(ROOT / "deploy" / "compose.yaml")
    mounts = [m for s in compose["services"].values() for m in s.get("volumes", []) if m["type"] == "bind"]
    sources = {m["source"] for m in mounts if ".meterline" not in m["source"]}
    assert {s for s in sources if not (ROOT / "deploy" / s).exists()} == set()


def test_compose_makes_the_broker_s_rules_that_the_native_stack_makes() -> None:
    assert (ROOT / "deploy/compose/mosquitto.acl").read_text() == mosquitto_acl()


def test_the_console_takes_the_token_of_its_stack(spec: StackSpec) -> None:
    write_token_file(spec)
    tokens, secret = spec.secret_path(TOKENS_FILE), spec.secret_path(CONSOLE_TOKEN)
    assert [path.stat().st_mode & 0o777 for path in (tokens, secret, spec.secrets_dir)] == [0o600, 0o600, 0o700]
    assert tomllib.loads(config_toml(spec))["console"]["tokens_file"] == str(tokens)
    token = secret.read_text().strip()
    assert token not in tokens.read_text()
    found = Tokens(tokens).find(token, datetime.now(UTC))
    assert found is not None
    assert (found.name, found.is_admin) == ("local", True)
    # A second start keeps it.
    write_token_file(spec)
    assert secret.read_text().strip() == token


def test_compose_gives_its_console_the_hash_of_a_token(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "deploy/compose", tmp_path / "deploy/compose")
    told = []
    for _ in range(2):
        command = ["bash", str(tmp_path / "deploy/compose/make-secrets.sh")]
        told.append(subprocess.run(command, check=True, capture_output=True, text=True).stderr)
    secrets = tmp_path / ".meterline/docker/secrets"
    assert told[0] == told[1]
    assert str((secrets / "console-token").relative_to(tmp_path)) in told[0]
    assert (secrets / "console-token").stat().st_mode & 0o777 == 0o600
    found = Tokens(secrets / "console-tokens").find((secrets / "console-token").read_text(), datetime.now(UTC))
    assert found is not None
    assert found.is_admin
    config = tomllib.loads((ROOT / "deploy/compose/config.toml").read_text())
    name = config["console"]["tokens_file"].removeprefix("/run/secrets/")
    compose = YAML(typ="safe").load(ROOT / "deploy/compose.yaml")
    assert name in compose["services"]["console"]["secrets"]
    assert compose["secrets"][name]["file"] == f"../.meterline/docker/secrets/{name}"


def test_compose_gives_the_roles_the_settings_of_the_native_stack() -> None:
    script = (ROOT / "deploy" / "compose" / "database-roles.sh").read_text()
    found = re.findall(r"^alter role (\w+) set (\w+) = '(.*)';$", script, re.MULTILINE)
    wanted = [(role, name, value) for role, settings in ROLE_SETTINGS.items() for name, value in settings.items()]
    assert sorted(found) == sorted(wanted)


def test_compose_gives_transactions_the_locks_of_the_native_stack(spec: StackSpec) -> None:
    compose = YAML(typ="safe").load(ROOT / "deploy" / "compose.yaml")
    setting = "max_locks_per_transaction"
    (given,) = [c for c in compose["services"]["timescaledb"]["command"] if c.startswith(f"-c{setting}=")]
    native = re.findall(rf"^{setting} = (\d+)$", postgresql_conf(spec, memory_mib=4_096), re.MULTILINE)
    assert native == [given.partition("=")[2]] == ["256"]
