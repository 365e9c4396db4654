"""The usual block message, in which nothing is to be refused, read without an object for each of its values; pure.

`ingest.decode` reads any message, and says what is wrong with it. What is read here comes to the same, and whatever is
unusual (a number in another form, a value out of bounds, a column of another length) is left to it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow as pa
from numba import njit

from grid.channels import CHANNELS, Values
from grid.model import MAX_ENERGY_WH
from grid.quality import MISSING_WH
from ingest.messages import IntervalS, Meters, ObservedAt, SequenceNumber

#: A register of ten digits of a kilowatt-hour, hundredfold.
MAX_REGISTER_WH = 10**15
#: Columns of fractions: channel, steps in a unit, least and greatest value that makes sense.
FRACTIONS = {
    **{f"voltage_{phase}_v": (f"voltage_{phase}_dv", 10, 0.0, 3_000.0) for phase in "abc"},
    **{f"current_{phase}_a": (f"current_{phase}_ca", 100, 0.0, 300.0) for phase in "abc"},
    "power_factor": ("power_factor_permille", 1_000, -1.0, 1.0),
}
ENERGIES = ("import_wh", "export_wh")
REGISTERS = ("register_import_wh", "register_export_wh")

#: Bytes of lists of meters that are kept; with what they say, over twice of it.
_LISTS_BYTES = 16 << 20
#: Of so many digits every number is a double exactly, and so is ten to the power of so many.
_DIGITS = 15
_POWERS = 10.0 ** np.arange(_DIGITS + 1)
_ABSENT = msgspec.Raw()
#: Names in a message beside those of its columns.
_NAMES = 4


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`ingest.messages.BlockMessage`, its columns as they are written."""

    sequence: SequenceNumber
    observed_at: ObservedAt
    interval_s: IntervalS
    meter: msgspec.Raw
    import_wh: msgspec.Raw = _ABSENT
    export_wh: msgspec.Raw = _ABSENT
    register_import_wh: msgspec.Raw = _ABSENT
    register_export_wh: msgspec.Raw = _ABSENT
    voltage_a_v: msgspec.Raw = _ABSENT
    voltage_b_v: msgspec.Raw = _ABSENT
    voltage_c_v: msgspec.Raw = _ABSENT
    current_a_a: msgspec.Raw = _ABSENT
    current_b_a: msgspec.Raw = _ABSENT
    current_c_a: msgspec.Raw = _ABSENT
    power_factor: msgspec.Raw = _ABSENT


@dataclass(frozen=True, slots=True, eq=False)
class PlainMessage:
    """A message with nothing to refuse but perhaps its time; columns as in `grid.block.Block`."""

    message: _Message
    meters: pa.StringArray
    channels: dict[str, Values]


class MeterLists:
    """Lists of meters as gateways write them, and what they say: one sends the same list each time.

    Parameters
    ----------
    limit
        Bytes of lists that are kept; beyond, those go that weren't seen for longest.
    """

    def __init__(self, limit: int = _LISTS_BYTES) -> None:
        self._limit = limit
        # Codes, and how many quotation marks the list has.
        self._known: OrderedDict[bytes, tuple[pa.StringArray, int]] = OrderedDict()
        self.held_bytes = 0

    def read(self, text: bytes) -> tuple[pa.StringArray, int] | None:
        """Codes of a list in JSON, and its quotation marks; None where it is none, or names a meter twice."""
        known = self._known.get(text)
        if known is not None:
            self._known.move_to_end(text)
            return known
        try:
            codes = _meters.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if len(set(codes)) != len(codes):
            return None
        known = self._known[text] = pa.array(codes, pa.string()), _quotation_marks(text)
        self.held_bytes += len(text)
        while self.held_bytes > self._limit:
            self.held_bytes -= len(self._known.popitem(last=False)[0])
        return known


_messages = msgspec.json.Decoder(_Message)
_meters = msgspec.json.Decoder(Meters)
_lists = MeterLists()


def read_plain(payload: bytes, lists: MeterLists = _lists) -> PlainMessage | None:
    """A usual message; None where anything of it is unusual."""
    try:
        message = _messages.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    known = lists.read(bytes(message.meter))
    if known is None:
        return None
    meters, marks = known
    size = len(meters)
    channels: dict[str, Values] = {}
    for name, most_wh in _WHOLE.items():
        raw = getattr(message, name)
        if raw is not _ABSENT:
            channels[name] = whole = np.empty(size, np.int64)
            if not _read_whole(np.frombuffer(raw, np.uint8), whole, most_wh, MISSING_WH):
                return None
    for name, (channel, steps, least, greatest, missing) in _SCALED.items():
        raw = getattr(message, name)
        if raw is not _ABSENT:
            channels[channel] = scaled = np.empty(size, np.int16)
            if not _read_scaled(np.frombuffer(raw, np.uint8), scaled, steps, least, greatest, missing):
                return None
    # One that is said twice must be judged both times, and the first isn't kept. Columns have no quotation marks here:
    # there are those of names, of the time and of the meters.
    strings = len(channels) + _NAMES + 1
    if not channels or _quotation_marks(payload) != marks + 2 * strings:
        return None
    return PlainMessage(message, meters, channels)


def _quotation_marks(text: bytes) -> int:
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord('"')))


