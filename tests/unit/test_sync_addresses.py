"""Addresses with which no other record's can be compared."""

from __future__ import annotations

from datetime import UTC, datetime

from sync.authority import Authority
from sync.conflicts.names import compare_addresses
from sync.identity.exact import exact_clusters
from sync.mapping import parse_mapping
from sync.reading import read_rows

MAPPING = parse_mapping("""
[gis.meters]
entity = "meter"
department = "operation"
address = { column = "address", templates = ["{place}: transformer", "{station} substation"] }
""")


def found(addresses: list[str]) -> list[tuple[str | None, str | None]]:
    rows = read_rows("gis", [("meters", f"M{i}", {"address": a}) for i, a in enumerate(addresses)], MAPPING)
    conflicts = compare_addresses(exact_clusters(list(rows.values())), Authority([], datetime(2026, 6, 1, tzinfo=UTC)))
    return [(each.believed, each.given) for each in conflicts]


def test_a_station_that_only_one_address_writes_so_is_misspelt() -> None:
    usual = ["Newmill substation"] * 3
    assert found([*usual, "Newmil substation"]) == [("newmill", "Newmil substation")]


def test_a_station_that_is_like_no_other_is_right() -> None:
    assert found(["Newmill substation"] * 3 + ["Oakton substation"]) == []


def test_a_place_that_only_one_address_writes_so_is_misspelt() -> None:
    usual = ["Ivy Hill: transformer"] * 3
    assert found([*usual, "Ivy HHill: transformer"]) == [("ivy hill", "Ivy HHill: transformer")]
