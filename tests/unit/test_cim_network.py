"""Lines, switches, loads, converters, capacitors and the source of a network model, and what is refused."""

import cmath
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grid.circuit import Line, Load, Winding
from sync.sources.cim.rdf import CimError
from tests.cim_file import Object, changed, feeder, node, read, terminal

NUMBERS = st.floats(1e-9, 1e9)


def refused(folder: Path, objects: dict[str, Object]) -> str:
    with pytest.raises(CimError) as caught:
        read(folder, objects)
    return str(caught.value)


def line_of(folder: Path, objects: dict[str, Object]) -> Line:
    (line,) = read(folder, objects).circuit.lines
    return line


def load_of(folder: Path, objects: dict[str, Object]) -> Load:
    (load,) = read(folder, objects).circuit.loads
    return load


def without(*names: str) -> dict[str, Object]:
    return {name: item for name, item in feeder().items() if name not in names}


def phased(names: str) -> dict[str, Object]:
    """Phases of the feeder's line, in this order."""
    return {
        f"line_{phase}": (
            "ACLineSegmentPhase",
            {
                "ACLineSegmentPhase.phase": f"#SinglePhaseKind.{phase}",
                "ACLineSegmentPhase.sequenceNumber": number,
                "ACLineSegmentPhase.ACLineSegment": "@line",
            },
        )
        for number, phase in enumerate(names, start=1)
    }


def matrix(*entries: tuple[int, int, float, float, float], count: int = 2) -> dict[str, Object]:
    """An impedance per metre: rows, columns, r, x, b."""
    found: dict[str, Object] = {"code": ("PerLengthPhaseImpedance", {"PerLengthPhaseImpedance.conductorCount": count})}
    for number, (row, column, r, x, b) in enumerate(entries):
        values = {"PhaseImpedance": "@code", "row": row, "column": column, "r": r, "x": x, "b": b}
        found[f"z{number}"] = "PhaseImpedanceData", {f"PhaseImpedanceData.{k}": v for k, v in values.items()}
    return found


COUPLED = ((1, 1, 1e-3, 2e-3, 1e-9), (2, 1, 3e-4, 4e-4, -2e-10), (2, 2, 5e-3, 6e-3, 3e-9))


def with_code(entries: dict[str, Object], phases: str = "CB") -> dict[str, Object]:
    return changed(feeder(), line={"ACLineSegment.PerLengthImpedance": "@code"}) | phased(phases) | entries


def test_a_feeder_becomes_a_circuit(tmp_path: Path) -> None:
    network = read(tmp_path, feeder())
    circuit = network.circuit
    assert [(bus.code, bus.nominal_v) for bus in circuit.buses] == [("head", 400.0), ("end", 400.0)]
    assert (circuit.lines[0].code, circuit.lines[0].from_bus, circuit.lines[0].to_bus) == ("cable", "head", "end")
    assert circuit.loads == (Load("house", "end", "ABC", Winding.WYE, (1000 + 200j,) * 3, 400.0),)
    assert (network.inner, network.legs, network.generation_w) == (frozenset(), {}, 0.0)


def test_sequence_data_become_a_matrix(tmp_path: Path) -> None:
    line = line_of(tmp_path, changed(feeder(), line={"ACLineSegment.bch": 3e-6, "ACLineSegment.b0ch": 6e-6}))
    z, y = line.impedance_ohm, line.charging_s
    assert z[0][0] - z[0][1] == pytest.approx(0.1 + 0.05j)
    assert z[0][0] + 2 * z[0][1] == pytest.approx(0.4 + 0.2j)
    assert y[2][2] - y[1][2] == pytest.approx(3e-6j)
    assert y[2][2] + 2 * y[1][2] == pytest.approx(6e-6j)


