from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from meterline.score.detection import Alert, Place, Recall, detect
from meterline.score.losses import Pairs, StoredLosses, by_unit, pair, summarize
from tests.naive import score as naive
from twin.events import INNOCENT, Event, EventKind

# Few and round values, so that keys meet and errors lie at the edge of their band.
energies = st.one_of(st.floats(-1e6, 1e6), st.integers(-6, 6).map(float))
keys = st.tuples(st.integers(0, 2), st.integers(0, 2), st.sampled_from([1, 2]))
truths = st.dictionaries(keys, st.builds(naive.TrueLoss, energies, st.one_of(st.just(0.0), st.floats(1, 1e6))))
stores = st.dictionaries(
    keys, st.builds(naive.Stored, energies, st.sampled_from([math.nan, 0.0, 1.0, 2.0, 1e6]), st.booleans())
)


def paired(truth: dict[naive.Key, naive.TrueLoss], stored: dict[naive.Key, naive.Stored]) -> Pairs:
    def columns(rows: Any) -> tuple[Any, Any, Any]:
        unit, end_s, interval_s = (np.array([key[i] for key in rows], np.int64) for i in range(3))
        return unit, end_s, interval_s

    return pair(
        *columns(truth),
        np.array([t.loss_wh for t in truth.values()]),
        np.array([t.supply_wh for t in truth.values()]),
        StoredLosses(
            *columns(stored),
            np.array([s.loss_wh for s in stored.values()]),
            np.array([s.sigma_wh for s in stored.values()]),
            np.array([s.computable for s in stored.values()], np.bool_),
        ),
    )


def agree(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if value is None:
            assert found[name] is None, name
        else:
            assert math.isclose(found[name], value, rel_tol=1e-9, abs_tol=1e-6), name


@settings(deadline=None)
@given(truths, stores)
def test_loss_errors_agree_with_plain_python(
    truth: dict[naive.Key, naive.TrueLoss], stored: dict[naive.Key, naive.Stored]
) -> None:
    pairs = paired(truth, stored)
    agree(asdict(summarize(pairs)), naive.losses(truth, stored))
    errors = by_unit(pairs)
    assert set(errors) == {key[0] for key in truth}
    for unit, error in errors.items():
        agree(asdict(error), naive.losses({k: t for k, t in truth.items() if k[0] == unit}, stored))
        assert (error.reason is None) == all(v is not None for n, v in asdict(error).items() if n != "reason")


UNITS = ("A", "B", "F")
METERS = {"m1": "A", "m2": "A", "m3": "B"}
KINDS = (
    EventKind.THEFT_BYPASS,
    EventKind.METER_STOPPED,
    EventKind.VACANCY,
    EventKind.OUTAGE,
    EventKind.HOLIDAY,
    EventKind.RECORD_AREA,
)
DAYS = st.integers(0, 20).map(lambda n: n * naive.DAY // 2)


@st.composite
def happenings(draw: st.DrawFn) -> tuple[Event, Place]:
    begin_s = draw(DAYS)
    kind = draw(st.sampled_from(KINDS))
    entity = draw(st.sampled_from((*UNITS, *METERS)))
    end_s = draw(st.one_of(st.none(), st.sampled_from([1, 2, 9]).map(lambda n: begin_s + n * naive.DAY)))
    event = Event(begin_s, draw(st.integers(0, 99)), kind, entity, end_s, 1.0)
    units = {METERS.get(entity, entity)} | draw(st.sets(st.sampled_from(UNITS), max_size=1))
    return event, Place(frozenset({entity}), frozenset(units), everywhere=kind is EventKind.HOLIDAY)


def group(kind: EventKind, *, wanted: bool) -> str:
    return "wanted" if wanted else "innocent" if kind in INNOCENT else "operation"


def plain(event: Event, place: Place) -> naive.Happened:
    return naive.Happened(
        event.number,
        event.kind.value,
        group(event.kind, wanted=event.is_to_be_found),
        event.begin_s,
        event.end_s,
        set(place.names),
        set(place.units),
        place.everywhere,
    )


alerts = st.lists(
    st.tuples(st.booleans(), st.sampled_from((*UNITS, *METERS)), DAYS, st.sampled_from([0.0, 5.0, 7.0])), max_size=12
).map(
    lambda rows: [
        naive.Raised(i, critical, METERS.get(about, about), about if about in METERS else None, opened_s, size_wh)
        for i, (critical, about, opened_s, size_wh) in enumerate(rows)
    ]
)


@settings(deadline=None)
@given(st.lists(happenings(), max_size=8), alerts)
def test_detection_agrees_with_plain_python(happened: list[tuple[Event, Place]], raised: list[naive.Raised]) -> None:
    events, places = [e for e, _ in happened], [p for _, p in happened]
    begin_s, end_s = 2 * naive.DAY, 8 * naive.DAY
    found = detect(
        events,
        places,
        [Alert(a.alert_id, "critical" if a.critical else "warning", *a[2:]) for a in raised],
        begin_s,
        end_s,
        frozenset(UNITS),
        500,
        (1, 3, 50),
        names_meters=True,
    )
    expected = [plain(e, p) for e, p in happened]

    def same(recall: Recall, kind: str | None, *, by_name: bool) -> None:
        sought, hits, delays = naive.recall(expected, raised, begin_s, end_s, kind, by_name=by_name)
        assert (recall.events, recall.found or 0, recall.left_out) == (sought, hits, 0)
        assert recall.recall == (hits / sought if sought else None)
        assert recall.delay_median_s == naive.percentile(delays, 50)
        agree({"p90": recall.delay_p90_s}, {"p90": naive.percentile(delays, 90)})

    for by_name, level in ((True, found.entity), (False, found.area)):
        same(level.recall, None, by_name=by_name)
        for kind, recall in level.by_kind.items():
            same(recall, kind, by_name=by_name)
        for p in level.precision_at:
            assert p.of == min(p.k, len(raised))
            assert (p.right or 0) == naive.right_among(expected, raised, p.k, by_name=by_name)
            assert p.precision == ((p.right or 0) / p.of if p.of else None)
    false = found.false_alarms
    counts = {name: getattr(false, name) for name in ("alarms", "during_innocent", "during_operation", "unexplained")}
    assert counts == naive.false_alarms(expected, raised)
    assert false.per_1000_meter_days == counts["alarms"] / (500 * 6) * 1_000
