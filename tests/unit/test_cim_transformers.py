"""Transformers of a network model: impedances however they are written, taps, banks, three windings, centre taps."""

from pathlib import Path

import pytest

from grid.circuit import Circuit, Transformer, Winding
from sync.sources.cim.network import CimNetwork
from sync.sources.cim.rdf import CimError
from tests.cim_file import Object, changed, feeder, node, read, terminal

MESH, STAR, CORE = "TransformerMeshImpedance", "TransformerStarImpedance", "TransformerCoreAdmittance"


def bare() -> dict[str, Object]:
    """The source's node at 10 kV, and a second one that transformers feed."""
    objects = {name: item for name, item in feeder().items() if not name.startswith(("line", "load"))}
    objects |= {"low": ("BaseVoltage", {"BaseVoltage.nominalVoltage": 400})}
    return changed(objects, bv={"BaseVoltage.nominalVoltage": 10_000})


def end(number: int, kind: str, rated_v: float, clock: int = 0, **more: object) -> Object:
    values: dict[str, object] = {
        "PowerTransformerEnd.PowerTransformer": "@t",
        "TransformerEnd.endNumber": number,
        "TransformerEnd.Terminal": f"@t_{number}",
        "TransformerEnd.BaseVoltage": "@bv" if number == 1 else "@low",
        "PowerTransformerEnd.connectionKind": f"#WindingConnection.{kind}",
        "PowerTransformerEnd.ratedU": rated_v,
        "PowerTransformerEnd.phaseAngleClock": clock,
    }
    if kind != "D":
        values["TransformerEnd.grounded"] = "true"
    return "PowerTransformerEnd", values | {name.replace("__", "."): value for name, value in more.items()}


def two(first: Object, second: Object) -> dict[str, Object]:
    return bare() | {
        "t": ("PowerTransformer", {"IdentifiedObject.name": "trafo"}),
        "t_1": terminal("t", "n1", 1),
        "t_2": terminal("t", "n2", 2),
        "e1": first,
        "e2": second,
    }


def mesh(here: str, there: str, r: float, x: float, **more: object) -> Object:
    values: dict[str, object] = {"FromTransformerEnd": f"@{here}", "ToTransformerEnd": f"@{there}", "r": r, "x": x}
    return MESH, {f"{MESH}.{name}": value for name, value in (values | more).items()}


def dyn(**more: object) -> dict[str, Object]:
    """Dyn11, 10 kV to 400 V, with 2 + 4j ohm seen at the first end."""
    return two(end(1, "D", 10_000), end(2, "Yn", 400, 11)) | {"z": mesh("e1", "e2", 2.0, 4.0, **more)}


def only(network: CimNetwork) -> Transformer:
    (transformer,) = network.circuit.transformers
    return transformer


def refused(folder: Path, objects: dict[str, Object]) -> str:
    with pytest.raises(CimError) as caught:
        read(folder, objects)
    return str(caught.value)


AT_SECOND = (2 + 4j) * (400 / 10_000) ** 2


def test_two_windings_with_a_mesh_impedance(tmp_path: Path) -> None:
    core: Object = (CORE, {f"{CORE}.TransformerEnd": "@e1", f"{CORE}.g": 1e-6, f"{CORE}.b": 5e-6})
    found = only(read(tmp_path, dyn() | {"y": core}))
    assert (found.code, found.from_bus, found.to_bus, found.phases) == ("trafo", "head", "end", "ABC")
    assert (found.from_winding, found.to_winding, found.clock) == (Winding.DELTA, Winding.WYE, 11)
    assert (found.from_v, found.to_v) == (10_000, 400)
    assert found.impedance_ohm == pytest.approx(AT_SECOND)
    assert found.magnetising_s == pytest.approx(1e-6 - 5e-6j)
    assert found.tap_ratio == (1.0, 1.0, 1.0)