def test_sequence_data_per_length_are_taken_times_the_length_for_the_phases_there_are(tmp_path: Path) -> None:
    kind = "PerLengthSequenceImpedance"
    values = {"r": 1e-3, "x": 5e-4, "r0": 4e-3, "x0": 2e-3}
    code: dict[str, Object] = {"code": (kind, {f"{kind}.{k}": v for k, v in values.items()})}
    line = line_of(tmp_path, with_code(code, "AC"))
    assert line.conductors == "AC"
    own, mutual = 0.1 * (2 + 4) / 3 + 0.05j * (2 + 4) / 3, 0.1 * (4 - 1) / 3 + 0.05j * (4 - 1) / 3
    assert line.impedance_ohm[0] == pytest.approx((own, mutual))
    assert line.impedance_ohm[1] == pytest.approx((mutual, own))


def test_a_matrix_per_length_is_in_the_order_of_the_phases(tmp_path: Path) -> None:
    line = line_of(tmp_path, with_code(matrix(*COUPLED)))
    assert line.conductors == "CB"
    assert line.impedance_ohm[0] == pytest.approx((0.1 + 0.2j, 0.03 + 0.04j))
    assert line.impedance_ohm[1] == pytest.approx((0.03 + 0.04j, 0.5 + 0.6j))
    assert line.charging_s[0] == pytest.approx((1e-7j, -2e-8j))


def test_the_matrix_of_cim16_is_numbered_column_by_column(tmp_path: Path) -> None:
    objects = matrix(*[(0, 0, float(n), 0.0, 0.0) for n in range(1, 7)], count=3)
    for number in range(6):
        new = {"PhaseImpedanceData.row": None, "PhaseImpedanceData.column": None}
        objects = changed(objects, **{f"z{number}": new | {"PhaseImpedanceData.sequenceNumber": number + 1}})
    line = line_of(tmp_path, changed(with_code(objects, "ABC"), line={"Conductor.length": 1}))
    assert [[z.real for z in row] for row in line.impedance_ohm] == [[1, 2, 3], [2, 4, 5], [3, 5, 6]]


@pytest.mark.parametrize(
    ("entries", "phases", "said"),
    [
        (COUPLED[:2], "CB", "no value at row 2, column 2"),
        ((*COUPLED, (1, 2, 9.0, 9.0, 0.0)), "CB", "row 2, column 1 is given twice"),
        ((*COUPLED, (3, 1, 9.0, 9.0, 0.0)), "CB", "is outside the matrix of 2 conductors"),
        (COUPLED, "ABC", "ACLineSegment 'cable' (mRID line, line 40): 3 phases, with an impedance of 2 conductors"),
    ],
)
def test_a_matrix_that_does_not_fit_is_refused(tmp_path: Path, entries: Any, phases: str, said: str) -> None:
    message = refused(tmp_path, with_code(matrix(*entries), phases))
    assert said.partition(" (mRID")[0] in message
    assert said.rpartition(": ")[2] in message


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ACLineSegment.r": None}, "it has no impedance"),
        ({"ACLineSegment.r0": None}, "ACLineSegment.r0 is missing"),
        ({"ACLineSegment.PerLengthImpedance": "@nowhere"}, "names an object that the file doesn't have: nowhere"),
        (
            {"ACLineSegment.PerLengthImpedance": "@bv"},
            "names BaseVoltage 'bv', which is none of PerLengthPhaseImpedance",
        ),
    ],
)
def test_a_line_without_a_usable_impedance_is_refused(tmp_path: Path, values: dict[str, object], said: str) -> None:
    assert said in refused(tmp_path, changed(feeder(), line=values))


def switched(**values: object) -> dict[str, Object]:
    own = {f"Switch.{name}": value for name, value in values.items()}
    return feeder() | {
        "n3": node("behind"),
        "switch": ("LoadBreakSwitch", {"IdentifiedObject.name": "sw", "ConductingEquipment.BaseVoltage": "@bv"} | own),
        "switch_t1": terminal("switch", "n2", 1),
        "switch_t2": terminal("switch", "n3", 2),
    }


