"""The form in which every benchmark prints its figures."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import psutil
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Result:
    """One figure. `ok` is None where there is no target; peer fields where there is a peer."""

    name: str
    value: float
    unit: str
    target: float | None = None
    ok: bool | None = None
    peer: str | None = None
    peer_value: float | None = None
    ratio: float | None = None


def result(
    name: str,
    value: float,
    unit: str,
    target: float | None = None,
    peer: str | None = None,
    peer_value: float | None = None,
    *,
    less_is_better: bool = False,
) -> Result:
    """A result with its ratio to the peer (above 1 = better than the peer) and whether the target is met."""
    made = Result(name, value, unit, target, peer=peer, peer_value=peer_value)
    if peer_value:
        made = replace(made, ratio=peer_value / value if less_is_better else value / peer_value)
    if target is not None:
        made = replace(made, ok=value <= target if less_is_better else value >= target)
    return made


def median_seconds(work: Callable[[], object], runs: int = 5) -> float:
    """Median wall seconds of `work` over `runs`, after one run to warm up."""
    work()
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def machine() -> dict[str, object]:
    """What this was measured on."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
    }


def main(measure: Callable[[], list[Result]], description: str) -> None:
    """Run as ``python -m benchmarks.NAME [--json]``; exits 0 when it could measure, whatever the outcome."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args().json
    results = measure()
    if as_json:
        present = [{k: v for k, v in asdict(r).items() if v is not None or k in ("target", "ok")} for r in results]
        sys.stdout.write(json.dumps({"machine": machine(), "results": present}) + "\n")
        return
    table = Table("figure", "value", "unit", "target", "met", "peer", "peer's value", "ratio")
    for r in results:
        met = "" if r.ok is None else "yes" if r.ok else "no"
        table.add_row(
            r.name, _text(r.value), r.unit, _text(r.target), met, r.peer or "", _text(r.peer_value), _text(r.ratio)
        )
    Console().print(table)


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