_WHOLE = dict.fromkeys(ENERGIES, MAX_ENERGY_WH) | dict.fromkeys(REGISTERS, MAX_REGISTER_WH)
_SCALED = {
    name: (channel, float(steps), least, greatest, int(CHANNELS[channel].missing))
    for name, (channel, steps, least, greatest) in FRACTIONS.items()
}


@njit(cache=True)
def _skip(text, at):  # type: ignore[no-untyped-def]  # numba infers
    """Place of the next byte that isn't white space."""
    while at < len(text) and (text[at] == 32 or (9 <= text[at] <= 13 and text[at] != 11 and text[at] != 12)):
        at += 1
    return at


@njit(cache=True)
def _digits(text, at, number):  # type: ignore[no-untyped-def]
    """Number with the digits from `at` on behind it, and place behind them."""
    while at < len(text) and 48 <= text[at] <= 57:
        number = number * 10 + (text[at] - 48)
        at += 1
    return number, at


@njit(cache=True)
def _is_digit(byte):  # type: ignore[no-untyped-def]
    return 48 <= byte <= 57


@njit(cache=True)
def _usual(text, at):  # type: ignore[no-untyped-def]
    """A value without sign, with another behind it: digits as one number, how many behind the point, the other's place.

    The place is −1 where it is none, or perhaps none: `_value` says. Most values are so, and take a third of the time.
    """
    begin, size, number, places = at, len(text), 0, 0
    while at < size and _is_digit(text[at]):
        number = number * 10 + (text[at] - 48)
        at += 1
    whole = at - begin
    if at < size and text[at] == 46:
        at += 1
        while at < size and _is_digit(text[at]):
            number = number * 10 + (text[at] - 48)
            at += 1
            places += 1
        if places == 0:
            return 0, 0, -1
    if whole == 0 or (whole > 1 and text[begin] == 48) or whole + places > _DIGITS or at + 2 >= size or text[at] != 44:
        return 0, 0, -1
    other = at + 2 if text[at + 1] == 32 else at + 1
    return number, places, other if _is_digit(text[other]) else -1


@njit(cache=True)
def _value(text, at):  # type: ignore[no-untyped-def]
    """Digits of a value as one number, how many of them are behind the point (−1: null), its sign, place behind it.

    The place is −1 where it is no value, or one of more digits than a double has.
    """
    if at + 4 <= len(text) and text[at] == 110 and text[at + 1] == 117 and text[at + 2] == 108 and text[at + 3] == 108:
        return 0, -1, 1, at + 4
    sign = 1
    if at < len(text) and text[at] == 45:
        sign = -1
        at += 1
    number, end = _digits(text, at, 0)
    if end == at or (text[at] == 48 and end > at + 1):  # JSON has no number like 01
        return 0, 0, sign, -1
    size, places = end - at, 0
    if end < len(text) and text[end] == 46:
        point = end
        number, end = _digits(text, point + 1, number)
        places = end - point - 1
        if places == 0:
            return 0, 0, sign, -1
    return number, places, sign, end if size + places <= _DIGITS else -1


@njit(cache=True)
def _end(text, at, more):  # type: ignore[no-untyped-def]
    """Place of the next value, if there are to be more, or the length of a list that ends as it should; else −1."""
    at = _skip(text, at)
    if at == len(text) or text[at] != (44 if more else 93):
        return -1
    return _skip(text, at + 1)


@njit(cache=True)
def _read_whole(text, out, greatest, missing):  # type: ignore[no-untyped-def]
    """Read a list of whole numbers from 0 to `greatest`, or null, into all of `out`; whether it is one."""
    at = _skip(text, 0)
    if at == len(text) or text[at] != 91:
        return False
    at = _skip(text, at + 1)
    for i in range(len(out)):
        number, places, other = _usual(text, at)
        if other >= 0 and places == 0 and number <= greatest and i + 1 < len(out):
            out[i] = number
            at = other
            continue
        number, places, sign, at = _value(text, at)
        if at < 0 or places > 0 or (sign < 0 and number) or number > greatest:
            return False
        out[i] = number if places == 0 else missing
        at = _end(text, at, i + 1 < len(out))
        if at < 0:
            return False
    return at == len(text)


@njit(cache=True)
def _read_scaled(text, out, steps, least, greatest, missing):  # type: ignore[no-untyped-def]
    """The same of fractions, in `steps` of a unit."""
    at = _skip(text, 0)
    if at == len(text) or text[at] != 91:
        return False
    at = _skip(text, at + 1)
    for i in range(len(out)):
        number, places, other = _usual(text, at)
        value = number / _POWERS[places] if other >= 0 else 0.0
        if other >= 0 and least <= value <= greatest and i + 1 < len(out):
            out[i] = np.rint(value * steps)
            at = other
            continue
        number, places, sign, at = _value(text, at)
        if at < 0:
            return False
        # Exact numbers divided once: the double that is nearest to what is written, as every reader of JSON takes it.
        value = sign * number / _POWERS[max(places, 0)]
        if places >= 0 and not least <= value <= greatest:
            return False
        out[i] = np.rint(value * steps) if places >= 0 else missing
        at = _end(text, at, i + 1 < len(out))
        if at < 0:
            return False
    return at == len(text)
