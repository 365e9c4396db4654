"""Estimates at the limits: what they rest on, their band, and what registers make of them."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from grid.history import Past
from grid.memberships import Membership
from grid.model import UnitKind
from grid.quality import MISSING_WH, Quality
from grid.roster import BEGINNING_US, END_US, UnitView
from streams.estimating import estimates
from streams.steps.contribution import Key
from streams.steps.estimate import Made, estimate, rows_for
from streams.steps.estimate_registers import fresh_of, rows_of_day, to_registers
from streams.steps.gap import ESTIMATE_PRECEDENCE, OFFLINE, ONLINE, Gap, gap_of
from tests.naive.gap_band import correlation, lasting_part

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
VIEW = UnitView(
    5,
    "A1",
    UnitKind.AREA,
    tuple(Membership(i, f"m{i}", None, 1 if i == 0 else 2, 1, 1.0, BEGINNING_US, END_US) for i in range(3)),
    (),
)
MONDAY = datetime(2026, 6, 15, tzinfo=UTC)


def us(at: datetime) -> int:
    return round(at.timestamp()) * SECOND_US


def gap(at: datetime, *, final: bool = False, positions: tuple[int, ...] = (1,), limit_us: int | None = None) -> Gap:
    end_us = us(at)
    limit_us = limit_us or end_us + (86_400 if final else 300) * SECOND_US
    roster = VIEW.roster(end_us, 3_600)
    return Gap(VIEW, roster, end_us, 3_600, limit_us, final, np.array(positions, np.int64))


def row(values: list[int], known_us: int, quality: int = 0, export: int = 0) -> Past:
    size = len(values)
    return Past(
        import_wh=np.array(values, np.int64),
        export_wh=np.full(size, export, np.int64),
        quality=np.full(size, quality, np.uint8),
        precedence=np.full(size, 7, np.int64),
        known_us=np.full(size, known_us, np.int64),
    )


def history(days: int, until: datetime, noise: int = 30, quality: int = 0, export: int = 0) -> dict[Key, Past]:
    """Rows of each hour of some days before an instant, with a shape by hour."""
    chance = np.random.default_rng(3)
    rows = {}
    for n in range(days * 24):
        end = until - timedelta(hours=n)
        base = 500 + 20 * ((end.hour - 1) % 24)
        values = [base + int(v) for v in chance.integers(-noise, noise + 1, 3)]
        rows[(5, us(end), 3_600)] = row(values, us(end) + 10 * SECOND_US, quality, export)
    return rows


def only(made_of: object) -> tuple[int, int]:
    (c,) = made_of.contributions  # type: ignore[attr-defined]
    return int(c.channels["import_wh"][0]), int(c.channels["sigma_wh"][0])


def test_an_estimate_is_a_contribution_of_the_limit_below_all_that_is_measured() -> None:
    at = MONDAY + timedelta(hours=12)
    wanted = gap(at)
    (c,) = estimate([wanted], history(14, at - timedelta(hours=1)), UTC).contributions
    assert c.received_at_us == wanted.at_us
    assert c.received_us.tolist() == [wanted.at_us]
    assert c.precedence.tolist() == [ESTIMATE_PRECEDENCE[ONLINE]]
    assert c.quality.tolist() == [Quality.ESTIMATED]
    energy, sigma = int(c.channels["import_wh"][0]), int(c.channels["sigma_wh"][0])
    assert abs(energy - (500 + 20 * 11)) < 40
    assert 5 < sigma < 60
    assert c.channels["export_wh"].tolist() == [0]


def test_what_was_known_later_or_not_measured_makes_no_difference() -> None:
    at = MONDAY + timedelta(hours=12)
    wanted = gap(at)
    rows = history(14, at - timedelta(hours=1))
    expected = only(estimate([wanted], rows, UTC))
    (slot,) = {(5, us(at - timedelta(days=3)), 3_600)}
    without = {key: held for key, held in rows.items() if key != slot}
    less = only(estimate([wanted], without, UTC))
    assert less != expected
    for odd in (
        row([9_999] * 3, wanted.at_us + 1),
        row([9_999] * 3, 0, Quality.ESTIMATED),
        row([9_999] * 3, 0, Quality.SUBSTITUTED),
        row([9_999] * 3, 0, Quality.SUSPECT),
        row([MISSING_WH] * 3, 0),
        row([9_999], 0),
    ):
        assert only(estimate([wanted], without | {slot: odd}, UTC)) == less
    assert only(estimate([wanted], without | {slot: row([9_999] * 3, wanted.at_us)}, UTC)) != less


def test_only_the_final_limit_looks_at_what_follows() -> None:
    at = MONDAY + timedelta(hours=12)
    after = (5, us(at) + HOUR_US, 3_600)
    assert after not in rows_for([gap(at)], UTC)
    assert all(key[1] < us(at) for key in rows_for([gap(at)], UTC))
    assert after in rows_for([gap(at, final=True)], UTC)
    rows = history(14, at + timedelta(hours=8))
    del rows[gap(at).key]
    (c,) = estimate([gap(at, final=True)], rows, UTC).contributions
    assert c.precedence.tolist() == [ESTIMATE_PRECEDENCE[OFFLINE]]


def test_what_is_read_is_bounded() -> None:
    gaps = [gap(MONDAY + timedelta(hours=12), final=final) for final in (False, True)]
    # Of hours, those a day and two days away are of other days too.
    assert [len(rows_for([one], UTC)) for one in gaps] == [14 * 3 + 13 - 2, 14 * 3 + 2 * (13 - 2)]


def test_a_member_without_history_stays_missing() -> None:
    at = MONDAY + timedelta(hours=12)
    made = estimate([gap(at)], {}, UTC)
    assert made.contributions == []
    assert made.counts == {"online": 0, "offline": 0, "unknown": 1}
    two = {key: held for key, held in history(1, at - timedelta(hours=1)).items() if key[1] != us(at) - 24 * HOUR_US}
    assert estimate([gap(at)], two, UTC).contributions == []


def test_days_are_local_ones() -> None:
    """After clocks have gone forward the same hour of the wall's clock is one of another instant."""
    berlin = ZoneInfo("Europe/Berlin")
    at = datetime(2026, 3, 30, 12, tzinfo=berlin)
    keys = {key[1] for key in rows_for([gap(at)], berlin)}
    assert us(datetime(2026, 3, 28, 12, tzinfo=berlin)) in keys
    assert us(at) - 48 * HOUR_US + 3 * HOUR_US not in keys