def test_impedances_of_ends_of_a_star_and_seen_from_the_second_end_are_the_same(tmp_path: Path) -> None:
    own = two(
        end(1, "D", 10_000, PowerTransformerEnd__r=2.0, PowerTransformerEnd__x=4.0, PowerTransformerEnd__b=-5e-6),
        end(2, "Yn", 400, 11, PowerTransformerEnd__r=0.0, PowerTransformerEnd__x=0.0),
    )
    found = only(read(tmp_path, own))
    assert found.impedance_ohm == pytest.approx(AT_SECOND)
    assert found.magnetising_s == pytest.approx(-5e-6j)
    star = two(end(1, "D", 10_000), end(2, "Yn", 400, 11))
    star["s1"] = STAR, {f"{STAR}.TransformerEnd": "@e1", f"{STAR}.r": 1.0, f"{STAR}.x": 4.0}
    star["s2"] = STAR, {f"{STAR}.TransformerEnd": "@e2", f"{STAR}.r": 1.0 * (0.04**2), f"{STAR}.x": 0.0}
    assert only(read(tmp_path, star)).impedance_ohm == pytest.approx(AT_SECOND)
    second = dyn() | {"z": mesh("e2", "e1", AT_SECOND.real, AT_SECOND.imag)}
    assert only(read(tmp_path, second)).impedance_ohm == pytest.approx(AT_SECOND)
    assert "only some of its ends have a star impedance" in refused(
        tmp_path, {name: item for name, item in star.items() if name != "s2"}
    )


def changer(of: str, step: object, **more: object) -> Object:
    values: dict[str, object] = {
        "RatioTapChanger.TransformerEnd": f"@{of}",
        "RatioTapChanger.stepVoltageIncrement": 2.5,
        "TapChanger.neutralStep": 3,
        "TapChanger.lowStep": 1,
        "TapChanger.highStep": 5,
        "TapChanger.step": step,
    }
    values |= {name.replace("__", "."): value for name, value in more.items()}
    return "RatioTapChanger", {name: value for name, value in values.items() if value is not None}


def test_tap_changers_stand_at_their_step(tmp_path: Path) -> None:
    assert only(read(tmp_path, dyn() | {"c": changer("e2", 5)})).tap_ratio == pytest.approx((1.05,) * 3)
    assert only(read(tmp_path, dyn() | {"c": changer("e1", 5)})).tap_ratio == pytest.approx((1 / 1.05,) * 3)
    state: Object = ("SvTapStep", {"SvTapStep.TapChanger": "@c", "SvTapStep.position": 2})
    found = only(read(tmp_path, dyn() | {"c": changer("e2", 5), "sv": state}))
    assert found.tap_ratio == pytest.approx((0.975,) * 3)
    normal = changer("e2", None, TapChanger__normalStep=4, TapChanger__neutralU=231)
    assert only(read(tmp_path, dyn() | {"c": normal})).tap_ratio == pytest.approx((1.025,) * 3)
    for item, said in (
        (changer("e2", None), "neither TapChanger.step nor TapChanger.normalStep"),
        (changer("e2", 6), "step 6 is outside of TapChanger.lowStep to highStep"),
        (changer("e2", 3, TapChanger__neutralU=380), "TapChanger.neutralU is 380 V at an end of 400 V"),
        (changer("e2", 3, RatioTapChanger__RatioTapChangerTable="@x"), "a table of ratios isn't taken"),
    ):
        assert said in refused(tmp_path, dyn() | {"c": item})
    assert "a second tap changer" in refused(tmp_path, dyn() | {"c": changer("e2", 3), "d": changer("e2", 3)})


def earths(circuit: Circuit) -> list[tuple[complex, complex]]:
    return [(line.impedance_ohm[0][0] - line.impedance_ohm[0][1], line.impedance_ohm[0][1]) for line in circuit.lines]


def test_an_impedance_of_the_star_point_and_the_zero_sequence_couple_the_phases(tmp_path: Path) -> None:
    objects = changed(dyn(r0=2.0, x0=4.0), e2={"TransformerEnd.xground": 0.4, "TransformerEnd.rground": 0.1})
    network = read(tmp_path, objects)
    assert only(network).to_bus in network.inner
    assert network.circuit.lines[0].to_bus == "end"
    ((series, coupled),) = earths(network.circuit)
    assert series == pytest.approx(AT_SECOND / 2)
    assert coupled == pytest.approx(0.1 + 0.4j)
    assert only(network).impedance_ohm == pytest.approx(AT_SECOND / 2)
    network = read(tmp_path, dyn(r0=5.0, x0=16.0))
    ((_, coupled),) = earths(network.circuit)
    assert coupled == pytest.approx((3 + 12j) / 3 * 0.04**2)
    delta = two(end(1, "D", 10_000), end(2, "D", 400)) | {"z": mesh("e1", "e2", 2.0, 4.0, r0=9.0, x0=9.0)}
    assert read(tmp_path, delta).circuit.lines == ()


