"""The IEEE European LV test feeder: in OpenDSS and as a `Circuit` with the same numbers, and its day.

Either from a folder with its OpenDSS files, or from the copy that pandapower carries; that has no load profiles, so
these are then drawn here.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import opendssdirect as dss  # type: ignore[import-untyped]
from numpy.typing import NDArray

from grid.circuit import Bus, Circuit, Line, Load, Matrix, Source, Transformer, Winding

MINUTES = 1_440
_NOTHING: Matrix = ((0j,) * 3,) * 3


@dataclass(frozen=True, slots=True, eq=False)
class FeederDay:
    """`power_va` is complex (MINUTES, loads), in the order of the circuit's loads; OpenDSS has the same loaded."""

    circuit: Circuit
    power_va: NDArray[np.complex128]


def from_folder(folder: Path) -> FeederDay:
    """The feeder from its OpenDSS files; the loads' voltage band is OpenDSS's."""
    run(f'compile "{folder / "Master.dss"}"')
    return FeederDay(_from_opendss(), _powers())


def from_pandapower(seed: int = 7) -> FeederDay:
    """The feeder as pandapower has it, with made-up profiles of one-minute steps."""
    # Read as a file: to import pandapower takes pandas and more, for this network alone.
    file = distribution("pandapower").locate_file("pandapower/networks/IEEE_European_LV_On_Peak_566.json")
    tables = json.loads(Path(str(file)).read_text(encoding="utf-8"))["_object"]
    (grid,), (transformer,) = _rows(tables, "ext_grid"), _rows(tables, "trafo")
    run("clear")
    run("set defaultbasefrequency=50")
    run(f"new circuit.lv basekv={transformer['vn_hv_kv']} pu={grid['vm_pu']} isc3=3000 isc1=5 bus1=0")
    seen: dict[tuple[float, ...], str] = {}
    for number, line in enumerate(_rows(tables, "line")):
        z = tuple(line[k] for k in ("r_ohm_per_km", "x_ohm_per_km", "r0_ohm_per_km", "x0_ohm_per_km"))
        if z not in seen:
            seen[z] = f"code{len(seen)}"
            run(f"new linecode.{seen[z]} nphases=3 r1={z[0]} x1={z[1]} r0={z[2]} x0={z[3]} c1=0 c0=0 units=km")
        ends = f"bus1={line['from_bus']} bus2={line['to_bus']}"
        run(f"new line.{number} {ends} phases=3 linecode={seen[z]} length={line['length_km']} units=km")
    r, z_percent = transformer["vkr_percent"], transformer["vk_percent"]
    ends = f"buses=[{transformer['hv_bus']} {transformer['lv_bus']}] conns=[delta wye]"
    volts = f"kvs=[{transformer['vn_hv_kv']} {transformer['vn_lv_kv']}]"
    kva = transformer["sn_mva"] * 1e3
    rated = f"kvas=[{kva} {kva}] xhl={math.sqrt(z_percent**2 - r**2)} %loadloss={r}"
    run(f"new transformer.tr1 {ends} {volts} {rated}")
    random = np.random.default_rng(seed)
    for number, load in enumerate(_rows(tables, "asymmetric_load")):
        phase = max("abc", key=lambda p: load[f"p_{p}_mw"])
        _profile(number, random)
        at = f"bus1={load['bus']}.{'abc'.index(phase) + 1} phases=1 kv=0.23 vminpu=0.8 vmaxpu=1.2"
        run(f"new load.{number} {at} kw=1 pf=0.95 yearly=s{number}")
    run("set voltagebases=[11 .416]")
    run("calcvoltagebases")
    return FeederDay(_from_opendss(), _powers())


def _profile(number: int, random: np.random.Generator) -> None:
    """A household's day in kW: a base with morning and evening, and appliances of some minutes each."""
    minute = np.arange(MINUTES)
    base = 0.15 + 0.25 * np.exp(-(((minute - 480) / 90) ** 2)) + 0.5 * np.exp(-(((minute - 1_150) / 150) ** 2))
    for start in random.integers(0, MINUTES, 25):
        base[start : start + random.integers(2, 30)] += random.uniform(0.3, 2.5)
    run(f"new loadshape.s{number} npts={MINUTES} minterval=1 mult=[{' '.join(f'{x:.6f}' for x in base)}]")


def run(command: str) -> None:
    """Do one command of OpenDSS; raises its error."""
    dss.Text.Command(command)


def _rows(tables: dict[str, Any], name: str) -> list[dict[str, Any]]:
    table = tables[name]["_object"]
    table = json.loads(table) if isinstance(table, str) else table
    return [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]


def _from_opendss() -> Circuit:
    """What OpenDSS has loaded, of the kinds that this feeder has."""
    return Circuit(
        source=_source(),
        buses=tuple(Bus(name, _base_v(name)) for name in dss.Circuit.AllBusNames()),
        lines=tuple(_line() for _ in dss.Lines),
        transformers=tuple(_transformer() for _ in dss.Transformers),
        loads=tuple(_load() for _ in dss.Loads),
    )


