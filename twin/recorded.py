"""What the utility's records say: where they are wrong, and what is reported to them as it happens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from grid.model import AccountStatus, GridModel, Meter
from grid.network import SwitchPosition
from twin.effects_places import meter_of_point
from twin.effects_transfers import find_transfers, transfer_of
from twin.events import RECORD, Event, EventKind

Change = dict[str, Any]


class Registers(NamedTuple):
    """What a meter's registers show, before the multiplier."""

    import_wh: int
    export_wh: int


class Replaced(NamedTuple):
    """Registers of the meter that is taken out and of the one that is put in."""

    removed: Registers
    installed: Registers


@dataclass(frozen=True, slots=True)
class Association:
    """How a meter is connected, and how the records have it."""

    meter: str
    true_unit: str
    recorded_unit: str
    true_phase: str | None
    recorded_phase: str | None
    true_multiplier: int
    recorded_multiplier: int

    @property
    def is_right(self) -> bool:
        """Whether the records have it as it is."""
        return (self.true_unit, self.true_phase, self.true_multiplier) == (
            self.recorded_unit, self.recorded_phase, self.recorded_multiplier,
        )  # fmt: skip


def recorded_model(model: GridModel, events: Iterable[Event], begin_s: int | None = None) -> GridModel:
    """The model as the records have it at the begin, with what is wrong in them.

    A meter that is recorded in another unit stands there behind the others. An account that is opened later is closed.

    Parameters
    ----------
    begin_s
        Records that become wrong after it are still right; None: all are wrong from the start.

    Raises
    ------
    ValueError
        When an event names something that isn't in the model, or its record wouldn't be wrong.
    """
    known = {m.code: m for m in model.meters}
    wrong: dict[str, Meter] = {}
    opened = set()
    for event in sorted(events):
        if event.kind is EventKind.ACCOUNT_OPENED and (begin_s is None or event.begin_s > begin_s):
            opened.add(event.entity)
        elif event.kind in RECORD and _holds(event, begin_s):
            code = meter_of_point(event.entity, known)
            wrong[code] = _wrongly(wrong.get(code, known[code]), event)
    accounts = tuple(replace(a, status=AccountStatus.CLOSED) if a.code in opened else a for a in model.accounts)
    if missing := opened - {a.code for a in model.accounts}:
        raise ValueError(f"no account {min(missing)} that could be opened")
    order = {unit: i for i, unit in enumerate(dict.fromkeys(m.unit for m in model.meters))}
    meters = [(wrong.get(m.code, m), m.unit) for m in model.meters]
    # Sorting is stable: units keep their order, and so do meters within them.
    meters.sort(key=lambda pair: (order.get(pair[0].unit, len(order)), pair[0].unit != pair[1]))
    return replace(model, meters=tuple(m for m, _ in meters), accounts=accounts)


def recorded_changes(
    events: Iterable[Event],
    model: GridModel,
    begin_s: int | None = None,
    registers: Mapping[str, Replaced] | None = None,
) -> list[Change]:
    """What is reported to the records, in order of time: requests of `meterline sync apply`.

    A wrong record that ends is set right then. There is no request for a meter's phases.

    Parameters
    ----------
    begin_s
        As for `recorded_model`: what is wrong in that model isn't reported as becoming so.
    registers
        At the change, by the code of the meter that is taken out.
    """
    listed = list(events)
    reporter = _Reporter(model, registers or {}, any(e.kind is EventKind.CUT_OVER for e in listed))
    changes: list[Change] = []
    for at_s, _, begins, event in _instants(listed):
        if not (event.kind in RECORD and begins and _holds(event, begin_s)):
            changes += ({**change, "valid_from": _text(at_s)} for change in reporter.report(event, begins=begins))
    return changes


def associations(true_model: GridModel, recorded: GridModel) -> list[Association]:
    """How every meter of the true model is connected and how it is recorded, in the true model's order.

    Raises
    ------
    ValueError
        When a meter isn't recorded at all.
    """
    known = {m.code: m for m in recorded.meters}
    rows = []
    for m in true_model.meters:
        if m.code not in known:
            raise ValueError(f"meter {m.code} isn't recorded")
        r = known[m.code]
        rows.append(Association(m.code, m.unit, r.unit, m.phases, r.phases, m.multiplier, r.multiplier))
    return rows


