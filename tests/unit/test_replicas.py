from __future__ import annotations

from dataclasses import fields, replace

import pytest

from grid.model import GridModel, Organisation, OrganisationKind
from tests.unit.twin_grid import one_feeder
from twin.grid_model import build_grid_model, head_meter, headend, master_meter
from twin.phases import assign_phases
from twin.replicas import ReplicaSpec, copies_of, copy_code, copy_model, copy_network, replicate


def without_names(model: GridModel) -> GridModel:
    """Names set to codes, and without the region, which each copy has for itself."""
    return replace(
        model,
        substations=tuple(replace(s, name=s.code) for s in model.substations),
        feeders=tuple(replace(f, name=f.code) for f in model.feeders),
        areas=tuple(replace(a, name=a.code) for a in model.areas),
        greater=(),
        parents=(),
    )


def test_the_first_copy_is_the_grid_itself() -> None:
    network, model = one_feeder().network, one_feeder().model
    assert copy_model(model, 0) is model
    assert copy_network(network, 0) is network
    assert copy_code("headend-MV1.101", 0) == "headend-MV1.101"
    assert ReplicaSpec(3, 42).seed_of(0) == 42


def test_a_copy_is_the_model_of_the_copied_network() -> None:
    network = one_feeder().network
    phases = assign_phases(network, 1)
    copied = copy_model(build_grid_model(network, phases), 7)
    assert without_names(copied) == without_names(build_grid_model(copy_network(network, 7), phases))
    assert [g.code for g in copied.greater] == [
        "C7-city", "C7-MV1.101 20 kV", "C7-MV1.101 0.4 kV", "C7-MV1.101-busbar",
    ]  # fmt: skip
    assert {p.parent for p in copied.parents} == {g.code for g in copied.greater}
    assert {f.name for f in copied.feeders} == {"MV1.101 Feeder1 [C7]"}


def test_codes_of_copies_are_made_like_those_of_the_grid() -> None:
    assert copy_code(headend("MV1.101"), 3) == headend(copy_code("MV1.101", 3)) == "headend-C3-MV1.101"
    assert copy_code(master_meter("LV1.101"), 3) == master_meter(copy_code("LV1.101", 3))
    assert copy_code(head_meter("MV1.101_Feeder1"), 12) == "C12-MV1.101_Feeder1-head"
    assert copy_code("account-LV1.101-Load-1", 3) == "account-C3-LV1.101-Load-1"


def test_ties_and_sections_of_a_copy_are_its_own() -> None:
    network = copy_network(one_feeder().network, 2)
    switches = {s.code for s in network.switched.switches}
    assert {t.switch for t in network.ties} <= switches
    assert set(network.sections) == {s.switch for s in network.sections.values()} <= switches
    assert all(code.startswith("C2-") for code in switches)


def test_all_copies_are_one_model() -> None:
    model = one_feeder().model
    together = replicate(model, 3)
    for part in ("substations", "feeders", "areas", "meters", "accounts", "greater", "parents", "feeder_gateways"):
        assert len(getattr(together, part)) == 3 * len(getattr(model, part)), part
    apart = list(copies_of(model, 3))
    assert together.meters == tuple(m for copy in apart for m in copy.meters)
    assert together.network is not None
    assert model.network is not None
    for field in fields(model.network):
        assert len(getattr(together.network, field.name)) == 3 * len(getattr(model.network, field.name))
    assert len({m.code for m in together.meters}) == len(together.meters)


def test_organisations_and_a_missing_network_are_copied() -> None:
    units = (Organisation("west", "West", OrganisationKind.UNIT), Organisation("c", "C", OrganisationKind.CREW, "west"))
    model = GridModel((), (), (), (), organisations=units)
    together = replicate(model, 2)
    assert [(o.code, o.parent) for o in together.organisations[2:]] == [("C1-west", None), ("C1-c", "C1-west")]
    assert together.network is None


def test_copies_have_seeds_of_their_own() -> None:
    spec = ReplicaSpec(28, 1)
    assert len(set(spec.seeds)) == 28
    assert spec.seeds == ReplicaSpec(28, 1).seeds
    assert set(spec.seeds).isdisjoint(ReplicaSpec(28, 2).seeds)
    assert ReplicaSpec(2, 1).seeds == spec.seeds[:2]
    with pytest.raises(ValueError, match="no copy 28 of 28"):
        spec.seed_of(28)
    with pytest.raises(ValueError, match="must be positive"):
        ReplicaSpec(0)
