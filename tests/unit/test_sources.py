from __future__ import annotations

import csv
import json
import sqlite3
from collections import Counter, defaultdict
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from pyarrow import parquet

from grid.model import Meter, Role, UnitKind
from grid.network import SwitchPosition
from tests.unit.twin_grid import one_feeder
from twin.scenario import Twin, demonstration_grid
from twin.sources.faults import FaultPlan, Injection
from twin.sources.table import Kind, Table, text
from twin.sources.write import SourceTruth, source_tables, write_sources, write_truth

NONE = FaultPlan({})
#: So that every kind befalls something in a grid of a thousand meters.
MANY = FaultPlan.of(0.4)
CSV_TABLES = {
    "marketing": ("lines", "areas", "customers", "meters"),
    "pms": ("substations", "feeders", "transformers", "lines", "switches"),
    "scada": ("rtus", "points"),
}
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
CIM = "{http://iec.ch/TC57/CIM100#}"

#: (system, table, key) → field → value.
Extracts = dict[tuple[str, str, str], dict[str, str]]


@cache
def grid() -> Twin:
    """Two feeders with ties between them."""
    return demonstration_grid(areas=14)


def write(folder: Path, faults: FaultPlan | None = NONE, seed: int = 1) -> SourceTruth:
    return write_sources(grid().network, grid().model, folder, seed, faults)


def read(folder: Path) -> Extracts:
    found: Extracts = {}
    for system, names in CSV_TABLES.items():
        for name in names:
            with (folder / system / f"{name}.csv").open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    found[system, name, next(iter(row.values()))] = row
    for name in ("transformers", "lines", "meters"):
        for feature in features(folder, name):
            found["gis", name, feature["id"]] = {
                "gis_id": feature["id"],
                **{field: text(value) for field, value in feature["properties"].items()},
                "geometry": json.dumps(feature["geometry"]),
            }
    for key, (kind, values) in cim_objects(folder).items():
        found["cim", kind, key] = values
    return found


def features(folder: Path, name: str) -> list[dict[str, Any]]:
    layer = json.loads((folder / "gis" / f"{name}.geojson").read_text(encoding="utf-8"))
    assert layer["type"] == "FeatureCollection"
    assert all(f["type"] == "Feature" for f in layer["features"])
    return list(layer["features"])


def cim_raw(folder: Path) -> dict[str, tuple[str, dict[str, str]]]:
    found = {}
    for element in ET.parse(folder / "cim" / "network.xml").getroot():  # noqa: S314 - written here
        if not element.tag.startswith(CIM):
            continue
        key = element.attrib[f"{RDF}ID"].removeprefix("_")
        assert key not in found
        found[key] = (
            element.tag.removeprefix(CIM),
            {
                child.tag.removeprefix(CIM): child.attrib.get(f"{RDF}resource", child.text or "").removeprefix("#_")
                for child in element
            },
        )
    return found


def cim_objects(folder: Path) -> dict[str, tuple[str, dict[str, str]]]:
    """Objects with the fields of their terminals and transformer ends."""
    raw = cim_raw(folder)
    found = {}
    for key, (kind, values) in raw.items():
        if kind not in {"Terminal", "PowerTransformerEnd"}:
            found[key] = (kind, {"mRID": values["IdentifiedObject.mRID"], **values})
    for kind, values in raw.values():
        if kind == "Terminal":
            number, owner = values["ACDCTerminal.sequenceNumber"], values["Terminal.ConductingEquipment"]
            found[owner][1][f"{number}:Terminal.ConnectivityNode"] = values["Terminal.ConnectivityNode"]
        if kind == "PowerTransformerEnd":
            number, owner = values["TransformerEnd.endNumber"], values["PowerTransformerEnd.PowerTransformer"]
            ours = found[owner][1]
            for name, value in values.items():
                if name == "PowerTransformerEnd.ratedS":
                    assert ours.setdefault(name, value) == value
                elif not name.endswith(("mRID", ".Terminal", ".endNumber", ".PowerTransformer")):
                    ours[f"{number}:{name}"] = value
    return found


