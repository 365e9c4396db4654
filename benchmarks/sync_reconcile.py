"""A first reconciliation of a whole utility: four systems' extracts taken, matched and compared with each other and the
grid model, on servers of its own, by the functions behind ``meterline sync take`` and ``meterline sync match``.

``python -m benchmarks.sync_reconcile --customers 50000 --json``. Processor time and memory are those of the process and
of its server's process; making the extracts and loading the grid model is not counted.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import psutil

from benchmarks.stack import benchmark_stack
from benchmarks.sync_utility import make_utility
from meterline.bootstrap import opener
from meterline.config import load_settings
from store.connection import Connection
from store.sync_conflicts import read_found
from sync.load import load_grid
from sync.mapping import SourceMapping, parse_mapping
from sync.match import match
from sync.take import TakeRules, find_files, take_file

_DAY, _NOW = date(2026, 6, 1), datetime(2026, 6, 1, 12, tzinfo=UTC)
#: For a million customers.
_TARGET_S, _TARGET_GIB = 600.0, 4.0


def reconcile(config: Path, folder: Path) -> dict[str, Any]:
    """Take and match; runs in a process of its own, whose memory tells."""
    mapping = parse_mapping((files("sync") / "default_mapping.toml").read_text("utf-8"))
    found: dict[str, Any] = {}
    with opener(load_settings(config), "benchmark")() as connection:
        connection.autocommit = True
        server = psutil.Process(connection.info.backend_pid)
        for name in ("take", "match"):
            begin, own, theirs = time.monotonic(), time.process_time(), _spent(server)
            if name == "take":
                _take(connection, folder, mapping)
            else:
                report = match(connection, mapping, _DAY, _NOW)
                found |= {"records": report.records, "entities": report.entities, "conflicts": report.conflicts.found}
            found |= {
                f"{name}_s": round(time.monotonic() - begin, 1),
                f"{name}_processor_s": round(time.process_time() - own, 1),
                f"{name}_server_processor_s": round(_spent(server) - theirs, 1),
            }
        found["server_peak_gib"] = _peak_gib(server.pid)
    found["peak_gib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3)
    return found


def _take(connection: Connection, folder: Path, mapping: SourceMapping) -> None:
    for system in sorted(folder.iterdir()):
        for file in find_files(system):
            take_file(connection, file, system.name, TakeRules(withheld=mapping.withheld(system.name)), _NOW)


def _spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _peak_gib(pid: int) -> float:
    """Peak of a process, with the shared buffers that it has touched."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return round(kib / 2**20, 3)


def _score(connection: Connection, faults: frozenset[tuple[str, str]]) -> dict[str, int]:
    """How many of the faults were found, and conflicts that are none of them."""
    seen: set[tuple[str, str]] = set()
    false = 0
    for kind, _, _, key, said in read_found(connection):
        assets = {place.partition("/")[2] for place in said if place.startswith("marketing.meters/")} | {key}
        # An account's capacity is told of GIS's meter: that is the same number behind a letter.
        assets |= {str(310_000_000_000 + int(k[1:])) for k in assets if k is not None and k[:1] == "G"}
        hit = {(kind, asset) for asset in assets if asset is not None} & faults
        seen |= hit
        false += not hit
    return {"injected": len(faults), "found": len(seen), "false": false}


def measure(customers: int, seed: int, rate: float) -> Mapping[str, Any]:
    """Make the utility, load its model, reconcile, score."""
    with benchmark_stack() as (spec, settings), tempfile.TemporaryDirectory() as folder:
        utility = make_utility(Path(folder), customers, seed, rate)
        with opener(settings, "benchmark")() as connection:
            connection.autocommit = True
            begin = time.monotonic()
            load_grid(connection, utility.model)
            loaded_s = time.monotonic() - begin
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            found = pool.submit(reconcile, spec.config_path, Path(folder)).result()
        with opener(settings, "benchmark")() as connection:
            score = _score(connection, utility.faults)
    spent_s = sum(found[f"{name}_processor_s"] + found[f"{name}_server_processor_s"] for name in ("take", "match"))
    return {
        "customers": customers,
        **score,
        **found,
        "model_load_s": round(loaded_s, 1),
        "whole_s": round(found["take_s"] + found["match_s"], 1),
        "whole_processor_s": round(spent_s, 1),
        "processor_us_a_customer": round(spent_s / customers * 1e6, 1),
        "memory_kib_a_customer": round(found["peak_gib"] * 2**20 / customers, 2),
        "target_s": round(_TARGET_S * customers / 1e6, 1),
        "target_gib": _TARGET_GIB,
    }


def main() -> None:
    """Print what it came to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--customers", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--rate", type=float, default=0.0025, help="of customers that get each of four faults")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.customers, arguments.seed, arguments.rate)
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        for name, value in found.items():
            print(f"{name}: {value}")


if __name__ == "__main__":
    main()
