"""Records under names that nobody else knows: what tells them apart, and what doesn't."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from typing import Any

from grid.present import AreaView, GridView, MeterView
from sync.conflicts.names import compare_names
from sync.identity.clusters import Clusters
from sync.identity.codes import find_codes
from sync.identity.exact import exact_clusters
from sync.identity.near import match_near
from sync.identity.resolve import expect_points, resolve
from sync.identity.scoring import SURE
from sync.mapping import parse_mapping
from sync.reading import Rows, fold_cim, read_rows

MAPPING = parse_mapping((files("sync") / "default_mapping.toml").read_text("utf-8"))
#: Dataset and key of a record, and its body.
Bodies = Mapping[tuple[str, str], Mapping[str, Any]]


def rows(system: str, bodies: Bodies) -> list[Rows]:
    records = [(dataset, key, body) for (dataset, key), body in bodies.items()]
    return list(read_rows(system, fold_cim(records) if system == "cim" else records, MAPPING).values())


def named(clusters: Clusters, title: str) -> dict[str, str | None]:
    """By key what a record is taken for, by the last part of its identity."""
    keys, of = clusters.tables[title].keys, clusters.of[title]
    return {key: None if cluster is None else cluster.identity[-1] for key, cluster in zip(keys, of, strict=True)}


def switches(numbers: Mapping[int, int], forms: Mapping[int, str], feeder: int = 5) -> Bodies:
    """PMS's records, by the number that a switch has and the one that its name says."""
    return {
        ("switches", f"S{feeder}-{number}"): {
            "name": f"10 kV Newmill #{feeder} line switch {said}", "kind": forms.get(number, "LBS"),
            "normal_position": "closed",
        }
        for number, said in numbers.items()
    }  # fmt: skip


def of_cim(numbers: range, forms: Mapping[int, str], feeder: int = 5) -> Bodies:
    """A network model's records of the same."""
    return {
        ("Breaker" if forms.get(number) == "CB" else "LoadBreakSwitch", f"C{feeder}-{number}"): {
            "IdentifiedObject.name": f"NWMLL.{feeder:02d} Q{number}", "Switch.normalOpen": "false",
        }
        for number in numbers
    }  # fmt: skip


NUMBERS = range(1, 21)
#: What SCADA has a point of is there, whatever PMS calls it.
POINTS: Bodies = {("points", f"P{n}"): {"name": f"NWMLL.05.SW{n}"} for n in NUMBERS}


def test_of_two_switches_that_are_renamed_a_breaker_is_the_breaker() -> None:
    forms = {4: "CB"}
    said = {n: n for n in NUMBERS} | {4: 804, 9: 609}
    tables = [*rows("cim", of_cim(NUMBERS, forms)), *rows("pms", switches(said, forms)), *rows("scada", POINTS)]
    clusters = exact_clusters(tables)
    match_near(clusters, {})
    found = named(clusters, "pms.switches")
    assert (found["S5-4"], found["S5-9"]) == ("4", "9")
    assert not clusters.open_between["pms.switches"]


def test_two_switches_of_one_form_are_left_to_a_person_each_with_both_names() -> None:
    said = {n: n for n in NUMBERS} | {4: 804, 9: 609}
    tables = [*rows("cim", of_cim(NUMBERS, {})), *rows("pms", switches(said, {})), *rows("scada", POINTS)]
    clusters = exact_clusters(tables)
    match_near(clusters, {})
    wrong = {finding.key: (finding.believed, finding.confidence) for finding in compare_names(clusters)}
    assert wrong.keys() == {"S5-4", "S5-9"}
    assert {believed for believed, _ in wrong.values()} == {"nwmll 5 4 or nwmll 5 9"}
    assert all(SURE < confidence < 1 for _, confidence in wrong.values())


def test_a_new_switch_isn_t_surely_one_that_is_missing_since_their_numbers_are_alike() -> None:
    pms, cim, scada = dict[Any, Any](), dict[Any, Any](), dict[Any, Any]()
    for feeder in range(1, 9):
        # Each line has a new one that PMS alone knows, and PMS lacks a switch of the first line.
        pms |= switches({n: n for n in range(1, 22) if (feeder, n) != (1, 2)}, {}, feeder)
        cim |= of_cim(NUMBERS, {}, feeder)
        scada |= {("points", f"P{feeder}-{n}"): {"name": f"NWMLL.{feeder:02d}.SW{n}"} for n in NUMBERS}
    clusters = exact_clusters([*rows("cim", cim), *rows("pms", pms), *rows("scada", scada)])
    match_near(clusters, {})
    row = clusters.tables["pms.switches"].keys.index("S1-21")
    cluster = clusters.of["pms.switches"][row]
    assert cluster is not None
    assert (cluster.link(("pms.switches", row)) or ("", 0.0))[1] < SURE


