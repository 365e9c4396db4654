"""How many of the inconsistencies that a made-up city's extracts have are found, by kind, and how many false ones; and
whether records of another name are still taken for what they are.

On servers of its own: ``python -m benchmarks.sync_conflicts --seeds 21 22 23 --renamed 0.05 --json``. A seed counts as
fresh only as long as no rule was chosen by it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from benchmarks.stack import benchmark_stack
from meterline.bootstrap import opener
from meterline.city import make_city
from meterline.score.conflicts import StoredConflict, rows_found, score_conflicts
from meterline.score.identity import IdentityScore, score_identity
from store.connection import Connection
from store.sync_conflicts import read_found
from store.sync_identity import read_crosswalk
from sync.load import load_grid
from sync.mapping import SourceMapping, parse_mapping
from sync.match import match
from sync.take import TakeRules, find_files, take_file
from twin.city import City
from twin.sources.faults import FaultPlan
from twin.sources.headend import write_headend
from twin.sources.table import Kind
from twin.sources.write import SourceTruth, write_sources
from twin.truth_files import Inconsistency

_DAY, _NOW = date(2026, 6, 1), datetime(2026, 6, 1, 12, tzinfo=UTC)


def score_city(connection: Connection, city: City, seed: int, plan: FaultPlan) -> dict[str, object]:
    """Load a city, take its extracts, match, and compare with what was put in."""
    mapping = parse_mapping((files("sync") / "default_mapping.toml").read_text("utf-8"))
    load_grid(connection, city.recorded)
    with tempfile.TemporaryDirectory() as folder:
        truth = write_sources(city.network, city.recorded, Path(folder), seed, plan)
        write_headend(truth, Path(folder))
        started, spent = time.monotonic(), time.process_time()
        _take(connection, Path(folder), mapping)
        report = match(connection, mapping, _DAY, _NOW)
        seconds, processor = time.monotonic() - started, time.process_time() - spent
    return {
        "seed": seed,
        "rates": {kind.value: rate for kind, rate in plan.rates.items()},
        "meters": len(city.recorded.meters),
        "records": report.records,
        "unsure": report.unsure,
        "seconds": round(seconds, 1),
        "processor_s": round(processor, 1),
        **_score(connection, truth),
        "identity": asdict(_score_identity(connection, truth, mapping)),
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


def _score_identity(connection: Connection, truth: SourceTruth, mapping: SourceMapping) -> IdentityScore:
    inconsistencies = [Inconsistency(*map(str, injection)) for injection in truth.injections]
    references = {(r.system, r.table, r.key): r.code for r in truth.references}
    entities = {(*_place(title), key): entity for (title, key), entity in read_crosswalk(connection).items()}
    kinds = {(system, name): of.entity for system, tables in mapping.systems.items() for name, of in tables.items()}
    return score_identity(inconsistencies, references, entities, kinds)


def _place(title: str) -> tuple[str, str]:
    system, _, table = title.partition(".")
    return system, table


def _plans(rate: float | None, renamed: float | None) -> list[FaultPlan]:
    usual = FaultPlan() if rate is None else FaultPlan.of(rate)
    return [usual] if renamed is None else [usual, FaultPlan({**usual.rates, Kind.RENAMED: renamed})]


def _line(row: Mapping[str, Any]) -> str:
    identity = row["identity"]
    named = ", ".join(
        f"{kind.replace('_', ' ')} {of['matched']} of {of['things']} matched, {of['wrong']} wrongly"
        for kind, of in identity["named"].items()
    )
    return (
        f"seed {row['seed']}, {row['rates']['renamed']:.2%} renamed: {row['found']} of {row['injected']} found, "
        f"{row['false']} false; {named}; of {identity['records']:,} records with another system's {identity['wrong']} "
        "with those of another thing"
    )


def main() -> None:
    """Print a line a seed and plan."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, nargs="+", default=[21, 22, 23])
    parser.add_argument("--areas", type=int, help="of the city; default all")
    parser.add_argument("--rate", type=float, help="of all kinds together; default 0.35 %% of each")
    parser.add_argument("--renamed", type=float, help="each city once more with this share renamed, as 0.05")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = []
    for seed in arguments.seeds:
        city = make_city("demonstration", areas=arguments.areas, seed=seed, events="none")
        for plan in _plans(arguments.rate, arguments.renamed):
            with benchmark_stack() as (_, settings), opener(settings, "benchmark")() as connection:
                connection.autocommit = True
                rows.append(score_city(connection, city, seed, plan))
            if not arguments.json:
                print(_line(rows[-1]), flush=True)
    if arguments.json:
        print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
