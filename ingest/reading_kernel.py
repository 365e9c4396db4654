"""The common form of a single reading, read from the bytes of many records at a time; and the place of its meter.

Common is what a JSON writer makes of plain numbers: an object whose names and strings need no escape and have no byte
beyond ASCII, numbers of at most 15 digits (whole ones 18) without an exponent, instants of the calendar's form,
intervals within the hour, and values that make sense. What is taken here is what the JSON library takes, bit for bit;
all else is left to it. White space, the order of the fields and null are as they come.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from grid.block import INTERVALS_S
from grid.channels import MEASURED
from grid.model import MAX_ENERGY_WH
from grid.quality import MISSING_WH
from ingest.checks import MAX_AHEAD_US, MAX_BEHIND_US, MAX_PAYLOAD
from ingest.decode_plain import FRACTIONS, MAX_REGISTER_WH
from ingest.decode_reading import FIELDS

#: What became of a record: a reading, another form than the common one, or a reading of a meter that has no place.
TAKEN, OTHER, UNKNOWN = 0, 1, 2

#: Bits of a key below its minute and its kind of interval: the row of a place.
ROW_BITS = 32
#: The kind of interval lies above the row, the minute of its end above that.
MINUTE_SHIFT = ROW_BITS + 3

_METER, _OBSERVED, _INTERVAL, _SEQUENCE = 0, 1, 2, 3
_HEAD = 4
_NAMES = [name.encode() for name in ("meter", "observed_at", "interval_s", "sequence", *FIELDS)]
_NAME_BYTES = np.frombuffer(b"".join(_NAMES), np.uint8)
_NAME_AT = np.concatenate(([0], np.cumsum([len(name) for name in _NAMES]))).astype(np.int64)
_WHOLE = np.array([name not in FRACTIONS for name in FIELDS])
_STEPS = np.array([1 if name not in FRACTIONS else FRACTIONS[name][1] for name in FIELDS], np.float64)
_GREATEST_WHOLE = {"import_wh": MAX_ENERGY_WH, "export_wh": MAX_ENERGY_WH}
_LEAST = np.array([0.0 if name not in FRACTIONS else FRACTIONS[name][2] for name in FIELDS])
_GREATEST = np.array(
    [_GREATEST_WHOLE.get(name, MAX_REGISTER_WH) if name not in FRACTIONS else FRACTIONS[name][3] for name in FIELDS],
    np.float64,
)
_POWERS = 10.0 ** np.arange(16)
_INTERVALS = np.array(INTERVALS_S, np.int64)
_MAX_CODE = 64
#: What an integer holds of any such number, and what a double holds exactly.
_MAX_DIGITS, _EXACT_DIGITS = 18, 15

if len(FIELDS) != len(MEASURED):
    raise AssertionError("a field for each channel")


def read_common(
    data: NDArray[np.uint8],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    received_us: int,
    code_at: NDArray[np.int64],
    code_end: NDArray[np.int64],
    observed_us: NDArray[np.int64],
    kind: NDArray[np.int64],
    sequence: NDArray[np.int64],
    values: NDArray[np.int64],
    status: NDArray[np.uint8],
) -> None:
    """Read n records at `begins` to `ends` of `data` into the other arrays, of shape (n,); `values` is (channels, n).

    `code_at` and `code_end` say where in `data` the meter's code lies; `kind` is a place in `INTERVALS_S`.
    """
    _read(
        data, begins, ends, received_us, code_at, code_end, observed_us, kind, sequence, values, status,
        _NAME_BYTES, _NAME_AT, _WHOLE, _STEPS, _LEAST, _GREATEST, _POWERS, _INTERVALS,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _read(  # type: ignore[no-untyped-def]  # noqa: C901, PLR0912, PLR0915  # numba infers; one pass over the bytes
    data, begins, ends, received_us, code_at, code_end, observed_us, kind, sequence, values, status,
    name_bytes, name_at, whole, steps, least, greatest, powers, intervals,
):  # fmt: skip
    names = len(name_at) - 1
    # Devices write their fields in one order: which field came after which, last time.
    following = np.zeros(names + 1, np.int64)
    for r in range(len(begins)):
        p, end = begins[r], ends[r]
        status[r] = OTHER
        seen = 0
        last = names
        sequence[r] = 0
        for f in range(values.shape[0]):
            values[f, r] = MISSING_WH
        p = _blank(data, p, end)
        if p >= end or data[p] != 123 or end - begins[r] > MAX_PAYLOAD:  # {
            continue
        p += 1
        said = False
        closed = False
        while True:
            p = _blank(data, p, end)
            if p >= end or data[p] != 34:  # "
                break
            p += 1
            field = following[last]
            size = name_at[field + 1] - name_at[field]
            if not _is_name(data, p, end, name_bytes, name_at[field], size):
                field = -1
                for other in range(names):
                    size = name_at[other + 1] - name_at[other]
                    if _is_name(data, p, end, name_bytes, name_at[other], size):
                        field = other
                        break
                if field < 0:
                    break
                following[last] = field
            last = field
            if seen & (1 << field):
                break
            seen |= 1 << field
            p = _blank(data, p + size + 1, end)
            if p >= end or data[p] != 58:  # :
                break
            p = _blank(data, p + 1, end)
            if field <= _OBSERVED:
                if p >= end or data[p] != 34:
                    break
                begin = p + 1
                p = begin
                while p < end and data[p] != 34 and data[p] != 92 and 32 <= data[p] < 127:
                    p += 1
                if p >= end or data[p] != 34:
                    break
                if field == _METER:
                    if p == begin or p - begin > _MAX_CODE:
                        break
                    code_at[r], code_end[r] = begin, p
                else:
                    observed_us[r] = _instant(data, begin, p)
                    if observed_us[r] <= 0:
                        break
                p += 1
            elif p + 4 <= end and data[p] == 110 and field >= _HEAD:  # null
                if data[p + 1] != 117 or data[p + 2] != 108 or data[p + 3] != 108:
                    break
                p += 4
            else:
                negative = p < end and data[p] == 45
                if negative:
                    p += 1
                begin = p
                number = 0
                decimals = 0
                while p < end and 48 <= data[p] <= 57:
                    number = number * 10 + (data[p] - 48) if p - begin < _MAX_DIGITS else 0
                    p += 1
                digits = p - begin
                if digits == 0 or (digits > 1 and data[begin] == 48):
                    break
                if p < end and data[p] == 46:
                    p += 1
                    begin = p
                    while p < end and 48 <= data[p] <= 57:
                        number = number * 10 + (data[p] - 48) if digits + p - begin < _MAX_DIGITS else 0
                        p += 1
                    decimals = p - begin
                    if decimals == 0:
                        break
                is_whole = field < _HEAD or whole[field - _HEAD]
                if digits + decimals > (_MAX_DIGITS if is_whole else _EXACT_DIGITS) or (is_whole and decimals):
                    break
                if p >= end or data[p] == 101 or data[p] == 69:  # e, E
                    break
                if field < _HEAD:
                    if negative:
                        break
                    if field == _SEQUENCE:
                        sequence[r] = number
                    else:
                        kind[r] = -1
                        for k in range(len(intervals)):
                            if intervals[k] == number:
                                kind[r] = k
                        if kind[r] < 0:
                            break
                else:
                    f = field - _HEAD
                    # Both are exact, so the quotient is the nearest number there is, as the library's is.
                    value = number / powers[decimals]
                    if negative:
                        value = -value
                    if value < least[f] or value > greatest[f]:
                        break
                    values[f, r] = number if whole[f] else np.int64(np.rint(value * steps[f]))
                    said = True
            p = _blank(data, p, end)
            if p >= end:
                break
            if data[p] == 44:  # ,
                p += 1
                continue
            closed = data[p] == 125  # }
            break
        if not closed or not said or seen & 7 != 7 or _blank(data, p + 1, end) != end:
            continue
        length_us = intervals[kind[r]] * 1_000_000
        if observed_us[r] % length_us or observed_us[r] - received_us > MAX_AHEAD_US:
            continue
        if received_us - observed_us[r] > MAX_BEHIND_US:
            continue
        status[r] = TAKEN


@njit(cache=True, nogil=True, inline="always")
def _blank(data, p, end):  # type: ignore[no-untyped-def]  # numba infers
    """Past white space."""
    while p < end and (data[p] == 32 or data[p] == 10 or data[p] == 13 or data[p] == 9):
        p += 1
    return p


@njit(cache=True, nogil=True, inline="always")
def _is_name(data, p, end, name_bytes, at, size):  # type: ignore[no-untyped-def]  # numba infers
    """Whether a name and its closing quotation mark stand at p."""
    if p + size >= end or data[p + size] != 34:
        return False
    for i in range(size):  # noqa: SIM110  # a loop is what numba compiles
        if data[p + i] != name_bytes[at + i]:
            return False
    return True


@njit(cache=True, nogil=True, inline="always")
def _two(data, p):  # type: ignore[no-untyped-def]  # numba infers
    """The number of two digits; −1 where there are none."""
    a, b = np.int64(data[p]) - 48, np.int64(data[p + 1]) - 48
    if a < 0 or a > 9 or b < 0 or b > 9:
        return -1
    return a * 10 + b


@njit(cache=True, nogil=True)
def _instant(data, p, end):  # type: ignore[no-untyped-def]  # noqa: C901, PLR0912  # numba infers; one form
    """Microseconds since 1970 UTC of ``2026-06-01T00:15:00Z``, with a fraction or an offset; −1 for other forms."""
    if end - p < 20 or data[p + 4] != 45 or data[p + 7] != 45 or data[p + 10] != 84:
        return -1
    if data[p + 13] != 58 or data[p + 16] != 58:
        return -1
    century, years, month, day = _two(data, p), _two(data, p + 2), _two(data, p + 5), _two(data, p + 8)
    hour, minute, second = _two(data, p + 11), _two(data, p + 14), _two(data, p + 17)
    if not (19 <= century <= 21 and years >= 0 and 1 <= month <= 12 and day >= 1):
        return -1
    if not (0 <= hour <= 23 and 0 <= minute <= 59 and 0 <= second <= 59):
        return -1
    year = century * 100 + years
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    longest = 31 - (month in (4, 6, 9, 11))
    if month == 2:
        longest = 29 if leap else 28
    if day > longest:
        return -1
    p += 19
    micro = np.int64(0)
    if data[p] == 46:
        p += 1
        digits = 0
        while p < end and 48 <= data[p] <= 57:
            micro = micro * 10 + (np.int64(data[p]) - 48)
            p += 1
            digits += 1
            if digits > 6:
                return -1
        if digits == 0:
            return -1
        for _ in range(6 - digits):
            micro *= 10
    offset = 0
    if p + 1 == end and data[p] == 90:
        pass
    elif p + 6 == end and (data[p] == 43 or data[p] == 45) and data[p + 3] == 58:
        hours, minutes = _two(data, p + 1), _two(data, p + 4)
        if not (0 <= hours <= 23 and 0 <= minutes <= 59):
            return -1
        offset = hours * 60 + minutes
        if data[p] == 45:
            if offset == 0:
                return -1
            offset = -offset
    else:
        return -1
    # Days since 1970 of the proleptic Gregorian calendar, counted in years that begin in March.
    years_from_march = year - (month <= 2)
    era = years_from_march // 400
    of_era = years_from_march - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    days = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
    seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offset * 60
    return seconds * 1_000_000 + micro
