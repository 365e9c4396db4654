from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from grid.model import Role, UnitKind
from tests.unit.twin_grid import full_grid
from twin.city_codes import UnknownCityError, available_codes, parse_city, read_city
from twin.grid_model import build_grid_model
from twin.network import GRIDS, Network
from twin.physics import Physics
from twin.simbench import NETWORKS, PROFILE_ROWS, data_folder, read_profiles

city = cache(read_city)


def closes(network: Network) -> bool:
    """Whether the energy of every area and feeder closes when everything runs at a fifth of its rating."""
    sign = np.array([-0.2 if p.generation else 0.2 for p in network.points])
    active = np.array([[p.active_w for p in network.points]]) * sign
    reactive = np.array([[p.reactive_var for p in network.points]]) * sign
    flows = Physics(network).solve(active, reactive)
    by_area = np.zeros(len(network.areas))
    by_feeder = np.zeros(len(network.feeders))
    for i, point in enumerate(network.points):
        if point.area >= 0:
            by_area[point.area] += active[0, i]
        elif point.feeder >= 0:
            by_feeder[point.feeder] += active[0, i]
    for i, area in enumerate(network.areas):
        by_feeder[area.feeder] += flows.area_w[0, i] + flows.area_transformer_loss_w[0, i]
    scale = np.abs(active).sum()
    return bool(
        np.allclose(by_area + flows.area_line_loss_w[0], flows.area_w[0], rtol=0, atol=1e-6 * scale)
        and np.allclose(by_feeder + flows.feeder_line_loss_w[0], flows.feeder_w[0], rtol=0, atol=1e-6 * scale)
    )


def test_every_code_has_a_meaning() -> None:
    cities = [parse_city(code) for code in available_codes()]
    assert len(cities) == len(set(cities)) == 1 + 3 + 3 + 3 * (6 + 4 + 4 * 4)
    assert {c.scenario for c in cities} == {0, 1, 2}
    assert all(c.folder.name == NETWORKS[c.scenario] for c in cities)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("city", "there are demonstration, 0, 1, 2,"),
        ("3", "no city '3'"),
        ("1-LV-rural4--0-sw", "no city"),
        ("1-LV-rural1--3-sw", "no city"),
        ("1-MV-rural-all-0-sw", "no city"),
        ("1-MV-rural--0-no_sw", "without switches aren't available"),
        ("1-HVMV-mixed-all-0-sw", "110 kV and above"),
        ("1-EHVHVMVLV-mixed-all-0-sw", "110 kV and above"),
        ("1-MVLV-comm-1.101-0-sw", "MV4.101 feeds no low-voltage grid LV1.101; it feeds 1.401"),
    ],
)
def test_an_unknown_code_is_told_what_there_is(code: str, why: str) -> None:
    with pytest.raises(UnknownCityError, match=why):
        read_city(code)


def test_scenario_0_is_the_demonstration_grid() -> None:
    assert parse_city("demonstration").grids == parse_city("0").grids == parse_city(NETWORKS[0]).grids == GRIDS
    assert city("0").points == full_grid().network.points
    assert build_grid_model(city("0")) == full_grid().model


@pytest.mark.parametrize(
    ("code", "feeders", "areas", "consumers", "generators", "dedicated", "meters"),
    [
        ("0", 36, 412, 32_511, 2_646, 70, 35_675),
        ("1", 39, 412, 35_633, 3_788 + 1_793, 80, 41_745),
        ("2", 40, 412, 41_415, 4_920 + 3_656, 93, 50_536),
        ("1-LV-rural1--0-sw", 1, 1, 13, 4, 0, 19),
        ("1-LV-semiurb5--2-sw", 1, 1, 129, 30, 0, 161),
        ("1-MV-rural--0-sw", 8, 0, 0, 0, 198, 206),
        ("1-MVLV-comm-3.403-1-sw", 10, 1, 145, 39, 237, 432),
    ],
)
def test_counts(
    code: str, feeders: int, areas: int, consumers: int, generators: int, dedicated: int, meters: int
) -> None:
    network = city(code)
    model = build_grid_model(network)
    low = [p.generation for p in network.points if p.area >= 0]
    found = (len(model.feeders), len(network.areas), low.count(False), low.count(True))
    assert found == (feeders, areas, consumers, generators)
    assert sum(a.kind is UnitKind.DEDICATED for a in model.areas) == dedicated
    assert len(model.meters) == meters


