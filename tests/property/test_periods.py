"""Days and months against plain Python, and what must hold of any of them."""

from __future__ import annotations

import itertools
import math
from dataclasses import fields, replace
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.limits import Limit, Limits
from grid.loss_class import LossClass
from grid.model import UnitKind
from grid.period import (
    COUNTS,
    ENERGIES,
    JUDGED,
    JUDGED_OF,
    PIECE_COLUMNS,
    UNPUBLISHED_US,
    PeriodKeys,
    PeriodKind,
    PeriodRows,
    Pieces,
    judged_of,
)
from grid.rows import NEVER_US, Status
from grid.thresholds import Threshold, Thresholds
from streams.steps.periods import PeriodRules, _without_overlap, fold_periods
from tests.naive.periods import Piece, Rule, Version, revisions

HOUR_US = 3_600_000_000
HOURS = 6
LAST_H = 40
REASONS = [0, 2, 128, 1_024, 8_192]


@st.composite
def histories(draw: st.DrawFn, length_h: int) -> list[Version]:
    """Versions of a piece: published one after the other; once final, final or restated."""
    hours = sorted(draw(st.lists(st.integers(0, 30), max_size=3)))
    final_from = draw(st.integers(0, 3))
    versions = []
    for number, hour in enumerate(hours):
        computable = draw(st.booleans()) or draw(st.booleans())
        versions.append(
            Version(
                published_h=hour,
                final=number >= final_from,
                covered_s=length_h * 3_600 if computable else 0,
                inflow_wh=draw(st.sampled_from([0, 1_000, 10_000])),
                outflow_wh=draw(st.sampled_from([0, 900, 9_700])),
                technical_wh=draw(st.sampled_from([None, 30.0, 30.0, 30.0])),
                random_wh2=draw(st.sampled_from([0.0, 25.0, 3_600.0])),
                imported_wh=draw(st.sampled_from([0.0, 7.0, 200.0])),
                exported_wh=draw(st.sampled_from([0.0, 24.0])),
                ends_wh2=draw(st.sampled_from([0.0, 8.0])),
                reasons=draw(st.sampled_from(REASONS)),
            )
        )
    return versions


@st.composite
def days(draw: st.DrawFn) -> list[Piece]:
    """Pieces of a day of six hours: an hour each, and perhaps one of the whole of it."""
    pieces = [Piece(h, h + 1, False, draw(histories(1))) for h in range(HOURS)]
    pieces.append(Piece(0, HOURS, True, draw(histories(HOURS))))
    return [piece for piece in pieces if piece.versions]


def as_pieces(periods: list[list[Piece]]) -> Pieces:
    """Flat arrays of the pieces of several periods, each of which begins at hour 0."""
    columns: dict[str, list[float]] = {name: [] for name in PIECE_COLUMNS}
    for number, pieces in enumerate(periods):
        for piece in pieces:
            for v in piece.versions:
                row = {
                    "period": number,
                    "begin_us": piece.begin_h * HOUR_US,
                    "end_us": piece.end_h * HOUR_US,
                    "whole": piece.whole,
                    "final": v.final,
                    "published_us": v.published_h * HOUR_US,
                    "covered_s": v.covered_s,
                    "intervals": v.covered_s > 0,
                    "from_us": piece.begin_h * HOUR_US,
                    "to_us": piece.end_h * HOUR_US,
                    "inflow_wh": v.inflow_wh,
                    "outflow_wh": v.outflow_wh,
                    "loss_wh": v.inflow_wh - v.outflow_wh,
                    "technical_wh": math.nan if v.technical_wh is None else v.technical_wh,
                    "sigma_wh": math.sqrt(v.random_wh2 + v.imported_wh**2 + v.exported_wh**2 + v.ends_wh2),
                    "systematic_sigma_wh": math.hypot(v.imported_wh, v.exported_wh),
                    "export_sigma_wh": v.exported_wh,
                    "ends_sigma_wh": math.sqrt(v.ends_wh2),
                    "opening_sigma_wh": math.sqrt(v.ends_wh2 / 2),
                    "closing_sigma_wh": math.sqrt(v.ends_wh2 / 2),
                    "reasons": v.reasons,
                }
                for name, values in columns.items():
                    values.append(row.get(name, 0))
    arrays: dict[str, Any] = {name: np.array(columns[name], dtype) for name, dtype in PIECE_COLUMNS.items()}
    return Pieces(**(arrays | judged_of(**{name: arrays[name] for name in JUDGED_OF})))


