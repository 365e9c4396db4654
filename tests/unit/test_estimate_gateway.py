"""A master meter that wasn't heard is estimated from its customers, with a band that holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from grid.history import Past
from grid.memberships import Membership
from grid.model import UnitKind
from grid.quality import MISSING_WH, Quality
from grid.roster import BEGINNING_US, END_US, UnitView
from streams.steps.contribution import Key
from streams.steps.estimate import estimate
from streams.steps.gap import Gap, gap_of

SECOND_US = 1_000_000
CUSTOMERS, RATIO, LOSS_WH = 12, 20, 300
INTERVAL_S = 3_600
AT = datetime(2026, 6, 15, 12, tzinfo=UTC)


def view_of(gateways: int = 1) -> UnitView:
    members = [
        Membership(i, f"m{i}", None, 1 if i < gateways else 2, RATIO if i < gateways else 1, 1.0, BEGINNING_US, END_US)
        for i in range(gateways + CUSTOMERS)
    ]
    return UnitView(5, "A1", UnitKind.AREA, tuple(members), ())


def us(at: datetime) -> int:
    return round(at.timestamp()) * SECOND_US


def past_of(energies: list[int], at: datetime) -> Past:
    size = len(energies)
    wh = np.array(energies, np.int64)
    quality = np.where(wh == MISSING_WH, int(Quality.MISSING), 0).astype(np.uint8)
    return Past(wh, np.zeros(size, np.int64), quality, np.full(size, 7, np.int64), np.full(size, us(at), np.int64))


def days_of(chance: np.random.Generator, missing: float) -> tuple[dict[Key, Past], list[int]]:
    """Three weeks of hours of an area that is warmer or colder as a whole by day; and what they were at `AT`."""
    usual = chance.uniform(500.0, 5_000.0, CUSTOMERS)
    rows, wanted = {}, []
    for day in range(-20, 1):
        level = chance.normal(1.0, 0.15)
        # On the day itself nothing near it, which would say how warm it is.
        for hour in range(-3, 4) if day else (0,):
            at = AT + timedelta(days=day, hours=hour)
            taken = np.maximum(usual * (level + chance.normal(0.0, 0.3, CUSTOMERS)), 0.0).astype(np.int64)
            lost = LOSS_WH + chance.normal(0.0, 20.0)
            energies = np.array([round((taken.sum() + lost) / RATIO), *taken])
            if at == AT:
                wanted = energies.tolist()
                energies[0] = MISSING_WH
            energies[chance.random(len(energies)) < missing] = MISSING_WH
            rows[(5, us(at), INTERVAL_S)] = past_of(energies.tolist(), at + timedelta(seconds=10))
    return rows, wanted


def gap_at(view: UnitView, rows: dict[Key, Past], *, final: bool = True) -> Gap:
    key = (5, us(AT), INTERVAL_S)
    held = rows[key]
    limit_us = us(AT) + 86_400 * SECOND_US
    roster = view.roster(us(AT), INTERVAL_S)
    gap = gap_of(view, roster, key, limit_us, held.import_wh, held.export_wh, held.precedence, final=final)
    assert gap is not None
    return gap


def made(gap: Gap, rows: dict[Key, Past]) -> dict[int, tuple[int, int, int]]:
    """Energy, deviation and that of the gap, by position."""
    (c,) = estimate([gap], {key: held for key, held in rows.items() if key != gap.key}, UTC).contributions
    columns = (c.channels[name].tolist() for name in ("import_wh", "sigma_wh", "gap_sigma_wh"))
    return dict(zip(c.positions.tolist(), zip(*columns, strict=True), strict=True))


@pytest.mark.parametrize("final", [False, True])
def test_it_takes_what_its_customers_took_and_what_is_usually_lost(final: bool) -> None:
    rows, wanted = days_of(np.random.default_rng(1), 0.0)
    energy, sigma, of_gap = made(gap_at(view_of(), rows, final=final), rows)[0]
    assert abs(energy - wanted[0]) < 4
    assert 1 <= sigma <= 4
    assert of_gap <= 8


@pytest.mark.parametrize("missing", [0.0, 0.1, 0.3])
def test_its_stated_deviation_is_that_of_its_error(missing: float) -> None:
    chance = np.random.default_rng(3)
    errors, stated = [], []
    view = view_of()
    for _ in range(150):
        rows, wanted = days_of(chance, missing)
        energy, sigma, _ = made(gap_at(view, rows), rows)[0]
        errors.append(energy - wanted[0])
        stated.append(sigma)
    assert 0.6 < np.mean(np.square(errors)) / np.mean(np.square(stated)) < 1.4


def test_what_is_heard_counts_by_its_sign() -> None:
    view = view_of(gateways=2)
    roster = view.roster(us(AT), INTERVAL_S)
    energies = np.array([MISSING_WH, 7, *range(100, 100 + CUSTOMERS)], np.int64)
    exports = np.zeros(len(energies), np.int64)
    exports[[1, 2]] = 2, 30
    held = np.full(len(energies), 7, np.int64)
    gap = gap_of(view, roster, (5, us(AT), INTERVAL_S), us(AT), energies, exports, held, final=True)
    assert gap is not None
    assert gap.heard_wh == sum(range(100, 100 + CUSTOMERS)) - 30 - RATIO * (7 - 2)


def test_without_the_history_of_a_customer_its_own_history_tells() -> None:
    rows, wanted = days_of(np.random.default_rng(5), 0.0)
    for (_, end_us, _), held in rows.items():
        if end_us != us(AT):
            held.import_wh[4] = MISSING_WH
    _, sigma, _ = made(gap_at(view_of(), rows), rows)[0]
    assert sigma > 0.1 * wanted[0]


def test_two_master_meters_that_were_not_heard_are_estimated_apart() -> None:
    rows, _ = days_of(np.random.default_rng(5), 0.0)
    rows = {key: past_of([int(held.import_wh[0]), *held.import_wh.tolist()], AT) for key, held in rows.items()}
    found = made(gap_at(view_of(gateways=2), rows), rows)
    assert found[0] == found[1]
    assert found[0][1] > 4
