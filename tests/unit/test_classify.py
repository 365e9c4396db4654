"""Classes and reasons of results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from grid.block import Block
from grid.limits import Limits
from grid.loss_class import LossClass, LossReason, reason_names
from grid.loss_rules import LossRules
from grid.memberships import Membership
from grid.model import Role, UnitKind
from grid.quality import Quality
from grid.roster import BEGINNING_US, END_US, UnitView
from grid.rows import BalanceRows
from grid.thresholds import Threshold, Thresholds
from streams.steps.contribution import from_block
from streams.steps.settle import settle

AT_US = 1_780_272_900_000_000


def settled(
    energies: dict[str, int],
    *,
    export: dict[str, int] | None = None,
    quality: dict[str, Quality] | None = None,
    sigma: dict[str, int] | None = None,
    rules: LossRules | None = None,
    interval_s: int = 900,
    roles: dict[str, int] | None = None,
    medium_voltage_v: int | None = None,
) -> BalanceRows:
    """The result of an area with a head and customers a, b, c."""
    roles = roles or {"head": int(Role.GATEWAY), "a": 2, "b": 2, "c": 2}
    members = tuple(
        Membership(n, meter, None, role, 1, 0.5, BEGINNING_US, END_US) for n, (meter, role) in enumerate(roles.items())
    )
    names = list(energies)
    channels: dict[str, Any] = {
        "import_wh": np.array([energies[n] for n in names], np.int64),
        "export_wh": np.array([(export or {}).get(n, 0) for n in names], np.int64),
    }
    if sigma:
        channels["sigma_wh"] = np.array([sigma.get(n, 0) for n in names], np.int64)
    block = Block(
        unit="A",
        gateway="g",
        observed_at_us=AT_US,
        interval_s=interval_s,
        received_at_us=AT_US + 1,
        meters=pa.array(names, pa.string()),
        sequence=np.ones(len(names), np.int64),
        channels=channels,
        quality=np.array([int((quality or {}).get(n, Quality.VALID)) for n in names], np.uint8),
    )
    view = UnitView(1, "A", UnitKind.AREA, members, (), medium_voltage_v=medium_voltage_v)
    return settle([from_block(block, view, "", b"")[0]], {}, Limits(), rules).balances


WHOLE = {"head": 10_000, "a": 3_000, "b": 3_000, "c": 3_700}


def told(result: BalanceRows) -> tuple[str, set[str]]:
    return LossClass(int(result.loss_class[0])).name.lower(), set(reason_names(int(result.reasons[0])))


def test_three_per_cent_are_normal() -> None:
    assert told(settled(WHOLE)) == ("normal", {"no_technical"})


@pytest.mark.parametrize(
    ("sold", "name", "reasons"),
    [
        (5_000, "high", {"suspected_ct"}),  # half of what went in: the gateway's ratio is recorded twice as great
        (8_000, "high", set()),
        (8_990, "normal", set()),  # 10.1 %, but not with its whole band
        (10_010, "normal", set()),
        (10_500, "negative", {"suspected_relation"}),
        (15_000, "negative", {"suspected_ct"}),  # the gateway counts two phases of three
    ],
)
def test_a_class_needs_the_whole_band_beyond_its_limit(sold: int, name: str, reasons: set[str]) -> None:
    result = settled({"head": 10_000, "a": sold, "b": 0, "c": 0})
    assert told(result) == (name, reasons | {"no_technical"})


def test_what_is_missing_is_said() -> None:
    result = settled({"head": 10_000, "a": 3_000, "b": 3_000})
    assert told(result) == ("not_computable", {"missing_members", "no_technical"})
    assert not result.computable[0]
    assert told(settled({"a": 1, "b": 1, "c": 1}))[1] >= {"missing_gateway", "missing_members"}
    no_head = settled({"a": 1, "b": 1, "c": 1}, roles={"a": 2, "b": 2, "c": 2})
    assert told(no_head) == ("not_computable", {"no_gateway", "no_technical", "low_inflow"} - {"low_inflow"})


def test_an_estimate_makes_a_loss_computable_with_a_wider_band() -> None:
    exact = settled(WHOLE)
    guessed = settled(WHOLE, quality={"c": Quality.ESTIMATED}, sigma={"c": 900})
    assert bool(guessed.computable[0])
    assert float(guessed.coverage[0]) == 0.75
    assert int(guessed.estimated_wh[0]) == 3_700
    assert guessed.sigma_wh[0] == pytest.approx((exact.sigma_wh[0] ** 2 + 900**2 - 1 / 6) ** 0.5, rel=1e-3)
    assert told(guessed) == ("not_computable", {"estimated", "no_technical", "wide_band"})


def test_substituted_and_suspect_readings_are_said() -> None:
    result = settled(WHOLE, quality={"head": Quality.SUBSTITUTED, "a": Quality.SUSPECT})
    assert told(result)[1] == {"substituted", "suspect", "no_technical"}
    assert int(result.estimated_wh[0]) == 10_000


def test_generation_and_back_feed_are_said() -> None:
    result = settled({"head": 100, "a": 300, "b": 0, "c": 0}, export={"head": 5_000, "b": 5_300})
    assert told(result)[1] >= {"generation", "back_feed"}
    assert int(result.generation_wh[0]) == 5_300


def test_too_little_inflow_has_no_rate() -> None:
    result = settled({"head": 20, "a": 3, "b": 3, "c": 3})
    assert told(result) == ("not_computable", {"low_inflow", "no_technical"})
    assert bool(result.computable[0])


def test_limits_are_those_of_the_kind_and_the_time() -> None:
    begin_us = AT_US - 900_000_000
    later = Threshold(UnitKind.AREA, -0.2, 0.4, 0.0, begin_us + 1)
    sold = {"head": 10_000, "a": 7_000, "b": 0, "c": 0}
    assert told(settled(sold, rules=LossRules(Thresholds((later,)))))[0] == "high"
    now = Threshold(UnitKind.AREA, -0.2, 0.4, 0.0, begin_us)
    assert told(settled(sold, rules=LossRules(Thresholds((now,)))))[0] == "normal"
    of_feeders = Threshold(UnitKind.FEEDER, -0.2, 0.4, 0.0, begin_us)
    assert told(settled(sold, rules=LossRules(Thresholds((of_feeders,)))))[0] == "high"


@pytest.mark.parametrize(("medium_voltage_v", "name"), [(10_000, "normal"), (20_000, "high"), (None, "high")])
def test_limits_of_a_voltage_are_for_its_units_alone(medium_voltage_v: int | None, name: str) -> None:
    at_ten = Threshold(UnitKind.AREA, -0.2, 0.4, 0.0, AT_US - 900_000_000, 10_000)
    sold = {"head": 10_000, "a": 7_000, "b": 0, "c": 0}
    rules = LossRules(Thresholds((at_ten,)))
    assert told(settled(sold, rules=rules, medium_voltage_v=medium_voltage_v))[0] == name


def test_a_day_is_judged_by_what_is_valid_when_it_begins() -> None:
    from_midnight = Threshold(UnitKind.AREA, -0.2, 0.4, 0.0, AT_US)
    sold = {"head": 10_000_000, "a": 7_000_000, "b": 0, "c": 0}
    assert told(settled(sold, rules=LossRules(Thresholds((from_midnight,))), interval_s=86_400))[0] == "high"


def test_a_day_from_registers_is_said() -> None:
    assert "registers" in told(settled(WHOLE, interval_s=86_400))[1]


def test_clocks_widen_the_ends_and_nothing_else() -> None:
    sure, unsure = (settled(WHOLE, rules=LossRules(clock_sigma_s=s)) for s in (0.0, 60.0))
    assert sure.ends_sigma_wh[0] == pytest.approx((4 / 6) ** 0.5)
    assert unsure.ends_sigma_wh[0] > 100 * sure.ends_sigma_wh[0]
    assert unsure.systematic_sigma_wh[0] == sure.systematic_sigma_wh[0]


def test_every_reason_has_a_name_of_its_own() -> None:
    names = reason_names(sum(LossReason))
    assert len(names) == len(set(names)) == len(LossReason)