def band(gap_of_it: Gap, rows: dict[Key, Past]) -> tuple[int, int]:
    """A value's own deviation and that of its gap."""
    (c,) = estimate([gap_of_it], rows, UTC).contributions
    return int(c.channels["sigma_wh"][0]), int(c.channels["gap_sigma_wh"][0])


def part_of(gap_of_it: Gap, rows: dict[Key, Past]) -> float:
    """How far its meter is towards one whose errors last, in plain Python."""
    at, days = gap_of_it.observed_at_us, []
    for away in sorted({*(range(-10, 5) if gap_of_it.final else range(-14, 0))} - {0}):
        held = [rows.get((5, at + (24 * away + side) * HOUR_US, 3_600)) for side in (-1, 0, 1)]
        a, b, c = (float(h.import_wh[1]) if h and h.known_us[1] <= gap_of_it.at_us else None for h in held)
        days.append((a, b, c))
    return lasting_part(days, 60)


@pytest.mark.parametrize("final", [False, True])
@pytest.mark.parametrize("hours", [1, 3, 6])
def test_variances_of_a_gap_add_up_to_that_of_its_sum(hours: int, final: bool) -> None:
    first = MONDAY + timedelta(hours=21)
    missing = [first + timedelta(hours=n) for n in range(hours)]
    rows = history(14, first + timedelta(hours=14), noise=300)
    for end in missing:
        del rows[(5, us(end), 3_600)]
    limit_us = us(first) + 48 * HOUR_US
    for n, end in enumerate(missing):
        wanted = gap(end, final=final, limit_us=limit_us)
        part = part_of(wanted, rows)
        before, after = (sum(correlation(k, 60, part) for k in range(1, m + 1)) for m in (n, hours - 1 - n))
        sigma, of_gap = band(wanted, rows)
        # Both are rounded up to whole watt-hours. At the provisional limit what comes before counts twice.
        expected = sigma * math.sqrt(before + after if final else 2 * before)
        assert abs(of_gap - expected) <= 1.0 + math.sqrt(2 * hours)


