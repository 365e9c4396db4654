"""The side of its transformer at which a customer is metered, and ties between neighbours."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from grid.block import Block
from grid.channels import CHANNELS
from grid.loss_class import LossClass
from grid.memberships import Membership
from grid.model import MeteredSide, Role, UnitKind
from grid.roster import BEGINNING_US, END_US, Parentage, Plate, UnitView
from kernels.transformer_loss import transformer_loss_wh
from streams.steps.contribution import Contribution, from_block, from_energies
from streams.steps.moves import for_tied_unit, tie_meters
from tests.memory import MemoryStore

NOON_US = 1_780_315_200_000_000
HOUR_S = 3_600


def loss(passed_wh: int, interval_s: int, rating_va: float, no_load_w: float, load_w: float, factor: float) -> int:
    figures = (np.array([x]) for x in (rating_va, no_load_w, load_w, factor))
    return int(transformer_loss_wh(np.array([passed_wh]), np.array([interval_s]), *figures)[0])


@pytest.mark.parametrize(
    ("case", "wh"),
    [
        ((0, HOUR_S, 315e3, 480.0, 3_650.0, 1.0), 480),
        ((315_000, HOUR_S, 315e3, 480.0, 3_650.0, 1.0), 480 + 3_650),
        ((50_000, HOUR_S, 315e3, 480.0, 3_650.0, 1.0), 572),  # 480 + 3,650 × 0.02520
        ((40_000, HOUR_S, 315e3, 480.0, 3_650.0, 0.8), 572),
        ((85_500, HOUR_S, 100e3, 0.0, 10_000.0, float("nan")), 8_100),  # at 0.95
        ((85_500, HOUR_S, 100e3, 0.0, 10_000.0, 0.0), 8_100),
        ((0, 86_400, 315e3, 480.0, 3_650.0, 1.0), 11_520),
        ((0, 900, 1e3, 2.0, 0.0, 1.0), 0),  # a half to the even neighbour
        ((0, 900, 1e3, 6.0, 0.0, 1.0), 2),
    ],
)
def test_a_transformer_loses_by_time_and_by_the_square_of_its_load(case: Any, wh: int) -> None:
    assert loss(*case) == wh


@pytest.mark.parametrize("case", [(1, 0, 1e3, 1.0, 1.0, 1.0), (1, 900, 0.0, 1.0, 1.0, 1.0)])
def test_a_transformer_without_time_or_rating_is_refused(case: Any) -> None:
    with pytest.raises(ValueError, match="positive"):
        loss(*case)


def test_shapes_must_agree() -> None:
    one, two = np.ones(1), np.ones(2)
    with pytest.raises(ValueError, match="shapes"):
        transformer_loss_wh(np.ones(1, np.int64), np.ones(1, np.int64), one, one, one, two)


PLATE = Plate(MeteredSide.LOW, 315e3, 480.0, 3_650.0)
CUSTOMER = UnitView(
    2,
    "D",
    UnitKind.DEDICATED,
    (Membership(0, "D-meter", None, int(Role.GATEWAY | Role.CUSTOMER), 10, 0.5, BEGINNING_US, END_US),),
    (Parentage(1, "F", BEGINNING_US, END_US), Parentage(3, "10 kV", BEGINNING_US, END_US, UnitKind.VOLTAGE_LEVEL)),
    plates=(PLATE,),
)
FEEDER = UnitView(
    1,
    "F",
    UnitKind.FEEDER,
    (
        Membership(0, "F-head", None, int(Role.GATEWAY), 1, 0.2, BEGINNING_US, END_US),
        Membership(1, None, 2, int(Role.UNIT), 1, 0.5, BEGINNING_US, END_US),
    ),
    (),
)


def said(view: UnitView, readings: dict[str, tuple[int, int]], factor: int | None = None) -> Contribution:
    columns = np.array([*readings.values()], np.int64).T
    channels: dict[str, Any] = {"import_wh": columns[0], "export_wh": columns[1]}
    if factor is not None:
        channels["power_factor_permille"] = np.full(len(readings), factor, CHANNELS["power_factor_permille"].dtype)
    block = Block(
        unit=view.unit,
        gateway="g",
        observed_at_us=NOON_US,
        interval_s=HOUR_S,
        received_at_us=NOON_US + 1,
        meters=pa.array(list(readings), pa.string()),
        sequence=np.ones(len(readings), np.int64),
        channels=channels,
        quality=np.zeros(len(readings), np.uint8),
    )
    return from_block(block, view, "", b"")[0]


def play(customer: UnitView, factor: int | None = None) -> tuple[Any, Any, Any]:
    """The customer's and the feeder's figures, and what the customer told by parent."""
    store = MemoryStore()
    told = {e.parent: e for e in store.take([said(customer, {"D-meter": (5_000, 0)}, factor)]).energies}
    store.take([said(FEEDER, {"F-head": (52_000, 0)}), *from_energies(told["F"], FEEDER)])
    return store.losses[2, NOON_US, HOUR_S], store.losses[1, NOON_US, HOUR_S], told


def test_a_customer_metered_at_low_voltage_takes_what_its_transformer_loses_too() -> None:
    customer, feeder, told = play(CUSTOMER, factor=1_000)
    assert (customer.inflow_wh, customer.outflow_wh, customer.loss_wh, customer.technical_wh) == (
        50_572, 50_000, 572, 572,
    )  # fmt: skip
    assert customer.loss_class == LossClass.NORMAL
    assert customer.sigma_wh == pytest.approx(0.05 * 572)
    assert (int(told["F"].taken_wh[0]), int(told["F"].loss_wh[0])) == (50_572, 572)
    assert (int(told["10 kV"].loss_wh[0]), int(told["10 kV"].technical_milli_wh[0])) == (572, 572_000)
    assert (feeder.loss_wh, feeder.members_loss_wh) == (52_000 - 50_572, 572)
    # The error of the calculated loss moves loss between the two, and is none of the sum's.
    alone = play(replace(CUSTOMER, plates=()))[1]
    assert feeder.sigma_wh > alone.sigma_wh
    assert feeder.total_sigma_wh == pytest.approx(alone.total_sigma_wh)


@pytest.mark.parametrize("factor", [None, 0, 1, 50])
def test_without_a_power_factor_that_can_be_it_is_guessed_and_less_sure(factor: int | None) -> None:
    customer = play(CUSTOMER, factor)[0]
    assert customer.loss_wh == loss(50_000, HOUR_S, 315e3, 480.0, 3_650.0, 0.95) == 582
    assert customer.sigma_wh == pytest.approx(0.1 * 582)


@pytest.mark.parametrize(
    "plates",
    [
        (),
        (replace(PLATE, metered_side=MeteredSide.HIGH),),
        (replace(PLATE, rating_va=0.0),),
        (replace(PLATE, valid_from_us=NOON_US),),
    ],
)
def test_nothing_is_added_at_high_voltage_or_without_a_plate(plates: tuple[Plate, ...]) -> None:
    customer, feeder, _ = play(replace(CUSTOMER, plates=plates))
    assert (customer.inflow_wh, customer.loss_wh) == (50_000, 0)
    assert feeder.loss_wh == 2_000


def test_a_plate_holds_for_intervals_that_begin_in_its_time() -> None:
    view = replace(
        CUSTOMER, plates=(replace(PLATE, valid_to_us=NOON_US), replace(PLATE, rating_va=1.0, valid_from_us=NOON_US))
    )
    plates = [view.plate(NOON_US + after_s * 1_000_000, 900) for after_s in (0, 899, 900)]
    assert [p.rating_va for p in plates if p is not None] == [315e3, 315e3, 1.0]


def line(unit_id: int, unit: str, tie: Role) -> UnitView:
    return UnitView(
        unit_id,
        unit,
        UnitKind.FEEDER,
        (
            Membership(0, f"{unit}-head", None, int(Role.GATEWAY), 1, 0.2, BEGINNING_US, END_US),
            Membership(1, f"{unit}-customer", None, int(Role.CUSTOMER), 1, 1.0, BEGINNING_US, END_US),
            Membership(2, "tie", None, int(tie), 10, 0.2, BEGINNING_US, END_US),
        ),
        (Parentage(9, "busbar", BEGINNING_US, END_US),),
    )


def test_a_tie_moves_energy_between_lines_and_not_to_the_busbar() -> None:
    one, other = line(1, "F1", Role.TIE_OUT), line(2, "F2", Role.TIE_IN)
    read = said(one, {"F1-head": (9_000, 0), "F1-customer": (5_800, 0), "tie": (300, 10)})
    assert tie_meters(read) == ["tie"]
    there = for_tied_unit(read, ["tie"], other)
    assert there is not None
    store = MemoryStore()
    told = store.take([read, there, said(other, {"F2-head": (4_000, 0), "F2-customer": (6_700, 0)})]).energies
    first, second = store.losses[1, NOON_US, HOUR_S], store.losses[2, NOON_US, HOUR_S]
    assert (first.inflow_wh, first.outflow_wh, first.loss_wh) == (9_100, 8_800, 300)
    assert (second.inflow_wh, second.outflow_wh, second.loss_wh) == (7_000, 6_800, 200)
    assert first.computable
    assert second.computable
    assert (first.generation_wh, second.generation_wh) == (0, 0)
    taken = {int(c): int(t) for e in told for c, t in zip(e.child_id, e.taken_wh, strict=True)}
    assert taken == {1: 9_000, 2: 4_000}


def test_a_missing_tie_leaves_no_loss() -> None:
    one = line(1, "F1", Role.TIE_OUT)
    store = MemoryStore()
    store.take([said(one, {"F1-head": (9_000, 0), "F1-customer": (5_800, 0)})])
    assert not store.losses[1, NOON_US, HOUR_S].computable
