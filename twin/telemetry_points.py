"""SCADA at feeders' heads: what an RTU measures, and when it says so, by exception and by cycle.

The RTU looks at every value each few seconds. Between the means of two load steps, which stand at their middles, a
value moves on a straight line. A report goes out when a value has left its dead band around what was reported last,
when a switch has moved, and with every cycle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.network import Network
from grid.points import Point, PointCause, PointKind, PointQuality
from twin.draws import stream
from twin.outbox import Made, MessageKind, encode, json_fields
from twin.steps import Steps

_SECOND_US = 1_000_000
#: Noise is drawn for so many looks at once.
_BLOCK = 64
#: What is measured, in this order: kind, suffix of the point's code, unit of measure, how many W, var, V or A it is,
#: decimals.
_MEASURED = (
    (PointKind.ACTIVE_POWER, "P", "kW", 1e3, 1),
    (PointKind.REACTIVE_POWER, "Q", "kvar", 1e3, 1),
    (PointKind.VOLTAGE, "U", "kV", 1e3, 3),
    (PointKind.CURRENT, "I", "A", 1.0, 1),
)
_SCALE = np.array([row[3] for row in _MEASURED])
_STEPS = np.array([[10.0 ** row[4]] for row in _MEASURED])


@dataclass(frozen=True, slots=True)
class ScadaSettings:
    """How an RTU measures and reports; noise and shares may be 0.

    Attributes
    ----------
    scan_s, cycle_s
        It looks at its values each so many seconds, and reports all of them with each cycle, a multiple of that.
    dead_band_w, dead_band_var, dead_band_v, dead_band_a
        It reports at once when a value has moved by more.
    noise_w, noise_var, noise_v, noise_a
        σ of measuring, each time anew.
    invalid_share, old_share
        Reported values that are flagged invalid, without a value; and not topical, with the value before.
    delay_from_s, delay_to_s
        From seeing a value to sending it.
    """

    scan_s: int = 10
    cycle_s: int = 60
    dead_band_w: float = 20_000.0
    dead_band_var: float = 20_000.0
    dead_band_v: float = 50.0
    dead_band_a: float = 2.0
    noise_w: float = 2_000.0
    noise_var: float = 2_000.0
    noise_v: float = 5.0
    noise_a: float = 0.2
    invalid_share: float = 0.0005
    old_share: float = 0.001
    delay_from_s: float = 0.2
    delay_to_s: float = 2.0

    def __post_init__(self) -> None:
        if self.scan_s < 1 or self.cycle_s < self.scan_s or self.cycle_s % self.scan_s:
            raise ValueError(f"a cycle of {self.cycle_s} s isn't a multiple of {self.scan_s} s")

    @property
    def dead_bands(self) -> NDArray[np.float64]:
        """In units of measure; (4, 1)."""
        return _measures(self.dead_band_w, self.dead_band_var, self.dead_band_v, self.dead_band_a)

    @property
    def noises(self) -> NDArray[np.float64]:
        """In units of measure; (4, 1)."""
        return _measures(self.noise_w, self.noise_var, self.noise_v, self.noise_a)


def _measures(watts: float, reactive_var: float, volts: float, amperes: float) -> NDArray[np.float64]:
    measures: NDArray[np.float64] = np.array([watts, reactive_var, volts, amperes]) / _SCALE
    return measures[:, None]


@dataclass(frozen=True, slots=True)
class SwitchPoint:
    """A point that reports a switch through a feeder's RTU."""

    code: str
    feeder: str
    switch: str


@dataclass(frozen=True, slots=True, eq=False)
class FeederSeries:
    """What is there at each feeder's head and switch, by step.

    Attributes
    ----------
    power_w, reactive_var
        (steps, feeders): into the feeder positive.
    voltage_v, current_a
        (steps, feeders): between phases; of a phase.
    closed
        (steps, switches): position of each switch point's switch.
    """

    power_w: NDArray[np.float64]
    reactive_var: NDArray[np.float64]
    voltage_v: NDArray[np.float64]
    current_a: NDArray[np.float64]
    closed: NDArray[np.bool_]

    def measured(self) -> NDArray[np.float64]:
        """In units of measure; (steps, 4, feeders)."""
        values: NDArray[np.float64] = np.stack(
            [self.power_w, self.reactive_var, self.voltage_v, self.current_a], axis=1
        )
        values /= _SCALE[:, None]
        return values


def head_switches(network: Network) -> tuple[SwitchPoint, ...]:
    """A point for the breaker at each feeder's head that has one."""
    return tuple(
        SwitchPoint(f"{head.feeder}-CB", head.feeder, head.breaker)
        for head in network.heads
        if head.breaker is not None
    )