def switch_phase(phase: str, closed: str, side2: str | None = None) -> Object:
    values = {"Switch": "@switch", "closed": closed, "phaseSide1": f"#SinglePhaseKind.{phase}"}
    values["phaseSide2"] = f"#SinglePhaseKind.{side2 or phase}"
    return "SwitchPhase", {f"SwitchPhase.{k}": v for k, v in values.items()}


def test_positions_of_switches(tmp_path: Path) -> None:
    def position(objects: dict[str, Object]) -> tuple[bool, str]:
        (switch,) = read(tmp_path, objects).circuit.switches
        return switch.closed, switch.conductors

    assert position(switched(open="true", normalOpen="false")) == (False, "ABC")
    assert position(switched(normalOpen="false")) == (True, "ABC")
    phases = {"a": switch_phase("A", "true"), "c": switch_phase("C", "false")}
    assert position(switched(open="false") | phases) == (True, "A")
    assert position(switched(open="false") | {"c": phases["c"]}) == (False, "C")
    assert "neither Switch.open nor Switch.normalOpen" in refused(tmp_path, switched())
    crossed = switched(open="false") | {"a": switch_phase("A", "true", "B")}
    assert "a phase that leads to another isn't taken" in refused(tmp_path, crossed)


def consumer_phase(phase: str, p: object = None, q: object = None) -> Object:
    values = {"EnergyConsumer": "@load", "phase": f"#SinglePhaseKind.{phase}", "p": p, "q": q}
    return "EnergyConsumerPhase", {f"EnergyConsumerPhase.{k}": v for k, v in values.items() if v is not None}


def test_loads_by_phase_and_in_delta(tmp_path: Path) -> None:
    phases = {"a": consumer_phase("C", 2000, 400), "b": consumer_phase("A", 1000, 200)}
    load = load_of(tmp_path, feeder() | phases)
    assert (load.phases, load.power_va, load.winding) == ("CA", (2000 + 400j, 1000 + 200j), Winding.WYE)
    load = load_of(tmp_path, feeder() | {"a": consumer_phase("B"), "b": consumer_phase("A")})
    assert (load.phases, load.power_va) == ("BA", (1500 + 300j,) * 2)
    delta = {"EnergyConsumer.phaseConnection": "#PhaseShuntConnectionKind.D"}
    load = load_of(tmp_path, changed(feeder(), load=delta))
    assert (load.phases, load.winding) == ("ABC", Winding.DELTA)
    load = load_of(tmp_path, changed(feeder(), load=delta, load_t={"Terminal.phases": "#PhaseCode.AC"}))
    assert (load.phases, load.power_va) == ("C", (3000 + 600j,))


@pytest.mark.parametrize(
    ("values", "more", "said"),
    [
        ({"EnergyConsumer.p": None}, {}, "it has no power p and q"),
        ({"EnergyConsumer.p": 9}, {"a": consumer_phase("A", 3000, 600)}, "p is 9 and that of its phases is 3000"),
        ({}, {"a": consumer_phase("A", 3000, 600), "b": consumer_phase("B")}, "or only some of its phases have"),
        ({}, {"a": consumer_phase("A", 3000, 600), "b": consumer_phase("A", 0, 0)}, "phases A A aren't taken"),
        ({}, {"a": consumer_phase("s1", 3000, 600)}, "'end', which no centre-tapped transformer feeds"),
        ({"EnergyConsumer.phaseConnection": "#PhaseShuntConnectionKind.G"}, {}, "phaseConnection is G"),
        (
            {"EnergyConsumer.phaseConnection": "#PhaseShuntConnectionKind.Y", "EnergyConsumer.grounded": "false"},
            {},
            "a star without earth isn't taken",
        ),
    ],
)
def test_loads_that_contradict_themselves_are_refused(
    tmp_path: Path, values: dict[str, object], more: dict[str, Object], said: str
) -> None:
    message = refused(tmp_path, changed(feeder(), load=values) | more)
    assert message.startswith("EnergyConsumer 'house' (mRID load, line ")
    assert said in message


