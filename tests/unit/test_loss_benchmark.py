"""How the benchmark of error bars keeps what it has found, and how sure its shares are."""

from dataclasses import fields
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.loss_found import Found, keep, kept
from benchmarks.loss_score import Classed, Periods
from benchmarks.report import binomial_interval, result, with_interval
from grid.model import UnitKind


def made(kind: UnitKind, span: str, seed: int) -> Found:
    chance = np.random.default_rng(seed)
    shape = 3, 2
    arrays: dict[str, Any] = {field.name: chance.normal(size=shape) for field in fields(Periods)}
    arrays |= {name: chance.random(shape) < 0.5 for name in ("there", "computable")}
    arrays["called"] = chance.integers(0, 4, shape).astype(np.int8)
    arrays["reasons"] = chance.integers(0, 99, shape).astype(np.int32)
    classed = Classed(arrays["called"], arrays["called"] + np.int8(1), chance.random(shape) < 0.5)
    naive, by_meters, drawn = (chance.normal(size=size) for size in (shape, shape, (4, *shape)))
    return Found(kind, span, Periods(**arrays), classed, naive, by_meters, drawn)


def test_what_was_kept_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "draw0.npz"
    assert kept(path) is None
    found = [made(UnitKind.AREA, "day", 1), made(UnitKind.FEEDER, "month", 2)]
    keep(path, found)
    back = kept(path)
    assert back is not None
    assert [(f.kind, f.span) for f in back] == [(UnitKind.AREA, "day"), (UnitKind.FEEDER, "month")]
    for one, other in zip(found, back, strict=True):
        wanted: list[tuple[Periods | Classed, Periods | Classed]]
        wanted = [(one.periods, other.periods), (one.classed, other.classed)]
        for its, again in wanted:
            for field in fields(its):
                want, got = getattr(its, field.name), getattr(again, field.name)
                assert got.dtype == want.dtype
                np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(other.drawn_wh, one.drawn_wh)
    assert [p.name for p in path.parent.iterdir()] == ["draw0.npz"]


@pytest.mark.parametrize(("count", "share"), [(60, 0.83), (200, 0.95), (400, 0.5)])
def test_the_interval_holds_the_share_95_times_in_100(count: int, share: float) -> None:
    held = 0.0
    for hits in range(count + 1):
        low, high = binomial_interval(hits / count, count)
        assert 0 <= low <= hits / count <= high <= 1
        if low <= share <= high:
            held += comb(count, hits) * share**hits * (1 - share) ** (count - hits)
    assert 0.93 < held < 0.98


def test_a_share_of_few_independent_draws_says_less() -> None:
    share = result("within", 0.95, "")
    wide, narrow = with_interval(share, 1_000, 20), with_interval(share, 1_000)
    assert wide.count == narrow.count == 1_000
    assert wide.low is not None
    assert narrow.low is not None
    assert wide.low < narrow.low < 0.95
    assert binomial_interval(0.0, 0) == (0.0, 1.0)