def scada_points(
    feeders: Sequence[str],
    switches: Sequence[SwitchPoint] = (),
    settings: ScadaSettings | None = None,
    meters: Mapping[str, str] | None = None,
) -> tuple[Point, ...]:
    """The points as the loader receives them: four of each feeder, then the switches'.

    Parameters
    ----------
    meters
        Gateway meter that a feeder's power stands in for.
    """
    settings = settings or ScadaSettings()
    bands = settings.dead_bands[:, 0].tolist()
    points = []
    for feeder in feeders:
        for (kind, suffix, measure, _, _), band in zip(_MEASURED, bands, strict=True):
            point = Point(f"{feeder}-{suffix}", feeder, kind, measure, band, settings.cycle_s)
            meter = (meters or {}).get(feeder)
            points.append(replace(point, meter=meter) if kind is PointKind.ACTIVE_POWER else point)
    points += [Point(s.code, s.feeder, PointKind.SWITCH, cycle_s=settings.cycle_s, switch=s.switch) for s in switches]
    return tuple(points)


def points_file(points: Sequence[Point]) -> bytes:
    """The JSON list that `meterline load points` reads, a point a line."""
    lines = []
    for p in points:
        row: dict[str, Any] = {"code": p.code, "unit": p.unit, "kind": p.kind.value}
        row |= {"unit_of_measure": p.unit_of_measure, "dead_band": p.dead_band, "cycle_s": p.cycle_s, "sign": p.sign}
        row |= {name: value for name, value in (("meter", p.meter), ("switch", p.switch)) if value is not None}
        lines.append(encode(row))
    return b"[\n" + b",\n".join(lines) + b"\n]\n"


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """A load step that later ones are joined to."""

    begin_s: int
    end_s: int
    measured: NDArray[np.float64]
    closed: NDArray[np.bool_]

    @property
    def middle_s(self) -> float:
        return (self.begin_s + self.end_s) / 2


@dataclass(frozen=True, slots=True)
class _Report:
    """Points that are reported together; codes in JSON, no flags where all are good."""

    codes: bytes
    values: list[float | None]
    flags: list[int]
    cause: PointCause