def test_three_windings_meet_at_a_star_point(tmp_path: Path) -> None:
    objects = dyn() | {
        "n3": node("tertiary"),
        "t_3": terminal("t", "n3", 3),
        "e3": end(3, "D", 400),
        "z13": mesh("e1", "e3", 3.0, 5.0),
        "z23": mesh("e2", "e3", 1.5 * 0.04**2, 3.0 * 0.04**2),
    }
    network = read(tmp_path, objects)
    first, second, third = network.circuit.transformers
    assert network.inner == {first.to_bus}
    assert {second.from_bus, third.from_bus} == {first.to_bus}
    assert (second.to_bus, third.to_bus) == ("end", "tertiary")
    ohms = [t.impedance_ohm / 0.04**2 for t in (first, second, third)]
    assert ohms[0] + ohms[1] == pytest.approx(2 + 4j)
    assert ohms[0] + ohms[2] == pytest.approx(3 + 5j)
    assert ohms[1] + ohms[2] == pytest.approx(1.5 + 3j)
    assert (first.clock, second.clock, third.clock) == (11, 0, 1)
    del objects["z23"]
    assert "no impedance between its ends 2 and 3" in refused(tmp_path, objects)


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        (two(end(1, "D", 10_000), end(2, "Yn", 400, 11)), "it has no impedance"),
        (
            changed(dyn(), e2={"PowerTransformerEnd.phaseAngleClock": 0}),
            "a vector group of 0 hours between delta and wye",
        ),
        (changed(dyn(), e2={"PowerTransformerEnd.phaseAngleClock": 9}), "trafo: clock 9"),
        (changed(dyn(), e2={"TransformerEnd.grounded": "false"}), "a star without earth isn't taken"),
        (
            changed(dyn(), e2={"PowerTransformerEnd.connectionKind": "#WindingConnection.Zn"}),
            "PowerTransformerEnd.connectionKind is Zn",
        ),
        (
            changed(dyn(), e2={"PowerTransformerEnd.ratedU": 0}),
            "PowerTransformerEnd.ratedU is 0, which must be above 0",
        ),
        ({name: item for name, item in dyn().items() if name != "e2"}, "1 windings; 2 and 3 are taken"),
        (
            {name: item for name, item in dyn().items() if name not in {"e1", "e2", "z"}},
            "it has neither ends nor tanks",
        ),
        (dyn() | {"p": ("PhaseTapChangerLinear", {})}, "PhaseTapChangerLinear 'p' (mRID p"),
    ],
)
def test_transformers_that_cannot_be_held_are_refused(tmp_path: Path, objects: dict[str, Object], said: str) -> None:
    assert said in refused(tmp_path, objects)


def tank(name: str, phases: tuple[str, ...], info: str = "info") -> dict[str, Object]:
    """A tank between the two nodes, its first end at the source's."""
    found: dict[str, Object] = {
        name: (
            "TransformerTank",
            {
                "IdentifiedObject.name": name,
                "TransformerTank.PowerTransformer": "@t",
                "TransformerTank.TransformerTankInfo": f"@{info}",
            },
        )
    }
    for number, ordered in enumerate(phases, start=1):
        found[f"{name}_{number}"] = (
            "TransformerTankEnd",
            {
                "TransformerTankEnd.TransformerTank": f"@{name}",
                "TransformerTankEnd.orderedPhases": f"#OrderedPhaseCodeKind.{ordered}",
                "TransformerEnd.endNumber": number,
                "TransformerEnd.Terminal": f"@t_{min(number, 2)}",
                "TransformerEnd.BaseVoltage": "@bv" if number == 1 else "@low",
            },
        )
    return found


