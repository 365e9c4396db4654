from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.truth_folder import ASSOCIATIONS, BEGIN_S, END_S, ENDS_S, UNITS, constant_energies, write_truth
from twin import truth_files
from twin.events import Event, EventKind
from twin.truth_files import (
    Inconsistency,
    Manifest,
    UnitEnergies,
    UnitTruthWriter,
    read_associations,
    read_events,
    read_inconsistencies,
    read_manifest,
    read_unit_rows,
    write_events,
    write_inconsistencies,
    write_manifest,
)
from twin.truth_tables import TruthError

EVENTS = (
    Event(BEGIN_S + 50, 2, EventKind.RECORD_AREA, "A1-m2", None, 1.0, "A2"),
    Event(BEGIN_S, 3, EventKind.THEFT_HOOK, "A1", END_S, 6_000.0),
)


def part(energies: UnitEnergies, rows: slice) -> UnitEnergies:
    return UnitEnergies(*(getattr(energies, name)[rows] for name in UnitEnergies.__slots__))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_truth(tmp_path, EVENTS)
    (rows,) = read_unit_rows(tmp_path)
    assert rows.units == UNITS
    assert rows.unit[:4].tolist() == [0, 1, 2, 0]
    assert rows.end_s[:4].tolist() == [BEGIN_S + 900] * 3 + [BEGIN_S + 1_800]
    assert set(rows.interval_s.tolist()) == {900}
    assert rows.energies.loss_wh[:3].tolist() == [400, 300, 200]
    assert rows.energies.unmetered_wh[:3].tolist() == [50, 50, 50]
    assert rows.energies.supply_wh[0] == 10_000
    assert read_events(tmp_path) == tuple(sorted(EVENTS))
    assert read_associations(tmp_path) == ASSOCIATIONS
    assert read_inconsistencies(tmp_path) is None
    counts = {"meters": 4, "units": 3}
    assert read_manifest(tmp_path) == Manifest("small", 7, BEGIN_S, END_S, 900, counts)
    assert json.loads((tmp_path / "manifest.json").read_text())["from"] == "2026-11-20T00:00:00Z"


def test_files_say_their_types(tmp_path: Path) -> None:
    write_truth(tmp_path, EVENTS)
    schema = pq.read_schema(tmp_path / "units.parquet")
    assert schema.equals(truth_files.UNIT_SCHEMA)
    assert str(schema.field("observed_at").type) == "timestamp[us, tz=UTC]"
    metadata = pq.read_metadata(tmp_path / "events.parquet")
    assert metadata.row_group(0).column(0).compression == "ZSTD"
    assert pq.read_table(tmp_path / "events.parquet")["to_be_found"].to_pylist() == [True, True]


def test_inconsistencies_are_read_from_another_writers_types(tmp_path: Path) -> None:
    found = [
        Inconsistency("gis", "transformers", "T-1", "A1", "renamed", "name", "Mill", "Mil"),
        Inconsistency("pms", "meters", "7", "A1-m1", "missing", None, None, None),
    ]
    write_inconsistencies(found, tmp_path)
    assert read_inconsistencies(tmp_path) == tuple(found)
    table = pq.read_table(tmp_path / "inconsistencies.parquet")
    table = table.set_column(4, "kind", table["kind"].dictionary_encode()).select(table.schema.names[::-1])
    pq.write_table(table, tmp_path / "inconsistencies.parquet")
    assert read_inconsistencies(tmp_path) == tuple(found)


@pytest.mark.parametrize("piece", [1, 5, 192])
def test_pieces_give_the_same_bytes(tmp_path: Path, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truth_files, "GROUP", 100)
    energies = constant_energies(len(ENDS_S), (1.0, 2.0, 3.0))
    for folder, step in ((tmp_path / "all", len(ENDS_S)), (tmp_path / "pieces", piece)):
        with UnitTruthWriter(folder, UNITS) as writer:
            for first in range(0, len(ENDS_S), step):
                rows = slice(first, first + step)
                writer.write(ENDS_S[rows], 900, part(energies, rows))
    assert (tmp_path / "all/units.parquet").read_bytes() == (tmp_path / "pieces/units.parquet").read_bytes()
    assert pq.read_metadata(tmp_path / "all/units.parquet").num_row_groups == 6
    read = [rows.end_s for rows in read_unit_rows(tmp_path / "all")]
    assert np.concatenate(read).tolist() == np.repeat(ENDS_S, 3).tolist()


