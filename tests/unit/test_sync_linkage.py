"""Linking two lists of records without a common key."""

import pytest

from sync.identity.linkage import Field, LinkPlan, blocked_pairs, link

NAMES = [
    "anders",
    "bertram",
    "cordula",
    "dietmar",
    "eleonore",
    "friedrich",
    "gerlinde",
    "hartmut",
    "irmgard",
    "joachim",
]
TOWNS = ["aachen", "bremen", "coburg", "dessau", "erfurt", "fulda", "goslar", "halle", "itzehoe", "jena"]


def people(count: int) -> dict[str, list[str | None]]:
    return {
        "name": [NAMES[n % 10] + NAMES[n // 10 % 10] for n in range(count)],
        "town": [TOWNS[n * 7 % 10] for n in range(count)],
        "street": [f"{TOWNS[n * 3 % 10]} road {n % 7}" for n in range(count)],
    }


PLAN = LinkPlan((Field("name", (1, 3)), Field("town"), Field("street", (1, 3))), (("name",), ("street", "town")))


def test_damaged_copies_find_their_originals() -> None:
    left = people(100)
    right = {name: list(reversed(values)) for name, values in people(100).items()}
    for row in range(0, 100, 4):
        name = right["name"][row]
        assert name is not None
        right["name"][row] = "x" + name[1:]
        right["town"][row + 1] = None
    assert {(row, other) for _, row, other in link(left, right, PLAN)} == {(n, 99 - n) for n in range(100)}


def test_weights_that_are_given_are_used() -> None:
    left: dict[str, list[str | None]] = {"house": ["1", "2"], "street": ["mill", "mill"]}
    right: dict[str, list[str | None]] = {"house": ["2", "1"], "street": ["mill", "mull"]}
    fields = (
        Field("house", same=(0.99, 0.01), other=(0.01, 0.99)),
        Field("street", (1,), same=(0.9, 0.09, 0.01), other=(0.1, 0.01, 0.89)),
    )
    (first, second) = link(left, right, LinkPlan(fields, (("house",),)))
    assert (first[1:], second[1:]) == ((0, 1), (1, 0))
    # Half the odds before any field (two candidates), 99 of the house, 9 of the street in both.
    assert first[0] == second[0] == pytest.approx(445.5 / 446.5)


def test_nothing_to_link() -> None:
    nobody: dict[str, list[str | None]] = {"name": [], "town": [], "street": []}
    assert link(nobody, people(3), PLAN) == link(people(3), nobody, PLAN) == []


def test_a_value_that_all_share_doesnt_make_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.identity.linkage._MOST_PAIRS", 50)
    left: dict[str, list[str | None]] = {"town": [*["big"] * 20, "small"]}
    rows, others = blocked_pairs(left, left, [["town"]])
    pairs = set(zip(rows.tolist(), others.tolist(), strict=True))
    assert (20, 20) in pairs
    assert len(pairs) <= 50


@pytest.mark.parametrize(
    "make",
    [
        lambda: Field("a", (2, 1)),
        lambda: Field("a", (0,)),
        lambda: Field("a", (1,), same=(0.5, 0.5)),
        lambda: Field("a", same=(1.0, 0.0)),
    ],
)
def test_a_field_that_makes_no_sense_is_refused(make: object) -> None:
    with pytest.raises(ValueError, match="a:"):
        make()  # type: ignore[operator]