def info(*volts: float, name: str = "info", loss_kw: float = 0.1) -> dict[str, Object]:
    """Data of a unit of 10 kVA: of each pair an impedance of 5 ohm at the lower end's side, at the earlier end."""
    found: dict[str, Object] = {name: ("TransformerTankInfo", {"IdentifiedObject.name": name})}
    for number, rated_v in enumerate(volts, start=1):
        found[f"{name}_{number}"] = (
            "TransformerEndInfo",
            {
                "TransformerEndInfo.TransformerTankInfo": f"@{name}",
                "TransformerEndInfo.endNumber": number,
                "TransformerEndInfo.ratedU": rated_v,
                "TransformerEndInfo.connectionKind": "#WindingConnection.I",
            },
        )
    for here in range(1, len(volts) + 1):
        for there in range(here + 1, len(volts) + 1):
            base_ohm = volts[here - 1] ** 2 / 10_000
            found[f"{name}_sc{here}{there}"] = (
                "ShortCircuitTest",
                {
                    "ShortCircuitTest.EnergisedEnd": f"@{name}_{here}",
                    "ShortCircuitTest.GroundedEnds": f"@{name}_{there}",
                    "ShortCircuitTest.leakageImpedance": 0.05 * base_ohm,
                    "ShortCircuitTest.loss": loss_kw,
                    "TransformerTest.basePower": 10_000,
                },
            )
    found[f"{name}_nl"] = (
        "NoLoadTest",
        {
            "NoLoadTest.EnergisedEnd": f"@{name}_1",
            "NoLoadTest.energisedEndVoltage": volts[0],
            "NoLoadTest.excitingCurrent": 0.5,
            "NoLoadTest.loss": 0.03,
            "TransformerTest.basePower": 10_000,
        },
    )
    return found


def banked(*tanks: dict[str, Object], **more: Object) -> dict[str, Object]:
    found = bare() | {
        "t": ("PowerTransformer", {"IdentifiedObject.name": "bank"}),
        "t_1": terminal("t", "n1", 1),
        "t_2": terminal("t", "n2", 2),
    }
    for parts in tanks:
        found |= parts
    return found | more


PHASE_OHM = 230**2 / 10_000  # the base impedance of the unit at its second end
LEAKAGE = complex(0.01, (0.05**2 - 0.01**2) ** 0.5)  # of that base: 5 % in all, of which the loss is 1 %


def test_units_that_are_alike_are_one_bank_with_a_tap_of_each_phase(tmp_path: Path) -> None:
    objects = banked(info(5_773, 230), tank("a", ("AN", "AN")), tank("c", ("CN", "CN")), ca=changer("c_2", 5))
    found = only(read(tmp_path, objects))
    assert (found.code, found.phases) == ("bank", "AC")
    assert found.tap_ratio == pytest.approx((1.0, 1.0, 1.05))
    assert found.to_v == pytest.approx(230 * 3**0.5)
    assert found.impedance_ohm == pytest.approx(LEAKAGE * PHASE_OHM)
    admittance = found.magnetising_s * 5_773**2 / 10_000
    assert (admittance.real, abs(admittance)) == pytest.approx((0.003, 0.005))
    assert admittance.imag < 0


def test_units_that_differ_stay_apart(tmp_path: Path) -> None:
    other = info(5_773, 230, name="other", loss_kw=0.2)
    objects = banked(info(5_773, 230), other, tank("a", ("AN", "AN")), tank("b", ("BN", "BN"), "other"))
    found = read(tmp_path, objects).circuit.transformers
    assert [(t.code, t.phases) for t in found] == [("bank a", "A"), ("bank b", "B")]
    assert found[1].impedance_ohm.real == pytest.approx(0.02 * PHASE_OHM)


def test_a_unit_between_two_phases_is_a_third_in_star(tmp_path: Path) -> None:
    found = only(read(tmp_path, banked(info(10_000, 400), tank("ab", ("AB", "AB")))))
    assert (found.phases, found.from_winding, found.to_winding, found.clock) == ("A", Winding.DELTA, Winding.DELTA, 0)
    assert (found.from_v, found.to_v) == (10_000, 400)
    assert found.impedance_ohm == pytest.approx(LEAKAGE * 400**2 / 10_000 / 3)
    assert found.magnetising_s.real == pytest.approx(3 * 0.003 * 10_000 / 10_000**2)


def test_a_unit_of_an_open_star_and_open_delta(tmp_path: Path) -> None:
    found = only(read(tmp_path, banked(info(5_773, 400), tank("a", ("AN", "AB")))))
    assert (found.phases, found.from_winding, found.to_winding, found.clock) == ("A", Winding.WYE, Winding.DELTA, 1)
    assert found.from_v == pytest.approx(5_773 * 3**0.5)
    assert found.to_v == 400
    assert found.impedance_ohm == pytest.approx(LEAKAGE * 400**2 / 10_000 / 3)
    found = only(read(tmp_path, banked(info(10_000, 230), tank("a", ("BC", "BN")))))
    assert (found.phases, found.clock) == ("B", 11)
    assert found.to_v == pytest.approx(230 * 3**0.5)
    assert found.impedance_ohm == pytest.approx(LEAKAGE * PHASE_OHM)