def response(**values: object) -> dict[str, Object]:
    own = {f"LoadResponseCharacteristic.{name}": value for name, value in values.items()}
    return changed(feeder(), load={"EnergyConsumer.LoadResponse": "@r"}) | {"r": ("LoadResponseCharacteristic", own)}


def test_dependence_of_loads_on_voltage(tmp_path: Path) -> None:
    percent = {"pConstantPower": 50, "pConstantCurrent": 20, "pConstantImpedance": 30, "qConstantImpedance": 100}
    load = load_of(tmp_path, response(exponentModel="false", **percent))
    assert load.shares == pytest.approx((0.5, 0.2, 0.3))
    assert load.reactive_shares == (0.0, 0.0, 1.0)
    load = load_of(tmp_path, response(pConstantCurrent=1, qConstantPower=1))
    assert (load.shares, load.reactive_shares) == ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    load = load_of(tmp_path, response(exponentModel="true", pVoltageExponent=1, qVoltageExponent=2))
    assert (load.shares, load.reactive_shares) == ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    half = response(exponentModel="true", pVoltageExponent=1.5, qVoltageExponent=2)
    assert "exponent 1.5 of voltage" in refused(tmp_path, half)
    assert "of p sum to 90" in refused(tmp_path, response(pConstantPower=90, qConstantPower=100))


def converter(p: float, unit: str | None, q: float = 0.0, **values: object) -> dict[str, Object]:
    kind = "PowerElectronicsConnection"
    found = feeder() | {
        "pec": (kind, {f"{kind}.p": p, f"{kind}.q": q, "IdentifiedObject.name": "inverter"}),
        "pec_t": terminal("pec", "n2"),
    }
    if unit is None:
        return found
    found = changed(found, pec={f"{kind}.PowerElectronicsUnit": "@unit"})
    return found | {"unit": (unit, {name.replace("__", "."): value for name, value in values.items()})}


@pytest.mark.parametrize(
    ("p", "unit", "state", "load_w"),
    [
        (3000.0, "PhotovoltaicUnit", None, -3000.0),
        (-3000.0, "PhotovoltaicUnit", None, -3000.0),
        (3000.0, "BatteryUnit", "discharging", -3000.0),
        (-3000.0, "BatteryUnit", "charging", 3000.0),
        (3000.0, "BatteryUnit", "charging", 3000.0),
        (-30.0, "BatteryUnit", "waiting", 30.0),
    ],
)
def test_the_unit_behind_a_converter_says_which_way_its_power_flows(
    tmp_path: Path, p: float, unit: str, state: str | None, load_w: float
) -> None:
    values = {} if state is None else {"BatteryUnit__batteryState": f"#BatteryStateKind.{state}"}
    network = read(tmp_path, converter(p, unit, q=p / 10, **values))
    powers = {load.code: sum(load.power_va) for load in network.circuit.loads}
    assert powers["inverter"] == pytest.approx(complex(load_w, load_w / 10))
    assert network.generation_w == pytest.approx(max(-load_w, 0.0))
    assert powers["house"] == pytest.approx(3000 + 600j)


def test_a_converter_that_nothing_is_known_of_is_refused_unless_it_stands_still(tmp_path: Path) -> None:
    message = refused(tmp_path, converter(100.0, None))
    assert message.startswith("PowerElectronicsConnection 'inverter' (mRID pec, line ")
    assert "nothing that says whether it feeds in or consumes" in message
    assert len(read(tmp_path, converter(0.0, None)).circuit.loads) == 1


def bank(**values: object) -> dict[str, Object]:
    own: dict[str, object] = {"IdentifiedObject.name": "cap", "LinearShuntCompensator.bPerSection": 0.03}
    own |= {f"ShuntCompensator.{name}": value for name, value in values.items()}
    return feeder() | {"cap": ("LinearShuntCompensator", own), "cap_t": terminal("cap", "n2")}