@pytest.mark.parametrize("code", ["1", "1-LV-rural1--0-sw", "1-MVLV-comm-3.403-1-sw"])
def test_the_energy_of_a_city_closes(code: str) -> None:
    assert closes(city(code))


def test_a_single_low_voltage_grid_has_a_busbar_and_a_feeder_of_its_own() -> None:
    network = city("1-LV-rural1--0-sw")
    ((node, setpoint),) = network.sources
    assert (network.nodes[node], setpoint) == ("MV1.101 LV1.101 busbar", 1.025)
    (feeder,) = network.feeders
    assert (feeder.code, feeder.grid) == ("MV1.101_LV1.101", "MV1.101")
    assert network.lines.start[feeder.head] == node
    assert network.lines.end[feeder.head] == network.areas[0].high_node
    (head,) = network.switched.heads
    assert head.breaker == "MV1.101-LV1.101-CB"
    full = full_grid().network
    own = [p for p in full.points if p.area >= 0 and full.areas[p.area].code == "LV1.101"]
    assert [p.code for p in own] == [p.code for p in network.points]


def test_equivalents_are_dedicated_customers() -> None:
    network = city("1-MV-rural--0-sw")
    model = build_grid_model(network)
    assert {m.role for m in model.meters} == {Role.GATEWAY, Role.GATEWAY | Role.CUSTOMER}
    equivalents = [p for p in network.points if "lv_" in p.profile]
    assert sorted({p.profile for p in equivalents if not p.generation}) == [
        "lv_rural1", "lv_rural2", "lv_rural3", "lv_semiurb4",
    ]  # fmt: skip
    assert {p.profile for p in equivalents if p.generation} == {f"RES_{p.profile}" for p in equivalents[:90]}
    assert {a.tariff_class for a in model.accounts} >= {"wholesale", "generation"}
    # What an equivalent stands for is left out where it is in full.
    part = city("1-MVLV-comm-3.403-1-sw")
    assert [a.code for a in part.areas] == ["LV3.403"]
    left_out = {p.code for p in city("1-MV-comm--1-sw").points} - {p.code for p in part.points}
    assert len(left_out) == 3


def test_profiles_of_equivalents_are_told_apart() -> None:
    names = ["lv_rural1", "RES_lv_rural1", "Storage_lv_rural1", "Storage_PV8_L1-A", "PV8"]
    profiles = read_profiles(data_folder(NETWORKS[1]), names)
    load, generation, storage, _, _ = profiles.active.T
    assert profiles.active.shape == (PROFILE_ROWS, 5)
    assert generation[:16].max() == 0 < load[:16].min()
    assert (profiles.reactive != 0).any(axis=0).tolist() == [True, False, False, False, False]
    assert not np.array_equal(generation, storage)


def test_storages_feed_in_and_new_devices_have_meters_of_their_own() -> None:
    points = city("1").points
    storages = [p for p in points if "-Storage-" in p.code]
    assert all(p.generation and p.active_w > 0 for p in storages)
    profiles = read_profiles(data_folder(NETWORKS[1]), sorted({p.profile for p in storages}))
    assert profiles.active.min() > -1e-4
    classes = {a.tariff_class for a in build_grid_model(city("1")).accounts}
    assert {"charging", "heating", "household"} <= classes


def test_lines_that_leave_a_busbar_without_switches_get_a_breaker() -> None:
    network = city("2")
    added = [f.code for f in network.feeders if "Feeder10" in f.code and "MV3" not in f.code]
    assert added == ["MV2.101_Feeder10", "MV2.101_Feeder10-2", "MV4.101_Feeder10", "MV4.101_Feeder10-2"]
    breakers = {h.feeder: h.breaker for h in network.switched.heads}
    assert breakers["MV2.101_Feeder10-2"] == "MV2.101-Line-118-CB"
    assert all(network.sections[breaker or ""].at_start for breaker in breakers.values())


def test_areas_can_be_chosen_where_there_are_some() -> None:
    part = read_city("1-MVLV-rural-all-0-sw", 10)
    assert [a.code for a in part.areas] == [a.code for a in full_grid().network.areas[:10]]
    with pytest.raises(ValueError, match="no transformer areas"):
        read_city("1-MV-comm--1-sw", 1)