def centre_tapped() -> dict[str, Object]:
    objects = banked(info(5_773, 120, 120), tank("pole", ("BN", "s1N", "Ns2")))
    objects = changed(
        objects, info_3={"TransformerEndInfo.phaseAngleClock": 6}, low={"BaseVoltage.nominalVoltage": 208}
    )
    objects["house"] = "EnergyConsumer", {"IdentifiedObject.name": "house"}
    objects["house_t"] = terminal("house", "n2")
    for leg, power in (("s1", 1000), ("s2", 400)):
        objects[leg] = (
            "EnergyConsumerPhase",
            {
                "EnergyConsumerPhase.EnergyConsumer": "@house",
                "EnergyConsumerPhase.phase": f"#SinglePhaseKind.{leg}",
                "EnergyConsumerPhase.p": power,
                "EnergyConsumerPhase.q": 0,
            },
        )
    return objects


def test_a_centre_tapped_secondary_is_a_bus_a_leg(tmp_path: Path) -> None:
    network = read(tmp_path, centre_tapped())
    first, *legs = network.circuit.transformers
    assert network.inner == {first.to_bus}
    assert [(t.phases, t.to_bus, t.clock) for t in legs] == [("B", "end s1", 0), ("B", "end s2", 6)]
    assert network.legs == {"end s1": ("end", "s1"), "end s2": ("end", "s2")}
    assert [(load.bus, load.phases, load.power_va) for load in network.circuit.loads] == [
        ("end s1", "B", (1000 + 0j,)),
        ("end s2", "B", (400 + 0j,)),
    ]
    assert "end" not in {bus.code for bus in network.circuit.buses}


def test_what_a_centre_tapped_secondary_cannot_hold_is_refused(tmp_path: Path) -> None:
    low: dict[str, object] = {"ConductingEquipment.BaseVoltage": "@low"}
    more: dict[str, Object] = {"sw": ("Breaker", low | {"Switch.open": "false"}), "n3": node("next")}
    objects = centre_tapped() | more
    objects |= {"sw_1": terminal("sw", "n2", 1), "sw_2": terminal("sw", "n3", 2)}
    assert "only loads and sources in phases s1, s2 can be at 'end'" in refused(tmp_path, objects)
    objects = changed(centre_tapped(), s2={"EnergyConsumerPhase.phase": "#SinglePhaseKind.A"})
    assert "only phases s1 and s2 to neutral are taken" in refused(tmp_path, objects)
    objects = changed(centre_tapped(), s2={"EnergyConsumerPhase.phase": "#SinglePhaseKind.s12"})
    between = "nothing between the legs of a centre-tapped secondary is taken; give s1 and s2, each with its power"
    assert f"EnergyConsumerPhase.phase is s12: {between}" in refused(tmp_path, objects)
    objects = {name: item for name, item in centre_tapped().items() if name not in ("s1", "s2")}
    objects = changed(objects, house={"EnergyConsumer.p": 1000, "EnergyConsumer.q": 0})
    objects = changed(objects, house_t={"Terminal.phases": "#PhaseCode.s12N"})
    said = refused(tmp_path, objects)
    assert f"phases s12N: {between}" in said
    assert "'house'" in said


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        (banked(info(5_773, 230), tank("a", ("AN", "BN"))), "its windings are in phases A, B"),
        (banked(info(10_000, 230), tank("a", ("AB", "BN"))), "its windings are in phases A, B"),
        (banked(info(5_773, 230), tank("a", ("AN", "s12N"))), "orderedPhases is s12, which isn't taken"),
        (banked(info(5_773), tank("a", ("AN", "AN"))), "'info' describes no end 2"),
        (banked(info(5_773, 230, loss_kw=9.0), tank("a", ("AN", "AN"))), "a loss of "),
        (banked(tank("a", ("AN", "AN"))), "names an object that the file doesn't have: info"),
    ],
)
def test_tanks_that_cannot_be_held_are_refused(tmp_path: Path, objects: dict[str, Object], said: str) -> None:
    assert said in refused(tmp_path, objects)


def test_a_core_that_feeds_in_is_refused(tmp_path: Path) -> None:
    core: Object = (CORE, {f"{CORE}.TransformerEnd": "@e1", f"{CORE}.g": -1e-6, f"{CORE}.b": 5e-6})
    assert "TransformerCoreAdmittance.g is -1e-06, which must not be below 0" in refused(tmp_path, dyn() | {"y": core})
