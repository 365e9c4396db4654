"""A disk of the database's that is too small."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from deploy.stack.postgres import cluster_of, superuser_dsn
from tests.chaos.harness import Stack


@contextlib.contextmanager
def small_disk(stack: Stack, size_mib: int = 64) -> Iterator[Path]:
    """A file system of its own for the chunks that are made from now on; yields its folder, `small_folder`."""
    cluster = cluster_of(stack.spec)
    assert cluster is not None
    stack.empty()
    folder = small_folder(stack)
    folder.mkdir(exist_ok=True)  # a run that was killed leaves it
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
            folder.rmdir()


def small_folder(stack: Stack) -> Path:
    """Where the small disk is."""
    cluster = cluster_of(stack.spec)
    assert cluster is not None
    return cluster.directory / "small"


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1 << 12)):
            pass
    assert shutil.disk_usage(folder).free == 0
    return path