def bare(row: dict[str, str]) -> dict[str, str]:
    """A row without its own key."""
    return {f: v for f, v in row.items() if f not in {"mRID", "IdentifiedObject.mRID"} and f != next(iter(row))}


def differences(clean: Extracts, faulty: Extracts) -> set[tuple[str, ...]]:
    """System, table, key, field, true and given value; of what is there a second time the first's key isn't known."""
    found: set[tuple[str, ...]] = {(*row, next(iter(clean[row])), row[2], "") for row in clean.keys() - faulty.keys()}
    found |= {(*row, next(iter(faulty[row])), "", row[2]) for row in faulty.keys() - clean.keys()}
    for row in clean.keys() & faulty.keys():
        a, b = clean[row], faulty[row]
        assert a.keys() == b.keys()
        found |= {(*row, field, a[field], b[field]) for field in a if a[field] != b[field]}
    return found


def as_difference(i: Injection) -> tuple[str, ...]:
    true = "" if i.kind is Kind.DUPLICATE else i.true_value
    return (i.system, i.table, i.key, i.field, true, i.given_value)


def test_counts_are_those_of_the_model(tmp_path: Path) -> None:
    truth = write(tmp_path)
    model = grid().model
    network = model.network
    assert network is not None
    assert truth.injections == ()
    counts = Counter((system, table) for system, table, _ in read(tmp_path))
    assert counts["marketing", "customers"] == len(model.accounts)
    assert counts["marketing", "meters"] == counts["gis", "meters"] == len(model.meters)
    for table in (("marketing", "areas"), ("pms", "transformers"), ("gis", "transformers")):
        assert counts[table] == len(model.areas)
    assert counts["marketing", "lines"] == counts["pms", "feeders"] == counts["cim", "Feeder"] == len(model.feeders)
    for table in (("pms", "lines"), ("gis", "lines"), ("cim", "ACLineSegment")):
        assert counts[table] == len(network.segments)
    assert counts["pms", "switches"] == len(network.switches)
    assert counts["cim", "Breaker"] + counts["cim", "LoadBreakSwitch"] == len(network.switches)
    assert counts["scada", "points"] == 4 * len(model.feeders) + len(network.switches)
    assert counts == Counter((r.system, r.table) for r in truth.references)


def unresolved(tables: list[Table], folder: Path) -> set[tuple[str, str, str, str]]:
    rows = read(folder)
    found = set()
    for table in tables:
        for column in table.columns:
            for (system, name, key), row in rows.items() if column.refers and column.refers != "Equipment" else ():
                value = row.get(column.name, "")
                here = (system, name) == (table.system, table.name)
                if here and value and (system, column.refers, value) not in rows:
                    found.add((system, name, key, column.name))
    return found


def test_every_reference_resolves_but_orphans_and_those_to_missing_objects(tmp_path: Path) -> None:
    tables = source_tables(grid().network, grid().model, 1)
    assert sum(bool(c.refers) for t in tables for c in t.columns) > 20
    write(tmp_path / "clean")
    assert unresolved(tables, tmp_path / "clean") == set()
    truth = write(tmp_path / "faulty", MANY)
    orphans = {(i.system, i.table, i.key, i.field) for i in truth.injections if i.kind is Kind.ORPHAN}
    missing = {i.true_value for i in truth.injections if i.kind is Kind.MISSING}
    rows = read(tmp_path / "faulty")
    left = unresolved(tables, tmp_path / "faulty")
    assert orphans <= left
    assert {rows[system, table, key][field] for system, table, key, field in left - orphans} <= missing


