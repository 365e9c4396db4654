"""Names, scores, networks: which records are the same thing."""

import pytest

from sync.identity.clusters import Cluster, Stations
from sync.identity.network import Edge, match_networks
from sync.identity.scoring import assign, likelihood_ratio
from sync.mapping import MappingError, NameColumn, parse_mapping
from sync.naming import distance, nearest, parse_name, plain, render, skeleton
from sync.reading import Names, read_rows


def test_a_name_is_read_by_its_rule() -> None:
    templates = ["{kv} kV {station} #{number} line, {place} #1 transformer", "station, {place} #1 transformer"]
    found = parse_name("10 kV Westhaven #5 line, Rose Field #1 transformer", templates)
    assert found == (0, {"kv": "10", "station": "Westhaven", "number": "5", "place": "Rose Field"})
    assert parse_name("station, Elm Yard #1 transformer", templates) == (1, {"place": "Elm Yard"})
    assert parse_name("10 kV Westhaven #5 lne, Rose Field #1 transformer", templates) is None
    assert render(templates[1], {"place": "elm yard"}) == "station, elm yard #1 transformer"
    assert render(templates[0], {"place": "elm yard"}) is None


def test_names_are_compared_in_plain_form() -> None:
    assert plain("WALNUT  CT", {"ct": "court"}) == "walnut court"
    assert skeleton("Northfield") == skeleton("NRTHF") == "nrthf"
    assert distance("rose field", "rsoe field") == 1
    assert nearest("hazel ark", ["hazel park", "cedar park"]) == "hazel park"
    assert nearest("b", ["a", "c"]) is None  # none is nearer than the other


def test_a_mapping_that_leads_nowhere_is_refused() -> None:
    text = '[a.b]\nentity = "meter"\ndepartment = "metering"\nrefs = { area = { column = "x", dataset = "c" } }\n'
    with pytest.raises(MappingError, match="no dataset c"):
        parse_mapping(text)
    with pytest.raises(MappingError, match="unknown field"):
        parse_mapping('[a.b]\nentity = "meter"\ndepartment = "metering"\nnonsense = 1\n')
    with pytest.raises(MappingError):
        parse_mapping("[a.b")


def test_rare_spellings_of_a_station_mean_the_usual_one() -> None:
    mapping = parse_mapping(
        '[p.l]\nentity = "feeder"\ndepartment = "operation"\n'
        'name = { column = "n", templates = ["{station} {number}"] }\n'
    )
    names = [("l", str(i), {"n": f"Westhaven {i}"}) for i in range(20)] + [("l", "x", {"n": "Wsethaven 3"})]
    stations = Stations(read_rows("p", names, mapping).values())
    assert stations.station("Wsethaven") == stations.station("Westhaven") == "wsthv"
    assert stations.station("Riverton") != "wsthv"


def test_values_are_read_in_our_units_and_unreadable_ones_noted() -> None:
    mapping = parse_mapping(
        '[p.t]\nentity = "area"\ndepartment = "operation"\n'
        'fields = { rating_va = { column = "kva", factor = 1000 }, multiplier = { column = "ct", ratio = true } }\n'
    )
    bodies = [{"kva": "0.4", "ct": "100/5"}, {"kva": "x", "ct": "1/0"}, {"kva": "nan", "ct": "inf/1"}]
    rows = read_rows("p", [("t", str(i), body) for i, body in enumerate(bodies)], mapping)["t"]
    assert rows.fields == {"rating_va": [400.0, None, None], "multiplier": [20.0, None, None]}
    assert rows.unreadable == [(1, "rating_va"), (1, "multiplier"), (2, "rating_va"), (2, "multiplier")]


def test_names_are_columns_and_say_what_stood_there() -> None:
    column = NameColumn("n", ("{place}: {house} {street}", "{place} yard"))
    names, plain_of = Names(), {part: part.casefold() for part in ("Elm", "7", "Oak Street")}
    for raw in (None, "Elm yard", "Elm: 7 Oak Street", "nothing of it"):
        names.add(raw, column, plain_of)
    assert [name and (name.raw, name.parts) for name in names] == [
        None,
        ("Elm yard", {"place": "elm"}),
        ("Elm: 7 Oak Street", {"place": "elm", "house": "7", "street": "oak street"}),
        ("nothing of it", None),
    ]
    assert names[2] is not None
    assert list(names[2].parts or ()) == ["place", "house", "street"]


def test_a_cluster_keeps_its_rows_by_dataset_in_their_order() -> None:
    cluster = Cluster("meter", ("7",))
    for title, row in (("a.m", 3), ("b.m", 4), ("a.m", 1)):
        cluster.add(title, row)
    assert list(cluster.places()) == [("a.m", 3), ("a.m", 1), ("b.m", 4)]
    assert (cluster.titles, cluster.size, cluster.rows("a.m")) == (("a.m", "b.m"), 3, [3, 1])
    cluster.remove(("a.m", 3))
    cluster.remove(("a.m", 1))
    assert (cluster.titles, cluster.rows("a.m"), cluster.identity) == (("b.m",), [], ("7",))
    assert Cluster("feeder", ("s", "1")).identity == ("s", "1")


def test_agreement_raises_the_likelihood() -> None:
    alike = likelihood_ratio({"feeder": True, "rating": True, "name_near": True})
    assert likelihood_ratio({"feeder": True, "rating": False, "name_near": True}) < alike
    assert likelihood_ratio({"feeder": True}) == pytest.approx(0.97 / 0.03)
    assert likelihood_ratio({"feeder": None}) == likelihood_ratio({}) == 1


def test_equal_rivals_leave_nothing_sure() -> None:
    assert assign([(0.99, 0, 0), (0.99, 0, 1)]) == []
    ((confidence, record, candidate),) = assign([(0.999, 0, 0), (0.5, 0, 1)])
    assert (record, candidate) == (0, 0)
    assert confidence > 0.99
    # What is taken no longer competes.
    assert [(r, c) for _, r, c in assign([(0.9999, 0, 0), (0.9, 1, 0), (0.9, 1, 1)])] == [(0, 0), (1, 1)]


def line(key: str, first: str, second: str, length: int) -> Edge:
    return Edge(key, first, second, (length,))


def test_a_network_is_matched_from_what_is_unique() -> None:
    ours = [
        line("L1", "a", "b", 100), Edge("S1", "b", "c", None, joins=True), line("L2", "c", "d", 200),
        line("L3", "d", "e", 200), line("L4", "e", "f", 300), Edge("T", "f", "a", None),
    ]  # fmt: skip
    other = {node: node.upper() * 2 for node in "abcdef"}
    theirs = [e._replace(key=f"x{e.key}", first=other[e.first], second=other[e.second]) for e in reversed(ours)]
    matched = match_networks(theirs, ours)
    assert matched.edges == {f"x{e.key}": e.key for e in ours}
    assert matched.places["CC"] == frozenset({"b", "c"})


def test_lines_that_can_not_be_told_apart_are_left_open() -> None:
    ours = [line("L1", "a", "b", 100), line("L2", "b", "c", 50), line("L3", "b", "d", 50)]
    theirs = [e._replace(key=f"x{e.key}") for e in ours]
    assert match_networks(theirs, ours).edges == {"xL1": "L1"}


def test_a_line_that_is_lacking_does_not_mislead() -> None:
    ours = [line("L1", "a", "b", 100), line("L2", "b", "c", 50), line("L3", "c", "d", 70)]
    theirs = [e._replace(key=f"x{e.key}") for e in ours if e.key != "L2"]
    assert match_networks(theirs, ours).edges == {"xL1": "L1", "xL3": "L3"}
