"""The IEEE European LV feeder as pandapower has it, some minutes against OpenDSS with the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import load_flow_lv as lv
from kernels.load_flow_phases import unbalanced_flow
from streams.steps.circuit_flow import prepare

MINUTES = 60


def test_agrees_with_opendss() -> None:
    day = lv.from_pandapower()
    exact = lv.opendss_day(day.circuit, minutes=MINUTES)
    loads = day.circuit.loads
    ready = prepare(day.circuit, [load.bus for load in loads])
    assert (len(day.circuit.buses), len(loads)) == (907, 55)
    assert len(ready.network.parent) < 120  # chains are merged
    power = day.power_va[:MINUTES]
    flow = unbalanced_flow(ready.network, power.real, power.imag, ready.source_v)
    column = {where: i for i, where in enumerate(ready.watched)}
    wanted = [column[load.bus, load.phases] for load in loads]
    load_pu = np.abs(flow.voltage[:, wanted]) / ready.nominal_v[wanted] * np.sqrt(3.0)
    assert np.abs(load_pu - exact.load_pu).max() < 1e-6
    assert flow.loss_w == pytest.approx(exact.loss_w, rel=1e-5)
    assert flow.loss_w + flow.load_w == pytest.approx(exact.supply_w, rel=1e-6)