def test_relations_are_the_models(tmp_path: Path) -> None:
    truth = write(tmp_path)
    model = grid().model
    code = {(r.system, r.table, r.key): r.code for r in truth.references}
    rows = read(tmp_path)
    meters = {m.code: m for m in model.meters}
    feeder_of = {a.code: a.feeder for a in model.areas}
    for (system, table, key), row in rows.items():
        if (system, table) == ("marketing", "meters"):
            meter: Meter = meters[code[system, table, key]]
            where = ("areas", row["area_number"]) if row["area_number"] else ("lines", row["line_number"])
            assert code["marketing", *where] == meter.unit
            assert code.get(("marketing", "customers", row["account_number"])) == meter.account
            ratio = [int(part) for part in row["ct_ratio"].split("/")]
            assert ratio[0] == ratio[1] * meter.multiplier
        if (system, table) == ("gis", "meters"):
            assert code["marketing", "meters", row["asset_number"]] == code[system, table, key]
            unit = meters[code[system, table, key]].unit
            assert code.get(("gis", "transformers", row["transformer_id"]), unit) == unit
        if (system, table) == ("pms", "transformers"):
            assert code["pms", "feeders", row["feeder_id"]] == feeder_of[code[system, table, key]]


def test_keys_are_not_meterlines_codes(tmp_path: Path) -> None:
    truth = write(tmp_path)
    assert not {r.key for r in truth.references} & {r.code for r in truth.references}
    assert not [r for r in truth.references if r.system != "cim" and r.code in r.key]
    content = "".join(path.read_text(encoding="utf-8") for path in sorted(tmp_path.rglob("*.*")))
    assert "LV1." not in content
    assert "Feeder1" not in content


def test_customers_of_an_area_live_in_a_few_streets_of_one_place(tmp_path: Path) -> None:
    truth = write(tmp_path)
    code = {(r.system, r.table, r.key): r.code for r in truth.references}
    streets: dict[str, set[str]] = defaultdict(set)
    places: dict[str, set[str]] = defaultdict(set)
    address = {}
    area_of = {m.account: m.unit for m in grid().model.meters if Role.GATEWAY not in m.role}
    for (system, table, key), row in read(tmp_path).items():
        if (system, table) == ("marketing", "customers"):
            account = code[system, table, key]
            if account in area_of:
                building, place = row["address"].rsplit(", ", 1)
                places[area_of[account]].add(place)
                streets[area_of[account]].add(building.split(", ")[0].rsplit(" ", 1)[0])
                if "Load" in account:
                    address[account] = row["address"]
    assert len(places) == 14
    assert all(len(found) == 1 for found in places.values())
    assert all(1 <= len(found) <= 7 for found in streets.values())
    assert len(set(address.values())) == len(address)


@pytest.mark.parametrize("seed", [1, 2])
def test_differences_are_exactly_the_truth(tmp_path: Path, seed: int) -> None:
    write(tmp_path / "clean", seed=seed)
    truth = write(tmp_path / "faulty", MANY, seed)
    clean, faulty = read(tmp_path / "clean"), read(tmp_path / "faulty")
    assert differences(clean, faulty) == {as_difference(i) for i in truth.injections}
    assert {i.kind for i in truth.injections} == set(Kind)
    assert {i.system for i in truth.injections} == {"marketing", "pms", "gis", "scada", "cim"}
    hit = [i.code for i in truth.injections]
    assert len(set(hit)) == len(hit)
    for i in truth.injections:
        if i.kind is Kind.DUPLICATE:
            first = clean[i.system, i.table, i.true_value]
            assert bare(faulty[i.system, i.table, i.given_value]) == bare(first)
    code = {(r.system, r.table, r.key): r.code for r in truth.references}
    assert {row for row in code if row[0] != "cim"} == {row for row in faulty if row[0] != "cim"}
    assert all(code[i.system, i.table, i.key] == i.code for i in truth.injections if i.kind is not Kind.MISSING)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_kind_alone(tmp_path: Path, kind: Kind) -> None:
    truth = write(tmp_path, FaultPlan({kind: 0.1}))
    assert truth.injections
    assert {i.kind for i in truth.injections} == {kind}


