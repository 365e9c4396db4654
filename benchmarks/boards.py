"""How long each panel of each board takes on a big utility's database, and whether its plan scans a hypertable.

python -m benchmarks.boards --scale 1 --json

See `benchmarks.boards_database` for what is in it. Each statement runs as its board's role, as Grafana sends it: over
the range that the board opens with, and, where it depends on the range, over a year. What depends on the place runs a
second time with a region and a substation chosen. The rules of health run as operations' role. The time is the median
of five after one to warm up, with all rows fetched.
"""

from __future__ import annotations

import argparse
import functools
import json
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg
from rich.table import Table

from benchmarks.boards_database import catch_up, fill
from benchmarks.stack import benchmark_stack
from deploy.boards.health import RULES
from deploy.boards.macros import expand
from deploy.boards.model import Board, Source, variables_of
from deploy.boards.registry import BOARDS
from deploy.stack.postgres import superuser_dsn
from meterline.cli_common import text_console
from meterline.config import Settings

_MOST_MS = 200.0
_BUILD_S = 900.0
_RUNS = 5
#: What a reader narrows first.
_WIDE = frozenset({"region", "substation"})
_SPANS = {"m": "minutes", "h": "hours", "d": "days"}
Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Timing:
    """One statement over one range."""

    board: str
    what: str
    range: str
    rows: int
    median_ms: float
    processor_ms: float
    """Mean of the server's processor time: what other work on the machine takes isn't in it."""
    scans: list[str]
    plan: list[dict[str, Any]]

    @property
    def ok(self) -> bool:
        """Whether it is quick and reads by indexes."""
        return self.median_ms <= _MOST_MS and not self.scans


def measure(settings: Settings, only: str | None = None) -> Iterator[Timing]:
    """Time every panel, variable and annotation, of all boards or of the one with a uid; and the rules of health."""
    for board in [board for board in BOARDS if only in {None, board.uid}]:
        role = "board" if board.source is Source.OPERATIONS else "revenue"
        with psycopg.connect(settings.database.conninfo(role), autocommit=True) as connection:  # type: ignore[arg-type]
            yield from _measure(connection, board, narrowed=False)
            if _WIDE.issubset(variable.name for variable in board.variables):
                yield from _measure(connection, board, narrowed=True)
    if only is None:
        with psycopg.connect(settings.database.conninfo("board"), autocommit=True) as connection:
            for rule in RULES:
                yield _time(connection, "rules of health", rule.uid, rule.sql, "1h", {})[0]


def _measure(connection: Connection, board: Board, *, narrowed: bool) -> Iterator[Timing]:
    """With the first choice of each variable, or with a region and a substation: then only what depends on them."""
    values: dict[str, str] = {}
    at = " at a place" if narrowed else ""
    for variable in board.variables:
        name = f"variable {variable.name}{at}"
        timing, rows = _time(connection, board.uid, name, variable.sql, "1h", values)
        # The first choice is all of them.
        values[variable.name] = str(rows[1 if narrowed and variable.name in _WIDE else 0][0])
        if not narrowed or variable.needs & _WIDE:
            yield timing
    usual = board.since.removeprefix("now-")
    for panel in (place.panel for place in board.places):
        if narrowed and not panel.variables & _WIDE:
            continue
        for name, sql in ((panel.key, panel.sql), (f"{panel.key} edges", panel.edges)):
            if sql is None:
                continue
            depends = panel.span is None and "$__time" in sql.replace("$__timezone", "")
            for span in (panel.span or usual, *(["365d"] if depends else [])):
                yield _time(connection, board.uid, name + at, sql, span, values)[0]
    for annotation in board.annotations:
        if not narrowed or variables_of(annotation.sql) & _WIDE:
            yield _time(connection, board.uid, f"annotation {annotation.key}{at}", annotation.sql, usual, values)[0]


