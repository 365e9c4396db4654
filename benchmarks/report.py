"""The form in which every benchmark prints its figures."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import psutil
from rich.table import Table

from meterline.cli_common import text_console


@dataclass(frozen=True, slots=True)
class Result:
    """One figure. `ok` is None where there is no target; peer fields where there is a peer.

    Of a share, `count` says of how many it is and `low` and `high` between which shares it tells.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    ok: bool | None = None
    peer: str | None = None
    peer_value: float | None = None
    ratio: float | None = None
    count: int | None = None
    low: float | None = None
    high: float | None = None


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


def with_interval(share: Result, count: int, share_of: int | None = None) -> Result:
    """A share of `count` with its interval of 95 %; `share_of`: how many of them were drawn independently, if fewer."""
    low, high = binomial_interval(share.value, count if share_of is None else share_of)
    return replace(share, count=count, low=low, high=high)


def binomial_interval(share: float, count: int) -> tuple[float, float]:
    """Between which shares of all a share of so many draws tells, 95 times in 100; nothing is known of none.

    Notes
    -----
    The score interval: Wilson, "Probable inference", J. Am. Stat. Assoc. 22 (1927).
    """
    if count == 0:
        return 0.0, 1.0
    square = 1.959964**2 / count
    middle = (share + square / 2) / (1 + square)
    half = math.sqrt(square * share * (1 - share) + square**2 / 4) / (1 + square)
    return max(min(middle - half, share), 0.0), min(max(middle + half, share), 1.0)


def median_seconds(work: Callable[[], object], runs: int = 5, clock: Callable[[], float] = time.perf_counter) -> float:
    """Median seconds of `work` over `runs`, after one run to warm up; wall seconds, or those of another clock."""
    work()
    seconds = []
    for _ in range(runs):
        started = clock()
        work()
        seconds.append(clock() - started)
    return statistics.median(seconds)


def processor_seconds(work: Callable[[], object], runs: int = 5) -> float:
    """Median seconds of processor time: what one core does, whatever else runs beside it."""
    return median_seconds(work, runs, time.process_time)


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
    table = Table("figure", "value", "of", "unit", "target", "met", "peer", "peer's value", "ratio")
    for r in results:
        met = "" if r.ok is None else "yes" if r.ok else "no"
        table.add_row(
            r.name,
            _text(r.value),
            _of(r),
            r.unit,
            _text(r.target),
            met,
            r.peer or "",
            _text(r.peer_value),
            _text(r.ratio),
        )
    text_console().print(table)


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def _of(r: Result) -> str:
    return "" if r.count is None else f"{r.count:,} ({_text(r.low)}…{_text(r.high)})"