def test_a_longer_gap_leaves_a_value_s_own_deviation_nearly_as_it_is() -> None:
    at = MONDAY + timedelta(hours=12)
    alone, within = history(14, at + timedelta(hours=9)), history(14, at + timedelta(hours=9))
    del alone[(5, us(at), 3_600)]
    for hour in range(6):
        del within[(5, us(at) + hour * HOUR_US, 3_600)]
    single, longer = band(gap(at, final=True), alone), band(gap(at, final=True), within)
    assert single[1] == 0
    assert longer[1] > 0.5 * longer[0]
    assert longer[0] < 1.5 * single[0]


def test_nothing_is_estimated_of_an_area_of_which_nobody_was_heard_but_by_registers() -> None:
    at = MONDAY + timedelta(hours=12)
    end_us = us(at)
    roster = VIEW.roster(end_us, 3_600)
    none, held = np.full(3, MISSING_WH), np.zeros(3, np.int64)
    one_heard = np.array([MISSING_WH, MISSING_WH, 700], np.int64)
    silent, heard = (
        gap_of(VIEW, roster, (5, end_us, 3_600), end_us + 24 * HOUR_US, energies, none, held, final=True)
        for energies in (none, one_heard)
    )
    assert silent is not None
    assert heard is not None
    assert (silent.is_silent, heard.is_silent) == (True, False)
    rows = history(14, at + timedelta(hours=12))
    del rows[(5, end_us, 3_600)]

    def made(wanted: Gap, more: dict[Key, Past]) -> Made:
        return estimates([wanted], lambda keys: {key: held for key, held in (rows | more).items() if key in keys}, UTC)

    assert made(silent, {}).contributions == []
    assert made(silent, {}).counts["unknown"] == 3
    assert made(heard, {}).contributions[0].positions.tolist() == [0, 1]
    # The day's registers show that nothing flowed.
    day = (5, us(MONDAY) + 24 * HOUR_US, 86_400)
    measured = [
        int(sum(rows[(5, us(MONDAY) + h * HOUR_US, 3_600)].import_wh[i] for h in range(1, 25) if h != 12))
        for i in range(3)
    ]
    (c,) = made(silent, {day: row(measured, 0)}).contributions
    assert c.channels["import_wh"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("imports", "exports", "is_off"),
    [
        ((0, None, 0), (0, None, 0), True),
        ((0, None, 0), (None, None, None), True),
        ((0, None, None), (None, None, None), True),
        ((1, None, 0), (0, None, 0), False),
        ((0, None, 5), (0, None, 0), False),  # somebody had supply: the master meter is wrong
        ((0, None, 0), (0, None, 5), False),
        ((None, None, 0), (None, None, 0), False),  # the master meter wasn't heard
    ],
)
def test_who_is_missing_where_the_master_meter_shows_nothing_took_nothing(
    imports: tuple[int | None, ...], exports: tuple[int | None, ...], is_off: bool
) -> None:
    at = MONDAY + timedelta(hours=12)
    energies, given = (
        np.array([MISSING_WH if v is None else v for v in values], np.int64) for values in (imports, exports)
    )
    roster, held = VIEW.roster(us(at), 3_600), np.full(3, 7, np.int64)
    wanted = gap_of(VIEW, roster, (5, us(at), 3_600), us(at) + 24 * HOUR_US, energies, given, held, final=True)
    assert wanted is not None
    assert wanted.is_off is is_off
    rows = history(14, at + timedelta(hours=9))
    del rows[(5, us(at), 3_600)]
    (c,) = estimate([wanted], rows, UTC).contributions
    assert 1 in c.positions
    of_it = {name: int(values[c.positions.tolist().index(1)]) for name, values in c.channels.items()}
    assert (of_it["import_wh"] == 0) is is_off
    if is_off:
        assert of_it == {"import_wh": 0, "export_wh": 0, "sigma_wh": 1, "gap_sigma_wh": 0}


def test_a_gap_is_not_cut_at_midnight() -> None:
    at = MONDAY + timedelta(days=5, hours=22)
    rows = history(20, at + timedelta(days=3), noise=300)
    wanted = gap(at, final=True, limit_us=us(at) + 72 * HOUR_US)
    widths = []
    for reach in (1, 2, 5, 9, 17):
        heard = {key: held for key, held in rows.items() if abs(key[1] - us(at)) >= reach * HOUR_US}
        sigma, of_gap = band(wanted, heard)
        widths.append(of_gap / sigma)
    assert widths == sorted(widths)
    assert widths[0] == 0.0
    assert all(after > before + 0.05 for before, after in itertools.pairwise(widths))