def test_lines_of_one_feeder_are_told_by_the_lines_that_they_meet() -> None:
    # A feeder that branches in two, 1-2-3-4 and 1-5-6-7; GIS calls both last ones and one before otherwise.
    ends = {1: (0, 1), 2: (1, 2), 3: (2, 3), 4: (3, 4), 5: (1, 5), 6: (5, 6), 7: (6, 7)}
    said = {n: n for n in ends} | {3: 803, 4: 604, 7: 907}
    at = {node: [11.8 + node / 100, 53.4 + node % 3 / 100] for node in range(8)}
    gis: Bodies = {
        ("lines", f"G{n}"): {
            "name": f"NEWMILL-5/{said[n]}", "line_name": "NEWMILL-5", "geometry": [at[first], at[last]],
        }
        for n, (first, last) in ends.items()
    }  # fmt: skip
    cim: dict[Any, Any] = {("ACLineSegment", f"C{n}"): {"IdentifiedObject.name": f"NWMLL.05 L{n}"} for n in ends}
    for n, nodes in ends.items():
        for number, node in enumerate(nodes, 1):
            cim["Terminal", f"T{n}{number}"] = {
                "Terminal.ConductingEquipment": f"C{n}", "Terminal.ConnectivityNode": f"N{node}",
                "ACDCTerminal.sequenceNumber": str(number),
            }  # fmt: skip
    pms: Bodies = {("lines", f"L{n}"): {"name": f"10 kV Newmill #5 line section {n}"} for n in ends}
    clusters = exact_clusters([*rows("cim", cim), *rows("gis", gis), *rows("pms", pms)])
    match_near(clusters, {})
    assert named(clusters, "gis.lines") == {f"G{n}": str(n) for n in ends}


AREAS = {f"A{n}": f"Elm Yard {chr(97 + n)}" for n in range(6)}


def city(said: Mapping[tuple[str, str], str]) -> tuple[list[Rows], GridView]:
    """Six areas of ten meters; `said` has names that a system gives otherwise."""
    areas = tuple(
        AreaView(code, "area", "F1", 4e5, None, None, 11.8 + n / 100, 53.4, None) for n, code in enumerate(AREAS)
    )
    meters = {f"{code}-{n}": code for code in AREAS for n in range(10)}
    name = {(system, code): said.get((system, code), AREAS[code]) for system in ("marketing", "gis") for code in AREAS}
    marketing: dict[Any, Any] = {
        ("areas", f"m{code}"): {"name": f"{name['marketing', code]} public transformer area"} for code in AREAS
    }
    marketing |= {("meters", f"n{meter}"): {"area_number": f"m{area}"} for meter, area in meters.items()}
    headend: Bodies = {("meters", meter): {"asset_number": f"n{meter}"} for meter in meters}
    gis: dict[Any, Any] = {
        ("transformers", f"g{area.code}"): {
            "name": f"{name['gis', area.code].upper()} PT", "geometry": [[area.longitude_deg, area.latitude_deg]],
        }
        for area in areas
    }  # fmt: skip
    gis |= {
        ("meters", f"k{meter}"): {"asset_number": f"n{meter}", "transformer_id": f"g{area}"}
        for meter, area in meters.items()
    }
    pms: Bodies = {
        ("transformers", f"p{code}"): {"name": f"10 kV Newmill #5 line, {place} #1 transformer"}
        for code, place in AREAS.items()
    }
    views = {meter: MeterView(meter, area, 1, 1.0, 1.0, None) for meter, area in meters.items()}
    tables = [
        *rows("gis", gis), *rows("headend", headend), *rows("marketing", marketing), *rows("pms", pms),
    ]  # fmt: skip
    return tables, GridView(areas=areas, meters=views)


def test_two_areas_that_two_systems_call_by_one_name_stay_two() -> None:
    tables, grid = city({("marketing", "A1"): "Oak Field", ("gis", "A4"): "Oak Field"})
    clusters = resolve(tables, grid, MAPPING.words)
    for code in AREAS:
        (cluster,) = [each for each in clusters.all["area"] if each.code == code]
        records = {title: clusters.tables[title].keys[row] for title, row in cluster.places()}
        assert records == {
            "marketing.areas": f"m{code}", "gis.transformers": f"g{code}", "pms.transformers": f"p{code}",
        }  # fmt: skip
    assert {finding.key for finding in compare_names(clusters)} == {"mA1", "gA4"}


def test_two_areas_that_one_system_calls_by_one_name_stay_two() -> None:
    tables, grid = city({("marketing", "A1"): "Oak Field", ("marketing", "A4"): "Oak Field"})
    clusters = resolve(tables, grid, MAPPING.words)
    of = dict(zip(clusters.tables["marketing.areas"].keys, clusters.of["marketing.areas"], strict=True))
    assert [cluster and cluster.code for cluster in of.values()] == list(AREAS)
    assert {finding.key for finding in compare_names(clusters)} == {"mA1", "mA4"}


def test_a_head_s_breaker_isn_t_taken_for_a_switch_without_a_point() -> None:
    # The network model lacks the breaker 1 of the head, and SCADA the point of switch 8.
    said = {n: n for n in NUMBERS}
    points = {("points", f"P{n}"): {"name": f"NWMLL.05.{'CB' if n == 1 else f'SW{n}'}"} for n in NUMBERS if n != 8}
    clusters = exact_clusters(
        [
            *rows("cim", of_cim(range(2, 21), {})),
            *rows("pms", {**switches(said, {1: "CB"}), ("feeders", "F"): {"name": "10 kV Newmill #5 line"}}),
            *rows("scada", points),
        ]
    )
    grid = replace(GridView(), breakers={"F1": "Q1"})
    clusters.heads = frozenset(grid.breakers.values())
    find_codes(clusters, grid)
    (feeder,) = clusters.all["feeder"]
    feeder.code = "F1"
    expect_points(clusters, grid)
    match_near(clusters, {})
    head = clusters.find("point", ("nwmll", "5", "cb"))
    assert head is not None
    assert head.expected_of is feeder
    assert named(clusters, "scada.points")["P1"] == "cb"
    lacking = clusters.find("point", ("nwmll", "5", "sw8"))
    assert lacking is not None
    assert not lacking.size