def keys_of(count: int, hours: int = HOURS, kind: PeriodKind = PeriodKind.DAY) -> PeriodKeys:
    return PeriodKeys(
        kind=kind,
        unit_id=np.arange(count, dtype=np.int32),
        unit_kind=[UnitKind.AREA] * count,
        medium_voltage_v=[None] * count,
        first=[date(2026, 6, 1)] * count,
        begin_us=np.zeros(count, np.int64),
        end_us=np.full(count, hours * HOUR_US),
    )


RULES = PeriodRules(
    Limits({UnitKind.AREA: Limit(2 * 3_600, 20 * 3_600)}), Thresholds((Threshold(UnitKind.AREA, 0.0, 0.1, 100.0),)), 0.6
)


def state_of(rows: PeriodRows, i: int) -> tuple[object, ...]:
    f = rows.figures
    return (
        *(int(f[name][i]) for name in ("covered_s", "intervals", "inflow_wh", "outflow_wh")),
        None if np.isnan(f["technical_wh"][i]) else float(f["technical_wh"][i]),
        pytest.approx(float(f["sigma_wh"][i]), rel=1e-12, abs=1e-6),
        pytest.approx(float(f["ends_sigma_wh"][i]), rel=1e-12, abs=1e-6),
        *(int(f[name][i]) for name in JUDGED),
        pytest.approx(float(f["judged_random_sigma_wh"][i]), rel=1e-12, abs=1e-4),
        bool(f["computable"][i]),
        LossClass(int(f["loss_class"][i])).name.lower(),
        int(f["reasons"][i]),
    )


@settings(deadline=None, max_examples=200)
@given(st.lists(days(), min_size=1, max_size=3), st.integers(0, 40))
def test_agrees_with_plain_python(periods: list[list[Piece]], until_h: int) -> None:
    rows = fold_periods(keys_of(len(periods)), as_pieces(periods), RULES, until_h * HOUR_US)
    rule = Rule(HOURS + 2, HOURS + 20, until_h, 0.6, 0.0, 0.1, 100.0)
    expected = [(n, r) for n, pieces in enumerate(periods) for r in revisions(pieces, 0, HOURS, rule, LAST_H)]
    assert rows.period.tolist() == [n for n, _ in expected]
    assert rows.revision.tolist() == [r.number for _, r in expected]
    assert [Status(s).name.lower() for s in rows.status.tolist()] == [r.status for _, r in expected]
    assert rows.published_us.tolist() == [
        NEVER_US if r.published_h is None else r.published_h * HOUR_US for _, r in expected
    ]
    for i, (_, revision) in enumerate(expected):
        assert tuple(revision.state) == state_of(rows, i)


@settings(deadline=None, max_examples=60)
@given(days(), st.integers(0, 30))
def test_what_was_published_doesnt_depend_on_what_came_later(pieces: list[Piece], at_h: int) -> None:
    everything = fold_periods(keys_of(1), as_pieces([pieces]), RULES, 40 * HOUR_US)
    known = [p._replace(versions=[v for v in p.versions if v.published_h <= at_h]) for p in pieces]
    then = fold_periods(keys_of(1), as_pieces([[p for p in known if p.versions]]), RULES, at_h * HOUR_US)
    published = [
        (int(r), int(s), int(t), state_of(everything, i))
        for i, (r, s, t) in enumerate(zip(everything.revision, everything.status, everything.published_us, strict=True))
        if t <= at_h * HOUR_US
    ]
    seen = [
        (int(r), int(s), int(t), state_of(then, i))
        for i, (r, s, t) in enumerate(zip(then.revision, then.status, then.published_us, strict=True))
        if r > 0
    ]
    assert published == seen


