"""How near the loss from 15-minute means comes to that of every minute, without and with what the mean hides.

On the European LV feeder: ``--feeders DIR`` names the folder of IEEE feeders whose ``european_lv`` has the OpenDSS
files and 100 households of one day; 55 of them are the feeder's loads, and the other 45 are there to learn from.
Without it the feeder is pandapower's with drawn profiles, learned from another draw.

``--learn HOUSEHOLDS`` makes that many British households by richardsonpy 0.2.3, to be installed beside this project,
and prints what is learned from four days of each; 150 give `BRITISH`.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import load_flow_lv as lv
from benchmarks.report import Result, main, result
from kernels.averaging import Variation, averaging_loss, fit_variation, own_loss
from kernels.load_flow_phases import unbalanced_flow
from streams.steps.circuit_flow import PreparedCircuit, prepare

Floats = NDArray[np.float64]

_PER_INTERVAL = 15
_HOURS = _PER_INTERVAL / 60.0
_TARGET = 0.03
#: 600 days of 150 households of the CREST model (Richardson, Thomson, Infield, Clifford, Domestic electricity use: a
#: high-resolution energy demand model, Energy and Buildings 42, 2010), by ``--learn 150``.
BRITISH = Variation(900, 0.0, 316.35, 0.0519, 2.117, 0.0504)


class _Feeder:
    """A feeder's day: what it lost minute by minute, and from its means."""

    def __init__(self, day: lv.FeederDay) -> None:
        ready: PreparedCircuit = prepare(day.circuit)
        power_va = day.power_va
        self._ready, self._intervals = ready, len(power_va) // _PER_INTERVAL
        flow = unbalanced_flow(ready.network, power_va.real.copy(), power_va.imag.copy(), ready.source_v)
        self.exact_wh = self._by_interval(flow.loss_w).mean(axis=1) * _HOURS
        self.power_w = self._by_interval(power_va.real).mean(axis=1)
        self.variance_w2 = self._by_interval(power_va.real).var(axis=1)
        reactive_var = self._by_interval(power_va.imag).mean(axis=1)
        self.mean_wh = unbalanced_flow(ready.network, self.power_w, reactive_var, ready.source_v).loss_w * _HOURS
        loads = np.arange(self.power_w.shape[1])
        self.own_per_w = own_loss(
            ready.network, loads, np.ones(len(loads)), ready.source_v,
            tangent=float(reactive_var.sum() / self.power_w.sum()), base_w=self.power_w.mean(axis=0),
        )  # fmt: skip

    def _by_interval(self, values: Floats) -> Floats:
        return values.reshape(self._intervals, _PER_INTERVAL, *values.shape[1:])

    def error(self, more_wh: Floats) -> float:
        """Relative error of the day's loss from means when this is added to it."""
        return float((self.mean_wh + more_wh).sum() / self.exact_wh.sum() - 1.0)

    def learned(self, name: str, variation: Variation, target: float | None = None) -> list[Result]:
        """The figures of what was learned."""
        more = averaging_loss(self.power_w, self.own_per_w, variation)
        whole_wh = self.exact_wh.sum()
        before = np.abs(self.mean_wh - self.exact_wh)
        after = np.abs(self.mean_wh + more.wh - self.exact_wh)
        error, without = self.error(more.wh), self.error(np.zeros(1))
        stated = variation.error * more.wh.sum() / whole_wh
        inside = np.mean(after <= 2.0 * more.sigma_wh)
        return [
            result(f"{name}: error of the day", abs(error), "relative", target, "uncorrected", abs(without),
                   less_is_better=True),
            result(f"{name}: error of the day, signed", error, "relative"),
            result(f"{name}: standard error from what it was learned from", float(stated), "relative"),
            result(f"{name}: mean error of an interval", float(after.sum() / whole_wh), "relative", None,
                   "uncorrected", float(before.sum() / whole_wh), less_is_better=True),
            result(f"{name}: intervals inside 2 sigma of the correction alone", float(inside), "share"),
        ]  # fmt: skip


def measure(feeders: Path | None = None) -> list[Result]:
    """Learn and evaluate on profiles that have no household in common."""
    if feeders is None:
        other = lv.from_pandapower(seed=8).power_va.real.T.copy()
        feeder = _Feeder(lv.from_pandapower())
        name = "loss from 15-minute means, European LV feeder of pandapower, drawn profiles"
        learned = feeder.learned(f"{name}, learned from another draw", fit_variation(other, _PER_INTERVAL), _TARGET)
        return [*_plain(name, feeder), *learned]
    day = lv.from_folder(feeders / "european_lv")
    feeder = _Feeder(day)
    name = "loss from 15-minute means, European LV feeder"
    files = sorted((feeders / "european_lv" / "Daily_1min_100profiles").glob("load_profile_*.txt"), key=_number)
    households_w = np.array([np.loadtxt(file) for file in files]) * 1e3
    used = len(day.circuit.loads)
    # Their loads have 1 kW times the profile, in this order.
    assert np.allclose(households_w[:used].T, day.power_va.real)
    others = fit_variation(households_w[used:], _PER_INTERVAL)
    return [
        *_plain(name, feeder),
        *feeder.learned(f"{name}, learned from other days of British households", BRITISH, _TARGET),
        *feeder.learned(f"{name}, learned from the {len(files) - used} households not on it", others, _TARGET),
        *_drawn(f"{name}, households drawn anew", feeder, households_w),
    ]