class ScadaReports:
    """The RTUs of all feeders.

    Looks lie at whole multiples of `scan_s` since 1970, cycles at those of `cycle_s` moved by a part of it that is the
    feeder's own.

    Parameters
    ----------
    feeders, gateways
        Codes of the feeders and, of each, the account that sends for it.
    unit_of_feeder
        Position of each feeder among the units that send.
    switches
        Further points, of feeders' switches.
    """

    def __init__(
        self,
        feeders: Sequence[str],
        gateways: Sequence[str],
        unit_of_feeder: Sequence[int],
        switches: Sequence[SwitchPoint] = (),
        settings: ScadaSettings | None = None,
        seed: int = 0,
    ) -> None:
        self.settings = settings = settings or ScadaSettings()
        self._seed = seed
        self._gateways, self._units = tuple(gateways), tuple(unit_of_feeder)
        self._topics = [f"meterline/v1/{g}/points/{f}" for f, g in zip(feeders, gateways, strict=True)]
        position = {code: i for i, code in enumerate(feeders)}
        self._codes = [[f"{feeder}-{row[1]}" for row in _MEASURED] for feeder in feeders]
        self._switches_of: list[list[int]] = [[] for _ in feeders]
        for k, switch in enumerate(switches):
            self._codes[position[switch.feeder]].append(switch.code)
            self._switches_of[position[switch.feeder]].append(k)
        self._feeder_of_switch = np.array([position[s.feeder] for s in switches], dtype=np.int64)
        self._most = len(_MEASURED) + max(map(len, self._switches_of), default=0)
        self._all_codes = [encode(codes) for codes in self._codes]
        self._dead_bands, self._noises = settings.dead_bands, settings.noises
        self._looks_a_cycle = settings.cycle_s // settings.scan_s
        self._phase = np.arange(len(feeders)) % self._looks_a_cycle
        self._reported = np.full((len(_MEASURED), len(feeders)), np.nan)
        self._noise: tuple[int, NDArray[np.float64], NDArray[np.float64]] | None = None
        self._last: _Step | None = None
        self._next_look: int | None = None
        self._seen: NDArray[np.bool_] | None = None

    def advance(self, steps: Steps, series: FeederSeries) -> Iterator[Made]:
        """Messages up to the middle of the last step, in the order of making; the rest comes with the next call.

        The steps follow those of the call before.
        """
        measured = series.measured()
        for i, (begin_s, length_s) in enumerate(zip(steps.begin_s.tolist(), steps.length_s.tolist(), strict=True)):
            step = _Step(begin_s, begin_s + length_s, measured[i], series.closed[i])
            if self._last is None:
                self._next_look = -(-begin_s // self.settings.scan_s)
                self._seen = step.closed
                yield from self._looks(step, step, step.middle_s)
            else:
                yield from self._looks(self._last, step, step.middle_s)
            self._last = step

    def finish(self) -> Iterator[Made]:
        """Messages up to the end of the last step, over which values stay."""
        if self._last is not None:
            yield from self._looks(self._last, self._last, float(self._last.end_s))

    def _looks(self, before: _Step, after: _Step, until_s: float) -> Iterator[Made]:
        """Looks before `until_s`, between the middles of two steps."""
        scan_s = self.settings.scan_s
        span_s = after.middle_s - before.middle_s
        number = self._next_look or 0
        while number * scan_s < until_s:
            at_s = number * scan_s
            share = (at_s - before.middle_s) / span_s if span_s else 0.0
            value = before.measured + (after.measured - before.measured) * share
            now = after if at_s >= after.begin_s else before
            if at_s >= after.begin_s:
                yield from self._moves(after)
            yield from self._look(number, value, now.closed)
            number += 1
        self._next_look = number
        yield from self._moves(after) if until_s > after.begin_s else ()

    def _moves(self, step: _Step) -> Iterator[Made]:
        """Switches that have moved when the step began, each in a message of its own."""
        assert self._seen is not None  # noqa: S101 - set with the first step
        for k in np.flatnonzero(np.not_equal(self._seen, step.closed)).tolist():
            feeder = int(self._feeder_of_switch[k])
            code = self._codes[feeder][len(_MEASURED) + self._switches_of[feeder].index(k)]
            report = _Report(encode([code]), [int(step.closed[k])], [], PointCause.SPONTANEOUS)
            yield self._message(feeder, step.begin_s, report, 0.5)
        self._seen = step.closed

    def _look(self, number: int, value: NDArray[np.float64], closed: NDArray[np.bool_]) -> Iterator[Made]:
        """What is reported of one look at all values (4, feeders)."""
        noise, chance = self._drawn(number)
        shown = value + noise * self._noises
        cyclic = np.equal(number % self._looks_a_cycle, self._phase)
        # The first report is due as nothing was reported before.
        due = ~(np.abs(shown - self._reported) <= self._dead_bands) | cyclic
        feeders = np.flatnonzero(due.any(axis=0))
        if not len(feeders):
            return
        flags, old = self._flags(chance[: self._most])
        stale = old[: len(_MEASURED)] & ~np.isnan(self._reported)
        values = (np.rint(np.where(stale, self._reported, shown) * _STEPS) / _STEPS).T.tolist()
        all_flags, chances = flags.T.tolist(), chance[-1].tolist()
        for feeder in feeders.tolist():
            own: list[float | None] = [*values[feeder], *(int(closed[k]) for k in self._switches_of[feeder])]
            # A feeder has no flag for points that only others have.
            marks = all_flags[feeder][: len(own)]
            if any(marks):
                own = [None if mark == PointQuality.INVALID else v for v, mark in zip(own, marks, strict=True)]
            if cyclic[feeder]:
                report = _Report(self._all_codes[feeder], own, marks, PointCause.CYCLIC)
            else:
                rows = np.flatnonzero(due[:, feeder]).tolist()
                codes = encode([self._codes[feeder][row] for row in rows])
                report = _Report(codes, [own[r] for r in rows], [marks[r] for r in rows], PointCause.SPONTANEOUS)
            yield self._message(feeder, number * self.settings.scan_s, report, chances[feeder])
        self._reported = np.where(due, shown, self._reported)

    def _flags(self, chance: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Quality of each point (points, feeders), and which are not topical."""
        settings = self.settings
        invalid = chance < settings.invalid_share
        old = ~invalid & (chance < settings.invalid_share + settings.old_share)
        return invalid * int(PointQuality.INVALID) + old * int(PointQuality.NOT_TOPICAL), old

    def _message(self, feeder: int, at_s: int, report: _Report, luck: float) -> Made:
        settings, count = self.settings, len(report.values)
        instant = encode(f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%SZ}")
        fields = [
            ("point", report.codes),
            ("observed_at", b"[%s]" % b",".join([instant] * count)),
            ("value", encode(report.values)),
            *([("quality", encode(report.flags))] if any(report.flags) else []),
            ("cause", b'"%s"' % report.cause.name.lower().encode()),
        ]
        delay_s = settings.delay_from_s + luck * (settings.delay_to_s - settings.delay_from_s)
        return Made(
            made_us=at_s * _SECOND_US,
            send_at_us=(at_s * _SECOND_US + int(delay_s * _SECOND_US),),
            gateway=self._gateways[feeder],
            topic=self._topics[feeder],
            body=json_fields(fields),
            kind=MessageKind.POINTS,
            unit=self._units[feeder],
            readings=count,
        )

    def _drawn(self, number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Noise (4, feeders); numbers in [0, 1) for the quality of each point and, last, the delay (…, feeders)."""
        block, row = divmod(number, _BLOCK)
        if self._noise is None or self._noise[0] != block:
            feeders = len(self._units)
            draw = stream(self._seed, "scada", block)
            noise = draw.standard_normal((_BLOCK, len(_MEASURED), feeders))
            self._noise = block, noise, draw.random((_BLOCK, self._most + 1, feeders))
        return self._noise[1][row], self._noise[2][row]
