"""Where one stack lives: its directories, its ports, how many workers it keeps. Nothing here touches the machine."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from deploy.stack.errors import StackError

# A unix socket's path holds 107 bytes on Linux.
SOCKET_PATH_MAX: Final = 107
STATE_FILE: Final = "stack.json"
WORKERS_MAX: Final = 64
_FREE_RANGE: Final = (20_000, 32_000)
_TRIES: Final = 200


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports of one stack, all on 127.0.0.1."""

    mqtt: int = 18830
    kafka: int = 19092
    kafka_controller: int = 19093
    postgres: int = 15432
    console: int = 18080
    bridge_ops: int = 18081
    console_ops: int = 18082
    usage_ops: int = 18083
    readings_ops: int = 18084
    # The first worker's; each further one has the next.
    worker_ops: int = 18090

    def __post_init__(self) -> None:
        taken: dict[int, str] = {}
        for name, port in self.items():
            if not 1024 <= port <= 65535:
                raise StackError(f"port {name} = {port} is outside 1024…65535; choose another")
            if port in taken:
                raise StackError(f"ports {taken[port]} and {name} are both {port}; give each its own")
            taken[port] = name

    def items(self) -> list[tuple[str, int]]:
        """Name and number of each port."""
        return list(dataclasses.asdict(self).items())

    @classmethod
    def free(cls) -> Self:
        """Ports that nothing listens on now, so that a second stack can live beside the first.

        They lie side by side with room for further workers, and below those that the system gives to connections:
        one of its own choice would be given away again before a program that restarts listens on it.
        """
        names = [f.name for f in dataclasses.fields(cls)]
        for _ in range(_TRIES):
            first = random.randrange(*_FREE_RANGE)  # noqa: S311  # only so that two at once differ
            if all(_is_free(first + number) for number in range(len(names) + WORKERS_MAX - 1)):
                return cls(**{name: first + number for number, name in enumerate(names)})
        raise StackError(f"no {len(names)} ports side by side are free in {_FREE_RANGE}; stop a stack that is not used")


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class StackSpec:
    """One stack.

    Parameters
    ----------
    home
        Directory of this stack's settings, secrets, data and logs; absolute after construction.
    cache
        Directory of what all stacks of a machine share (Kafka's jars, the TimescaleDB file system).
    python
        Interpreter that runs Meterline's own programs.
    ports
        TCP ports.
    workers
        How many stream workers are kept up, 1…64.
    """

    home: Path
    cache: Path = field(default_factory=lambda: Path.home() / ".cache" / "meterline")
    python: str = sys.executable
    ports: Ports = field(default_factory=Ports)
    workers: int = 1

    def __post_init__(self) -> None:
        # absolute() and not resolve(): the interpreter of a virtual environment is a link that must stay one.
        object.__setattr__(self, "home", Path(self.home).absolute())
        object.__setattr__(self, "cache", Path(self.cache).absolute())
        for name, path in (("home", self.home), ("cache", self.cache)):
            if any(c in str(path) for c in "\n\r\"'\\%;#:,"):
                raise StackError(f"{name} directory {path} holds a character that settings files cannot; move it")
        if not 1 <= self.workers <= WORKERS_MAX:
            raise StackError(f"workers = {self.workers} is outside 1…{WORKERS_MAX}")

    @classmethod
    def default(cls, directory: Path) -> Self:
        """The stack of a checkout in `directory`."""
        return cls(home=directory / ".meterline" / "run")

    @classmethod
    def with_free_ports(cls, home: Path, *, cache: Path | None = None, workers: int = 1) -> Self:
        """A stack that can live beside any other: its own directory and ports that are free now."""
        ports = Ports.free()
        return (
            cls(home, ports=ports, workers=workers) if cache is None else cls(home, cache, ports=ports, workers=workers)
        )

    @classmethod
    def load(cls, home: Path) -> Self:
        """The stack that was last started in `home`.

        Raises
        ------
        StackError
            No stack was started there, or its state file is damaged.
        """
        path = Path(home).absolute() / STATE_FILE
        try:
            state = json.loads(path.read_text())
            return cls(home, Path(state["cache"]), state["python"], Ports(**state["ports"]), state["workers"])
        except FileNotFoundError:
            raise StackError(f"no stack was started in {home}; start one with ./run --keep") from None
        except (ValueError, KeyError, TypeError) as error:
            raise StackError(f"{path} cannot be read ({error}); remove it and start the stack again") from None

    def save(self) -> None:
        """Write down where this stack lives, for commands that come later."""
        state = {
            "cache": str(self.cache),
            "python": self.python,
            "ports": dict(self.ports.items()),
            "workers": self.workers,
        }
        write_atomically(self.home / STATE_FILE, json.dumps(state, indent=2) + "\n")

    @property
    def key(self) -> str:
        """Short name of this stack, from its home directory."""
        return hashlib.sha256(str(self.home).encode()).hexdigest()[:12]

    @property
    def config_path(self) -> Path:
        return self.home / "config.toml"

    @property
    def log_dir(self) -> Path:
        return self.home / "log"

    @property
    def secrets_dir(self) -> Path:
        return self.home / "secrets"

    def secret_path(self, name: str) -> Path:
        """File of one secret, such as `db-app` or `gateways/GW-1`."""
        return self.secrets_dir / name

    @property
    def control_socket(self) -> Path:
        """Unix socket of the supervisor; it moves to /tmp where the home's path is too long for one."""
        inside = self.home / "supervisor" / "control.sock"
        # supervisord binds a temporary name with its process id appended, then renames it.
        if len(str(inside).encode()) <= SOCKET_PATH_MAX - 12:
            return inside
        return Path("/tmp") / f"meterline-{self.key}" / "control.sock"  # noqa: S108 (made 0700 and checked to be ours)


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Write `path` so that a reader sees the old text or the new, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=mode)
    temporary.write_text(text)
    temporary.chmod(mode)
    temporary.replace(path)