def days_as_pieces(rows: PeriodRows, begin_us: list[int], end_us: list[int]) -> Pieces:
    """Rows of days as pieces of one month, as the store hands them out."""
    size = len(rows)
    begins = np.array(begin_us, np.int64)[rows.period]
    columns = {
        "period": np.zeros(size, np.int64),
        "begin_us": begins,
        "end_us": np.array(end_us, np.int64)[rows.period],
        "whole": np.zeros(size, np.bool_),
        "final": rows.status != Status.PROVISIONAL,
        "published_us": np.where(rows.revision > 0, rows.published_us, UNPUBLISHED_US),
        **{name: rows.figures[name] for name in PIECE_COLUMNS if name in rows.figures},
    }
    for name in ("from_us", "to_us"):
        columns[name] = np.where(rows.figures[name] == NEVER_US, begins, rows.figures[name])
    return Pieces(**columns)


def shifted(pieces: list[Piece], hours: int) -> list[Piece]:
    return [piece._replace(begin_h=piece.begin_h + hours, end_h=piece.end_h + hours) for piece in pieces]


@settings(deadline=None, max_examples=60)
@given(st.lists(days(), min_size=1, max_size=4))
def test_a_month_is_the_sum_of_its_days(periods: list[list[Piece]]) -> None:
    count = len(periods)
    begins = [n * HOURS * HOUR_US for n in range(count)]
    ends = [b + HOURS * HOUR_US for b in begins]
    pieces = as_pieces([shifted(p, n * HOURS) for n, p in enumerate(periods)])
    keys = replace(keys_of(count), begin_us=np.array(begins), end_us=np.array(ends))
    of_days = fold_periods(keys, pieces, RULES, 400 * HOUR_US)
    month_keys = keys_of(1, count * HOURS, PeriodKind.MONTH)
    month = fold_periods(month_keys, days_as_pieces(of_days, begins, ends), RULES, 400 * HOUR_US)
    last = [i for i in range(len(of_days)) if of_days.until_us[i] == NEVER_US]
    for name in (*ENERGIES, *COUNTS, *JUDGED):
        assert int(month.figures[name][-1]) == sum(int(of_days.figures[name][i]) for i in last)
    # The same as if it were summed from the intervals: the error isn't one of sums of sums.
    assert month.status[-1] != Status.PROVISIONAL
    chosen = [
        p
        for n, day in enumerate(periods)
        for p in shifted(day, n * HOURS)
        if p.versions[-1].covered_s and p.whole == _is_whole(of_days, last[n], day)
    ]
    if chosen:
        flat = fold_periods(month_keys, as_pieces([[p._replace(whole=False) for p in chosen]]), RULES, 400 * HOUR_US)
        for name in (
            "sigma_wh",
            "ends_sigma_wh",
            "systematic_sigma_wh",
            "export_sigma_wh",
            "opening_sigma_wh",
            "closing_sigma_wh",
            "judged_random_sigma_wh",
        ):
            assert month.figures[name][-1] == pytest.approx(flat.figures[name][-1], rel=1e-9, abs=1e-6)


def _is_whole(rows: PeriodRows, i: int, day: list[Piece]) -> bool:
    parts = sum(p.versions[-1].covered_s for p in day if not p.whole)
    return any(p.whole and p.versions[-1].covered_s for p in day) and parts < HOURS * 3_600


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 5)), min_size=1, max_size=8))
def test_of_intervals_that_overlap_those_that_cover_the_most_stand(spans: list[tuple[int, int]]) -> None:
    pieces = sorted({(begin, begin + length) for begin, length in spans}, key=lambda p: (p[1], p[1] - p[0]))
    kept = [pieces[i] for i in _without_overlap([p[0] for p in pieces], [p[1] for p in pieces])]
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(kept))
    best = 0
    for mask in range(1 << len(pieces)):
        some = [p for i, p in enumerate(pieces) if mask >> i & 1]
        if all(a[1] <= b[0] for a, b in itertools.pairwise(some)):
            best = max(best, sum(end - begin for begin, end in some))
    assert sum(end - begin for begin, end in kept) == best


def test_pieces_name_every_column() -> None:
    assert [field.name for field in fields(Pieces)] == list(PIECE_COLUMNS)
