"""Voltages and currents by phase and the power factor, as meters at low voltage show them for an interval.

A single-phase meter has its own phase in the first column and nothing in the others. A meter sees voltages and currents
by its own circuits: a lost phase is one without voltage, a stopped register doesn't stop the current.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.draws import stream, truncated_normal, uniforms
from twin.metering import MeterErrors
from twin.steps import Steps

#: What a message may hold; a meter that carries more shows none.
MAX_CURRENT_A = 300.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PhaseMeans:
    """True means of intervals, over the time in which there was voltage; NaN where a meter shows none.

    Attributes
    ----------
    voltage_v, current_a
        Shape (intervals, meters, 3).
    power_factor
        Shape (intervals, meters): active over apparent energy, negative where it flows back; NaN where nothing flows.
    """

    voltage_v: Floats
    current_a: Floats
    power_factor: Floats

    def take(self, interval: int) -> PhaseMeans:
        """One interval: arrays without their first axis."""
        return PhaseMeans(self.voltage_v[interval], self.current_a[interval], self.power_factor[interval])


def phase_means(steps: Steps, voltage_v: Floats, apparent_va: Floats, active_w: Floats, share: Floats) -> PhaseMeans:
    """Means of intervals from what flows in each step.

    Parameters
    ----------
    voltage_v
        (steps, meters, 3): 0 without voltage, NaN where a meter isn't connected to the phase.
    apparent_va, active_w
        (steps, meters): as the meter's current circuits see it, all phases; active power negative where it flows back.
    share
        (meters, 3) or (steps, meters, 3): part of it in each phase.
    """
    # An interval at a time: what all steps of many meters take is more than a processor's cache holds.
    firsts = np.flatnonzero(np.append(True, steps.end_s[1:] != steps.end_s[:-1])).tolist()
    shape = len(firsts), share.shape[-2]
    means = PhaseMeans(np.empty((*shape, 3)), np.empty((*shape, 3)), np.empty(shape))
    connected = ~np.isnan(voltage_v[0])
    for i, (first, last) in enumerate(pairwise([*firsts, len(steps)])):
        own = slice(first, last)
        seconds = steps.length_s[own].astype(np.float64)
        there = voltage_v[own] > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            volts = np.where(there, voltage_v[own], 0.0)
            current = apparent_va[own, :, None] * (share if share.ndim == 2 else share[own])
            current /= volts
            current[~there] = 0.0
            lit_s = _total(there, seconds)
            voltage, mean_a = _total(volts, seconds) / lit_s, _total(current, seconds) / lit_s
            means.power_factor[i] = _total(active_w[own], seconds) / _total(apparent_va[own], seconds)
        means.voltage_v[i] = np.where(connected, np.nan_to_num(voltage), np.nan)
        means.current_a[i] = np.where(connected, np.nan_to_num(mean_a), np.nan)
    return means


def _total(values: NDArray[Any], seconds: Floats) -> Floats:
    """Sum of values by step (steps, …) times its length."""
    return np.asarray(np.add.reduce(values * seconds.reshape(-1, *[1] * (values.ndim - 1)), axis=0))


@dataclass(frozen=True, slots=True, eq=False)
class PhaseReadings:
    """What all meters show for an interval by name of the message's column; (meters,), NaN where nothing."""

    columns: dict[str, Floats]


class PhaseDisplay:
    """What meters show of true means: errors of each meter and phase, noise, and steps of the display.

    Parameters
    ----------
    codes, accuracy_class
        Of each meter, the class in percent. What is drawn depends on the code and the seed.
    errors
        Of voltages as `MeterErrors` says; currents err like energies at load, by phase.
    """

    def __init__(self, codes: Sequence[str], accuracy_class: Sequence[float], errors: MeterErrors, seed: int) -> None:
        drawn = uniforms(seed, "meter's phases", codes, 5)
        self._bias_v = truncated_normal(drawn[:2], 3.0) * errors.voltage_bias_v
        bound = 1 / errors.class_share if errors.class_share else 1.0
        gain = truncated_normal(drawn[2:], bound) * errors.class_share
        self._gain = 1.0 + gain * np.asarray(accuracy_class, np.float64) / 100
        self._noise_v, self._seed = errors.voltage_noise_v, seed

    def shown(self, end_s: int, means: PhaseMeans) -> PhaseReadings:
        """What is shown for the interval that ends at `end_s`: phase a's voltage is the metering's own."""
        voltage = means.voltage_v[:, 1:].T
        error = self._bias_v
        if self._noise_v:
            noise = stream(self._seed, "voltage of phases", end_s).standard_normal(voltage.shape)
            error = error + noise * self._noise_v
        voltage = np.where(voltage > 0, np.round(np.maximum(voltage + error, 0.0), 1), voltage)
        current = np.round(means.current_a.T * self._gain, 2)
        current = np.where((current > MAX_CURRENT_A).any(axis=0), np.nan, current)
        columns = dict(zip(("voltage_b_v", "voltage_c_v"), voltage, strict=True))
        columns |= dict(zip(("current_a_a", "current_b_a", "current_c_a"), current, strict=True))
        columns["power_factor"] = np.round(np.clip(means.power_factor, -1.0, 1.0), 3)
        return PhaseReadings(columns)