def _base_v(bus: str) -> float:
    dss.Circuit.SetActiveBus(bus)
    return float(dss.Bus.kVBase()) * 1e3 * math.sqrt(3.0)


def _buses() -> tuple[str, str]:
    first, *others = (str(name).split(".")[0] for name in dss.CktElement.BusNames())
    return first, others[0] if others else ""


def _block(first: slice, second: slice) -> NDArray[np.complex128]:
    parts = np.array(dss.CktElement.YPrim())
    values = parts[::2] + 1j * parts[1::2]
    size = math.isqrt(len(values))
    return np.asarray(values.reshape(size, size)[first, second], np.complex128)


def _inverse(matrix: NDArray[np.complex128]) -> Matrix:
    return tuple(tuple(complex(value) for value in row) for row in np.linalg.inv(matrix))


def _source() -> Source:
    dss.Circuit.SetActiveElement("Vsource.source")
    impedance = _inverse(_block(slice(3), slice(3)))
    dss.Vsources.First()
    volts = dss.Vsources.BasekV() * 1e3 / math.sqrt(3.0) * dss.Vsources.PU()
    angles = np.radians(dss.Vsources.AngleDeg() - np.array([0.0, 120.0, 240.0]))
    a, b, c = (complex(volts * np.exp(1j * angle)) for angle in angles)
    return Source("source", _buses()[0], (a, b, c), impedance)


def _line() -> Line:
    impedance = _inverse(-_block(slice(3), slice(3, 6)))
    return Line(dss.Lines.Name(), *_buses(), "ABC", impedance, _NOTHING)


def _transformer() -> Transformer:
    volts, percent, rated_va = [], 0.0, 1.0
    for winding in (1, 2):
        dss.Transformers.Wdg(winding)
        volts.append(dss.Transformers.kV() * 1e3)
        percent += dss.Transformers.R()
        rated_va = dss.Transformers.kVA() * 1e3
    impedance = complex(percent, dss.Transformers.Xhl()) / 100.0 * volts[1] ** 2 / rated_va
    return Transformer(
        dss.Transformers.Name(), *_buses(), "ABC", Winding.DELTA, Winding.WYE, volts[0], volts[1], impedance, clock=1
    )


def _load() -> Load:
    bus, phase = dss.CktElement.BusNames()[0].split(".")
    return Load(
        dss.Loads.Name(), bus, "ABC"[int(phase) - 1], Winding.WYE, (complex(dss.Loads.kW(), dss.Loads.kvar()) * 1e3,),
        dss.Loads.kV() * 1e3 * math.sqrt(3.0), band_pu=(dss.Loads.Vminpu(), dss.Loads.Vmaxpu()),
    )  # fmt: skip


def _powers() -> NDArray[np.complex128]:
    shapes, rated = [], []
    for _ in dss.Loads:
        dss.LoadShape.Name(dss.Loads.Yearly())
        shapes.append(np.array(dss.LoadShape.PMult()))
        rated.append(complex(dss.Loads.kW(), dss.Loads.kvar()) * 1e3)
    return np.asarray(np.column_stack(shapes) * np.array(rated), np.complex128)


@dataclass(frozen=True, slots=True, eq=False)
class OpenDssDay:
    """Every minute solved one by one. `load_pu` (MINUTES, loads) is each load's voltage over its bus's base."""

    loss_w: NDArray[np.float64]
    supply_w: NDArray[np.float64]
    load_pu: NDArray[np.float64]


def start_day(steps: int, tolerance: float) -> None:
    """Set OpenDSS to the day's start; the next solve takes `steps` minutes."""
    run("set controlmode=off")
    run(f"set tolerance={tolerance}")
    run("set maxiterations=100")
    run(f"set mode=yearly number={steps} stepsize=1m hour=0 sec=0")


def solve() -> None:
    """Let OpenDSS solve the steps that `start_day` has set."""
    dss.Solution.Solve()


def opendss_day(circuit: Circuit, tolerance: float = 1e-9) -> OpenDssDay:
    """The day by OpenDSS, minute by minute."""
    names = [name.lower() for name in dss.Circuit.AllNodeNames()]
    nodes = [names.index(f"{load.bus}.{'ABC'.index(load.phases) + 1}") for load in circuit.loads]
    start_day(1, tolerance)
    loss, supply, volts = np.empty(MINUTES), np.empty(MINUTES), np.empty((MINUTES, len(nodes)))
    for minute in range(MINUTES):
        solve()
        loss[minute] = dss.Circuit.Losses()[0]
        supply[minute] = -dss.Circuit.TotalPower()[0] * 1e3
        volts[minute] = np.array(dss.Circuit.AllBusMagPu())[nodes]
    return OpenDssDay(loss, supply, volts)
