"""A unit's interval as the message that its gateway sends: columnar JSON on an MQTT topic."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

import msgspec

from twin.scenario import Readings, Twin


@dataclass(frozen=True, slots=True)
class Message:
    """One message, with the sums that go to the ledger."""

    gateway: str
    unit: int
    """Position among the twin's units."""
    topic: str
    payload: bytes
    sequence: int
    readings: int
    import_wh: int
    export_wh: int


class MessageBuilder:
    """Builds the messages of a twin's units and numbers them by gateway.

    Parameters
    ----------
    twin
        Whose units send.
    first_sequence
        Number of each gateway's first message. A gateway that starts again continues with a greater one.
    """

    def __init__(self, twin: Twin, first_sequence: int = 1) -> None:
        self._units = twin.units
        self._topics = [f"meterline/v1/{unit.gateway}/block/{unit.code}" for unit in twin.units]
        codes = [meter.code for meter in twin.model.meters]
        encode = msgspec.json.encode
        # Names never change: they are encoded once and copied.
        self._meters = [b',"meter":' + encode(codes[unit.first : unit.last]) for unit in twin.units]
        self._sequence = dict.fromkeys((unit.gateway for unit in twin.units), first_sequence)

    def build(self, readings: Readings, without: Container[int] = ()) -> Iterator[Message]:
        """Messages for one interval, in the order of the units; units in `without` send none and use no number."""
        encode = msgspec.json.Encoder().encode
        interval = readings.interval
        observed = interval.observed_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        middle = f',"observed_at":"{observed}","interval_s":{interval.length_s}'.encode()
        imported, exported = readings.import_wh.tolist(), readings.export_wh.tolist()
        voltages = readings.voltage_v.tolist()
        for i, unit in enumerate(self._units):
            if i in without:
                continue
            sequence = self._sequence[unit.gateway]
            self._sequence[unit.gateway] = sequence + 1
            part = slice(unit.first, unit.last)
            own_import, own_export = imported[part], exported[part]
            pieces = [b'{"sequence":%d' % sequence, middle, self._meters[i]]
            pieces += [b',"import_wh":', encode(own_import), b',"export_wh":', encode(own_export)]
            if unit.has_voltage:
                pieces += [b',"voltage_a_v":', encode(voltages[part])]
            pieces.append(b"}")
            yield Message(
                unit.gateway,
                i,
                self._topics[i],
                b"".join(pieces),
                sequence,
                unit.last - unit.first,
                sum(own_import),
                sum(own_export),
            )
