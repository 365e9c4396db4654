"""Records that are surely one of several things, though nobody can say which."""

from __future__ import annotations

from sync.conflicts.names import compare_names
from sync.conflicts.presence import find_missing
from sync.identity.exact import exact_clusters
from sync.identity.near import match_near
from sync.mapping import parse_mapping
from sync.reading import Rows, read_rows

SYSTEMS = ("gis", "cim", "pms")
MAPPING = parse_mapping(
    "\n".join(
        f'[{system}.switches]\nentity = "switch"\ndepartment = "operation"\n'
        'name = { column = "name", templates = ["{station} #{number} switch {element}"] }\n'
        for system in SYSTEMS
    )
)
KNOWN = range(20, 30)


def conflicts(pms: list[int]) -> tuple[list[tuple[str, str | None]], list[str | None]]:
    """Names of PMS that are wrong, with what they should say; and what it lacks."""
    tables: list[Rows] = []
    for system in SYSTEMS:
        numbers = pms if system == "pms" else list(KNOWN)
        records = [("switches", f"{system}{n}", {"name": f"Newmill #5 switch {n}"}) for n in numbers]
        tables += read_rows(system, records, MAPPING).values()
    clusters = exact_clusters(tables)
    match_near(clusters, {})
    wrong = [(str(each.key), each.believed) for each in compare_names(clusters)]
    return wrong, [each.believed for each in find_missing(clusters, set()) if each.system == "pms"]


def test_a_name_that_nobody_else_knows_is_wrong_also_where_it_may_mean_either_of_two() -> None:
    wrong, missing = conflicts([*(n for n in KNOWN if n not in {21, 26}), 825])
    assert wrong == [("pms825", "nwmll 5 21 or nwmll 5 26")]
    # One of them is, and nobody can say which.
    assert len(missing) == 2


def test_nothing_is_missing_where_as_many_are_there_under_other_names() -> None:
    wrong, missing = conflicts([*(n for n in KNOWN if n not in {21, 26}), 825, 843])
    assert wrong == [("pms825", "nwmll 5 21 or nwmll 5 26"), ("pms843", "nwmll 5 21 or nwmll 5 26")]
    assert missing == []


def test_a_name_that_can_only_mean_one_is_matched_to_it() -> None:
    wrong, missing = conflicts([*(n for n in KNOWN if n != 26), 825])
    assert wrong == [("pms825", "nwmll 5 26")]
    assert missing == []


def test_nothing_is_said_where_no_record_is_left_over() -> None:
    wrong, missing = conflicts([n for n in KNOWN if n not in {21, 26}])
    assert (wrong, len(missing)) == ([], 2)
