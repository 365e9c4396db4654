"""What meters report of themselves (grid.device_events): last gasps, opened covers, magnets, lost phases.

Which events of the city make a meter speak, whether what it says gets through, and when, follows from the seed, the
event's number and the meter alone. The truth keeps what was said and never came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grid.device_events import EVENT_KINDS, MAX_EVENTS, DeviceEventKind
from twin.delivery import Sender
from twin.delivery_faults import DeliveryFaults
from twin.draws import stream
from twin.effects import Effects, Turn
from twin.events import Event, EventKind
from twin.outbox import Made, MessageKind, encode, json_fields

_SECOND_US = 1_000_000
#: Index of each kind in `EVENT_KINDS`.
_KIND = {kind: EVENT_KINDS.index(kind.value) for kind in DeviceEventKind}
#: A cover is open for so long, seconds.
_OPEN_FROM_S, _OPEN_TO_S = 120.0, 1_200.0
#: A meter is taken out so long before its successor counts, and closed so long after.
_FITTING_S = 180.0


@dataclass(frozen=True, slots=True)
class ReportShares:
    """How often meters report, and how often that gets through; all are shares from 0 to 1.

    Attributes
    ----------
    last_gasp, power_restored
        Of meters that lose their voltage or get it back: those whose report gets through. A meter without voltage
        sends by what its capacitor holds, and its neighbours that could pass it on have none either.
    cover
        Of thefts inside a meter (scaled or by night) and of bypasses: those whose cover tells that it was opened.
    magnet
        Of stopped meters: those in which a magnet did it, and its field is felt.
    phase_missing, reverse_energy
        Of lost phases, and of reversed current transformers: those that the meter notices.
    delivered
        Of all these reports but the first two: those that get through.
    """

    last_gasp: float = 0.8
    power_restored: float = 0.95
    cover: float = 0.5
    magnet: float = 0.3
    phase_missing: float = 0.8
    reverse_energy: float = 0.8
    delivered: float = 0.98

    def __post_init__(self) -> None:
        for f in fields(self):
            if not 0 <= getattr(self, f.name) <= 1:
                raise ValueError(f"{f.name} is a share from 0 to 1, not {getattr(self, f.name)}")

    @classmethod
    def none(cls) -> ReportShares:
        """Meters report nothing."""
        return cls(**{f.name: 0.0 for f in fields(cls)})


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What meters said, each at its instant, in the order of the messages that hold it; arrays of shape (n,).

    Attributes
    ----------
    observed_us
        When it happened, to the millisecond.
    meter, unit
        Positions: in the records' meters, and among the units that send.
    kind
        Index in `EVENT_KINDS`.
    number
        Of the city's event that made the meter speak.
    sent_us
        When it was first sent; 0 where it never came.
    told_us
        When the last of what its message holds had happened.
    """

    observed_us: NDArray[np.int64]
    meter: NDArray[np.int64]
    unit: NDArray[np.int64]
    kind: NDArray[np.int8]
    number: NDArray[np.int64]
    sent_us: NDArray[np.int64]
    told_us: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.observed_us)


