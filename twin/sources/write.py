"""Writes the extracts of all source systems, and the truth about them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pyarrow import parquet

from grid.model import GridModel
from twin.network import Network
from twin.sources import cim, gis, marketing, pms, scada
from twin.sources.faults import FaultPlan, Injection, inject
from twin.sources.rdf import rdf_lines
from twin.sources.scene import make_scene
from twin.sources.table import Column, Table, Value, text

_ROWS_AN_INSERT = 500


class Reference(NamedTuple):
    """What a row of an extract is in Meterline."""

    system: str
    table: str
    key: str
    code: str


@dataclass(frozen=True, slots=True)
class SourceTruth:
    """What was put into the extracts, and what each row of them is; both in the order of systems, tables and keys.

    A missing object is in no row, so it is not among the references; a duplicate is there under both keys.
    """

    injections: tuple[Injection, ...]
    references: tuple[Reference, ...]


def source_tables(network: Network, model: GridModel, seed: int) -> list[Table]:
    """The tables of all systems without an inconsistency, in the order of the model."""
    scene = make_scene(network, model, seed)
    of_marketing = marketing.marketing_tables(scene)
    assets = next(t for t in of_marketing if t.name == "meters").key_by_code()
    return [
        *of_marketing,
        *pms.pms_tables(scene),
        *gis.gis_tables(scene, assets),
        *scada.scada_tables(scene),
        *cim.cim_tables(scene),
    ]


def write_sources(
    network: Network, model: GridModel, folder: Path, seed: int, faults: FaultPlan | None = None
) -> SourceTruth:
    """Write extracts of marketing, PMS, GIS and SCADA, and the network in CIM, into `folder`.

    Parameters
    ----------
    folder
        Is made; files that are there are overwritten.
    seed
        The same seed gives the same bytes.
    faults
        The inconsistencies that are put in; `FaultPlan({})` for none, None for the usual ones.

    Returns
    -------
    SourceTruth
        See `write_truth`.
    """
    tables = source_tables(network, model, seed)
    injections = inject(tables, FaultPlan() if faults is None else faults, seed)
    by_system: dict[str, list[Table]] = {}
    for table in tables:
        by_system.setdefault(table.system, []).append(table)
    for system, of_system in by_system.items():
        (folder / system).mkdir(parents=True, exist_ok=True)
        for table in of_system:
            if system == gis.SYSTEM:
                _write_lines(folder / system / f"{table.name}.geojson", _geojson(table))
            elif system != cim.SYSTEM:
                _write_csv(folder / system / f"{table.name}.csv", table)
        if system in {marketing.SYSTEM, pms.SYSTEM}:
            _write_lines(folder / system / f"{system}.sql", _sql(of_system))
    _write_lines(folder / cim.SYSTEM / "network.xml", rdf_lines(by_system[cim.SYSTEM], seed))
    references = (
        Reference(t.system, t.name, str(key), code) for t in tables for key, code in zip(t.keys, t.codes, strict=True)
    )
    return SourceTruth(tuple(injections), tuple(references))


def write_truth(truth: SourceTruth, folder: Path) -> None:
    """Write `inconsistencies.parquet` and `crossreference.parquet` into `folder`, which is made; all columns text."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows, kind in (
        ("inconsistencies", truth.injections, Injection),
        ("crossreference", truth.references, Reference),
    ):
        columns = list(zip(*rows, strict=True)) or [()] * len(kind._fields)
        arrays = [pa.array([str(v) for v in column], pa.string()) for column in columns]
        parquet.write_table(pa.table(arrays, names=list(kind._fields)), folder / f"{name}.parquet", compression="zstd")


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def _write_csv(path: Path, table: Table) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.values)
        writer.writerows(zip(*([text(v) for v in column] for column in table.values.values()), strict=True))


def _sql(tables: Sequence[Table]) -> Iterator[str]:
    """Statements that make and fill the tables; references are said in comments, since they may lead nowhere."""
    yield "BEGIN;"
    for table in tables:
        name = f"{table.system}_{table.name}"
        yield f"-- {table.comment}"
        yield f"CREATE TABLE {name} ("
        last = table.columns[-1]
        for column in table.columns:
            key = " PRIMARY KEY" if column.name == table.key else ""
            refers = f" -> {table.system}_{column.refers}" if column.refers else ""
            comma = "" if column is last else ","
            yield f"  {column.name} {column.sql}{key}{comma} -- {column.comment}{refers}"
        yield ");"
        literals = [_literals(table.values[column.name], column) for column in table.columns]
        rows = [f"({', '.join(row)})" for row in zip(*literals, strict=True)]
        for first in range(0, len(rows), _ROWS_AN_INSERT):
            yield f"INSERT INTO {name} ({', '.join(table.values)}) VALUES"
            yield ",\n".join(rows[first : first + _ROWS_AN_INSERT]) + ";"
    yield "COMMIT;"


def _literals(values: Sequence[Value], column: Column) -> list[str]:
    if column.sql in {"numeric", "integer"}:
        return ["NULL" if value is None else text(value) for value in values]
    return ["NULL" if value is None else "'" + text(value).replace("'", "''") + "'" for value in values]


def _geojson(table: Table) -> Iterator[str]:
    """A feature collection (RFC 7946), one feature a line."""
    yield f'{{"type": "FeatureCollection", "name": {json.dumps(table.name)}, "features": ['
    names = list(table.values)[1:]
    columns = [table.values[name] for name in names]
    last = len(table) - 1
    for row, (key, place) in enumerate(zip(table.keys, table.places, strict=True)):
        shape = {"type": "LineString", "coordinates": place} if len(place) > 1 else _point(place[0])
        properties = {name: column[row] for name, column in zip(names, columns, strict=True)}
        feature = {"type": "Feature", "id": key, "geometry": shape, "properties": properties}
        yield json.dumps(feature, ensure_ascii=False) + ("" if row == last else ",")
    yield "]}"


def _point(position: tuple[float, float]) -> dict[str, object]:
    return {"type": "Point", "coordinates": position}