def test_what_a_meter_feeds_in_is_estimated_too() -> None:
    at = MONDAY + timedelta(hours=12)
    (c,) = estimate([gap(at)], history(14, at - timedelta(hours=1), export=40), UTC).contributions
    assert c.channels["export_wh"].tolist() == [40]


def test_an_estimate_of_the_provisional_limit_is_a_gap_at_the_final_one() -> None:
    at = us(MONDAY)
    held = np.array([ESTIMATE_PRECEDENCE[ONLINE], 3, ESTIMATE_PRECEDENCE[OFFLINE]], np.int64)
    energies, none = np.array([1, MISSING_WH, 2], np.int64), np.full(3, MISSING_WH)
    roster = VIEW.roster(at, 900)
    early = gap_of(VIEW, roster, (5, at, 900), at, energies, none, held, final=False)
    late = gap_of(VIEW, roster, (5, at, 900), at, energies, none, held, final=True)
    assert early is not None
    assert late is not None
    assert (early.positions.tolist(), late.positions.tolist()) == ([1], [0, 1])
    assert gap_of(VIEW, roster, (5, at, 86_400), at, energies, none, held, final=True) is None


def test_the_day_s_energy_is_met_exactly_however_limits_pass() -> None:
    missing = [3, 9, 10, 11, 20]
    rows = history(14, MONDAY + timedelta(hours=24))
    for hour in missing:
        del rows[(5, us(MONDAY) + hour * HOUR_US, 3_600)]
    measured = sum(
        int(rows[(5, us(MONDAY) + h * HOUR_US, 3_600)].import_wh[1]) for h in range(1, 25) if h not in missing
    )
    total = measured + 12_345
    rows[(5, us(MONDAY) + 24 * HOUR_US, 86_400)] = row([total] * 3, 0)
    gaps = [gap(MONDAY + timedelta(hours=hour), final=True) for hour in missing]
    together = estimate(gaps, rows, UTC).contributions
    fresh = fresh_of([])
    filled = [to_registers(g, c, rows, fresh, UTC) for g, c in zip(gaps, together, strict=True)]
    energies = [int(c.channels["import_wh"][0]) for c in filled if c is not None]
    assert len(energies) == len(missing)
    assert sum(energies) == 12_345
    assert filled[-1] is not None
    assert filled[-1].channels["sigma_wh"].tolist() == [1]
    assert set(rows_of_day(gaps[0], UTC)) >= {g.key for g in gaps}


def test_registers_that_say_less_than_was_measured_are_not_used() -> None:
    at = MONDAY + timedelta(hours=9)
    rows = history(14, MONDAY + timedelta(hours=24))
    del rows[(5, us(at), 3_600)]
    rows[(5, us(MONDAY) + 24 * HOUR_US, 86_400)] = row([10] * 3, 0)
    wanted = gap(at, final=True)
    (c,) = estimate([wanted], rows, UTC).contributions
    brought = to_registers(wanted, c, rows, {}, UTC)
    assert brought is not None
    assert brought.channels["import_wh"].tolist() == c.channels["import_wh"].tolist()


def test_readings_of_a_register_around_a_gap_tell_its_energy() -> None:
    at = MONDAY + timedelta(hours=9)
    rows = history(14, MONDAY + timedelta(hours=24))
    reads = {-1: 1_000, 1: 1_700}
    for n, register in reads.items():
        held = rows[(5, us(at) + n * HOUR_US, 3_600)]
        gone = row([MISSING_WH if n == 1 else 600] * 3, 0)
        rows[(5, us(at) + n * HOUR_US, 3_600)] = Past(
            gone.import_wh,
            gone.export_wh,
            held.quality,
            held.precedence,
            gone.known_us,
            np.full(3, register),
            gone.known_us,
        )
    del rows[(5, us(at), 3_600)]
    gaps = [gap(at, final=True), gap(at + timedelta(hours=1), final=True)]
    made = estimate(gaps, rows, UTC).contributions
    fresh = fresh_of([])
    energies = [
        int(c.channels["import_wh"][0])
        for g, m in zip(gaps, made, strict=True)
        if (c := to_registers(g, m, rows, fresh, UTC)) is not None
    ]
    assert sum(energies) == 700
