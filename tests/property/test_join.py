"""Intervals joined with what is believed of the grid at each of their instants, against plain Python."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from datetime import UTC, date, timedelta, tzinfo
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.block import Block
from grid.channels import Values
from grid.memberships import Lapse, Membership
from grid.model import UnitKind
from grid.period import midnight_us
from grid.quality import MISSING_WH, Quality
from grid.roster import BEGINNING_US, END_US, UnitView
from streams.steps.contribution import Cause, Contribution, from_block, look_again
from streams.steps.moves import absent_parts, adopted, for_other_unit, leaving, opening_elsewhere
from tests.memory import MemoryStore
from tests.naive.settling import Stay, sold, without_account

START = 1_780_272_000_000_000
QUARTER = 900_000_000
INTERVALS = 4
ENDS = [START + (i + 1) * QUARTER for i in range(INTERVALS)]
MODULUS = 100_000
UNITS = ("A", "B")
METERS = ("m1", "m2", "m3")


@st.composite
def histories(draw: st.DrawFn, *, registers: bool) -> dict[str, list[Stay]]:
    """Stays of each meter: it moves between two units, or gets another multiplier, at any microsecond or at an edge.

    What the meter showed then is on record; at an interval's edge, where it is read anyway, it is not.
    """
    stays: dict[str, list[Stay]] = {}
    for meter in METERS:
        anywhere, at_edges = st.integers(START + 1, ENDS[-1] - 1), st.sampled_from(ENDS[:-1])
        instants = sorted(draw(st.sets(anywhere | at_edges, max_size=3)))
        edges = [START - 10 * QUARTER, *instants, ENDS[-1] + 10 * QUARTER]
        of_meter: list[Stay] = []
        for start, end in itertools.pairwise(edges):
            unit, multiplier = draw(st.sampled_from(UNITS)), draw(st.sampled_from((1, 30)))
            if of_meter and (of_meter[-1].unit, of_meter[-1].multiplier) == (unit, multiplier):
                unit = UNITS[1 - UNITS.index(unit)]
            read = [counter(meter, at) if registers and at not in ENDS else None for at in (start, end)]
            of_meter.append(Stay(unit, multiplier, start, end, *read))
        stays[meter] = of_meter
    return stays


def counter(meter: str, at: int) -> int:
    """A register that runs unevenly and rolls over."""
    passed = (at - START + 20 * QUARTER) // 1_000_000
    return (passed * (3 + METERS.index(meter)) + (passed // 700) ** 2) % MODULUS


#: By unit: (meter, multiplier) → position, for all time.
Places = dict[str, dict[tuple[str, int], int]]


def views_of(
    stays: dict[str, list[Stay]], lapses: tuple[Lapse, ...] = (), known: Places | None = None
) -> dict[str, UnitView]:
    known = {} if known is None else known
    views = {}
    for number, unit in enumerate(UNITS, start=1):
        places = known.setdefault(unit, {("head", 1): 0})
        members = []
        for meter, of_meter in stays.items():
            for stay in of_meter:
                if stay.unit != unit:
                    continue
                # A member keeps its position; another multiplier is another member.
                position = places.setdefault((meter, stay.multiplier), len(places))
                members.append(
                    Membership(
                        position,
                        meter,
                        None,
                        2,
                        stay.multiplier,
                        1.0,
                        stay.start,
                        stay.end,
                        start_import_wh=stay.opening,
                        end_import_wh=stay.closing,
                        register_modulus_wh=MODULUS,
                    )
                )
        head = Membership(0, f"{unit}-head", None, 1, 1, 0.5, BEGINNING_US, END_US)
        views[unit] = UnitView(number, unit, UnitKind.AREA, (*members, head), (), lapses if unit == "A" else ())
    return views


def blocks_of(
    stays: dict[str, list[Stay]],
    energies: dict[tuple[str, int], int],
    registers: dict[tuple[str, int], int],
    ends: list[int] = ENDS,
) -> list[Block]:
    """At the end of each interval, the concentrator of the unit that has a meter then reads it."""
    blocks = []
    for n, end in enumerate(ends):
        for unit in UNITS:
            there = [m for m, its in stays.items() if any(s.unit == unit and s.start < end <= s.end for s in its)]
            meters = [*there, f"{unit}-head"]
            channels: dict[str, Values] = {
                "import_wh": np.array([energies.get((m, end), MISSING_WH) for m in there] + [0], np.int64)
            }
            if registers:
                channels["register_import_wh"] = np.array(
                    [registers.get((m, end), MISSING_WH) for m in there] + [MISSING_WH], np.int64
                )
            missing = channels["import_wh"] == MISSING_WH
            blocks.append(
                Block(
                    unit=unit,
                    gateway="g",
                    observed_at_us=end,
                    interval_s=900,
                    received_at_us=end + n,
                    meters=pa.array(meters, pa.string()),
                    sequence=np.full(len(meters), n, np.int64),
                    channels=channels,
                    quality=np.where(missing, Quality.MISSING, 0).astype(np.uint8),
                )
            )
    return blocks


def contributions_of(block: Block, views: dict[str, UnitView], zone: tzinfo = UTC) -> list[Contribution]:
    """As `streams.join` joins a record, with the other units at hand."""
    contributions, refused = joined(block, views, zone)
    assert not refused
    return contributions


def settle_in_any_order(blocks: list[Block], views: dict[str, UnitView], shuffle: random.Random) -> MemoryStore:
    store = MemoryStore()
    again = blocks + shuffle.sample(blocks, k=len(blocks) // 2)
    shuffle.shuffle(again)
    while again:
        size = shuffle.randint(1, 4)
        store.take([c for block in again[:size] for c in contributions_of(block, views)])
        del again[:size]
    return store


def assert_as_by_hand(
    store: MemoryStore,
    stays: dict[str, list[Stay]],
    energies: dict[tuple[str, int], int],
    registers: dict[tuple[str, int], int],
) -> None:
    for number, unit in enumerate(UNITS, start=1):
        for end in ENDS:
            row = store.losses[(number, end, 900)]
            wanted = sold(unit, end - QUARTER, end, stays, energies, registers, MODULUS)
            assert bool(row.computable) == (wanted is not None), (unit, end)
            if wanted is not None:
                assert row.outflow_wh == wanted, (unit, end)


@settings(deadline=None, max_examples=60)
@given(histories(registers=False), st.data(), st.randoms(use_true_random=False))
def test_energies_are_shared_at_the_instant_of_a_move(
    stays: dict[str, list[Stay]], data: st.DataObject, shuffle: random.Random
) -> None:
    energies = {(m, end): data.draw(st.integers(0, 10_000)) for m in METERS for end in ENDS}
    store = settle_in_any_order(blocks_of(stays, energies, {}), views_of(stays), shuffle)
    assert_as_by_hand(store, stays, energies, {})
    # Nothing is lost and nothing counted twice between the units.
    multiplier = 1 if all(s.multiplier == 1 for its in stays.values() for s in its) else None
    if multiplier:
        total = sum(row.outflow_wh for row in store.losses.values())
        assert total == sum(energies.values())


@settings(deadline=None, max_examples=60)
@given(histories(registers=True), st.randoms(use_true_random=False))
def test_registers_count_exactly_across_moves_replacements_and_rollover(
    stays: dict[str, list[Stay]], shuffle: random.Random
) -> None:
    """Registers at every quarter-hour and at every change: each part of an interval counts what its registers say."""
    registers = {(m, at): counter(m, at) for m in METERS for at in (START, *ENDS)}
    views = views_of(stays)
    # The registers at the very beginning may come last of all: the intervals after them are settled again.
    store = settle_in_any_order(blocks_of(stays, {}, registers, [START, *ENDS]), views, shuffle)
    for number, unit in enumerate(UNITS, start=1):
        for end in ENDS:
            wanted = sold(unit, end - QUARTER, end, stays, {}, registers, MODULUS)
            row = store.losses[(number, end, 900)]
            assert row.computable, (unit, end)
            assert row.outflow_wh == wanted, (unit, end)


@settings(deadline=None, max_examples=60)
@given(st.data(), st.randoms(use_true_random=False))
def test_what_is_taken_after_an_account_was_closed_is_told(data: st.DataObject, shuffle: random.Random) -> None:
    always = (START - 10 * QUARTER, ENDS[-1] + 10 * QUARTER)
    stays = {m: [Stay("A", multiplier, *always)] for m, multiplier in zip(METERS, (1, 30, 1), strict=True)}
    energies = {(m, end): data.draw(st.integers(0, 10_000)) for m in METERS for end in ENDS}
    closed = data.draw(st.dictionaries(st.sampled_from(METERS), st.integers(START - 5, ENDS[-1] + 5)))
    lapses = tuple(Lapse(1 + METERS.index(m), at, END_US) for m, at in closed.items())
    store = settle_in_any_order(blocks_of(stays, energies, {}), views_of(stays, lapses), shuffle)
    for end in ENDS:
        row = store.losses[(1, end, 900)]
        assert row.uncontracted_wh == without_account(end - QUARTER, end, stays, energies, closed)
        assert row.outflow_wh == sold("A", end - QUARTER, end, stays, energies, {}, MODULUS)


@settings(deadline=None, max_examples=60)
@given(st.lists(histories(registers=True), min_size=2, max_size=4), st.booleans(), st.randoms(use_true_random=False))
def test_any_sequence_of_beliefs_ends_in_what_is_believed_last(
    beliefs: list[dict[str, list[Stay]]], by_registers: bool, shuffle: random.Random
) -> None:
    """Readings come while one thing after the other is believed of the grid; each change settles again."""
    ends = [START, *ENDS] if by_registers else ENDS
    registers = {(m, at): counter(m, at) for m in METERS for at in ends} if by_registers else {}
    energies = {} if by_registers else {(m, end): shuffle.randint(0, 10_000) for m in METERS for end in ENDS}
    # What concentrators read doesn't follow from beliefs: they read as in the last, which is the truth.
    blocks = blocks_of(beliefs[-1], energies, registers, ends)
    shuffle.shuffle(blocks)
    known: Places = {}
    store = MemoryStore()
    quarantined: list[Block] = []
    views: dict[str, UnitView] = {}
    for turn, stays in enumerate(beliefs):
        views = views_of(stays, known=known)
        settle_again(store, views, known)
        # A block with a meter that is no member is tried again, whole, when more is believed.
        waiting, quarantined = quarantined, []
        share = len(blocks) // (len(beliefs) - turn)
        for block in waiting + blocks[:share]:
            contributions, refused = joined(block, views)
            quarantined += [block] if refused else []
            store.take(contributions)
        del blocks[:share]
    settle_again(store, views, known)
    assert quarantined == []
    for number, unit in enumerate(UNITS, start=1):
        for end in ENDS:
            row = store.losses[(number, end, 900)]
            assert row.computable, (unit, end)
            assert row.outflow_wh == sold(unit, end - QUARTER, end, beliefs[-1], energies, registers, MODULUS)


def joined(block: Block, views: dict[str, UnitView], zone: tzinfo = UTC) -> tuple[list[Contribution], bool]:
    own, refused = from_block(block, views[block.unit], "telemetry.area", b"")
    absent, left = absent_parts(own), leaving(own)
    elsewhere = [views[unit] for unit in UNITS if unit != block.unit]
    others = [
        said
        for view in elsewhere
        for said in (for_other_unit(own, absent, view), opening_elsewhere(own, left, view, zone))
    ]
    return [own, *(c for c in others if c is not None)], bool(refused)


def settle_again(store: MemoryStore, views: dict[str, UnitView], known: Places) -> None:
    """As `streams.processor.Processor.settle_again`, for both units and all intervals."""
    numbers = {unit: number for number, unit in enumerate(UNITS, start=1)}
    for view in views.values():
        homes = {
            meter: [
                (numbers[u], position, multiplier)
                for u, places in known.items()
                for (m, multiplier), position in places.items()
                if m == meter
            ]
            for meter in METERS
        }
        intervals = sorted({key[1:] for key in store.rows})
        for interval in intervals:
            key = (view.unit_id, *interval)
            copies = adopted(view, key, homes, store.rows, interval[0])
            store.take([*copies, look_again(view, *interval, interval[0], Cause.MODEL)])


def stand_in(import_wh: int, export_wh: int, sigma_wh: int) -> Block:
    """Of m1 in A over the first interval."""
    return Block(
        unit="A",
        gateway="g",
        observed_at_us=ENDS[0],
        interval_s=900,
        received_at_us=ENDS[0] + 1,
        meters=pa.array(["m1"], pa.string()),
        sequence=np.ones(1, np.int64),
        channels={
            "import_wh": np.array([import_wh]),
            "export_wh": np.array([export_wh]),
            "sigma_wh": np.array([sigma_wh]),
        },
        quality=np.array([Quality.SUBSTITUTED], np.uint8),
    )


@settings(deadline=None)
@given(st.integers(0, 10_000_000), st.lists(st.integers(1, 120), min_size=2, max_size=6))
def test_a_stand_in_comes_to_the_same_energy_at_any_multiplier(energy_wh: int, multipliers: list[int]) -> None:
    known: Places = {}
    store = MemoryStore()
    for turn, multiplier in enumerate(multipliers):
        views = views_of({"m1": [Stay("A", multiplier, START - QUARTER, ENDS[-1])]}, known=known)
        if turn == 0:
            store.take(contributions_of(stand_in(round(energy_wh / multiplier), 0, 7), views))
        settle_again(store, views, known)
        # Each quotient was rounded to a watt-hour at the meter.
        found = store.losses[1, ENDS[0], 900].outflow_wh
        assert abs(found - energy_wh) <= sum(multipliers[: turn + 1]) / 2


@pytest.mark.parametrize("unit", UNITS)
def test_a_stand_in_follows_its_meter_to_another_multiplier(unit: str) -> None:
    known: Places = {}
    store = MemoryStore()
    at = {multiplier: Stay("A", multiplier, START - QUARTER, ENDS[-1]) for multiplier in (60, 50)}
    views = views_of({"m1": [at[60]]}, known=known)
    store.take(contributions_of(stand_in(100, 50, 7), views))
    views = views_of({"m1": [replace(at[50], unit=unit)]}, known=known)
    settle_again(store, views, known)
    number = 1 + UNITS.index(unit)
    row, place = store.rows[number, ENDS[0], 900], known[unit]["m1", 50]
    cell = {name: int(row.channels[name][place]) for name in ("import_wh", "export_wh", "sigma_wh")}
    assert cell == {"import_wh": 120, "export_wh": 60, "sigma_wh": 9}
    before = {key: row.version for key, row in store.rows.items()}
    settle_again(store, views, known)
    assert {key: row.version for key, row in store.rows.items()} == before


def test_a_stand_in_is_split_where_the_multiplier_changes() -> None:
    half = START + QUARTER // 2
    stays = [Stay("A", 60, START - QUARTER, half), Stay("A", 50, half, ENDS[-1])]
    store = MemoryStore()
    store.take(contributions_of(stand_in(120, 0, 7), views_of({"m1": stays})))
    assert store.losses[1, ENDS[0], 900].outflow_wh == 6_000
    # A register shows the same at any multiplier, and so does what a gateway has put in its place.
    block = stand_in(120, 0, 7)
    energies = {name: block.channels[name] for name in ("import_wh", "export_wh")}
    store = MemoryStore()
    store.take(contributions_of(replace(block, channels=energies), views_of({"m1": stays})))
    assert store.losses[1, ENDS[0], 900].outflow_wh == 60 * 60 + 60 * 50


def test_days_of_25_and_23_hours_follow_one_another() -> None:
    """Frozen registers at local midnights: the day on which the clock is put back, one between, and a short one."""
    always = (START - 10**13, ENDS[-1] + 10**13)
    views = views_of({"m1": [Stay("A", 30, *always)]})
    hour = 3_600_000_000
    store = MemoryStore()
    days = [(0, 24, 100), (25, 25, 350), (49, 24, 351), (72, 23, 1_000)]
    for after_hours, length_h, register in days[::-1]:
        end = START + after_hours * hour
        numbers = {"register_import_wh": np.array([register, 0], np.int64)}
        meters = pa.array(["m1", "A-head"], pa.string())
        missing = np.full(2, Quality.MISSING, np.uint8)
        block = Block("A", "g", end, length_h * 3_600, end + 1, meters, np.ones(2, np.int64), numbers, missing)
        store.take(contributions_of(block, views))
    sold_wh = [store.losses[(1, START + h * hour, length * 3_600)].outflow_wh for h, length, _ in days]
    assert sold_wh == [0, 250 * 30, 1 * 30, 649 * 30]


def test_a_meter_that_moves_at_an_edge_opens_with_what_the_other_unit_read() -> None:
    stays = {"m1": [Stay("A", 1, START - QUARTER, ENDS[0]), Stay("B", 1, ENDS[0], ENDS[-1] + QUARTER)]}
    registers = {("m1", at): counter("m1", at) for at in (START, *ENDS)}
    views = views_of(stays)
    for blocks in itertools.permutations(blocks_of(stays, {}, registers, ENDS[:2])):
        store = MemoryStore()
        for block in blocks:
            store.take(contributions_of(block, views))
        row = store.losses[(2, ENDS[1], 900)]
        assert row.computable
        assert row.outflow_wh == registers["m1", ENDS[1]] - registers["m1", ENDS[0]]


@pytest.mark.parametrize(
    ("zone", "moved_on", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 3, 30), 24),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Asia/Shanghai", date(2026, 3, 29), 24),
    ],
)
def test_a_meter_that_moves_at_a_local_midnight_opens_the_day_that_begins_then(
    zone: str, moved_on: date, hours: int
) -> None:
    there = ZoneInfo(zone)
    ends = [midnight_us(moved_on + timedelta(days=n), there) for n in (-1, 0, 1)]
    assert ends[2] - ends[1] == hours * 3_600_000_000
    views = views_of({"m1": [Stay("A", 1, ends[0], ends[1]), Stay("B", 1, ends[1], ends[2] + QUARTER)]})
    days = [("A", ends[1], ends[1] - ends[0], 100), ("B", ends[2], ends[2] - ends[1], 350)]
    for order in itertools.permutations(days):
        store = MemoryStore()
        for unit, end, length_us, register in order:
            numbers = {"register_import_wh": np.array([register, 0], np.int64)}
            meters = pa.array(["m1", f"{unit}-head"], pa.string())
            missing = np.full(2, Quality.MISSING, np.uint8)
            length_s = length_us // 1_000_000
            block = Block(unit, "g", end, length_s, end + 1, meters, np.ones(2, np.int64), numbers, missing)
            store.take(contributions_of(block, views, there))
        assert store.losses[(2, ends[2], hours * 3_600)].outflow_wh == 350 - 100
        assert {key for key in store.rows if key[0] == 2} == {(2, ends[2], hours * 3_600)}
