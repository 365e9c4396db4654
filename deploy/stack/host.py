"""The machine under the stack: its tools, its memory, and how to get root's rights for one command."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from deploy.stack.errors import StackError

# Debian keeps daemons in sbin, which an ordinary user's PATH leaves out.
SEARCH_PATH = os.pathsep.join(
    (os.defpath, "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
)


def find_tool(name: str) -> Path | None:
    """Path of a program, looked for in the directories of administration too."""
    found = shutil.which(name) or shutil.which(name, path=SEARCH_PATH)
    return Path(found) if found else None


def need_tool(name: str, package: str) -> Path:
    """Path of a program that must be there.

    Raises
    ------
    StackError
        It is not installed.
    """
    found = find_tool(name)
    if found is None:
        raise StackError(f"{name} is not installed: run `apt-get install {package}` as root, or ./run, which does it")
    return found


def is_root() -> bool:
    return os.geteuid() == 0


def privileged(argv: Sequence[str]) -> list[str]:
    """`argv` with root's rights: as it is for root, else through sudo, which may ask only when somebody is there."""
    if is_root():
        return list(argv)
    if shutil.which("sudo") is None:
        raise StackError("this needs root and sudo is not installed: run it as root, or install sudo")
    return ["sudo", *([] if sys.stdin.isatty() else ["-n"]), "--", *argv]


def run(argv: Sequence[str], *, what: str, timeout_s: float = 900, stdin: str | None = None) -> str:
    """Run one command and give its standard output.

    Raises
    ------
    StackError
        It failed or took too long; the line names `what` and the last thing the command said.
    """
    try:
        done = subprocess.run(
            list(argv), capture_output=True, text=True, timeout=timeout_s, check=False, input=stdin, errors="replace"
        )
    except subprocess.TimeoutExpired:
        raise StackError(f"{what} took longer than {timeout_s:.0f} s and was stopped") from None
    except OSError as error:
        raise StackError(f"{what} failed: {error}") from None
    if done.returncode and "sudo: a password is required" in done.stderr:
        raise StackError(
            f"{what} needs root's rights and sudo asks for a password: run `sudo -v` in this terminal first"
        )
    if done.returncode:
        lines = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
        telling = [
            line
            for line in lines
            if re.match(r"(?i)^(\[?error|e:|sudo:|.*(fatal|denied|password|cannot))", line)
            and not re.fullmatch(r"(?i)\[?error\]?:?", line)
        ]
        said = (telling or lines or ["it said nothing"])[-1 if not telling else 0]
        raise StackError(f"{what} failed (status {done.returncode}): {said[:300]}")
    return done.stdout


def java_major(java: Path) -> int:
    """Main version of a Java runtime, 0 if it doesn't say."""
    try:
        done = subprocess.run([str(java), "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r'version "(\d+)', done.stderr + done.stdout)
    return int(match[1]) if match else 0


def memory_mib() -> int:
    """Memory of the machine, or of the container if that is less, in MiB."""
    total = int(psutil.virtual_memory().total)
    with suppress(OSError, ValueError):  # there may be no such limit
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total // (1 << 20)


def say(text: str) -> None:
    """A line about progress; standard output belongs to results."""
    sys.stderr.write(f"meterline: {text}\n")
    sys.stderr.flush()


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Say what is being done, and how long it took."""
    say(f"{what} …")
    begun = time.monotonic()
    yield
    say(f"{what}: done in {time.monotonic() - begun:.1f} s")
