"""What a generator fed in that wasn't heard is taken from those of its area that were, with a band that holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from grid.history import Past
from grid.memberships import Membership
from grid.model import UnitKind
from grid.quality import MISSING_WH, Quality
from grid.roster import BEGINNING_US, END_US, UnitView
from streams.steps.contribution import Key
from streams.steps.estimate import estimate
from streams.steps.gap import Gap, gap_of

SECOND_US = 1_000_000
INTERVAL_S = 3_600
AT = datetime(2026, 6, 15, 12, tzinfo=UTC)
#: A master meter, two customers and three generators, of which the first isn't heard.
MEMBERS = 6
SILENT, OTHERS = 3, (4, 5)
LARGEST_WH = (4_000, 9_000, 2_500)
VIEW = UnitView(
    5,
    "A1",
    UnitKind.AREA,
    tuple(Membership(i, f"m{i}", None, 1 if i == 0 else 2, 1, 1.0, BEGINNING_US, END_US) for i in range(MEMBERS)),
    (),
)


def us(at: datetime) -> int:
    return round(at.timestamp()) * SECOND_US


def past_of(taken: list[int], fed: list[int], at: datetime) -> Past:
    wh = np.array(taken, np.int64)
    quality = np.where(wh == MISSING_WH, int(Quality.MISSING), 0).astype(np.uint8)
    known_us = np.full(len(wh), us(at) + 10 * SECOND_US, np.int64)
    return Past(wh, np.array(fed, np.int64), quality, np.full(len(wh), 7, np.int64), known_us)


def days_of(
    chance: np.random.Generator, today: float, differ: float, least: float = 0.8
) -> tuple[dict[Key, Past], int]:
    """Ten days, and one as bright as `today` of which nothing but `AT` is there; what the silent one fed in then."""
    rows: dict[Key, Past] = {}
    truth = 0
    for day in range(-10, 1):
        bright = today if day == 0 else chance.uniform(least, 1.0)
        for hour in (-1, 0, 1) if day else (0,):
            at = AT + timedelta(days=day, hours=hour)
            fed = [round(most * bright * max(chance.normal(1.0, differ), 0.0)) for most in LARGEST_WH]
            taken = [2_000, *(int(v) for v in chance.integers(300, 900, 2)), 0, 0, 0]
            exports = [0, 0, 0, *fed]
            if day == 0:
                truth, taken[SILENT], exports[SILENT] = fed[0], MISSING_WH, MISSING_WH
            rows[(5, us(at), INTERVAL_S)] = past_of(taken, exports, at)
    return rows, truth


def gap_at(rows: dict[Key, Past]) -> Gap:
    key = (5, us(AT), INTERVAL_S)
    held = rows[key]
    limit_us = us(AT) + 86_400 * SECOND_US
    roster = VIEW.roster(us(AT), INTERVAL_S)
    gap = gap_of(VIEW, roster, key, limit_us, held.import_wh, held.export_wh, held.precedence, final=True)
    assert gap is not None
    return gap


def fed_in(rows: dict[Key, Past]) -> tuple[int, int, int]:
    gap = gap_at(rows)
    (c,) = estimate([gap], {key: held for key, held in rows.items() if key != gap.key}, UTC).contributions
    assert c.positions.tolist() == [SILENT]
    export, sigma, of_gap = (int(c.channels[name][0]) for name in ("export_wh", "sigma_wh", "gap_sigma_wh"))
    return export, sigma, of_gap


def test_a_dull_day_after_ten_sunny_ones() -> None:
    rows, truth = days_of(np.random.default_rng(1), 0.2, 0.02)
    export, sigma, _ = fed_in(rows)
    assert abs(export - truth) < 100
    assert 10 < sigma < 200


def test_where_no_other_was_heard_its_own_history_tells() -> None:
    rows, truth = days_of(np.random.default_rng(1), 0.2, 0.02)
    held = rows[(5, us(AT), INTERVAL_S)]
    held.import_wh[list(OTHERS)] = MISSING_WH
    held.export_wh[list(OTHERS)] = MISSING_WH
    gap = gap_at(rows)
    assert gap.heard_export_wh is None
    (c,) = estimate([gap], {key: held for key, held in rows.items() if key != gap.key}, UTC).contributions
    assert c.channels["export_wh"][0] > 3 * truth


def test_its_stated_deviation_is_that_of_its_error() -> None:
    chance = np.random.default_rng(2)
    errors, stated = [], []
    for _ in range(200):
        rows, truth = days_of(chance, chance.uniform(0.3, 1.0), 0.1, 0.3)
        export, sigma, _ = fed_in(rows)
        errors.append(export - truth)
        stated.append(sigma)
    assert 0.6 < np.mean(np.square(errors)) / np.mean(np.square(stated)) < 1.4
