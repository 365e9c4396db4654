"""Statements about matching and comparing that hold for any input."""

import csv
import random
import string
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sync.conflicts.vote import Said, minority
from sync.identity.bipartite import pair_shares, pair_up
from sync.identity.linkage import Columns, Field, LinkPlan, blocked_pairs, link
from sync.identity.network import Edge, match_networks
from sync.identity.scoring import WEIGHTS, assign, likelihood_ratio
from sync.naming import parse_name, render
from sync.sources.contract import RawRecord
from sync.sources.csv_file import read_csv
from tests.naive.matching import agreeing, differing, one_to_one
from tests.naive.matching import pair_shares as shares_by_hand

SYSTEMS = ["pms", "gis", "marketing", "cim"]


SAID = st.tuples(st.sampled_from([*SYSTEMS, "model"]), st.sampled_from([1.0, 2.0, 3.0]))


@given(st.lists(SAID, min_size=1, max_size=5, unique_by=lambda said: said[0]))
def test_who_differs_is_as_counted_by_hand(values: list[tuple[str, float]]) -> None:
    said = [Said(system, "t", i, value) for i, (system, value) in enumerate(values)]
    _, others = minority(said, SYSTEMS)
    assert {each.row for each in others} == differing(values, SYSTEMS)


@given(st.dictionaries(st.sampled_from(sorted(WEIGHTS)), st.sampled_from([True, False, None])))
def test_agreement_never_lowers_a_likelihood(features: dict[str, bool | None]) -> None:
    whole = likelihood_ratio(features)
    assert whole > 0
    for name, agrees in features.items():
        if agrees is not True:
            assert likelihood_ratio({**features, name: True}) >= whole


ODDS = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(st.floats(0, 1e9), min_size=width, max_size=width), min_size=1, max_size=4)
)


@given(ODDS)
def test_pairs_share_as_all_sets_of_pairs_say(odds: list[list[float]]) -> None:
    found = pair_shares(np.array(odds))
    assert np.allclose(found, shares_by_hand(odds), rtol=1e-9, atol=1e-12)


@given(ODDS)
def test_a_record_is_one_thing_and_a_thing_has_one_record(ratios: list[list[float]]) -> None:
    found = pair_up(np.array(ratios))
    assert (found >= 0).all()
    assert found.sum(axis=0).max() <= 1 + 1e-9
    assert found.sum(axis=1).max() <= 1 + 1e-9
    # What both say speaks against these.
    assert not found[np.array(ratios) <= 1].any()


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.integers(0, 4)), max_size=15, unique_by=lambda s: s[1:])
)
def test_an_assignment_is_one_to_one_and_less_sure_than_each_match_alone(scores: list[tuple[float, int, int]]) -> None:
    found = assign(scores)
    alone = {(record, candidate): score for score, record, candidate in scores}
    assert len({record for _, record, _ in found}) == len({candidate for _, _, candidate in found}) == len(found)
    assert all(0.5 <= score <= alone[record, candidate] + 1e-9 for score, record, candidate in found)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.integers(0, 4)), max_size=15, unique_by=lambda s: s[1:])
)
def test_rivals_share_as_counted_by_hand(scores: list[tuple[float, int, int]]) -> None:
    mine, theirs = assign(scores), one_to_one(scores, 0.5)
    assert [pair[1:] for pair in mine] == [pair[1:] for pair in theirs]
    assert all(abs(a[0] - b[0]) < 1e-9 for a, b in zip(mine, theirs, strict=True))


WORDS = st.one_of(st.none(), st.sampled_from(["ann", "ana", "bob", "bo", "cy"]))
LISTED = st.lists(st.fixed_dictionaries({"first": WORDS, "last": WORDS, "town": WORDS}), max_size=8)


def columns(rows: list[dict[str, str | None]]) -> Columns:
    return {name: [row[name] for row in rows] for name in ("first", "last", "town")}


@given(LISTED, LISTED)
def test_pairs_of_blocks_are_those_that_agree(
    left: list[dict[str, str | None]], right: list[dict[str, str | None]]
) -> None:
    blocks = [["first", "last"], ["town"]]
    rows, others = blocked_pairs(columns(left), columns(right), blocks)
    found = list(zip(rows.tolist(), others.tolist(), strict=True))
    assert found == sorted(agreeing(left, right, blocks))


@given(LISTED, LISTED)
def test_links_are_one_to_one_within_blocks(
    left: list[dict[str, str | None]], right: list[dict[str, str | None]]
) -> None:
    plan = LinkPlan((Field("first", (1,)), Field("last", (1,)), Field("town")), (("first",), ("town",)))
    found = link(columns(left), columns(right), plan)
    assert all(0.5 <= sure <= 1 for sure, _, _ in found)
    assert len({row for _, row, _ in found}) == len({other for _, _, other in found}) == len(found)
    assert {(row, other) for _, row, other in found} <= agreeing(left, right, [["first"], ["town"]])


@st.composite
def networks(draw: st.DrawFn) -> list[Edge]:
    """A tree of lines with switches between some of them."""
    count = draw(st.integers(2, 12))
    edges: list[Edge] = []
    for node in range(1, count):
        before = draw(st.integers(0, node - 1))
        if draw(st.booleans()):
            edges.append(Edge(f"S{node}", f"n{before}", f"n{node}", None, joins=draw(st.booleans())))
        else:
            edges.append(Edge(f"L{node}", f"n{before}", f"n{node}", (draw(st.integers(1, 4)),)))
    return edges


@given(networks(), st.randoms(use_true_random=False))
def test_a_network_is_never_matched_wrongly_with_itself(edges: list[Edge], rng: random.Random) -> None:
    names = {node: f"x{i}" for i, node in enumerate({n for e in edges for n in (e.first, e.second)})}
    theirs = [e._replace(key=f"x{e.key}", first=names[e.first], second=names[e.second]) for e in edges]
    rng.shuffle(theirs)
    matched = match_networks(theirs, edges)
    by_key = {e.key: e for e in edges}
    # Where symmetry allows another answer the match may be that: kind and values are the same in any case.
    for key, value in matched.edges.items():
        assert by_key[key.removeprefix("x")].label == by_key[value].label
    assert len(set(matched.edges.values())) == len(matched.edges)
    unique = [e for e in edges if e.label is not None and sum(o.label == e.label for o in edges) == 1]
    assert all(matched.edges.get(f"x{e.key}") == e.key for e in unique)


WORD = st.text(string.ascii_letters + "öé ", min_size=1, max_size=12).map(str.strip).filter(bool)


@given(WORD, st.integers(0, 999))
def test_a_name_made_by_its_rule_is_read_back(place: str, number: int) -> None:
    template = "{place} / {number} transformer"
    name = render(template, {"place": place, "number": str(number)})
    assert name is not None
    assert parse_name(name, [template]) == (0, {"place": place, "number": str(number)})


CELL = st.text(st.characters(blacklist_categories=("Cs", "Cc")) | st.sampled_from('",\n'), max_size=20)


@given(st.lists(st.tuples(st.integers(0, 10**9), CELL, CELL), max_size=20, unique_by=lambda row: row[0]))
def test_any_csv_is_read_back_with_rising_lines(rows: list[tuple[int, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("k", "a", "b"))
            writer.writerows(rows)
        found = list(read_csv(path, "a"))
    records = [each for each in found if isinstance(each, RawRecord)]
    assert [(r.key, r.body["a"] or "", r.body["b"] or "") for r in records] == [(str(k), a, b) for k, a, b in rows]
    assert all(first.line < second.line for first, second in pairwise(records))
