"""How many of the inconsistencies that a made-up city's extracts have are found, by kind, and how many false ones.

On servers of its own: ``python -m benchmarks.sync_conflicts --seeds 21 22 23 --json``. A seed counts as fresh only as
long as no rule was chosen by it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path

from benchmarks.stack import benchmark_stack
from meterline.bootstrap import opener
from meterline.city import make_city
from meterline.score.conflicts import StoredConflict, rows_found, score_conflicts
from store.connection import Connection
from store.sync_conflicts import read_found
from sync.load import load_grid
from sync.mapping import SourceMapping, parse_mapping
from sync.match import match
from sync.take import TakeRules, find_files, take_file
from twin.sources.faults import FaultPlan
from twin.sources.headend import write_headend
from twin.sources.write import SourceTruth, write_sources
from twin.truth_files import Inconsistency

_DAY, _NOW = date(2026, 6, 1), datetime(2026, 6, 1, 12, tzinfo=UTC)


def score_city(connection: Connection, seed: int, areas: int | None, rate: float | None) -> dict[str, object]:
    """Load a city, take its extracts, match, and compare with what was put in."""
    mapping = parse_mapping((files("sync") / "default_mapping.toml").read_text("utf-8"))
    city = make_city("demonstration", areas=areas, seed=seed, events="none")
    load_grid(connection, city.recorded)
    with tempfile.TemporaryDirectory() as folder:
        plan = FaultPlan() if rate is None else FaultPlan.of(rate)
        truth = write_sources(city.network, city.recorded, Path(folder), seed, plan)
        write_headend(truth, Path(folder))
        started, spent = time.monotonic(), time.process_time()
        _take(connection, Path(folder), mapping)
        report = match(connection, mapping, _DAY, _NOW)
        seconds, processor = time.monotonic() - started, time.process_time() - spent
    return {
        "seed": seed,
        "meters": len(city.recorded.meters),
        "records": report.records,
        "unsure": report.unsure,
        "seconds": round(seconds, 1),
        "processor_s": round(processor, 1),
        **_score(connection, truth),
    }


def _take(connection: Connection, folder: Path, mapping: SourceMapping) -> None:
    for system in sorted(folder.iterdir()):
        for file in find_files(system):
            take_file(connection, file, system.name, TakeRules(withheld=mapping.withheld(system.name)), _NOW)


def _score(connection: Connection, truth: SourceTruth) -> dict[str, object]:
    inconsistencies = [Inconsistency(*map(str, injection)) for injection in truth.injections]
    references = {(r.system, r.table, r.key): r.code for r in truth.references}
    stored = []
    for kind, system, table, key, records in read_found(connection):
        said = [place.partition("/") for place in records if "/" in place]
        places = [(title.partition(".")[0], title.partition(".")[2], of) for title, _, of in said]
        stored.append(StoredConflict(kind, system, table, key, tuple(places)))
    found = score_conflicts(inconsistencies, rows_found(stored, inconsistencies, references))
    return {
        "found": found.all.found,
        "injected": found.all.injected,
        "false": found.false,
        "by_kind": {kind: asdict(share) for kind, share in found.by_kind.items()},
    }


def main() -> None:
    """Print a line a seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, nargs="+", default=[21, 22, 23])
    parser.add_argument("--areas", type=int, help="of the city; default all")
    parser.add_argument("--rate", type=float, help="of all kinds together; default 0.35 %% of each")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = []
    for seed in arguments.seeds:
        with benchmark_stack() as (_, settings), opener(settings, "benchmark")() as connection:
            connection.autocommit = True
            rows.append(score_city(connection, seed, arguments.areas, arguments.rate))
        if not arguments.json:
            print(
                f"seed {seed}: {rows[-1]['found']} of {rows[-1]['injected']} found, {rows[-1]['false']} false",
                flush=True,
            )
    if arguments.json:
        print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
