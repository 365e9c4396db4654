"""Any sequence of changes leaves what the oracle says, as known now and as known after each change before."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grid.model import Feeder, GridModel, Meter, Role, Substation, TransformerArea, UnitKind
from grid.roster import UnitView
from store.connection import Connection, connect
from store.views import load_views
from sync.change import ChangeError, apply_change, read_change
from sync.load import load_grid
from tests.naive.master_data import DAYS, Beliefs, RefusedError

START = datetime(2026, 3, 1, tzinfo=UTC)
METERS = ("m0", "m1", "m2", "n0", "n1")
AREAS = ("a0", "a1", "a2")
FEEDERS = ("f0", "f1")

days = st.integers(0, DAYS - 1)
multipliers = st.sampled_from([1, 20, 40])
classes = st.sampled_from([0.5, 1.0, 2.0])
changes = st.lists(
    st.one_of(
        st.tuples(st.just("multiplier"), st.sampled_from(METERS), multipliers, days),
        st.tuples(st.just("move"), st.sampled_from(METERS), st.sampled_from(AREAS), days),
        st.tuples(st.just("class"), st.sampled_from(METERS), classes, days),
        st.tuples(st.just("replace"), st.sampled_from(METERS), st.sampled_from(METERS[3:]), multipliers, classes, days),
        st.tuples(st.just("parent"), st.sampled_from(AREAS), st.sampled_from([*FEEDERS, None]), days),
    ),
    min_size=1,
    max_size=10,
)
numbers = itertools.count()


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(str(database.conninfo("app")), "test") as opened:
        opened.autocommit = True
        yield opened


def grid_of(example: str) -> GridModel:
    return GridModel(
        (Substation("S", "S", 110_000, 10_000),),
        tuple(Feeder(example + f, f, "S") for f in FEEDERS),
        tuple(TransformerArea(example + a, a, UnitKind.AREA, "g", example + "f0") for a in AREAS),
        tuple(Meter(example + m, example + a, Role.CUSTOMER, 1, 1.0) for m, a in zip(METERS, AREAS, strict=False)),
        feeder_gateways={example + f: "g" for f in FEEDERS},
    )


def as_request(example: str, change: tuple[Any, ...]) -> dict[str, Any]:
    kind, subject, *values, day = change
    at = (START + day * timedelta(days=1)).isoformat()
    named = example + subject
    if kind == "multiplier":
        return {"kind": "meter_multiplier", "meter": named, "multiplier": values[0], "valid_from": at}
    if kind == "move":
        return {"kind": "meter_move", "meter": named, "unit": example + values[0], "valid_from": at}
    if kind == "class":
        return {"kind": "meter_class", "meter": named, "accuracy_class": values[0], "valid_from": at}
    if kind == "replace":
        new, multiplier, accuracy = values
        return {
            "kind": "meter_replace",
            "meter": named,
            "new_meter": example + new,
            "multiplier": multiplier,
            "accuracy_class": accuracy,
            "valid_from": at,
        }
    parent = None if values[0] is None else example + values[0]
    return {"kind": "unit_parent", "unit": named, "parent": parent, "parent_kind": "feeder", "valid_from": at}


def tell_oracle(beliefs: Beliefs, change: tuple[Any, ...]) -> None:
    kind, subject, *values, day = change
    apply = {
        "multiplier": beliefs.change_multiplier,
        "move": beliefs.move,
        "class": beliefs.change_class,
        "replace": beliefs.replace,
        "parent": beliefs.change_parent,
    }
    ask: Any = apply[kind]
    ask(subject, *values, day)


def stored(connection: Connection, example: str, known_at: datetime | None) -> dict[str, UnitView]:
    return load_views(connection, [example + unit for unit in (*AREAS, *FEEDERS)], known_at)


def compare(views: dict[str, UnitView], example: str, beliefs: Beliefs) -> None:
    for day in range(DAYS):
        at = int((START + (day + 0.5) * timedelta(days=1)).timestamp()) * 1_000_000
        for area in AREAS:
            view = views[example + area]
            held = [m for m in view.members if m.valid_from_us <= at < m.valid_to_us]
            found = {str(m.meter).removeprefix(example): (m.multiplier, m.accuracy_class) for m in held}
            assert len(found) == len(held)
            assert found == beliefs.members(area, day)
            above = [p for p in view.parents if p.valid_from_us <= at < p.valid_to_us]
            parents = [p.parent.removeprefix(example) for p in above]
            assert parents == [p for p in [beliefs.parent[area][day]] if p is not None]
        for feeder in FEEDERS:
            held = [m for m in views[example + feeder].members if m.valid_from_us <= at < m.valid_to_us]
            assert sorted(m.child_id or 0 for m in held) == sorted(
                views[example + area].unit_id for area in AREAS if beliefs.parent[area][day] == feeder
            )


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(changes)
def test_any_sequence_of_changes(connection: Connection, sequence: list[tuple[Any, ...]]) -> None:
    example = f"x{next(numbers)}-"
    load_grid(connection, grid_of(example))
    beliefs = Beliefs({m: (a, 1, 1.0) for m, a in zip(METERS, AREAS, strict=False)}, dict.fromkeys(AREAS, "f0"))
    known: list[tuple[datetime | None, Beliefs]] = []
    for change in sequence:
        after = beliefs.copy()
        try:
            tell_oracle(after, change)
            refused = False
        except RefusedError:
            refused = True
        request = read_change(json.dumps(as_request(example, change)).encode())
        if refused:
            with pytest.raises(ChangeError):
                apply_change(connection, request)
            continue
        applied = apply_change(connection, request)
        if applied.recorded_at is None:
            assert vars(after) == vars(beliefs)
            continue
        beliefs = after
        known.append((applied.recorded_at, beliefs))
        assert apply_change(connection, request).recorded_at is None, "the same again changes nothing"
    for known_at, believed in [*known, (None, beliefs)]:
        compare(stored(connection, example, known_at), example, believed)
    places: dict[tuple[str, int], tuple[Any, ...]] = {}
    for unit, position, *who in connection.execute(
        "select u.code, m.position, m.meter, m.child_id, m.multiplier from grid.member m join grid.unit u"
        " using (unit_id) where u.code like %s",
        [f"{example}%"],
    ):
        assert places.setdefault((unit, position), tuple(who)) == tuple(who), "a position is one member's for good"
