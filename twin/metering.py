"""What meters show of the power that flows: class errors, whole watt-hours, clocks that are off, noise of voltage.

A meter is taken as two counters of energy, import and export, whose contents at any instant are known: they rise
linearly within a load step. A reading is the difference of a register at two instants of the meter's own clock. So
what is lost by rounding or shifted by a clock in one interval comes back in the next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from twin.draws import stream, truncated_normal, uniforms
from twin.steps import Steps

#: Registers begin between these, in watt-hours: meters have been there for some years.
_REGISTER_FROM_WH, _REGISTER_TO_WH = 1_000_000, 30_000_000
#: Below this class a meter is of the static transformer kind of IEC 62053-22, which starts earlier.
_TRANSFORMER_CLASS = 1.0


@dataclass(frozen=True, slots=True)
class MeterErrors:
    """How large the errors of meters are; 0 turns one off, `MeterErrors.none()` all of them.

    Where each default comes from stands in docs/explanation/twin-measurement.md.

    Attributes
    ----------
    class_share
        σ of the gain error by direction, as a share of the accuracy class; cut off at ± the class.
    load_share
        σ of a further gain error at no load, as a share of the class, cut off at twice that; it falls to nothing at
        `load_limit` of the reference power.
    start_share, start_share_transformer
        Share of the reference power below which nothing is counted: of class 1 and above, and of better classes.
    reference_w
        Power at the reference (basic) current, at the meter: before the multiplier.
    voltage_bias_v, voltage_noise_v
        σ of a meter's constant error, cut off at 3 σ, and σ of each reading's.
    clock_sigma_s
        σ of the clocks' offset, cut off at 4 σ.
    clock_far_share, clock_far_from_s, clock_far_to_s
        Share of clocks that are further off, and from where to where (even in the logarithm).
    clock_drift_ppm
        σ of what a clock gains, cut off at 3 σ.
    """

    class_share: float = 0.5
    load_share: float = 0.25
    load_limit: float = 0.1
    start_share: float = 0.004
    start_share_transformer: float = 0.001
    reference_w: float = 1_150.0
    voltage_bias_v: float = 0.4
    voltage_noise_v: float = 0.2
    clock_sigma_s: float = 2.4
    clock_far_share: float = 0.01
    clock_far_from_s: float = 60.0
    clock_far_to_s: float = 600.0
    clock_drift_ppm: float = 2.0

    @classmethod
    def none(cls) -> MeterErrors:
        """Meters that show what flows, in whole watt-hours and tenths of a volt."""
        return cls(
            class_share=0.0,
            load_share=0.0,
            start_share=0.0,
            start_share_transformer=0.0,
            voltage_bias_v=0.0,
            voltage_noise_v=0.0,
            clock_sigma_s=0.0,
            clock_far_share=0.0,
            clock_drift_ppm=0.0,
        )


@dataclass(frozen=True, slots=True, eq=False)
class MeterReadings:
    """What all meters show for one interval; arrays of shape (meters,).

    Attributes
    ----------
    end_s, interval_s
        End of the interval, seconds since 1970 UTC, and its length.
    import_wh, export_wh
        Energy at the meter, before the multiplier: differences of the registers.
    import_register_wh, export_register_wh
        At the interval's end by the meter's clock.
    voltage_v
        Mean over the part of the interval in which there was voltage, to a tenth; 0 where there was none.
    """

    end_s: int
    interval_s: int
    import_wh: NDArray[np.int64]
    export_wh: NDArray[np.int64]
    import_register_wh: NDArray[np.int64]
    export_register_wh: NDArray[np.int64]
    voltage_v: NDArray[np.float64]


@dataclass(slots=True)
class _Pending:
    """An interval that has ended and waits for the slowest clock."""

    end_s: int
    interval_s: int
    voltage_v: NDArray[np.float64]


@dataclass(slots=True)
class _Voltage:
    """Voltage × seconds and seconds with voltage, of the interval in hand."""

    sum_vs: NDArray[np.float64]
    seconds: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.seconds = np.zeros_like(self.sum_vs)


class Metering:
    """All meters of a grid, step by step.

    Attributes
    ----------
    gain
        (2, meters): relative error of import and of export at load.
    clock_offset_s, clock_drift
        (meters,): by how much the clock is ahead when the first step begins, and what it gains in a second.

    Parameters
    ----------
    codes, multipliers, accuracy_class
        Of each meter; the class in percent (IEC 62053). What is drawn for a meter depends on its code and the seed.
    reference_w
        Power at the reference current by meter, before the multiplier; None = as in `errors` throughout.
    transformer_class
        Shape (2, meters): classes of each meter's current and voltage transformers in percent (IEC 61869), 0 = it has
        none. Their gain errors are drawn as the meters' are, the same for both directions.
    """

    def __init__(
        self,
        codes: Sequence[str],
        multipliers: Sequence[int],
        accuracy_class: Sequence[float],
        errors: MeterErrors | None = None,
        seed: int = 0,
        *,
        reference_w: NDArray[np.float64] | None = None,
        transformer_class: NDArray[np.float64] | None = None,
    ) -> None:
        self.codes = tuple(codes)
        self.errors = errors = errors or MeterErrors()
        self._seed = seed
        classes = np.asarray(accuracy_class, dtype=np.float64)
        self._per_multiplier = 1.0 / np.asarray(multipliers, dtype=np.float64)
        gain_in, gain_out, load, bias, *clock, begun_in, begun_out = uniforms(seed, "meter", self.codes, 8)
        share = classes / 100
        bound = 1 / errors.class_share if errors.class_share else 1.0
        self.gain = truncated_normal(np.stack([gain_in, gain_out]), bound) * errors.class_share * share
        if transformer_class is not None:
            drawn = uniforms(seed, "transformers", self.codes, 2)
            gains = truncated_normal(drawn, bound) * errors.class_share * transformer_class / 100
            self.gain = (1.0 + self.gain) * np.prod(1.0 + gains, axis=0) - 1.0
        self._load_gain = truncated_normal(load, 2.0) * errors.load_share * share
        self._bias_v = truncated_normal(bias, 3.0) * errors.voltage_bias_v
        self.clock_offset_s, self.clock_drift = _clocks(errors, *clock)
        reference = np.full(len(classes), errors.reference_w) if reference_w is None else reference_w
        starts = np.where(classes < _TRANSFORMER_CLASS, errors.start_share_transformer, errors.start_share)
        self._start_w = starts * reference
        self._per_limit = 1.0 / (errors.load_limit * reference) if errors.load_share else np.zeros(len(classes))
        begun = np.stack([begun_in, begun_out]) * (_REGISTER_TO_WH - _REGISTER_FROM_WH) + _REGISTER_FROM_WH
        self._base_wh = np.floor(begun).astype(np.int64)
        #: What has flowed since the start, with the part of a watt-hour that was in the register then.
        self._total_wh = begun - self._base_wh
        self._origin_s: int | None = None
        self._now_s = 0
        self._times: list[float] = []
        self._totals: list[NDArray[np.float64]] = []
        self._register_wh: NDArray[np.int64] | None = None
        self._voltage = _Voltage(np.zeros(len(classes)))
        self._pending: deque[_Pending] = deque()
        self._finished = False

    def advance(
        self, steps: Steps, power_w: NDArray[np.float64], voltage_v: NDArray[np.float64]
    ) -> Iterator[MeterReadings]:
        """Let power flow and give out the intervals that have ended by every meter's clock, the earlier first.

        An interval waits until the slowest clock has passed its end, which may be in the next call; so readings don't
        depend on how steps are divided among calls. All steps are taken in only as the iterator is exhausted.

        Parameters
        ----------
        steps
            They follow those of the call before.
        power_w
            (steps, meters): true power at each meter, import positive.
        voltage_v
            (steps, meters): between phase and neutral; 0 where there is none or the meter shows none.

        Raises
        ------
        ValueError
            When the shapes don't fit, the steps don't follow, or `finish` was called.
        """
        shape = (len(steps), len(self.codes))
        if power_w.shape != shape or voltage_v.shape != shape:
            raise ValueError(f"power {power_w.shape} and voltage {voltage_v.shape} aren't {shape}")
        if self._finished:
            raise ValueError("the meters have finished")
        begins, lengths, ends = steps.begin_s.tolist(), steps.length_s.tolist(), steps.end_s.tolist()
        for i, (begin_s, length_s, end_s) in enumerate(zip(begins, lengths, ends, strict=True)):
            self._begin(begin_s)
            self._count(power_w[i], length_s)
            self._see(voltage_v[i], length_s)
            if begin_s + length_s == end_s:
                self._pending.append(_Pending(end_s, steps.interval_s, self._shown_voltage(end_s)))
            yield from self._ended(wait=True)

    def finish(self) -> Iterator[MeterReadings]:
        """Intervals that still wait, as if power went on as in the last step; nothing can follow."""
        self._finished = True
        yield from self._ended(wait=False)

    def _begin(self, begin_s: int) -> None:
        if self._origin_s is None:
            self._origin_s = self._now_s = begin_s
            self._times, self._totals = [0.0], [self._total_wh]
        if begin_s != self._now_s:
            raise ValueError(f"a step begins at {begin_s}, the one before it ended at {self._now_s}")

    def _count(self, power_w: NDArray[np.float64], length_s: int) -> None:
        """Add a step's energy to the counters."""
        own = power_w * self._per_multiplier
        size = np.abs(own)
        own = np.where(size < self._start_w, 0.0, own) * (length_s / 3600)
        low_load = self._load_gain * (1.0 - np.minimum(size * self._per_limit, 1.0))
        energy = np.stack([np.maximum(own, 0.0), np.maximum(-own, 0.0)])
        energy *= 1.0 + self.gain + low_load
        self._total_wh = self._total_wh + energy
        self._now_s += length_s
        self._times.append(float(self._now_s - (self._origin_s or 0)))
        self._totals.append(self._total_wh)

    def _see(self, voltage_v: NDArray[np.float64], length_s: int) -> None:
        self._voltage.sum_vs += voltage_v * length_s
        self._voltage.seconds += (voltage_v > 0) * float(length_s)

    def _shown_voltage(self, end_s: int) -> NDArray[np.float64]:
        """The mean of the interval that ends here, with errors."""
        seconds = self._voltage.seconds
        seen = seconds > 0
        mean = self._voltage.sum_vs / np.where(seen, seconds, 1.0)
        error = self._bias_v
        if self.errors.voltage_noise_v:
            noise = stream(self._seed, "voltage", end_s).standard_normal(len(self.codes))
            error = error + noise * self.errors.voltage_noise_v
        self._voltage = _Voltage(np.zeros_like(mean))
        return np.where(seen, np.round(np.maximum(mean + error, 0.0), 1), 0.0)

    def _ended(self, *, wait: bool) -> Iterator[MeterReadings]:
        while self._pending:
            interval = self._pending[0]
            until = self._instants(interval.end_s)
            if wait and until.max() > self._times[-1]:
                return
            self._pending.popleft()
            before = self._register_wh
            if before is None:
                before = self._registers(self._instants(interval.end_s - interval.interval_s))
            after = self._register_wh = self._registers(until)
            imported, exported = after - before
            yield MeterReadings(
                interval.end_s, interval.interval_s, imported, exported, after[0], after[1], interval.voltage_v
            )
            self._forget(float(until.min()))

    def _instants(self, at_s: int) -> NDArray[np.float64]:
        """True time, in seconds since the first step began, at which each meter's clock shows `at_s`."""
        shown = float(at_s - (self._origin_s or 0))
        # Shown is true + offset + drift × true.
        return (shown - self.clock_offset_s) / (1.0 + self.clock_drift)

    def _registers(self, at: NDArray[np.float64]) -> NDArray[np.int64]:
        """Both registers of each meter at an instant of its own; (2, meters).

        Before the first step and after the last, power is taken as it is in these.
        """
        times = np.array(self._times)
        # The step that ends at the instant or later: the same whether or not another follows.
        step = np.clip(np.searchsorted(times, at, side="left") - 1, 0, len(times) - 2)
        used = np.unique(step)
        share = (at - times[step]) / (times[step + 1] - times[step])
        total = np.empty_like(self._total_wh)
        for k in used.tolist():
            of = step == k
            first, last = self._totals[k][:, of], self._totals[k + 1][:, of]
            total[:, of] = first + (last - first) * share[of]
        registers: NDArray[np.int64] = self._base_wh + np.floor(total).astype(np.int64)
        return registers

    def _forget(self, before: float) -> None:
        """Drop what no clock can ask for any more; the step before stays, since an instant may be its end."""
        first = int(np.searchsorted(np.array(self._times), before, side="left")) - 1
        if first > 0:
            del self._times[:first], self._totals[:first]


def _clocks(
    errors: MeterErrors,
    size: NDArray[np.float64],
    drift: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offset in seconds and drift as a share, from a number in [0, 1) for each."""
    far = size < errors.clock_far_share
    rest = np.where(far, 0.5, (size - errors.clock_far_share) / max(1.0 - errors.clock_far_share, 1e-9))
    near_s = truncated_normal(rest, 4.0) * errors.clock_sigma_s
    place = size / errors.clock_far_share if errors.clock_far_share else size
    # Half of those far off are ahead.
    ratio = np.log(errors.clock_far_to_s / errors.clock_far_from_s)
    far_s = errors.clock_far_from_s * np.exp(np.abs(2 * place - 1) * ratio)
    offset_s = np.where(far, np.where(place < 0.5, -far_s, far_s), near_s)
    return offset_s, truncated_normal(drift, 3.0) * errors.clock_drift_ppm * 1e-6
