"""Speed and accuracy of the load flow on one thread, against power-grid-model and OpenDSS in the same run.

Times are processor time, so that what else the machine does counts less; runs take turns, and medians are compared.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from power_grid_model import CalculationMethod, ComponentType, PowerGridModel, initialize_array

from benchmarks.report import Result, result
from kernels.load_flow import balanced_flow, radial_networks
from kernels.load_flow_phases import unbalanced_flow

_SOURCE_V, _NOMINAL_V = 10_500.0, 10_000.0


def balanced(buses: int, cases: int) -> list[Result]:
    """A random radial feeder with a load at each bus, against power-grid-model.

    Of its methods and tolerances, the fastest one that gets the loss right to 1e-6; it returns the source's power and
    nothing else.
    """
    random = np.random.default_rng(buses)
    near = np.arange(buses - 1) - random.integers(0, 4, buses - 1)
    far = random.integers(0, np.arange(1, buses))
    from_bus = np.where(random.random(buses - 1) < 0.9, np.maximum(near, 0), far)
    to_bus = np.arange(1, buses)
    r_ohm = random.uniform(2.0, 10.0, buses - 1) / buses
    x_ohm = r_ohm * random.uniform(0.5, 1.2, buses - 1)
    p_w = random.uniform(0.0, 6e6 / buses, (cases, buses))
    p_w[:, 0] = 0.0
    q_var = 0.3 * p_w
    networks = radial_networks(
        np.array([0, buses]), np.array([0]), np.full(buses, _NOMINAL_V), from_bus, to_bus, r_ohm, x_ohm
    )
    model = _model(from_bus, to_bus, r_ohm, x_ohm)
    update = initialize_array("update", "sym_load", (cases, buses))
    update["id"] = 3 * buses + np.arange(buses)
    update["p_specified"], update["q_specified"] = p_w, q_var

    def with_model(method: CalculationMethod, tolerance: float) -> NDArray[np.float64]:
        done = model.calculate_power_flow(
            calculation_method=method,
            update_data={ComponentType.sym_load: update},
            threading=-1,
            error_tolerance=tolerance,
            max_iterations=100,
            output_component_types={ComponentType.source: ["p"]},
        )
        return np.asarray(done[ComponentType.source]["p"][:, 0] - p_w.sum(axis=1), np.float64)

    exact = balanced_flow(networks, p_w, q_var, _SOURCE_V, tolerance=1e-12).loss_w[:, 0]
    error = _worst(balanced_flow(networks, p_w, q_var, _SOURCE_V).loss_w[:, 0], exact)
    times = {}
    for method in (CalculationMethod.iterative_current, CalculationMethod.newton_raphson):
        for tolerance in (1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4):
            if _worst(with_model(method, tolerance), exact) <= 1e-6:
                times[method, tolerance] = _seconds(partial(with_model, method, tolerance))[0]
    fastest, at = min(times, key=lambda key: times[key])
    ours, theirs = _seconds(
        lambda: balanced_flow(networks, p_w, q_var, _SOURCE_V), lambda: with_model(fastest, at), runs=9
    )
    name = f"balanced load flow, {buses} buses"
    return [
        result(name, cases / ours, "cases/s", None, f"power-grid-model {fastest.name} {at:g}", cases / theirs),
        result(f"{name}: speed", theirs / ours, "times power-grid-model", 15.0),
        result(f"{name}: worst error of the loss", error, "relative", 1e-6, less_is_better=True),
    ]


def _model(
    from_bus: NDArray[np.int64], to_bus: NDArray[np.int64], r_ohm: NDArray[np.float64], x_ohm: NDArray[np.float64]
) -> PowerGridModel:
    buses = len(from_bus) + 1
    node = initialize_array("input", "node", buses)
    node["id"], node["u_rated"] = np.arange(buses), _NOMINAL_V
    line = initialize_array("input", "line", buses - 1)
    line["id"], line["from_node"], line["to_node"] = buses + np.arange(buses - 1), from_bus, to_bus
    line["from_status"] = line["to_status"] = 1
    line["r1"], line["x1"], line["c1"], line["tan1"] = r_ohm, x_ohm, 0.0, 0.0
    load = initialize_array("input", "sym_load", buses)
    load["id"], load["node"], load["status"], load["type"] = 3 * buses + np.arange(buses), np.arange(buses), 1, 0
    load["p_specified"] = load["q_specified"] = 0.0
    source = initialize_array("input", "source", 1)
    source["id"], source["node"], source["status"] = 9 * buses, 0, 1
    source["u_ref"], source["sk"] = _SOURCE_V / _NOMINAL_V, 1e20
    return PowerGridModel({"node": node, "line": line, "sym_load": load, "source": source})


def phases(folder: Path | None) -> list[Result]:
    """The day of the IEEE European LV feeder, 1,440 minutes, against OpenDSS in one `solve` at its default tolerance.

    Accuracy is against OpenDSS with the tolerance tightened. Without a folder the feeder is pandapower's.
    """
    from benchmarks import load_flow_lv as lv  # noqa: PLC0415  # OpenDSS takes seconds to load
    from streams.steps.circuit_flow import prepare  # noqa: PLC0415

    day = lv.from_folder(folder / "european_lv") if folder else lv.from_pandapower()
    loads = day.circuit.loads
    ready = prepare(day.circuit, [load.bus for load in loads])
    p_w, q_var = day.power_va.real.copy(), day.power_va.imag.copy()
    flow = unbalanced_flow(ready.network, p_w, q_var, ready.source_v)
    exact = lv.opendss_day(day.circuit)
    column = {where: i for i, where in enumerate(ready.watched)}
    wanted = [column[load.bus, load.phases] for load in loads]
    load_pu = np.abs(flow.voltage[:, wanted]) / ready.nominal_v[wanted] * np.sqrt(3.0)

    def ours() -> None:
        unbalanced_flow(ready.network, p_w, q_var, ready.source_v)

    own, theirs = [], []
    for _ in range(5):
        lv.start_day(lv.MINUTES, 1e-4)
        theirs += _seconds(lv.solve, runs=1, warm=False)
        own += _seconds(ours, runs=3)
    taken, peer = statistics.median(own), statistics.median(theirs)
    name = "three-phase load flow, European LV feeder"
    name += "" if folder else " of pandapower"
    energy = flow.loss_w.sum() / exact.loss_w.sum() - 1.0
    return [
        result(name, lv.MINUTES / taken, "cases/s", None, "OpenDSS", lv.MINUTES / peer),
        result(f"{name}: speed", peer / taken, "times OpenDSS", 20.0),
        result(f"{name}: voltage at a load, worst", float(np.abs(load_pu - exact.load_pu).max()), "pu", 1e-5,
               less_is_better=True),
        result(f"{name}: loss of the day, error", abs(float(energy)), "relative", 1e-4, less_is_better=True),
        result(f"{name}: loss of the day", float(flow.loss_w.sum()) / 60e3, "kWh"),
        result(f"{name}: supply of the day", float((flow.loss_w + flow.load_w).sum()) / 60e3, "kWh"),
    ]  # fmt: skip


def _worst(loss_w: NDArray[np.float64], exact: NDArray[np.float64]) -> float:
    return float(np.abs(loss_w / exact - 1.0).max())


def _seconds(*works: Callable[[], object], runs: int = 3, warm: bool = True) -> list[float]:
    """Median processor seconds of each of `works`, which take turns."""
    taken: list[list[float]] = [[] for _ in works]
    for run in range(runs + warm):
        for work, seconds in zip(works, taken, strict=True):
            started = time.process_time()
            work()
            if run >= warm:
                seconds.append(time.process_time() - started)
    return [statistics.median(seconds) for seconds in taken]
