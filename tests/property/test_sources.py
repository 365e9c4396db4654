from __future__ import annotations

import copy
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.twin_grid import one_feeder
from twin.sources.faults import FaultPlan, Injection, inject
from twin.sources.table import Kind, Table, text
from twin.sources.write import source_tables

Rows = dict[tuple[str, str, str], dict[str, str]]

rates = st.dictionaries(st.sampled_from(list(Kind)), st.floats(0, 1), max_size=len(Kind))


@cache
def clean(seed: int) -> list[Table]:
    return source_tables(one_feeder().network, one_feeder().model, seed)


def rows(tables: list[Table]) -> Rows:
    return {
        (t.system, t.name, str(key)): {name: text(column[i]) for name, column in t.values.items()}
        for t in tables
        for i, key in enumerate(t.keys)
    }


def undone(given_rows: Rows, injections: list[Injection], true_rows: Rows) -> Rows:
    """The extracts with every inconsistency taken back."""
    found = copy.deepcopy(given_rows)
    for i in injections:
        row = (i.system, i.table, i.key)
        if i.kind is Kind.MISSING:
            assert row not in found
            found[row] = true_rows[row]
        elif i.kind is Kind.DUPLICATE:
            twin = found.pop(row)
            assert twin == true_rows[i.system, i.table, i.true_value] | {i.field: i.given_value}
        else:
            assert found[row][i.field] == i.given_value != i.true_value
            found[row][i.field] = i.true_value
    return found


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 3), rates)
def test_what_the_truth_says_undone_gives_the_clean_extract(seed: int, plan: dict[Kind, float]) -> None:
    tables = copy.deepcopy(clean(seed))
    injections = inject(tables, FaultPlan(plan), seed)
    assert undone(rows(tables), injections, rows(clean(seed))) == rows(clean(seed))
    assert len({i.code for i in injections}) == len(injections)
    assert {i.kind for i in injections} <= {kind for kind, rate in plan.items() if rate > 0}


@settings(max_examples=15, deadline=None)
@given(rates, st.randoms(use_true_random=False))
def test_the_order_of_the_plan_does_not_matter(plan: dict[Kind, float], random: object) -> None:
    order = sorted(plan)
    random.shuffle(order)  # type: ignore[attr-defined]
    first, second = copy.deepcopy(clean(0)), copy.deepcopy(clean(0))
    assert inject(first, FaultPlan(plan), 0) == inject(second, FaultPlan({kind: plan[kind] for kind in order}), 0)
    assert rows(first) == rows(second)


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(list(Kind)), st.floats(0, 0.5), st.floats(0.5, 1))
def test_a_higher_rate_hits_the_same_objects_and_more(kind: Kind, low: float, high: float) -> None:
    few = inject(copy.deepcopy(clean(1)), FaultPlan({kind: low}), 1)
    many = inject(copy.deepcopy(clean(1)), FaultPlan({kind: high}), 1)
    assert {i.code for i in few} <= {i.code for i in many}
