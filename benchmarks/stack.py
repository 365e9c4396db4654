"""A stack of a benchmark's own, beside any other, removed at the end."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy.stack import StackSpec, destroy, start_servers
from meterline.bootstrap import opener, prepare
from meterline.config import Settings, load_settings


@contextlib.contextmanager
def benchmark_stack(workers: int = 1) -> Iterator[tuple[StackSpec, Settings]]:
    """Servers that are up, migrated, with topics; no programs yet."""
    with tempfile.TemporaryDirectory(prefix="meterline-benchmark-") as folder:
        spec = StackSpec.with_free_ports(Path(folder) / "run", workers=workers)
        try:
            start_servers(spec)
            settings = load_settings(spec.config_path)
            prepare(settings)
            yield spec, settings
        finally:
            destroy(spec)


def bytes_on_disk(settings: Settings, table: str) -> int:
    """Bytes of a hypertable with its indexes and toasted arrays."""
    with opener(settings, "benchmark")() as connection:
        row = connection.execute("select coalesce(hypertable_size(%s), 0)", [table]).fetchone()
    return int(row[0]) if row else 0