class DeviceEvents:
    """All that the meters of a city say, prepared at construction.

    Attributes
    ----------
    said
        Whatever was said, with what of it got through.

    Parameters
    ----------
    events, effects
        What happens; effects know which meters an outage leaves without voltage.
    recorded_at
        Of each meter of the records its position in the true model.
    units
        Who sends, for which meters of the records.
    begin_s
        What was so from the start was reported before.
    """

    def __init__(
        self,
        events: Sequence[Event],
        effects: Effects,
        recorded_at: NDArray[np.int64],
        units: Sequence[Sender],
        *,
        begin_s: int,
        seed: int,
        shares: ReportShares | None = None,
        faults: DeliveryFaults | None = None,
    ) -> None:
        self._units, self._seed = tuple(units), seed
        self._shares, self._faults = shares or ReportShares(), faults or DeliveryFaults()
        self._position = np.empty(len(recorded_at), np.int64)
        self._position[recorded_at] = np.arange(len(recorded_at))
        self._unit_of = np.full(len(recorded_at), -1, np.int64)
        for i, unit in enumerate(units):
            self._unit_of[unit.first : unit.last] = i
        parts = [
            *(self._turned(turn, DeviceEventKind.LAST_GASP) for turn in effects.last_gasps()),
            *(self._turned(turn, DeviceEventKind.POWER_RESTORED) for turn in effects.restorations()),
            *(self._told(e, effects.meter_of(e.entity)) for e in events if e.kind in _TOLD and e.begin_s > begin_s),
        ]
        self.said, self._messages = self._gathered([part for part in parts if len(part.observed_us)])

    def made(self, begin_s: int, end_s: int, code: Callable[[int, int], str]) -> Iterator[Made]:
        """Messages that have all they hold in [begin, end), in the order of their making.

        Parameters
        ----------
        code
            Asset number of the meter at a position, at an instant in microseconds.
        """
        for message in self._messages:
            if begin_s * _SECOND_US <= message.told_us < end_s * _SECOND_US:
                yield self._made(message, code)

    def _turned(self, turn: Turn, kind: DeviceEventKind) -> _Part:
        """Of meters that lose their voltage or get it back."""
        gasp = kind is DeviceEventKind.LAST_GASP
        share = self._shares.last_gasp if gasp else self._shares.power_restored
        # By position in the true model, so that a wrong record changes nothing of it.
        draw = stream(self._seed, f"report {kind.value}", turn.number, turn.at_s).random((2, len(self._position)))
        from_s, to_s = (0.1, 2.0) if gasp else (5.0, 60.0)
        after_s = from_s + draw[1, turn.meters] * (to_s - from_s)
        return _Part(
            _milliseconds(turn.at_s + after_s),
            self._position[turn.meters],
            np.full(len(turn.meters), _KIND[kind], np.int8),
            np.full(len(turn.meters), turn.number, np.int64),
            draw[0, turn.meters] < share,
        )

    def _told(self, event: Event, meter: int) -> _Part:
        """Of one meter's frauds and faults, and of its replacement."""
        luck, length, *through = stream(self._seed, "report of an event", event.number, event.begin_s).random(4)
        open_s = _OPEN_FROM_S + length * (_OPEN_TO_S - _OPEN_FROM_S)
        at = [(kind, after_s) for kind, after_s in _happens(event.kind, luck, open_s, self._shares) if meter >= 0]
        return _Part(
            _milliseconds(np.array([event.begin_s + after_s for _, after_s in at])),
            np.full(len(at), self._position[meter], np.int64),
            np.array([_KIND[kind] for kind, _ in at], np.int8),
            np.full(len(at), event.number, np.int64),
            np.array(through[: len(at)]) < self._shares.delivered,
        )

    def _gathered(self, parts: Sequence[_Part]) -> tuple[Said, list[_Message]]:
        """Reports by message: what meters of one unit say of one thing, the messages in the order of their making."""
        if not parts:
            none = np.zeros(0, np.int64)
            return Said(none, none, none, none.astype(np.int8), none, none, none), []
        observed, meter, kind, number, through = (np.concatenate(column) for column in zip(*parts, strict=True))
        unit = self._unit_of[meter]
        order = np.lexsort((meter, observed, kind, unit, number))
        observed, meter, kind = observed[order], meter[order], kind[order]
        number, through, unit = number[order], through[order], unit[order]
        key = np.stack([number, unit, kind])
        starts = np.flatnonzero(np.append(True, (key[:, 1:] != key[:, :-1]).any(axis=0)))
        sent = np.zeros(len(observed), np.int64)
        told = np.repeat(np.maximum.reduceat(observed, starts), np.diff([*starts, len(observed)]))
        messages = []
        for first, last in zip(starts.tolist(), [*starts[1:].tolist(), len(observed)], strict=True):
            rows = first + np.flatnonzero(through[first:last])[:MAX_EVENTS]
            if not len(rows):
                continue
            message = self._message(rows, int(told[first]), int(unit[first]), int(kind[first]), int(number[first]))
            messages.append(message)
            if message.send_us:
                sent[rows] = message.send_us[0]
        messages.sort(key=lambda m: (m.made_us, m.unit))
        return Said(observed, meter, unit, kind, number, sent, told), messages

    def _message(self, rows: NDArray[np.int64], told_us: int, unit: int, kind: int, number: int) -> _Message:
        """When the gateway makes the message and sends it; lost and repeated as others are, but never held back."""
        faults = self._faults
        gather, delay, lost, again, later = stream(self._seed, "delivery of a report", number, unit, kind).random(5)
        made_us = told_us + int(gather * 5 * _SECOND_US)
        sent_us = made_us + int((1 + delay * 9) * _SECOND_US)
        send: tuple[int, ...] = (sent_us,)
        if lost < faults.lost_share:
            send = ()
        elif again < faults.duplicate_share:
            more_s = faults.duplicate_from_s + later * (faults.duplicate_to_s - faults.duplicate_from_s)
            send = (sent_us, sent_us + int(more_s * _SECOND_US))
        return _Message(told_us, made_us, unit, rows, send)

    def _made(self, message: _Message, code: Callable[[int, int], str]) -> Made:
        said, unit = self.said, self._units[message.unit]
        meters, instants = said.meter[message.rows].tolist(), said.observed_us[message.rows].tolist()
        body = json_fields(
            [
                ("meter", encode([code(meter, at_us) for meter, at_us in zip(meters, instants, strict=True)])),
                ("kind", encode([EVENT_KINDS[kind] for kind in said.kind[message.rows].tolist()])),
                ("observed_at", encode([_text(at_us) for at_us in instants])),
            ]
        )
        return Made(
            made_us=message.made_us,
            send_at_us=message.send_us,
            gateway=unit.gateway,
            topic=f"meterline/v1/{unit.gateway}/event/{unit.code}",
            body=body,
            kind=MessageKind.EVENT,
            unit=message.unit,
            readings=len(message.rows),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Message:
    told_us: int
    made_us: int
    unit: int
    rows: NDArray[np.int64]
    """Of `Said`."""
    send_us: tuple[int, ...]


class _Part(NamedTuple):
    """What one event of the city makes meters say; `through`: whether it gets through."""

    observed_us: NDArray[np.int64]
    meter: NDArray[np.int64]
    kind: NDArray[np.int8]
    number: NDArray[np.int64]
    through: NDArray[np.bool_]


#: Kinds of which a meter tells, beside outages.
_TOLD = frozenset(
    {
        EventKind.THEFT_SCALING,
        EventKind.THEFT_NIGHT,
        EventKind.THEFT_BYPASS,
        EventKind.METER_STOPPED,
        EventKind.PHASE_LOST,
        EventKind.CT_REVERSED,
        EventKind.METER_REPLACED,
    }
)


def _happens(
    kind: EventKind, luck: float, open_s: float, shares: ReportShares
) -> Sequence[tuple[DeviceEventKind, float]]:
    """What a meter notices of an event, and how many seconds after its begin."""
    opened = ((DeviceEventKind.COVER_OPEN, -open_s), (DeviceEventKind.COVER_CLOSED, -1.0))
    match kind:
        case EventKind.THEFT_SCALING | EventKind.THEFT_NIGHT | EventKind.THEFT_BYPASS:
            return opened if luck < shares.cover else ()
        case EventKind.METER_STOPPED:
            return ((DeviceEventKind.MAGNETIC_FIELD, 0.0),) if luck < shares.magnet else ()
        case EventKind.PHASE_LOST:
            return ((DeviceEventKind.PHASE_MISSING, 60.0),) if luck < shares.phase_missing else ()
        case EventKind.CT_REVERSED:
            return ((DeviceEventKind.REVERSE_ENERGY, 900.0),) if luck < shares.reverse_energy else ()
        case _:  # a fitter opens the old meter and closes the new one
            return ((DeviceEventKind.COVER_OPEN, -_FITTING_S), (DeviceEventKind.COVER_CLOSED, _FITTING_S))


def _milliseconds(at_s: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(at_s * 1e3).astype(np.int64) * 1_000


def _text(at_us: int) -> str:
    at = datetime.fromtimestamp(at_us // _SECOND_US, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_us // 1_000 % 1_000:03d}Z"