def _plain(name: str, feeder: _Feeder) -> list[Result]:
    true_wh = feeder.variance_w2 @ feeder.own_per_w * _HOURS
    return [
        result(f"{name}: loss of every minute", float(feeder.exact_wh.sum()) / 1e3, "kWh"),
        result(f"{name}: error without correction", feeder.error(np.zeros(1)), "relative"),
        result(f"{name}: error with each load's true variance", feeder.error(true_wh), "relative"),
    ]


def _drawn(name: str, feeder: _Feeder, households_w: Floats, draws: int = 100) -> list[Result]:
    """Other households on the feeder, to see whether one split is luck; the truth is that of true variances."""
    order_of = np.random.default_rng(1)
    used = feeder.power_w.shape[1]
    errors, squares, stated = [], 0.0, 0.0
    for _ in range(draws):
        order = order_of.permutation(len(households_w))
        parts_w = households_w[order[:used]].reshape(used, -1, _PER_INTERVAL)
        variation = fit_variation(households_w[order[used:]], _PER_INTERVAL)
        more = averaging_loss(parts_w.mean(axis=2).T.copy(), feeder.own_per_w, variation)
        off_wh = more.wh - parts_w.var(axis=2).T @ feeder.own_per_w * _HOURS
        errors.append(off_wh.sum() / feeder.exact_wh.sum())
        squares += (off_wh**2).sum()
        stated += (more.sigma_wh**2).sum()
    return [
        result(f"{name}: mean error of {draws} draws", float(np.mean(errors)), "relative"),
        result(f"{name}: standard deviation of {draws} draws", float(np.std(errors)), "relative"),
        result(f"{name}: error of an interval over its sigma", float(np.sqrt(squares / stated)), "root mean square"),
    ]


def _number(file: Path) -> int:
    return int(file.stem.rsplit("_", 1)[1])


def households(count: int, days: int = 4, seed: int = 1) -> Floats:
    """Power of British households at days of their own, (count, days × 1,440) in W.

    Appliances are drawn by ownership, numbers of persons as in the census of England and Wales of 2011.
    """
    import richardsonpy  # type: ignore[import-not-found]  # noqa: PLC0415
    from richardsonpy.classes import (  # type: ignore[import-not-found]  # noqa: PLC0415
        appliance,
        electric_load,
        lighting,
        occupancy,
        stochastic_el_load_wrapper,
    )
    from richardsonpy.functions import load_radiation  # type: ignore[import-not-found]  # noqa: PLC0415

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # what the model draws from
    own = np.random.default_rng(seed)
    inputs = Path(richardsonpy.__file__).parent / "inputs"
    irradiance = np.add(*load_radiation.get_rad_from_try_path()).reshape(-1, 24)
    power_w = np.empty((count, days, lv.MINUTES))
    for household in power_w:
        persons = int(own.choice(5, p=[0.30, 0.34, 0.16, 0.13, 0.07])) + 1
        present = occupancy.Occupancy(number_occupants=persons).occupancy.reshape(-1, 144)
        yearly_kwh = 0.91 * electric_load.ElectricLoad.standard_consumption["SFH"][persons]  # the rest is light
        appliances = appliance.Appliances(
            str(inputs / "Appliances.csv"), annual_consumption=yearly_kwh, randomize_appliances=True
        )
        bulbs = lighting.load_lighting_profile(str(inputs / "LightBulbs.csv"), index=int(own.integers(0, 100)))
        model = stochastic_el_load_wrapper.ElectricityProfile(appliances, bulbs)
        for at, day in enumerate(own.integers(0, 365, days).tolist()):
            outside = np.interp(np.arange(lv.MINUTES), 60 * np.arange(24) + 30, irradiance[day])
            is_weekend = (day + 1) % 7 in (0, 6)
            household[at] = model.power_sim(
                irradiation=outside, weekend=is_weekend, day=day, occupancy=present[day]
            )[0]  # fmt: skip
    return power_w.reshape(count, -1)


if __name__ == "__main__":
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--feeders", type=Path)
    options.add_argument("--learn", type=int, metavar="HOUSEHOLDS")
    known, sys.argv[1:] = options.parse_known_args()
    if known.learn:
        print(fit_variation(households(known.learn), _PER_INTERVAL))
    else:
        main(lambda: measure(known.feeders), __doc__ or "")