def test_capacitors(tmp_path: Path) -> None:
    def admittances(objects: dict[str, Object]) -> tuple[str, Winding, complex]:
        (found,) = read(tmp_path, objects).circuit.capacitors
        assert len(set(found.admittance_s)) == 1
        return found.phases, found.winding, found.admittance_s[0]

    star, delta = "#PhaseShuntConnectionKind.Y", "#PhaseShuntConnectionKind.D"
    assert admittances(bank(sections=2, phaseConnection=star)) == ("ABC", Winding.WYE, 0.06j)
    assert admittances(bank(sections=0, normalSections=5)) == ("ABC", Winding.WYE, 0j)
    third = 0.03j / 3
    assert admittances(bank(normalSections=1, phaseConnection=delta)) == ("ABC", Winding.DELTA, third)
    assert admittances(bank(sections=1, phaseConnection=star, grounded="false")) == ("ABC", Winding.DELTA, third)
    kind = "LinearShuntCompensatorPhase"
    phase = {f"{kind}.bPerSection": 0.02, "ShuntCompensatorPhase.phase": "#SinglePhaseKind.B"}
    phase["ShuntCompensatorPhase.ShuntCompensator"] = "@cap"
    assert admittances(bank(sections=1) | {"b": (kind, phase)}) == ("B", Winding.WYE, 0.02j)
    assert "neither sections nor normalSections is given" in refused(tmp_path, bank())
    other = changed(bank(sections=1), cap={"LinearShuntCompensator.b0PerSection": 0.01})
    assert "an earthed star whose b0PerSection isn't its bPerSection" in refused(tmp_path, other)


def test_the_source(tmp_path: Path) -> None:
    values = {"r": 0.1, "x": 0.2, "r0": 0.4, "x0": 0.5, "voltageMagnitude": 420, "voltageAngle": 0.5}
    objects = changed(feeder(), source={f"EnergySource.{name}": value for name, value in values.items()})
    source = read(tmp_path, objects).circuit.source
    assert [abs(v) for v in source.voltage_v] == pytest.approx([420 / 3**0.5] * 3)
    assert cmath.phase(source.voltage_v[0]) == pytest.approx(0.5)
    assert source.voltage_v[0] / source.voltage_v[1] == pytest.approx(cmath.exp(2j * cmath.pi / 3))
    assert source.impedance_ohm[0] == pytest.approx((0.2 + 0.3j, 0.1 + 0.1j, 0.1 + 0.1j))
    degrees = changed(objects, source={"EnergySource.voltageAngle": 30})
    assert "EnergySource.voltageAngle is 30: it is in radians" in refused(tmp_path, degrees)
    assert "EnergySource.x0 is missing" in refused(tmp_path, changed(objects, source={"EnergySource.x0": None}))
    second = feeder() | {"s2": ("EnergySource", {"IdentifiedObject.name": "other"}), "s2_t": terminal("s2", "n2")}
    assert "EnergySource 'other' (mRID s2" in refused(tmp_path, second)
    assert "no EnergySource in service" in refused(tmp_path, without("source", "source_t"))


@pytest.mark.parametrize("kind", ["SynchronousMachine", "SeriesCompensator", "EquivalentInjection", "Clamp"])
def test_equipment_that_is_not_supported_is_named(tmp_path: Path, kind: str) -> None:
    own: Object = (kind, {"IdentifiedObject.name": "thing", "RotatingMachine.p": 5})
    objects = feeder() | {"x": own, "x_t": terminal("x", "n2")}
    assert f"{kind} 'thing' (mRID x, line " in refused(tmp_path, objects)
    off = changed(objects, x={"Equipment.inService": "false"})
    assert read(tmp_path, off).circuit == read(tmp_path, feeder()).circuit


