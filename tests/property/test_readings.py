"""Single readings: the kernel takes what the JSON library takes, and blocks say what the readings said."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.block import INTERVALS_S, decode_block, encode_block
from grid.channels import CHANNELS, MEASURED
from grid.model import UnitKind
from grid.places import UnitPlaces
from grid.quality import MISSING_WH, Quality
from ingest.collect import Collector, warm_collector
from ingest.decode import decode_message
from ingest.decode_reading import FIELDS, decode_record
from ingest.reading_kernel import OTHER, TAKEN, read_common
from ingest.reading_lines import as_records
from tests.unit.test_decode import NOON_US, Units

NOW_US = NOON_US + 1_000_000
EVER_US = 2**60
energies = st.integers(-2, 2_000) | st.integers(-(2**54), 2**54)
numbers = st.floats(-10, 3_100) | st.decimals(-2, 3_001, places=2).map(float) | st.sampled_from([0.05, 230.25, -0.0])
values = st.fixed_dictionaries(
    {},
    optional={
        name: st.none() | (energies if name in FIELDS[:4] else numbers | st.integers(-1, 301)) for name in FIELDS
    },
)
instants = st.sampled_from(
    [
        "2026-11-21T12:00:00Z",
        "2026-11-21T12:00:00.000Z",
        "2026-11-21T20:00:00+08:00",
        "2026-11-21T06:15:00-05:45",
        "2026-11-21T00:00:00Z",
        "2026-02-28T23:59:00Z",
        "2026-02-29T00:00:00Z",
        "2024-02-29T00:00:00+00:00",
        "2026-11-21T12:00:00-00:00",
        "2026-11-21T12:00:00",
        "2026-11-21t12:00:00z",
        "2026-11-21 12:00:00Z",
        "2026-11-21T12:00:60Z",
        "2026-11-21T24:00:00Z",
        "2026-11-21T12:06:00Z",
        "2100-01-01T00:00:00Z",
        "1969-12-31T00:00:00Z",
        "2026-11-21T12:00:00.0000001Z",
        "2026-13-01T00:00:00Z",
        "2026-11-21T12:00Z",
    ]
)


def instant(minutes: int) -> str:
    """So many minutes from noon."""
    return (datetime(2026, 11, 21, 12, tzinfo=UTC) + timedelta(minutes=minutes)).isoformat()


heads = st.fixed_dictionaries(
    {
        "meter": st.text(max_size=6) | st.sampled_from(["m1", "x" * 64, "x" * 65]),
        "observed_at": instants | st.integers(-(10**6), 10**6).map(instant),
        "interval_s": st.sampled_from([*INTERVALS_S, 86_400, 0, 61]),
    },
    optional={"sequence": st.integers(-1, 2**61), "other": st.none()},
)
changed = st.sampled_from([b"", b"0", b".", b"e", b'"', b",", b"}", b"-", b" ", b"\\", b"\xff"])
separators = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")])


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """A reading as JSON, mostly one that can be taken; and that with a few bytes changed."""
    fields = draw(heads) | draw(values)
    fields = dict(draw(st.permutations(list(fields.items()))))
    text = json.dumps(fields, separators=draw(separators), ensure_ascii=draw(st.booleans())).encode()
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(text)))
        text = (
            text[:at]
            + draw(st.sampled_from([b"", b"0", b".", b"e", b'"', b",", b"}", b"-", b" ", b"\\", b"\xff"]))
            + (text[at + draw(st.integers(0, 1)) :])
        )
    return text


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """No example waits for the compiler."""
    warm_collector()


def read(records: list[bytes]) -> list[tuple[int, dict[str, Any]]]:
    """What the kernel says of each record: its status and fields."""
    n = len(records)
    ends = np.cumsum([len(record) for record in records])
    begins = ends - [len(record) for record in records]
    data = b"".join(records)
    code_at, code_end, observed_us, kind, sequence = (np.zeros(n, np.int64) for _ in range(5))
    found, status = np.empty((len(FIELDS), n), np.int64), np.empty(n, np.uint8)
    read_common(
        np.frombuffer(data, np.uint8), begins, ends, NOW_US,
        code_at, code_end, observed_us, kind, sequence, found, status,
    )  # fmt: skip
    return [
        (
            int(status[i]),
            {
                "meter": data[code_at[i] : code_end[i]].decode("latin-1"),
                "observed_at_us": int(observed_us[i]),
                "interval_s": INTERVALS_S[kind[i]],
                "sequence": int(sequence[i]),
                "values": found[:, i].tolist(),
            },
        )
        for i in range(n)
    ]


@given(st.lists(texts(), min_size=1, max_size=8))
def test_what_the_kernel_takes_is_what_the_library_says(records: list[bytes]) -> None:
    for record, (status, fields) in zip(records, read(records), strict=True):
        assert status in (TAKEN, OTHER)
        if status == TAKEN:
            ((reading, original),), rejections = decode_record(record, NOW_US, UTC)
            assert (reading._asdict(), original, rejections) == (fields, record, [])


ODD_NUMBERS = """0 00 01 -0 -1 -01 +1 1. .5 1.0 1.50 0.05 0.049999999999999996 230.25 230.35 1e3 1E2 1e-3 1.5e2 0x10
1_000 NaN Infinity null nul nulls true "1" [1] {} 3000 3000.1 300 300.005 -1.0 -1.0001 1000000000 1000000001
1000000000000000 1000000000000001 999999999999999999 1152921504606846975 1152921504606846976 9223372036854775808
18446744073709551617 123456789012345.1 0.1234567890123456 99999999999999999999999 0.000000000000000000001 1 2 -"""
ODD_CODES = ("", "m", "x" * 64, "x" * 65, "a\\u0041", "a\\n", "a\\q", "ä", "a\tb", "a\x7fb", "a/b", "a b")
ODD_STRINGS = [*(f'"{code}"' for code in ODD_CODES), "'m'", '"m', "m", "null", "1", '"m""']
ODD_DATES = """2026-11-21 2026-11-20 2026-02-29 2026-02-28 2024-02-29 2026-04-31 2026-06-31 2026-12-31 2026-00-10
2026-13-01 2026-01-00 2026-01-32 2026-10-31 2026-3-01 1969-12-31 1970-01-01 2025-12-31 2026-01-01 2026-03-01
0026-11-21 2100-02-29 +026-11-21 2026/11/21 20261121"""
ODD_TIMES = "12:00:00 00:00:00 23:59:00 24:00:00 12:60:00 12:00:60 12:00:01 1:00:00 12:00 12-00-00 120000"
ODD_ZONES = """Z +00:00 -00:00 +08:00 -05:45 +24:00 +08:60 +0800 +08 z .0Z .000000Z .5Z .0000000Z .Z Z_ _Z _"""
ODD_INSTANTS = [
    f'"{date}T{time}{zone}"'.replace("_", " ")
    for date in ODD_DATES.split()
    for time in ODD_TIMES.split()
    for zone in ("", *ODD_ZONES.split())
]


def test_every_odd_form_is_taken_as_the_library_takes_it_or_left_to_it() -> None:
    plain = {"meter": '"m"', "observed_at": '"2026-11-21T12:00:00Z"', "interval_s": "60", "import_wh": "7"}
    odd = [{**plain, name: token} for name in (*FIELDS, "sequence", "interval_s") for token in ODD_NUMBERS.split()]
    odd += [{**plain, "meter": token} for token in ODD_STRINGS]
    odd += [{**plain, "observed_at": token} for token in ODD_INSTANTS]
    texts = ["{" + ",".join(f'"{name}":{token}' for name, token in fields.items()) + "}" for fields in odd]
    whole = texts[0].replace("0", "7", 1)
    texts += [whole[:n] for n in range(len(whole))] + [whole[:n] + whole[n + 1 :] for n in range(len(whole))]
    texts += [whole[:n] + c + whole[n:] for n in range(len(whole) + 1) for c in ' ,:{}[]"0.-\\\0']
    texts += [whole[:-1] + f',"{name}":{token}' + "}" for name, token in plain.items()]
    records = [text.encode() for text in texts]
    taken = 0
    for record, (status, fields) in zip(records, read(records), strict=True):
        if status == TAKEN:
            taken += 1
            readings, rejections = decode_record(record, NOW_US, UTC)
            assert ([reading._asdict() for reading, _ in readings], rejections) == ([fields], []), record
    # The others are refused in part, or refused, or have a form that isn't common.
    assert taken > 200


@given(
    st.fixed_dictionaries(
        {"import_wh": st.integers(0, 10**9)},
        optional={
            "register_import_wh": st.integers(0, 10**15),
            "voltage_a_v": st.decimals(0, 3_000, places=3).map(float),
            "power_factor": st.decimals(-1, 1, places=4).map(float),
            "sequence": st.integers(0, 10**18 - 1),
        },
    ),
    separators,
)
def test_the_kernel_takes_the_common_form(said: dict[str, Any], between: tuple[str, str]) -> None:
    # The shortest form of a number beside zero has an exponent, which isn't common.
    said = {name: 0.0 if isinstance(value, float) and abs(value) < 1e-3 else value for name, value in said.items()}
    head = {"meter": "m1", "observed_at": "2026-11-21T12:00:00+00:00", "interval_s": 900}
    ((status, _),) = read([json.dumps(head | said, separators=between).encode()])
    assert status == TAKEN


@given(texts())
def test_a_reading_says_what_a_block_of_its_meter_says(text: bytes) -> None:
    readings, rejections = decode_record(text, NOW_US, UTC)
    if b"\n" in text or not readings:
        return
    ((reading, _),) = readings
    fields = json.loads(text)
    block = {name: [value] for name, value in fields.items() if name in (*FIELDS, "meter")}
    payload = json.dumps(
        block
        | {"observed_at": fields["observed_at"], "interval_s": fields["interval_s"], "sequence": reading.sequence},
    )
    decoded = decode_message("meterline/v1/headend-1/block/A1", payload.encode(), NOW_US, Units())
    assert decoded.block is not None
    assert {r.reason for r in decoded.rejections} == {r.reason for r in rejections}
    assert (decoded.block.observed_at_us, decoded.block.interval_s) == (reading.observed_at_us, reading.interval_s)
    said = dict(zip(MEASURED, reading.values, strict=True))
    for name, channel in MEASURED.items():
        there = int(decoded.block.channels[name][0]) if name in decoded.block.channels else channel.missing
        assert said[name] == (MISSING_WH if there == channel.missing else there)


PLACES = [
    UnitPlaces(
        unit, UnitKind.AREA, pa.array([f"{unit}-{n}" for n in range(3)]), np.full(3, -EVER_US), np.full(3, EVER_US)
    )
    for unit in ("A", "B")
]
events = st.fixed_dictionaries(
    {
        "meter": st.sampled_from(["A-0", "A-1", "A-2", "B-0", "B-1", "B-2"]),
        "observed_at": st.sampled_from(["2026-11-21T12:00:00Z", "2026-11-21T11:45:00Z"]),
        "interval_s": st.sampled_from([900, 60]),
        "sequence": st.integers(0, 2),
        "import_wh": st.none() | st.integers(0, 9),
        "voltage_a_v": st.none() | st.integers(220, 223),
        # No reading says nothing; and some have a form that is left to the library.
        "export_wh": st.integers(0, 2),
        "current_a_a": st.sampled_from([1, 1.5, 1e-05]),
    }
)
Said = dict[tuple[str, str, int, int, str], tuple[int, int]]


def stands(said: Said, key: tuple[str, str, int, int, str], sequence: int, value: int) -> None:
    said[key] = max(said.get(key, (-1, -1)), (sequence, value))


@given(st.lists(events, min_size=1, max_size=30), st.integers(1, 6), st.randoms(use_true_random=False))
def test_blocks_say_what_the_readings_said(sent: list[dict[str, Any]], polls: int, chance: Any) -> None:
    expected: Said = {}
    for event in sent:
        at_us = int(datetime.fromisoformat(event["observed_at"]).timestamp()) * 1_000_000
        for name, channel, steps in (
            ("import_wh", "import_wh", 1), ("export_wh", "export_wh", 1),
            ("voltage_a_v", "voltage_a_dv", 10), ("current_a_a", "current_a_ca", 100),
        ):  # fmt: skip
            if event[name] is not None:
                key = (event["meter"][0], event["meter"], at_us, event["interval_s"], channel)
                stands(expected, key, event["sequence"], round(event[name] * steps))
    collector, given_back = Collector(PLACES, UTC), Collector(PLACES, UTC)
    records = [json.dumps(event).encode() for event in sent]
    found: Said = {}
    for poll in range(polls):
        part = records[poll::polls]
        if part:
            ends = np.cumsum([len(record) for record in part])
            begins = ends - [len(record) for record in part]
            assert collector.take(np.frombuffer(b"".join(part), np.uint8), begins, ends, NOW_US) == []
        if chance.random() < 0.5:
            take_blocks(collector, found, given_back)
    take_blocks(collector, found, given_back)
    assert found == expected
    # And so do the readings that are made of the blocks again.
    again: Said = {}
    take_blocks(given_back, again)
    assert again == expected
    assert collector.held == 0


def take_blocks(collector: Collector, found: Said, given_back: Collector | None = None) -> None:
    for made, kind in collector.blocks():
        assert kind is UnitKind.AREA
        block = decode_block(encode_block(made))
        if given_back is not None:
            for record in as_records(block):
                whole = np.array([len(record)])
                assert given_back.take(np.frombuffer(record, np.uint8), whole - len(record), whole, NOW_US) == []
        meters = block.meters.to_pylist()
        assert len(set(meters)) == len(meters)
        for n, meter in enumerate(meters):
            for name, column in block.channels.items():
                if column[n] != CHANNELS[name].missing:
                    key = (block.unit, meter, block.observed_at_us, block.interval_s, name)
                    stands(found, key, int(block.sequence[n]), int(column[n]))
            missing = "import_wh" not in block.channels or block.channels["import_wh"][n] == MISSING_WH
            assert block.quality[n] == (Quality.MISSING if missing else Quality.VALID)