def _holds(event: Event, begin_s: int | None) -> bool:
    return begin_s is None or (event.begin_s <= begin_s and (event.end_s is None or begin_s < event.end_s))


def _wrongly(meter: Meter, event: Event) -> Meter:
    """A meter as an event has it recorded."""
    match event.kind:
        case EventKind.RECORD_AREA:
            wrong = replace(meter, unit=event.other)
        case EventKind.RECORD_PHASE:
            wrong = replace(meter, phases=event.other)
        case _:
            wrong = replace(meter, multiplier=round(meter.multiplier * event.size))
    if wrong == meter:
        raise ValueError(f"{event.kind} of {event.entity}: its record would be right")
    return wrong


def _instants(events: Iterable[Event]) -> Iterator[tuple[int, int, bool, Event]]:
    """Begins and ends of events in order of time; at one instant what ends comes first."""
    both = [(e.begin_s, e.number, True, e) for e in events]
    both += [(e.end_s, e.number, False, e) for _, _, _, e in tuple(both) if e.end_s is not None]
    yield from sorted(both, key=lambda item: (item[0], item[2], item[1]))


class _Reporter:
    """Requests of one event after the other, without their instant."""

    def __init__(self, model: GridModel, registers: Mapping[str, Replaced], switching: bool) -> None:
        self._known = {m.code: m for m in model.meters}
        self._now_called: dict[str, str] = {}
        """Code of the meter in place of one that was taken out."""
        self._tariffs = {a.code: a.tariff_class for a in model.accounts}
        self._transfers = find_transfers(model.network) if switching and model.network is not None else {}
        self._registers = registers

    def report(self, event: Event, *, begins: bool) -> list[Change]:
        """Requests of an event's begin or end."""
        match event.kind:
            case EventKind.METER_REPLACED if begins:
                return [self._replacement(event)]
            case EventKind.RECORD_AREA | EventKind.RECORD_MULTIPLIER:
                return [self._correction(event, begins=begins)]
            case EventKind.ACCOUNT_OPENED | EventKind.ACCOUNT_CLOSED:
                active = begins is (event.kind is EventKind.ACCOUNT_OPENED)
                status = AccountStatus.ACTIVE if active else AccountStatus.CLOSED
                return [{"kind": "account_status", "account": event.entity, "status": status.value}]
            case EventKind.TARIFF_CHANGED:
                tariff = event.other if begins else self._tariffs[event.entity]
                return [{"kind": "account_contract", "account": event.entity, "tariff_class": tariff}]
            case EventKind.CUT_OVER:
                return self._switching(event, begins=begins)
            case _:
                return []

    def _replacement(self, event: Event) -> Change:
        meter = meter_of_point(event.entity, self._known)
        old = self._now_called.get(meter, meter)
        self._now_called[meter] = event.other
        change: Change = {"kind": "meter_replace", "meter": old, "new_meter": event.other}
        if old in self._registers:
            change |= {name: values._asdict() for name, values in self._registers[old]._asdict().items()}
        return change

    def _correction(self, event: Event, *, begins: bool) -> Change:
        """A record that becomes wrong, or right again."""
        true = self._known[meter_of_point(event.entity, self._known)]
        recorded = _wrongly(true, event) if begins else true
        code = self._now_called.get(true.code, true.code)
        if event.kind is EventKind.RECORD_AREA:
            return {"kind": "meter_move", "meter": code, "unit": recorded.unit}
        return {"kind": "meter_multiplier", "meter": code, "multiplier": recorded.multiplier}

    def _switching(self, event: Event, *, begins: bool) -> list[Change]:
        """Reports of a cut-over's switches: what closes first, so that nobody is without supply in between."""
        transfer = transfer_of(event, self._transfers)
        closes, opens = (transfer.closes, transfer.opens) if begins else (transfer.opens, transfer.closes)
        return [
            {"kind": "switch_position", "switch": switch, "position": position.value}
            for switch, position in ((closes, SwitchPosition.CLOSED), (opens, SwitchPosition.OPEN))
        ]


def _text(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