def _time(
    connection: Connection, board: str, what: str, sql: str, span: str, values: dict[str, str]
) -> tuple[Timing, list[tuple[Any, ...]]]:
    now = datetime.now(UTC)
    length = timedelta(**{_SPANS[span[-1]]: int(span[:-1])})
    # As many points as a panel is wide.
    step = max(timedelta(minutes=1), length / 1_000)
    text = expand(sql, now - length, now, step, values).encode()
    server = psutil.Process(connection.info.backend_pid)
    seconds, processor_s = [], []
    rows: list[tuple[Any, ...]] = []
    for _ in range(_RUNS + 1):
        processor_s.append(sum(server.cpu_times()[:2]))
        started = time.perf_counter()
        rows = connection.execute(text).fetchall()
        seconds.append(time.perf_counter() - started)
    processor_ms = 1e3 * (sum(server.cpu_times()[:2]) - processor_s[1]) / _RUNS
    answer = connection.execute(b"explain (format json) " + text).fetchone()
    assert answer is not None
    plan = answer[0]
    scans = sorted({node["Relation Name"] for node in _nodes(plan[0]["Plan"]) if _scans_hypertable(node)})
    median_ms = round(1e3 * statistics.median(seconds[1:]), 1)
    return Timing(board, what, span, len(rows), median_ms, round(processor_ms, 1), scans, plan), rows


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from _nodes(child)


def _scans_hypertable(node: dict[str, Any]) -> bool:
    # A chunk; a hypertable itself is empty.
    return node["Node Type"] == "Seq Scan" and str(node.get("Relation Name", "")).startswith("_hyper_")


def main() -> int:
    """Build, measure, print; returns 1 when a panel is too slow or scans."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.boards", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="1: a year; smaller: shorter times of as many units")
    parser.add_argument("--json", action="store_true", help="print JSON, with plans, instead of a table")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="build the database in DIR and leave it there; one that is there is used",
    )
    parser.add_argument("--only", metavar="BOARD", help="measure one board alone, such as meterline-map")
    options = parser.parse_args()
    # So that the servers are stopped, and removed, as after an interrupt.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with benchmark_stack(keep=options.keep) as (spec, settings):
        owner = functools.partial(
            psycopg.connect, settings.database.conninfo("owner"), autocommit=True, cursor_factory=psycopg.ClientCursor
        )
        superuser = functools.partial(psycopg.connect, superuser_dsn(spec, settings.database.name), autocommit=True)
        build_s = fill(owner, superuser, options.scale)
        with owner() as connection:
            catch_up(connection)
            row = connection.execute(
                "select scale, pg_database_size(current_database()) from boards_filling"
            ).fetchone()
            assert row is not None
            scale, size = row
        timings = list(measure(settings, options.only))
    ok = all(timing.ok for timing in timings) and (build_s is None or build_s <= _BUILD_S)
    if options.json:
        document = {
            "scale": scale,
            "bytes": size,
            "build_s": None if build_s is None else round(build_s, 1),
            "build_goal_s": _BUILD_S,
            "panel_goal_ms": _MOST_MS,
            "ok": ok,
            "panels": [asdict(timing) | {"ok": timing.ok} for timing in timings],
        }
        json.dump(document, sys.stdout, indent=1)
        print()
        return 0 if ok else 1
    table = Table("board", "what", "range", "rows", "ms", "processor ms", "scans")
    for timing in sorted(timings, key=lambda timing: -timing.median_ms):
        style = "" if timing.ok else "red"
        table.add_row(
            timing.board,
            timing.what,
            timing.range,
            str(timing.rows),
            f"{timing.median_ms:.1f}",
            f"{timing.processor_ms:.0f}",
            ", ".join(timing.scans),
            style=style,
        )
    text_console().print(table)
    built = "built before" if build_s is None else f"built in {build_s:.0f} s (goal {_BUILD_S:.0f} s)"
    print(f"{size / 1e9:.1f} GB, {built}; slowest {max(t.median_ms for t in timings):.0f} ms")
    return 0 if ok else 1


if __name__ == "__main__":
    raise SystemExit(main())