def test_a_wrong_relation_is_to_an_object_that_is_there(tmp_path: Path) -> None:
    truth = write(tmp_path, MANY)
    rows = read(tmp_path)
    moved = [i for i in truth.injections if i.kind is Kind.WRONG_RELATION and i.field == "area_number"]
    assert moved
    assert all(("marketing", "areas", i.given_value) in rows for i in moved)


def test_the_usual_plan_hits_about_two_percent(tmp_path: Path) -> None:
    truth = write(tmp_path, None)
    objects = {r.code for r in truth.references}
    assert 0.012 < len(truth.injections) / len(objects) < 0.03


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    backwards = FaultPlan(dict(reversed(list(MANY.rates.items()))))
    for name, plan, seed in (("a", MANY, 1), ("b", backwards, 1), ("c", MANY, 2)):
        write_truth(write(tmp_path / name / "sources", plan, seed), tmp_path / name / "truth")
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 4 + 1 + 5 + 1 + 3 + 2 + 1 + 2
    for path in files:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()
        assert (tmp_path / "a" / path).read_bytes() != (tmp_path / "c" / path).read_bytes()


def test_truth_is_written(tmp_path: Path) -> None:
    truth = write(tmp_path / "sources", MANY)
    write_truth(truth, tmp_path / "truth")
    injections = parquet.read_table(tmp_path / "truth" / "inconsistencies.parquet").to_pylist()
    assert [tuple(row.values()) for row in injections] == [tuple(map(str, i)) for i in truth.injections]
    references = parquet.read_table(tmp_path / "truth" / "crossreference.parquet").to_pylist()
    assert [tuple(row.values()) for row in references] == [tuple(r) for r in truth.references]
    write_truth(SourceTruth((), ()), tmp_path / "none")
    empty = parquet.read_table(tmp_path / "none" / "inconsistencies.parquet")
    assert empty.column_names == list(Injection._fields)
    assert empty.num_rows == 0


