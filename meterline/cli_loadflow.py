"""The load flow of a network model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from meterline.cli_common import JsonOption, fail, print_json, printable, text_console

#: Columns of the table, in this order, those that a network has.
_PHASES = ("A", "B", "C", "N", "s1", "s2")


def loadflow(
    cim: Annotated[Path, typer.Option("--cim", metavar="FILE", help="Network model: CIM100 in RDF/XML")],
    as_json: JsonOption = False,
) -> None:
    """Voltages and loss of a radial network, phase by phase. Example: meterline loadflow --cim IEEE13.xml --json"""
    from streams.steps.circuit_flow import CircuitError, circuit_flow
    from sync.sources.cim.network import read_network
    from sync.sources.cim.rdf import CimError

    try:
        network = read_network(cim)
        flow = circuit_flow(network.circuit)
    except (CimError, CircuitError) as error:
        fail(f"{cim}: {printable(str(error), limit=400)}", code=2)
    except OSError as error:
        fail(f"{cim}: {error.strerror}", code=2)
    voltage_pu: dict[str, dict[str, float]] = {}
    for bus, by_phase in flow.voltage_pu.items():
        if bus in network.inner:
            continue
        if bus in network.legs:
            node, leg = network.legs[bus]
            voltage_pu.setdefault(node, {})[leg] = next(iter(by_phase.values()))
        else:
            voltage_pu[bus] = dict(by_phase)
    figures = {
        "load_kw": (flow.load_w + network.generation_w) / 1e3,
        "generation_kw": network.generation_w / 1e3,
        "loss_kw": flow.loss_w / 1e3,
        "iterations": flow.iterations,
    }
    if as_json:
        print_json({**figures, "voltage_pu": voltage_pu})
        return
    for name, value in figures.items():
        print(f"{name:14}{value:,}" if isinstance(value, int) else f"{name:14}{value:,.4f}")
    text_console().print(_table(voltage_pu))


def _table(voltage_pu: dict[str, dict[str, float]]) -> Table:
    phases = [phase for phase in _PHASES if any(phase in by_phase for by_phase in voltage_pu.values())]
    table = Table(box=None, header_style="bold")
    table.add_column("voltage_pu")
    for phase in phases:
        table.add_column(phase, justify="right")
    for bus, by_phase in voltage_pu.items():
        cells = [f"{by_phase[phase]:.5f}" if phase in by_phase else "" for phase in phases]
        table.add_row(Text(printable(bus)), *cells)
    return table