def test_only_intervals_within_the_span_are_read(tmp_path: Path) -> None:
    write_truth(tmp_path)
    (rows,) = read_unit_rows(tmp_path, BEGIN_S + 900, BEGIN_S + 3_000)
    assert sorted(set(rows.end_s.tolist())) == [BEGIN_S + 1_800, BEGIN_S + 2_700]
    assert list(read_unit_rows(tmp_path, END_S)) == []


def test_a_writer_without_intervals_leaves_a_file_without_rows(tmp_path: Path) -> None:
    with UnitTruthWriter(tmp_path, UNITS) as writer:
        writer.write(np.empty(0, np.int64), 900, constant_energies(0, (1.0, 2.0, 3.0)))
    assert list(read_unit_rows(tmp_path)) == []
    write_events([], tmp_path)
    assert read_events(tmp_path) == ()


def test_what_does_not_close_or_come_in_order_is_refused(tmp_path: Path) -> None:
    good = constant_energies(2, (1.0, 2.0, 3.0))
    open_ = constant_energies(2, (1.0, 2.0, 3.0))
    open_.sold_wh[1, 2] += 1.0
    unknown = constant_energies(2, (1.0, 2.0, 3.0))
    unknown.sold_wh[0, 0] = np.nan
    with UnitTruthWriter(tmp_path, UNITS) as writer:
        with pytest.raises(ValueError, match="F1 at 2026-11-20T00:30:00Z don't close: -1 Wh"):
            writer.write(ENDS_S[:2], 900, open_)
        with pytest.raises(ValueError, match="A1 at 2026-11-20T00:15:00Z don't close"):
            writer.write(ENDS_S[:2], 900, unknown)
        with pytest.raises(ValueError, match="follow each other"):
            writer.write(ENDS_S[1::-1], 900, good)
        with pytest.raises(ValueError, match="shape"):
            writer.write(ENDS_S[:3], 900, good)
        writer.write(ENDS_S[:2], 900, good)
        with pytest.raises(ValueError, match="follow each other"):
            writer.write(ENDS_S[1:3], 900, good)
    with pytest.raises(ValueError, match="twice"):
        UnitTruthWriter(tmp_path, ("A", "A"))


def test_what_is_no_truth_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(TruthError, match="there is no folder"):
        read_manifest(tmp_path / "nowhere")
    with pytest.raises(TruthError, match=r"is no truth folder: it has no manifest\.json"):
        read_manifest(tmp_path)
    endless = f'{{"format": "{truth_files.FORMAT}", "from": "2026-11-20T00:00:00Z", "to": "2026-11-21T00:00:00Z",'
    for text in ("[]", "[" * 100_000, f'{endless} "counts": {{"meters": 1e999}}}}'):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(TruthError, match="is no manifest"):
            read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": "meterline-truth/9"}')
    with pytest.raises(TruthError, match="its format is meterline-truth/9"):
        read_manifest(tmp_path)
    write_manifest(Manifest("small", 7, BEGIN_S, END_S, 900, {}), tmp_path)
    with pytest.raises(TruthError, match=r"it has no events\.parquet"):
        read_events(tmp_path)
    (tmp_path / "events.parquet").write_text("text")
    with pytest.raises(TruthError, match="is no Parquet file"):
        read_events(tmp_path)
    pq.write_table(pq.read_table(_units(tmp_path)).drop_columns(["sold_wh"]), tmp_path / "units.parquet")
    with pytest.raises(TruthError, match="has no column sold_wh"):
        next(read_unit_rows(tmp_path))


def _units(folder: Path) -> Path:
    with UnitTruthWriter(folder / "other", UNITS) as writer:
        writer.write(ENDS_S[:1], 900, constant_energies(1, (1.0, 2.0, 3.0)))
    return folder / "other" / "units.parquet"