@pytest.mark.parametrize("system", ["marketing", "pms"])
def test_sql_holds_what_the_csv_holds(tmp_path: Path, system: str) -> None:
    write(tmp_path, MANY)
    database = sqlite3.connect(":memory:")
    database.executescript((tmp_path / system / f"{system}.sql").read_text(encoding="utf-8"))
    for name in CSV_TABLES[system]:
        cursor = database.execute(f"SELECT * FROM {system}_{name}")
        columns = [c[0] for c in cursor.description]
        loaded = {tuple(text(float(v) if isinstance(v, int | float) else v) for v in row) for row in cursor}
        with (tmp_path / system / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        assert header == columns
        assert {tuple(row) for row in rows} == loaded
    database.close()


def test_layers_are_geojson(tmp_path: Path) -> None:
    write(tmp_path)
    for name, shape in (("transformers", "Point"), ("lines", "LineString"), ("meters", "Point")):
        for feature in features(tmp_path, name):
            geometry = feature["geometry"]
            assert geometry["type"] == shape
            positions = geometry["coordinates"] if shape == "LineString" else [geometry["coordinates"]]
            assert len(positions) == (2 if shape == "LineString" else 1)
            assert all(11 < longitude < 12 and 53 < latitude < 54 for longitude, latitude in positions)


def test_lines_have_two_ends_no_further_apart_than_they_are_long(tmp_path: Path) -> None:
    truth = write(tmp_path)
    code = {r.key: r.code for r in truth.references if r.system == "gis"}
    network = grid().model.network
    assert network is not None
    length_m = {s.code: s.length_m for s in network.segments}
    for feature in features(tmp_path, "lines"):
        (a, b), (c, d) = feature["geometry"]["coordinates"]
        apart_m = 111_320 * (((a - c) * 0.594) ** 2 + (b - d) ** 2) ** 0.5
        assert 1 < apart_m <= length_m[code[feature["id"]]]


def test_cim_is_connected_as_the_model_is(tmp_path: Path) -> None:
    truth = write(tmp_path)
    raw = cim_raw(tmp_path)
    code = {r.key: r.code for r in truth.references if r.system == "cim"}
    for _, values in raw.values():
        for name, value in values.items():
            if name.rsplit(".", 1)[1] in {"ConnectivityNode", "ConductingEquipment", "Terminal", "Equipments"}:
                assert value in raw
    ends: dict[str, list[str]] = defaultdict(list)
    for kind, values in raw.values():
        if kind == "Terminal":
            ends[values["Terminal.ConductingEquipment"]].append(values["Terminal.ConnectivityNode"])
    network = grid().model.network
    assert network is not None
    ours = {s.code: {s.from_node, s.to_node} for s in network.segments}
    ours |= {s.code: {s.from_node, s.to_node} for s in network.switches}
    edges = {"ACLineSegment", "Breaker", "LoadBreakSwitch", "Disconnector"}
    found = {code[key]: {code[n] for n in ends[key]} for key, (kind, _) in raw.items() if kind in edges}
    assert found == ours
    opened = {code[k] for k, (_, values) in raw.items() if values.get("Switch.normalOpen") == "true"}
    assert opened == {s.code for s in network.switches if s.normal is SwitchPosition.OPEN}


def test_tracing_cim_from_its_sources_gives_each_feeder_its_areas(tmp_path: Path) -> None:
    truth = write(tmp_path)
    code = {r.key: r.code for r in truth.references if r.system == "cim"}
    objects = cim_objects(tmp_path)
    near: dict[str, list[tuple[str, str]]] = defaultdict(list)
    sources, taps = set(), defaultdict(list)
    for key, (kind, values) in objects.items():
        nodes = [values[f"{n}:Terminal.ConnectivityNode"] for n in (1, 2) if f"{n}:Terminal.ConnectivityNode" in values]
        if kind == "EnergySource":
            sources.add(nodes[0])
        elif kind in {"PowerTransformer", "EnergyConsumer", "PowerElectronicsConnection", "SynchronousMachine"}:
            taps[nodes[0]].append(code[key])
        elif len(nodes) == 2 and values.get("Switch.normalOpen") != "true":
            near[nodes[0]].append((nodes[1], key))
            near[nodes[1]].append((nodes[0], key))
    supplied: dict[str, set[str]] = {}
    for busbar in sources:
        for first, breaker in near[busbar]:
            assert objects[breaker][0] == "Breaker"
            seen, stack = {busbar}, [first]
            while stack:
                node = stack.pop()
                if node not in seen:
                    seen.add(node)
                    stack += [far for far, _ in near[node]]
            feeder = code[objects[breaker][1]["Equipment.EquipmentContainer"]]
            supplied[feeder] = {area for node in seen for area in taps[node]}
    model = grid().model
    assert supplied == {f.code: {a.code for a in model.areas if a.feeder == f.code} for f in model.feeders}


def test_scada_addresses_are_unique_in_their_rtu(tmp_path: Path) -> None:
    write(tmp_path)
    points = [row for (system, table, _), row in read(tmp_path).items() if (system, table) == ("scada", "points")]
    assert len({(p["rtu_id"], p["ioa"]) for p in points}) == len(points)
    assert all((int(p["ioa"]) >= 0x4001) == (p["kind"] != "switch") for p in points)


def test_a_model_without_a_network_has_no_lines(tmp_path: Path) -> None:
    model = replace(one_feeder().model, network=None)
    write_sources(one_feeder().network, model, tmp_path, 1, NONE)
    assert features(tmp_path, "lines") == []
    public = [a for a in model.areas if a.kind is UnitKind.AREA]
    assert len(features(tmp_path, "transformers")) == len(model.areas) >= len(public)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_is_a_share(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        FaultPlan({Kind.MISSING: rate})
