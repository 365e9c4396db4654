"""Extracts in which many things have another name: all are found, none is mistaken, and a person decides the rest."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

from meterline.city import make_city
from meterline.score.conflicts import StoredConflict, rows_found, score_conflicts
from meterline.score.identity import score_identity
from store.connection import Connection, connect
from store.sync_conflicts import list_conflicts, read_found
from store.sync_identity import decide_merge, read_crosswalk
from sync.load import load_grid
from sync.mapping import SourceMapping, parse_mapping
from sync.match import match
from sync.take import TakeRules, find_files, take_file
from tests.integration.conftest import Database
from twin.sources.faults import FaultPlan
from twin.sources.headend import write_headend
from twin.sources.table import Kind
from twin.sources.write import SourceTruth, write_sources
from twin.truth_files import Inconsistency

DAY = date(2026, 6, 1)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SEED = 5


def take_all(connection: Connection, folder: Path, mapping: SourceMapping) -> None:
    for system in sorted(folder.iterdir()):
        for file in find_files(system):
            take_file(connection, file, system.name, TakeRules(withheld=mapping.withheld(system.name)), NOW)


def stored(connection: Connection) -> list[StoredConflict]:
    found = []
    for kind, system, table, key, records in read_found(connection):
        said = [place.partition("/") for place in records if "/" in place]
        places = tuple((*title.split(".", 1), of) for title, _, of in said)
        found.append(StoredConflict(kind, system, table, key, places))  # type: ignore[arg-type]
    return found


def entities(connection: Connection) -> dict[tuple[str, str, str], int]:
    crosswalk = read_crosswalk(connection).items()
    return {(*title.split(".", 1), key): entity for (title, key), entity in crosswalk}  # type: ignore[misc]


def either(connection: Connection) -> list[dict[str, Any]]:
    """Conflicts of names that may mean one of several things."""
    listed = list_conflicts(connection, None, None, None, None, False, 100)
    return [row for row in listed if " or " in (row["believed"] or "")]


def test_what_is_renamed_is_found_never_mistaken_and_told_with_what_it_may_be(
    database: Database, tmp_path: Path
) -> None:
    mapping = parse_mapping((files("sync") / "default_mapping.toml").read_text("utf-8"))
    city = make_city("demonstration", areas=12, seed=SEED, events="none")
    truth: SourceTruth = write_sources(city.network, city.recorded, tmp_path, SEED, FaultPlan({Kind.RENAMED: 0.15}))
    write_headend(truth, tmp_path)
    inconsistencies = [Inconsistency(*map(str, injection)) for injection in truth.injections]
    references = {(r.system, r.table, r.key): r.code for r in truth.references}
    with connect(database.conninfo("app"), "test") as connection:
        connection.autocommit = True
        load_grid(connection, city.recorded)
        take_all(connection, tmp_path, mapping)
        match(connection, mapping, DAY, NOW)
        found = score_conflicts(inconsistencies, rows_found(stored(connection), inconsistencies, references))
        assert found.all.injected is not None
        assert found.all.injected > 10
        assert (found.all.found, found.false) == (found.all.injected, 0)
        kinds = {(system, name): of.entity for system, tables in mapping.systems.items() for name, of in tables.items()}
        before = entities(connection)
        identity = score_identity(inconsistencies, references, before, kinds)
        named = identity.named["renamed"]
        assert (identity.wrong, named.wrong) == (0, 0)
        told = either(connection)
        assert len(told) == named.things - named.matched > 0
        # A person says which one it is, and nobody asks for this one any more.
        row = told[0]
        code = references[row["system"], row["dataset"], row["key"]]
        right = next(entity for place, entity in before.items() if place[0] == "cim" and references[place] == code)
        title = f"{row['system']}.{row['dataset']}"
        assert decide_merge(connection, title, row["key"], right, "li", "seen on site", NOW) is not None
        match(connection, mapping, DAY, NOW + timedelta(hours=1))
        after = score_identity(inconsistencies, references, entities(connection), kinds)
        assert after.wrong == 0
        assert after.named["renamed"].matched == named.matched + 1
        assert row["key"] not in {each["key"] for each in either(connection)}