def test_what_has_no_influence_is_passed_over(tmp_path: Path) -> None:
    more: dict[str, Object] = {
        "bar": ("BusbarSection", {}),
        "bar_t": terminal("bar", "n2"),
        "idle": ("AsynchronousMachine", {"RotatingMachine.p": 0, "RotatingMachine.q": 0}),
        "idle_t": terminal("idle", "n2"),
        "place": ("Location", {"Location.CoordinateSystem": "@nowhere"}),
        "meter": ("Analog", {"Measurement.Terminal": "@nowhere"}),
    }
    assert read(tmp_path, feeder() | more).circuit == read(tmp_path, feeder()).circuit


def test_equipment_out_of_service_is_left_out(tmp_path: Path) -> None:
    network = read(tmp_path, changed(feeder(), load={"Equipment.normallyInService": "false"}))
    assert network.circuit.loads == ()


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        (changed(feeder(), load_t={"Terminal.ConductingEquipment": "@gone"}), "Terminal 'load_t' (mRID load_t, line "),
        (changed(feeder(), line_t2={"Terminal.ConnectivityNode": "@gone"}), "doesn't have: gone"),
        (changed(feeder(), line_t2={"ACDCTerminal.connected": "false"}), "a terminal that isn't connected"),
        (without("line_t2"), "ACLineSegment 'cable' (mRID line, line 23): 1 terminals instead of 2"),
        (without("load_t"), "EnergyConsumer 'house' (mRID load, line 42): it has no terminal"),
        (without("bv"), "names an object that the file doesn't have: bv"),
        (
            changed(
                feeder(),
                line={"ConductingEquipment.BaseVoltage": None},
                load={"ConductingEquipment.BaseVoltage": None},
            ),
            "neither it nor anything else at 'end' names a base voltage",
        ),
        (
            changed(
                feeder() | {"bv2": ("BaseVoltage", {"BaseVoltage.nominalVoltage": 230})},
                load={"ConductingEquipment.BaseVoltage": "@bv2"},
            ),
            "ConnectivityNode 'end' (mRID n2, line 9): base voltages of 400 and 230 V meet at it",
        ),
    ],
)
def test_references_terminals_and_base_voltages_must_be_there(
    tmp_path: Path, objects: dict[str, Object], said: str
) -> None:
    assert said in refused(tmp_path, objects)


def test_names_that_appear_twice_get_the_mrid(tmp_path: Path) -> None:
    objects = changed(feeder(), n2={"IdentifiedObject.name": "head"})
    objects |= {"load2": objects["load"], "load2_t": terminal("load2", "n2")}
    circuit = read(tmp_path, objects).circuit
    assert {bus.code for bus in circuit.buses} == {"head (n1)", "head (n2)"}
    assert {load.code for load in circuit.loads} == {"house (load)", "house (load2)"}


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_written_numbers_come_back_exactly(tmp_path: Path, r: float, x: float, b: float, p: float, q: float) -> None:
    entries = matrix((1, 1, r, x, b), count=1)
    load_t = {"Terminal.phases": "#PhaseCode.B"}
    load = {"EnergyConsumer.p": p, "EnergyConsumer.q": -q}
    objects = changed(with_code(entries, "B"), line={"Conductor.length": 1}, load=load, load_t=load_t)
    circuit = read(tmp_path, objects).circuit
    assert circuit.lines[0].impedance_ohm == ((complex(r, x),),)
    assert circuit.lines[0].charging_s == ((complex(0.0, b),),)
    assert circuit.loads[0].power_va == (complex(p, -q),)


def test_a_resistance_below_zero_would_make_energy_and_is_refused(tmp_path: Path) -> None:
    below = ((1, 1, -1e-3, 2e-3, 1e-9), *COUPLED[1:])
    assert "a resistance or conductance in line" in refused(tmp_path, with_code(matrix(*below)))
    coupled = (COUPLED[0], (2, 1, -3e-4, 4e-4, -2e-10), COUPLED[2])
    assert line_of(tmp_path, with_code(matrix(*coupled))).impedance_ohm[0][1].real == pytest.approx(-0.03)
    own = changed(feeder(), line={"ACLineSegment.r": -0.1})
    assert "a resistance below 0" in refused(tmp_path, own)
