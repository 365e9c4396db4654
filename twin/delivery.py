"""How readings reach the head-end: what gets lost, comes late or comes twice, with the truth of it kept.

Whatever happens is drawn from the seed, the unit or meter, and the time alone. So a day by itself meets the same faults
as within a week.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from twin.delivery_faults import DeliveryFaults, DeliveryTruth, Fate, Mask, Spells
from twin.draws import stream
from twin.metering import MeterReadings
from twin.outbox import Made, MessageKind, encode, json_fields
from twin.phase_quantities import PhaseReadings

_SECOND_US = 1_000_000
_DAY_S, _WEEK_S = 86_400, 604_800
#: A concentrator that returns sends what it holds within this time, the oldest first.
_BACKLOG_S = 60.0
#: Columns of units at low voltage.
_OF_PHASES = frozenset(
    {
        "voltage_a_v", "voltage_b_v", "voltage_c_v", "current_a_a", "current_b_a", "current_c_a", "power_factor"
    }
)  # fmt: skip


class Sender(Protocol):
    """A unit that sends: `twin.scenario.Unit`."""

    @property
    def code(self) -> str: ...
    @property
    def gateway(self) -> str: ...
    @property
    def first(self) -> int: ...
    @property
    def last(self) -> int: ...
    @property
    def has_voltage(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class _Paths:
    """What happens to the messages of one interval: arrays of shape (units,), of times of sending (units, 2)."""

    send_at_us: NDArray[np.int64]
    """First and second time; 0 = none."""
    fate: NDArray[np.int8]
    """0 where it came in time."""


class Delivery:
    """Messages of all units, from readings.

    Attributes
    ----------
    truth
        What happened so far, for who takes it from there.

    Parameters
    ----------
    units
        Who sends, for which meters.
    codes
        Of all meters.
    registers
        Whether messages hold registers too.
    frozen_zone
        The utility's time zone, at whose midnights each unit sends its daily frozen registers (日冻结); None = none.
    """

    def __init__(
        self,
        units: Sequence[Sender],
        codes: Sequence[str],
        seed: int = 0,
        faults: DeliveryFaults | None = None,
        *,
        registers: bool = False,
        frozen_zone: tzinfo | None = None,
    ) -> None:
        self.faults = faults or DeliveryFaults()
        self.truth = DeliveryTruth()
        self._units = tuple(units)
        self._seed = seed
        self._size = len(codes)
        self._with_registers = registers
        self._zone = frozen_zone
        self._topics = [f"meterline/v1/{unit.gateway}/block/{unit.code}" for unit in units]
        # Names never change: they are encoded once and copied.
        self._codes = list(codes)
        self._meters = [encode(self._codes[unit.first : unit.last]) for unit in units]
        self._unit_of_meter = np.full(self._size, -1, np.int64)
        for i, unit in enumerate(units):
            self._unit_of_meter[unit.first : unit.last] = i

    def rename(self, position: int, code: str) -> None:
        """From now on another meter stands at a position."""
        self._codes[position] = code
        unit = int(self._unit_of_meter[position])
        self._meters[unit] = encode(self._codes[self._units[unit].first : self._units[unit].last])

    def make(
        self, readings: MeterReadings, off: Mask | None = None, phases: PhaseReadings | None = None
    ) -> Iterator[Made]:
        """Messages of one interval, in the order of the units; of a local day that ends with it, frozen ones after.

        A unit that has nothing to say makes none.

        Parameters
        ----------
        off
            (meters,): without voltage, so that nothing is read. A meter whose outage has ended is read as before.
        phases
            Voltages of the other phases, currents and power factors; None = units that show voltage show one.
        """
        unread = self._unread(readings, off)
        paths = self._paths(MessageKind.BLOCK, readings, readings.interval_s, 0.0)
        yield from self._messages(MessageKind.BLOCK, readings, readings.interval_s, unread, paths, phases)
        length_s = self._day_ended(readings.end_s)
        if length_s:
            paths = self._paths(MessageKind.FROZEN, readings, length_s, self.faults.frozen_to_s)
            yield from self._messages(MessageKind.FROZEN, readings, length_s, unread, paths)

    def _unread(self, readings: MeterReadings, off: Mask | None) -> dict[Fate, Mask]:
        """Which meters aren't read, by why; one reason each."""
        faults, end_s = self.faults, readings.end_s
        dark = np.zeros(self._size, np.bool_) if off is None else off
        silent = missing = np.zeros(self._size, np.bool_)
        if faults.silent_share:
            mean_s = (faults.silent_from_s + faults.silent_to_s) / 2
            chance = faults.silent_share * _DAY_S / mean_s
            spells = Spells(
                self._seed, "silent meter", self._size, _DAY_S, chance, faults.silent_from_s, faults.silent_to_s
            )
            silent = spells.at(np.full(self._size, float(end_s)))[0] & ~dark
        if faults.missing_share:
            numbers = stream(self._seed, "missing", end_s, readings.interval_s).random(self._size)
            missing = (numbers < faults.missing_share) & ~silent & ~dark
        return {Fate.OFF: dark, Fate.SILENT: silent, Fate.MISSING: missing}

    def _paths(self, kind: MessageKind, readings: MeterReadings, length_s: int, more_s: float) -> _Paths:
        """When each unit's message is sent, and what happened to it."""
        faults, count = self.faults, len(self._units)
        draw = stream(self._seed, f"delivery of {kind.value}", readings.end_s, length_s).random((6, count))
        delay_s = faults.delay_from_s + draw[0] * (faults.delay_to_s - faults.delay_from_s) + draw[5] * more_s
        normal_s = readings.end_s + delay_s
        fate = np.zeros(count, np.int8)
        at_s = normal_s.copy()

        # One number says what happens to a message, so that the shares are exact and don't overlap.
        edges = np.cumsum([0.0, faults.lost_share, faults.very_late_share, faults.late_share])
        for name, low, high in zip((Fate.LOST, Fate.VERY_LATE, Fate.LATE), edges[:-1], edges[1:], strict=True):
            fate[(draw[1] >= low) & (draw[1] < high)] = name
        for name, from_s, to_s in (
            (Fate.LATE, faults.late_from_s, faults.late_to_s),
            (Fate.VERY_LATE, faults.very_late_from_s, faults.very_late_to_s),
        ):
            at_s = np.where(fate == name, normal_s + from_s * (to_s / from_s) ** draw[2], at_s)
        if faults.concentrator_silences_a_week:
            spells = Spells(
                self._seed, "silent concentrator", count, _WEEK_S, faults.concentrator_silences_a_week,
                faults.concentrator_from_s, faults.concentrator_to_s,
            )  # fmt: skip
            silent, begin_s, end_s, luck = spells.at(normal_s)
            silent &= fate != Fate.LOST
            fate[silent] = np.where(luck[silent] < faults.backlog_lost_share, Fate.NEVER_CAME, Fate.BACKLOG)
            waited = (normal_s - begin_s) / np.maximum(end_s - begin_s, 1.0)
            at_s = np.where(silent, end_s + waited * _BACKLOG_S, at_s)
        gone = (fate == Fate.LOST) | (fate == Fate.NEVER_CAME)
        again_s = at_s + faults.duplicate_from_s + draw[4] * (faults.duplicate_to_s - faults.duplicate_from_s)
        again = (draw[3] < faults.duplicate_share) & ~gone
        first_us = np.where(gone, 0, (at_s * _SECOND_US).astype(np.int64))
        second_us = np.where(again, (again_s * _SECOND_US).astype(np.int64), 0)
        return _Paths(np.stack([first_us, second_us], axis=1), fate)

    def _messages(
        self,
        kind: MessageKind,
        readings: MeterReadings,
        length_s: int,
        unread: dict[Fate, Mask],
        paths: _Paths,
        phases: PhaseReadings | None = None,
    ) -> Iterator[Made]:
        absent = np.logical_or.reduce(list(unread.values()))
        there = np.bincount(self._unit_of_meter[~absent & (self._unit_of_meter >= 0)], minlength=len(self._units))
        self._keep(kind, readings, length_s, unread, paths, there > 0)
        columns = self._columns(kind, readings, absent, phases)
        sums = [
            np.concatenate([[0], np.cumsum(np.where(absent, 0, wh))]) for wh in (readings.import_wh, readings.export_wh)
        ]
        observed = encode(f"{datetime.fromtimestamp(readings.end_s, UTC):%Y-%m-%dT%H:%M:%SZ}")
        head = [("observed_at", observed), ("interval_s", encode(length_s))]
        times = paths.send_at_us.tolist()
        for i, unit in enumerate(self._units):
            if not there[i]:
                continue
            part = slice(unit.first, unit.last)
            body = json_fields(
                [
                    *head,
                    ("meter", self._meters[i]),
                    *((n, encode(column[part])) for n, column in columns if n not in _OF_PHASES or unit.has_voltage),
                ]
            )
            energy = [int(s[unit.last] - s[unit.first]) if kind is MessageKind.BLOCK else 0 for s in sums]
            yield Made(
                made_us=readings.end_s * _SECOND_US,
                send_at_us=tuple(at_us for at_us in times[i] if at_us),
                gateway=unit.gateway,
                topic=self._topics[i],
                body=body,
                kind=kind,
                unit=i,
                readings=int(there[i]),
                import_wh=energy[0],
                export_wh=energy[1],
                end_s=readings.end_s,
                interval_s=length_s,
            )

    def _columns(
        self, kind: MessageKind, readings: MeterReadings, absent: Mask, phases: PhaseReadings | None
    ) -> list[tuple[str, list[Any]]]:
        """Columns of all meters, None where nothing was read."""
        energies = [("import_wh", readings.import_wh), ("export_wh", readings.export_wh)]
        registers = [
            ("register_import_wh", readings.import_register_wh),
            ("register_export_wh", readings.export_register_wh),
        ]
        arrays: list[tuple[str, NDArray[Any]]] = [*registers]
        if kind is MessageKind.BLOCK:
            arrays = [*energies, *(registers if self._with_registers else []), ("voltage_a_v", readings.voltage_v)]
            # What is NaN becomes null.
            arrays += () if phases is None else phases.columns.items()
        columns = [(name, values.tolist()) for name, values in arrays]
        for position in np.flatnonzero(absent).tolist():
            for _, column in columns:
                column[position] = None
        return columns

    def _keep(
        self,
        kind: MessageKind,
        readings: MeterReadings,
        length_s: int,
        unread: dict[Fate, Mask],
        paths: _Paths,
        made: Mask,
    ) -> None:
        """Put down the truth."""
        for fate, mask in unread.items():
            meters = np.flatnonzero(mask & (self._unit_of_meter >= 0))
            self.truth.add(fate, kind, self._unit_of_meter[meters], meters, readings, length_s)
        first_us, second_us = paths.send_at_us.T
        for fate in (Fate.NEVER_CAME, Fate.LOST, Fate.BACKLOG, Fate.LATE, Fate.VERY_LATE):
            units = np.flatnonzero((paths.fate == fate) & made)
            self.truth.add(fate, kind, units, -1, readings, length_s, first_us[units])
        units = np.flatnonzero((second_us > 0) & made)
        self.truth.add(Fate.DUPLICATE, kind, units, -1, readings, length_s, second_us[units])

    def _day_ended(self, end_s: int) -> int:
        """Length of the local day that ends here; 0 if none does."""
        if self._zone is None:
            return 0
        local = datetime.fromtimestamp(end_s, self._zone)
        if (local.hour, local.minute, local.second) != (0, 0, 0):
            return 0
        day = local.date() - timedelta(days=1)
        return end_s - int(datetime(day.year, day.month, day.day, tzinfo=self._zone).timestamp())
